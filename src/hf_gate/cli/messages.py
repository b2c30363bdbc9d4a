"""messages: notices to the staff and letters to applicants: list, preview and test them, and send them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ..domain.display_text import join_words, make_visible, pluralize
from ..domain.letters import LetterState
from ..domain.notices import DeliveryKind, MessageState, NoticeEvent, NoticeItem
from ..domain.timestamps import to_iso, to_ms
from ..errors import UsageError
from .framework import CommandEntry, GateGroup, command
from .output import Format
from .workspace import actor_of, announce, open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, tzinfo

    from ..application.letters import LetterRecord, SampleRecord
    from ..application.notice_records import DestinationRecord, MessageRecord
    from ..domain.notices import Destination
    from .framework import Run

messages = GateGroup(
    "messages",
    {
        "ls": CommandEntry("messages:ls", "List destinations, and messages that were not delivered."),
        "preview": CommandEntry("messages:preview", "Show the text of each letter, and who would get it."),
        "test": CommandEntry("messages:send_tests", "Send a test message to destinations of notices."),
        "retry": CommandEntry("messages:retry", "Send messages again that were not delivered.", has_effect=True),
        "mark-sent": CommandEntry("messages:mark_sent", "Record letters that you sent yourself.", has_effect=True),
    },
    help="Notices to the staff, and letters to applicants.",
)
_LISTED: Final = 200  # the most messages of a list
_MERGED: Final = 10_000  # the most letters of a mail merge, and of one command
_PREVIEWED: Final = 50
_NO_DESTINATION: Final = "Name one in hf-gate.yaml under `notify`; see docs/notices.md."
_REMINDED: Final = "This includes {}: `at_most` counts from now, unless the wait has already ended."


@command("ls", examples=("hf-gate messages ls", "hf-gate messages ls --json"))
def ls(run: Run) -> int:
    """List the destinations of notices with what waits there, dead letters, and letters that failed or may have arrived."""
    from ..application.letters import list_open
    from ..application.notice_records import destination_record, message_record
    from ..application.notifications import list_lanes, list_messages

    workspace = open_workspace(run, needs_folder=True)
    lanes = [destination_record(one, count) for one, count in list_lanes(workspace)]
    now = workspace.now()
    notices = [message_record(*each) for each in list_messages(workspace.store, _LISTED, to_ms(now))]
    letters = list_open(workspace, _LISTED)
    undelivered = [one.id for one in notices if one.state == MessageState.DEAD] + [one.id for one in letters]
    run.out.document(
        {"destinations": lanes, "messages": notices, "letters": letters},
        lambda: (*_notice_lines(lanes, notices, now), *_problem_lines(letters)),
        quiet=undelivered,
    )
    return 0


def _notice_lines(lanes: Sequence[DestinationRecord], notices: Sequence[MessageRecord], now: datetime) -> Iterator[str]:
    from ..application.notice_records import describe_next_attempt

    if not lanes:
        yield f"There is no destination. {_NO_DESTINATION}"
    for lane in lanes:
        since = f" since {lane.oldest_at}" if lane.oldest_at else ""
        state = "" if lane.is_on else ", not in hf-gate.yaml"
        yield (
            f"{lane.name} ({lane.kind or 'unknown'}{state}): {lane.waiting:,} waiting{since},"
            f" {pluralize(lane.collecting, 'line')} for the next digest, {pluralize(lane.dead, 'dead letter')}."
        )
    for one in notices:
        why = f": {one.problem}" if one.problem else ""
        attempt = describe_next_attempt(one, now, to_iso)
        then = f"; next attempt {attempt}" if attempt else ""
        yield f"  {one.id}  {one.state:8} {one.destination}  {one.made_at}  {one.subject}{why}{then}"
    if any(one.state == MessageState.DEAD for one in notices):
        yield "To send dead letters again: hf-gate messages retry --all, or name their ids."


def _problem_lines(letters: Sequence[LetterRecord]) -> Iterator[str]:
    for letter in letters:
        why = f": {letter.problem}" if letter.problem else ""
        yield f"{letter.id}  {letter.state}  {letter.kind}  {letter.user or letter.user_id}  {letter.tried_at}{why}"
    if letters:
        yield "None of these is sent again automatically: hf-gate messages retry ID, or hf-gate messages mark-sent ID"


@command(
    "preview",
    examples=("hf-gate messages preview", "hf-gate messages preview --json", "hf-gate messages preview --format csv"),
)
def preview(run: Run) -> int:
    """Show the text of each kind that is on, the letters that would be sent now, and those with an unknown outcome.

    Nothing is sent. For a mail merge, --format csv and jsonl list the letters that would be sent, with recipients and
    texts. Then record which of them you sent: hf-gate messages mark-sent ID...
    """
    from ..application.letters import LetterRecord, list_due, list_open, list_samples

    workspace = open_workspace(run, needs_folder=True)
    if run.out.format in {Format.CSV, Format.JSONL, Format.QUIET}:
        run.out.records(LetterRecord, list_due(workspace, _MERGED), (), name=lambda row: row.id)
        return 0
    config = workspace.location.config.letters
    samples = list_samples(workspace)
    due, problems = list_due(workspace, _PREVIEWED), list_open(workspace, _PREVIEWED)
    document = {
        "sends": bool(config.kinds) and config.mail is not None,
        "samples": samples,
        "due": due,
        "problems": problems,
    }
    run.out.document(
        document,
        lambda: _letter_lines(samples, due, problems, workspace.zone, has_server=config.mail is not None),
    )
    return 0


def _letter_lines(
    samples: Sequence[SampleRecord],
    due: Sequence[LetterRecord],
    problems: Sequence[LetterRecord],
    zone: tzinfo,
    *,
    has_server: bool,
) -> Iterator[str]:
    from ..application.letters import describe_times

    if not samples:
        yield "Letters are off. Name kinds in hf-gate.yaml under `letters`; see docs/letters.md."
    elif not has_server:
        yield "There is no mail server, so hf-gate sends nothing. For a mail merge: hf-gate messages preview --format csv"
    for one in samples:
        yield f"--- {one.kind}, with invented values"
        yield from _text_lines(one.subject, one.text)
    for letter in due:
        yield f"--- {letter.id}: {letter.kind}, to {letter.user or letter.user_id} <{letter.email}>"
        yield from _text_lines(letter.subject or "", letter.text or "")
        if times := describe_times(letter, zone):
            yield f"  {times}"
            yield ""
    if samples and not due:
        yield "No letter is due."
    yield from _problem_lines(problems)


def _text_lines(subject: str, text: str) -> Iterator[str]:
    yield f"Subject: {make_visible(subject, one_line=True)}"
    yield ""
    for line in text.splitlines():
        yield f"  {make_visible(line, one_line=True)}"
    yield ""


@command("test", examples=("hf-gate messages test", "hf-gate messages test office"))
@click.argument("names", nargs=-1, metavar="[DESTINATION]...")
def send_tests(run: Run, names: tuple[str, ...]) -> int:
    """Send a test message to every destination, or to the named ones, and show the result."""
    from .. import bootstrap
    from ..application.notifications import channel_opener, name_of, send_directly

    announce(run)
    found = _select(run, names)
    location, item = run.location, NoticeItem(event=NoticeEvent.UNATTENDED, facts={"state": "test"})
    results = {
        one.name: send_directly(
            one,
            [item],
            channel_opener(location),
            run.now(),
            hub=bootstrap.endpoint_of(run.settings),
            workspace_name=name_of(location),
            event="test",
        )
        for one in found
    }
    rows = [
        {"destination": name, "outcome": done.kind, "problem": done.problem or None} for name, done in results.items()
    ]
    is_good = all(done.kind is DeliveryKind.DELIVERED for done in results.values())
    run.out.document(
        {"ok": is_good, "results": rows},
        lambda: [
            f"{name}: {done.kind}{f' ({done.problem})' if done.problem else ''}" for name, done in results.items()
        ],
        quiet=[name for name, done in results.items() if done.kind is not DeliveryKind.DELIVERED],
    )
    return 0 if is_good else 1


def _select(run: Run, names: Sequence[str]) -> Sequence[Destination]:
    known = {one.name: one for one in run.location.config.notify}
    if not known:
        raise UsageError("there is no destination.", hint=_NO_DESTINATION)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"there is no destination {unknown[0]}.", hint=f"Known destinations: {join_words(list(known), 'and')}."
        )
    return [known[name] for name in names] if names else list(known.values())


@command(
    "retry",
    examples=(
        "hf-gate messages retry --all",
        "hf-gate messages retry n_0123456789abcdef01234567 l_0123456789abcdef01234567",
    ),
)
@click.argument("idents", nargs=-1, metavar="[ID]...")
@click.option("--all", "is_all", is_flag=True, help="All dead letters of notices.")
def retry(run: Run, idents: tuple[str, ...], is_all: bool) -> int:
    """Put messages back into the queue; the next turn of `run` sends them, or an open desk.

    A letter to an applicant whose outcome is unknown may arrive twice, so --all does not include letters.
    """
    from ..application.letters import mark_letters
    from ..application.notifications import requeue

    if is_all == bool(idents):
        raise UsageError("name the ids of messages, or write --all.", hint="hf-gate messages ls lists them.")
    _check_count(idents)
    with open_workspace(run, needs_folder=True, writes=True, lends=True) as workspace:
        done = requeue(workspace, None if is_all else list(idents), to_ms(workspace.now()))
        if others := [ident for ident in idents if ident not in done]:
            done += mark_letters(workspace, others, LetterState.DUE, actor_of(run)).ids
    if left := sorted(set(idents) - set(done)):
        run.out.warn(
            f"not queued: {join_words(left[:5], 'and')}. Only messages that failed, died or have an unknown outcome can"
            " be sent again, and notices only to a destination in hf-gate.yaml."
        )
    run.out.document({"queued": done}, lambda: [f"{pluralize(len(done), 'message')} queued again."], quiet=done)
    return 1 if left else 0


@command(
    "mark-sent",
    examples=(
        "hf-gate messages mark-sent l_0123456789abcdef01234567",
        "hf-gate messages mark-sent l_0123456789abcdef01234567 --json",
    ),
)
@click.argument("idents", nargs=-1, required=True, metavar="ID...")
def mark_sent(run: Run, idents: tuple[str, ...]) -> int:
    """Record letters that you sent yourself, or that arrived although their outcome is unknown. hf-gate does not send them.

    A wait counts from the moment when you mark its reminder as sent.
    """
    from ..application.letters import mark_letters

    _check_count(idents)
    with open_workspace(run, needs_folder=True, writes=True, lends=True) as workspace:
        done = mark_letters(workspace, idents, LetterState.SENT, actor_of(run))
    if left := sorted(set(idents) - set(done.ids)):
        run.out.warn(
            f"not marked: {join_words(left[:5], 'and')}. Only letters that are due, unknown or failed can be marked."
        )
    run.out.document(
        {"letters": done.ids, "reminders": done.reminders},
        lambda: [
            f"{pluralize(len(done.ids), 'letter')} marked as sent.",
            *([_REMINDED.format(pluralize(done.reminders, "reminder"))] if done.reminders else []),
        ],
        quiet=done.ids,
    )
    return 1 if left else 0


def _check_count(idents: Sequence[str]) -> None:
    if len(idents) > _MERGED:
        raise UsageError(f"more than {_MERGED:,} ids.", hint="Call the command several times.")
