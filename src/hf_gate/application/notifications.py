"""Delivers notices to the staff: closes due digests, sends what is due in order, and stores each result.

Guarantees:
1. A message is sent at least once, or ends as a dead letter that is shown.
2. A message of a destination is sent only after the ones before it were delivered or died.
3. Work ends after a bounded time, whatever the receivers do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from ..domain.display_text import make_visible
from ..domain.ids import parse_repo
from ..domain.notices import (
    ChannelKind,
    Delivery,
    DeliveryKind,
    Destination,
    LaneCount,
    MessageState,
    NamedRequest,
    NoticeEvent,
    NoticeItem,
    OutboxRow,
    OutgoingItem,
    OutgoingMessage,
    describe_item,
    subject_of,
)
from ..domain.rows import RequestRow
from ..domain.timestamps import ms_to_iso, to_iso, to_ms
from ..errors import HfGateError
from ..store import outbox
from ..store.store import Store
from ..store.write_lock import Work
from .ports import ChannelPort, ClockPort
from .workspace import Workspace, WorkspaceLocation, new_id

DRAIN_S: Final = 60.0
"""How long one call of `drain` sends. The message in progress may take 30 seconds more."""

_SETTLE_WAIT_S: Final = 60.0
_SPOKEN: Final = 700  # characters of a line
OpenChannel = Callable[[Destination], ChannelPort]


class DrainResult(Struct):
    """What one call sent. `next_at` (ms) is when the next message is due; None without any."""

    counts: dict[DeliveryKind, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)  # the last problem of each destination
    next_at: int | None = None


def store_destinations(workspace: Workspace, location: WorkspaceLocation | None = None) -> None:
    """Store which destinations hf-gate.yaml names now. `location` replaces that of the workspace."""
    config = (location or workspace.location).config
    modes = {one.name: one.modes for one in config.notify}
    digests = {one.name: one.digest_at for one in config.notify}
    after = {one.name: one.after for one in config.notify}
    outbox.store_destinations(workspace.store, modes, digests, config.timezone, to_ms(workspace.now()), after)


def queue_store_recovery(workspace: Workspace, names: Collection[str]) -> None:
    """Queue for these destinations that the store can be used again: they got the alarm past the outbox."""
    item = NoticeItem(event=NoticeEvent.FAILED_TURN, facts={"text": "the store could not be used"})
    outbox.queue_recovery(workspace.store, item, names, to_ms(workspace.now()))


def drain(
    store: Store,
    destinations: Sequence[Destination],
    open_channel: OpenChannel,
    clock: ClockPort,
    *,
    workspace_name: str | None = None,
    budget_s: float = DRAIN_S,
    should_stop: Callable[[], bool] = lambda: False,
) -> DrainResult:
    """Send what is due to these destinations, in turn, until nothing is due or the time is over.

    Raises StoreBusy if another process is sending.
    """
    result, began = DrainResult(), clock.now()
    outbox.close_digests(store, to_ms(began))
    lanes = [one for one in destinations if one.name in set(outbox.list_lanes(store))]

    def is_over() -> bool:
        return not 0 <= (clock.now() - began).total_seconds() < budget_s or should_stop()

    if lanes:
        with store.hold_work_lock(Work.NOTICES):
            _send_lanes(store, lanes, open_channel, clock, workspace_name, is_over, result)
    result.next_at = outbox.next_due(store, to_ms(clock.now()))
    return result


def _send_lanes(
    store: Store,
    lanes: Sequence[Destination],
    open_channel: OpenChannel,
    clock: ClockPort,
    workspace_name: str | None,
    is_over: Callable[[], bool],
    result: DrainResult,
) -> None:
    """Send one message of each destination in turn, and add what was done to the result."""
    worker, left = new_id("w"), list(lanes)
    channels: dict[str, ChannelPort | Delivery] = {}
    while left:
        for one in list(left):
            if is_over():
                return
            row = outbox.claim(store, one.name, worker, to_ms(clock.now()))
            if row is None:
                left.remove(one)
                continue
            if one.name not in channels:
                channels[one.name] = _open(open_channel, one)
            message = render(store, row, one, workspace_name)
            if not outbox.is_claimed(store, row, worker):  # another process sends it
                return
            done = _send(channels[one.name], message, clock.now(), row.accepted)
            with store.hold_write_lock(_SETTLE_WAIT_S):  # without a result, the message would be sent again
                outbox.settle(store, row, worker, done, to_ms(clock.now()))
            result.counts[done.kind] = result.counts.get(done.kind, 0) + 1
            if done.problem:
                result.problems[one.name] = done.problem


def drain_workspace(
    workspace: Workspace,
    location: WorkspaceLocation | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> DrainResult:
    """Send what is due to the destinations of a workspace. `location` replaces that of the workspace."""
    location = location or workspace.location
    return drain(
        workspace.store,
        location.config.notify,
        channel_opener(location),
        workspace.clock,
        workspace_name=name_of(location),
        should_stop=should_stop,
    )


def name_of(location: WorkspaceLocation) -> str | None:
    """Return how messages name a workspace."""
    return None if location.folder is None else make_visible(location.folder.name, one_line=True)


def channel_opener(location: WorkspaceLocation) -> OpenChannel:
    """Return the function that opens the channels of a workspace."""
    from ..notify.channels import open_channel

    folder = location.folder
    assert folder is not None, "destinations are named by a file in a folder"  # noqa: S101 - for the type checker
    return lambda destination: open_channel(destination, folder)


def list_lanes(workspace: Workspace) -> list[tuple[Destination | str, LaneCount]]:
    """Return each destination with its numbers; only the name if hf-gate.yaml does not name it."""
    known = {one.name: one for one in workspace.location.config.notify}
    counts = {count.destination: count for count in outbox.count_lanes(workspace.store)}
    empty = {name: LaneCount(name, 0, None, 0, 0) for name in known}
    return [(known.get(name, name), count) for name, count in sorted({**empty, **counts}.items())]


def list_messages(store: Store, limit: int, now: int) -> list[tuple[OutboxRow, int | None]]:
    """Return the messages that died or wait, dead ones first, each with its next attempt (ms); None if it has none yet."""
    dead = outbox.read_messages(store, [MessageState.DEAD], limit)
    waiting = outbox.read_messages(store, [MessageState.WAITING, MessageState.SENDING], limit)
    due = outbox.next_attempts(store, now)
    return [(row, due.get(row.id)) for row in [*dead, *waiting][:limit]]


def requeue(workspace: Workspace, idents: Sequence[str] | None, now: int) -> list[str]:
    """Queue dead letters again; None means all. Return the ids of those that hf-gate.yaml has a destination for."""
    return outbox.requeue(workspace.store, idents, now, {one.name for one in workspace.location.config.notify})


def _open(open_channel: OpenChannel, destination: Destination) -> ChannelPort | Delivery:
    try:
        return open_channel(destination)
    except HfGateError as problem:  # a missing secret, for example: the message waits until it is there
        return Delivery(DeliveryKind.FAILED, f"{problem} {problem.hint or ''}".strip())


def _send(channel: ChannelPort | Delivery, message: OutgoingMessage, at: datetime, accepted: Sequence[str]) -> Delivery:
    return channel if isinstance(channel, Delivery) else channel.send(message, at, accepted)


def send_directly(
    destination: Destination,
    items: Sequence[NoticeItem],
    open_channel: OpenChannel,
    now: datetime,
    *,
    hub: str,
    workspace_name: str | None = None,
    event: str | None = None,
) -> Delivery:
    """Send items past the outbox: a test, or an alarm while the store cannot be written."""
    message = _build_message(new_id("n"), 0, items, None, hub, to_iso(now), workspace_name)
    if event is not None:
        message = replace(message, event=event)
    return _send(_open(open_channel, destination), message, now, ())


# ---- messages ----------------------------------------------------------------------------------------------------------


def render(store: Store, row: OutboxRow, destination: Destination, workspace_name: str | None) -> OutgoingMessage:
    """Return a stored message as receivers see it. Names are read only for destinations that may have them."""
    named = None
    if destination.has_personal:
        rows = store.requests([number for item in row.items for number in item.requests])
        named = {ident: _name_request(found) for ident, found in rows.items()}
    made_at = ms_to_iso(row.made_at)
    return _build_message(row.id, row.sequence, row.items, named, store.endpoint, made_at, workspace_name)


def _name_request(row: RequestRow) -> NamedRequest:
    who = row.person.identity
    return NamedRequest(user=None if who.username is None else _clean(who.username)[:100], user_id=who.user_id)


def _build_message(
    ident: str,
    sequence: int,
    items: Sequence[NoticeItem],
    named: Mapping[int, NamedRequest] | None,
    hub: str,
    made_at: str,
    workspace_name: str | None,
) -> OutgoingMessage:
    kinds = dict.fromkeys(item.event.value for item in items)
    return OutgoingMessage(
        schema_version=1,
        id=ident,
        sequence=sequence,
        event=next(iter(kinds)) if len(kinds) == 1 else "digest",
        is_alarm=any(item.event.is_alarm for item in items),
        made_at=made_at,
        hub=hub,
        workspace=workspace_name,
        subject=subject_of(items),
        items=tuple(_build_item(item, named) for item in items),
    )


def _build_item(item: NoticeItem, named: Mapping[int, NamedRequest] | None) -> OutgoingItem:
    """Return a line of a message. `named` are requests by number; None if the receiver may have no names."""
    repo = None if item.repo is None else parse_repo(item.repo)
    erased = NamedRequest(user=None, user_id=None)
    return OutgoingItem(
        event=item.event,
        text=_clean(describe_item(item))[:_SPOKEN],
        repo=None if repo is None else repo.id,
        repo_type=None if repo is None else repo.type.value,
        count=item.count,
        facts={key: _clean(value)[:_SPOKEN] if isinstance(value, str) else value for key, value in item.facts.items()},
        requests=tuple(named.get(one, erased) for one in item.requests)
        if named is not None and item.requests
        else None,
    )


def _clean(text: str) -> str:
    return make_visible(text, one_line=True)


def describe_place(destination: Destination) -> str:
    """Return where a destination is, without secrets."""
    if destination.kind is ChannelKind.SMTP and destination.mail is not None:
        return f"{', '.join(destination.mail.to)} by {destination.mail.host}:{destination.mail.port}"
    return destination.address or ""
