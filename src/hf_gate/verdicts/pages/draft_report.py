"""Checks the text of a policy and runs its tests: the bounds of expressions limit the work of any text."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import tzinfo
from time import thread_time
from typing import Final

from msgspec import Struct

from hf_gate.errors import UsageError
from hf_gate.policies.checks.accept_requirements import AcceptRequirement, accept_requirements
from hf_gate.policies.checks.policy_checker import CheckedPolicy
from hf_gate.policies.evaluation.evaluator import Evaluator, compile_policy
from hf_gate.policies.expressions.expression_bounds import policy_cost
from hf_gate.policies.parsing.card_changes import read_short_cards
from hf_gate.policies.parsing.cards import PolicyCards
from hf_gate.settings.workspace_config import WorkspaceConfig
from hf_gate.verdicts.policy_tests import PolicyTestResult, run_policy_tests
from hf_gate.verdicts.service.draft_trials import enforce_alone
from hf_gate.verdicts.service.evaluation import fill_templates

MAX_REQUESTS: Final = 100  # requests that a draft is tried on
_MAX_WORK: Final = 20_000_000  # steps of all requests together, for facts of the largest size: about 2 s
_TEST_SECONDS: Final = 1.0  # of processor time, for all tests of a draft


class DraftBusy(UsageError):
    """Another draft of the same member is still being checked."""

    default_hint = "Wait for it, then try again."


class DraftLimit:
    """Lets each member check one draft at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    @contextmanager
    def acquire(self, member: str) -> Iterator[None]:
        """Hold the turn of a member. Raises DraftBusy while another draft of theirs is checked."""
        with self._lock:
            if member in self._busy:
                raise DraftBusy("Another draft of yours is still being checked.")
            self._busy.add(member)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(member)


class DraftReport(Struct, frozen=True):
    """What a policy does. `evaluator` judges pending requests as if the policy were enforced; None if it has errors.

    `affordable`: the number of requests that can be tried in about two seconds. `read`: its rules as sentences; None if
    the text is too long.
    """

    read: PolicyCards | None
    requirements: tuple[AcceptRequirement, ...] = ()
    tests: tuple[PolicyTestResult, ...] = ()
    evaluator: Evaluator | None = None
    affordable: int = 0

    @property
    def max_requests(self) -> int:
        """The number of requests that a page tries the policy on."""
        return min(MAX_REQUESTS, self.affordable)

    @property
    def can_move_cards(self) -> bool:
        """Whether rules can be moved, removed and added as cards."""
        return self.read is not None and self.read.can_move


def make_report(text: str, file: str, checked: CheckedPolicy, config: WorkspaceConfig, zone: tzinfo) -> DraftReport:
    """Run the tests of a checked policy, and compile it to be tried on requests."""
    read = read_short_cards(text, file, [spec.name for spec in config.tables])
    if checked.policy is None:
        return DraftReport(read)
    policy = enforce_alone(fill_templates(checked.policy, config.templates))
    expressions = (*checked.lets.values(), *checked.conditions.values())
    end = thread_time() + _TEST_SECONDS
    cost = 1 + policy_cost(expression.root for expression in expressions)
    return DraftReport(
        read,
        accept_requirements(checked.policy, checked.conditions),
        run_policy_tests(checked, has_time=lambda: thread_time() < end),
        Evaluator([compile_policy(policy, checked.declared)], zone=zone),
        max(1, _MAX_WORK // cost),
    )
