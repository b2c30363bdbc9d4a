"""Members have an id of their own and a Hub account; runs and the tray say by id whose they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Gives each member of before an id, and what was theirs by name to that id. Selections are forgotten."""
    op.add_column("members", sa.Column("id", sa.Text, nullable=False, server_default=""))
    for name in ("account", "user_id"):
        op.add_column("members", sa.Column(name, sa.Text, nullable=True))
    op.add_column("members", sa.Column("proven_at", _BIG, nullable=True))
    op.add_column("tray", sa.Column("member", sa.Text, nullable=True))
    for name in ("owner", "lease_until", "fence", "undoes"):  # nobody set them
        op.drop_column("runs", name)
    for name in ("member", "account", "verbs"):
        op.add_column("runs", sa.Column(name, sa.Text, nullable=True))
    op.add_column("runs", sa.Column("is_free", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute("UPDATE members SET id = 'old_' || name")
    op.execute("UPDATE views SET member = 'old_' || member WHERE member IN (SELECT name FROM members)")
    op.execute("UPDATE tray SET member = 'old_' || actor WHERE actor IN (SELECT name FROM members)")
    op.execute("DELETE FROM picked")
    op.execute("DELETE FROM picks")
