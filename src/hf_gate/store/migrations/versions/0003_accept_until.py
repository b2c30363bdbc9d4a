"""An acceptance in the tray may have an end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """One column more."""
    op.add_column("tray", sa.Column("until", sa.Text, nullable=True))
