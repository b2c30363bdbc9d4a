"""Makes a plan from the policies in a background thread, because many requests take longer than a page may."""

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
from ..plan.words import count_staying

if TYPE_CHECKING:
    from .app_state import AppState

_log = logging.getLogger("hf_gate.web")
MAX_PROFILES: Final = 200  # profiles read for one plan


def store_plan(app_state: AppState, plan: Plan, by: Member, kind: str, **more: object) -> str:
    """Store a plan with its summary, so that it has a page; return its digest.

    `by_account` is the proven account that made it.
    """
    summary = {
        "by": by.name,
        "by_id": by.id,
        "by_account": by.proven_account,
        "kind": kind,
        "changes": len(plan.changes),
        "verbs": dict(Counter(change.verb for change in plan.changes)),
        "staying": count_staying(plan.summary),
        "expires_at": to_ms(plan.expires_at),
        **more,
    }
    rows = [change.row for change in plan.changes]
    now = to_ms(app_state.now())
    app_state.workspace.plans.store_plan(plan.digest, msgspec.json.encode(plan), now, summary, rows)
    return plan.digest


class PlanMaker:
    """Makes one plan at a time. A request during that time waits for the same plan."""

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
        """Start making a plan, and wait up to `wait` seconds for it. Raises UsageError without usable policies."""
        bundle = self._app_state.policies.current
        if bundle is None:
            raise self._app_state.policy_problem_for(by) or UsageError(
                "There is no workspace here, so there are no policies.", hint="Make one: hf-gate init"
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
            made = make_plan(
                app_state.workspace, bundle, app_state.policies.pool(bundle).evaluate, profile_budget=MAX_PROFILES
            )
            self.digest = store_plan(app_state, made.plan, by, "policies")
        except HfGateError as problem:
            self.problem = problem
        except Exception:  # noqa: BLE001 - the page shows that it failed; the log has the traceback
            _log.exception("making a plan failed")
            self.problem = HfGateError("hf-gate failed; the log has the traceback.", hint="Please report it.")
