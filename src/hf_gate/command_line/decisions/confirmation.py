"""Asks for confirmation, by yes or by the typed number, and for the second person that large changes need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.display_text import limit_lines, make_visible, pluralize, to_json
from hf_gate.command_line.output import style_mark
from hf_gate.command_line.workspace_opening import open_stored_workspace, require_right_to_change
from hf_gate.core.people.members import Member, MemberRole, RunAuthor
from hf_gate.core.stored_rows import count_pending
from hf_gate.decisions.typed_input import is_confirmed
from hf_gate.errors import Guarded, NotAllowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hf_gate.base.ids import Repo
    from hf_gate.command_line.framework import CommandContext
    from hf_gate.command_line.targets import DecisionCommand
    from hf_gate.core.changes import Change
    from hf_gate.core.stored_rows import RunRow
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.plan.guards import Confirmation


_SHOWN: Final = 20  # the most people named before the question


def confirm(context: CommandContext, question: str, effect: str, hint: str = "Add --yes to do it.") -> None:
    """Ask a question. Raises Guarded, with what did not happen, if the answer is no or if nobody can be asked."""
    if not context.may_ask:
        raise Guarded(f"cannot ask for confirmation here; {effect}.", hint=hint)
    if not click.confirm(question, err=True):
        raise Guarded(f"not confirmed; {effect}.")


def require_typed(question: str, expected: int | str, effect: str, hint: str = "") -> None:
    """Ask until this number or name is typed. Raises Guarded, with what did not happen, for an empty answer or a no."""
    while not is_confirmed(answer := click.prompt(question, default="", show_default=False, err=True), expected):
        if answer.strip().lower() in {"", "n", "no"}:
            raise Guarded(f"not confirmed; {effect}.", hint=hint)
        click.echo(f"That is not {expected}. Try again, or press Enter to stop.", err=True)


def confirm_decision(context: CommandContext, decision: DecisionCommand) -> None:
    """Return normally if the changes may be sent. Raises Guarded (exit code 6) if they are not confirmed."""
    from hf_gate.verdicts.plan.guards import MAX_CONFIRMED_ACCEPTS, Confirmation, required_confirmation

    verb = "accept" if decision.verb == "grant" else decision.effect
    count = Counter({verb: len(decision.targets)})
    needed = required_confirmation(count, 0)
    if needed is Confirmation.TYPED and verb == "accept" and len(decision.targets) > MAX_CONFIRMED_ACCEPTS:
        needed = required_confirmation(count, _count_stored_pending(context))
    reason = f" with the reason {to_json(decision.reason)}" if decision.reason else ""
    reason = f" with the template {decision.template.name}" if decision.template else reason
    if decision.is_dry_run and needed is not Confirmation.NONE and not decision.is_confirmed:
        context.out.hint(
            f"To send them without a question, write {_flags_for(needed, len(decision.targets))} instead of --dry-run."
        )
    _require_confirmation(
        needed,
        len(decision.targets),
        question=f"{decision.verb} {len(decision.targets)} people{reason}?",
        show=lambda: _print_targets(context, decision),
        yes=decision.is_confirmed,
        max_changes=decision.max_changes,
        may_ask=context.may_ask and not decision.is_from_stdin,
        hint=", or try --dry-run",
        is_dry_run=decision.is_dry_run,
    )


def confirm_plan(
    context: CommandContext,
    workspace: Workspace,
    changes: Sequence[Change],
    *,
    yes: bool,
    max_changes: int | None,
    is_dry_run: bool = False,
) -> None:
    """Confirm the changes of a plan like `confirm_decision`. The first changes are printed before the question."""
    from hf_gate.verdicts.plan.guards import plan_confirmation
    from hf_gate.verdicts.plan.render import render_changes, summarize_changes

    def show() -> None:
        for line in (*render_changes(changes[:_SHOWN]), summarize_changes(changes)):
            context.out.say(style_mark(line))

    waiting = count_pending(workspace.store.repos())
    _require_confirmation(
        plan_confirmation(changes, waiting),
        len(changes),
        question=f"{len(changes)} changes?",
        show=show,
        yes=yes,
        max_changes=max_changes,
        may_ask=context.may_ask,
        is_dry_run=is_dry_run,
    )


def confirm_ends(
    context: CommandContext,
    lines: Sequence[str],
    question: str,
    *,
    yes: bool,
    max_changes: int | None,
    may_skip: bool = False,
) -> None:
    """Confirm new ends of access like the changes of a plan; the first lines are printed before the question.

    With `may_skip`, a single end needs no confirmation.
    """
    from hf_gate.verdicts.plan.guards import MAX_CONFIRMED, Confirmation

    needed = Confirmation.TYPED if len(lines) > MAX_CONFIRMED else Confirmation.CONFIRM
    if may_skip and len(lines) == 1:
        needed = Confirmation.NONE

    def show() -> None:
        for line in limit_lines(lines, _SHOWN):
            context.out.say(f"  {make_visible(line, one_line=True)}")

    _require_confirmation(
        needed,
        len(lines),
        question=question.format(len(lines)),
        show=show,
        yes=yes,
        max_changes=max_changes,
        may_ask=context.may_ask,
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
    is_dry_run: bool = False,
) -> None:
    """Accept the flags or ask.

    Raises Guarded if the changes are not confirmed. A dry run keeps the limits, and never asks.
    """
    from hf_gate.verdicts.plan.guards import Confirmation

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
    if is_dry_run:
        return
    if not may_ask:
        raise Guarded(
            f"hf-gate cannot ask for confirmation of {pluralize(count, 'change')} here; nothing was sent.",
            hint=f"Add {_flags_for(needed, count)}{hint}.",
        )
    show()
    show_only = "--dry-run shows what would be sent." if hint else ""
    if is_typed:
        require_typed(f"{question} Type {count} to continue", count, "nothing was sent", show_only)
    elif not click.confirm(question, err=True):
        raise Guarded("not confirmed; nothing was sent.", hint=show_only)


def _flags_for(needed: Confirmation, count: int) -> str:
    """Return the flags that replace a confirmation."""
    from hf_gate.verdicts.plan.guards import Confirmation

    return f"--yes --max-changes {count}" if needed is Confirmation.TYPED else "--yes"


def _count_stored_pending(context: CommandContext) -> int:
    """Return the number of pending requests in the store; 0 without a store."""
    opened = open_stored_workspace(context)
    return 0 if opened is None else count_pending(opened.store.repos())


def _print_targets(context: CommandContext, decision: DecisionCommand) -> None:
    for line in limit_lines(decision.targets, _SHOWN, lambda target: f"{decision.verb} {target}"):
        context.out.say(f"  {line}")


# ---- the second person -----------------------------------------------------------------------------------------------


def authorize_run(
    context: CommandContext,
    workspace: Workspace,
    new: Mapping[str, int],
    repos: Iterable[Repo],
    *,
    plan: str | None = None,
    about: Iterable[tuple[str | None, str | None]] = (),
) -> RunAuthor:
    """Return the author of a run of these changes at these repos.

    Raises Guarded if they need the approval of a second person, which is missing. `plan` is the digest of the plan,
    which others may have approved in the desk. `about` has the names and account ids of the requesters. Raises
    NotAllowed if this user is one of them and another admin could decide, or a member who may not decide there.
    """
    from hf_gate.approvals.service.approvals import read_plan_approvals
    from hf_gate.members.service.members import compute_act_quorum, read_team

    me = read_this_member(context)
    store = workspace.store
    now = workspace.clock.now()
    require_right_to_change(workspace, context.connection.read_account(), repos)
    team = read_team(store, me, now)
    if team.is_alone:
        return RunAuthor(account=me.user_id, is_free=True)
    if any(me.is_own(name, ident) for name, ident in about):
        raise NotAllowed(
            "you cannot decide your own request; nothing was sent.", hint="Ask another admin to decide about it."
        )
    original_total, approvers = (0, []) if plan is None else read_plan_approvals(store, plan)
    quorum = compute_act_quorum(store, team, new, now, original_total=original_total, approvers=approvers)
    if quorum.is_open:
        where = "" if plan is None else f" The plan is in the desk: /plans/{plan}"
        raise Guarded(f"{quorum.why} Nothing was sent.", hint=f"{quorum.team.describe_next_step()}{where}")
    return quorum.author


def resume_run(context: CommandContext, workspace: Workspace, known: RunRow, actor: str) -> RunRow:
    """Record that this user resumes a run. Raises Guarded if a second person must do so."""
    from hf_gate.decisions.service.runs.runs import record_resume
    from hf_gate.members.service.members import compute_resume_quorum, read_team

    store = workspace.store
    now = workspace.clock.now()
    require_right_to_change(workspace, context.connection.read_account(), store.repos_of_run(known.id))
    quorum = compute_resume_quorum(store, read_team(store, read_this_member(context), now), known, now)
    if quorum.is_open:
        end = context.command_line("runs", "stop", known.id, "--for-good")
        hint = f"Let another admin continue the run, or end it: {end}"
        raise Guarded(f"{quorum.why} Nothing was sent.", hint=hint)
    return record_resume(store, known, actor, now)


def require_member_for_ends(context: CommandContext, workspace: Workspace, repos: Iterable[Repo]) -> Member:
    """Return this user, who changes ends of access.

    Where a desk has members, only they can do so, at their own repos.
    """
    from hf_gate.members.service.members import find_member_of

    account = context.connection.read_account()
    require_right_to_change(workspace, account, repos)
    if workspace.store.members() and find_member_of(workspace.store, account) is None:
        who = (
            "No Hub account is signed in here"
            if account is None
            else f"The Hub account {account.name} belongs to no member of this desk"
        )
        raise NotAllowed(
            f"{who}; nothing was changed.",
            hint="Use the token of a member, or ask an admin: hf-gate members add NAME",
        )
    return read_this_member(context)


def read_this_member(context: CommandContext) -> Member:
    """Return this user as a member of the team: an admin whose account the Hub names."""
    account = context.connection.read_account()
    user_id = None if account is None else account.id
    return Member(
        name=account.name if account else "",
        role=MemberRole.ADMIN,
        is_active=True,
        user_id=user_id,
    )
