"""The revisions of the store's schema; read at every opening, so it imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Revisions:
    """Revisions in the order of their numbers, with a file for each in a folder; the last is what this hf-gate works with.

    The first is the baseline: stores of lower numbers were made by pre-releases and are refused.
    """

    names: tuple[str, ...]
    folder: Path

    @property
    def head(self) -> str:
        """Return today's revision."""
        return self.names[-1]

    def is_pre_release(self, revision: str) -> bool:
        """Return whether a store of this revision was made before the baseline."""
        return revision < self.names[0]


REVISIONS: Final = Revisions(("0010",), Path(__file__).parent / "migrations")
