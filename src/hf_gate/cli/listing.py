"""ls and show: what waits, who is in, and one request in full."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import click

from ..domain.ids import Repo, parse_repo
from ..domain.lifecycle import STATUSES, Status
from ..domain.text import clip
from ..errors import HfGateError, InvalidStatus, NotAllowed, NotGated, RequestNotFound
from .detail import request_lines, who
from .frame import Run, command, repo_type_option
from .output import FIRST_ROWS, Column, Format, Row, age, iso, numbered
from .progress import Progress
from .rows import REQUEST_KEYS, request_row
from .targets import Aim, read_aims

if TYPE_CHECKING:
    from ..domain.accounts import Profile
    from ..domain.requests import AccessRequest
    from ..hub.listing import Listing

# ---- ls ---------------------------------------------------------------------------------------------------------------


@command(
    "ls",
    examples=(
        "hf-gate ls datasets/acme/eeg",
        "hf-gate ls acme/med-7b --status accepted --format csv",
        "hf-gate ls --json",
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
@click.option(
    "--limit", type=click.IntRange(min=0), help=f"So many rows; people and agents see {FIRST_ROWS} unless said."
)
@click.option("--all", "everything", is_flag=True, help="All rows, also for people.")
@click.option("--live", is_flag=True, help="Ask the Hub, also when a store has the repo.")
@click.option("--allow-incomplete", is_flag=True, help="Exit 0 also when the list is not proved whole.")
def ls(
    run: Run,
    *,
    repos: tuple[str, ...],
    repo_type: str | None,
    status: str,
    limit: int | None,
    everything: bool,
    live: bool,  # noqa: ARG001 - every list is live until there is a store
    allow_incomplete: bool,
) -> int:
    """List access requests of one or several repos; without a REPO, of all gated repos of the token's account."""
    statuses = _statuses(status)
    named = [parse_repo(text, repo_type) for text in repos]
    run.announce()
    reading = _Reading(run, named or _own_repos(run), statuses, is_named=bool(named))
    weighs = run.out.format in {Format.JSON, Format.JSONL, Format.AGENT}  # the others do not show it
    rows: Iterable[Row] = (request_row(request, with_quality=weighs) for request in reading.requests())
    wanted = -1 if everything else limit
    columns: Sequence[Column] = ()
    if run.out.is_human:
        rows = _read(run, rows, FIRST_ROWS if wanted is None else wanted)
        columns = ls_columns(rows, run.now())
    is_whole = run.out.records(
        rows, columns, REQUEST_KEYS, name=_name_of, limit=wanted, empty="Nobody is on that list."
    )  # fmt: skip
    return _conclude(run, reading, is_whole=is_whole, allow_incomplete=allow_incomplete, is_limited=limit is not None)


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
    account = run.account
    if account is None:
        raise NotAllowed(
            "no token is there, so whose repos are meant is not known.", hint="Name a REPO, or `hf auth login`."
        )
    owners = (account.name, *account.orgs)
    return [gate.repo for owner in owners for gate in run.hub.gated_repos(owner)]


class _Reading:
    """The lists that are read, and what is to be said of them afterwards."""

    def __init__(self, run: Run, repos: Sequence[Repo], statuses: Sequence[Status], *, is_named: bool) -> None:
        self.run, self.repos, self.statuses, self.is_named = run, repos, statuses, is_named
        self.listings: list[Listing] = []
        self.counts: Counter[str] = Counter()
        self.skipped: list[str] = []

    def requests(self) -> Iterator[AccessRequest]:
        for repo in self.repos:
            before = self.counts.total()
            try:
                for status in self.statuses:
                    yield from self._list(repo, status)
            except NotAllowed:
                if self.is_named:
                    raise
                self.skipped.append(str(repo))  # a repo of an organisation in which this account may not review
                continue
            if self.counts.total() == before and self.run.hub.gate(repo).mode is False:
                if len(self.repos) == 1:
                    raise NotGated(f"{repo} is not gated: nobody needs to ask for access there.")
                self.run.out.warn(f"{repo} is not gated: nobody needs to ask for access there.")

    def _list(self, repo: Repo, status: Status) -> Iterator[AccessRequest]:
        listing = self.run.hub.list(repo, status)
        self.listings.append(listing)
        for request in listing:
            self.counts[status] += 1
            yield request


def _read(run: Run, rows: Iterable[Row], limit: int) -> list[Row]:
    """What a table needs, and one row more if there is one: so that it is known whether some were left out."""
    found = []
    with Progress(run.out, "read") as bar:
        for row in rows if limit < 0 else islice(rows, limit + 1):
            found.append(row)
            bar.tick()
    return found


def _spelt(row: Row) -> str:
    """The repo as a command takes it."""
    return str(row["repo"]) if row["repo_type"] == "model" else f"datasets/{row['repo']}"


def _name_of(row: Row) -> str:
    return str(row["request_id"] or f"{row['user'] or row['user_id']}@{_spelt(row)}")


def ls_columns(rows: Sequence[Row], now: datetime) -> list[Column]:
    """Age first, since silence is what people suffer from; answers that differ, but no ticked boxes."""
    columns = [Column("AGE", lambda row: age(datetime.fromisoformat(str(row["asked_at"])), now), right=True)]
    columns.append(Column("WHO", who, flexible=True))
    if len({_spelt(row) for row in rows}) > 1:
        columns.append(Column("REPO", _spelt, flexible=True))
    if len({row["status"] for row in rows}) > 1:
        columns.append(Column("STATUS", lambda row: str(row["status"])))
    labels = Counter(label for row in rows for label, text in _answers(row).items() if len(str(text)) > 5)
    columns += [Column(clip(label, 24), _answer_to(label), flexible=True) for label, _ in labels.most_common(3)]
    columns.append(Column("ID", lambda row: str(row["request_id"] or row["user_id"] or "-")))
    return columns


def _answer_to(label: str) -> Callable[[Row], str]:
    return lambda row: str(_answers(row).get(label, "-"))


def _answers(row: Row) -> dict[str, object]:
    answers = row["answers"]
    return answers if isinstance(answers, dict) else {}


def _conclude(run: Run, reading: _Reading, *, is_whole: bool, allow_incomplete: bool, is_limited: bool) -> int:
    out, lists = run.out, " and ".join(reading.statuses)
    if reading.skipped:
        out.warn(f"not allowed to review {', '.join(reading.skipped)}: left out.")
    if not reading.repos:
        out.say("No gated repo of this account or its organisations was found.")
    if not is_whole:
        if not is_limited:
            out.say(f"The first {FIRST_ROWS} ({lists}), read from the Hub just now; --all shows all.")
        return 0
    if out.is_human and reading.repos:
        out.say(f"{numbered(reading.counts.total(), 'request')} ({lists}), read from the Hub just now.", "dim")
    doubts = [(listing, listing.completeness) for listing in reading.listings if not listing.completeness.proved]
    for listing, completeness in doubts:
        out.warn(f"the list of {listing.repo} is not proved whole: {completeness.why}.")
        for record in listing.quarantined[:3]:
            out.warn(f"left out: {record}")
    return 0 if allow_incomplete or not doubts else 5


# ---- show -------------------------------------------------------------------------------------------------------------


@command(
    "show",
    examples=("hf-gate show ada-l@datasets/acme/eeg", "hf-gate show datasets/acme/eeg ada-l --json"),
)
@click.argument("target", nargs=-1, metavar="TARGET", required=True)
@click.option("--repo", metavar="REPO", help="The repo, when TARGET is a request id.")
@repo_type_option
def show(run: Run, *, target: tuple[str, ...], repo: str | None, repo_type: str | None) -> int:
    """Show one request in full: the answers, the person, the age, and what can be done."""
    aims = read_aims(target, None, repo, repo_type)
    if len(aims) != 1:
        raise click.UsageError(f"{len(aims)} people are named; show takes one.")
    run.announce()
    request = find_request(run, aims[0])
    profile = _profile(run, request)
    doc = {
        "schema_version": 1,
        **request_row(request),
        "granted_by": request.granted_by.username if request.granted_by else None,
        "account": None
        if profile is None
        else {
            "created_at": iso(profile.created_at or request.person.created_at),
            "is_pro": profile.is_pro,
            "orgs": list(profile.orgs),
            "models": profile.models,
            "datasets": profile.datasets,
            "followers": profile.followers,
        },
    }
    run.out.document(doc, lambda: _lines(request, doc, run.now()), quiet=[_name_of(doc)])
    return 0


def _lines(request: AccessRequest, doc: Row, now: datetime) -> Iterator[str]:
    account = doc["account"]
    yield from request_lines(request, now, account if isinstance(account, dict) else {})
    if request.person.username and request.status == Status.PENDING:
        yield f"Next: hf-gate accept {request.person.username}@{request.repo}   (or reset, reject with --reason)"


def find_request(run: Run, aim: Aim) -> AccessRequest:
    """The request as it stands now, from whichever list holds it."""
    for status in STATUSES:
        for request in run.hub.list(aim.repo, status):
            if aim.target.names(request):
                return request
    raise RequestNotFound(f"{aim.target.label} has no request at {aim.repo}.")


def _profile(run: Run, request: AccessRequest) -> Profile | None:
    """Nice to have; nothing depends on it."""
    try:
        return run.hub.profile(request.person) if request.person.username else None
    except HfGateError:
        return None
