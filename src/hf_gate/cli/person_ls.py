"""person ls: lists the people in the store with the status of their latest request at each repo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from ..application.record_builders import person_record
from ..application.records import PersonRecord
from ..domain.display_text import pluralize
from ..domain.lifecycle import STATUSES
from ..domain.query_parser import parse_query
from ..domain.timestamps import to_ms
from .framework import Run, command, limit_options
from .output import Column
from .workspace import open_workspace

if TYPE_CHECKING:
    from ..application.workspace import Workspace

_PAGE: Final = 200


@command(
    "ls",
    examples=("hf-gate person ls", "hf-gate person ls --query 'status:accepted domain:*.edu' --format csv"),
)
@click.option("--query", "-Q", default="", metavar="QUERY", help="Only people with a request that matches.")
@limit_options
def person_ls(run: Run, *, query: str, limit: int | None) -> int:
    """List people with the status of each matching request; the most recent requesters first.

    Reads the store. `hf-gate help queries` explains --query. Each request of a hidden account counts as one person.
    """
    workspace = open_workspace(run)
    columns: list[Column[PersonRecord]] = [
        Column("WHO", lambda row: row.user or row.person),
        Column("NAME", lambda row: row.fullname or "-", drop_rank=2),
        Column("EMAIL", lambda row: row.email or "-", drop_rank=1),
        Column("REPOS", lambda row: str(len(row.requests))),
        Column("REQUESTS", _count_statuses),
    ]
    run.out.records(
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
    from ..application.approval_status import resolve_approvals

    query, now, cursor = resolve_approvals(workspace, parse_query(text)), to_ms(workspace.now()), None
    while True:
        page = workspace.queue.read_people_page(
            query, now=now, zone=workspace.zone, limit=_PAGE, newest_first=True, cursor=cursor
        )
        for rows in page.people:
            if rows:
                yield person_record(rows[0].person, {str(row.repo): row.state.status for row in rows})
        cursor = page.next
        if cursor is None:
            return


def _count_statuses(row: PersonRecord) -> str:
    count = Counter(row.requests.values())
    known = [status for status in STATUSES if count[status]]
    others = sorted(status for status in count if status not in STATUSES)
    return ", ".join(pluralize(count[status], status, status) for status in [*known, *others])
