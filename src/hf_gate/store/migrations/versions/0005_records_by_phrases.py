"""Records are kept with a byte in place of each phrase, which earlier versions cannot read; the index takes in more at once."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """What lies there stays as it is: records that were deflated, and the dictionaries of their repos."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("INSERT INTO grams (grams, rank) VALUES ('hashsize', 33554432)")
