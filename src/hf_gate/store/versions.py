"""Which shapes of the store there have been; read at every opening, so it imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Shapes:
    """Revisions, the oldest first, with a file for each in a folder; the last is what this hf-gate works with."""

    revisions: tuple[str, ...]
    folder: Path

    @property
    def head(self) -> str:
        """Today's."""
        return self.revisions[-1]


SHAPES: Final = Shapes(("0001", "0002", "0003", "0004", "0005", "0006"), Path(__file__).parent / "migrations")
