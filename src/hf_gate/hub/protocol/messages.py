"""Defines the steps that a flow yields to its driver, and the answers.

Steps and answers are values, so a flow needs no network or clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

MIB = 1 << 20


class Lane(StrEnum):
    """The priority of a call: writes go before reads, and bulk calls leave the reserve free."""

    WRITE = "write"
    BULK_WRITE = "bulk-write"
    READ = "read"
    BULK_READ = "bulk-read"


class FailureReason(StrEnum):
    """Why a call has no usable reply."""

    CONNECT = "connect"  # no connection: nothing was sent
    TIMEOUT = "timeout"  # no answer for longer than allowed
    BROKEN = "broken"  # the connection ended early
    TOO_LARGE = "too large"  # the body exceeds `max_bytes`
    WAIT_TOO_LONG = "waited"  # not sent: the wait would exceed `max_wait`
    NOT_SENT = "not sent"  # not sent: the run was stopped first


@dataclass(frozen=True, slots=True)
class HubCall:
    """One call to send. `path` starts with `/` and includes the query; `is_change` marks calls that may change the Hub.

    `within` limits the seconds until the complete answer, including the wait for the rate limit; None means the
    client's `max_wait`.
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
    within: float | None = field(default=None, compare=False)  # calls are compared without their time limit


class Reply(Struct, frozen=True):
    """A complete answer. Header names are in lower case; `received_at` is epoch seconds by the driver's clock.

    `elapsed` counts seconds since the flow asked for the call, including the wait for the rate limit. `endpoint` is set
    on a refused call, so that the error can name the missing permission.
    """

    status: int
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    received_at: float = 0.0
    elapsed: float = 0.0
    endpoint: str = ""


class NoReply(Struct, frozen=True):
    """A call without a usable answer. `is_sent` is False only if nothing can have reached the Hub."""

    reason: FailureReason
    is_sent: bool
    detail: str = ""
    received_at: float = 0.0
    elapsed: float = 0.0
    cause: BaseException | None = None  # the error of the network


Answer = Reply | NoReply


class StartCall(Struct, frozen=True):
    """Start a call without waiting for it; the driver answers with a ticket for `AwaitCall`."""

    call: HubCall


class AwaitCall(Struct, frozen=True):
    """Wait for a started call; the driver answers with its `Answer`."""

    ticket: Any


class Pause(Struct, frozen=True):
    """Wait for `seconds`, or with `jitter` for a random share of them."""

    seconds: float
    reason: str = ""
    has_jitter: bool = False


class AwaitSlot(Struct, frozen=True):
    """Wait until this call could be sent, but do not send it; the driver answers with the time by its clock."""

    call: HubCall


class TakeItems(Struct, frozen=True):
    """Take at most `limit` items from the caller's iterable; the driver answers with a tuple, empty at the end."""

    limit: int


class EmitValue(Struct, frozen=True):
    """Pass a value to the caller."""

    value: Any


Step = HubCall | StartCall | AwaitCall | Pause | AwaitSlot | TakeItems | EmitValue
