"""Which plans were made at this workspace: whoever can write a file can put a seal on it, but not into the store."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ..domain.moments import ms
from ..errors import Guarded
from ..plan.model import Plan
from ..store.reading import Store
from . import keys


def remember(store: Store, plan: Plan, now: datetime) -> Plan:
    """The same plan, known to the store as long as it may be applied."""
    if plan.changes:
        with store.writing() as write:  # what another process remembered meanwhile is read under the lock
            known = {digest: until for digest, until in _made(store).items() if until > ms(now)}
            write.setting(keys.MADE, msgspec.json.encode({**known, plan.digest: ms(plan.expires_at)}).decode())
    return plan


def check_made_here(store: Store, plan: Plan) -> None:
    """Refuses a plan that this workspace did not make; one that lies whole in the store was made by it, or begun."""
    if plan.digest not in _made(store) and store.plan(plan.digest) is None:
        raise Guarded(
            "this plan was not made at this workspace, or its time is long over; nothing was sent.",
            hint="Make it here: hf-gate plan --out plan.json",
        )


def _made(store: Store) -> dict[str, int]:
    text = store.setting(keys.MADE)
    return {} if text is None else msgspec.json.decode(text, type=dict[str, int])
