"""The page that compares a policy with the last decisions of people: a matrix whose cells lead to the requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby, islice
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from ..application.past_facts import DecidedRequest, PastFactReader, without_form
from ..application.policy_comparison import (
    UNKNOWN,
    DecisionSelection,
    PolicyAnswer,
    PolicyComparison,
    action_of,
    compare_decisions,
    describe_rules,
    name_decider,
    select_decisions,
    verb_of,
)
from ..domain.timestamps import from_ms
from ..errors import HfGateError
from ..policy.model import Action, Facts
from ..policy.rule_phrases import has_constant
from .draft_pool import DraftProcess
from .draft_trial import DraftTrial, offline_sources, resolve_facts
from .draft_worker import CompareRequests
from .drafts import PolicyText, check_draft, list_policy_texts, read_workspace_folder
from .policies import is_text_hidden
from .request_context import NotFound, RequestContext

_PEOPLE: Final = ("accept", "reset", "reject")
_POLICY: Final = (*(action.value for action in Action), UNKNOWN)
_MAX_SEARCHED: Final = 200_000  # entries of the ledger that are searched for decisions


class ComparedLine(Struct, frozen=True):
    """One decision on the page. `says` is the sentence of the rule, or empty if the member may not read it."""

    href: str
    name: str
    repo: str
    at: datetime
    by: str | None
    people: str
    policy: str
    rule: str
    says: str
    missing: Sequence[str]


class ComparedCell(Struct, frozen=True):
    """One cell of the matrix with its decisions."""

    people: str
    policy: str
    lines: Sequence[ComparedLine]

    @property
    def anchor(self) -> str:
        """The id of its section on the page."""
        return f"c-{self.people}-{self.policy}"

    @property
    def rank(self) -> int:
        """The order on the page: differences, unknown ones, what stays with people, agreements."""
        if self.policy == UNKNOWN:
            return 1
        if self.policy in {Action.HUMAN, Action.WAIT}:
            return 2
        return 3 if self.people == self.policy else 0


def page(context: RequestContext) -> Response:
    """Compare a policy with the last decisions of people at the member's repos, within the limits of a draft."""
    folder = read_workspace_folder(context)
    known = next((one for one in list_policy_texts(context, folder) if one.name == context.params["name"]), None)
    if known is None:
        raise NotFound
    comparison, problem = None, ""
    with context.app_state.drafts.acquire(context.member.id) as process:
        text = check_draft(process, context, known.source.text, known.file, folder)
        if text.report is None or text.report.usable is None:
            problem = "The policy has errors, so it was not compared."
        else:
            try:
                comparison = _compare(process, context, DraftTrial(process, context, folder, text))
            except HfGateError as found:
                problem = f"{found} {found.hint or ''}".strip()
    cells = [] if comparison is None else _list_cells(context, comparison, known)
    return context.render(
        "policy_compare.html",
        title=f"Compare {known.name}",
        name=known.name,
        comparison=comparison,
        cells={(cell.people, cell.policy): cell for cell in cells},
        sections=sorted(cells, key=lambda cell: (cell.rank, _PEOPLE.index(cell.people))),
        people=[verb for verb in _PEOPLE if any(cell.people == verb for cell in cells)],
        says=[action for action in _POLICY if any(cell.policy == action for cell in cells)],
        problem=problem,
    )


def _compare(process: DraftProcess, context: RequestContext, trial: DraftTrial) -> PolicyComparison:
    store = context.workspace.store
    rows = context.list_visible_repos().rows
    current = {row.id: found for row in rows if (found := trial.policy_set_of(row)) is not None}
    older = {row.id: found for row in rows if (found := trial.policy_set_of(without_form(row))) is not None}
    reader = PastFactReader(store, offline_sources(), current, older, context.repo_ids)
    selection = DecisionSelection(trial.max_requests)
    decisions = select_decisions(store, current.keys(), selection, max_searched=_MAX_SEARCHED)

    def evaluate(facts: Sequence[Facts], moments: Sequence[datetime]) -> Sequence[PolicyAnswer]:
        return process.perform(CompareRequests([resolve_facts(each) for each in facts], moments))

    decided = islice(reader.read_decided(decisions), trial.max_requests)
    comparison = compare_decisions(trial.policy, decided, evaluate)
    comparison.erased_count = reader.erased_count
    return comparison


def _list_cells(context: RequestContext, comparison: PolicyComparison, text: PolicyText) -> list[ComparedCell]:
    sentences = describe_rules(comparison.policy)
    if is_text_hidden(context, text):
        sentences = {rule: sentence for rule, sentence in sentences.items() if not has_constant(sentence)}
    lines = [_line(context, decided, answer, sentences.get(answer.rule, "")) for decided, answer in comparison.compared]
    lines.sort(key=lambda line: (line.people, line.policy))
    return [
        ComparedCell(people, policy, list(some))
        for (people, policy), some in groupby(lines, key=lambda line: (line.people, line.policy))
    ]


def _line(context: RequestContext, decided: DecidedRequest, answer: PolicyAnswer, says: str) -> ComparedLine:
    row = decided.past.row
    return ComparedLine(
        href=f"/requests/n{row.id}",
        name=row.person.identity.username or row.state.person,
        repo=str(row.repo),
        at=from_ms(decided.decision.at),
        by=name_decider(context.workspace.store, decided),
        people=verb_of(decided),
        policy=action_of(answer),
        rule=answer.rule,
        says=says,
        missing=answer.missing,
    )
