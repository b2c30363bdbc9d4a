"""The baseline: nothing to do, because `schema_creation` creates new stores with this schema."""

from __future__ import annotations

revision = "0018"
down_revision = None


def upgrade() -> None:
    """Do nothing: older stores are refused."""
