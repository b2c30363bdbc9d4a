"""Makes a plan of what the policies ask for, on a thread of its own: with many requests that takes longer than a page may."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from ..application.planning import make_plan
from ..application.policy_bundle import PolicyBundle
from ..domain.members import Member
from ..domain.timestamps import to_ms
from ..errors import HfGateError, UsageError
from ..plan.model import Plan

if TYPE_CHECKING:
    from .app_state import AppState

_log = logging.getLogger("hf_gate.web")
MAX_PROFILES: Final = 200  # read for one plan at most


def summarize_plan(plan: Plan, by: Member, kind: str, **more: object) -> dict[str, object]:
    """What is said of a plan where it is not read whole. `seen`: the proven accounts that made it or agreed to it."""
    return {
        "by": by.name,
        "by_id": by.id,
        "seen": [] if by.proven_account is None else [by.proven_account],
        "kind": kind,
        "changes": len(plan.changes),
        "verbs": dict(Counter(change.verb for change in plan.changes)),
        "expires_at": to_ms(plan.expires_at),
        **more,
    }


def store_plan(app_state: AppState, plan: Plan, by: Member, kind: str, **more: object) -> str:
    """Keeps a plan, so that it has a page; its digest."""
    app_state.workspace.plans_and_runs.store_plan(
        plan.digest, msgspec.json.encode(plan), to_ms(app_state.now()), summarize_plan(plan, by, kind, **more)
    )
    return plan.digest


class PlanMaker:
    """One plan at a time; whoever asks while one is made gets that one."""

    def __init__(self, app_state: AppState) -> None:
        self._app_state = app_state
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.digest: str | None = None
        self.problem: HfGateError | None = None

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, by: Member, wait: float) -> None:
        """Begins to make one, and waits so many seconds for it. Refuses where no policies can be asked."""
        bundle = self._app_state.policies.current
        if bundle is None:
            raise self._app_state.policy_problem_for(by) or UsageError(
                "There is no workspace here, so there are no policies.", hint="hf-gate init makes one."
            )
        with self._lock:
            if not self.is_busy:
                self.digest = self.problem = None
                self._thread = threading.Thread(target=self._work, args=(bundle, by), name="hf-gate-plan", daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(wait)

    def _work(self, bundle: PolicyBundle, by: Member) -> None:
        try:
            app_state = self._app_state
            found = make_plan(
                app_state.workspace, bundle, app_state.policies.pool(bundle).evaluate, profile_budget=MAX_PROFILES
            )
            self.digest = store_plan(app_state, found.plan, by, "policies")
        except HfGateError as problem:
            self.problem = problem
        except Exception:  # noqa: BLE001 - told on the page, and the log has the rest
            _log.exception("no plan was made")
            self.problem = HfGateError("A fault of hf-gate; the log has it.", hint="Please report it.")
