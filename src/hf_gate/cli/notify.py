"""notify: try the destinations of notices, list what waits or died, and send dead letters again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ..domain.display_text import join_words, pluralize
from ..domain.notices import DeliveryKind, MessageState, NoticeEvent, NoticeItem
from ..domain.timestamps import to_iso, to_ms
from ..errors import UsageError
from .framework import CommandEntry, GateGroup, command
from .workspace import announce, open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ..application.notice_records import DestinationRecord, MessageRecord
    from ..domain.notices import Destination
    from .framework import Run

notify = GateGroup(
    "notify",
    {
        "test": CommandEntry("notify:notify_test", "Send a test message."),
        "ls": CommandEntry("notify:notify_ls", "List destinations and undelivered messages."),
        "retry": CommandEntry("notify:notify_retry", "Send dead letters again.", has_effect=True),
    },
    help="Notices to the staff.",
)
_LISTED: Final = 200
_NO_DESTINATION: Final = "Name one in hf-gate.yaml under `notify`; see docs/notices.md."


@command("test", examples=("hf-gate notify test", "hf-gate notify test office"))
@click.argument("names", nargs=-1, metavar="[DESTINATION]...")
def notify_test(run: Run, names: tuple[str, ...]) -> int:
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


@command("ls", examples=("hf-gate notify ls", "hf-gate notify ls --json"))
def notify_ls(run: Run) -> int:
    """List the destinations with their messages: how many wait, since when, when the next is tried, and the dead letters."""
    from ..application.notice_records import destination_record, message_record
    from ..application.notifications import list_lanes, list_messages

    workspace = open_workspace(run, needs_folder=True)
    lanes = [destination_record(one, count) for one, count in list_lanes(workspace)]
    now = workspace.now()
    messages = [message_record(*each) for each in list_messages(workspace.store, _LISTED, to_ms(now))]
    document = {"destinations": lanes, "messages": messages}
    dead = [one.id for one in messages if one.state == "dead"]
    run.out.document(document, lambda: _lines(lanes, messages, now), quiet=dead)
    return 0


def _lines(lanes: Sequence[DestinationRecord], messages: Sequence[MessageRecord], now: datetime) -> Iterator[str]:
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
    for one in messages:
        why = f": {one.problem}" if one.problem else ""
        attempt = describe_next_attempt(one, now, to_iso)
        then = f"; next attempt {attempt}" if attempt else ""
        yield f"  {one.id}  {one.state:8} {one.destination}  {one.made_at}  {one.subject}{why}{then}"
    if any(one.state == MessageState.DEAD for one in messages):
        yield "To send dead letters again: hf-gate notify retry --all, or name their ids."


@command("retry", examples=("hf-gate notify retry --all", "hf-gate notify retry n_0123456789abcdef01234567"))
@click.argument("idents", nargs=-1, metavar="[ID]...")
@click.option("--all", "is_all", is_flag=True, help="All dead letters.")
def notify_retry(run: Run, idents: tuple[str, ...], is_all: bool) -> int:
    """Put dead letters back into the queue; the next turn of `run` or an open desk sends them."""
    from ..application.notifications import requeue

    if is_all == bool(idents):
        raise UsageError("name the ids of dead letters, or write --all.", hint="hf-gate notify ls lists them.")
    with open_workspace(run, needs_folder=True, writes=True, lends=True) as workspace:
        done = requeue(workspace, None if is_all else list(idents), to_ms(workspace.now()))
    if left := sorted(set(idents) - set(done)):
        run.out.warn(f"not queued: {join_words(left, 'and')}. No destination in hf-gate.yaml has such a dead letter.")
    run.out.document(
        {"queued": done},
        lambda: [f"{pluralize(len(done), 'message')} queued again."],
        quiet=done,
    )
    return 1 if left else 0


def _select(run: Run, names: Sequence[str]) -> Sequence[Destination]:
    known = {one.name: one for one in run.location.config.notify}
    if not known:
        raise UsageError("there is no destination.", hint=_NO_DESTINATION)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"there is no destination {unknown[0]}.", hint=f"Known destinations: {join_words(list(known), 'and')}."
        )
    return [known[name] for name in names] if names else list(known.values())
