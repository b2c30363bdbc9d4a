"""The baseline: `making` makes a new store whole, so there is nothing to do on the way to it."""

from __future__ import annotations

revision = "0010"
down_revision = None


def upgrade() -> None:
    """Do nothing: stores of before are refused."""
