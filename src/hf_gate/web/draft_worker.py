"""Checks and evaluates policy drafts in a separate process for `draft_pool`; it has no store and no Hub."""

from __future__ import annotations

import importlib
import signal
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ..application.evaluation import fill_templates
from ..application.policy_comparison import PolicyAnswer, answer_of
from ..domain.forms import GateForm
from ..domain.lifecycle import Status
from ..policy.accept_requirements import AcceptRequirement, accept_requirements
from ..policy.card_changes import CardChanges, ChangedText, apply_changes, read_short_cards
from ..policy.cards import Card
from ..policy.evaluator import Evaluator, compile_policy
from ..policy.explain import ExplanationLine, explain_verdict
from ..policy.expression_bounds import policy_cost
from ..policy.model import Facts, Policy, PolicyMode, PolicyProblem
from ..policy.policy_checker import CheckedPolicy, check_policy
from ..policy.policy_parser import parse_policy
from ..policy.policy_tests import PolicyTestResult, run_policy_tests
from ..policy.workspace_config import WorkspaceConfig

T = TypeVar("T")
READY: Final = "ready"
MAX_IDLE: Final = 60.0  # seconds without a task after which the process ends
MAX_REQUESTS: Final = 100  # requests that a draft is tried on
_MAX_WORK: Final = 50_000_000  # cost of all requests together, as `policy.expression_bounds` counts it: about 5 s

# ---- messages ------------------------------------------------------------------------------------------------------------


class WorkerTask(Generic[T]):
    """What a process is asked for; `T` is the type of its answer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Draft(WorkerTask["DraftReport"]):
    """Check this text of a policy against the workspace's config and the forms of repos.

    The other tasks use the draft that was checked last.
    """

    text: str
    file: str
    config: WorkspaceConfig
    forms: Mapping[str, GateForm]
    zone: tzinfo
    today: date | None = None  # in the zone; past dates are errors only if it is given


class DraftReport(Struct, frozen=True):
    """The result of a check. `usable`: the policy if it has no errors; `facts`: the facts that it names.

    `max_requests`: the number of requests to try it on. `cards`: its rules as sentences, in order.
    """

    policy: Policy | None
    usable: Policy | None
    problems: tuple[PolicyProblem, ...]
    requirements: tuple[AcceptRequirement, ...] = ()
    tests: tuple[PolicyTestResult, ...] = ()
    facts: frozenset[str] = frozenset()
    max_requests: int = 0
    cards: tuple[Card, ...] = ()
    can_move_cards: bool = False


@dataclass(frozen=True, slots=True)
class ChangeCards(WorkerTask[ChangedText]):
    """Apply what a person entered on the cards of a policy to its text."""

    text: str
    file: str
    changes: CardChanges


@dataclass(frozen=True, slots=True)
class EvaluateRequests(WorkerTask[tuple[tuple[str, str], ...]]):
    """Return the verdict of each of these requests: its action and rule."""

    facts: Sequence[Facts]
    now: datetime


@dataclass(frozen=True, slots=True)
class CompareRequests(WorkerTask[tuple[PolicyAnswer, ...]]):
    """Return what the policy says on each of these requests, each at its own time."""

    facts: Sequence[Facts]
    moments: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class ExplainRequest(WorkerTask[tuple[ExplanationLine, ...]]):
    """Return the verdict of one pending request with all reasons."""

    facts: Facts
    now: datetime


class WorkerFault(Struct, frozen=True):
    """A failure of hf-gate. `where`: the stack without the message, because the message may quote a request."""

    where: str


# ---- the process -----------------------------------------------------------------------------------------------------------


def serve(pipe: Any, seconds: int, memory: int) -> None:  # noqa: ANN401 - a Connection, which is another class on Windows
    """Answer tasks until the pipe is closed or idle. More than `seconds` of CPU or `memory` bytes end the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the desk, which ends this process
    _limit(seconds, memory)
    worker = _Worker()
    pipe.send(READY)
    with suppress(EOFError, OSError, MemoryError):
        while pipe.poll(MAX_IDLE):
            ask = pipe.recv()
            try:
                answer = worker.answer(ask)
            except (MemoryError, OSError):  # the limits
                raise
            except Exception as problem:  # noqa: BLE001 - the desk logs it
                stack = "".join(traceback.format_tb(problem.__traceback__))
                answer = WorkerFault(f"{type(problem).__name__}\n{stack}")
            pipe.send(answer)


def _limit(seconds: int, memory: int) -> None:
    """Limit the process. On a system without limits, the bounds of policies and the pool's time limit remain."""
    try:
        resource = importlib.import_module("resource")
    except ImportError:
        return
    for name, limit in (("RLIMIT_AS", memory), ("RLIMIT_CPU", seconds), ("RLIMIT_CORE", 0)):
        with suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (limit, limit))


class _Worker:
    def __init__(self) -> None:
        self._evaluator = Evaluator(())

    def answer(self, ask: WorkerTask[Any]) -> object:
        match ask:
            case Draft():
                return self._check(ask)
            case ChangeCards():
                return apply_changes(ask.text, ask.file, ask.changes)
            case EvaluateRequests():
                return tuple(self._verdict(facts, ask.now) for facts in ask.facts)
            case CompareRequests():
                moments = zip(ask.facts, ask.moments, strict=True)
                return tuple(answer_of(self._evaluator.evaluate(facts, now=at)) for facts, at in moments)
            case ExplainRequest():
                verdict = self._evaluator.evaluate_with_traces(ask.facts, now=ask.now)
                return () if verdict is None else explain_verdict(verdict, ask.now)
            case _:
                raise TypeError(f"there is no task {type(ask).__name__}")

    def _check(self, draft: Draft) -> DraftReport:
        parsed = parse_policy(draft.text, draft.file)
        checked = check_policy(parsed, config=draft.config, forms=draft.forms, today=draft.today)
        cards, can_move = read_short_cards(draft.text, draft.file)
        if checked.policy is None:
            return DraftReport(parsed.policy, None, checked.problems, cards=cards, can_move_cards=can_move)
        told = fill_templates(checked.policy, draft.config.templates)
        policy = replace(told, mode=PolicyMode.ENFORCE, judges=(Status.PENDING.value,))
        self._evaluator = Evaluator([compile_policy(policy, checked.declared)], zone=draft.zone)
        return DraftReport(
            parsed.policy,
            checked.policy,
            checked.problems,
            accept_requirements(checked.policy, checked.conditions),
            run_policy_tests(checked),
            self._evaluator.facts,
            max(1, min(MAX_REQUESTS, _MAX_WORK // _cost(checked))),
            cards,
            can_move,
        )

    def _verdict(self, facts: Facts, now: datetime) -> tuple[str, str]:
        verdict = self._evaluator.evaluate(facts, now=now)
        if verdict is None:
            raise AssertionError("a pending request always gets a verdict")
        return verdict.action.value, verdict.rule


def _cost(checked: CheckedPolicy) -> int:
    return 1 + policy_cost(each.bounds for each in (*checked.lets.values(), *checked.conditions.values()))
