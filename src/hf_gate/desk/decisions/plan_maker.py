"""Makes a plan from the policies in a background thread, because many requests take longer than a page may."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Final

import msgspec

from hf_gate.approvals.rows.plans import save_plan
from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import Member
from hf_gate.decisions.service.plans.planning import make_plan
from hf_gate.errors import Guarded, HfGateError, UsageError
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.plan.model import Plan
from hf_gate.verdicts.plan.words import count_staying
from hf_gate.verdicts.service.policy_bundle import PolicyBundle
from hf_gate.verdicts.service.policy_watcher import PolicyWatcher, describe_other_files

_log = logging.getLogger("hf_gate.desk")
MAX_PROFILES: Final = 200  # profiles read for one plan


def store_plan(workspace: Workspace, plan: Plan, by: Member, kind: str, **more: object) -> str:
    """Store a plan with its summary, so that it has a page; return its digest.

    `by_account` is the account that made it.
    """
    summary = {
        "by": by.name,
        "by_id": by.id,
        "by_account": by.account_id,
        "kind": kind,
        "changes": len(plan.changes),
        "verbs": dict(Counter(change.verb for change in plan.changes)),
        "staying": count_staying(plan.summary),
        "expires_at": to_ms(plan.expires_at),
        **more,
    }
    rows = [change.row for change in plan.changes]
    now = to_ms(workspace.now())
    save_plan(workspace.store, plan.digest, msgspec.json.encode(plan), now, summary, rows)
    return plan.digest


class PlanMaker:
    """Makes one plan at a time. A request during that time waits for the same plan."""

    def __init__(self, workspace: Workspace, policies: PolicyWatcher) -> None:
        self._workspace = workspace
        self._policies = policies
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.digest: str | None = None
        self.problem: HfGateError | None = None

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, by: Member, wait: float) -> None:
        """Start making a plan, and wait up to `wait` seconds for it. Raises UsageError without usable policies.

        Raises Guarded if the loop that leads uses other ones.
        """
        bundle = self._policies.current
        if bundle is None:
            raise self._policies.problem_for(by) or UsageError(
                "There is no workspace here, so there are no policies.", hint="Make one: hf-gate init"
            )
        if (why := describe_other_files(self._workspace.store, bundle)) is not None:
            raise Guarded(f"{why} No plan was made.", hint="Give all machines the same files first.")
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
            evaluate = self._policies.pool(bundle).evaluate
            made = make_plan(self._workspace, bundle, evaluate, profile_budget=MAX_PROFILES)
            self.digest = store_plan(self._workspace, made.plan, by, "policies")
        except HfGateError as problem:
            self.problem = problem
        except Exception:  # noqa: BLE001 - the page shows that it failed; the log has the traceback
            _log.exception("making a plan failed")
            self.problem = HfGateError("hf-gate failed; the log has the traceback.", hint="Please report it.")
