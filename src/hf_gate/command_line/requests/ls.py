"""ls: lists access requests from the store or the Hub, and says how many there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from hf_gate.base.batches import iterate_cursor_pages
from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import format_age, from_ms, to_ms
from hf_gate.command_line.framework import CommandContext, command, limit_options, repo_type_option
from hf_gate.command_line.hub.token_rights import list_own_repos
from hf_gate.command_line.output import FIRST_ROWS, Format
from hf_gate.command_line.progress import Progress
from hf_gate.command_line.request_table import ls_columns, target_argument
from hf_gate.command_line.targets import parse_repo_argument
from hf_gate.command_line.text_layout import Column
from hf_gate.command_line.workspace_opening import announce_target, open_stored_workspace
from hf_gate.core.completeness import NO_RESET_LIST
from hf_gate.core.lifecycle import STATUSES, Status
from hf_gate.core.parsing.query import Query, one_of
from hf_gate.core.records import HubRequestRecord, RequestRecord
from hf_gate.errors import HfGateError, InvalidQuery, InvalidStatus, NotAllowed, NotGated, UsageError
from hf_gate.requests.query_parser import parse_query
from hf_gate.requests.service.request_records import request_record, stored_request

if TYPE_CHECKING:
    from hf_gate.core.requests import AccessRequest
    from hf_gate.core.stored_rows import RepoRow, RequestRow
    from hf_gate.hub.listing import Listing
    from hf_gate.settings.service.workspace import Workspace

_COUNTED: Final = 1000  # the most rows of a list that are read to find its total: one page of the Hub


@command(
    "ls",
    examples=(
        "hf-gate ls datasets/acme/eeg",
        "hf-gate ls acme/med-7b --status accepted --format csv",
        "hf-gate ls --json",
        "hf-gate ls --query 'age:>2d verdict:human' --sort new",
        "hf-gate ls --query user:ada-l --format jsonl | hf-gate accept - --yes",
        "hf-gate ls datasets/acme/eeg --status all --format jsonl",
    ),
)
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
@click.option(
    "--status",
    default="pending",
    show_default=True,
    help="pending, accepted, rejected or reset; several separated by commas; or all.",
)
@limit_options
@click.option(
    "--query", "-Q", default="", metavar="QUERY", help='Filter, store only: age:>2d domain:*.edu -country:US "sleep".'
)
@click.option(
    "--sort", type=click.Choice(["age", "new"]), help="Order, store only: age, oldest first (default); or new."
)
@click.option("--live", is_flag=True, help="Read from the Hub even if the store has the repo.")
@click.option("--allow-incomplete", is_flag=True, help="Exit with 0 even if the list is not proved complete.")
def ls(
    context: CommandContext,
    *,
    repos: tuple[str, ...],
    repo_type: str | None,
    status: str,
    limit: int | None,
    live: bool,
    query: str,
    sort: str | None,
    allow_incomplete: bool,
) -> int:
    """List access requests of REPOs. Default: the workspace's repos or, without one, all gated repos of the account.

    Repos with a full sync are listed from the store, oldest first like `review` and the desk, and the output says how
    old the data is. Other repos, and all repos with --live, are read from the Hub in its order, newest first.
    `hf-gate help queries` explains --query. VERDICT is the result of the policies: `Needs review` means that a person
    decides; `no rule` means that no rule of an enforced policy matches.
    """
    statuses = _statuses(Status.ACCEPTED if status == Status.PENDING and _asks_for_ends(query) else status)
    named = list(dict.fromkeys(parse_repo_argument(context, text, repo_type) for text in repos))
    arguments = ListingQuery(named, statuses, query, oldest_first=sort != "new")
    if not live and (stored := find_listing(context, arguments)) is not None:
        return print_listing(context, stored, limit, allow_incomplete=allow_incomplete)
    if query or sort:
        raise UsageError(
            "--query and --sort need the store, but these repos are not in it.",
            hint=f"Read the repos first: {context.command_line('sync', 'REPO')}",
        )
    announce_target(context)
    reader = _ListingReader(context, named or list_own_repos(context), statuses, is_named=bool(named))
    rows: Iterable[RequestRecord] = (
        request_record(request, with_quality=context.out.should_rate_answers) for request in reader.requests()
    )
    columns: Sequence[Column[RequestRecord]] = ()
    if context.out.is_human:
        rows = _read_up_to(context, rows, FIRST_ROWS if limit is None else limit)
        columns = ls_columns(rows, context.now(), with_repo=len(named) != 1, with_status=len(statuses) > 1)
    # CSV from the Hub has no columns that only a store can fill.
    kind = HubRequestRecord if context.out.format is Format.CSV else RequestRecord
    is_whole = context.out.records(kind, rows, columns, name=target_argument, limit=limit, empty=reader.empty_text)
    shown = FIRST_ROWS if limit is None else limit
    return _finish(context, reader, None if is_whole else shown, allow_incomplete=allow_incomplete)


def _asks_for_ends(text: str) -> bool:
    """Tell whether a query is about the end of access, which pending requests do not have."""
    try:
        return any(term.key == "ends" for term in parse_query(text).terms)
    except InvalidQuery:
        return False  # the listing reports it


def _statuses(text: str) -> tuple[Status, ...]:
    if text.strip().lower() == "all":
        return STATUSES
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in STATUSES:
            near = difflib.get_close_matches(word, STATUSES, n=1)
            guess = f"Did you mean {near[0]}? " if near else ""
            raise InvalidStatus(f"unknown status {word!r}.", hint=f"{guess}Write {', '.join(STATUSES)} or all.")
    if not words:
        raise InvalidStatus("--status is empty.", hint=f"Write {', '.join(STATUSES)} or all.")
    return tuple(dict.fromkeys(map(Status, words)))


class _ListingReader:
    """Reads status lists from the Hub and counts what was read."""

    def __init__(
        self, context: CommandContext, repos: Sequence[Repo], statuses: Sequence[Status], *, is_named: bool
    ) -> None:
        self.context = context
        self.repos = repos
        self.statuses = statuses
        self.is_named = is_named
        self.listings: list[Listing] = []
        self.count = self.list_count = 0  # rows of all lists so far, and of the current list
        self.is_sorted = True
        self.skipped: list[str] = []

    def requests(self) -> Iterator[AccessRequest]:
        for repo in self.repos:
            before = self.count
            try:
                for status in self.statuses:
                    yield from self._list(repo, status)
            except NotAllowed:
                if self.is_named:
                    raise
                self.skipped.append(str(repo))  # the account cannot review in this organisation
                continue
            if self.count == before and self.context.hub.gate(repo).mode is False:
                if len(self.repos) == 1:
                    raise NotGated(f"{repo} is not gated, so it has no access requests.")
                self.context.out.warn(f"{repo} is not gated, so it has no access requests.")

    def _list(self, repo: Repo, status: Status) -> Iterator[AccessRequest]:
        listing = self.context.hub.list(repo, status)
        self.listings.append(listing)
        self.list_count = 0
        last = None
        for request in listing:
            self.count = self.count + 1
            self.list_count = self.list_count + 1
            self.is_sorted = self.is_sorted and (last is None or request.asked_at <= last)
            last = request.asked_at
            yield request
        if listing.completeness == NO_RESET_LIST and set(self.statuses) != set(STATUSES):
            raise InvalidStatus(f"{repo}: {listing.completeness.why}.", hint="Omit reset, or use --status all.")

    def count_rest(self) -> bool:
        """Read the rest of the current list if this takes at most one call; return whether the list ended."""
        try:
            for _ in self.listings[-1]:
                self.count = self.count + 1
                self.list_count = self.list_count + 1
                if self.list_count >= _COUNTED:
                    return False
        except HfGateError:
            return False  # the wanted rows were shown already
        return True

    @property
    def unread_lists(self) -> int:
        """Return the number of lists that were not started."""
        return len(self.repos) * len(self.statuses) - len(self.listings)

    @property
    def empty_text(self) -> str:
        """Return the sentence for an empty table."""
        if self.count:
            return "--limit is 0."
        where = str(self.repos[0]) if len(self.repos) == 1 else f"{len(self.repos)} repos"
        return f"No {' or '.join(self.statuses)} requests at {where}." if self.repos else "No requests."

    @property
    def description(self) -> str:
        """Describe the lists: their statuses, order and source."""
        order = "newest first" if self.is_sorted else "in the Hub's order"
        each = " in each list" if len(self.listings) > 1 else ""
        lists = "all statuses" if len(self.statuses) == len(STATUSES) else " and ".join(self.statuses)
        return f"({lists}, {order}{each}, from the Hub just now)"


def _read_up_to(context: CommandContext, rows: Iterable[RequestRecord], limit: int) -> list[RequestRecord]:
    """Read the rows of a table and one more, which shows whether there are more rows."""
    found = []
    with Progress(context.out, "read") as bar:
        for row in rows if limit < 0 else islice(rows, limit + 1):
            found.append(row)
            bar.tick()
    return found


def _finish(context: CommandContext, reader: _ListingReader, shown: int | None, *, allow_incomplete: bool) -> int:
    """Print the closing notes; return the exit code.

    `shown` is the number of printed rows; None if all rows were printed.
    """
    out = context.out
    if reader.skipped:
        out.warn(f"skipped, because this token cannot review them: {', '.join(reader.skipped)}.")
    if not reader.repos:
        out.say("No gated repo of this account or its organisations was found.")
    has_notes = out.format in {Format.HUMAN, Format.AGENT} and reader.repos
    if shown is not None:
        if has_notes:
            _print_partial(context, reader, shown)
        return 0
    if has_notes:
        count = reader.count
        out.say(
            f"Showing {count:,} of {count:,} {reader.description}." if count else "Read from the Hub just now.", "dim"
        )
    doubts = [(listing, listing.completeness) for listing in reader.listings if not listing.completeness.proved]
    for listing, completeness in doubts:
        out.warn(f"the list of {listing.repo} is not proved complete: {completeness.why}.")
        for record in listing.quarantined[:3]:
            out.warn(f"unreadable record ({record.reason}): {record.raw}")
    return 0 if allow_incomplete or not doubts else 5


def _print_partial(context: CommandContext, reader: _ListingReader, shown: int) -> None:
    """Print how many of how many rows were shown. If the exact total would take more calls, print a minimum."""
    is_known = reader.count_rest() and reader.listings[-1].completeness.proved and not reader.unread_lists
    total = f"{'' if is_known else 'at least '}{reader.count:,}"
    more = "All: --all"
    if reader.unread_lists:
        context.out.say(f"Showing {shown:,} of {total} {reader.description}.")
        context.out.say(f"{pluralize(reader.unread_lists, 'more list')} not read yet. {more}")
    else:
        context.out.say(f"Showing {shown:,} of {total} {reader.description}. {more}")


# ---- from the store --------------------------------------------------------------------------------------------------


PAGE: Final = 500


class ListingQuery(Struct, frozen=True):
    """The arguments of `ls`. A status in the query overrides `statuses`."""

    repos: Sequence[Repo]
    statuses: Sequence[str]
    query: str = ""
    oldest_first: bool = True


def find_listing(context: CommandContext, arguments: ListingQuery) -> StoreListing | None:
    """Return the listing; None unless all of these repos have had a full sync."""
    workspace = open_stored_workspace(context)
    if workspace is None:
        return None
    known = {row.repo: row for row in workspace.store.repos() if row.full_at is not None}
    if arguments.repos:
        rows = [known[repo] for repo in arguments.repos if repo in known]
        return StoreListing(workspace, rows, arguments) if len(rows) == len(arguments.repos) else None
    if workspace.location.folder is None:
        return None  # only the Hub knows which repos belong to the account
    rows = [row for repo, row in sorted(known.items()) if workspace.location.config.includes(repo)]
    return StoreListing(workspace, rows, arguments) if rows else None


class StoreListing:
    """The requests in the store that match a listing query."""

    def __init__(self, workspace: Workspace, repos: Sequence[RepoRow], arguments: ListingQuery) -> None:
        from hf_gate.approvals.service.approval_status import resolve_approvals
        from hf_gate.verdicts.service.current_verdicts import read_current_verdicts

        self.workspace = workspace
        self.repos = repos
        self.arguments = arguments
        own = parse_query(arguments.query)
        keys = {term.key for term in own.terms if not term.is_not}
        terms = [one_of("repo", *(str(row.repo) for row in repos))]
        has_alarms = any(term.key == "approval" and "missing" in map(str, term.values) for term in own.terms)
        if "status" not in keys and not has_alarms and set(arguments.statuses) != set(STATUSES):
            terms.append(one_of("status", *arguments.statuses))
        self.query = resolve_approvals(workspace, Query((*terms, *own.terms)))
        self.is_unfiltered = not own.terms
        self.verdicts = read_current_verdicts(workspace.location.folder)

    # ---- rows --------------------------------------------------------------------------------------------------------

    def requests(self, limit: int | None) -> Iterator[RequestRow]:
        """Yield the requests in order, at most `limit`."""
        read = partial(
            self.workspace.store.query,
            self.query,
            now=to_ms(self.workspace.now()),
            zone=self.workspace.zone,
            limit=PAGE if limit is None else max(1, min(PAGE, limit)),
            newest_first=not self.arguments.oldest_first,
        )
        pages = iterate_cursor_pages(lambda cursor: read(cursor=cursor))
        yield from islice(chain.from_iterable(page.rows for page in pages), limit)

    def rows(self, limit: int | None, *, with_quality: bool) -> Iterable[RequestRecord]:
        """Return the records that `ls` prints."""
        from hf_gate.grants.service.row_details import pair_with_details

        pairs = pair_with_details(self.workspace, self.requests(limit))
        return (stored_request(row, self.verdicts, details, with_quality=with_quality) for row, details in pairs)

    # ---- text --------------------------------------------------------------------------------------------------------

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


def print_listing(context: CommandContext, listing: StoreListing, limit: int | None, *, allow_incomplete: bool) -> int:
    """Print the listing, and its age and completeness on stderr; return the exit code."""
    out = context.out
    shortened = out.format in {Format.HUMAN, Format.AGENT}
    wanted = FIRST_ROWS if limit is None and shortened else limit
    wanted = None if wanted is not None and wanted < 0 else wanted
    rows: Iterable[RequestRecord] = listing.rows(
        None if wanted is None else wanted + 1, with_quality=out.should_rate_answers
    )
    columns: Sequence[Column[RequestRecord]] = ()
    if out.is_human:
        rows = list(rows)
        columns = _columns(context, listing, rows if wanted is None else rows[:wanted])
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


def _columns(
    context: CommandContext, listing: StoreListing, rows: Sequence[RequestRecord]
) -> list[Column[RequestRecord]]:
    with_status = len({row.status for row in rows}) > 1
    return ls_columns(rows, context.now(), with_repo=len(listing.repos) > 1, with_status=with_status)
