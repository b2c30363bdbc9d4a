"""Writes letters to applicants, and sends those that are due: each at most once.

Guarantees:
1. A letter is sent only after its intent is stored, and one whose outcome is unknown is never sent again by itself.
2. A letter goes only to the account's e-mail address as the Hub gave it.
3. The store keeps no text and no address of a letter, so an erasure of a person needs no other step.
4. Work ends after a bounded time and number of letters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, tzinfo
from math import ceil
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from ..domain.ids import Repo
from ..domain.letter_texts import LETTER_TEXTS
from ..domain.letters import (
    OF_RULES,
    LetterCase,
    LetterConfig,
    LetterKind,
    LetterState,
    LetterText,
    fill_text,
    join_languages,
)
from ..domain.network_hosts import is_loopback_host
from ..domain.notices import Delivery, DeliveryKind
from ..domain.rows import RequestRow
from ..domain.timestamps import DAY_MS, from_ms, ms_to_iso, to_iso, to_ms
from ..errors import HfGateError
from ..store import letters
from ..store.write_lock import Work
from .ports import LetterPort
from .records import Record, Time
from .reminders import ReminderTimes, read_reminder_times
from .unattended import read_stop
from .workspace import Workspace, new_id

MAX_IN_TURN: Final = 100
MAX_REFUSED: Final = 5
BUDGET_S: Final = 60.0
"""How long one call of `send_letters` sends. The letter in progress may take 30 seconds more."""
_SAMPLE_END: Final = 7  # days
SHOWN: Final = (LetterState.UNKNOWN, LetterState.SENDING, LetterState.FAILED)
"""The states that a person should look at."""


class LetterRecord(Record, frozen=True, kw_only=True):
    """A letter to an applicant."""

    id: str
    kind: str
    state: str
    repo: str
    repo_type: str
    user: str | None
    user_id: str | None
    email: Annotated[str | None, Meta(description="the account's address; null unless the letter is due")]
    made_at: Time
    tried_at: Time | None
    problem: str | None
    subject: Annotated[str | None, Meta(description="null unless the letter is due")]
    text: Annotated[str | None, Meta(description="null unless the letter is due")]
    wait_ends_at: Annotated[
        Time | None, Meta(description="when the wait ends if this reminder is sent now; null for other letters")
    ]
    counts_until: Annotated[
        Time | None,
        Meta(description="a reminder that is accepted after this time does not count; null for other letters"),
    ]


class SampleRecord(Record, frozen=True, kw_only=True):
    """A text of a kind of letter with invented values."""

    kind: str
    subject: str
    text: str


class SendResult(Struct):
    """What one call of `send_letters` did: letters by outcome, and the last problem."""

    counts: Counter[DeliveryKind] = field(default_factory=Counter)
    problem: str | None = None


def store_subscription(workspace: Workspace) -> None:
    """Store which kinds of letters hf-gate.yaml names now, with the moment."""
    letters.store_subscription(workspace.store, workspace.location.config.letters, to_ms(workspace.now()))


# ---- sending ---------------------------------------------------------------------------------------------------------


def send_letters(workspace: Workspace, channel: LetterPort | None = None) -> SendResult:
    """Send the letters that are due; nothing without a mail server, or while unattended work is stopped.

    The first letter that was not delivered ends the call, because the others would fare alike. A refused letter does not,
    but `MAX_REFUSED` in a row do: the server may refuse all. Letters that hf-gate itself drops do not count.
    Raises StoreBusy if another process is sending letters.
    """
    result = SendResult()
    if letters.has_letters(workspace.store):
        with workspace.store.hold_work_lock(Work.LETTERS):
            _send_due(workspace, channel, result)
    return result


def _send_due(workspace: Workspace, channel: LetterPort | None, result: SendResult) -> None:
    """Send the letters that are due, and add what was done to the result."""
    store, config = workspace.store, workspace.location.config.letters
    began, worker = workspace.now(), new_id("w")
    letters.tidy(store, to_ms(began))
    if not config.kinds or config.mail is None or read_stop(store) is not None:
        return
    if problem := _find_problem(workspace):
        result.problem = problem
        return
    refused = 0
    while result.counts.total() < MAX_IN_TURN and 0 <= (workspace.now() - began).total_seconds() < BUDGET_S:
        try:
            channel = channel or _open_channel(workspace)
        except HfGateError as missing:  # a secret: nothing is claimed before it is there
            result.problem = f"{missing} {missing.hint or ''}".strip()
            return
        case = letters.claim(store, config, worker, to_ms(workspace.now()))
        if case is None:
            return
        written = _write(workspace, case, worker)
        if isinstance(written, Delivery):
            done = written
        else:
            done = channel.send(case.id, written.to, written.text, workspace.now())
            refused = refused + 1 if done.kind is DeliveryKind.REFUSED else 0
        letters.settle(store, case, worker, done, to_ms(workspace.now()))
        result.counts[done.kind] += 1
        result.problem = done.problem or result.problem
        if done.kind in (DeliveryKind.FAILED, DeliveryKind.UNKNOWN) or refused >= MAX_REFUSED:
            return


class _WrittenLetter(Struct, frozen=True):
    """A letter that may be sent now."""

    to: str
    text: LetterText


def _write(workspace: Workspace, case: LetterCase, worker: str) -> _WrittenLetter | Delivery:
    """Return a letter as it is sent, or why it is not sent."""
    claimed_at = workspace.now()
    row = workspace.store.request(case.request)
    if row is None or case.email is None:
        return Delivery(DeliveryKind.REFUSED, "the request is no longer in the store")
    try:
        times = read_reminder_times(workspace, [case], {row.id: row}, claimed_at).get(case.id)
    except HfGateError:
        return Delivery(DeliveryKind.FAILED, "a policy could not be read, so the date of the reminder is not known")
    if case.kind is LetterKind.REMINDER and (times is None or times.last_at <= claimed_at):
        return Delivery(DeliveryKind.REFUSED, "the wait has ended, so a reminder no longer counts")
    config, ends_at = workspace.location.config.letters, None if times is None else times.ends_at
    text = render(case, row, config, workspace.store.endpoint, workspace.zone, claimed_at, ends_at)
    if not letters.is_claimed(workspace.store, case, worker):
        return Delivery(DeliveryKind.FAILED, "another process or a person has taken it over")
    return _WrittenLetter(case.email, text)


def _open_channel(workspace: Workspace) -> LetterPort:
    from ..notify.letter_mail import open_letter_channel

    location = workspace.location
    assert location.folder is not None, "letters are configured by a file in a folder"  # noqa: S101 - for the type checker
    assert location.config.letters.mail is not None, "there is a mail server"  # noqa: S101 - as above
    return open_letter_channel(location.config.letters.mail, location.folder)


def _find_problem(workspace: Workspace) -> str | None:
    """Return why nothing may be sent at all: the people of a local Hub are invented, their addresses may not be."""
    mail = workspace.location.config.letters.mail
    is_local = is_loopback_host(urlsplit(workspace.store.endpoint).hostname or "")
    if mail is not None and is_local and not is_loopback_host(mail.host):
        return "letters about requests at a local Hub go only to a mail server on this machine"
    return None


def mark_letters(workspace: Workspace, idents: Sequence[str], state: LetterState, actor: str) -> letters.MarkedLetters:
    """Set letters to `sent` or `due` as a person says; return those that could be set."""
    return letters.mark(workspace.store, idents, state, actor, to_ms(workspace.now()))


# ---- texts -----------------------------------------------------------------------------------------------------------


def render(
    case: LetterCase,
    row: RequestRow,
    config: LetterConfig,
    endpoint: str,
    zone: tzinfo,
    now: datetime,
    wait_ends: datetime | None = None,
) -> LetterText:
    """Return a letter as its recipient reads it, in each language of the workspace.

    `wait_ends` is when the wait of a reminder ends if the reminder is sent now.
    """
    identity = row.person.identity
    user = identity.username or ""
    values = _place(row.repo, endpoint) | {"user": user, "name": identity.fullname or user}
    if case.ends_at is not None:
        left = case.ends_at - to_ms(now)
        values |= {"days": str(ceil(left / DAY_MS)), "date": f"{from_ms(case.ends_at).astimezone(zone):%Y-%m-%d}"}
    if case.kind is LetterKind.REMINDER:
        values["date"] = "?" if wait_ends is None else f"{wait_ends.astimezone(zone):%Y-%m-%d}"
    return _fill(case.kind, config, values, config.needs.get(case.rule or "", {}))


def _place(repo: Repo, endpoint: str) -> dict[str, str]:
    return {"repo": str(repo), "link": f"{endpoint}/{repo.web_path}"}


def _fill(kind: LetterKind, config: LetterConfig, values: dict[str, str], needs: object) -> LetterText:
    parts = []
    for language in config.languages:
        own = config.texts.get(kind, {}).get(language)
        needed = needs.get(language) or next(iter(needs.values()), "") if isinstance(needs, dict) else ""
        parts.append(fill_text(own or LETTER_TEXTS[kind][language], {**values, "needed": needed}))
    return join_languages(parts)


def list_samples(workspace: Workspace) -> list[SampleRecord]:
    """Return the text of each kind that is on, with invented values; one for each rule for which something is needed."""
    config, now = workspace.location.config.letters, workspace.now()
    ends_at = from_ms(to_ms(now) + _SAMPLE_END * DAY_MS).astimezone(workspace.zone)
    values = {
        "repo": "datasets/acme/example", "link": f"{workspace.store.endpoint}/datasets/acme/example",
        "user": "ada-l", "name": "Ada Lovelace", "days": str(_SAMPLE_END), "date": f"{ends_at:%Y-%m-%d}",
    }  # fmt: skip
    found = []
    for kind in config.kinds:
        for needs in config.needs.values() if kind in OF_RULES else ({},):
            text = _fill(kind, config, values, needs)
            found.append(SampleRecord(kind=kind.value, subject=text.subject, text=text.body))
    return found


# ---- lists -----------------------------------------------------------------------------------------------------------


def list_due(workspace: Workspace, limit: int) -> list[LetterRecord]:
    """Return the letters that would be sent now, with their recipients and texts."""
    store, config, now = workspace.store, workspace.location.config.letters, workspace.now()
    cases = letters.list_due(store, config, to_ms(now), limit)
    rows = store.requests([case.request for case in cases])
    try:
        times = read_reminder_times(workspace, cases, rows, now)
    except HfGateError:
        times = {}  # policy check tells which policy cannot be read
    found = []
    for case in cases:
        if (row := rows.get(case.request)) is not None:
            own = times.get(case.id)
            ends_at = None if own is None else own.ends_at
            text = render(case, row, config, store.endpoint, workspace.zone, now, ends_at)
            found.append(
                _record(case.id, case.kind, LetterState.DUE, row, case.made_at, email=case.email, text=text, times=own)
            )
    return found


def describe_times(letter: LetterRecord, zone: tzinfo) -> str:
    """Return when the wait of a reminder that is due ends, and what that counts from; empty for other letters."""
    if letter.wait_ends_at is None or letter.counts_until is None:
        return ""
    end, last = (
        f"{datetime.fromisoformat(at).astimezone(zone):%Y-%m-%d %H:%M %Z}"
        for at in (letter.wait_ends_at, letter.counts_until)
    )
    return f"If it is sent now, the wait ends {end}, counted from this reminder. After {last} it no longer counts, and a person decides."


def list_open(workspace: Workspace, limit: int) -> list[LetterRecord]:
    """Return the letters whose outcome is unknown, and those that failed, the newest first."""
    found = letters.list_letters(workspace.store, SHOWN, limit)
    rows = workspace.store.requests([one.request for one in found])
    return [
        _record(
            one.id, one.kind, one.state, rows[one.request], one.made_at, tried_at=one.started_at, problem=one.problem
        )
        for one in found
        if one.request in rows
    ]


def _record(
    ident: str,
    kind: LetterKind,
    state: LetterState,
    row: RequestRow,
    made_at: int,
    *,
    tried_at: int | None = None,
    problem: str | None = None,
    email: str | None = None,
    text: LetterText | None = None,
    times: ReminderTimes | None = None,
) -> LetterRecord:
    identity = row.person.identity
    return LetterRecord(
        id=ident,
        kind=kind.value,
        state=state.value,
        repo=row.repo.id,
        repo_type=row.repo.type.value,
        user=identity.username,
        user_id=identity.user_id,
        email=email,
        made_at=ms_to_iso(made_at),
        tried_at=ms_to_iso(tried_at),
        problem=problem,
        subject=None if text is None else text.subject,
        text=None if text is None else text.body,
        wait_ends_at=None if times is None else to_iso(times.ends_at),
        counts_until=None if times is None else to_iso(times.last_at),
    )
