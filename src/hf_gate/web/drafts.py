"""A policy's text tried where nothing follows from it: what is wrong with it, what its tests say, what it makes of real requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import PurePath
from typing import Final

from ..domain.forms import GateForm, form_of_json
from ..domain.ids import Repo, parse_repo
from ..domain.lifecycle import Status
from ..domain.query import Pattern, Query, Term
from ..domain.rows import RequestRow
from ..errors import HfGateError, RequestNotFound, UsageError
from ..policy.checking import CheckedPolicy, check_policy
from ..policy.evaluate import Compiled
from ..policy.explain import Line as Explained
from ..policy.explain import explained
from ..policy.model import Mode, Policy, Problem
from ..policy.parse import ParsedPolicy, parse_policy
from ..policy.spelling import glob_matches
from ..policy.strictyaml import Source, fixed
from ..policy.tables import Table
from ..policy.testing import TestResult, run_tests
from ..policy.trust import Pass, ways_in
from ..sources.desk import DeskSources
from ..sources.folder import Folder, read_folder, read_tables
from ..usecases.hearing import hear
from ..usecases.judging import Court, cases_of, compiled, court_of, with_texts
from .asking import read
from .finding import request_of
from .lines import Line, lines_of
from .verdicts import Said, said_of, verdicts_of
from .visit import NotFound, Visit

TRIED: Final = 100  # requests that a draft is tried on: those that have waited longest
SHOWN: Final = 12  # of those about which it says something else


@lru_cache(1)
def _quiet() -> DeskSources:
    """Lists, and profiles that were read before; a draft is worth no call of the Hub."""
    return DeskSources(None)


# ---- a text ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Marked:
    """A problem with the line that it is about, cut at the place."""

    problem: Problem
    before: str
    marked: str
    after: str

    @property
    def key(self) -> str:
        """What a button says that mends it, so that a text which changed meanwhile is not mended elsewhere."""
        place = self.problem.place
        return f"{place.line}:{place.column}:{self.problem.code}"


@dataclass(frozen=True, slots=True)
class Text:
    """A policy as it is written, with all that is wrong with it. `policy` is there also when it cannot be used yet."""

    file: str
    source: Source
    parsed: ParsedPolicy
    checked: CheckedPolicy

    @property
    def policy(self) -> Policy | None:
        return self.parsed.policy

    @property
    def problems(self) -> list[Marked]:
        return [_marked(self.source, each) for each in self.checked.problems]

    @property
    def errors(self) -> int:
        return sum(each.is_error for each in self.checked.problems)

    @property
    def name(self) -> str:
        """What its address calls it: the policy's own name, else the file's."""
        return self.policy.name if self.policy is not None else PurePath(self.file).stem

    @property
    def lines(self) -> list[tuple[int, bool]]:
        """Its line numbers, each with whether an error stands there."""
        wrong = {each.place.line for each in self.checked.problems if each.is_error}
        return [(n, n in wrong) for n in range(1, self.source.lines + 1)]

    @property
    def ways(self) -> Sequence[Pass]:
        """The least that it takes to pass each rule that accepts."""
        return () if self.checked.policy is None else ways_in(self.checked.policy, self.checked.conditions)

    @property
    def tests(self) -> Sequence[TestResult]:
        """What its own tests say."""
        return run_tests(self.checked)

    def mended(self, key: str) -> str | None:
        """Itself with one problem mended; None when there is no such problem any more."""
        found = next((each.problem for each in self.problems if each.key == key), None)
        return None if found is None else fixed(self.source.text, found)


def _marked(source: Source, problem: Problem) -> Marked:
    line, start = source.line(problem.place.line), problem.place.column - 1
    end = start + max(1, problem.length)
    return Marked(problem, line[:start][-160:], line[start:end][:160], line[end:][:160])


def folder_of(visit: Visit) -> Folder:
    """The files as they lie there now. UsageError when hf-gate.yaml is wrong, or there is no desk."""
    place = visit.office.place
    if place.folder is None:
        raise UsageError("There is no desk here, so there are no policies.", hint="Make one: hf-gate init")
    return read_folder(place.folder)


def texts_of(visit: Visit, folder: Folder) -> list[Text]:
    """Every policy file of the desk that this person may know of."""
    forms = _forms(visit)
    found = [_text(file, parsed, folder, forms) for file, parsed in folder.files.items()]
    return [text for text in found if may_know(visit, text.policy)]


def may_know(visit: Visit, policy: Policy | None) -> bool:
    """Whether a policy is for any repo of theirs; one that cannot be read yet is for those who see all."""
    if visit.member.repos is None:
        return True
    return policy is not None and bool(repos_of(visit, policy))


def repos_of(visit: Visit, policy: Policy) -> list[Repo]:
    """The repos for which it is, as far as this person sees them."""
    rows = visit.office.repos(visit.member)
    return [row.repo for row in rows if any(glob_matches(glob, row.repo) for glob in policy.applies_to)]


def draft_of(visit: Visit, text: str, file: str, folder: Folder) -> Text:
    """What somebody typed, read as if it lay there under that name."""
    return _text(file, parse_policy(text, file), folder, _forms(visit))


def _text(file: str, parsed: ParsedPolicy, folder: Folder, forms: Mapping[str, GateForm]) -> Text:
    return Text(file, parsed.read.source, parsed, check_policy(parsed, desk=folder.desk, forms=forms))


def _forms(visit: Visit) -> dict[str, GateForm]:
    return {str(row.repo): form_of_json(row.form_card) for row in visit.office.store.repos() if row.form_card}


# ---- tried on real requests ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Trial:
    """What came out: how often each rule decided, and the requests about which the desk says something else."""

    looked_at: int = 0
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    differ: list[tuple[Line, Said]] = field(default_factory=list)
    differing: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One request, explained."""

    line: Line
    why: Sequence[Explained]
    is_pending: bool


class Bar:
    """Where a draft is heard: this policy alone, as if it were in force, with the tables and texts of the desk."""

    def __init__(self, visit: Visit, folder: Folder, policy: Policy) -> None:
        self.visit, self._folder = visit, folder
        told = with_texts(policy, folder.desk.templates)
        self.policy = replace(told, mode=Mode.ENFORCE, judges=(Status.PENDING.value,))
        _check_files(folder, policy)
        self._tables: Mapping[str, Table] = read_tables(folder, [self.policy], now=visit.now, previous={})
        self._compiled: Mapping[str, Compiled] = compiled([self.policy], self._tables)

    def court(self, repo: Repo) -> Court | None:
        """Who judges at a repo; None when the draft is not for it."""
        row = self.visit.office.store.repo(repo)
        if row is None:
            return None
        return court_of(row, self._compiled, self._tables, _quiet(), zone=self._folder.zone)

    def try_all(self) -> Trial:
        """On those who wait at its repos, the oldest first."""
        trial, said = Trial(), dict[int, Said]()
        rows = list(self._waiting())
        for repo in {row.repo for row in rows}:
            said |= self._heard(repo, [row for row in rows if row.repo == repo])
        now_said = verdicts_of(self.visit.office, rows, self.visit.now)
        trial.looked_at = len(said)
        trial.by_rule.update((one.action, one.rule) for one in said.values())
        differ = [row for row in rows if row.id in said and _differs(said[row.id], now_said.get(row.id))]
        trial.differing = len(differ)
        trial.differ = [(line, said[line.row.id]) for line in lines_of(self.visit, differ[:SHOWN])]
        return trial

    def _waiting(self) -> Iterator[RequestRow]:
        repos = repos_of(self.visit, self.policy)
        if repos:
            terms = (
                Term("repo", tuple(Pattern((str(repo),)) for repo in repos)),
                Term("status", (Pattern((Status.PENDING.value,)),)),
            )
            yield from read(self.visit, Query(terms), limit=TRIED, cursor=None).rows

    def _heard(self, repo: Repo, rows: Sequence[RequestRow]) -> dict[int, Said]:
        court, now = self.court(repo), self.visit.now
        if court is None:
            return {}
        found = {}
        for case in cases_of(self.visit.office.store, court, _quiet(), rows, now):
            verdict = court.judge.verdict(case.facts, now=now, status=Status.PENDING)
            if verdict is not None:
                found[case.row.id] = said_of(verdict)
        return found

    def explain(self, who: str) -> Told:
        """One request with every rule that was tried."""
        row = meant(self.visit, who, self.policy)
        court = self.court(row.repo)
        if court is None:
            globs = ", ".join(self.policy.applies_to)
            raise UsageError(f"This policy is not for {row.repo}.", hint=f"Its applies_to names {globs}.")
        try:
            heard = hear(self.visit.office.store, court, _quiet(), row, self.visit.now)
        except LookupError:
            raise RequestNotFound("What this person wrote is no longer kept.", hint="") from None
        line = lines_of(self.visit, [row])[0]
        return Told(line, explained(heard.verdict, self.visit.now), heard.is_judged)


def _differs(ours: Said, desk: Said | None) -> bool:
    return desk is None or ours.action != desk.action


def _check_files(folder: Folder, policy: Policy) -> None:
    """A draft comes from a browser: it may ask no file that the desk's own files do not name."""
    known = [parsed.policy for parsed in folder.files.values() if parsed.policy is not None]
    specs = (*folder.desk.tables, *(spec for each in known for spec in each.tables))
    files = {spec.file for spec in specs}
    for spec in policy.tables:
        if spec.file is not None and spec.file not in files:
            raise UsageError(
                f"Table {spec.name} asks {spec.file}, which no file of the desk names: a draft is not tried with it.",
                hint="Name the table in the desk's files first, or write its rows in place.",
            )


def meant(visit: Visit, who: str, policy: Policy) -> RequestRow:
    """`USER@REPO`, a request id, or a name: the latest request of theirs where the policy holds."""
    name, at, where = who.strip().rpartition("@")
    try:
        repo = parse_repo(where) if at and "/" in where else None
    except HfGateError:
        repo = None
    if repo is None:
        try:
            return request_of(visit, who.strip())
        except NotFound:
            pass
    rows = [row for row in visit.office.store.find(repo, name if repo else who.strip()) if visit.sees(row.repo)]
    here = set(repos_of(visit, policy))
    rows = sorted(rows, key=lambda row: (row.repo in here, row.state.asked_at))
    if not rows:
        raise RequestNotFound(f"Nobody called {who.strip()[:100]} is here.", hint="Write USER@REPO, or a request's id.")
    return rows[-1]
