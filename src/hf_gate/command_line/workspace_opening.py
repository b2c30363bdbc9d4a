"""Opens the workspace of a command, with its policies if needed, and prints on stderr which workspace it is."""

from __future__ import annotations

import getpass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.ids import Repo
from hf_gate.command_line.hub.token_rights import list_own_repos, owners_of
from hf_gate.core.people.members import MemberRole
from hf_gate.core.runs import RunKind
from hf_gate.errors import HfGateError, HubUnavailable, NotAllowed, Offline, UsageError

from .framework import CommandContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hf_gate.core.people.accounts import Account
    from hf_gate.core.stored_rows import RunRow
    from hf_gate.decisions.service.runs.run_executor import RunExecutor
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.plan.model import Plan
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle

_SHORT_WAIT_S: Final = 3.0  # for the Hub's answer, by commands that work without it


def local_user() -> str:
    """Return the local user, as the audit log names an actor without a Hub account."""
    try:
        return f"local:{getpass.getuser()}"
    except (OSError, KeyError):
        return "local:unknown"


def open_workspace(
    context: CommandContext,
    *,
    needs_folder: bool = False,
    writes: bool = False,
    lends: bool = False,
    is_preview: bool = False,
    stays_open: bool = True,
) -> Workspace:
    """Return the workspace. `needs_folder` excludes the user's own store.

    Its store is open until the program ends; without `stays_open`, the caller closes it before.

    `writes` means that the Hub or the store will be changed. The target is then printed, and other processes cannot
    write meanwhile; with `lends`, they can whenever this process does not write. With `is_preview`, a missing store is
    replaced with an empty one that the command deletes when it ends.
    """
    from hf_gate.workspace.service import bootstrap

    location = context.location
    if needs_folder and location.folder is None:
        raise UsageError(
            "there is no workspace here: no hf-gate.yaml in this folder or above it.",
            hint="`hf-gate init` creates one.",
        )
    has_store = bootstrap.has_store(context.settings, location)
    if not (writes or has_store or is_preview):
        raise no_store_error()
    announce_target(context, writes=writes or is_preview)
    click_context = click.get_current_context()
    url = None
    if is_preview and not has_store:
        scratch = TemporaryDirectory(prefix="hf-gate-")
        click_context.find_root().call_on_close(scratch.cleanup)
        url = f"sqlite:///{scratch.name}/empty.db"
    is_first = writes and location.folder is None and not has_store
    workspace = bootstrap.connect_workspace(
        context.connection,
        location,
        url=url,
        read_only=not writes and url is None,
        lends=lends,
        command=click_context.command_path,
        on_wait=waiting_notice(context),
        on_upgrade=lambda line: context.out.say(line, "dim"),
    )
    if is_first:
        path = bootstrap.store_url(context.settings, location).removeprefix("sqlite:///")
        context.out.say(f"Names and answers are stored in {path}. To delete them: hf-gate store remove", "dim")
    if stays_open:
        click_context.find_root().call_on_close(workspace.store.close)
    try:
        if writes:
            _say_member(context, workspace)
    except BaseException:
        workspace.store.close()
        raise
    return workspace


def _say_member(context: CommandContext, workspace: Workspace) -> None:
    """Print for which member this shell is taken, if the desk has members. Raises NotAllowed if they change nothing."""
    from hf_gate.members.service.members import find_member_of

    if not workspace.store.members():
        return
    require_right_to_change(workspace, context.account)
    me = find_member_of(workspace.store, context.account)
    words = "no member" if me is None else f"{me.name} ({'owner' if me.is_owner else me.role.value})"
    context.out.say(f"In the desk of this workspace you are {words}.", "dim")


def require_right_to_change(workspace: Workspace, account: Account | None, repos: Iterable[Repo] = ()) -> None:
    """Raise NotAllowed for a former member of the desk, a viewer, and a member who may not decide at one of the repos.

    An account that was never a member has the rights that its token has on the Hub.
    """
    from hf_gate.core.parsing.literals import matches_any
    from hf_gate.members.service.members import find_member_of, is_removed_account

    if account is None:
        return
    me = find_member_of(workspace.store, account)
    other = None if me is None else next((repo for repo in repos if not matches_any(me.repos, repo)), None)
    why = None
    if is_removed_account(workspace.store, account):
        why = "was removed from"
    elif me is not None and not me.role.covers(MemberRole.REVIEWER):
        why = "is a viewer in"
    elif other is not None:
        why = f"may not decide at {other} in"
    if why is not None:
        raise NotAllowed(
            f"The Hub account {account.name} {why} the desk of this workspace; nothing was changed.",
            hint=f"Ask an admin (hf-gate members add {account.name}), or use the token of another account.",
        )


def waiting_notice(context: CommandContext) -> Callable[[str, float], None]:
    """Return a function that prints which process uses the store, and how long this process waits."""

    def tell(holder: str, seconds: float) -> None:
        context.out.say(f"Waiting up to {seconds:.0f} s for {holder}, which is using the store.", "dim")

    return tell


def no_store_error() -> UsageError:
    """Return the error for a command that needs a store when there is none."""
    return UsageError(
        "there is no store yet: nothing was synced or decided here.",
        hint="Create one with `hf-gate sync REPO`, or together with policies by `hf-gate init`.",
    )


def open_stored_workspace(context: CommandContext) -> Workspace | None:
    """Return the workspace if its store exists, else None. Does not create a store."""
    from hf_gate.workspace.service import bootstrap

    return open_workspace(context) if bootstrap.has_store(context.settings, context.location) else None


def remember_file(context: CommandContext, path: Path) -> None:
    """Remember an export or a plan that was written, so that `store remove` can name it."""
    from hf_gate.workspace.service import bootstrap
    from hf_gate.workspace.service.store_maintenance import file_of_store, record_file

    store = file_of_store(bootstrap.store_url(context.settings, context.location))
    if store is not None and store.is_file():
        record_file(store, path)


def select_repos(context: CommandContext, named: Sequence[str], repo_type: str | None) -> list[Repo]:
    """Return the named repos, else those of the workspace, else all gated repos of the token's account."""
    from hf_gate.requests.service.repo_globs import expand_repo_globs

    if named:
        return list(dict.fromkeys(context.parse_repo(text, repo_type) for text in named))
    if context.location.folder is not None:
        owners = owners_of(context) if context.account else ()
        return expand_repo_globs(context.location.config.repos, context.hub, owners)
    return list_own_repos(context)


def announce_target(context: CommandContext, *, writes: bool = False, works_offline: bool = False) -> None:
    """Print the Hub, account and workspace on stderr, before a write or if they are not the default.

    Raises the Hub's error if the account is unknown before a write, unless the command also works without the Hub: then
    it waits for the Hub for a few seconds only, and the actor is the local user.
    """
    from hf_gate.workspace.service import bootstrap

    has_folder = context.location.folder is not None
    settings = context.settings
    if context.is_announced or not (writes or has_folder or bootstrap.has_other_hub(settings)):
        return
    context.is_announced = True
    is_refused = False
    if works_offline:
        context.limit_wait(_SHORT_WAIT_S)
    try:
        account = context.account
    except HfGateError as problem:
        if works_offline:
            context.connection.account = None  # so that nothing asks again, and waits again
        elif writes or not isinstance(problem, HubUnavailable | NotAllowed | Offline):
            raise
        account = None  # the store can still be read, and a call to the Hub reports the error
        is_refused = isinstance(problem, NotAllowed) and bootstrap.has_token(settings)
    profile = f" (profile {settings.profile})" if settings.profile else ""
    unknown = ", token not accepted" if is_refused else ", not signed in"
    who = f" as {account.name}" if account else unknown
    where = f", workspace {context.location.title}" if has_folder else ""
    context.out.say(f"{bootstrap.name_of_hub(settings)}{who}{profile}{where}", "dim")


def find_actor(context: CommandContext) -> str:
    """Return the actor: the token's account, else the local user."""
    account = context.account
    return account.name if account else local_user()


# ---- policies and runs -----------------------------------------------------------------------------------------------


def open_with_policies(
    context: CommandContext, *, is_preview: bool = False, stays_open: bool = True
) -> tuple[Workspace, PolicyBundle]:
    """Return the workspace, open for writing except for a preview, and its policies; refused tables are reported.

    `stays_open`: see `open_workspace`.
    """
    from hf_gate.verdicts.service.policy_bundle import load_policies

    workspace = open_workspace(
        context, needs_folder=True, writes=not is_preview, is_preview=is_preview, stays_open=stays_open
    )
    try:
        bundle = load_policies(workspace)
    except BaseException:
        workspace.store.close()
        raise
    for _, table in sorted(bundle.tables.items()):
        if table.refusal:
            context.out.warn(f"{table.refusal_text}.")
    return workspace, bundle


def open_for_runs(context: CommandContext, *, is_preview: bool = False) -> Workspace:
    """Return the workspace or the user's own store, open for writing except for a preview, without its policies."""
    from hf_gate.workspace.service import bootstrap

    if not bootstrap.has_store(context.settings, context.location):
        raise no_store_error()
    return open_workspace(context, writes=not is_preview, is_preview=is_preview)


def load_policies_for(workspace: Workspace, plan: Plan) -> PolicyBundle | None:
    """Return the current policies if the plan depends on any, so that broken policies do not prevent an undo."""
    from hf_gate.decisions.service.runs.runs import needs_policies
    from hf_gate.verdicts.service.policy_bundle import load_policies

    return load_policies(workspace) if needs_policies(plan) else None


def executor_for(workspace: Workspace, run: RunRow, tick: Callable[[int], None] = lambda _: None) -> RunExecutor:
    """Return an executor for a run that obeys stop requests."""
    from hf_gate.approvals.service.approvals import ApprovalCheck
    from hf_gate.decisions.service.runs.run_executor import make_executor
    from hf_gate.settings.service.unattended_stop import read_stop

    store = workspace.store

    def read_stop_request() -> str | None:
        """Called between batches.

        When all unattended work is stopped, a run of `hf-gate run` ends; its rest is planned again.
        """
        is_stopped = run.kind is RunKind.AUTO and read_stop(store) is not None
        return store.stop_request(run.id) or ("stop" if is_stopped else None)

    return make_executor(workspace, ApprovalCheck(workspace), read_stop_request=read_stop_request, progress=tick)
