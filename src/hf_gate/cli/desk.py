"""Opens the workspace for a command: its place, its store and its clock, said on stderr before anything is written."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from ..domain.ids import Repo, parse_repo
from ..errors import UsageError
from .frame import Run
from .tokens import owners_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..bootstrap import HubClock, WorkspaceLocation
    from ..store.reading import Store


@dataclass(frozen=True)
class OpenDesk:
    """What a command works with. `place.folder` None: there is no workspace, and the store is this user's."""

    run: Run
    location: WorkspaceLocation
    store: Store

    @property
    def clock(self) -> HubClock:
        """The Hub client's clock, for application code that calls it."""
        return self.run.hub_clock

    @property
    def actor(self) -> str:
        """Who acts: the token's account, else the user of this machine."""
        account = self.run.account
        return account.name if account else local_user()

    def now(self) -> datetime:
        """This moment; with HF_GATE_CLOCK=hub the local Hub's."""
        return self.run.now()


def local_user() -> str:
    """The user of this machine, as the ledger names whoever acts without an account."""
    try:
        return f"local:{getpass.getuser()}"
    except (OSError, KeyError):
        return "local:unknown"


def open_desk(run: Run, *, needs_folder: bool = False, writes: bool = False, lends: bool = False) -> OpenDesk:
    """The workspace with its store open until the program ends; `needs_folder`: a user's store will not do.

    `writes`: the Hub or the store is about to be changed. Then it is said where, and nobody else may write meanwhile;
    with `lends` they may while nothing is written here.
    """
    from .. import bootstrap  # noqa: PLC0415 - help needs none of it

    place = run.location
    if needs_folder and place.folder is None:
        raise UsageError(
            "there is no workspace here: no hf-gate.yaml in this folder or above it.", hint="`hf-gate init` makes one."
        )
    if not writes and not bootstrap.has_store(run.settings, place):
        raise no_store()
    run.announce(writes=writes)
    context = click.get_current_context()
    is_first = writes and place.folder is None and not bootstrap.has_store(run.settings, place)
    store = bootstrap.open_store(
        run.settings,
        place,
        read_only=not writes,
        lends=lends,
        command=context.command_path,
        on_wait=waiting_notice(run),
    )
    if is_first:
        path = bootstrap.store_url(run.settings, place).removeprefix("sqlite:///")
        run.out.say(f"Names and answers are kept in {path}. To delete them: hf-gate store remove", "dim")
    context.find_root().call_on_close(store.close)
    return OpenDesk(run, place, store)


def waiting_notice(run: Run) -> Callable[[str, float], None]:
    """Says on stderr which process has the store, and how long this one waits for it."""

    def tell(holder: str, seconds: float) -> None:
        run.out.say(f"Waiting up to {seconds:.0f} s for {holder}, which has the store.", "dim")

    return tell


def no_store() -> UsageError:
    """What a command says that needs a store where nothing was read yet."""
    return UsageError(
        "there is no store yet: nothing was read or decided here.",
        hint="`hf-gate sync REPO` makes one, `hf-gate init` makes one with policies.",
    )


def stored(run: Run) -> OpenDesk | None:
    """The workspace if its store has been made already: reading alone makes none."""
    from .. import bootstrap  # noqa: PLC0415 - as above

    return open_desk(run) if bootstrap.has_store(run.settings, run.location) else None


def wanted_repos(run: Run, named: Sequence[str], repo_type: str | None) -> list[Repo]:
    """The repos that were named, else those of the workspace, else all gated ones of the token's account."""
    from ..application.scope import repos_of  # noqa: PLC0415 - as above

    if named:
        return list(dict.fromkeys(parse_repo(text, repo_type) for text in named))
    if run.location.folder is not None:
        owners = owners_of(run) if run.account else ()
        return repos_of(run.location.config.repos, run.hub, owners)
    return list(dict.fromkeys(gate.repo for owner in owners_of(run) for gate in run.hub.gated_repos(owner)))
