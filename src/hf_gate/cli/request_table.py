"""The table of requests for people: which columns, which answers, and what leaves first when the terminal is narrow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from ..application.records import TICKS, GrantEndRecord, RepoRecord, RequestRecord
from ..domain.display_text import clip
from ..domain.ids import RepoType
from .output import Column, format_age

_Cell = Callable[[RequestRecord], str]
_TELLING: Final = ("purpose", "affiliation", "job", "country", "other")  # roles by what they tell a reviewer


def ls_columns(
    rows: Sequence[RequestRecord], now: datetime, *, with_repo: bool = False, with_status: bool = False
) -> list[Column[RequestRecord]]:
    """Age first, since silence is what people suffer from; then who, and the answers that tell most, but no ticked boxes.

    Who and where are what commands take, so they are never cut. The id of somebody who is hidden is all that names
    them, so then ids are whole too.
    """
    columns = [
        Column[RequestRecord](
            "AGE", lambda row: format_age(datetime.fromisoformat(row.asked_at), now), is_right_aligned=True
        ),
        Column("WHO", display_name),
    ]
    if with_repo:
        columns.append(Column("REPO", repo_argument))
    if with_status:
        columns.append(Column("STATUS", lambda row: row.status))
    if any(row.fullname for row in rows):
        columns.append(Column("NAME", lambda row: row.fullname or "-", is_flexible=True, min_width=10, drop_rank=30))
    is_mixed = len({(row.repo_type, row.repo) for row in rows}) > 1
    for rank, (title, cell) in enumerate(_by_role(rows) if is_mixed else _by_label(rows)):
        columns.append(Column(title, cell, is_flexible=True, min_width=12, drop_rank=10 + rank))
    named = all(row.user for row in rows)
    columns.append(Column("ID", _id, is_flexible=named, min_width=7, is_tail_shown=True, drop_rank=20 if named else 0))
    return columns


def _by_label(rows: Sequence[RequestRecord]) -> list[tuple[str, _Cell]]:
    """Up to three labels whose answers tell most: what the person wants first; not their name again, nor ticked boxes."""
    count = Counter(label for row in rows for label, _ in _telling(row))
    ranked = sorted((_TELLING.index(_role(label)), -count[label], label) for label in count)
    return [(clip(label, 24), _answer_to(label)) for *_, label in ranked[:3]]


def _by_role(rows: Sequence[RequestRecord]) -> list[tuple[str, _Cell]]:
    """Forms of several repos name alike things differently: what it is for, and of the other roles the most answered."""
    count = Counter(role for row in rows for role in {_role(label) for label, _ in _telling(row)})
    others = sorted((role for role in count if role not in {"purpose", "other"}), key=lambda role: -count[role])
    wanted = [role for role in ("purpose", *others[:1]) if count[role]]
    return [(role.upper(), _answer_as(role)) for role in wanted]


def _telling(row: RequestRecord) -> list[tuple[str, str]]:
    """The answers that tell a reviewer something, in the order of the form."""
    found = ((label, text.strip()) for label, text in (row.answers or {}).items())
    return [(label, text) for label, text in found if text and text.lower() not in TICKS and _role(label) in _TELLING]


def _role(label: str) -> str:
    from ..domain.roles import role_of  # noqa: PLC0415 - its vocabularies are loaded by who lists for people

    return role_of(label).value


def display_name(row: RequestRecord) -> str:
    """The username of a row, or what stands for one where the repo hides it."""
    return row.user or f"(hidden #{(row.user_id or row.request_id or '')[-6:]})"


def repo_argument(row: RequestRecord | RepoRecord | GrantEndRecord) -> str:
    """The repo as a command takes it."""
    return row.repo if row.repo_type is RepoType.MODEL else f"datasets/{row.repo}"


def target_argument(row: RequestRecord) -> str:
    """What `-q` prints: a target again."""
    return row.request_id or f"{row.user or row.user_id}@{repo_argument(row)}"


def _id(row: RequestRecord) -> str:
    return row.request_id or row.user_id or "-"


def _answer_to(label: str) -> _Cell:
    return lambda row: (row.answers or {}).get(label, "").strip() or "-"


def _answer_as(role: str) -> _Cell:
    return lambda row: next((text for label, text in _telling(row) if _role(label) == role), "-")
