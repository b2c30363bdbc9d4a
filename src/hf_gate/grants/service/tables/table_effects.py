"""What a new version of a table changes for people: by the evaluation and the review of ends that
a turn makes with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from msgspec import Struct, structs

from hf_gate.base.batches import split_into_batches
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.people.grants import parse_grant_end
from hf_gate.core.policy_model import Verdict
from hf_gate.core.stored_rows import RequestRow
from hf_gate.errors import HfGateError
from hf_gate.grants.service.ends.end_reviews import review_grants
from hf_gate.policies.evaluation.opinions import NO_RULE
from hf_gate.policies.facts.fact_values import TableHit
from hf_gate.policies.facts.tables import Table
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.service.evaluated_parts import PartEvaluation, PlanBuffer
from hf_gate.verdicts.service.evaluated_tables import shape_of_table
from hf_gate.verdicts.service.evaluation import CHUNK, build_inputs, open_fact_sources
from hf_gate.verdicts.service.policy_bundle import PolicyBundle, load_policies
from hf_gate.verdicts.service.table_store import bind_known_accounts, use_saved_version

from .own_tables import OwnTable, TableDraft, diff_rows

MAX_COMPARED: Final = 50_000  # the most requests that are compared to show an effect
UNKNOWN: Final = "unknown"
_MAX_LOOKED_UP: Final = 500  # rows whose people are looked up one by one
_STATUSES: Final = (Status.PENDING, Status.ACCEPTED)


class Forecast(Struct, frozen=True):
    """What a turn makes of a request: how a table lists the person, the verdict, and when access ends (ms).

    Of a pending request, the end is that of an acceptance now.
    """

    state: str
    verdict: str | None = None
    ends_at: int | None = None


class TableEffect(Struct, frozen=True):
    """One request that two versions of a table treat differently: in the next turn, or from a later moment (ms) on."""

    row: RequestRow
    before: Forecast
    after: Forecast
    starts_at: int | None = None


def read_bundle(workspace: Workspace) -> PolicyBundle | None:
    """Return the policies; None if they cannot be read, so that a turn changes nothing."""
    try:
        return load_policies(workspace)
    except HfGateError:
        return None


def iterate_effects(workspace: Workspace, draft: TableDraft, bundle: PolicyBundle | None) -> Iterator[TableEffect]:
    """Yield the pending and accepted requests at the table's repos that the two versions treat differently."""
    own = draft.own
    saved = use_saved_version(workspace.store, own.spec, draft.after)
    versions = [bind_known_accounts(workspace.store, table) for table in (own.table, saved)]
    comparison = _Comparison(workspace, own.name, versions, bundle)
    rows = _iterate_candidates(workspace, own, versions, _STATUSES, limit=MAX_COMPARED)
    for chunk in split_into_batches(rows, CHUNK):
        yield from comparison.compare(chunk)


class _Comparison:
    """Compares what a turn makes of requests with two versions of a table."""

    def __init__(self, workspace: Workspace, name: str, versions: Sequence[Table], bundle: PolicyBundle | None) -> None:
        self._workspace = workspace
        self._versions = versions
        self._bundles = [] if bundle is None else [bundle.with_table(table) for table in versions]
        self._bindings = dict(workspace.store.bindings(name))

    def compare(self, rows: Sequence[RequestRow]) -> Iterator[TableEffect]:
        """Yield the first effect on each of these requests: now, or when one of its rows starts or expires."""
        now = self._workspace.now()
        left: defaultdict[datetime, list[RequestRow]] = defaultdict(list, {now: list(rows)})
        while left:
            at = min(left)
            same: dict[int, tuple[RequestRow, list[TableHit]]] = {}
            for row in left.pop(at):
                hits = [find_hit(table, self._workspace, row, self._bindings, at) for table in self._versions]
                if None not in hits:
                    same[row.id] = row, [hit for hit in hits if hit is not None]
            differing = [row for row, hits in same.values() if _facts_of(hits[0]) != _facts_of(hits[1])]
            for row, before, after in self._compare_forecasts(differing, same, at):
                if at != now and self._bundles and structs.replace(before, state=after.state) == after:
                    continue  # a later entry in the table counts only by what it changes
                del same[row.id]
                yield TableEffect(row, before, after, None if at == now else to_ms(at))
            for row, found in same.values():
                moments = [hit.changes_at for hit in found if hit.changes_at is not None and hit.changes_at > at]
                if moments:
                    left[min(moments)].append(row)

    def _compare_forecasts(
        self, rows: Sequence[RequestRow], hits: Mapping[int, tuple[RequestRow, Sequence[TableHit]]], at: datetime
    ) -> list[tuple[RequestRow, Forecast, Forecast]]:
        reached = [self._evaluate(bundle, rows, at) for bundle in self._bundles] or [{}, {}]
        found = []
        for row in rows:
            before, after = (
                Forecast(_state_of(hit), *outcome.get(row.id, (None, row.state.ends_at)))
                for hit, outcome in zip(hits[row.id][1], reached, strict=True)
            )
            if before != after:
                found.append((row, before, after))
        return found

    def _evaluate(
        self, bundle: PolicyBundle, rows: Sequence[RequestRow], at: datetime
    ) -> dict[int, tuple[str | None, int | None]]:
        """Return the verdict on each request, and when its access ends."""
        store = self._workspace.store
        sources = open_fact_sources(self._workspace)
        accepted = [row for row in rows if row.state.status == Status.ACCEPTED]
        moves = review_grants(self._workspace, bundle, at, accepted).moves if accepted else []
        ends = {move.row.id: move.new_end for move in moves}
        found: dict[int, tuple[str | None, int | None]] = {}
        for repo in {row.repo for row in rows}:
            known = store.repo(repo)
            policies = None if known is None else bundle.for_repo(known, sources)
            here = [row for row in rows if row.repo == repo]
            found |= {row.id: (None, ends.get(row.id, row.state.ends_at)) for row in here}
            if policies is None:
                continue
            evaluation = PartEvaluation(store, policies, at, PlanBuffer(should_record=False))
            for case in build_inputs(store, policies, sources, here, at):
                row = case.row
                verdict = policies.evaluator.evaluate(case.facts, now=at, status=row.state.status)
                is_pending = row.state.status == Status.PENDING
                if verdict is None or (verdict.rule == NO_RULE and not is_pending):
                    continue
                end = _end_of(verdict, at, bundle) if is_pending else found[row.id][1]
                found[row.id] = _name_verdict(evaluation.as_recorded(row, verdict)), end
        return found


def _facts_of(hit: TableHit) -> tuple[object, ...]:
    """Return what the facts of a table depend on."""
    return hit.state, hit.expires, hit.row, hit.why


def _state_of(hit: TableHit) -> str:
    return UNKNOWN if hit.why is not None else hit.state


def _name_verdict(verdict: Verdict) -> str:
    return f"{verdict.action} by {verdict.policy}/{verdict.rule}" if verdict.policy else str(verdict.action)


def _end_of(verdict: Verdict, at: datetime, bundle: PolicyBundle) -> int | None:
    """Return when the access of an acceptance now would end (ms), as far as the rules know."""
    until = verdict.by_hand.until
    return None if until is None else to_ms(parse_grant_end(until, at, bundle.zone))


def find_hit(
    table: Table, workspace: Workspace, row: RequestRow, bindings: Mapping[str, str], at: datetime | None = None
) -> TableHit | None:
    """Look up the person of a request; None if the request was not read from the Hub."""
    if row.request is None:
        return None
    email = open_fact_sources(workspace).email(row.request.email)
    address = email.address if email and email.domain else None
    return table.find(row.request.person, address, now=at or workspace.now(), bindings=bindings)


# ---- whom a table can concern ----------------------------------------------------------------------------------------


def iterate_changed_grants(workspace: Workspace, draft: TableDraft) -> Iterator[RequestRow]:
    """Yield every accepted request that a changed row can list."""
    yield from _iterate_candidates(workspace, draft.own, (draft.before, draft.after), (Status.ACCEPTED,), limit=None)


def _iterate_candidates(
    workspace: Workspace, own: OwnTable, versions: Sequence[Table], statuses: tuple[Status, ...], *, limit: int | None
) -> Iterator[RequestRow]:
    """Yield the requests that a changed row can list: of few rows by their keys, otherwise by a scan."""
    before, after = versions
    diff = diff_rows(before, after)
    rows = [*diff.added, *diff.removed, *(row for pair in diff.changed for row in pair)]
    if len(rows) > _MAX_LOOKED_UP or shape_of_table(before) != shape_of_table(after):
        yield from iterate_concerned(workspace, own, statuses, limit=limit)
        return
    bindings = workspace.store.bindings(own.name)
    keys = {value for row in rows for value in (row.user_id, row.email, row.username) if value}
    keys |= {bindings[row.username] for row in rows if row.username and bindings.get(row.username)}
    seen: set[int] = set()
    for key in sorted(keys):
        for row in workspace.store.find_by_identity(None, key):
            if row.id not in seen and row.state.status in statuses and is_concerned(own, row.repo):
                seen.add(row.id)
                yield row


def iterate_concerned(
    workspace: Workspace,
    own: OwnTable,
    statuses: tuple[Status, ...] = _STATUSES,
    *,
    limit: int | None = MAX_COMPARED,
) -> Iterator[RequestRow]:
    """Yield the requests at the table's repos in these statuses, the oldest of each repo first, at most `limit`."""
    yield from islice(_iterate_all(workspace, own, statuses), limit)


def _iterate_all(workspace: Workspace, own: OwnTable, statuses: Iterable[Status]) -> Iterator[RequestRow]:
    for repo in sorted(row.repo for row in workspace.store.repos()):
        if is_concerned(own, repo):
            for status in statuses:
                yield from workspace.store.iterate_requests(repo, status.value)


def is_concerned(own: OwnTable, repo: Repo) -> bool:
    """Whether the table can matter at a repo."""
    return own.folder.config.includes(repo) and matches_any(own.globs, repo)
