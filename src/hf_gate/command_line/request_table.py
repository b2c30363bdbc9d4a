"""The columns of a table of requests, which are dropped first on a narrow terminal, and the lines about one request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from hf_gate.base.display_text import to_one_line
from hf_gate.base.ids import RepoType, name_person
from hf_gate.base.timestamps import format_age, format_day, to_iso
from hf_gate.core.forms.roles import role_of
from hf_gate.core.lifecycle import MEANING, STATUSES, Status, label_action
from hf_gate.core.records import TICKS, GrantEndRecord, RepoRecord, RequestRecord

from .output import safe_lines
from .text_layout import Column, clip_text, wrap_line

if TYPE_CHECKING:
    from hf_gate.core.records import AccountRecord, HistoryRecord
    from hf_gate.core.requests import AccessRequest
    from hf_gate.ledger.service.access_report import AccessRecord


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

    The column WHO is never cut, because it is an argument of commands; REPO is cut at its start. If a username is
    hidden, the id is the only name, so ids are not cut either.
    """
    columns = [
        Column[RequestRecord](
            "AGE",
            lambda row: format_age(datetime.fromisoformat(row.asked_at), now).replace(" ", ""),
            is_right_aligned=True,
        ),
        Column("WHO", display_name),
    ]
    if with_repo:
        columns.append(
            Column("REPO", repo_argument, is_flexible=True, min_width=17, is_tail_shown=True, is_said_once=True)
        )
    if with_status:
        columns.append(Column("STATUS", lambda row: row.status, meaning=lambda row: row.status))
    if any(row.approvals for row in rows):
        columns.append(Column("APPROVALS", _approvals_cell))
    if any(row.verdict for row in rows):
        columns.append(
            Column(
                "VERDICT",
                verdict_cell,
                is_flexible=True,
                min_width=10,
                drop_rank=15 if with_repo else 5,
                is_said_once=True,
                meaning=verdict_meaning,
            )
        )
    if any(row.fullname for row in rows):
        columns.append(Column("NAME", lambda row: row.fullname or "-", is_flexible=True, min_width=10, drop_rank=8))
    is_mixed = len({(row.repo_type, row.repo) for row in rows}) > 1
    for rank, (title, cell) in enumerate(_columns_by_role(rows) if is_mixed else _columns_by_label(rows)):
        columns.append(Column(title, cell, is_flexible=True, min_width=12, drop_rank=10 + rank))
    named = all(row.user for row in rows)
    columns.append(
        Column("ID", _id_cell, is_flexible=named, min_width=7, is_tail_shown=True, drop_rank=20 if named else 0)
    )
    return columns


def verdict_cell(row: RequestRecord) -> str:
    """Return the label of a verdict and its rule."""
    verdict = row.verdict
    if verdict is None:
        return "-"
    return f"{label_action(verdict.action)} · {verdict.rule if verdict.policy else 'no rule'}"


def verdict_meaning(row: RequestRecord) -> str:
    """Return the action of the verdict, which gives its cell a colour."""
    return "" if row.verdict is None else row.verdict.action


def _approvals_cell(row: RequestRecord) -> str:
    """Return how many of the needed approvals a request has; `-` before the first."""
    found = row.approvals
    return "-" if found is None else f"{len(found.given)} of {found.needed}"


def _columns_by_label(rows: Sequence[RequestRecord]) -> list[tuple[str, _Cell]]:
    """Return columns for up to three labels, ranked by role and by the number of answers."""
    count = Counter(label for row in rows for label, _ in _useful_answers(row))
    ranked = sorted((_USEFUL_ROLES.index(_role_of(label)), -count[label], label) for label in count)
    return [(clip_text(label, 24), _cell_by_label(label)) for *_, label in ranked[:3]]


def _columns_by_role(rows: Sequence[RequestRecord]) -> list[tuple[str, _Cell]]:
    """Return columns by role, because the forms of several repos have different labels: purpose, and the most answered
    other role.
    """
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


# ---- details of one request ------------------------------------------------------------------------------------------


_FACT: Final = 12  # column where the value of a fact starts


def format_request_lines(
    request: AccessRequest,
    now: datetime,
    account: AccountRecord | None,
    quality: Mapping[str, str] | None,
    columns: int | None = None,
) -> Iterator[str]:
    """Return the lines of one request, safe to print; `account` is the data of the profile, `quality` that of answers.

    With `columns`, the lines are wrapped at words.
    """
    for line in _lines(request, now, account, quality or {}):
        is_fact = line.startswith("  ") and line[2:_FACT].rstrip() in _FACTS
        yield from wrap_line(to_one_line(line), columns, _FACT if is_fact else None)


_FACTS: Final = frozenset({"request", "status", "asked", "reviewed", "e-mail", "account", "activity", "answers"})


def _lines(
    request: AccessRequest, now: datetime, account: AccountRecord | None, quality: Mapping[str, str]
) -> Iterator[str]:
    person = request.person
    yield f"{person} ({person.fullname})" if person.fullname else str(person)
    yield f"  request   {request.request_id or '-'} in {request.repo}"
    status = Status(request.status) if request.status in STATUSES else None
    yield f"  status    {request.status}" + (f": {MEANING[status]}" if status else "")
    yield f"  asked     {to_iso(request.asked_at)} ({format_age(request.asked_at, now)} ago)"
    if request.reviewed_at:
        by = f" by {request.granted_by}" if request.granted_by else ""
        yield f"  reviewed  {to_iso(request.reviewed_at)} ({format_age(request.reviewed_at, now)} ago){by}"
    yield f"  e-mail    {request.email or '- (not shared)'}"
    yield from _account_lines(request, account, now)
    yield from _answer_lines(request, quality)


def _account_lines(request: AccessRequest, account: AccountRecord | None, now: datetime) -> Iterator[str]:
    made = request.person.created_at
    if made:
        yield f"  account   created {format_day(made)} ({format_age(made, now)} ago)"
    if account is None:
        return
    counts = (("models", account.models), ("datasets", account.datasets), ("followers", account.followers))
    parts = [f"{count} {word}" for word, count in counts if count is not None]
    if account.orgs:
        parts.append(f"in {', '.join(account.orgs)}")
    if parts:
        yield f"  activity  {', '.join(parts)}"


def _answer_lines(request: AccessRequest, quality: Mapping[str, str]) -> Iterator[str]:
    if not request.has_form:
        yield "  answers   none: the form has no fields, or access was granted without a request"
    for label, text in request.answers.items():
        mark = quality.get(label, "good")
        yield f"  {label}" + (f"  [{mark}]" if mark != "good" else "")
        for line in safe_lines(text):
            yield f"      {line}"


def history_lines(history: Iterable[HistoryRecord]) -> Iterator[str]:
    """Return the history of a request as indented lines."""
    for row in history:
        by = "" if row.actor == "outside" else f"  ({row.actor})"
        yield f"    {row.at[:16].replace('T', ' ')}  {row.text}{by}"
