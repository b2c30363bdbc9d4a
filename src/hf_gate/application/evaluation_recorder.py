"""Finds the requests that must be evaluated, stores the results, and reads from them what a plan needs of the others."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from ..domain.evaluations import EvaluationCount, EvaluationOutcome, EvaluationResult
from ..domain.events import LedgerEntry
from ..domain.lifecycle import VERB_FOR_STATUS, Status
from ..domain.rows import RequestRow
from ..domain.timestamps import to_ms
from ..plan.guards import PolicyStart
from ..plan.render import SHADOW
from ..policy.model import Action
from ..policy.opinions import NO_RULE, STATUS_AFTER
from ..store.evaluations import (
    EvaluatedList,
    find_due,
    iterate_planned,
    read_counts,
    read_list,
    read_table_digests,
    write_list,
)
from ..store.store import Store
from ..store.writer import Writer
from .evaluated_tables import note_tables
from .evaluation import RepoPolicies, SourcesPort
from .evaluation_basis import compute_basis


class EvaluationRecorder:
    """Begins the evaluation of lists. Without `sources`, every request is evaluated."""

    def __init__(
        self, store: Store, policy_sets: Sequence[RepoPolicies], now: datetime, sources: SourcesPort | None
    ) -> None:
        self._store, self._now, self._sources = store, to_ms(now), sources
        tables = {name: table for one in policy_sets for name, table in one.tables.items()}
        self._tables = note_tables(store, tables)
        epochs = {name: epoch for name, (_, epoch) in self._tables.items()}
        self._bases = {one.repo: compute_basis(one, store, sources, epochs) for one in policy_sets}

    def begin(self, policy_set: RepoPolicies, status: str, *, is_full: bool = False) -> ListEvaluation | None:
        """Begin to evaluate the requests of one status at a repo; None if the store does not know the repo."""
        row = self._store.repo(policy_set.repo)
        if row is None:
            return None
        basis = self._bases[policy_set.repo]
        known = read_list(self._store.reads, row.id, status)
        # after the clock was set back, a stored verdict may be one of the future
        is_current = (
            not is_full
            and self._sources is not None
            and known is not None
            and known.basis == basis
            and known.at <= self._now
        )
        if known is None or not is_current:
            known = EvaluatedList(None, secrets.token_hex(8), self._now)
            with self._store.writing() as write:
                write_list(write, row.id, status, known)
        tables = {name: self._tables[name] for name in policy_set.tables}
        return ListEvaluation(self._store, policy_set, row.id, status, known, basis, self._now, tables)


class ListEvaluation:
    """The evaluation of one list. `due` has the requests to evaluate, the oldest first; None means all of them.

    If another process begins to evaluate the whole list meanwhile, or by another version of a table, nothing more is
    stored.
    """

    def __init__(
        self,
        store: Store,
        policy_set: RepoPolicies,
        repo_id: int,
        status: str,
        known: EvaluatedList,
        basis: str,
        now: int,
        tables: Mapping[str, tuple[str, str]],
    ) -> None:
        self._store, self.policy_set, self.repo_id, self.status = store, policy_set, repo_id, status
        self._known, self._basis, self._now, self._tables = known, basis, now, tables
        self.due = None if known.basis is None else find_due(store.reads, repo_id, status, now)

    def store(self, results: Sequence[EvaluationResult], entries: Sequence[LedgerEntry]) -> None:
        """Store results and new verdicts."""
        if not results and not entries:
            return
        with self._store.writing() as write:
            if not self._is_own(write):
                return
            write.store_evaluations(self.policy_set.repo, results, entries)
            if self._known.at != self._now:
                self._known = self._known._replace(at=self._now)
                write_list(write, self.repo_id, self.status, self._known)

    def finish(self) -> None:
        """Store that every request of the list was evaluated on the current basis, or is due."""
        with self._store.writing() as write:
            if self._is_own(write):
                write_list(write, self.repo_id, self.status, self._known._replace(basis=self._basis))

    def _is_own(self, write: Writer) -> bool:
        current = read_list(write.db, self.repo_id, self.status)
        if current is None or (current.basis, current.pass_id) != (self._known.basis, self._known.pass_id):
            return False
        tables = read_table_digests(write.db) if self._tables else {}
        return all(tables.get(name) == version for name, version in self._tables.items())

    # ---- stored results ----------------------------------------------------------------------------------------------

    def read_groups(self) -> list[EvaluationCount]:
        """Return how many requests of the list have each outcome and verdict."""
        return read_counts(self._store, self.repo_id, self.status)

    def iterate_rows(self, group: EvaluationCount) -> Iterator[Sequence[RequestRow]]:
        """Yield the requests of a group with a planned change or a missing profile, the oldest first."""
        return iterate_planned(self._store, self.repo_id, self.status, group.outcome, group.verdict_id)

    def start_of(self, group: EvaluationCount) -> PolicyStart:
        """Return the policy version that plans the changes of a group here."""
        return group.policy or "", group.digest or "", str(self.policy_set.repo)


def verb_of_group(status: str, group: EvaluationCount) -> str:
    """Return the verb of the planned changes of a group; it is their guard too."""
    return (
        "remove" if status == Status.ACCEPTED else VERB_FOR_STATUS[STATUS_AFTER[Status(status), Action(group.action)]]
    )


def summarize_group(status: str, group: EvaluationCount) -> Counter[str]:
    """Return what a group adds to the summary of a plan."""
    counts: Counter[str] = Counter(judged=group.n)
    for policy, _, action in group.shadow:
        counts[f"{SHADOW}{policy}/{action}"] += group.n
    match group.outcome:
        case EvaluationOutcome.PEOPLE:
            counts.update(human=group.n, accept_human=group.n)
        case EvaluationOutcome.CHANGE:
            counts[verb_of_group(status, group)] += group.n
        case _:
            if group.action in (Action.HUMAN, Action.WAIT):
                counts[group.action] += group.n
                counts["no_rule"] += group.n if group.rule == NO_RULE else 0
    return counts


def find_protected(store: Store, lists: Sequence[ListEvaluation], names: Iterable[str]) -> list[RequestRow]:
    """Return the requests of protected names or account ids with a stored change that is no accept."""
    places = {(one.policy_set.repo, one.status) for one in lists}
    wanted = {name.lower() for name in names}
    rows = {row.id: row for name in wanted for row in store.find_by_identity(None, name)}
    found = []
    for row in rows.values():
        verdict, person = row.state.verdict, row.request.person if row.request else None
        if person is None or verdict is None or (row.repo, row.state.status) not in places:
            continue
        is_named = {str(value).lower() for value in (person.username, person.id) if value} & wanted
        if is_named and row.evaluation.outcome == EvaluationOutcome.CHANGE and verdict[0] != Action.ACCEPT:
            found.append(row)
    return found


def start_of_row(row: RequestRow) -> PolicyStart:
    """Return the policy version that plans the change of a request."""
    _, policy, _, digest = row.state.verdict or ("", None, "", None)
    return policy or "", digest or "", str(row.repo)
