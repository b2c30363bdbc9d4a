"""Sends what the outbox has: notices to the staff, and letters to applicants.

`core/letters/messages.py` says what may happen to a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final, Protocol
from urllib.parse import urlsplit

from msgspec import Struct, field

from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.base.timestamps import to_ms
from hf_gate.core.letters.letters import LetterCase
from hf_gate.core.letters.messages import APPLICANTS, Delivery, DeliveryKind, OutboxRow
from hf_gate.core.letters.notices import Destination
from hf_gate.core.ports import ChannelPort, ClockPort, LetterPort
from hf_gate.core.stored_rows import RequestRow
from hf_gate.errors import HfGateError
from hf_gate.messages.rows import letters, outbox
from hf_gate.messages.rows.notices import close_digests
from hf_gate.settings.service.unattended_stop import read_stop
from hf_gate.settings.service.workspace import Workspace, WorkspaceLocation, new_id
from hf_gate.store.store import Store
from hf_gate.store.write_lock import Work

from .letters import render_letter
from .notifications import OpenChannel, channel_opener, describe_missing_channel, name_workspace, render_notice

DRAIN_S: Final = 60.0
"""How long one call of `drain` sends. The message in progress may take 30 seconds more."""
MAX_LETTERS: Final = 100
"""How many letters one call sends."""
MAX_REFUSED: Final = 5
"""After so many refused messages in a row, a receiver may refuse all, and gets no more in this call."""

_SETTLE_WAIT_S: Final = 60.0
_BATCH: Final = 100  # letters that are read at once
Send = Callable[[], Delivery]


class DrainResult(Struct):
    """What one call sent. `next_at` (ms) is when the next notice is due; None without any."""

    counts: Counter[DeliveryKind] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)  # the last problem of each destination
    next_at: int | None = None


class MessageLane(Protocol):
    """The messages of one destination. `problem` is why none of them can be sent."""

    name: str
    problem: str | None

    def claim(self, worker: str, now: int) -> OutboxRow | None:
        """Store that this process sends the next message, and return it; None if none is due."""

    def prepare(self, row: OutboxRow) -> Send:
        """Return the function that sends a claimed message once."""


def drain(
    store: Store,
    lanes: Sequence[MessageLane],
    clock: ClockPort,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> DrainResult:
    """Send what is due to these destinations, in turn, until nothing is due or the time is over.

    Raises StoreBusy if another process is sending.
    """
    result = DrainResult()
    began = clock.now()
    close_digests(store, to_ms(began))
    names = set(outbox.list_lanes(store))
    left = [lane for lane in lanes if lane.name in names]

    def is_over() -> bool:
        return not 0 <= (clock.now() - began).total_seconds() < DRAIN_S or should_stop()

    if left or outbox.is_untidy(store, to_ms(began)):
        with store.hold_work_lock(Work.MESSAGES):
            outbox.tidy(store, to_ms(began))
            _send_lanes(store, left, clock, is_over, result)
    result.next_at = outbox.next_due(store, to_ms(clock.now()))
    return result


def _send_lanes(
    store: Store, lanes: list[MessageLane], clock: ClockPort, is_over: Callable[[], bool], result: DrainResult
) -> None:
    """Send one message of each lane in turn, and add what was done to the result.

    A message that did not arrive ends its lane, because the others would fare alike. A refused one does not.
    """
    worker = new_id("w")
    refused = dict.fromkeys((lane.name for lane in lanes), 0)
    while lanes:
        for lane in list(lanes):
            if is_over():
                return
            row = lane.claim(worker, to_ms(clock.now()))
            if row is None:
                lanes.remove(lane)
                if lane.problem is not None:
                    result.problems[lane.name] = lane.problem
                continue
            send = lane.prepare(row)
            if not outbox.is_claimed(store, row, worker):  # another process sends it, or it was erased
                continue
            done = send()
            with store.hold_for_result(_SETTLE_WAIT_S):  # without a result, a notice would be sent again
                outbox.settle_message(store, row, worker, done, to_ms(clock.now()))
            result.counts[done.kind] += 1
            if done.problem:
                result.problems[lane.name] = done.problem
            refused[lane.name] = refused[lane.name] + 1 if done.kind is DeliveryKind.REFUSED else 0
            if done.kind in (DeliveryKind.FAILED, DeliveryKind.UNKNOWN) or refused[lane.name] >= MAX_REFUSED:
                lanes.remove(lane)


def drain_workspace(
    workspace: Workspace,
    location: WorkspaceLocation | None = None,
    *,
    with_letters: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> DrainResult:
    """Send what is due to the destinations of a workspace. `location` replaces that of the workspace."""
    location = location or workspace.location
    open_channel = channel_opener(location)
    name = name_workspace(location)
    clock = workspace.clock
    lanes: list[MessageLane] = [
        NoticeLane(workspace.store, each, open_channel, clock, location.zone, name) for each in location.config.notify
    ]
    if with_letters:
        lanes.append(LetterLane(workspace))
    return drain(workspace.store, lanes, clock, should_stop=should_stop)


class NoticeLane:
    """The notices to one destination."""

    problem: str | None = None

    def __init__(
        self,
        store: Store,
        destination: Destination,
        open_channel: OpenChannel,
        clock: ClockPort,
        zone: tzinfo,
        workspace_name: str | None = None,
    ) -> None:
        self.name = destination.name
        self._store = store
        self._clock = clock
        self._destination = destination
        self._zone = zone
        self._workspace_name = workspace_name
        self._open_channel = open_channel
        self._channel: ChannelPort | None = None

    def claim(self, worker: str, now: int) -> OutboxRow | None:
        """Claim the oldest notice."""
        return outbox.claim_notice(self._store, self.name, worker, now)

    def prepare(self, row: OutboxRow) -> Send:
        """Render a notice. A channel without its secret fails."""
        try:
            channel = self._channel = self._channel or self._open_channel(self._destination)
        except HfGateError as missing:
            result = describe_missing_channel(missing)
            return lambda: result
        message = render_notice(self._store, row, self._destination, self._zone, self._workspace_name)
        return lambda: channel.send(message, self._clock.now(), row.accepted)


class LetterLane:
    """The letters to applicants: none without a mail server, or while unattended work is stopped."""

    name = APPLICANTS

    def __init__(self, workspace: Workspace, channel: LetterPort | None = None) -> None:
        self.problem: str | None = None
        self._workspace = workspace
        self._channel = channel
        self._batch: list[LetterCase] = []
        self._rows: Mapping[int, RequestRow] = {}
        self._claimed: LetterCase | None = None
        self._count = 0

    def claim(self, worker: str, now: int) -> OutboxRow | None:
        """Claim the oldest letter that still applies."""
        config = self._workspace.location.config.letters
        while self._count < MAX_LETTERS and (self._batch or self._read_batch(now)):
            case = self._batch.pop(0)
            self._claimed = letters.claim_letter(self._workspace.store, case.letter.id, config, worker, now)
            if self._claimed is not None:
                self._count += 1
                return self._claimed.letter
        return None

    def _read_batch(self, now: int) -> bool:
        """Read the next letters that are due, with what their texts need; return whether there are any."""
        workspace = self._workspace
        config = workspace.location.config.letters
        if not config.kinds or config.mail is None or read_stop(workspace.store) is not None:
            return False
        is_local = is_loopback_host(urlsplit(workspace.store.endpoint).hostname or "")
        if is_local and not is_loopback_host(config.mail.host):  # its people are invented, their addresses may not be
            self.problem = "letters about requests at a local Hub go only to a mail server on this machine"
            return False
        try:
            self._channel = self._channel or _open_letter_channel(workspace)
        except HfGateError as missing:  # a secret: nothing is claimed before it is there
            self.problem = describe_missing_channel(missing).problem
            return False
        self._batch = letters.find_due_letters(workspace.store, now, _BATCH)
        self._rows = workspace.store.requests([case.request for case in self._batch])
        return bool(self._batch)

    def prepare(self, row: OutboxRow) -> Send:
        """Write the letter that was claimed last."""
        case = self._claimed
        channel = self._channel
        workspace = self._workspace
        assert case is not None and channel is not None, "a letter was claimed"  # noqa: S101, PT018 - for mypy
        config = workspace.location.config.letters
        request = self._rows[case.request]
        text = render_letter(case, request, config, workspace.store.endpoint, workspace.zone, workspace.now())
        return lambda: channel.send(row.id, case.email or "", text, workspace.now())


def _open_letter_channel(workspace: Workspace) -> LetterPort:
    from hf_gate.messages.channels.letter_mail import open_letter_channel

    location = workspace.location
    assert location.folder is not None, "letters are configured by a file in a folder"  # noqa: S101 - for mypy
    assert location.config.letters.mail is not None, "there is a mail server"  # noqa: S101 - as above
    return open_letter_channel(location.config.letters.mail, location.folder)
