"""The revisions of the store's schema. They are read whenever a store is opened, so this module imports nothing slow."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct


class Revisions(Struct, frozen=True):
    """The names of all revisions in order, and the folder with a file for each. The last revision is current.

    The first revision is the baseline. Stores with lower numbers were made by pre-releases and are refused.
    """

    names: tuple[str, ...]
    folder: Path

    @property
    def head(self) -> str:
        """The current revision."""
        return self.names[-1]

    def is_pre_release(self, revision: str) -> bool:
        """Return whether a store with this revision was made before the baseline."""
        return revision < self.names[0]


REVISIONS: Final = Revisions(("0018", "0019"), Path(__file__).parent / "migrations")
