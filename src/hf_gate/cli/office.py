"""What a command needs to judge and to act at a workspace: everything joined, who carries a run, and whether a plan still holds."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .desk import no_store, open_desk

if TYPE_CHECKING:
    from ..application.carry import Carrier
    from ..application.planning import Desk
    from ..domain.rows import RunRow
    from ..plan.model import Plan
    from ..policy.tables import Table
    from .frame import Run

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def office(run: Run, *, judges: bool = True) -> Desk:
    """The workspace that is meant with its policies, tables, lists and Hub; open until the program ends.

    Not `judges`: without any policy, so that broken ones are in nobody's way, and this user's own store will do.
    """
    from .. import bootstrap, joining  # noqa: PLC0415 - only who works at a workspace

    if not judges and not bootstrap.has_store(run.settings, run.location):
        raise no_store()
    opened = open_desk(run, needs_folder=judges, writes=True)
    if not judges:
        return joining.bare_desk(opened.location, run.hub, opened.store, actor=opened.actor)
    desk = joining.join_desk(run.settings, opened.location, run.hub, opened.store, actor=opened.actor)
    for _, table in sorted(desk.tables.items()):
        if table.refusal:
            run.out.warn(refusal_of(table))
    return desk


def refusal_of(table: Table) -> str:
    """A refused table in a sentence."""
    return f"{table.refusal}; every rule that asks it is unknown."


def speaks(made: Plan) -> bool:
    """Whether a plan speaks for any policy; what follows from a person's run may not."""
    return bool(made.plan.policy_digest) or any(change.policy for change in made.changes)


def judging(run: Run, bare: Desk, made: Plan) -> Desk:
    """The same workspace with its policies, if a plan speaks for any."""
    from .. import joining  # noqa: PLC0415 - as above

    if not speaks(made):
        return bare
    return joining.join_desk(run.settings, run.location, run.hub, bare.store, actor=bare.actor)


def new_run_id() -> str:
    """`r_` and 12 characters that nobody confuses."""
    return "r_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))


def carrier_of(desk: Desk, begun: RunRow, tick: Callable[[int], None] = lambda _: None) -> Carrier:
    """What carries a run, watched for the wish to pause or stop it."""
    from ..application.carry import Carrier  # noqa: PLC0415 - only who sends

    watch = lambda: desk.store.wish(begun.id)  # noqa: E731 - a question, asked between batches
    return Carrier(desk.store, desk.hub, desk.clock, desk.zone, watch=watch, progress=tick)


def check_in_force(desk: Desk, made: Plan) -> None:
    """Refuses a plan that is for elsewhere, too old, or from policies that are others by now (an undo is from none)."""
    from ..application.propose import policies_digest  # noqa: PLC0415 - only who applies
    from ..application.runs import check, versions_of  # noqa: PLC0415 - only who applies

    check(
        made,
        endpoint=desk.store.endpoint,
        policy_digest=policies_digest(desk.policies) if made.plan.policy_digest else None,
        now=desk.clock.now(),
        versions=versions_of(desk.policies),
    )


@contextmanager
def looking_seldom() -> Iterator[None]:
    """Requests hold on to nothing in circles: to look for that as often as usual takes a thirteenth of a long reading."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
