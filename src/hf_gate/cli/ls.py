"""ls: what waits, and who is in; and how much of it was shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from ..application.record_builders import request_record
from ..application.records import RequestRecord
from ..domain.completeness import NO_RESET_LIST
from ..domain.ids import Repo
from ..domain.lifecycle import STATUSES, Status
from ..errors import HfGateError, InvalidStatus, NotAllowed, NotGated, UsageError
from .framework import Run, command, limit_options, repo_type_option
from .output import FIRST_ROWS, Column, Format, count_of
from .progress import Progress
from .request_table import ls_columns, target_argument
from .store_listing import ListingQuery, find_listing, print_listing
from .targets import parse_repo_argument
from .token_rights import owners_of
from .workspace import announce

if TYPE_CHECKING:
    from ..domain.requests import AccessRequest
    from ..hub.listing import Listing

_COUNTED: Final = 1000  # rows of a list, at most, that are read on only to say how many there are: a page of the Hub's


@command(
    "ls",
    examples=(
        "hf-gate ls datasets/acme/eeg",
        "hf-gate ls acme/med-7b --status accepted --format csv",
        "hf-gate ls --json",
        "hf-gate ls --query 'age:>2d verdict:human' --sort age",
        "hf-gate ls --by person --query user:ada-l --format jsonl | hf-gate accept - --yes",
        "hf-gate ls datasets/acme/eeg --status all --format jsonl",
    ),
)
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
@click.option(
    "--status",
    default="pending",
    show_default=True,
    help="pending, accepted, rejected, reset, several with commas, or all.",
)
@limit_options
@click.option(
    "--query", "-Q", default="", metavar="QUERY", help='From the store: age:>2d domain:*.edu -country:US "sleep".'
)
@click.option(
    "--sort", type=click.Choice(["new", "age"]), default="new", help="From the store: age puts the oldest first."
)
@click.option("--by", type=click.Choice(["person"]), help="From the store: what one person asked for stands together.")
@click.option("--live", is_flag=True, help="Ask the Hub, also when a store has the repo.")
@click.option("--allow-incomplete", is_flag=True, help="Exit 0 also when the list is not proved whole.")
def ls(
    run: Run,
    *,
    repos: tuple[str, ...],
    repo_type: str | None,
    status: str,
    limit: int | None,
    live: bool,
    query: str,
    sort: str,
    by: str | None,
    allow_incomplete: bool,
) -> int:
    """List access requests of one or several repos; without a REPO, those of the workspace, else all gated ones of the account.

    Repos that were read whole (`hf-gate sync`) are listed from the store, which says how old that is; others, and all
    with --live, from the Hub. `hf-gate help queries` explains --query. VERDICT is what the policies say: `human` means
    that a person decides, `no rule` that no rule of an enforced policy matches.
    """
    statuses = _statuses(status)
    named = list(dict.fromkeys(parse_repo_argument(text, repo_type) for text in repos))
    asked = ListingQuery(named, statuses, query, oldest_first=sort == "age", by_person=by is not None)
    if not live and (kept := find_listing(run, asked)) is not None:
        return print_listing(run, kept, limit, allow_incomplete=allow_incomplete)
    if query or by or sort != "new":
        raise UsageError(
            "--query, --sort and --by ask the store, and these repos are not in it.",
            hint="hf-gate sync REPO reads them.",
        )
    announce(run)
    reading = _ListingReader(run, named or _own_repos(run), statuses, is_named=bool(named))
    weighs = run.out.format in {Format.JSON, Format.JSONL, Format.AGENT}  # the others do not show it
    rows: Iterable[RequestRecord] = (request_record(request, with_quality=weighs) for request in reading.requests())
    columns: Sequence[Column[RequestRecord]] = ()
    if run.out.is_human:
        rows = _read_up_to(run, rows, FIRST_ROWS if limit is None else limit)
        columns = ls_columns(rows, run.now(), with_repo=len(named) != 1, with_status=len(statuses) > 1)
    is_whole = run.out.records(RequestRecord, rows, columns, name=target_argument, limit=limit, empty=reading.empty)
    shown = FIRST_ROWS if limit is None else limit
    return _conclude(run, reading, None if is_whole else shown, allow_incomplete=allow_incomplete)


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
        raise InvalidStatus("no status is named.", hint=f"Write {', '.join(STATUSES)} or all.")
    return tuple(dict.fromkeys(map(Status, words)))


def _own_repos(run: Run) -> list[Repo]:
    return [gate.repo for owner in owners_of(run) for gate in run.hub.gated_repos(owner)]


class _ListingReader:
    """The lists that are read, and what is to be said of them afterwards."""

    def __init__(self, run: Run, repos: Sequence[Repo], statuses: Sequence[Status], *, is_named: bool) -> None:
        self.run, self.repos, self.statuses, self.is_named = run, repos, statuses, is_named
        self.listings: list[Listing] = []
        self.count = self.here = 0  # rows of all lists so far, and of the one that was begun last
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
                self.skipped.append(str(repo))  # a repo of an organisation in which this account may not review
                continue
            if self.count == before and self.run.hub.gate(repo).mode is False:
                if len(self.repos) == 1:
                    raise NotGated(f"{repo} is not gated: nobody needs to ask for access there.")
                self.run.out.warn(f"{repo} is not gated: nobody needs to ask for access there.")

    def _list(self, repo: Repo, status: Status) -> Iterator[AccessRequest]:
        listing = self.run.hub.list(repo, status)
        self.listings.append(listing)
        self.here, last = 0, None
        for request in listing:
            self.count, self.here = self.count + 1, self.here + 1
            self.is_sorted = self.is_sorted and (last is None or request.asked_at <= last)
            last = request.asked_at
            yield request
        if listing.completeness == NO_RESET_LIST and set(self.statuses) != set(STATUSES):
            raise InvalidStatus(f"{repo}: {listing.completeness.why}.", hint="Leave reset out, or ask for all.")

    def count_on(self) -> bool:
        """Reads the list that was begun last on, as far as that costs no more than a call; whether it ended."""
        try:
            for _ in self.listings[-1]:
                self.count, self.here = self.count + 1, self.here + 1
                if self.here >= _COUNTED:
                    return False
        except HfGateError:
            return False  # what was asked for has been shown
        return True

    @property
    def unread(self) -> int:
        """How many lists were not begun."""
        return len(self.repos) * len(self.statuses) - len(self.listings)

    @property
    def empty(self) -> str:
        """The sentence for an empty table."""
        if self.count:
            return "No row was asked for."
        where = str(self.repos[0]) if len(self.repos) == 1 else f"{len(self.repos)} repos"
        return f"Nobody is {' or '.join(self.statuses)} at {where}." if self.repos else "Nobody is on that list."

    @property
    def manner(self) -> str:
        """Which lists, in which order, and from where."""
        order = "newest first" if self.is_sorted else "in the Hub's order"
        each = " in each list" if len(self.listings) > 1 else ""
        lists = "all statuses" if len(self.statuses) == len(STATUSES) else " and ".join(self.statuses)
        return f"({lists}, {order}{each}, from the Hub just now)"


def _read_up_to(run: Run, rows: Iterable[RequestRecord], limit: int) -> list[RequestRecord]:
    """What a table needs, and one row more if there is one: so that it is known whether some were left out."""
    found = []
    with Progress(run.out, "read") as bar:
        for row in rows if limit < 0 else islice(rows, limit + 1):
            found.append(row)
            bar.tick()
    return found


def _conclude(run: Run, reading: _ListingReader, shown: int | None, *, allow_incomplete: bool) -> int:
    """What is said at the end, and the exit code; `shown` rows were printed of more, or None: of all that were read."""
    out = run.out
    if reading.skipped:
        out.warn(f"not allowed to review {', '.join(reading.skipped)}: left out.")
    if not reading.repos:
        out.say("No gated repo of this account or its organisations was found.")
    talks = out.format in {Format.HUMAN, Format.AGENT} and reading.repos
    if talks and out.hidden_columns:
        out.say(f"No room for {', '.join(out.hidden_columns)}: --no-truncate shows all, and in full.", "dim")
    if shown is not None:
        if talks:
            _tell_part(run, reading, shown)
        return 0
    if talks:
        count = reading.count
        out.say(f"Showing {count:,} of {count:,} {reading.manner}." if count else "Read from the Hub just now.", "dim")
    doubts = [(listing, listing.completeness) for listing in reading.listings if not listing.completeness.proved]
    for listing, completeness in doubts:
        out.warn(f"the list of {listing.repo} is not proved whole: {completeness.why}.")
        for record in listing.quarantined[:3]:
            out.warn(f"left out: {record}")
    return 0 if allow_incomplete or not doubts else 5


def _tell_part(run: Run, reading: _ListingReader, shown: int) -> None:
    """How much of how much was shown, as far as that is cheaply known."""
    is_known = reading.count_on() and reading.listings[-1].completeness.proved and not reading.unread
    total = f"{'' if is_known else 'at least '}{reading.count:,}"
    more = "All: --all"
    if reading.unread:
        run.out.say(f"Showing {shown:,} of {total} {reading.manner}.")
        run.out.say(f"{count_of(reading.unread, 'more list')} not read yet. {more}")
    else:
        run.out.say(f"Showing {shown:,} of {total} {reading.manner}. {more}")
