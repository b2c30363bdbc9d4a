"""Compares what people decided with what a policy says on the facts of that time: a matrix, and where they differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.batches import split_into_batches
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms, ms_to_iso
from hf_gate.core.events.events import Private
from hf_gate.core.lifecycle import VERB_FOR_STATUS, Status
from hf_gate.core.policy_model import Facts, Policy, UnknownReason
from hf_gate.core.requests import AccessRequest
from hf_gate.core.runs import ChangeOrigin
from hf_gate.core.stored_rows import LedgerMoment, PastRequest, PersonDecision, RepoRow, SyncMark
from hf_gate.policies.evaluation.evaluator import Evaluator
from hf_gate.policies.facts.fact_values import DecisionHistory, EmailFacts, TableHit
from hf_gate.policies.facts.table_versions import TableHistory
from hf_gate.policies.facts.tables import Table
from hf_gate.policies.words.rule_phrases import describe_rule
from hf_gate.requests.past_history import fold_history
from hf_gate.requests.rows.past_requests import (
    iterate_person_decisions,
    iterate_sync_marks,
    name_granter,
    read_past_requests,
    read_person_decisions,
    read_person_events,
    read_private_parts,
)
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.verdicts.records import DECIDED, UNKNOWN, ComparedDecision, ComparisonCell, ComparisonRecord

from .draft_trials import enforce_alone
from .evaluation import (
    RepoPolicies,
    SourcesPort,
    compile_policies,
    make_history,
    open_fact_sources,
    policies_of_repo,
    reminders_of,
)
from .table_store import read_table_history

_CHUNK: Final = 100  # decisions whose private parts are read together
_Z: Final = 1.959964  # the quantile of the normal distribution for 95 %
_TABLE_CHANGED: Final = "the table as it was then is not kept"


# ---- facts of the time of a decision ---------------------------------------------------------------------------------


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
                self._histories[name] = read_table_history(self.store, table)
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


def _without_form(row: RepoRow) -> RepoRow:
    """Return a repo as if its form had never been read, for requests that answered an earlier form."""
    return replace(row, form_card=None)


# ---- comparison ------------------------------------------------------------------------------------------------------


class DecisionSelection(NamedTuple):
    """Which decisions are compared: the last ones, those since a time (ms), or those about these requests.

    At most `max_searched` entries of the ledger are searched.
    """

    last: int
    since: int | None = None
    requests: Sequence[int] | None = None
    max_searched: int | None = None


class ComparedPolicy(Struct, frozen=True):
    """A policy that is compared. `policies_of` returns what reads the facts of a repo; None where it does not apply."""

    policy: Policy
    evaluator: Evaluator
    policies_of: Callable[[RepoRow], RepoPolicies | None]
    sources: SourcesPort
    sentences: Mapping[str, str]  # of its rules


def describe_rules(policy: Policy) -> Mapping[str, str]:
    """Return the sentence of each rule."""
    return {rule.id: describe_rule(rule, policy.let, is_first=n == 0) for n, rule in enumerate(policy.rules)}


def compare_policy(
    workspace: Workspace, policy: Policy, tables: Mapping[str, Table], selection: DecisionSelection
) -> ComparisonRecord:
    """Compare a policy, alone and as if it were enforced, with decisions of people at the repos that it applies to."""
    enforced = enforce_alone(policy)
    config = workspace.location.config
    compiled = compile_policies([enforced], tables, config.source_types)

    def policies_of(row: RepoRow) -> RepoPolicies | None:
        return policies_of_repo(
            row,
            compiled,
            tables,
            open_fact_sources(workspace),
            zone=workspace.zone,
            has_reminders=config.letters.has_reminders,
            specs=config.sources,
        )

    evaluator = Evaluator(list(compiled.values()), zone=workspace.zone)
    compared = ComparedPolicy(enforced, evaluator, policies_of, open_fact_sources(workspace), describe_rules(enforced))
    rows = [row for row in workspace.store.repos() if config.includes(row.repo)]
    return compare_decisions(workspace.store, rows, compared, selection)


def compare_decisions(
    store: Store,
    rows: Iterable[RepoRow],
    compared: ComparedPolicy,
    selection: DecisionSelection,
    visible_repos: Collection[int] | None = None,
) -> ComparisonRecord:
    """Compare a policy with the selected decisions at these repos, the newest first."""
    policies = {row.id: (compared.policies_of(row), compared.policies_of(_without_form(row))) for row in rows}
    current = {ident: now for ident, (now, _) in policies.items() if now is not None}
    older = {ident: then for ident, (_, then) in policies.items() if then is not None}
    reader = PastFactReader(store, compared.sources, current, older, visible_repos)
    decided = islice(reader.read_decided(_select_decisions(store, current.keys(), selection)), selection.last)
    decisions = list[ComparedDecision]()
    for chunk in split_into_batches(decided, _CHUNK):
        private = read_private_parts(store, (each.decision.entry for each in chunk))
        decisions += [_make_row(each, compared, private.get(each.decision.entry, {})) for each in chunk]
    return _summarize(compared.policy, decisions, reader.erased_count)


def _select_decisions(store: Store, repos: Collection[int], selection: DecisionSelection) -> Iterable[PersonDecision]:
    """Return the selected decisions at these repos (ids), the newest first."""
    if selection.requests is None:
        return iterate_person_decisions(store, repos, since=selection.since, max_searched=selection.max_searched)
    decisions = read_person_decisions(store, selection.requests)
    return [decision for decision in decisions if decision.repo_id in repos]


def _make_row(decided: DecidedRequest, compared: ComparedPolicy, private: Private) -> ComparedDecision:
    row = decided.past.row
    decision = decided.decision
    verdict = compared.evaluator.evaluate(decided.facts, now=decided.at)
    if verdict is None:
        raise AssertionError("a pending request always gets a verdict")
    return ComparedDecision(
        repo=row.repo.id,
        repo_type=row.repo.type,
        request_id=row.state.hub_request,
        user_id=row.person.identity.user_id,
        user=row.person.identity.username,
        asked_at=ms_to_iso(row.state.asked_at),
        decided_at=ms_to_iso(decision.at),
        by=name_granter(private) if decision.is_outside else decision.actor,
        people=VERB_FOR_STATUS[decision.after],
        policy=UNKNOWN if verdict.possible else verdict.action.value,
        rule=verdict.rule,
        says=compared.sentences.get(verdict.rule),
        missing=list(verdict.missing or verdict.needs),
        entry=f"{row.repo}#{decision.seq}",
    )


def _summarize(policy: Policy, rows: Sequence[ComparedDecision], erased: int) -> ComparisonRecord:
    matrix = Counter((row.people, row.policy) for row in rows)
    by_policy = sum(n for (_, action), n in matrix.items() if action in DECIDED)
    agreed = sum(n for (verb, action), n in matrix.items() if verb == action)
    unknowns = [row for row in rows if row.policy == UNKNOWN]
    low, high = agreement_interval(agreed, by_policy)
    return ComparisonRecord(
        policy=policy.name,
        digest=policy.digest,
        compared=len(rows),
        decided=by_policy,
        agreed=agreed,
        rate=round(agreed / by_policy, 4) if by_policy else None,
        rate_low=round(low, 4) if by_policy else None,
        rate_high=round(high, 4) if by_policy else None,
        left_to_people=len(rows) - by_policy - len(unknowns),
        unknown=len(unknowns),
        erased=erased,
        matrix=[ComparisonCell(people=people, policy=says, n=n) for (people, says), n in sorted(matrix.items())],
        disagreements=[row for row in rows if row.policy in DECIDED and row.policy != row.people],
        unknowns=unknowns,
    )


def agreement_interval(agreed: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share. It is not empty for 0 or all, as other intervals are."""
    if not total:
        return 0.0, 1.0
    share = agreed / total
    square = _Z * _Z
    middle = share + square / (2 * total)
    spread = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max(0.0, (middle - spread) / (1 + square / total)), min(1.0, (middle + spread) / (1 + square / total))
