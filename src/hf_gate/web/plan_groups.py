"""Groups the changes of a plan by rule: how many people, the rule as a sentence, the text sent, and examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..domain.roles import Role
from ..plan.model import Change
from ..plan.words import describe_change_rule, describe_counts
from .change_lines import MARKS, ChangeLine, change_line
from .explanations import can_read_policy
from .request_context import RequestContext
from .request_lines import AnswerLine, list_answers
from .verdicts import read_repos

MAX_EXAMPLES: Final = 3  # examples of one group
MAX_GROUPS: Final = 12  # groups with examples
VERB_ORDER: Final = ("accept", "reset", "reject", "cancel", "remove")


@dataclass(frozen=True, slots=True)
class PlanExample:
    """One change of a group, with the most informative answers that the person gave."""

    line: ChangeLine
    answers: Sequence[AnswerLine]


@dataclass(slots=True)
class PlanGroup:
    """The changes of one rule and verb. `key` is the group's name in addresses."""

    verb: str
    rule: str
    first: Change
    n: int = 0
    reason: str | None = None  # of the first change
    differs: bool = False  # other changes have another reason
    sentence: str = ""  # the rule in words; empty if the member may not read it, or if it has changed since
    changes: list[tuple[int, Change]] = field(default_factory=list)  # the first ones, with their numbers in the plan
    examples: Sequence[PlanExample] = ()

    @property
    def key(self) -> str:
        return f"{self.verb}:{self.rule}"

    @property
    def mark(self) -> str:
        return MARKS.get(self.verb, self.verb)

    @property
    def effect(self) -> str:
        """What happens to how many people: `117 people get access`."""
        return describe_counts({self.verb: self.n})


def group_changes(context: RequestContext, changes: Iterable[tuple[int, Change]]) -> list[PlanGroup]:
    """Group numbered changes by verb and rule, the largest groups of a verb first; `add_examples` completes some."""
    found: dict[tuple[str, str], PlanGroup] = {}
    for n, change in changes:
        key = (change.verb, change.rule_label)
        group = found.get(key)
        if group is None:
            group = found[key] = PlanGroup(*key, change, reason=None if context.is_masked else change.reason)
        group.n += 1
        group.differs |= not context.is_masked and change.reason != group.reason
        if len(group.changes) < MAX_EXAMPLES:
            group.changes.append((n, change))
    return sorted(found.values(), key=lambda group: (VERB_ORDER.index(group.verb), -group.n, group.rule))


def add_examples(context: RequestContext, groups: Sequence[PlanGroup]) -> None:
    """Complete groups with the rule as a sentence and the answers of a few people; viewers see neither."""
    wanted = [change.row for group in groups for _, change in group.changes if change.row]
    rows = {} if context.is_masked else context.workspace.store.requests(wanted)
    repos = read_repos(context.app_state, rows.values())
    for group in groups:
        group.sentence = _describe_rule(context, group.first)
        examples = []
        for n, change in group.changes:
            row = rows.get(change.row)
            answers = [] if row is None else list_answers(row, repos.get(row.repo))
            examples.append(PlanExample(change_line(context, n, change), _find_telling(answers)))
        group.examples = examples


def _find_telling(answers: Sequence[AnswerLine]) -> list[AnswerLine]:
    """Return the purpose and the institution; without them, the first two answers."""
    written = [answer for answer in answers if not answer.is_tick and answer.text.strip()]
    known = [answer for role in (Role.PURPOSE, Role.AFFILIATION) for answer in written if answer.role is role]
    return (known or written)[:2]


def _describe_rule(context: RequestContext, change: Change) -> str:
    """Return the rule behind a change as a sentence; empty if the member may not read it, or if it has changed."""
    bundle = context.app_state.policies.current
    if context.is_masked:
        return ""
    policies = () if bundle is None else bundle.policies
    return describe_change_rule(change, [one for one in policies if can_read_policy(context, one)])
