"""Checks policy drafts and tries them on real requests, without any effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import PurePath
from typing import Final

from msgspec import structs

from ..application.evaluation import RepoPolicies, add_read_time, build_inputs, policies_without_rules
from ..domain.forms import GateForm, form_from_json
from ..domain.ids import Repo, parse_repo
from ..domain.lifecycle import Status
from ..domain.query import Pattern, Query, Term
from ..domain.rows import RequestRow
from ..errors import HfGateError, RequestNotFound, UsageError
from ..policy.accept_requirements import AcceptRequirement, accept_requirements
from ..policy.explain import ExplanationLine as Explained
from ..policy.literals import glob_matches
from ..policy.model import Fact, Facts, Policy, PolicyProblem, SourcePosition, TableSpec
from ..policy.policy_checker import CheckedPolicy, check_policy
from ..policy.policy_parser import ParsedPolicy, parse_policy
from ..policy.policy_tests import PolicyTestResult, run_policy_tests
from ..policy.strict_yaml import SourceText, apply_fix
from ..policy.tables import Table
from ..policy.workspace_config import WorkspaceConfig
from ..sources.fact_sources import FactSources
from ..sources.workspace_folder import WorkspaceFolder, read_folder, read_tables
from .app_state import problem_for_member
from .draft_pool import DraftProcess, DraftStopped
from .draft_worker import Draft, DraftReport
from .queue_query import run_query
from .request_context import NotFound, RequestContext
from .request_lines import RequestLine, request_lines
from .verdicts import VerdictSummary, read_verdicts

MAX_DIFFERENCES: Final = 12  # requests shown for which the draft and the desk disagree


@lru_cache(1)
def _offline_sources() -> FactSources:
    """Return fact sources that do not call the Hub: lists, and profiles that were read before."""
    return FactSources(None)


# ---- the text of a policy ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MarkedProblem:
    """A problem with its line of text, split around the marked place."""

    problem: PolicyProblem
    before: str
    marked: str
    after: str

    @property
    def key(self) -> str:
        """The value of the fix button. It contains the position, so that a changed text is not fixed elsewhere."""
        place = self.problem.position
        return f"{place.line}:{place.column}:{self.problem.code}"


@dataclass(frozen=True, slots=True)
class PolicyText:
    """The text of a policy with its problems. `policy` is set even if it has errors.

    `report` holds the results of its tests and rules, if they were run. `checked` of a draft has no expressions.
    """

    file: str
    source: SourceText
    policy: Policy | None
    checked: CheckedPolicy
    report: DraftReport | None = None

    @property
    def problems(self) -> list[MarkedProblem]:
        return [_mark_problem(self.source, each) for each in self.checked.problems]

    @property
    def errors(self) -> int:
        return sum(each.is_error for each in self.checked.problems)

    @property
    def name(self) -> str:
        """The name in its address: the policy's own name, else the file's."""
        return self.policy.name if self.policy is not None else PurePath(self.file).stem

    @property
    def lines(self) -> list[tuple[int, bool]]:
        """Line numbers, each with whether the line has an error."""
        wrong = {each.position.line for each in self.checked.problems if each.is_error}
        return [(n, n in wrong) for n in range(1, self.source.lines + 1)]

    @property
    def requirements(self) -> Sequence[AcceptRequirement]:
        """The weakest requirement to pass each accept rule."""
        return () if self.report is None else self.report.requirements

    @property
    def tests(self) -> Sequence[PolicyTestResult]:
        """The results of the policy's tests."""
        return () if self.report is None else self.report.tests

    @property
    def failing(self) -> list[PolicyTestResult]:
        """The results of the tests that fail."""
        return [test for test in self.tests if not test.has_passed]

    @property
    def doubts(self) -> list[str]:
        """Reasons to confirm before use: failing tests, and rules that accept on the applicant's word alone."""
        failing = [f"The test {test.test.name} fails: {test.message}." for test in self.failing]
        weak = [
            f"The rule {way.rule} accepts on {way}."
            for way in self.requirements
            if way.is_weak and way.trust is not None
        ]
        everybody = [f"The rule {way.rule} accepts everybody." for way in self.requirements if way.trust is None]
        return [*failing, *weak, *everybody]

    def apply_fix(self, key: str) -> str | None:
        """Return the text with one problem fixed; None if it no longer has that problem."""
        found = next((each.problem for each in self.problems if each.key == key), None)
        return None if found is None else apply_fix(self.source.text, found)


def _mark_problem(source: SourceText, problem: PolicyProblem) -> MarkedProblem:
    line, start = source.line(problem.position.line), problem.position.column - 1
    end = start + max(1, problem.length)
    return MarkedProblem(problem, line[:start][-160:], line[start:end][:160], line[end:][:160])


def read_workspace_folder(context: RequestContext) -> WorkspaceFolder:
    """Read the workspace's files. Raises UsageError without a workspace, or if hf-gate.yaml is wrong."""
    place = context.workspace.location
    if place.folder is None:
        raise UsageError("There is no workspace here, so there are no policies.", hint="Make one: hf-gate init")
    try:
        return read_folder(place.folder)
    except HfGateError as problem:
        raise problem_for_member(context.member, problem) from None


def list_policy_texts(context: RequestContext, folder: WorkspaceFolder) -> list[PolicyText]:
    """Return every policy file that the visitor may see."""
    forms = _visible_forms(context)
    found = [_check_file_text(file, parsed, folder, forms) for file, parsed in folder.files.items()]
    return [text for text in found if can_see_policy(context, text.policy)]


def can_see_policy(context: RequestContext, policy: Policy | None) -> bool:
    """Whether the visitor may see a policy: it applies to one of their repos. Only members of all repos see an unreadable one."""
    if context.member.repos is None:
        return True
    return policy is not None and bool(visible_policy_repos(context, policy))


def visible_policy_repos(context: RequestContext, policy: Policy) -> list[Repo]:
    """Return the repos that the policy applies to and the visitor may see."""
    rows = context.app_state.membership.repos(context.member)
    return [row.repo for row in rows if any(glob_matches(glob, row.repo) for glob in policy.applies_to)]


def check_draft(
    process: DraftProcess, context: RequestContext, text: str, file: str, folder: WorkspaceFolder
) -> PolicyText:
    """Check a draft as if it were the file of that name. If the check was stopped, that is the only problem."""
    source = SourceText(text, file)
    try:
        report = process.check(
            Draft(text, file, _visible_config(context, folder), _visible_forms(context), folder.zone)
        )
    except DraftStopped as stopped:
        report = DraftReport(None, None, (_stop_problem(stopped, file),))
    return PolicyText(file, source, report.policy, CheckedPolicy(report.usable, report.problems), report)


def _visible_config(context: RequestContext, folder: WorkspaceFolder) -> WorkspaceConfig:
    """Return the config to check a draft against; for a member of some repos it names only those."""
    if context.member.repos is None:
        return folder.config
    return replace(
        folder.config, repos=tuple(str(row.repo) for row in context.app_state.membership.repos(context.member))
    )


def visible_targets(context: RequestContext, policy: Policy) -> list[str]:
    """Return the `applies_to` of a policy; for a member of some repos, the names of their repos that it matches."""
    if context.member.repos is None:
        return list(policy.applies_to)
    return [str(repo) for repo in visible_policy_repos(context, policy)]


def check_own_text(context: RequestContext, text: str, file: str, folder: WorkspaceFolder) -> PolicyText:
    """Check a text that ships with hf-gate; it needs no separate process."""
    found = _check_file_text(file, parse_policy(text, file), folder, _visible_forms(context))
    return _with_report(found, run_policy_tests(found.checked))


def add_test_results(context: RequestContext, text: PolicyText, folder: WorkspaceFolder) -> PolicyText:
    """Return a workspace policy with the results of its rules and tests, which run in another process."""
    draft = Draft(text.source.text, text.file, folder.config, _visible_forms(context), folder.zone)
    try:
        return _with_report(
            text, context.app_state.drafts.report_on_file(draft).tests if text.policy is not None else ()
        )
    except DraftStopped as stopped:
        problem = _stop_problem(stopped, text.file)
        return _with_report(
            replace(text, checked=replace(text.checked, problems=(*text.checked.problems, problem))), ()
        )


def _with_report(text: PolicyText, tests: tuple[PolicyTestResult, ...]) -> PolicyText:
    policy, checked = text.checked.policy, text.checked
    ways = () if policy is None else accept_requirements(policy, checked.conditions)
    return replace(text, report=DraftReport(text.policy, policy, checked.problems, ways, tests))


def _stop_problem(stopped: DraftStopped, file: str) -> PolicyProblem:
    return PolicyProblem("stopped", str(stopped), file, SourcePosition(1, 1), hint=stopped.hint or "")


def _check_file_text(
    file: str, parsed: ParsedPolicy, folder: WorkspaceFolder, forms: Mapping[str, GateForm]
) -> PolicyText:
    return PolicyText(
        file, parsed.document.source, parsed.policy, check_policy(parsed, config=folder.config, forms=forms)
    )


def _visible_forms(context: RequestContext) -> dict[str, GateForm]:
    """Return the forms of the repos that the visitor sees, to find misspelt labels."""
    return {
        str(row.repo): form_from_json(row.form_card)
        for row in context.app_state.membership.repos(context.member)
        if row.form_card
    }


def visible_tables(context: RequestContext, folder: WorkspaceFolder) -> dict[str, TableSpec]:
    """Return the tables that the visitor may see: those of hf-gate.yaml and of the policies that they see."""
    seen = [parsed.policy for parsed in folder.files.values() if can_see_policy(context, parsed.policy)]
    specs = (*folder.config.tables, *(spec for policy in seen if policy is not None for spec in policy.tables))
    return {spec.name: spec for spec in specs}


# ---- trial on real requests ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class TrialResult:
    """The result of a trial: how often each rule decided, and the requests where the desk decides differently."""

    tried: int = 0
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    differences: list[tuple[RequestLine, VerdictSummary]] = field(default_factory=list)
    differing: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ExplainedRequest:
    """One request with the explanation of its verdict."""

    line: RequestLine
    why: Sequence[Explained]
    is_pending: bool


class DraftTrial:
    """Tries a draft alone, as if it were enforced. This process reads the facts; the draft's process evaluates them."""

    def __init__(
        self, process: DraftProcess, context: RequestContext, folder: WorkspaceFolder, text: PolicyText
    ) -> None:
        if text.report is None or text.report.usable is None:
            raise AssertionError("only a draft without errors is tried")
        self._process, self.context = process, context
        self._report, self.policy = text.report, text.report.usable
        known = visible_tables(context, folder)
        _check_files(known, self.policy)
        self._tables = self._read_tables(folder, known)

    def _read_tables(self, folder: WorkspaceFolder, known: Mapping[str, TableSpec]) -> Mapping[str, Table]:
        """Return the tables that the draft asks: as the desk read them if the definition is the same, else read now."""
        asked = {name.split(".")[1] for name in self._report.facts if name.startswith("tables.")}
        specs = [spec for spec in (*folder.config.tables, *self.policy.tables) if spec.name in asked]
        bundle = self.context.app_state.policies.current
        read_already = {} if bundle is None else bundle.tables
        same = {spec.name for spec in specs if spec.name in read_already and _is_same(spec, known.get(spec.name))}
        others = replace(self.policy, tables=tuple(spec for spec in specs if spec.name not in same))
        without = replace(folder, config=replace(folder.config, tables=()))
        found = read_tables(without, [others], now=self.context.now, previous={})
        return found | {name: read_already[name] for name in same}

    def _policy_set(self, repo: Repo) -> RepoPolicies | None:
        """Return what reads the facts of a repo's requests; None if the draft does not apply to it."""
        row = self.context.workspace.store.repo(repo)
        if row is None or not any(glob_matches(glob, repo) for glob in self.policy.applies_to):
            return None
        return policies_without_rules(row, self.policy, self._report.facts, self._tables, _offline_sources())

    def try_all(self) -> TrialResult:
        """Try the draft on the pending requests of its repos, oldest first."""
        trial, said = TrialResult(), dict[int, VerdictSummary]()
        rows = list(self._waiting())
        for repo in {row.repo for row in rows}:
            said |= self._evaluate_rows(repo, [row for row in rows if row.repo == repo])
        now_said = read_verdicts(
            self.context.app_state, rows, self.context.now, hides=self.context.member.repos is not None
        )
        trial.tried = len(said)
        trial.by_rule.update((one.action, one.rule) for one in said.values())
        differ = [row for row in rows if row.id in said and _differs(said[row.id], now_said.get(row.id))]
        trial.differing = len(differ)
        trial.differences = [
            (line, said[line.row.id]) for line in request_lines(self.context, differ[:MAX_DIFFERENCES])
        ]
        return trial

    def _waiting(self) -> Iterator[RequestRow]:
        repos = visible_policy_repos(self.context, self.policy)
        if repos:
            terms = (
                Term("repo", tuple(Pattern((str(repo),)) for repo in repos)),
                Term("status", (Pattern((Status.PENDING.value,)),)),
            )
            yield from run_query(self.context, Query(terms), limit=self._report.max_requests, cursor=None).rows

    def _evaluate_rows(self, repo: Repo, rows: Sequence[RequestRow]) -> dict[int, VerdictSummary]:
        policy_set, now = self._policy_set(repo), self.context.now
        if policy_set is None:
            return {}
        cases = list(
            build_inputs(
                self.context.workspace.store,
                policy_set,
                _offline_sources(),
                rows,
                now,
                visible_repos=self.context.repo_ids,
            )
        )
        verdicts = self._process.evaluate([_resolve_facts(case.facts) for case in cases], now)
        return {case.row.id: VerdictSummary(*verdict) for case, verdict in zip(cases, verdicts, strict=True)}

    def explain(self, who: str) -> ExplainedRequest:
        """Return one request with every rule that was tried."""
        row, store = find_request(self.context, who, self.policy), self.context.workspace.store
        policy_set = self._policy_set(row.repo)
        if policy_set is None:
            globs = ", ".join(visible_targets(self.context, self.policy)) or "none of your repos"
            raise UsageError(f"This policy does not apply to {row.repo}.", hint=f"Its applies_to names {globs}.")
        rows, seen = [add_read_time(store, row)], self.context.repo_ids
        case = next(
            build_inputs(store, policy_set, _offline_sources(), rows, self.context.now, visible_repos=seen), None
        )
        if case is None:
            raise RequestNotFound("The answers of this request are no longer stored.", hint="")
        why = self._process.explain(_resolve_facts(case.facts), self.context.now)
        return ExplainedRequest(request_lines(self.context, [row])[0], why, row.state.status == Status.PENDING)


def _resolve_facts(facts: Facts) -> Facts:
    """Return facts with all values computed, to be sent to another process."""
    return {name: _plain(facts[name]) for name in facts}


def _plain(fact: Fact) -> Fact:
    return structs.replace(fact, value=dict(fact.value)) if isinstance(fact.value, Mapping) else fact


def _differs(ours: VerdictSummary, desk: VerdictSummary | None) -> bool:
    return desk is None or ours.action != desk.action


def _is_same(spec: TableSpec, other: TableSpec | None) -> bool:
    return other is not None and (spec.file, spec.key, spec.rows) == (other.file, other.key, other.rows)


def _check_files(known: Mapping[str, TableSpec], policy: Policy) -> None:
    """Refuse files that no visible table names: a draft comes from a browser and must not read others."""
    files = {spec.file for spec in known.values()}
    for spec in policy.tables:
        if spec.file is not None and spec.file not in files:
            raise UsageError(
                f"Table {spec.name} uses {spec.file}, which no file of the workspace names, so the draft was not tried.",
                hint="Name the table in a file of the workspace first, or write its rows in the draft.",
            )


def find_request(context: RequestContext, who: str, policy: Policy) -> RequestRow:
    """Return the request that `USER@REPO`, a request id or a name means: the latest one where the policy applies."""
    name, at, where = who.strip().rpartition("@")
    try:
        repo = parse_repo(where) if at and "/" in where else None
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
