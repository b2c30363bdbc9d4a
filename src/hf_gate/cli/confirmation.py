"""Asks for confirmation: not for one change, with yes or no for a few, with the typed number for many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from ..application.inputs import is_confirmed
from ..domain.display_text import make_visible, to_json
from ..domain.rows import count_pending
from ..errors import Guarded
from .workspace import open_stored_workspace

if TYPE_CHECKING:
    from ..application.workspace import Workspace
    from ..plan.guards import Confirmation
    from ..plan.model import Change
    from .framework import Run
    from .targets import DecisionCommand

_SHOWN: Final = 20  # the most people named before the question


def confirm_decision(run: Run, decision: DecisionCommand) -> None:
    """Return normally if the changes may be sent. Raises Guarded (exit code 6) if they are not confirmed."""
    from ..plan.guards import MAX_CONFIRMED_ACCEPTS, Confirmation, required_confirmation

    verb = "accept" if decision.verb == "grant" else decision.effect
    count = Counter({verb: len(decision.targets)})
    needed = required_confirmation(count, 0)
    if needed is Confirmation.TYPED and verb == "accept" and len(decision.targets) > MAX_CONFIRMED_ACCEPTS:
        needed = required_confirmation(count, _count_stored_pending(run))
    reason = f" with the reason {to_json(decision.reason)}" if decision.reason else ""
    reason = f" with the template {decision.template.name}" if decision.template else reason
    _require_confirmation(
        needed,
        len(decision.targets),
        question=f"{decision.verb} {len(decision.targets)} people{reason}?",
        show=lambda: _print_targets(run, decision),
        yes=decision.is_confirmed,
        max_changes=decision.max_changes,
        may_ask=run.may_ask and not decision.is_from_stdin,
        hint=", or try --dry-run",
    )


def confirm_plan(
    run: Run, workspace: Workspace, changes: Sequence[Change], *, yes: bool, max_changes: int | None
) -> None:
    """Confirm the changes of a plan like `confirm_decision`. The first changes are printed before the question."""
    from ..plan.guards import plan_confirmation
    from ..plan.render import render_changes, summarize_changes

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


def confirm_ends(
    run: Run, lines: Sequence[str], question: str, *, yes: bool, max_changes: int | None, may_skip: bool = False
) -> None:
    """Confirm new ends of access like the changes of a plan; the first lines are printed before the question.

    With `may_skip`, a single end needs no confirmation.
    """
    from ..plan.guards import MAX_CONFIRMED, Confirmation

    needed = Confirmation.TYPED if len(lines) > MAX_CONFIRMED else Confirmation.CONFIRM
    if may_skip and len(lines) == 1:
        needed = Confirmation.NONE

    def show() -> None:
        for line in lines[:_SHOWN]:
            run.out.say(f"  {make_visible(line, one_line=True)}")
        if len(lines) > _SHOWN:
            run.out.say(f"  and {len(lines) - _SHOWN} more")

    _require_confirmation(
        needed,
        len(lines),
        question=question.format(len(lines)),
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
    """Accept the flags or ask. Raises Guarded if the changes are not confirmed."""
    from ..plan.guards import Confirmation

    is_typed = needed is Confirmation.TYPED
    if needed is Confirmation.NONE:
        return
    if max_changes is not None and max_changes < count:  # an explicit limit applies even if --yes is enough
        raise Guarded(
            f"{count} changes exceed --max-changes {max_changes}; nothing was sent.",
            hint=f"To send them all: --yes --max-changes {count}{hint}.",
        )
    if yes and (not is_typed or max_changes is not None):
        return
    if yes:
        raise Guarded(
            f"--yes alone is not enough for {count} changes; nothing was sent.",
            hint=f"To send them all: --yes --max-changes {count}{hint}.",
        )
    if not may_ask:
        flags = f"--yes --max-changes {count}" if is_typed else "--yes"
        raise Guarded(
            f"{count}changes need confirmation, but hf-gate cannot ask here; nothing was sent.",
            hint=f"Add {flags}{hint}.",
        )
    show()
    if is_typed:
        answer = click.prompt(f"{question} Type {count} to continue", default="", show_default=False, err=True)
        if is_confirmed(answer, count):
            return
    elif click.confirm(question, err=True):
        return
    raise Guarded("not confirmed; nothing was sent.", hint="--dry-run shows what would be sent." if hint else "")


def _count_stored_pending(run: Run) -> int:
    """Return the number of pending requests in the store; 0 without a store."""
    opened = open_stored_workspace(run)
    return 0 if opened is None else count_pending(opened.store.repos())


def _print_targets(run: Run, decision: DecisionCommand) -> None:
    for target in decision.targets[:_SHOWN]:
        run.out.say(f"  {decision.verb} {target}")
    if len(decision.targets) > _SHOWN:
        run.out.say(f"  and {len(decision.targets) - _SHOWN} more")
