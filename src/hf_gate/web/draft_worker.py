"""Checks and tries one draft of a policy in a process of its own: it answers what `draft_pool` asks, and has no store and no Hub."""

from __future__ import annotations

import importlib
import signal
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, Final, TypeAlias

from ..application.evaluation import fill_templates
from ..domain.forms import GateForm
from ..domain.lifecycle import Status
from ..policy.accept_requirements import AcceptRequirement, accept_requirements
from ..policy.evaluator import Evaluator, compile_policy
from ..policy.explain import ExplanationLine, explain_verdict
from ..policy.expression_bounds import policy_cost
from ..policy.model import Facts, Policy, PolicyMode, PolicyProblem
from ..policy.policy_checker import CheckedPolicy, check_policy
from ..policy.policy_parser import parse_policy
from ..policy.policy_tests import PolicyTestResult, run_policy_tests
from ..policy.workspace_config import WorkspaceConfig

READY: Final = "ready"
MAX_IDLE: Final = 60.0  # seconds without an ask after which it ends by itself
_MAX_REQUESTS: Final = 100  # requests that a draft is tried on
_MAX_WORK: Final = 50_000_000  # of all of them together, as `policy.bounds` counts it: about 5 s

# ---- what is asked and answered --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """The text of a policy and what it is checked against."""

    text: str
    file: str
    config: WorkspaceConfig
    forms: Mapping[str, GateForm]
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class DraftReport:
    """What the check found. `usable` is the policy if it has no errors; `facts` are those it names, `most` the requests to try it on."""

    policy: Policy | None
    usable: Policy | None
    problems: tuple[PolicyProblem, ...]
    requirements: tuple[AcceptRequirement, ...] = ()
    tests: tuple[PolicyTestResult, ...] = ()
    facts: frozenset[str] = frozenset()
    max_requests: int = 0


@dataclass(frozen=True, slots=True)
class EvaluateRequests:
    """Asks for the verdict of each of these requests."""

    facts: Sequence[Facts]
    now: datetime


Verdicts: TypeAlias = "tuple[tuple[str, str], ...]"
"""Action and rule of each request."""


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """Asks for the verdict of one pending request with every reason."""

    facts: Facts
    now: datetime


@dataclass(frozen=True, slots=True)
class WorkerFault:
    """Tells that a draft met a fault of hf-gate. `where` holds the stack without the message, which may quote a request."""

    where: str


WorkerTask: TypeAlias = "Draft | EvaluateRequests | ExplainRequest"
WorkerReply: TypeAlias = "WorkerFault | DraftReport | Verdicts | tuple[ExplanationLine, ...]"


# ---- the process -----------------------------------------------------------------------------------------------------------


def serve(pipe: Any, seconds: int, memory: int) -> None:  # noqa: ANN401 - a Connection, which is another class on Windows
    """Answer one ask after the other until the other end is closed, or silent for long. `seconds` of CPU and bytes of `memory` end it."""
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
    """Where the system has no limits for a process, the bounds of policies and the end by the clock must do."""
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

    def answer(self, ask: WorkerTask) -> WorkerReply:
        match ask:
            case Draft():
                return self._check(ask)
            case EvaluateRequests():
                return tuple(self._verdict(facts, ask.now) for facts in ask.facts)
            case ExplainRequest():
                verdict = self._evaluator.evaluate_with_traces(ask.facts, now=ask.now)
                return () if verdict is None else explain_verdict(verdict, ask.now)

    def _check(self, draft: Draft) -> DraftReport:
        parsed = parse_policy(draft.text, draft.file)
        checked = check_policy(parsed, config=draft.config, forms=draft.forms)
        if checked.policy is None:
            return DraftReport(parsed.policy, None, checked.problems)
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
            max(1, min(_MAX_REQUESTS, _MAX_WORK // _cost(checked))),
        )

    def _verdict(self, facts: Facts, now: datetime) -> tuple[str, str]:
        verdict = self._evaluator.evaluate(facts, now=now)
        if verdict is None:
            raise AssertionError("a pending request is always judged")
        return verdict.action.value, verdict.rule


def _cost(checked: CheckedPolicy) -> int:
    return 1 + policy_cost(each.bounds for each in (*checked.lets.values(), *checked.conditions.values()))
