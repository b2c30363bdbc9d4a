"""The ladder of confirmations: one change goes at once, a few after a yes, many after their number was typed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from ..application.inputs import is_confirmed
from ..domain.display_text import to_json
from ..domain.rows import count_pending
from ..errors import Guarded
from .workspace import open_stored_workspace

if TYPE_CHECKING:
    from ..application.workspace import Workspace
    from ..plan.guards import Confirmation
    from ..plan.model import Change
    from .framework import Run
    from .targets import DecisionCommand

_SHOWN: Final = 20  # people who are named in the question


def confirm_decision(run: Run, wish: DecisionCommand) -> None:
    """Returns when the changes may be sent; raises `Guarded` (exit code 6) when nobody confirmed them."""
    from ..plan.guards import MAX_CONFIRMED_ACCEPTS, Confirmation, required_confirmation  # noqa: PLC0415 - only who decides

    verb = "accept" if wish.verb == "grant" else wish.effect
    count = Counter({verb: len(wish.targets)})
    needed = required_confirmation(count, 0)
    if needed is Confirmation.TYPED and verb == "accept" and len(wish.targets) > MAX_CONFIRMED_ACCEPTS:
        needed = required_confirmation(count, _waiting(run))
    reason = f" with the reason {to_json(wish.reason)}" if wish.reason else ""
    reason = f" with the template {wish.template.name}" if wish.template else reason
    _require_confirmation(
        needed,
        len(wish.targets),
        question=f"{wish.verb} {len(wish.targets)} people{reason}?",
        show=lambda: _show(run, wish),
        yes=wish.is_confirmed,
        max_changes=wish.max_changes,
        may_ask=run.may_ask and not wish.is_from_stdin,
        hint=", or try --dry-run",
    )


def confirm_plan(
    run: Run, workspace: Workspace, changes: Sequence[Change], *, yes: bool, max_changes: int | None
) -> None:
    """The same for the changes of a plan, of whom the first are named."""
    from ..plan.guards import plan_confirmation  # noqa: PLC0415 - only who applies
    from ..plan.render import render_changes, summarize_changes  # noqa: PLC0415 - as above

    def show() -> None:
        for line in (*render_changes(changes[:_SHOWN]), summarize_changes(changes)):
            run.out.say(line)

    waiting = count_pending(workspace.store.repos())
    _require_confirmation(
        plan_confirmation(changes, waiting),
        len(changes),
        question=f"{len(changes)} changes?",
        show=show,
        yes=yes,
        max_changes=max_changes,
        may_ask=run.may_ask,
    )


def _require_confirmation(
    needed: Confirmation,
    count: int,
    *,
    question: str,
    show: Callable[[], None],
    yes: bool,
    max_changes: int | None,
    may_ask: bool,
    hint: str = "",
) -> None:
    """Whether so many changes may be sent: by a flag, or by an answer; raises `Guarded` when not."""
    from ..plan.guards import Confirmation  # noqa: PLC0415 - as above

    is_typed = needed is Confirmation.TYPED
    if needed is Confirmation.NONE:
        return
    if max_changes is not None and max_changes < count:  # a limit that was said holds, also where a plain yes is enough
        raise Guarded(
            f"{count} changes are more than --max-changes {max_changes}; nothing was sent.",
            hint=f"If all are meant: --yes --max-changes {count}{hint}.",
        )
    if yes and (not is_typed or max_changes is not None):
        return
    if yes:
        raise Guarded(
            f"--yes alone is not enough for {count} changes; nothing was sent.",
            hint=f"If all are meant: --yes --max-changes {count}{hint}.",
        )
    if not may_ask:
        flags = f"--yes --max-changes {count}" if is_typed else "--yes"
        raise Guarded(
            f"{count} changes need a yes, and nobody was asked; nothing was sent.", hint=f"Add {flags}{hint}."
        )
    show()
    if is_typed:
        answer = click.prompt(f"{question} Type {count} to go on", default="", show_default=False, err=True)
        if is_confirmed(answer, count):
            return
    elif click.confirm(question, err=True):
        return
    raise Guarded("not confirmed; nothing was sent.", hint="--dry-run shows what would be sent." if hint else "")


def _waiting(run: Run) -> int:
    """How many wait in all, as far as the store knows."""
    opened = open_stored_workspace(run)
    return 0 if opened is None else count_pending(opened.store.repos())


def _show(run: Run, wish: DecisionCommand) -> None:
    for aim in wish.targets[:_SHOWN]:
        run.out.say(f"  {wish.verb} {aim}")
    if len(wish.targets) > _SHOWN:
        run.out.say(f"  and {len(wish.targets) - _SHOWN} more")
