"""Sends one call, and repeats it where this is safe: reads, and writes that never left this machine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.errors import ForeignOrigin, HubError
from hf_gate.hub.protocol.codec import UnreadableBody, same_origin_path
from hf_gate.hub.protocol.messages import Answer, FailureReason, HubCall, NoReply, Pause, Reply, Step
from hf_gate.hub.protocol.replies import build_error, is_ok, is_transient

T = TypeVar("T")
Flow = Generator[Step, Any, T]

_MIN_TRY_S = 0.1  # with less time left, there is no further attempt
REDIRECTS = frozenset({301, 302, 307, 308})


class RetryPolicy(Struct, frozen=True):
    """When to give up on a call.

    `max_wait` limits a call with all attempts and waits; without it, `max_tries` applies.
    """

    max_wait: float | None = None
    max_tries: int = 5
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause_after(self, failures: int) -> float:
        """Return the longest pause after this many failures; the driver waits for a random share of it."""
        return min(self.longest_pause, self.first_pause * 2.0 ** min(failures - 1, 16))

    def is_exhausted(self, failures: int, left: float, answer: Answer) -> bool:
        """Return whether to give up after this many failures, with `left` seconds of `max_wait` remaining."""
        if left < math.inf:
            return left < _MIN_TRY_S
        is_unreachable = isinstance(answer, NoReply) and answer.reason is FailureReason.CONNECT
        return failures >= (3 if is_unreachable else self.max_tries)


class FlowContext(Struct):
    """What a flow needs to know: the Hub's origin, when to give up, and when the operation started."""

    origin: str
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    started_at: float = 0.0
    max_parallel: int = 16
    has_token: bool = True


def send_call(
    send: HubCall, context: FlowContext, first: Answer | None = None, *, within: float | None = None
) -> Flow[Answer]:
    """Send a call, repeat it while this is safe, and return its answer. `first` is an answer that was already received.

    `within` limits the seconds for all attempts, in place of `max_wait`.
    """
    limit = within if within is not None else context.retry_policy.max_wait
    failures = 0
    left = math.inf if limit is None else limit
    while True:
        capped = send if limit is None else dataclasses.replace(send, within=left)
        answer: Answer = first if first is not None else (yield capped)
        first = None
        left = left - answer.elapsed
        if isinstance(answer, Reply) and answer.status == 429:
            if left >= _MIN_TRY_S:  # nothing was done, and the pacer delays the next attempt
                continue
            return NoReply(
                FailureReason.WAIT_TOO_LONG,
                is_sent=False,
                detail="the rate limit is used up (429)",
                received_at=answer.received_at,
            )
        if isinstance(answer, Reply) and answer.status in (401, 403):
            return replace(answer, endpoint=send.endpoint)
        if isinstance(answer, Reply) and answer.status in REDIRECTS:
            return _mark_foreign_redirect(answer, context.origin)
        if not is_transient(answer) or (send.is_change and not _is_unsent(answer)):
            return answer
        failures += 1
        if context.retry_policy.is_exhausted(failures, left, answer):
            return answer
        pause = min(context.retry_policy.pause_after(failures), left / 2)
        left -= pause
        why = "the Hub does not answer" if isinstance(answer, NoReply) else "the Hub answers with errors"
        yield Pause(pause, reason=why, has_jitter=True)


def _is_unsent(answer: Answer) -> bool:
    return isinstance(answer, NoReply) and not answer.is_sent


def _mark_foreign_redirect(answer: Reply, origin: str) -> Reply:
    if same_origin_path(answer.headers.get("location", ""), origin) is None:
        return Reply(answer.status, {**answer.headers, "x-hf-gate-foreign": "1"}, answer.body, answer.received_at)
    return answer


def follow_link(url: str, origin: str) -> str:
    """Return the path and query of a link from the Hub; raise ForeignOrigin if the link names another host."""
    path = same_origin_path(url, origin)
    if path is None:
        raise ForeignOrigin("the Hub's next link names another host; it was not followed.")
    return path


def read_reply(send: HubCall, context: FlowContext, repo: Any = None) -> Flow[Reply]:
    """Send a read and return its reply; raise the matching error unless it succeeded."""
    answer = yield from send_call(send, context)
    if not is_ok(answer):
        raise build_error(answer, repo)
    assert isinstance(answer, Reply)
    return answer


def build_unreadable_error(problem: UnreadableBody, reply: Reply, repo: Any) -> HubError:
    """Return the error for a successful answer with an unreadable body."""
    error = build_error(reply, repo)
    error.message = f"{error.message[:-1]}: {problem}."
    return error
