"""Formats one request in full: the person, times, account and every answer, safe to print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ..application.request_record_builders import rate_answers
from ..domain.display_text import to_one_line
from ..domain.lifecycle import MEANING, STATUSES, Status
from ..domain.timestamps import to_iso
from .output import format_age, safe_lines
from .text_layout import wrap_line

if TYPE_CHECKING:
    from ..application.records import AccountRecord, HistoryRecord
    from ..domain.requests import AccessRequest

_FACT: Final = 12  # column where the value of a fact starts


def request_lines(
    request: AccessRequest, now: datetime, account: AccountRecord | None, columns: int | None = None
) -> Iterator[str]:
    """Return the lines of one request, safe to print; `account` is the data of the profile.

    With `columns`, the lines are wrapped at words.
    """
    for line in _lines(request, now, account):
        is_fact = line.startswith("  ") and line[2:_FACT].rstrip() in _FACTS
        yield from wrap_line(to_one_line(line), columns, _FACT if is_fact else None)


_FACTS: Final = frozenset({"request", "status", "asked", "reviewed", "e-mail", "account", "activity", "answers"})


def _lines(request: AccessRequest, now: datetime, account: AccountRecord | None) -> Iterator[str]:
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
    yield from _answer_lines(request)


def _account_lines(request: AccessRequest, account: AccountRecord | None, now: datetime) -> Iterator[str]:
    made = request.person.created_at
    if made:
        yield f"  account   created {made:%Y-%m-%d} ({format_age(made, now)} ago)"
    if account is None:
        return
    counts = (("models", account.models), ("datasets", account.datasets), ("followers", account.followers))
    parts = [f"{count} {word}" for word, count in counts if count is not None]
    if account.orgs:
        parts.append(f"in {', '.join(account.orgs)}")
    if parts:
        yield f"  activity  {', '.join(parts)}"


def _answer_lines(request: AccessRequest) -> Iterator[str]:
    if not request.has_form:
        yield "  answers   none: the form has no fields, or access was granted without a request"
    quality = rate_answers(request) or {}
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
