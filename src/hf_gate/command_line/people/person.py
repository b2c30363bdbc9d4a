"""person: lists people, and shows all requests of one account with their history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.batches import iterate_cursor_pages
from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import format_age, to_ms
from hf_gate.command_line.framework import (
    CommandContext,
    CommandEntry,
    LazyGroup,
    command,
    limit_options,
    repo_type_option,
)
from hf_gate.command_line.output import Format
from hf_gate.command_line.request_table import history_lines, repo_argument, target_argument, verdict_cell
from hf_gate.command_line.text_layout import Column
from hf_gate.command_line.workspace_opening import announce_target, open_stored_workspace, open_workspace, select_repos
from hf_gate.core.lifecycle import STATUSES
from hf_gate.core.people.grants import format_last_day
from hf_gate.core.records import AttemptRecord, PersonRecord
from hf_gate.decisions.records import person_record
from hf_gate.errors import NotAllowed, RequestNotFound
from hf_gate.requests.query_parser import parse_query
from hf_gate.requests.rows.queue import read_people_page
from hf_gate.requests.service.request_history import history_records
from hf_gate.requests.service.request_records import attempt_record, stored_attempt

if TYPE_CHECKING:
    from hf_gate.core.stored_rows import RequestRow
    from hf_gate.settings.service.workspace import Workspace

person = LazyGroup(
    "person",
    {
        "ls": CommandEntry(
            "hf_gate.command_line.people.person:person_ls",
            "List people with the status of their requests at each repo.",
        ),
        "show": CommandEntry(
            "hf_gate.command_line.people.person:person_show", "Show the requests of one person at all your repos."
        ),
        "export": CommandEntry(
            "hf_gate.command_line.people.person_data:person_export", "Export all that is held about one person."
        ),
        "erase": CommandEntry(
            "hf_gate.command_line.people.person_data:person_erase",
            "Erase one person from the store and its backups.",
            has_effect=True,
        ),
    },
    help="One person at many repos: list, show, export and erase.\n\n"
    "USER is a username, an account id, an e-mail address, or a pseudonym from the audit log.",
)


@command(
    "show",
    examples=(
        "hf-gate person show ada-l",
        "hf-gate person show ada-l --repo datasets/acme/eeg --json",
    ),
)
@click.argument("user", metavar="USER")
@click.option("--repo", metavar="REPO", help="Only requests at this repo.")
@repo_type_option
@click.option("--live", is_flag=True, help="Read from the Hub, repo by repo, even if there is a store.")
def person_show(context: CommandContext, *, user: str, repo: str | None, repo_type: str | None, live: bool) -> int:
    """Show the requests of one account at all your repos: every attempt, its outcome, and who decided.

    USER is a username, an account id, an e-mail address, or a pseudonym from the audit log. Reads the store, or the Hub
    if there is no store. The Hub keeps no earlier attempts.
    """
    only = None if repo is None else context.parse_repo(repo, repo_type)
    workspace = None if live else open_stored_workspace(context)
    attempts = [] if workspace is None else _attempts(workspace, user, only)
    rows = _attempts_on_hub(context, user, only) if workspace is None else _stored_attempts(workspace, attempts)
    if not rows:
        where = "the Hub's lists" if workspace is None else "the store"
        search = context.command_line("ls", "--query", "WORD")
        raise RequestNotFound(
            f"there is no request of {user} in {where}.", hint=f"To search for part of a name: {search}"
        )
    if context.out.format is Format.HUMAN:
        pairs = zip(attempts, rows, strict=True)
        for line in _live_lines(context, rows) if workspace is None else _lines(context, workspace, pairs):
            context.out.line(line)
        return 0
    context.out.records(AttemptRecord, rows, (), name=target_argument, limit=-1)
    return 0


def _stored_attempts(workspace: Workspace, attempts: Sequence[RequestRow]) -> list[AttemptRecord]:
    from hf_gate.grants.service.row_details import pair_with_details
    from hf_gate.verdicts.service.current_verdicts import read_current_verdicts

    verdicts = read_current_verdicts(workspace.location.folder)
    pairs = pair_with_details(workspace, attempts)
    return [stored_attempt(row, verdicts, details) for row, details in pairs]


def _attempts(workspace: Workspace, user: str, repo: Repo | None) -> list[RequestRow]:
    """Return the attempts of a person, ordered by repo and time."""
    people = dict.fromkeys(row.person.id for row in workspace.store.find_by_identity(None, user))
    found = [row for ident in people for row in workspace.store.attempts(repo, ident)]
    return sorted(found, key=lambda row: (row.repo, row.person.id, row.state.asked_at))


def _attempts_on_hub(context: CommandContext, user: str, repo: Repo | None) -> list[AttemptRecord]:
    """Read the person's requests from the Hub; repos whose requests the token cannot read are skipped."""
    announce_target(context)
    found = []
    for each in [repo] if repo else select_repos(context, (), None):
        try:
            request = context.hub.find(each, user)
        except NotAllowed:
            context.out.warn(f"skipped {each}, because this token cannot review it.")
            continue
        if request is not None:
            found.append(attempt_record(request))
    return found


# ---- output ----------------------------------------------------------------------------------------------------------


def _lines(
    context: CommandContext, workspace: Workspace, pairs: Iterable[tuple[RequestRow, AttemptRecord]]
) -> Iterator[str]:
    """Yield the attempts and the history of each person at each repo."""
    for _, some in groupby(sorted(pairs, key=lambda pair: pair[0].person.id), lambda pair: pair[0].person.id):
        theirs = list(some)
        last = theirs[-1][0]
        known = last.person.identity
        names = [text for text in (known.fullname, known.email, known.user_id) if text]
        yield f"{last.person_name}  {'  '.join(names)}  {last.person.pseudonym}"
        for _, there in groupby(theirs, lambda pair: pair[0].repo):
            here = list(there)
            yield f"  {_attempt_line(here[-1][1], context.now(), workspace.zone)}"
            yield from history_lines(history_records(workspace.store, [row for row, _ in here], zone=workspace.zone))


def _attempt_line(row: AttemptRecord, now: datetime, zone: tzinfo = UTC) -> str:
    asked = format_age(datetime.fromisoformat(row.asked_at), now)
    until = f", until {format_last_day(row.until, zone)}" if row.until else ""
    verdict = f", verdict {verdict_cell(row)}" if row.verdict else ""
    return f"{repo_argument(row)}: {row.status}, asked {asked} ago{until}{verdict}"


def _live_lines(context: CommandContext, rows: Sequence[AttemptRecord]) -> Iterator[str]:
    for row in rows:
        yield f"{row.user}  {_attempt_line(row, context.now())}"


# ---- person ls -------------------------------------------------------------------------------------------------------


_PAGE: Final = 200


@command(
    "ls",
    examples=("hf-gate person ls", "hf-gate person ls --query 'status:accepted domain:*.edu' --format csv"),
)
@click.option("--query", "-Q", default="", metavar="QUERY", help="Only people with a request that matches this query.")
@limit_options
def person_ls(context: CommandContext, *, query: str, limit: int | None) -> int:
    """List people with the status of each matching request; most recent requesters first.

    Reads the store. `hf-gate help queries` explains --query. Each request of a hidden account counts as one person.
    """
    workspace = open_workspace(context)
    columns: list[Column[PersonRecord]] = [
        Column("WHO", lambda row: row.user or row.person),
        Column("NAME", lambda row: row.fullname or "-", is_flexible=True, min_width=10, drop_rank=1),
        Column("EMAIL", lambda row: row.email or "-", is_flexible=True, min_width=12, drop_rank=2),
        Column("REPOS", lambda row: str(len(row.requests))),
        Column("REQUESTS", _count_statuses),
    ]
    context.out.records(
        PersonRecord,
        _people(workspace, query),
        columns,
        name=lambda row: row.user or row.person,
        limit=limit,
        empty="No people match." if query else "Nobody has asked yet.",
        part="the newest {}",
    )
    return 0


def _people(workspace: Workspace, text: str) -> Iterator[PersonRecord]:
    """Yield the people page by page; a person with several matching requests occurs once."""
    from hf_gate.approvals.service.approval_status import resolve_approvals

    query = resolve_approvals(workspace, parse_query(text))
    now = to_ms(workspace.now())
    read = partial(
        read_people_page, workspace.store, query, now=now, zone=workspace.zone, limit=_PAGE, newest_first=True
    )
    for page in iterate_cursor_pages(lambda cursor: read(cursor=cursor)):
        for rows in filter(None, page.people):
            yield person_record(rows[0].person, {str(row.repo): row.state.status for row in rows})


def _count_statuses(row: PersonRecord) -> str:
    count = Counter(row.requests.values())
    known = [status for status in STATUSES if count[status]]
    others = sorted(status for status in count if status not in STATUSES)
    return ", ".join(pluralize(count[status], status, status) for status in [*known, *others])
