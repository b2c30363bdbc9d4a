"""The desk in the browser: its tray, who may sign in, who is signed in, saved views, selections, counts for its facets."""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=null, primary_key=key)


def _number(name: str, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, _BIG, nullable=null)


def _request(*, key: bool = False) -> sa.Column[Any]:
    auto: Literal["auto"] | bool = False if key else "auto"
    return sa.Column(
        "request_id", _BIG, sa.ForeignKey("requests.id"), nullable=False, primary_key=key, autoincrement=auto
    )


_CELLS = """
    INSERT INTO counters (repo_id, kind, name, n)
    SELECT r.repo_id, 'cell', r.status || ' ' || coalesce(v.action, '-') || ' ' || coalesce(v.rule, '-'), count(*)
    FROM requests r LEFT JOIN verdicts v ON v.id = r.verdict_id WHERE r.is_current GROUP BY 1, 2, 3
"""


def upgrade() -> None:
    """Six tables that hold nothing yet, and one more way of counting."""
    op.execute(_CELLS)
    op.create_table(
        "tray",
        sa.Column("id", _BIG, primary_key=True, autoincrement=False),
        _request(),
        *(_text(name) for name in ("ground", "verb")),
        _text("reason", null=True),
        *(_text(name) for name in ("actor", "batch")),
        _number("made_at"),
        _number("leaves_at", null=True),
        *(_text(name, null=True) for name in ("run", "outcome", "why")),
        _number("ended_at", null=True),
    )
    waits = sa.text("outcome IS NULL")
    op.create_index("tray_leaves", "tray", ["leaves_at", "id"], sqlite_where=waits, postgresql_where=waits)
    op.create_index("tray_request", "tray", ["request_id"], unique=True, sqlite_where=waits, postgresql_where=waits)
    op.create_table(
        "members",
        _text("name", key=True),
        _text("role"),
        *(_text(name, null=True) for name in ("repos", "link")),
        _number("made_at"),
    )
    op.create_table("sessions", _text("id", key=True), _text("member"), _number("made_at"), _number("seen_at"))
    op.create_table("views", _text("member", key=True), _text("name", key=True), _text("query"), _number("made_at"))
    op.create_table("picks", _text("id", key=True), _text("member"), _text("query", null=True), _number("made_at"))
    op.create_table(
        "picked",
        sa.Column("pick", sa.Text, sa.ForeignKey("picks.id"), nullable=False, primary_key=True),
        _request(key=True),
        _text("ground"),
        sqlite_with_rowid=False,
    )
