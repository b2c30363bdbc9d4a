"""Lists requests from the store, by query, for repos that have had a full sync."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from ..application.records import RequestRecord
from ..application.request_record_builders import stored_request
from ..domain.lifecycle import STATUSES
from ..domain.query import ASSIGNED_TO_ME, Pattern, Query, Term
from ..domain.query_parser import parse_query
from ..domain.timestamps import from_ms, to_ms
from .assign import member_at_terminal
from .output import FIRST_ROWS, Column, Format, format_age
from .request_table import ls_columns, target_argument
from .workspace import open_stored_workspace

if TYPE_CHECKING:
    from ..application.workspace import Workspace
    from ..domain.ids import Repo
    from ..domain.rows import RepoRow, RequestRow
    from .framework import Run

PAGE: Final = 500


class ListingQuery(Struct, frozen=True):
    """The arguments of `ls`. A status in the query overrides `statuses`."""

    repos: Sequence[Repo]
    statuses: Sequence[str]
    query: str = ""
    oldest_first: bool = False


def find_listing(run: Run, arguments: ListingQuery) -> StoreListing | None:
    """Return the listing; None unless all of these repos have had a full sync."""
    workspace = open_stored_workspace(run)
    if workspace is None:
        return None
    known = {row.repo: row for row in workspace.store.repos() if row.full_at is not None}
    asker = _find_asker(run, workspace, arguments.query)
    if arguments.repos:
        rows = [known[repo] for repo in arguments.repos if repo in known]
        return StoreListing(workspace, rows, arguments, asker) if len(rows) == len(arguments.repos) else None
    if workspace.location.folder is None:
        return None  # only the Hub knows which repos belong to the account
    rows = [row for repo, row in sorted(known.items()) if workspace.location.config.includes(repo)]
    return StoreListing(workspace, rows, arguments, asker) if rows else None


def _find_asker(run: Run, workspace: Workspace, query: str) -> str:
    """Return the id of the member who uses the terminal, if the query names them."""
    if not parse_query(query).names_asker:
        return ""
    from ..application.assignments import find_assignee

    member = find_assignee(workspace, ASSIGNED_TO_ME, member_at_terminal(run))
    return "" if member is None else member.id


class StoreListing:
    """The requests in the store that match a listing query."""

    def __init__(self, workspace: Workspace, repos: Sequence[RepoRow], arguments: ListingQuery, asker: str) -> None:
        from ..application.approval_status import resolve_approvals
        from ..application.current_verdicts import read_current_verdicts

        self.workspace, self.repos, self.arguments = workspace, repos, arguments
        own = parse_query(arguments.query)
        keys = {term.key for term in own.terms if not term.is_not}
        terms = [_one_of("repo", [str(row.repo) for row in repos])]
        if "status" not in keys and set(arguments.statuses) != set(STATUSES):
            terms.append(_one_of("status", arguments.statuses))
        self.query = resolve_approvals(workspace, Query((*terms, *own.terms)).asked_by(asker))
        self.is_unfiltered = not own.terms
        self.verdicts = read_current_verdicts(workspace.location.folder)

    # ---- rows ----------------------------------------------------------------------------------------------------------

    def requests(self, limit: int | None) -> Iterator[RequestRow]:
        """Yield the requests in order, at most `limit`."""
        left, cursor, now = limit, None, to_ms(self.workspace.now())
        while left is None or left > 0:
            page = self.workspace.store.query(
                self.query,
                now=now,
                zone=self.workspace.zone,
                limit=PAGE if left is None else min(PAGE, left),
                newest_first=not self.arguments.oldest_first,
                cursor=cursor,
            )
            yield from page.rows
            left = None if left is None else left - len(page.rows)
            cursor = page.next
            if cursor is None:
                return

    def rows(self, limit: int | None, *, with_quality: bool) -> Iterable[RequestRecord]:
        """Return the records that `ls` prints."""
        from ..application.assignments import pair_with_details

        pairs = pair_with_details(self.workspace, self.requests(limit))
        return (stored_request(row, self.verdicts, details, with_quality=with_quality) for row, details in pairs)

    # ---- text ----------------------------------------------------------------------------------------------------------

    @property
    def total(self) -> int | None:
        """Return the total if the store keeps it as a counter, else None."""
        if not self.is_unfiltered:
            return None
        return sum(row.counts.get(status, 0) for row in self.repos for status in self.arguments.statuses)

    @property
    def empty_text(self) -> str:
        """Return the sentence for an empty table."""
        where = str(self.repos[0].repo) if len(self.repos) == 1 else f"{len(self.repos)} repos"
        return (
            f"No requests at {where} match."
            if not self.is_unfiltered
            else f"No {' or '.join(self.arguments.statuses)} requests at {where}."
        )

    def describe(self) -> str:
        """Describe the listing: which requests, their order, and the age of the data."""
        statuses = self.arguments.statuses
        lists = "all statuses" if set(statuses) == set(STATUSES) else " and ".join(statuses)
        what = lists if self.is_unfiltered else self.arguments.query.strip()
        order = "oldest first" if self.arguments.oldest_first else "newest first"
        return f"({what}, {order}, from the store, synced {self._age()} ago)"

    def _age(self) -> str:
        read = [max(filter(None, (row.quick_at, row.full_at))) for row in self.repos]
        return format_age(from_ms(min(read)), self.workspace.now())


def _one_of(key: str, values: Sequence[str]) -> Term:
    return Term(key, tuple(Pattern((value,)) for value in values))


def print_listing(run: Run, listing: StoreListing, limit: int | None, *, allow_incomplete: bool) -> int:
    """Print the listing, and its age and completeness on stderr; return the exit code."""
    out = run.out
    shortened = out.format in {Format.HUMAN, Format.AGENT}
    wanted = FIRST_ROWS if limit is None and shortened else limit
    wanted = None if wanted is not None and wanted < 0 else wanted
    rows: Iterable[RequestRecord] = listing.rows(
        None if wanted is None else wanted + 1, with_quality=out.should_rate_answers
    )
    columns: Sequence[Column[RequestRecord]] = ()
    if out.is_human:
        rows = list(rows)
        columns = _columns(run, listing, rows if wanted is None else rows[:wanted])
    is_all = out.records(
        RequestRecord,
        rows,
        columns,
        name=target_argument,
        limit=-1 if wanted is None else wanted,
        empty=listing.empty_text,
    )
    if shortened:
        shown = "all" if is_all else f"{wanted:,}"
        total = "" if listing.total is None or is_all else f" of {listing.total:,}"
        out.say(f"Showing {shown}{total} {listing.describe()}.{'' if is_all else ' All: --all'}", "dim")
    for row in listing.repos:
        if not row.is_complete:
            out.warn(f"the last sync of {row.repo} was not proved complete: {row.problem or 'see hf-gate status'}.")
    return 0 if allow_incomplete or all(row.is_complete for row in listing.repos) else 5


def _columns(run: Run, listing: StoreListing, rows: Sequence[RequestRecord]) -> list[Column[RequestRecord]]:
    with_status = len({row.status for row in rows}) > 1
    return ls_columns(rows, run.now(), with_repo=len(listing.repos) > 1, with_status=with_status)
