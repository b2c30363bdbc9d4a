"""Opens the workspace for a command, with its policies if the command needs them, and reports on stderr what it works on."""

from __future__ import annotations

import gc
import getpass
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ..domain.ids import Repo, parse_repo
from ..errors import HubUnavailable, NotAllowed, Offline, UsageError
from .framework import Run
from .token_rights import owners_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..application.policy_bundle import PolicyBundle
    from ..application.run_executor import RunExecutor
    from ..application.workspace import Workspace
    from ..domain.rows import RunRow
    from ..plan.model import Plan
    from ..policy.tables import Table


def local_user() -> str:
    """The user of this machine, as the ledger names whoever acts without an account."""
    try:
        return f"local:{getpass.getuser()}"
    except (OSError, KeyError):
        return "local:unknown"


def open_workspace(run: Run, *, needs_folder: bool = False, writes: bool = False, lends: bool = False) -> Workspace:
    """Return the workspace with its store open until the program ends; `needs_folder`: a user's store will not do.

    `writes`: the Hub or the store is about to be changed. Then it is said where, and nobody else may write meanwhile;
    with `lends` they may while nothing is written here.
    """
    from .. import bootstrap  # noqa: PLC0415 - help needs none of it

    location = run.location
    if needs_folder and location.folder is None:
        raise UsageError(
            "there is no workspace here: no hf-gate.yaml in this folder or above it.", hint="`hf-gate init` makes one."
        )
    if not writes and not bootstrap.has_store(run.settings, location):
        raise no_store_error()
    announce(run, writes=writes)
    context = click.get_current_context()
    is_first = writes and location.folder is None and not bootstrap.has_store(run.settings, location)
    workspace = bootstrap.open_workspace(
        run.connection,
        location,
        read_only=not writes,
        lends=lends,
        command=context.command_path,
        on_wait=waiting_notice(run),
    )
    if is_first:
        path = bootstrap.store_url(run.settings, location).removeprefix("sqlite:///")
        run.out.say(f"Names and answers are kept in {path}. To delete them: hf-gate store remove", "dim")
    context.find_root().call_on_close(workspace.store.close)
    return workspace


def waiting_notice(run: Run) -> Callable[[str, float], None]:
    """Says on stderr which process has the store, and how long this one waits for it."""

    def tell(holder: str, seconds: float) -> None:
        run.out.say(f"Waiting up to {seconds:.0f} s for {holder}, which has the store.", "dim")

    return tell


def no_store_error() -> UsageError:
    """What a command says that needs a store where nothing was read yet."""
    return UsageError(
        "there is no store yet: nothing was read or decided here.",
        hint="`hf-gate sync REPO` makes one, `hf-gate init` makes one with policies.",
    )


def open_stored_workspace(run: Run) -> Workspace | None:
    """Return the workspace if its store exists: reading alone makes none."""
    from .. import bootstrap  # noqa: PLC0415 - as above

    return open_workspace(run) if bootstrap.has_store(run.settings, run.location) else None


def select_repos(run: Run, named: Sequence[str], repo_type: str | None) -> list[Repo]:
    """The repos that were named, else those of the workspace, else all gated ones of the token's account."""
    from ..application.repo_globs import expand_globs  # noqa: PLC0415 - as above

    if named:
        return list(dict.fromkeys(parse_repo(text, repo_type) for text in named))
    if run.location.folder is not None:
        owners = owners_of(run) if run.account else ()
        return expand_globs(run.location.config.repos, run.hub, owners)
    return list(dict.fromkeys(gate.repo for owner in owners_of(run) for gate in run.hub.gated_repos(owner)))


def announce(run: Run, *, writes: bool = False) -> None:
    """Say on stderr which Hub, account and workspace this works on: before a write, and where they are not the default."""
    from .. import bootstrap  # noqa: PLC0415 - as above

    has_folder, settings = run.location.folder is not None, run.settings
    if run.is_announced or not (writes or has_folder or bootstrap.has_other_hub(settings)):
        return
    run.is_announced, is_refused = True, False
    try:
        account = run.account
    except (HubUnavailable, NotAllowed, Offline) as problem:
        if writes:
            raise
        account = None  # reading the store goes on; a call to the Hub reports this itself
        is_refused = isinstance(problem, NotAllowed) and bootstrap.has_token(settings)
    profile = f" (profile {settings.profile})" if settings.profile else ""
    unknown = ", token not accepted" if is_refused else ", not signed in"
    who = f" as {account.name}" if account else unknown
    where = f", workspace {run.location.title}" if has_folder else ""
    run.out.say(f"{bootstrap.name_of_hub(settings)}{who}{profile}{where}", "dim")


def actor_of(run: Run) -> str:
    """Who acts: the token's account, else the user of this machine."""
    account = run.account
    return account.name if account else local_user()


# ---- policies and runs -------------------------------------------------------------------------------------------------


def open_with_policies(run: Run) -> tuple[Workspace, PolicyBundle]:
    """Return the workspace, open for writing, and its policies; refused tables are reported."""
    from ..application.policy_bundle import load_policies  # noqa: PLC0415 - only what evaluates needs policies

    workspace = open_workspace(run, needs_folder=True, writes=True)
    bundle = load_policies(workspace)
    for _, table in sorted(bundle.tables.items()):
        if table.refusal:
            run.out.warn(describe_refusal(table))
    return workspace, bundle


def open_for_runs(run: Run) -> Workspace:
    """Return the workspace, open for writing; broken policies do not matter, and this user's own store will do."""
    from .. import bootstrap  # noqa: PLC0415 - as above

    if not bootstrap.has_store(run.settings, run.location):
        raise no_store_error()
    return open_workspace(run, writes=True)


def describe_refusal(table: Table) -> str:
    """Return a sentence about a refused table."""
    return f"{table.refusal}; every rule that asks it is unknown."


def load_policies_for(workspace: Workspace, plan: Plan) -> PolicyBundle | None:
    """Return the policies in force if a plan speaks for any; so broken ones keep nobody from undo."""
    from ..application.policy_bundle import load_policies  # noqa: PLC0415 - as above
    from ..application.runs import needs_policies  # noqa: PLC0415 - as above

    return load_policies(workspace) if needs_policies(plan) else None


def make_executor(workspace: Workspace, run: RunRow, tick: Callable[[int], None] = lambda _: None) -> RunExecutor:
    """Return what executes a run and stops when somebody asked for that."""
    from ..application.run_executor import RunExecutor  # noqa: PLC0415 - only who sends

    store = workspace.store
    watch = lambda: store.stop_request(run.id)  # noqa: E731 - asked between batches
    return RunExecutor(store, workspace.hub, workspace.clock, workspace.zone, read_stop_request=watch, progress=tick)


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Run cyclic GC less often: requests form no cycles, and GC costs 8 % of a long sync."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
