"""The columns of a table of requests: which answers are shown, and which columns are dropped first on a narrow terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from ..application.past_records import AccessRecord
from ..application.records import TICKS, GrantEndRecord, RepoRecord, RequestRecord
from ..domain.display_text import clip
from ..domain.ids import RepoType, name_person
from ..domain.lifecycle import Status, label_verdict
from ..domain.roles import role_of
from .output import Column, format_age

_Cell = Callable[[RequestRecord], str]
_USEFUL_ROLES: Final = (
    "purpose",
    "affiliation",
    "job",
    "country",
    "other",
)  # roles of answers, the most useful to a reviewer first


def ls_columns(
    rows: Sequence[RequestRecord], now: datetime, *, with_repo: bool = False, with_status: bool = False
) -> list[Column[RequestRecord]]:
    """Return the columns of `ls`: age, person, repo, status, name and the most useful answers without ticked boxes.

    The columns WHO and REPO are never cut, because they are arguments of commands. If a username is hidden, the id is
    the only name, so ids are not cut either.
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
    if any(row.assigned_to for row in rows):
        columns.append(Column("ASSIGNED", describe_assignee, is_flexible=True, min_width=8, drop_rank=4))
    if any(row.verdict for row in rows):
        columns.append(
            Column("VERDICT", lambda row: verdict_cell(row, now), is_flexible=True, min_width=10, drop_rank=5)
        )
    if any(row.fullname for row in rows):
        columns.append(Column("NAME", lambda row: row.fullname or "-", is_flexible=True, min_width=10, drop_rank=30))
    is_mixed = len({(row.repo_type, row.repo) for row in rows}) > 1
    for rank, (title, cell) in enumerate(_columns_by_role(rows) if is_mixed else _columns_by_label(rows)):
        columns.append(Column(title, cell, is_flexible=True, min_width=12, drop_rank=10 + rank))
    named = all(row.user for row in rows)
    columns.append(
        Column("ID", _id_cell, is_flexible=named, min_width=7, is_tail_shown=True, drop_rank=20 if named else 0)
    )
    return columns


def verdict_cell(row: RequestRecord, now: datetime | None = None) -> str:
    """Return the label of a verdict and its rule, and whether a decision is overdue."""
    verdict = row.verdict
    if verdict is None:
        return "-"
    due = None if verdict.due_at is None else datetime.fromisoformat(verdict.due_at)
    is_late = row.status == Status.PENDING and due is not None and now is not None and due < now
    late = "OVERDUE · " if is_late else ""
    return f"{late}{label_verdict(verdict.action)} · {verdict.rule if verdict.policy else 'no rule'}"


def describe_assignee(row: RequestRecord) -> str:
    """Return the member who should decide a request, and who stands in."""
    return f"{row.assigned_to or '-'}{f' ({row.deputy} stands in)' if row.deputy else ''}"


def _columns_by_label(rows: Sequence[RequestRecord]) -> list[tuple[str, _Cell]]:
    """Return columns for up to three labels, ranked by role and by the number of answers."""
    count = Counter(label for row in rows for label, _ in _useful_answers(row))
    ranked = sorted((_USEFUL_ROLES.index(_role_of(label)), -count[label], label) for label in count)
    return [(clip(label, 24), _cell_by_label(label)) for *_, label in ranked[:3]]


def _columns_by_role(rows: Sequence[RequestRecord]) -> list[tuple[str, _Cell]]:
    """Return columns by role, because the forms of several repos have different labels: purpose, and the most answered other role."""
    count = Counter(role for row in rows for role in {_role_of(label) for label, _ in _useful_answers(row)})
    others = sorted((role for role in count if role not in {"purpose", "other"}), key=lambda role: -count[role])
    wanted = [role for role in ("purpose", *others[:1]) if count[role]]
    return [(role.upper(), _cell_by_role(role)) for role in wanted]


def _useful_answers(row: RequestRecord) -> list[tuple[str, str]]:
    """Return the answers that are useful to a reviewer, in the order of the form; no names or ticked boxes."""
    found = ((label, text.strip()) for label, text in (row.answers or {}).items())
    return [
        (label, text)
        for label, text in found
        if text and text.lower() not in TICKS and _role_of(label) in _USEFUL_ROLES
    ]


def _role_of(label: str) -> str:
    return role_of(label).value


def display_name(row: RequestRecord) -> str:
    """Return the username, or a substitute if the repo hides it."""
    return name_person(row.user, row.user_id, row.request_id)


def repo_argument(row: RequestRecord | RepoRecord | GrantEndRecord | AccessRecord) -> str:
    """Return the repo as an argument of commands."""
    return row.repo if row.repo_type is RepoType.MODEL else f"datasets/{row.repo}"


def target_argument(row: RequestRecord | AccessRecord) -> str:
    """Return the target that `-q` prints, as an argument of commands."""
    return row.request_id or f"{row.user or row.user_id}@{repo_argument(row)}"


def _id_cell(row: RequestRecord) -> str:
    return row.request_id or row.user_id or "-"


def _cell_by_label(label: str) -> _Cell:
    return lambda row: (row.answers or {}).get(label, "").strip() or "-"


def _cell_by_role(role: str) -> _Cell:
    return lambda row: next((text for label, text in _useful_answers(row) if _role_of(label) == role), "-")
