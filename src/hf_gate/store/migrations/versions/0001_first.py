"""The first shape: a new store is made whole by `making`, so there is nothing to do on the way to it."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing has an earlier shape."""
