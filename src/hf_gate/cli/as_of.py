"""The option --as-of: opens a view of an earlier moment and prints how certain it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .output import Format

if TYPE_CHECKING:
    from ..application.as_of import PastView
    from ..application.workspace import Workspace
    from ..domain.ids import Repo
    from .framework import Run

as_of_option: Callable[[Any], Any] = click.option(
    "--as-of",
    metavar="DATE",
    help="Show an earlier moment, from the audit log: a date (its end, in the workspace's zone) or a timestamp.",
)


def read_view(workspace: Workspace, repos: Sequence[Repo], as_of: str | None) -> PastView:
    """Return the view of these repos, or of all repos of the workspace, at a moment; None means now."""
    from ..application.as_of import parse_moment, read_past_view

    now = workspace.now()
    at = now if as_of is None else parse_moment(as_of, now, workspace.zone)
    return read_past_view(workspace.store, repos or _own_repos(workspace), at.astimezone(workspace.zone))


def _own_repos(workspace: Workspace) -> list[Repo]:
    location = workspace.location
    rows = [row.repo for row in workspace.store.repos()]
    found = sorted(repo for repo in rows if location.folder is None or location.config.includes(repo))
    if not found:
        raise UsageError("the store has no repo yet.", hint="Read the repos first: hf-gate sync REPO")
    return found


def print_certainty(run: Run, view: PastView) -> None:
    """Print on stderr how certain a view is, for people and agents."""
    if run.out.format in {Format.HUMAN, Format.AGENT}:
        for line in view.describe():
            run.out.say(line, "dim")
    for repo in view.unknown:
        if run.out.format not in {Format.HUMAN, Format.AGENT}:
            run.out.warn(f"{repo} is left out, because its audit log begins later.")


def refuse_with_as_of(others: Mapping[str, object]) -> None:
    """Refuse the given ones of these options, because the ledger cannot answer them."""
    for option, value in others.items():
        if value:
            raise UsageError(
                f"--as-of reads the audit log, so {option} cannot be used with it.", hint=f"Omit {option}."
            )
