"""Checks at the terminal whether a run needs the approval of a second admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain.members import Member, MemberRole, RunAuthor
from ..errors import Guarded, NotAllowed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..application.workspace import Workspace
    from ..domain.rows import RunRow
    from .framework import Run


def authorize_run(
    run: Run, workspace: Workspace, new: Mapping[str, int], *, plan: str | None = None,
    about: Iterable[tuple[str | None, str | None]] = (),
) -> RunAuthor:  # fmt: skip
    """Return the author of a run of these changes.

    Raises Guarded if they need the approval of a second person, which is missing. `plan` is the digest of the plan,
    which others may have approved in the desk. `about` has the names and account ids of the requesters. Raises
    NotAllowed if this user is one of them and another admin could decide.
    """
    from ..application.members import compute_need, read_approvals, read_team

    me, store, now = read_this_member(run), workspace.store, workspace.clock.now()
    team = read_team(store, me, now)
    if team.is_alone:
        return RunAuthor(account=me.user_id, is_free=True)
    if any(me.is_own(name, ident) for name, ident in about):
        raise NotAllowed(
            "you cannot decide your own request; nothing was sent.", hint="Ask another admin to decide about it."
        )
    original_total, approvers = (0, []) if plan is None else read_approvals(store, plan)
    need = compute_need(
        store, team, new, workspace.tray.list_waiting(), now, original_total=original_total, approvers=approvers
    )
    if need.is_open:
        where = "" if plan is None else f"The plan is in the desk: /plans/{plan}."
        raise Guarded(f"{need.why} Nothing was sent.", hint=f"{need.team.describe_next_step()}{where}")
    return need.author


def resume_run(run: Run, workspace: Workspace, known: RunRow, actor: str) -> RunRow:
    """Record that this user resumes a run. Raises Guarded if a second person must do so."""
    from ..application.members import compute_resume_need, read_team
    from ..application.runs import record_resume

    store, now = workspace.store, workspace.clock.now()
    need = compute_resume_need(
        store, read_team(store, read_this_member(run), now), known, workspace.tray.list_waiting(), now
    )
    if need.is_open:
        hint = f"Let another admin with a proven account resume the run, or end it: hf-gate runs stop {known.id}"
        raise Guarded(f"{need.why} Nothing was sent.", hint=hint)
    return record_resume(store, known, actor, now)


def read_this_member(run: Run) -> Member:
    """Return this user as a member of the team: an admin whose account the Hub names."""
    account = run.connection.read_account()
    user_id = None if account is None else account.id
    return Member(
        name=account.name if account else "",
        role=MemberRole.ADMIN,
        has_link=True,
        user_id=user_id,
        proven_at=None if user_id is None else 0,
    )
