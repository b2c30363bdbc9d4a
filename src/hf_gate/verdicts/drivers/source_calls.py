"""Asks one source in one turn: how many calls its rate allows, when to ask again after a failure, and the calls.

A source that fails is asked again later: about one person after 5 minutes to a day, and after a failed turn at all
after a minute to an hour. What was not asked stays not yet known, and the next turns ask it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import SystemRandom
from typing import Final

from msgspec import Struct, field, structs

from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import DAY_MS, format_span, from_ms
from hf_gate.core.events.events import canonical_json
from hf_gate.core.stored_rows import Observation
from hf_gate.errors import UsageError
from hf_gate.messages.channels.secret_references import resolve_secret
from hf_gate.policies.facts.source_answers import (
    MAX_CALLS,
    OpenQuestion,
    SourceAnswer,
    digest_question,
    encode_value,
    read_answer,
)
from hf_gate.settings.workspace_config import SourceSpec

TURN_TIME_S: Final = 60.0  # of all sources in one turn
_MAX_ANSWER: Final = 64 * 1024
_MAX_DOWN: Final = 3  # failures in a row after which a turn asks a source no more
_RETRY_PERSON: Final = 300_000, DAY_MS  # the shortest and the longest time after a failure (ms)
_RETRY_SOURCE: Final = 60_000, 3_600_000


class SourceState(Struct, frozen=True):
    """What the last turns did with a source; times are in ms.

    `calls` counts those of the current period of its rate. `asked` and `failed` are of the last turn that asked it, and
    `failures` counts the turns in a row in which it gave no usable answer. `called` is the digest of what is sent.
    """

    period_at: int = 0
    calls: int = 0
    next_at: int = 0
    asked: int = 0
    failed: int = 0
    problem: str = ""
    failures: int = 0
    called: str = ""


class TurnBudget(Struct):
    """What one turn may still ask: the seconds left, and the calls left of each source that it asked already."""

    time_s: float = TURN_TIME_S
    calls: dict[str, int] = field(default_factory=dict)


def begin_calls(
    state: SourceState, spec: SourceSpec, wanted: int, at: int, budget: TurnBudget
) -> tuple[SourceState, int]:
    """Return how many calls can be made now, and the state that counts them as made: the process may be killed."""
    if not state.period_at <= at < state.period_at + spec.rate.seconds * 1000:
        state = structs.replace(state, period_at=at, calls=0)
    called = _digest_call(spec)
    if state.called != called:  # the owner changed it, so its pause after failures is over
        state = structs.replace(state, next_at=0, failures=0, called=called)
    is_resting = at < state.next_at <= at + 2 * _RETRY_SOURCE[1]
    left = 0 if is_resting or budget.time_s <= 0 else budget.calls.get(spec.name, MAX_CALLS)
    room = max(0, min(wanted, left, spec.rate.limit - state.calls))
    return structs.replace(state, calls=state.calls + room), room


def ask_source(
    state: SourceState,
    spec: SourceSpec,
    folder: Path,
    missing: Sequence[OpenQuestion],
    known: Mapping[tuple[int, str], Observation],
    at: int,
    budget: TurnBudget,
    time_s: float,
) -> tuple[SourceState, Mapping[int, Observation]]:
    """Ask a source about these people until the time is over, or the source is down.

    Return its state, from that of `begin_calls`, and the observations by person. `known` are the earlier ones. What was
    asked is taken from the budget; a source that is down has no calls left.
    """
    began = time.monotonic()
    answers = list(_call(spec, folder, missing, time_s))
    budget.time_s -= time.monotonic() - began
    is_first = spec.name not in budget.calls
    is_down = all(answer.is_down for _, answer in answers[-_MAX_DOWN:])
    budget.calls[spec.name] = 0 if is_down else budget.calls.get(spec.name, MAX_CALLS) - len(answers)
    problems = [answer.problem for _, answer in answers if answer.value is None]
    failures = state.failures + is_first if len(problems) == len(answers) else 0
    wait = _spread(_RETRY_SOURCE, failures) if failures and answers[-1][1].is_down else 0
    ended = SourceState(
        state.period_at,
        state.calls - len(missing) + len(answers),
        at + wait,
        len(answers) + (0 if is_first else state.asked),
        len(problems) + (0 if is_first else state.failed),
        problems[-1] if problems else "",
        failures,
        state.called,
    )
    earlier = {one.person: known.get((one.person, one.source)) for one, _ in answers}
    return ended, {one.person: _observe(spec, one, answer, earlier[one.person], at) for one, answer in answers}


def _digest_call(spec: SourceSpec) -> str:
    sent = [spec.get, *sorted(spec.headers.items()), spec.is_private, spec.timeout.total_seconds()]
    return hashlib.sha256(canonical_json(sent)).hexdigest()[:16]


def _call(
    spec: SourceSpec, folder: Path, missing: Sequence[OpenQuestion], time_s: float
) -> Iterator[tuple[OpenQuestion, SourceAnswer]]:
    """Yield the answers. No problem contains a secret, the address, or a part of an answer."""
    ends_at = time.monotonic() + time_s
    headers = {"accept": "application/json", "user-agent": "hf-gate"}
    down = 0
    try:
        for name, reference in spec.headers.items():
            headers[name] = resolve_secret(reference, f"{name} of source {spec.name}", folder)
    except UsageError as problem:
        yield missing[0], SourceAnswer(problem=str(problem).rstrip("."), is_down=True)
        return
    for one in missing:
        answer = _ask(spec, one.address, headers)
        yield one, answer
        down = down + 1 if answer.is_down else 0
        if down >= _MAX_DOWN or time.monotonic() > ends_at:
            return


def _ask(spec: SourceSpec, address: str, headers: Mapping[str, str]) -> SourceAnswer:
    from hf_gate.messages.channels.private_calls import RefusedCallError, read_guarded

    seconds = spec.timeout.total_seconds()
    try:
        found = read_guarded(address, headers, timeout_s=seconds, limit=_MAX_ANSWER, is_private=spec.is_private)
    except RefusedCallError as problem:
        return SourceAnswer(problem=str(problem), is_down=True)
    return read_answer(spec, *found)


def _observe(
    spec: SourceSpec, asked: OpenQuestion, answer: SourceAnswer, earlier: Observation | None, at: int
) -> Observation:
    question = digest_question(spec, asked.address)
    failures = 0
    wait = int(spec.cache.total_seconds() * 1000)
    if answer.value is None:
        failures = 1 + (earlier.failures if earlier is not None and earlier.question == question else 0)
        wait = _spread(_RETRY_PERSON, failures)
    return Observation(question, encode_value(answer.value), answer.problem, at, at + wait, failures)


def _spread(limits: tuple[int, int], failures: int) -> int:
    """Return how long to wait (ms): twice as long after each failure, and not the same for everybody."""
    least, most = limits
    return int(min(most, least << min(failures - 1, 20)) * SystemRandom().uniform(0.8, 1.2))


def describe_failure(name: str, state: SourceState, now: datetime) -> str:
    """Return that a source gave nobody a usable answer in the last turn that asked it; "" if it did."""
    if not state.failed or state.failed < state.asked:
        return ""
    people = pluralize(state.failed, "person", "people")
    rest = from_ms(state.next_at) - now
    again = (
        f" It is asked again in {format_span(rest)}, or in the next turn if you change `get`."
        if rest > timedelta(0)
        else ""
    )
    return (
        f"Source {name} gave no usable answer about {people} in the last turn that asked it: {state.problem}."
        f" Until it does, sources.{name} is unknown and accepts nobody. Check it, and `sources` in hf-gate.yaml.{again}"
    )
