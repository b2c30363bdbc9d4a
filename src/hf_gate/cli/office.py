"""What a command needs to judge and to act at a desk: everything joined, and a run carried under the eyes of whoever watches."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from .desk import open_desk

if TYPE_CHECKING:
    from ..domain.rows import RunRow
    from ..plan.model import Plan
    from ..usecases.carry import Carrier
    from ..usecases.run import Desk
    from .frame import Run

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def office(run: Run) -> Desk:
    """The desk that is meant with its policies, tables, lists and Hub; open until the program ends."""
    from .. import joining  # noqa: PLC0415 - only who works at a desk

    opened = open_desk(run, needs_folder=True, writes=True)
    return joining.join_desk(run.settings, opened.place, run.hub, opened.store, actor=opened.actor)


def new_run_id() -> str:
    """`r_` and 12 characters that nobody confuses."""
    return "r_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))


def carrier_of(desk: Desk, begun: RunRow, tick: Callable[[int], None] = lambda _: None) -> Carrier:
    """What carries a run, watched for the wish to pause or stop it."""
    from ..usecases.carry import Carrier  # noqa: PLC0415 - only who sends

    watch = lambda: desk.store.wish(begun.id)  # noqa: E731 - a question, asked between batches
    return Carrier(desk.store, desk.hub, desk.clock, desk.zone, watch=watch, progress=tick)


def digest_for(desk: Desk, made: Plan) -> str | None:
    """What a plan's policies must still come to; None: it was made from none (an undo, a second try)."""
    from ..usecases.propose import policies_digest  # noqa: PLC0415 - only who applies

    return policies_digest(desk.policies) if made.plan.policy_digest else None
