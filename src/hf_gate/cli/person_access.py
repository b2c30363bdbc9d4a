"""person grant and revoke: one person at several repos, decided like the targets of `grant` and `revoke`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..errors import InvalidTarget, RequestNotFound
from .decision_commands import decide, reason_options, until_option
from .framework import Run, command, repo_type_option
from .targets import find_matching_repos, is_glob, parse_typed_glob
from .workspace import no_store_error, open_stored_workspace, open_workspace

if TYPE_CHECKING:
    from ..application.workspace import Workspace
    from ..domain.rows import RequestRow

_GIVEN = {"file": None, "repo": None, "repo_type": None}
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
_at_most = click.option(
    "--max", "at_most", type=click.IntRange(min=1), default=100, show_default=True, help="Refuse more repos than this."
)
_max_changes = click.option("--max-changes", type=click.IntRange(min=1), help="With --yes: maximum number of changes.")
_note = click.option("--note", metavar="TEXT", help="Note for the audit log; never shown to the person.")


@command(
    "grant",
    examples=(
        "hf-gate person grant ada-l datasets/acme/eeg acme/med-7b --dry-run",
        "hf-gate person grant ada-l 'datasets/acme/*' --until 1y",
    ),
)
@click.argument("user", metavar="USER")
@click.argument("repos", nargs=-1, required=True, metavar="REPO...")
@repo_type_option
@until_option
@_yes
@_dry_run
@_at_most
@_max_changes
@_note
def person_grant(run: Run, *, user: str, repos: tuple[str, ...], repo_type: str | None, **given: object) -> int:
    """Grant one person access to REPOs; a pattern means every matching repo in the store.

    Pending requests are accepted. Confirmation and outcomes are those of `hf-gate grant`.
    """
    workspace = open_stored_workspace(run)
    person = user if workspace is None else _name_of_person(_find_requests(workspace, user), user)
    found = _expand(run, workspace, repos, repo_type)
    words = [f"{person}@{repo.type.value}:{repo.id}" for repo in found]
    return decide(run, "grant", {**_GIVEN, **given, "targets": words})


@command(
    "revoke",
    examples=(
        "hf-gate person revoke bob99 --reason 'The project has ended.' --dry-run",
        "hf-gate person revoke bob99 'acme/*' --how reject --reason 'The agreement was broken.'",
    ),
)
@click.argument("user", metavar="USER")
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
@click.option(
    "--how",
    type=click.Choice(["reset", "reject", "cancel"]),
    default="reset",
    show_default=True,
    help="The decision that ends the access.",
)
@reason_options
@_yes
@_dry_run
@_at_most
@_max_changes
@_note
def person_revoke(run: Run, *, user: str, repos: tuple[str, ...], repo_type: str | None, **given: object) -> int:
    """End one person's access to REPOs; by default, wherever they have access according to the store.

    Confirmation, reasons and outcomes are those of `hf-gate revoke`.
    """
    workspace = open_workspace(run)
    requests = _find_requests(workspace, user)
    _name_of_person(requests, user)
    among = set(_expand(run, workspace, repos, repo_type)) if repos else None
    accepted = [row for row in requests if row.state.status == Status.ACCEPTED and (among is None or row.repo in among)]
    if not accepted:
        where = "at these repos" if repos else "at any repo"
        raise RequestNotFound(f"{user} has no access {where} in the store.", hint="To read new requests: hf-gate sync")
    return decide(run, "revoke", {**_GIVEN, **given, "targets": [_target_line(row) for row in accepted]})


def _find_requests(workspace: Workspace, user: str) -> Sequence[RequestRow]:
    has_folder, config = workspace.location.folder is not None, workspace.location.config
    found = workspace.store.find_by_identity(None, user)
    return [row for row in found if not has_folder or config.includes(row.repo)]


def _name_of_person(requests: Sequence[RequestRow], user: str) -> str:
    """Return the username of the one person; the typed word if the store does not know it."""
    names = {row.person.id: row.person for row in requests}
    if len(names) > 1:
        raise InvalidTarget(
            f"{len(names)} accounts match {user}.",
            hint=f"Use an account id or pseudonym: hf-gate person show {user}",
        )
    known = next(iter(names.values()), None)
    return user if known is None else known.identity.username or user


def _target_line(row: RequestRow) -> str:
    """Return a request as a line of `ls --format jsonl`, which identifies the person by ids where they are known."""
    return json.dumps({
        "repo": row.repo.id,
        "repo_type": row.repo.type.value,
        "request_id": row.state.hub_request,
        "user_id": row.person.identity.user_id,
        "user": row.person.identity.username,
    })  # fmt: skip


def _expand(run: Run, workspace: Workspace | None, words: Sequence[str], repo_type: str | None) -> list[Repo]:
    """Return the repos that the arguments name. A pattern matches repos in the store."""
    found: list[Repo] = []
    for word in words:
        if not is_glob(word):
            found.append(run.parse_repo(word, repo_type))
            continue
        if workspace is None:
            raise no_store_error()
        matching = list(find_matching_repos(workspace, parse_typed_glob(word, repo_type)))
        if not matching:
            raise InvalidTarget(f"no repo in the store matches {word}.", hint="To read its requests: hf-gate sync REPO")
        found += matching
    return list(dict.fromkeys(found))
