"""Writes notices to the staff as receivers see them, and stores which destinations get them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final

from msgspec.structs import replace

from hf_gate.base.display_text import make_visible
from hf_gate.base.environment import require_writes
from hf_gate.base.ids import parse_repo
from hf_gate.base.timestamps import ms_to_iso, to_iso, to_ms
from hf_gate.core.events.entry_records import event_record
from hf_gate.core.letters.messages import Delivery, DeliveryKind, OutboxRow
from hf_gate.core.letters.notices import (
    ChannelKind,
    Condition,
    Destination,
    NamedRequest,
    NoticeEvent,
    NoticeItem,
    OutgoingItem,
    OutgoingMessage,
    describe_item,
    subject_of,
)
from hf_gate.core.ports import ChannelPort
from hf_gate.core.stored_rows import RequestRow, TimelineFilter
from hf_gate.errors import HfGateError
from hf_gate.messages.rows import notices
from hf_gate.settings.service.workspace import Workspace, WorkspaceLocation, new_id
from hf_gate.store.rows.event_feed import make_cursor, read_events
from hf_gate.store.rows.processes import find_leader
from hf_gate.store.store import Store

_SPOKEN: Final = 700  # characters of a line
OpenChannel = Callable[[Destination], ChannelPort]


def store_destinations(workspace: Workspace, location: WorkspaceLocation | None = None) -> bool:
    """Store which destinations hf-gate.yaml names now. `location` replaces that of the workspace.

    While a loop leads, only that loop does it: the file of another machine may be older. Return whether it was done.
    """
    if not workspace.store.is_leader and find_leader(workspace.store) is not None:
        return False
    config = (location or workspace.location).config
    modes = {one.name: one.modes for one in config.notify}
    digests = {one.name: one.digest_at for one in config.notify}
    after = {one.name: one.after for one in config.notify}
    notices.write_destinations(workspace.store, modes, digests, config.timezone, to_ms(workspace.now()), after)
    return True


def queue_store_recovery(workspace: Workspace, told: Mapping[str, int]) -> None:
    """Queue that the store can be used again for the destinations that were told, at these times, past the outbox."""
    item = NoticeItem(event=NoticeEvent.FAILED_TURN, facts={"text": "the store could not be used"})
    notices.queue_recovery(workspace.store, item, told, to_ms(workspace.now()))


def report_token(store: Store, problem: str | None, at: int) -> None:
    """Store whether this desk cannot use its token, and queue what receivers must know."""
    facts = {"text": f"The desk can send nothing: {problem}", "hint": "Replace the token of the desk."}
    current = [] if problem is None else [Condition("token", NoticeItem(event=NoticeEvent.TOKEN, facts=facts))]
    with store.writing(is_short=True) as write:
        notices.compare_conditions(write, [NoticeEvent.TOKEN], current, at, by="desk")


def name_workspace(location: WorkspaceLocation) -> str | None:
    """Return how messages name a workspace."""
    return None if location.folder is None else make_visible(location.folder.name, one_line=True)


def channel_opener(location: WorkspaceLocation) -> OpenChannel:
    """Return the function that opens the channels of a workspace."""
    from hf_gate.messages.channels.channels import open_channel

    folder = location.folder
    assert folder is not None, "destinations are named by a file in a folder"  # noqa: S101 - for the type checker
    return lambda destination: open_channel(destination, folder)


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
    require_writes("the notice", "sent")
    message = _build_message(new_id("n"), 0, items, None, hub, to_iso(now), workspace_name)
    if event is not None:
        message = replace(message, event=event)
    try:
        channel = open_channel(destination)
    except HfGateError as problem:
        return describe_missing_channel(problem)
    return channel.send(message, now, ())


def describe_missing_channel(problem: HfGateError) -> Delivery:
    """Return the result of an attempt without a channel: a missing secret, for example.

    The message waits until it is there.
    """
    return Delivery(DeliveryKind.FAILED, f"{problem} {problem.hint or ''}".strip())


# ---- messages --------------------------------------------------------------------------------------------------------


def render_notice(
    store: Store, row: OutboxRow, destination: Destination, zone: tzinfo, workspace_name: str | None
) -> OutgoingMessage:
    """Return a stored message as receivers see it, with ends of access as days in `zone`.

    Names are read only for destinations that may have them.
    """
    named = None
    if destination.has_personal:
        rows = store.requests([number for item in row.items for number in item.requests])
        named = {ident: _name_request(found) for ident, found in rows.items()}
    made_at = ms_to_iso(row.made_at)
    message = _build_message(row.id, row.sequence or 0, row.items, named, store.endpoint, made_at, workspace_name)
    followed = next((item for item in row.items if item.event is NoticeEvent.AUDIT_LOG), None)
    return message if followed is None else _add_events(store, message, followed, zone)


def _add_events(store: Store, message: OutgoingMessage, item: NoticeItem, zone: tzinfo) -> OutgoingMessage:
    """Add the entries of the ledger that an item counts, with the cursors before and after them."""
    after = make_cursor(store, int(item.facts["after"]))
    page = read_events(store, after, item.count, TimelineFilter())
    assert page is not None, "the cursor was made from the same ledger"  # noqa: S101 - for the type checker
    events = tuple(event_record(*entry, zone) for entry in page.entries)
    return replace(message, after=after, next=page.next, events=events)


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
        requests=tuple(named.get(number, erased) for number in item.requests)
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
