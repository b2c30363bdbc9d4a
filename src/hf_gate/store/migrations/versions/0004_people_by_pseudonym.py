"""People are found by their pseudonym at once: pages and the ledger name them so."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """One index more."""
    op.create_index("people_pseudonym", "people", ["pseudonym"], unique=True, if_not_exists=True)
