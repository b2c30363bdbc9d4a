"""What a flow may ask of its driver, and what it is told: values, so that a flow runs without network or clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MIB = 1 << 20


class Lane(StrEnum):
    """Who goes first when calls are scarce: writes before reads; bulk work leaves the reserve alone."""

    WRITE = "write"
    BULK_WRITE = "bulk-write"
    READ = "read"
    BULK_READ = "bulk-read"


class FailureReason(StrEnum):
    """Why no usable reply came."""

    CONNECT = "connect"  # no connection: nothing left this machine
    TIMEOUT = "timeout"  # silent for longer than allowed
    BROKEN = "broken"  # the connection ended early
    TOO_LARGE = "too large"  # the body passed the cap
    WAIT_TOO_LONG = "waited"  # not sent: it would have waited longer than `max_wait`
    NOT_SENT = "not sent"  # not sent: the run was stopped before its turn


@dataclass(frozen=True, slots=True)
class HubCall:
    """One call. `path` starts with `/` and holds the query; `changes` is True when the Hub's state may change.

    `within`: seconds until its answer must be whole, the wait for its turn included; None: the client's `max_wait`.
    """

    endpoint: str
    method: str
    path: str
    body: bytes | None = None
    lane: Lane = Lane.READ
    bucket: str = "api"
    is_change: bool = False
    max_bytes: int = 32 * MIB
    accept: str = "application/json"
    within: float | None = field(default=None, compare=False)  # two calls are the same however long they may take


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; header names in lower case, `at` the driver's clock (epoch seconds) when it was whole.

    `took`: seconds of that clock since the flow asked for the call, the wait for its turn included. `route`: the call
    that was refused, so that an error can name the permission that it needs.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    received_at: float = 0.0
    elapsed: float = 0.0
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class NoReply:
    """No usable answer. `sent` is False only when it is certain that nothing reached the Hub."""

    reason: FailureReason
    sent: bool
    detail: str = ""
    received_at: float = 0.0
    elapsed: float = 0.0


Answer = Reply | NoReply


@dataclass(frozen=True, slots=True)
class StartCall:
    """Begin a call without waiting for it; the driver answers with a ticket for `Finish`."""

    send: HubCall


@dataclass(frozen=True, slots=True)
class AwaitCall:
    """Wait for a call that was begun; the driver answers with its `Answer`."""

    ticket: Any


@dataclass(frozen=True, slots=True)
class Pause:
    """Let `seconds` pass; with `jitter`, a random share of them."""

    seconds: float
    reason: str = ""
    jitter: bool = False


@dataclass(frozen=True, slots=True)
class AwaitSlot:
    """Wait until this call could leave, and send nothing; the driver answers with its clock, that of `Reply.at`."""

    send: HubCall


@dataclass(frozen=True, slots=True)
class TakeItems:
    """Ask the caller's iterable for at most `limit` more items; the driver answers with a tuple, empty at its end."""

    limit: int


@dataclass(frozen=True, slots=True)
class EmitValue:
    """Hand a value to the caller."""

    value: Any


Step = HubCall | StartCall | AwaitCall | Pause | AwaitSlot | TakeItems | EmitValue
