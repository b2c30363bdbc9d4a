"""What a new version of a table changes for people: who is listed now and was not, and who no longer is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec import Struct

from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.rows import RequestRow
from ..policy.fact_values import TableHit
from ..policy.literals import matches_any
from ..policy.tables import Table
from .own_tables import OwnTable
from .workspace import Workspace

MAX_COMPARED: Final = 50_000  # the most requests that are compared to show an effect
UNKNOWN: Final = "unknown"


class TableEffect(Struct, frozen=True):
    """One request whose person the two versions list differently: valid, expired, missing or unknown."""

    row: RequestRow
    before: str
    after: str


def state_of(table: Table, workspace: Workspace, row: RequestRow, bindings: dict[str, str]) -> str:
    """Return how a table lists the person of a request."""
    hit = find_hit(table, workspace, row, bindings)
    return UNKNOWN if hit is None or hit.why is not None else hit.state


def find_hit(table: Table, workspace: Workspace, row: RequestRow, bindings: dict[str, str]) -> TableHit | None:
    """Look up the person of a request; None if the request was not read from the Hub."""
    if row.request is None:
        return None
    email = workspace.sources.email(row.request.email)
    address = email.address if email and email.domain else None
    return table.find(row.request.person, address, now=workspace.now(), bindings=bindings)


def iterate_effects(workspace: Workspace, own: OwnTable, before: Table, after: Table) -> Iterator[TableEffect]:
    """Yield the pending and accepted requests at the table's repos that the two versions list differently."""
    bindings = dict(workspace.store.bindings(own.name))
    for row in iterate_concerned(workspace, own):
        states = [state_of(table, workspace, row, bindings) for table in (before, after)]
        if states[0] != states[1]:
            yield TableEffect(row, *states)


def iterate_concerned(
    workspace: Workspace,
    own: OwnTable,
    statuses: tuple[Status, ...] = (Status.PENDING, Status.ACCEPTED),
    *,
    limit: int | None = MAX_COMPARED,
) -> Iterator[RequestRow]:
    """Yield the requests at the table's repos in these statuses, the oldest of each repo first, at most `limit`."""
    yield from islice(_iterate_all(workspace, own, statuses), limit)


def _iterate_all(workspace: Workspace, own: OwnTable, statuses: tuple[Status, ...]) -> Iterator[RequestRow]:
    for repo in sorted(row.repo for row in workspace.store.repos()):
        if is_concerned(own, repo):
            for status in statuses:
                yield from workspace.store.iterate_requests(repo, status.value)


def is_concerned(own: OwnTable, repo: Repo) -> bool:
    """Whether the table can matter at a repo."""
    return own.folder.config.includes(repo) and matches_any(own.globs, repo)
