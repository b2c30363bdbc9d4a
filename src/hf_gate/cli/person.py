"""person: lists people, and shows all requests of one account at your repos with their history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

import click

from ..application.ledger_entries import history_records
from ..application.record_builders import attempt_record, stored_attempt
from ..application.records import AttemptRecord
from ..domain.display_text import to_one_line
from ..domain.ids import Repo, parse_repo
from ..errors import NotAllowed, RequestNotFound
from .framework import CommandEntry, GateGroup, Run, command, repo_type_option
from .output import Format, format_age
from .request_details import history_lines
from .request_table import repo_argument, target_argument, verdict_cell
from .store_listing import current_verdicts
from .workspace import announce, open_stored_workspace, select_repos

if TYPE_CHECKING:
    from ..application.workspace import Workspace
    from ..domain.rows import RequestRow


person = GateGroup(
    "person",
    {
        "ls": CommandEntry("person_ls:person_ls", "List people with the status of their requests at each repo."),
        "show": CommandEntry("person:person_show", "Show the requests of one person at all your repos."),
        "grant": CommandEntry(
            "person_access:person_grant", "Grant one person access to several repos.", has_effect=True
        ),
        "revoke": CommandEntry("person_access:person_revoke", "End one person's access everywhere.", has_effect=True),
    },
    help="One person at many repos: list, show, grant and revoke.\n\n"
    "USER is a username, an account id, an e-mail address, or a pseudonym from the audit log.",
)


@command("show", examples=("hf-gate person show ada-l", "hf-gate person show ada-l --repo datasets/acme/eeg --json"))
@click.argument("user", metavar="USER")
@click.option("--repo", metavar="REPO", help="Only requests at this repo.")
@repo_type_option
@click.option("--live", is_flag=True, help="Read from the Hub, repo by repo, even if there is a store.")
def person_show(run: Run, *, user: str, repo: str | None, repo_type: str | None, live: bool) -> int:
    """Show the requests of one account at all your repos: every attempt, its outcome, and who decided.

    USER is a username, an account id, an e-mail address, or a pseudonym from the audit log. Reads the store, or the Hub
    if there is no store. The Hub keeps no earlier attempts.
    """
    only = None if repo is None else parse_repo(repo, repo_type)
    workspace = None if live else open_stored_workspace(run)
    rows = _attempts_on_hub(run, user, only) if workspace is None else _stored_attempts(workspace, user, only)
    if not rows:
        where = "the Hub's lists" if workspace is None else "the store"
        raise RequestNotFound(
            f"there is no request of {user} in {where}.", hint="To search for part of a name: hf-gate ls --query WORD"
        )
    if run.out.format is Format.HUMAN:
        for line in _live_lines(run, rows) if workspace is None else _lines(run, workspace, user, only):
            run.out.line(to_one_line(line))
        return 0
    run.out.records(AttemptRecord, rows, (), name=target_argument, limit=-1)
    return 0


def _stored_attempts(workspace: Workspace, user: str, repo: Repo | None) -> list[AttemptRecord]:
    verdicts = current_verdicts(workspace.location.folder)
    return [stored_attempt(row, verdicts) for row in _attempts(workspace, user, repo)]


def _attempts(workspace: Workspace, user: str, repo: Repo | None) -> list[RequestRow]:
    """Return the attempts of a person, ordered by repo and time."""
    people = dict.fromkeys(row.person.id for row in workspace.store.find_by_identity(None, user))
    found = [row for ident in people for row in workspace.store.attempts(repo, ident)]
    return sorted(found, key=lambda row: (row.repo, row.person.id, row.state.asked_at))


def _attempts_on_hub(run: Run, user: str, repo: Repo | None) -> list[AttemptRecord]:
    """Read the person's requests from the Hub; repos whose requests the token cannot read are skipped."""
    announce(run)
    found = []
    for each in [repo] if repo else select_repos(run, (), None):
        try:
            request = run.hub.find(each, user)
        except NotAllowed:
            run.out.warn(f"skipped {each}, because this token cannot review it.")
            continue
        if request is not None:
            found.append(attempt_record(request))
    return found


# ---- output ------------------------------------------------------------------------------------------------------------


def _lines(run: Run, workspace: Workspace, user: str, repo: Repo | None) -> Iterator[str]:
    attempts = _attempts(workspace, user, repo)
    for _, theirs in groupby(sorted(attempts, key=lambda row: row.person.id), lambda row: row.person.id):
        yield from _person_lines(run, workspace, list(theirs))


def _person_lines(run: Run, workspace: Workspace, attempts: Sequence[RequestRow]) -> Iterator[str]:
    who = attempts[-1].person
    known = who.identity
    names = [text for text in (known.fullname, known.email, known.user_id) if text]
    yield f"{known.username or '(hidden)'}  {'  '.join(names)}  {who.pseudonym}"
    for _, here in groupby(sorted(attempts, key=lambda row: row.repo), lambda row: row.repo):
        theirs = list(here)
        yield f"  {_attempt_line(run, stored_attempt(theirs[-1], current_verdicts(workspace.location.folder)))}"
        yield from history_lines(history_records(workspace.store, theirs))


def _attempt_line(run: Run, row: AttemptRecord) -> str:
    asked = format_age(datetime.fromisoformat(row.asked_at), run.now())
    until = f", until {row.until}" if row.until else ""
    verdict = f", verdict {verdict_cell(row)}" if row.verdict else ""
    return f"{repo_argument(row)}: {row.status}, asked {asked} ago{until}{verdict}"


def _live_lines(run: Run, rows: Sequence[AttemptRecord]) -> Iterator[str]:
    for row in rows:
        yield f"{row.user}  {_attempt_line(run, row)}"
