"""Lists the messages of the outbox for commands, the desk and `status`: what waits, what failed, and what a person must
do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import format_span, ms_to_iso, to_ms
from hf_gate.core.letters.letters import LetterText
from hf_gate.core.letters.messages import APPLICANTS, DEAD, OPEN, PATIENCE_MS, LaneCount, MessageState, OutboxRow
from hf_gate.core.letters.notices import Destination, describe_item, subject_of
from hf_gate.core.stored_rows import RequestRow
from hf_gate.messages.records import DestinationRecord, MessageRecord
from hf_gate.messages.rows import letters, outbox
from hf_gate.settings.service.workspace import Workspace

from .letters import render_letter
from .notifications import describe_place

_NEVER_TRIED: Final = "hf-gate run did not send it"
_LIST: Final = "hf-gate messages ls"
_CUT: Final = 200  # characters of a problem


# ---- messages --------------------------------------------------------------------------------------------------------


def list_messages(workspace: Workspace, limit: int, *, is_letter: bool | None = None) -> list[MessageRecord]:
    """Return dead messages, then open notices, then the letters that would be sent now; only of one sort if that is
    said.
    """
    store = workspace.store
    rows = outbox.read_messages(store, DEAD, limit, letters=is_letter)
    if is_letter is not False:
        rows += outbox.read_messages(store, [MessageState.SENDING], limit, letters=True)
    if is_letter is not True:
        rows += outbox.read_messages(store, OPEN, limit, letters=False)
    requests = store.requests([row.request_id for row in rows if row.request_id is not None])
    attempts = outbox.next_attempts(store, to_ms(workspace.now()))
    records = [_record(row, requests.get(row.request_id or 0), next_at=attempts.get(row.id)) for row in rows]
    return [*records, *(preview_letters(workspace, limit) if is_letter is not False else ())][:limit]


def preview_letters(workspace: Workspace, limit: int) -> list[MessageRecord]:
    """Return the letters that would be sent now, with their recipients and texts."""
    store = workspace.store
    config = workspace.location.config.letters
    now = workspace.now()
    cases = letters.list_next_letters(store, config, to_ms(now), limit)
    rows = store.requests([case.request for case in cases])
    records = []
    for case in cases:
        row = rows[case.request]
        text = render_letter(case, row, config, store.endpoint, workspace.zone, now)
        records.append(_record(case.letter, row, next_at=case.letter.next_at, email=case.email, letter=text))
    return records


def _record(
    message: OutboxRow,
    request: RequestRow | None,
    *,
    next_at: int | None,
    email: str | None = None,
    letter: LetterText | None = None,
) -> MessageRecord:
    """Return the record of a message. `request`, `email` and `letter` are those of a letter."""
    identity = None if request is None else request.person.identity
    notice = (
        None
        if message.is_letter
        else LetterText(subject_of(message.items), "\n".join(map(describe_item, message.items)))
    )
    text = letter or notice
    return MessageRecord(
        id=message.id,
        kind=message.kind,
        state=message.state.value,
        destination=message.destination or None,
        sequence=message.sequence,
        is_alarm=message.is_alarm,
        repo=None if request is None else request.repo.id,
        repo_type=None if request is None else request.repo.type.value,
        user=None if identity is None else identity.username,
        user_id=None if identity is None else identity.user_id,
        email=email,
        subject=None if text is None else text.subject,
        text=None if text is None else text.body,
        made_at=ms_to_iso(message.made_at),
        attempts=message.attempts,
        tried_at=ms_to_iso(message.tried_at),
        next_at=ms_to_iso(next_at),
        outcome=None if message.outcome is None else message.outcome.value,
        problem=message.problem,
    )


def describe_next_attempt(message: MessageRecord, now: datetime, format_moment: Callable[[datetime], str]) -> str:
    """Return when an undelivered message is tried next; empty for a dead one."""
    if message.is_dead:
        return ""
    if message.next_at is None:
        return "after the previous message"
    moment = datetime.fromisoformat(message.next_at)
    return "at the next turn" if moment <= now else format_moment(moment)


# ---- people's decisions ----------------------------------------------------------------------------------------------


def retry_messages(workspace: Workspace, idents: Sequence[str] | None) -> list[str]:
    """Let dead messages wait again; None means all notices. Return the ids of those that can be sent."""
    return outbox.requeue_messages(workspace.store, idents, to_ms(workspace.now()), _receivers(workspace))


def mark_messages_sent(workspace: Workspace, idents: Sequence[str], actor: str) -> list[str]:
    """Store that a person sent messages, or knows that they arrived. Return the ids of those that were changed."""
    return outbox.mark_sent(workspace.store, idents, actor, to_ms(workspace.now()), _receivers(workspace))


def _receivers(workspace: Workspace) -> set[str]:
    return {APPLICANTS, *(destination.name for destination in workspace.location.config.notify)}


# ---- destinations ----------------------------------------------------------------------------------------------------


def list_destinations(workspace: Workspace) -> list[DestinationRecord]:
    """Return the destinations of notices with their numbers, also those that hf-gate.yaml does not name any more."""
    return [record for record in _list_receivers(workspace) if record.name is not None]


def list_undelivered(workspace: Workspace) -> list[DestinationRecord]:
    """Return the destinations of hf-gate.yaml where something did not arrive; the letters to applicants last."""
    records = [record for record in _list_receivers(workspace) if record.is_on and (record.late or record.dead)]
    return sorted(records, key=lambda record: record.name is None)


def _list_receivers(workspace: Workspace) -> list[DestinationRecord]:
    config = workspace.location.config
    named = {destination.name: destination for destination in config.notify}
    counts = {count.destination: count for count in outbox.count_lanes(workspace.store, to_ms(workspace.now()))}
    lanes = {name: LaneCount(name) for name in named} | counts
    sends_letters = bool(config.letters.kinds) and config.letters.mail is not None
    return [
        _destination_record(count, named.get(name), is_on=sends_letters if name == APPLICANTS else name in named)
        for name, count in sorted(lanes.items())
    ]


def _destination_record(count: LaneCount, known: Destination | None, *, is_on: bool) -> DestinationRecord:
    return DestinationRecord(
        name=count.destination or None,
        is_on=is_on,
        kind=None if known is None else known.kind.value,
        place=None if known is None else describe_place(known),
        waiting=count.waiting,
        oldest_at=ms_to_iso(count.oldest_at),
        late=count.late,
        late_since=ms_to_iso(count.late_since),
        problem=None if count.problem is None else count.problem[:_CUT],
        collecting=count.collecting,
        dead=count.dead,
    )


def describe_undelivered(record: DestinationRecord, now: datetime) -> tuple[str, bool]:
    """Return what waits and what a person must send again, and whether it is stuck.

    What waits is stuck after `PATIENCE_MS`. What ended is stuck until a person sends it again, or says that it is not
    needed: time alone solves nothing.
    """
    clauses = list[str]()
    is_stuck = bool(record.dead)
    is_letter = record.name is None
    receiver = "to applicants" if is_letter else f"to {record.name}"
    word = "letter" if is_letter else "notice"
    if record.late:
        waited = timedelta() if record.late_since is None else now - datetime.fromisoformat(record.late_since)
        verb = "waits" if record.late == 1 else "wait"
        problem = record.problem or _NEVER_TRIED
        clauses.append(
            f"{pluralize(record.late, word)} {receiver} {verb}, the oldest for {format_span(waited)}: {problem}"
        )
        is_stuck = is_stuck or waited > timedelta(milliseconds=PATIENCE_MS)
    if record.dead:
        has, was = ("has", "was") if record.dead == 1 else ("have", "were")
        end = f"failed or {has} an unknown outcome" if is_letter else f"{was} given up"
        clauses.append(f"{pluralize(record.dead, word)} {receiver} {end}")
    return f"{'. '.join(clauses)}. List: {_LIST}", is_stuck
