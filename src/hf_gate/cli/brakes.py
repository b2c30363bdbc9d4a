"""The ladder of confirmations: one change goes at once, a few after a yes, many after their number was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ..errors import Guarded
from .output import to_json

if TYPE_CHECKING:
    from .carrying import Wish
    from .frame import Run

FEW: Final = 20  # rejections, resets and cancellations: a yes is enough up to here
SOME: Final = 50  # acceptances


def needs_typed_count(effect: str, count: int) -> bool:
    """Whether so many changes of that kind ask for more than a yes."""
    return count > (SOME if effect in {"accept", "grant"} else FEW)


def check_brakes(run: Run, wish: Wish) -> None:
    """Returns when the changes may be sent; raises `Guarded` (exit code 6) when nobody confirmed them."""
    count = len(wish.aims)
    if count == 1:
        return
    typed = needs_typed_count(wish.effect, count)
    if wish.yes and (not typed or (wish.max_changes or 0) >= count):
        return
    if run.may_ask and not wish.from_stdin:
        _ask(run, wish, typed)
        return
    flags = f"--yes --max-changes {count}" if typed else "--yes"
    raise Guarded(
        f"{count} changes need a yes, and nobody was asked; nothing was sent.", hint=f"Add {flags}, or try --dry-run."
    )


def _ask(run: Run, wish: Wish, typed: bool) -> None:
    for aim in wish.aims[:FEW]:
        run.out.say(f"  {wish.verb} {aim}")
    count = len(wish.aims)
    if count > FEW:
        run.out.say(f"  and {count - FEW} more")
    reason = f" with the reason {to_json(wish.reason)}" if wish.reason else ""
    if typed:
        answer = click.prompt(
            f"{wish.verb} {count} people{reason}? Type {count} to go on", default="", show_default=False, err=True
        )
        if answer.strip().replace(",", "") == str(count):
            return
    elif click.confirm(f"{wish.verb} {count} people{reason}?", err=True):
        return
    raise Guarded("not confirmed; nothing was sent.", hint="--dry-run shows what would be sent.")
