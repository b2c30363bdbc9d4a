"""What people do to requests, in the words of the product, so that tests need no inner names."""

from __future__ import annotations

from typing import Any

from hf_gate.core.lifecycle import Status
from hf_gate.core.people.members import NO_AUTHOR, RunAuthor
from hf_gate.core.requests import AccessRequest, Target, target_of
from hf_gate.core.runs import RunKind
from hf_gate.core.stored_rows import RunRow
from hf_gate.decisions.service.decision_sender import DecisionSender
from hf_gate.decisions.service.direct_decisions import Choice, DecisionResult, DecisionTarget
from hf_gate.decisions.service.runs import runs
from tests.kits.faulty_stores import KilledError
from tests.kits.workspaces import HubWorkspace

ACCEPT = Choice(Status.ACCEPTED)
RESET = Choice(Status.RESET)
GRANT = Choice(Status.ACCEPTED, is_grant=True)


def decide(
    scene: HubWorkspace,
    choice: Choice,
    *who: str | AccessRequest | Target | DecisionTarget,
    store: Any = None,
    hub: Any = None,
    actor: str | None = None,
    author: RunAuthor = NO_AUTHOR,
) -> DecisionResult:
    """Decide at once, as a command does, people of the first repo or targets anywhere."""
    scene.count += 1
    reason = "Say more." if choice.to is Status.RESET else None
    targets = [
        one if isinstance(one, DecisionTarget) else DecisionTarget(scene.repos[0], _find_target(one), reason)
        for one in who
    ]
    sender = DecisionSender(
        store or scene.store,
        hub or scene.hub,
        scene.clock,
        scene.zone,
        actor or scene.actor,
        scene.approvals,
        author,
    )
    return sender.decide(targets, choice, run_id=f"r_{scene.count}")


def _find_target(one: str | AccessRequest | Target) -> Target:
    return one if isinstance(one, Target) else target_of(one)


def run_of(scene: HubWorkspace, decided: DecisionResult) -> RunRow:
    """Return the run of a decision as the store has it now."""
    found = scene.store.run(decided.run or "")
    assert found is not None
    return found


def undo(scene: HubWorkspace, decided: DecisionResult) -> RunRow:
    """Put everybody back whom a decision moved, as `undo` and `apply` do."""
    plan, _ = runs.plan_undo(scene.store, run_of(scene, decided), now=scene.clock.now())
    return scene.execute(scene.approve(plan, RunKind.UNDO))


class DyingHub:
    """A Hub client whose process dies around a call: `before` it leaves, or `after` it was answered."""

    def __init__(self, hub: Any, when: str) -> None:
        self._hub, self._when = hub, when

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._hub, name)
        return self._around(found) if name in {"accept", "reset", "grant_access"} else found

    def _around(self, call: Any) -> Any:
        def dies(*args: Any, **named: Any) -> None:
            if self._when == "after":
                call(*args, **named)
            raise KilledError

        return dies
