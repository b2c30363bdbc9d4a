"""Computes the facts of a request as they were when a person decided it. What was not kept is unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from msgspec import Struct, structs

from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.past_history import fold_history
from ..domain.requests import AccessRequest
from ..domain.rows import LedgerMoment, PastRequest, PersonDecision, RepoRow, SyncMark
from ..domain.runs import ChangeOrigin
from ..domain.timestamps import from_ms
from ..policy.fact_values import DecisionHistory, EmailFacts, TableHit
from ..policy.model import Facts, UnknownReason
from ..policy.table_versions import TableHistory
from ..policy.tables import Table
from ..store.past_requests import iterate_sync_marks, read_past_requests, read_person_events
from ..store.store import Store
from .evaluation import RepoPolicies, SourcesPort, make_history, reminders_of
from .table_store import read_history

_TABLE_CHANGED: Final = "the table as it was then is not kept"


class DecidedRequest(Struct, frozen=True):
    """A request just before a person decided it, with the facts of that time."""

    decision: PersonDecision
    past: PastRequest
    facts: Facts
    at: datetime


@dataclass(slots=True)
class PastFactReader:
    """Reads the facts of decided requests. `policies` has what reads the facts of each repo, by the repo's id.

    `older_policies` read the facts of requests that answered another form. `visible_repos` limits the history
    elsewhere.
    """

    store: Store
    sources: SourcesPort
    policies: Mapping[int, RepoPolicies]
    older_policies: Mapping[int, RepoPolicies]
    visible_repos: Collection[int] | None = None
    erased_count: int = field(default=0, init=False)  # decisions left out, because their record was deleted
    _syncs: dict[int, list[SyncMark]] = field(default_factory=dict, init=False)
    _bindings: dict[str, Mapping[str, str]] = field(default_factory=dict, init=False)
    _histories: dict[str, TableHistory | None] = field(default_factory=dict, init=False)

    def read_decided(self, decisions: Iterable[PersonDecision]) -> Iterator[DecidedRequest]:
        """Yield the requests that were pending before these decisions, and whose record was not erased."""
        for decision in decisions:
            if (found := self._read_one(decision)) is not None:
                yield found

    def _read_one(self, decision: PersonDecision) -> DecidedRequest | None:
        repo = self.policies[decision.repo_id].repo
        moment = LedgerMoment(
            repo=repo, repo_id=decision.repo_id, at=decision.at, seq=decision.seq - 1, entry=decision.entry - 1
        )
        past = read_past_requests(self.store, moment, [decision.request]).get(decision.request)
        if past is None or past.row.state.status != Status.PENDING:
            return None
        if not decision.is_outside and (past.then.started is None or past.then.started.rule != ChangeOrigin.DIRECT):
            return None  # an undo, or the end of a grant
        if past.row.request is None:
            self.erased_count += 1
            return None
        at = from_ms(decision.at)
        return DecidedRequest(decision, past, self._compute_facts(decision, past, at), at)

    def _compute_facts(self, decision: PersonDecision, past: PastRequest, at: datetime) -> Facts:
        request = _record_of(past)
        marks = self._sync_marks(decision.repo_id, past.row.repo)
        policy_set = self._policies_for(decision.repo_id, past, marks)
        email = self.sources.email(request.email)
        stored = self.store.profiles([past.row.person.id]) if policy_set.should_read_profiles else {}
        profile = stored.get(past.row.person.id)
        known = profile if profile is not None and profile[1] <= decision.at else None
        return policy_set.reader.compute_facts(
            request,
            now=at,
            form=policy_set.form,
            email=email,
            profile=self.sources.profile(request.person, known, at) if policy_set.should_read_profiles else None,
            tables={
                name: self._look_up(name, table, past, email, decision.at) for name, table in policy_set.tables.items()
            },
            history=self._read_history(decision, past, marks) if policy_set.should_read_history else None,
            reminders=reminders_of(past.row.state) if policy_set.has_reminders else None,
        )

    def _policies_for(self, repo_id: int, past: PastRequest, marks: list[SyncMark]) -> RepoPolicies:
        """Return what reads the answers: with today's form only if the request answered it."""
        read = [mark for mark in marks if mark.event.form is not None]
        before = [mark for mark in read if mark.seq < past.then.seq]
        then = before[-1] if before else next(iter(read), None)
        is_same = then is not None and then.event.form == read[-1].event.form
        return self.policies[repo_id] if is_same else self.older_policies[repo_id]

    def _look_up(self, name: str, table: Table, past: PastRequest, email: EmailFacts | None, at: int) -> TableHit:
        """Look a person up in the table as it was known at the time of the decision (ms), if that version is kept."""
        read = past.then.versions.get(f"table:{name}")
        if read != table.digest[:8]:
            if name not in self._histories:
                self._histories[name] = read_history(self.store, table)
            history = self._histories[name]
            then = None if history is None else history.find(read, at)
            if then is None:
                return TableHit(why=UnknownReason.UNAVAILABLE, note=_TABLE_CHANGED, source=f"table:{name}")
            table = then
        if name not in self._bindings:
            self._bindings[name] = self.store.bindings(name)
        address = email.address if email and email.domain else None
        return table.find(_record_of(past).person, address, now=from_ms(at), bindings=self._bindings[name])

    def _read_history(self, decision: PersonDecision, past: PastRequest, marks: list[SyncMark]) -> DecisionHistory:
        events = read_person_events(self.store, past.row.person.id, decision.entry)
        seen = None if self.visible_repos is None else frozenset(self.visible_repos)
        history = fold_history(events, decision.repo_id, seen)
        proved = [mark for mark in marks if mark.event.complete and mark.seq < decision.seq]
        return make_history(past.row.state.attempt, history, proved[-1].at if proved else None)

    def _sync_marks(self, repo_id: int, repo: Repo) -> list[SyncMark]:
        """Return all recorded full syncs of a repo, oldest first."""
        if repo_id not in self._syncs:
            end = LedgerMoment(repo=repo, repo_id=repo_id, at=0, seq=1 << 62, entry=0)
            self._syncs[repo_id] = list(iterate_sync_marks(self.store, end))[::-1]
        return self._syncs[repo_id]


def _record_of(past: PastRequest) -> AccessRequest:
    if past.row.request is None:
        raise AssertionError("a request without a record is left out")
    return past.row.request


def without_form(row: RepoRow) -> RepoRow:
    """Return a repo as if its form had never been read, for requests that answered an earlier form."""
    return structs.replace(row, form_card=None)
