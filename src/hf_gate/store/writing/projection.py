"""Applies events to the rows of requests, and keeps the counts by repo and by person up to date."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct, field

from hf_gate.core.events.classification import Classification
from hf_gate.core.events.evaluations import (
    EVALUATE_NOW,
    EvaluationOutcome,
    EvaluationResult,
    StoredEvaluation,
    evaluation_of,
)
from hf_gate.core.events.events import AnyEvent, VerdictReached
from hf_gate.core.events.request_state import RequestState, apply_event
from hf_gate.core.lifecycle import STATUSES, Status
from hf_gate.store.sql import Database, Row

from .state_columns import COLUMNS, NO_VERDICT, SELECT_STATE, StoredVerdict, encode_hand_terms, state_of, values_of
from .weekly import WeeklyCounts
from .writer_cache import WriterCache

_DECIDED: Mapping[str, tuple[int, int, int]] = {
    Status.ACCEPTED: (1, 0, 0),
    Status.REJECTED: (0, 1, 0),
    Status.RESET: (0, 0, 1),
}
_INSERT = (  # only the columns of a new attempt; binding the others as null would cost as much as two indexes
    "INSERT INTO requests (id, repo_id, person_id, status, asked_at, attempt, hub_request, reviewed_at, after_id, "
    "version,"
    " is_current, first_seen_at, record_id, raw, answers, identity, domain, country, quality, mail, fingerprint)"
    f" VALUES ({', '.join('?' * 21)})"
)


_Counted: TypeAlias = tuple[int, str, str | None, str | None, str | None, str | None]
"""What is counted for a request: repo, status, action and rule of the verdict, quality, kind of e-mail address."""

LOOKUP_COLUMNS: Final = ("lookup_user", "lookup_email", "lookup_name")
MARK_DUE: Final = "UPDATE requests SET evaluate_at = 0, review_at = 0, evaluation_version = evaluation_version + 1"
"""Has requests evaluated, and their ends reviewed, in the next turn; a condition follows."""


class LoadedRequest(Struct):
    """A row that is being changed: its state as read, its current state, and other changed columns."""

    id: int
    repo_id: int
    person_id: int
    before: RequestState
    state: RequestState
    is_current: bool
    classification: Classification
    evaluation: StoredEvaluation = field(default_factory=StoredEvaluation)
    extra: dict[str, object] = field(default_factory=dict)


class Projection:
    """The requests that one transaction changes."""

    def __init__(self, db: Database, memory: WriterCache) -> None:
        self._db = db
        self._memory = memory
        self._loaded: dict[int, LoadedRequest] = {}
        self._new: list[Row] = []
        self._counts: Counter[_Counted] = Counter()
        self._history: list[Row] = []
        self._hits: dict[int, frozenset[str]] = {}
        self._outcomes: Counter[tuple[int, str, str, StoredVerdict]] = Counter()
        self._decided_people: set[int] = set()  # their other requests must be evaluated again
        self._weekly = WeeklyCounts(db)

    def load(self, idents: Iterable[int]) -> None:
        """Read the rows that are not loaded yet."""
        wanted = set(idents) - self._loaded.keys()
        if not wanted:
            return
        self._write_new()
        among, value = self._db.in_clause(wanted)
        look = self._memory.verdicts.lookup(self._db)
        sql = (
            "SELECT r.id, r.repo_id, r.person_id, r.is_current, r.quality, r.mail, r.fingerprint,"
            " r.evaluation_version, r.outcome, r.evaluate_at, r.lookup_user, r.lookup_email,"
            f" r.lookup_name, {SELECT_STATE}"
        )
        sql += " FROM requests r JOIN people p ON p.id = r.person_id"
        for row in self._db.rows(f"{sql} WHERE r.id {among}", (value,)):
            state = state_of(row, 13, look)
            known = Classification(*row[4:7])
            self._loaded[row[0]] = LoadedRequest(
                row[0],
                row[1],
                row[2],
                state,
                state,
                bool(row[3]),
                known,
                evaluation_of(row[7:13]),
            )

    def get_loaded(self, ident: int) -> LoadedRequest:
        """Return a row that was loaded."""
        return self._loaded[ident]

    def add_request(
        self,
        ident: int,
        repo_id: int,
        person_id: int,
        state: RequestState,
        at: int,
        extra: Row,
        classification: Classification,
    ) -> None:
        """Add a new attempt as the current one. `extra`: record_id, raw, answers, identity, domain, country."""
        self._new.append(
            (
                ident,
                repo_id,
                person_id,
                state.status,
                state.asked_at,
                state.attempt,
                state.hub_request,
                state.reviewed_at,
                state.after,
                state.version,
                True,
                at,
                *extra,
                *classification,
            )
        )
        self._count(repo_id, state, classification, 1)
        self._count_decision(person_id, repo_id, None, state, state.reviewed_at or at)
        self._weekly.count_new(repo_id, state)

    def apply_event(self, ident: int, event: AnyEvent, at: int, actor: str) -> LoadedRequest:
        """Apply one more event to a loaded row."""
        held = self._loaded[ident]
        state = apply_event(held.state, event, at)
        assert state is not None
        if held.is_current:
            self._count(held.repo_id, held.state, held.classification, -1)
            self._count(held.repo_id, state, held.classification, 1)
            self._weekly.count_current(held.repo_id, held.state, -1)
            self._weekly.count_current(held.repo_id, state, 1)
            self._count_outcome(held, held.state, -1)
            self._count_outcome(held, state, 1)
        if not isinstance(event, VerdictReached):
            self.mark_due(held)
        moment = state.reviewed_at if state.reviewed_at != held.state.reviewed_at else None
        self._count_decision(held.person_id, held.repo_id, held.state, state, moment or at)
        if state.status != held.state.status:
            self._weekly.count_move(held.repo_id, held.state, state, moment or at, actor)
        held.state = state
        return held

    def supersede(self, ident: int) -> None:
        """Mark an attempt as past, because there is a newer attempt."""
        held = self._loaded[ident]
        if held.is_current:
            self._count(held.repo_id, held.state, held.classification, -1)
            self._weekly.count_current(held.repo_id, held.state, -1)
            self._count_outcome(held, held.state, -1)
            if held.state.status == Status.ACCEPTED:
                self._decided_people.add(held.person_id)
            held.is_current = False
            held.extra["is_current"] = False

    def set_classification(self, ident: int, current: Classification) -> None:
        """Set the classification of a loaded row."""
        held = self._loaded[ident]
        if current == held.classification:
            return
        if held.is_current:
            self._count(held.repo_id, held.state, held.classification, -1)
            self._count(held.repo_id, held.state, current, 1)
        held.extra |= current._asdict()
        held.classification = current

    # ---- evaluations -------------------------------------------------------------------------------------------------

    def mark_due(self, held: LoadedRequest) -> None:
        """Have a loaded request evaluated, and its end reviewed, in the next turn."""
        if self._memory.has_evaluations():
            known = held.evaluation
            self._set_evaluation(held, known._replace(version=known.version + 1, evaluate_at=EVALUATE_NOW))
            held.extra["review_at"] = EVALUATE_NOW

    def clear_lookups(self, held: LoadedRequest) -> None:
        """Delete the hashes by which a request was looked up in tables, and have it evaluated again."""
        known = held.evaluation
        self._set_evaluation(held, StoredEvaluation(known.version + 1, known.outcome, EVALUATE_NOW))
        held.extra["review_at"] = EVALUATE_NOW

    def set_result(self, result: EvaluationResult) -> bool:
        """Store the result of an evaluation; return whether it is still current.

        If the request changed since it was read, it is due again instead.
        """
        held = self._loaded[result.request]
        if held.evaluation.version != result.version or not held.is_current:
            self.mark_due(held)
            return False
        current = StoredEvaluation(result.version + 1, result.outcome, result.evaluate_at, result.lookups)
        self._set_evaluation(held, current)
        return True

    def _set_evaluation(self, held: LoadedRequest, current: StoredEvaluation) -> None:
        if held.is_current:
            self._count_outcome(held, held.state, -1)
        if held.evaluation.outcome != current.outcome:
            held.extra["outcome"] = current.outcome
        held.extra |= {"evaluation_version": current.version, "evaluate_at": current.evaluate_at}
        if held.evaluation.lookups != current.lookups:
            held.extra |= zip(LOOKUP_COLUMNS, current.lookups, strict=True)
        held.evaluation = current
        if held.is_current:
            self._count_outcome(held, held.state, 1)

    def _count_outcome(self, held: LoadedRequest, state: RequestState, n: int) -> None:
        outcome = held.evaluation.outcome
        if outcome is not None and outcome != EvaluationOutcome.IGNORE:
            self._outcomes[held.repo_id, state.status, outcome, (state.verdict, state.shadow, state.hand_terms)] += n

    def _write_outcomes(self) -> None:
        counts = [
            (repo_id, status, outcome, self._verdict_id(verdict), n)
            for (repo_id, status, outcome, verdict), n in self._outcomes.items()
            if n
        ]
        self._db.run_many(
            "INSERT INTO evaluation_counts (repo_id, status, outcome, verdict_id, n) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (repo_id, status, outcome, verdict_id) DO UPDATE SET n = evaluation_counts.n + excluded.n",
            counts,
        )
        self._outcomes.clear()

    def set_table_hits(self, ident: int, names: Iterable[str]) -> None:
        """Set the owner's tables that contained the request when it was evaluated."""
        self._hits[ident] = frozenset(names)

    def count_new(self) -> int:
        """Return the number of new requests that are not written yet."""
        return len(self._new)

    def write_rows(self) -> None:
        """Write changed and new rows."""
        self._write_changed()  # written first, so that the old attempt ends before the new one starts
        self._write_new()

    def flush(self) -> None:
        """Write changed and new rows, and counts."""
        self.write_rows()
        counts = [(*key, n) for key, n in _sum_up(self._counts).items() if n]
        self._db.run_many(
            "INSERT INTO counters (repo_id, kind, name, n) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (repo_id, kind, name) DO UPDATE SET n = counters.n + excluded.n",
            counts,
        )
        self._db.run_many(
            "INSERT INTO history (person_id, repo_id, accepted, rejected, resets, last, last_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (person_id, repo_id) DO UPDATE SET accepted = history.accepted + excluded.accepted,"
            " rejected = history.rejected + excluded.rejected, resets = history.resets + excluded.resets,"
            " last = excluded.last, last_at = excluded.last_at",
            self._history,
        )
        self._weekly.flush()
        self._write_outcomes()
        self._counts.clear()
        self._history = []
        self._write_hits()
        if self._decided_people and self._memory.has_evaluations():
            mark_people_due(self._db, self._decided_people)
        self._decided_people.clear()

    def _write_hits(self) -> None:
        if not self._hits:
            return
        self._db.run_many("DELETE FROM hits WHERE request_id = ?", [(ident,) for ident in self._hits])
        rows = [(name, ident) for ident, names in self._hits.items() for name in sorted(names)]
        self._db.run_many("INSERT INTO hits (name, request_id) VALUES (?, ?)", rows)
        self._hits.clear()

    def _write_new(self) -> None:
        if self._new:
            self._db.insert_many(_INSERT, self._new)
            self._new = []

    def _write_changed(self) -> None:
        """Write only changed columns, so that only their indexes are updated.

        Rows with the same changed columns share a statement.
        """
        groups: dict[tuple[str, ...], list[Row]] = {}
        for held in self._loaded.values():
            changed = dict(held.extra)
            if held.state != held.before:
                old = self._values(held.before)
                new = self._values(held.state)
                changed |= {name: b for name, a, b in zip(COLUMNS, old, new, strict=True) if a != b}
            if changed:
                groups.setdefault(tuple(changed), []).append((*changed.values(), held.id))
            held.before = held.state
            held.extra = {}
        for names, rows in groups.items():
            self._db.run_many(f"UPDATE requests SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?", rows)

    def _values(self, state: RequestState) -> Row:
        verdict: StoredVerdict = (state.verdict, state.shadow, state.hand_terms)
        return values_of(state, None if verdict == NO_VERDICT else self._verdict_id(verdict))

    def _verdict_id(self, verdict: StoredVerdict) -> int:
        verdicts = self._memory.verdicts
        if verdict not in verdicts.ids:
            verdicts.load(self._db)
        if verdict not in verdicts.ids:
            assert verdict[0] is not None
            made = self._db.row(
                (
                    "INSERT INTO verdicts (action, policy, rule, digest, shadow, hand_terms)"
                    " VALUES (?, ?, ?, ?, ?, ?) RETURNING id"
                ),
                (*verdict[0], json.dumps(verdict[1]), encode_hand_terms(verdict[2])),
            )
            assert made is not None
            verdicts.add(made[0], verdict)
        return verdicts.ids[verdict]

    def _count(self, repo_id: int, state: RequestState, known: Classification, n: int) -> None:
        action, rule = (None, None) if state.verdict is None else (state.verdict[0], state.verdict[2])
        self._counts[repo_id, state.status, action, rule, known.quality, known.mail] += n

    def _count_decision(
        self, person: int, repo_id: int, before: RequestState | None, after: RequestState, at: int
    ) -> None:
        """Count a decision.

        A reset that is undone is subtracted; after a reset that stands, the person has a new attempt.
        """
        status = None if before is None else before.status
        is_undone = status == Status.RESET and after.status in STATUSES
        if status != after.status and Status.ACCEPTED in (status, after.status):
            self._decided_people.add(person)  # it counts in `history.elsewhere` of other repos
        if status == after.status or (after.status not in _DECIDED and not is_undone):
            return
        accepted, rejected, resets = _DECIDED.get(after.status, (0, 0, 0))
        self._decided_people.add(person)
        self._history.append((person, repo_id, accepted, rejected, resets - is_undone, after.status, at))


def mark_people_due(db: Database, people: Iterable[int]) -> None:
    """Have every current request of these people evaluated, and its end reviewed, in the next turn."""
    among, value = db.in_clause(list(people))
    db.run(f"{MARK_DUE} WHERE person_id {among} AND is_current", (value,))


def _sum_up(counts: Mapping[_Counted, int]) -> Counter[tuple[int, str, str]]:
    """Return the changes of the counters: of single values, and of status with verdict, quality or kind of e-mail
    address.
    """
    found: Counter[tuple[int, str, str]] = Counter()
    for (repo_id, status, action, rule, quality, mail), n in counts.items():
        cell = f"{status} {'-' if action is None else action} {'-' if rule is None else rule}"
        found[repo_id, "status", status] += n
        found[repo_id, "cell", cell] += n
        if action is not None:
            found[repo_id, "action", action] += n
        for kind, value in (("quality", quality), ("mail", mail)):
            if value is not None:
                found[repo_id, kind, f"{status} {value}"] += n
    return found
