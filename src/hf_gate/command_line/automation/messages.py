"""messages: notices to the staff and letters to applicants. Lists, shows, tests and sends them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.display_text import join_words, make_visible, pluralize
from hf_gate.base.timestamps import to_iso
from hf_gate.command_line.framework import CommandEntry, LazyGroup, command
from hf_gate.command_line.output import Format
from hf_gate.command_line.text_layout import Column
from hf_gate.command_line.workspace_opening import announce_target, find_actor, open_workspace
from hf_gate.core.letters.messages import DeliveryKind
from hf_gate.core.letters.notices import NoticeEvent, NoticeItem
from hf_gate.errors import UsageError
from hf_gate.messages.records import (
    ChangedMessagesRecord,
    DestinationRecord,
    MessageRecord,
    NoticeTestRecord,
    NoticeTestsRecord,
    PreviewRecord,
    SampleRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hf_gate.command_line.framework import CommandContext
    from hf_gate.core.letters.notices import Destination
    from hf_gate.settings.service.workspace import Workspace

messages = LazyGroup(
    "messages",
    {
        "ls": CommandEntry(
            "hf_gate.command_line.automation.messages:messages_ls",
            "List messages that wait, or that a person must decide about.",
        ),
        "preview": CommandEntry(
            "hf_gate.command_line.automation.messages:messages_preview",
            "Show destinations, the text of each letter, and who would get it.",
        ),
        "test": CommandEntry("hf_gate.command_line.automation.messages:messages_test", "Send a test notice."),
        "retry": CommandEntry(
            "hf_gate.command_line.automation.messages:messages_retry",
            "Send messages again that did not arrive.",
            has_effect=True,
        ),
        "mark-sent": CommandEntry(
            "hf_gate.command_line.automation.messages:messages_mark_sent",
            "Record messages that you sent yourself.",
            has_effect=True,
        ),
    },
    help="Notices to the staff, and letters to applicants.",
)
_LISTED: Final = 10_000
_PREVIEWED: Final = 50
_NO_DESTINATION: Final = "Name one in hf-gate.yaml under `notify`; see docs/messages.md."


@command(
    "ls",
    examples=(
        "hf-gate messages ls",
        "hf-gate messages ls --json",
    ),
)
def messages_ls(context: CommandContext) -> int:
    """List messages that failed or have an unknown outcome, those that wait, and the letters that would be sent now."""
    from hf_gate.messages.service.message_records import describe_next_attempt, list_messages

    workspace = open_workspace(context, needs_folder=True)
    now = workspace.now()
    rows = list_messages(workspace, _LISTED)
    columns: Sequence[Column[MessageRecord]] = (
        Column("MESSAGE", lambda row: row.id),
        Column("STATE", lambda row: row.state),
        Column("KIND", lambda row: row.kind, is_said_once=True),
        Column("TO", _receiver, is_flexible=True, min_width=12),
        Column("SUBJECT", lambda row: row.subject or "", is_flexible=True),
        Column("NEXT ATTEMPT", lambda row: describe_next_attempt(row, now, to_iso), drop_rank=1),
        Column("PROBLEM", lambda row: row.problem or "", is_flexible=True),
    )
    context.out.records(MessageRecord, rows, columns, name=lambda row: row.id, empty="No message waits.")
    if any(row.is_dead for row in rows):
        context.out.warn(
            "messages that failed or have an unknown outcome are not sent again automatically. Send one again: "
            "hf-gate messages retry ID. Record that it arrived: hf-gate messages mark-sent ID"
        )
    return 0


def _receiver(row: MessageRecord) -> str:
    """Return to whom a message goes."""
    if row.destination is not None:
        return row.destination
    user = row.user or row.user_id or "hidden"
    return f"{user} <{row.email}>" if row.email else user


@command(
    "preview",
    examples=("hf-gate messages preview", "hf-gate messages preview --json", "hf-gate messages preview --format csv"),
)
def messages_preview(context: CommandContext) -> int:
    """Show where notices go, the text of each kind of letter that is on, and the letters that would be sent now.

    Nothing is sent. For a mail merge, --format csv and jsonl list the letters that would be sent, with recipients and
    texts. Then record which of them you sent: hf-gate messages mark-sent ID...
    """
    from hf_gate.messages.service.letters import list_samples
    from hf_gate.messages.service.message_records import list_destinations, preview_letters

    workspace = open_workspace(context, needs_folder=True)
    if context.out.format in {Format.CSV, Format.JSONL, Format.QUIET}:
        context.out.records(MessageRecord, preview_letters(workspace, _LISTED), (), name=lambda row: row.id)
        return 0
    config = workspace.location.config.letters
    destinations = list_destinations(workspace)
    samples = list_samples(workspace)
    due = preview_letters(workspace, _PREVIEWED)
    record = PreviewRecord(
        destinations=destinations,
        sends_letters=bool(config.kinds) and config.mail is not None,
        samples=samples,
        due=due,
    )
    context.out.document(record, lambda: _lines(workspace, destinations, samples, due))
    return 0


def _lines(
    workspace: Workspace,
    destinations: Sequence[DestinationRecord],
    samples: Sequence[SampleRecord],
    due: Sequence[MessageRecord],
) -> Iterator[str]:
    if not destinations:
        yield f"There is no destination. {_NO_DESTINATION}"
    for lane in destinations:
        since = f" since {lane.oldest_at}" if lane.oldest_at else ""
        state = "" if lane.is_on else ", not in hf-gate.yaml"
        yield (
            f"{lane.name} ({lane.kind or 'unknown'}{state}): {lane.waiting:,} waiting{since},"
            f" {pluralize(lane.collecting, 'line')} for the next digest, {pluralize(lane.dead, 'dead letter')}."
        )
    if not samples:
        yield "Letters are off. Name kinds in hf-gate.yaml under `letters`; see docs/messages.md."
    elif workspace.location.config.letters.mail is None:
        yield (
            "There is no mail server, so hf-gate sends no letters. For a mail merge: hf-gate messages preview "
            "--format csv"
        )
    for sample in samples:
        yield f"--- {sample.kind}, with invented values"
        yield from _text_lines(sample.subject, sample.text)
    for letter in due:
        yield f"--- {letter.id}: {letter.kind}, to {_receiver(letter)}"
        yield from _text_lines(letter.subject or "", letter.text or "")
    if samples and not due:
        yield "No letter is due."


def _text_lines(subject: str, text: str) -> Iterator[str]:
    yield f"Subject: {make_visible(subject, one_line=True)}"
    yield ""
    for line in text.splitlines():
        yield f"  {make_visible(line, one_line=True)}"
    yield ""


@command("test", examples=("hf-gate messages test", "hf-gate messages test office"))
@click.argument("names", nargs=-1, metavar="[DESTINATION]...")
def messages_test(context: CommandContext, names: tuple[str, ...]) -> int:
    """Send a test notice to every destination, or to the named ones, and show the result."""
    from hf_gate.messages.service.notifications import channel_opener, name_workspace, send_directly
    from hf_gate.workspace.service import bootstrap

    announce_target(context)
    location = context.location
    item = NoticeItem(event=NoticeEvent.UNATTENDED, facts={"state": "test"})
    results = {
        destination.name: send_directly(
            destination,
            [item],
            channel_opener(location),
            context.now(),
            hub=bootstrap.endpoint_of(context.settings),
            workspace_name=name_workspace(location),
            event="test",
        )
        for destination in _select(context, names)
    }
    rows = [
        NoticeTestRecord(destination=name, outcome=done.kind, problem=done.problem or None)
        for name, done in results.items()
    ]
    is_good = all(done.kind is DeliveryKind.DELIVERED for done in results.values())
    context.out.document(
        NoticeTestsRecord(ok=is_good, results=rows),
        lambda: [
            f"{name}: {done.kind}{f' ({done.problem})' if done.problem else ''}" for name, done in results.items()
        ],
        quiet=[name for name, done in results.items() if done.kind is not DeliveryKind.DELIVERED],
    )
    return 0 if is_good else 1


def _select(context: CommandContext, names: Sequence[str]) -> Sequence[Destination]:
    known = {destination.name: destination for destination in context.location.config.notify}
    if not known:
        raise UsageError("there is no destination.", hint=_NO_DESTINATION)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"there is no destination {unknown[0]}.", hint=f"Known destinations: {join_words(list(known), 'and')}."
        )
    return [known[name] for name in names] if names else list(known.values())


@command("retry", examples=("hf-gate messages retry --all", "hf-gate messages retry n_0123456789abcdef01234567"))
@click.argument("idents", nargs=-1, metavar="[ID]...")
@click.option("--all", "is_all", is_flag=True, help="All notices that were given up. Letters must be named.")
def messages_retry(context: CommandContext, idents: tuple[str, ...], is_all: bool) -> int:
    """Send messages again in the next turn of `run`. A letter with an unknown outcome may arrive twice."""
    from hf_gate.messages.service.message_records import retry_messages

    if is_all == bool(idents):
        raise UsageError("name the ids of messages, or write --all.", hint="hf-gate messages ls lists them.")
    with _open(context, idents) as workspace:
        done = retry_messages(workspace, None if is_all else list(idents))
    record = ChangedMessagesRecord(messages=done)
    context.out.document(record, lambda: [f"{pluralize(len(done), 'message')} queued again."], quiet=done)
    return _warn_of_others(context, idents, done, "failed, bounced or unknown")


@command(
    "mark-sent",
    examples=(
        "hf-gate messages mark-sent l_0123456789abcdef01234567",
        "hf-gate messages mark-sent l_0123456789abcdef01234567 --json",
    ),
)
@click.argument("idents", nargs=-1, required=True, metavar="ID...")
def messages_mark_sent(context: CommandContext, idents: tuple[str, ...]) -> int:
    """Record messages that you sent yourself, or that arrived although their outcome is unknown. hf-gate does not send
    them.
    """
    from hf_gate.messages.service.message_records import mark_messages_sent

    with _open(context, idents) as workspace:
        done = mark_messages_sent(workspace, idents, find_actor(context))
    record = ChangedMessagesRecord(messages=done)
    context.out.document(record, lambda: [f"{pluralize(len(done), 'message')} marked as sent."], quiet=done)
    return _warn_of_others(context, idents, done, "waiting, failed, bounced or unknown")


def _open(context: CommandContext, idents: Sequence[str]) -> Workspace:
    if len(idents) > _LISTED:
        raise UsageError(f"more than {_LISTED:,} ids.", hint="Call the command several times.")
    return open_workspace(context, needs_folder=True, writes=True, lends=True)


def _warn_of_others(context: CommandContext, idents: Sequence[str], done: Sequence[str], wanted: str) -> int:
    """Name the messages that were not changed; return the exit code."""
    left = sorted(set(idents) - set(done))
    if left:
        names = join_words(left[:5], "and")
        context.out.warn(
            f"not changed: {names}. Only messages that are {wanted}, to a destination in hf-gate.yaml, can be."
        )
    return 1 if left else 0
