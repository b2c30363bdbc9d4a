"""One call, repeated where repeating is safe: reads, and writes of which nothing left this machine."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ...errors import ForeignOrigin, HubError
from ..codec import Unreadable, same_origin_path
from ..messages import Answer, Lost, NoReply, Reply, Send, Step, Wait
from ..replies import error_of, is_ok, is_passing

T = TypeVar("T")
Flow = Generator[Step, Any, T]

_SHORTEST_TRY = 0.1  # seconds: with less left of `max_wait` another try makes no sense
_REDIRECTS = frozenset({301, 302, 307, 308})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is tried again. `max_wait` bounds one call, all its tries and waits; None leaves `tries`."""

    max_wait: float | None = None
    tries: int = 5
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, failures: int) -> float:
        """The upper bound of the pause after so many failures; the driver takes a random share of it."""
        return min(self.longest_pause, self.first_pause * 2.0 ** min(failures - 1, 16))

    def is_over(self, failures: int, left: float, answer: Answer) -> bool:
        """Whether to give up after so many failures, with so many seconds left of `max_wait`."""
        if left < math.inf:
            return left < _SHORTEST_TRY
        nobody_there = isinstance(answer, NoReply) and answer.why is Lost.CONNECT
        return failures >= (3 if nobody_there else self.tries)


@dataclass(slots=True)
class Setting:
    """What every flow of one client knows: its origin, its patience, and when the present run began."""

    origin: str
    patience: Patience = field(default_factory=Patience)
    began: float = 0.0
    parallel: int = 16


def call(send: Send, setting: Setting, first: Answer | None = None, *, within: float | None = None) -> Flow[Answer]:
    """The answer of a call after all repeats that are safe. `first` is an answer that is there already.

    `within`: seconds for all of it, in the place of the setting's `max_wait`.
    """
    limit = within if within is not None else setting.patience.max_wait
    failures, left = 0, math.inf if limit is None else limit
    while True:
        capped = send if limit is None else replace(send, within=left)
        answer: Answer = first if first is not None else (yield capped)
        first, left = None, left - answer.took
        if isinstance(answer, Reply) and answer.status == 429:
            if left >= _SHORTEST_TRY:  # nothing was done, and the driver's pacer makes the next try wait
                continue
            return NoReply(Lost.WAITED, sent=False, detail="the Hub takes no more calls (429)", at=answer.at)
        if isinstance(answer, Reply) and answer.status in (401, 403):
            return replace(answer, route=send.route)
        if isinstance(answer, Reply) and answer.status in _REDIRECTS:
            return _refuse_foreign(answer, setting.origin)
        if not is_passing(answer) or (send.changes and not _is_unsent(answer)):
            return answer
        failures += 1
        if setting.patience.is_over(failures, left, answer):
            return answer
        pause = min(setting.patience.pause(failures), left / 2)
        left -= pause
        why = "the Hub does not answer" if isinstance(answer, NoReply) else "the Hub fails"
        yield Wait(pause, why=why, jitter=True)


def _is_unsent(answer: Answer) -> bool:
    return isinstance(answer, NoReply) and not answer.sent


def _refuse_foreign(answer: Reply, origin: str) -> Reply:
    if same_origin_path(answer.headers.get("location", ""), origin) is None:
        return Reply(answer.status, {**answer.headers, "x-hf-gate-foreign": "1"}, answer.body, answer.at)
    return answer


def follow_link(url: str, origin: str) -> str:
    """Path and query of a link that the Hub gave; another origin is refused before a byte is sent there."""
    path = same_origin_path(url, origin)
    if path is None:
        raise ForeignOrigin("the Hub's next link names another host; it was not followed and nothing was sent there.")
    return path


def read(send: Send, setting: Setting, repo: Any = None) -> Flow[Reply]:
    """A read that must succeed: its reply, or the fitting error raised."""
    answer = yield from call(send, setting)
    if not is_ok(answer):
        raise error_of(answer, repo)
    assert isinstance(answer, Reply)
    return answer


def unreadable(problem: Unreadable, reply: Reply, repo: Any) -> HubError:
    """The error for a 200 whose body is not what it should be."""
    error = error_of(reply, repo)
    error.message = f"{error.message[:-1]}: {problem}."
    return error
