"""Tries a draft of a policy on pending requests, and explains its verdict on one request, without any effect."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.parsing.query import Query, one_of
from hf_gate.core.policy_model import Policy, TableSpec
from hf_gate.core.stored_rows import RepoRow, RequestRow
from hf_gate.errors import HfGateError, RequestNotFound, UsageError
from hf_gate.policies.drivers.workspace_folder import WorkspaceFolder, read_all_tables
from hf_gate.policies.facts.fact_table import tables_of
from hf_gate.policies.facts.tables import Table
from hf_gate.policies.words.explanations import Explanation, explain_verdict
from hf_gate.requests.pages.queue_query import run_query
from hf_gate.requests.pages.request_lines import RequestLine, build_request_lines
from hf_gate.requests.pages.verdicts import read_verdicts
from hf_gate.verdicts.drivers.fact_sources import FactSources
from hf_gate.verdicts.service.draft_trials import MAX_EXAMPLES, TrialTally, TriedRequest, find_action
from hf_gate.verdicts.service.evaluation import RepoPolicies, add_read_time, build_inputs, policies_without_rules
from hf_gate.verdicts.service.table_store import bind_known_accounts
from hf_gate.web.http_context import HttpContext, NotFound

from .drafts import PolicyText, visible_policy_repos, visible_tables, visible_targets
from .verdict_cache import VerdictSummary


@lru_cache(1)
def offline_sources() -> FactSources:
    """Return fact sources that do not call the Hub: lists, and profiles that were read before."""
    return FactSources(None)


class TrialResult(Struct, frozen=True):
    """The result of a trial, with the lines of the requests that it names. `total`: all waiting requests.

    `examples` are by rule. `differences` are requests where the desk decides differently, with the draft's verdict.
    """

    tally: TrialTally
    total: int
    examples: Mapping[str, Sequence[RequestLine]]
    differences: Sequence[tuple[RequestLine, TriedRequest]]

    @property
    def is_all(self) -> bool:
        """Whether all waiting requests were tried."""
        return self.tally.tried >= self.total

    @property
    def by_rule(self) -> Counter[tuple[str, str]]:
        """How often each rule decided, by action and rule."""
        return Counter(self.tally.by_rule)


class ExplainedRequest(Struct, frozen=True):
    """One request with the explanation of its verdict."""

    line: RequestLine
    explanation: Explanation | None
    is_pending: bool


class DraftTrial:
    """Tries a draft alone, as if it were enforced."""

    def __init__(self, context: HttpContext, folder: WorkspaceFolder, text: PolicyText) -> None:
        if text.report is None or text.report.evaluator is None or text.checked.policy is None:
            raise AssertionError("only a draft without errors is tried")
        self.context = context
        self.policy = text.checked.policy
        self.evaluator = text.report.evaluator
        self.max_requests = text.report.max_requests  # that the draft may be tried on
        self._config = folder.config
        known = visible_tables(context, folder)
        check_files(known, self.policy)
        self._tables = self._read_tables(folder, known)

    def _read_tables(self, folder: WorkspaceFolder, known: Mapping[str, TableSpec]) -> Mapping[str, Table]:
        """Return the tables that the draft asks: as the desk read them if the definition is the same, else read now."""
        asked = tables_of(self.evaluator.facts)
        specs = [spec for spec in (*folder.config.tables, *self.policy.tables) if spec.name in asked]
        bundle = self.context.app_state.policies.current
        read_already = {} if bundle is None else bundle.tables
        same = {spec.name for spec in specs if spec.name in read_already and _is_same(spec, known.get(spec.name))}
        others = replace(self.policy, tables=tuple(spec for spec in specs if spec.name not in same))
        without = replace(folder, config=dataclasses.replace(folder.config, tables=()))
        tables = read_all_tables(without, [others], now=self.context.now, previous={})
        tables |= {name: read_already[name] for name in same}
        return {name: bind_known_accounts(self.context.workspace.store, table) for name, table in tables.items()}

    def _policy_set(self, repo: Repo) -> RepoPolicies | None:
        """Return what reads the facts of a repo's requests; None if the draft does not apply to it."""
        row = self.context.workspace.store.repo(repo)
        return None if row is None else self.policy_set_of(row)

    def policy_set_of(self, row: RepoRow) -> RepoPolicies | None:
        """Return the same for a row of a repo."""
        if not matches_any(self.policy.applies_to, row.repo):
            return None
        return policies_without_rules(
            row,
            self.policy,
            self.evaluator.facts,
            self._tables,
            offline_sources(),
            has_reminders=self._config.letters.has_reminders,
            specs=self._config.sources,
        )

    def try_oldest(self) -> TrialTally:
        """Try the draft on the pending requests of its repos that have waited longest."""
        said = dict[int, VerdictSummary]()
        rows = list(self._waiting())
        for repo in {row.repo for row in rows}:
            said |= self._evaluate_rows(repo, [row for row in rows if row.repo == repo])
        desk = read_verdicts(
            self.context.app_state, rows, self.context.now, hides=self.context.member.repos is not None
        )
        tally = TrialTally()
        for row in rows:
            if (ours := said.get(row.id)) is not None:
                tally.add(TriedRequest(row.id, ours.action, ours.rule, _action_of(row, desk.get(row.id))))
        return tally

    def describe(self, tally: TrialTally) -> TrialResult:
        """Return the result of a trial with the lines of the requests that it names."""
        numbers = [*(each.request for each in tally.differences), *chain.from_iterable(tally.examples.values())]
        rows = self.context.workspace.store.requests(list(dict.fromkeys(numbers)))
        lines = {line.row.id: line for line in build_request_lines(self.context, list(rows.values()))}
        return TrialResult(
            tally,
            count_waiting(self.context, self.policy),
            {rule: [lines[each] for each in found if each in lines] for rule, found in tally.examples.items()},
            [(lines[each.request], each) for each in tally.differences if each.request in lines],
        )

    def _waiting(self) -> Iterator[RequestRow]:
        repos = visible_policy_repos(self.context, self.policy)
        if repos:
            terms = (
                one_of("repo", *map(str, repos)),
                one_of("status", Status.PENDING),
            )
            yield from run_query(self.context, Query(terms), limit=self.max_requests, cursor=None).rows

    def _evaluate_rows(self, repo: Repo, rows: Sequence[RequestRow]) -> dict[int, VerdictSummary]:
        policy_set = self._policy_set(repo)
        now = self.context.now
        if policy_set is None:
            return {}
        cases = list(
            build_inputs(
                self.context.workspace.store,
                policy_set,
                offline_sources(),
                rows,
                now,
                visible_repos=self.context.repo_ids,
            )
        )
        verdicts = ((case.row.id, self.evaluator.evaluate(case.facts, now=now)) for case in cases)
        return {
            row: VerdictSummary(find_action(verdict, now, self.evaluator.zone), verdict.rule)
            for row, verdict in verdicts
            if verdict is not None
        }

    def explain(self, who: str) -> ExplainedRequest:
        """Return one request with every rule that was tried."""
        row = find_trial_request(self.context, who, self.policy)
        store = self.context.workspace.store
        policy_set = self._policy_set(row.repo)
        if policy_set is None:
            globs = ", ".join(visible_targets(self.context, self.policy)) or "none of your repos"
            raise UsageError(f"This policy does not apply to {row.repo}.", hint=f"Its applies_to names {globs}.")
        rows = [add_read_time(store, row)]
        seen = self.context.repo_ids
        case = next(
            build_inputs(store, policy_set, offline_sources(), rows, self.context.now, visible_repos=seen), None
        )
        if case is None:
            raise RequestNotFound("The answers of this request are no longer stored.", hint="")
        verdict = self.evaluator.evaluate_with_traces(case.facts, now=self.context.now)
        zone = self.context.workspace.zone
        explanation = None if verdict is None else explain_verdict(verdict, self.context.now, zone)
        return ExplainedRequest(
            build_request_lines(self.context, [row])[0], explanation, row.state.status == Status.PENDING
        )


def count_waiting(context: HttpContext, policy: Policy) -> int:
    """Return how many requests wait at the visible repos of a policy."""
    repos = set(visible_policy_repos(context, policy))
    rows = context.list_visible_repos().rows
    return sum(row.counts.get(Status.PENDING.value, 0) for row in rows if row.repo in repos)


def pick_examples(rows: Iterable[tuple[str, RequestRow]]) -> list[tuple[str, RequestRow]]:
    """Return the first requests of each rule, as examples."""
    taken = Counter[str]()
    found = []
    for rule, row in rows:
        if taken[rule] < MAX_EXAMPLES:
            taken[rule] += 1
            found.append((rule, row))
    return found


def _action_of(row: RequestRow, verdict: VerdictSummary | None) -> str | None:
    """Return the action of a verdict of the desk, as recorded: a person decides some acceptances."""
    if verdict is None or row.state.verdict is None:
        return None if verdict is None else verdict.action
    action, policy, rule, _ = row.state.verdict
    return action if (policy, rule) == (verdict.policy, verdict.rule) else verdict.action


def _is_same(spec: TableSpec, other: TableSpec | None) -> bool:
    return other is not None and (spec.file, spec.key, spec.rows) == (other.file, other.key, other.rows)


def check_files(known: Mapping[str, TableSpec], policy: Policy) -> None:
    """Refuse files that no visible table names: a draft comes from a browser and must not read others."""
    files = {spec.file for spec in known.values()}
    for spec in policy.tables:
        if spec.file is not None and spec.file not in files:
            raise UsageError(
                (
                    f"Table {spec.name} uses {spec.file}, which no file of the workspace names, so the draft was "
                    "not tried."
                ),
                hint="Name the table in a file of the workspace first, or write its rows in the draft.",
            )


def find_trial_request(context: HttpContext, who: str, policy: Policy) -> RequestRow:
    """Return the request that `USER@REPO`, a request id or a name means: the latest one where the policy applies."""
    name, at, where = who.strip().rpartition("@")
    try:
        repo = parse_repo(where, endpoint=context.workspace.store.endpoint) if at and "/" in where else None
    except HfGateError:
        repo = None
    if repo is None:
        try:
            return context.find_request(who.strip())
        except NotFound:
            pass
    rows = [
        row
        for row in context.workspace.store.find_by_identity(repo, name if repo else who.strip())
        if context.can_see(row.repo)
    ]
    here = set(visible_policy_repos(context, policy))
    rows = sorted(rows, key=lambda row: (row.repo in here, row.state.asked_at))
    if not rows:
        raise RequestNotFound(f"There is no request of {who.strip()[:100]}.", hint="Write USER@REPO, or a request id.")
    return rows[-1]
