"""Which plans were made at this workspace: whoever can write a file can put a seal on it, but not into the store."""

from __future__ import annotations

from datetime import datetime

from ..domain.moments import to_ms
from ..errors import Guarded
from ..plan.model import Plan
from ..store.reading import Store


def remember(store: Store, plan: Plan, now: datetime) -> Plan:
    """The same plan, known to the store as long as it may be applied."""
    if plan.changes:
        with store.writing() as write:
            write.made_plan(plan.digest, to_ms(plan.expires_at), to_ms(now))
    return plan


def check_made_here(store: Store, plan: Plan) -> None:
    """Refuses a plan that this workspace did not make; one that lies whole in the store was made by it, or begun."""
    if not store.is_plan_made(plan.digest) and store.plan(plan.digest) is None:
        raise Guarded(
            "this plan was not made at this workspace, or its time is long over; nothing was sent.",
            hint="Make it here: hf-gate plan --out plan.json",
        )
