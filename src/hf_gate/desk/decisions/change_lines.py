"""The changes of a plan or run as rows: person, statuses, rule, reason and outcome; in a plan, grouped by rule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from hf_gate.base.decoding import decode_json
from hf_gate.base.ids import Repo
from hf_gate.core.changes import Change
from hf_gate.core.forms.roles import Role
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.stored_rows import ChangeRow
from hf_gate.desk.http_context import HttpContext
from hf_gate.desk.requests.request_lines import AnswerLine, list_answers
from hf_gate.desk.requests.verdicts import read_repos_of_requests
from hf_gate.verdicts.plan.words import describe_change_rule, describe_counts, describe_reasons

MARKS: Final = {"remove": "end"}
"""The CSS name of a verb that differs from the verb."""

OPEN_STATES: Final = ("planned", "started", OutcomeKind.OPEN.value, "unsent")
_NOT_YET: Final = {"planned": "not sent", "started": "sent or about to be sent; read back before anything else is sent"}


class ChangeLine(Struct, frozen=True):
    """A row. `key` is the request's name in addresses; `outcome` is None in a plan."""

    n: int
    who: str
    key: str | None
    repo: str
    verb: str
    before: str
    after: str
    rule: str
    why: str
    reason: str | None
    age: str
    outcome: str | None = None
    note: str = ""

    @property
    def mark(self) -> str:
        return MARKS.get(self.verb, self.verb)

    @property
    def repo_name(self) -> str:
        return self.repo.rpartition("/")[2]


def change_line(context: HttpContext, n: int, change: Change, row: ChangeRow | None = None) -> ChangeLine:
    """Return the row of a change."""
    return ChangeLine(
        n=n,
        who=change.person_name,
        key=change.request_id or (f"n{change.row}" if change.row else None),
        repo=str(change.repo_ref),
        verb=change.verb,
        before=change.before or "no request",
        after=change.after,
        rule=change.rule_label,
        why=describe_reasons(change, context.now, context.workspace.zone),
        reason=change.reason,
        age=context.format_age(datetime.fromisoformat(change.asked_at)) if change.asked_at else "",
        outcome=None if row is None else OutcomeKind.OPEN.value if row.state in OPEN_STATES else row.state,
        note="" if row is None else row.why or _NOT_YET.get(row.state, ""),
    )


def run_change_line(context: HttpContext, row: ChangeRow) -> ChangeLine:
    """Return the row of a change of a run."""
    return change_line(context, row.n, decode_json(row.change, Change), row)


def visible_repos(context: HttpContext, repos: Collection[Repo]) -> list[Repo] | None:
    """Return the repos of a plan or run that the member can see; None if all."""
    if context.member.repos is None:
        return None
    seen = [repo for repo in repos if context.can_see(repo)]
    return None if len(seen) == len(repos) else seen


# ---- groups ----------------------------------------------------------------------------------------------------------


MAX_EXAMPLES: Final = 3  # examples of one group
MAX_GROUPS: Final = 12  # groups with examples
VERB_ORDER: Final = ("accept", "reset", "reject", "cancel", "remove")


class PlanExample(Struct, frozen=True):
    """One change of a group, with the most informative answers that the person gave."""

    line: ChangeLine
    answers: Sequence[AnswerLine]


class PlanGroup(Struct):
    """The changes of one rule and verb. `key` is the group's name in addresses."""

    verb: str
    rule: str
    first: Change
    n: int = 0
    reason: str | None = None  # of the first change
    differs: bool = False  # other changes have another reason
    sentence: str = ""  # the rule in words; empty if it has changed since
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


def group_changes(changes: Iterable[tuple[int, Change]]) -> list[PlanGroup]:
    """Group numbered changes by verb and rule, the largest groups of a verb first; `add_examples` completes some."""
    found: dict[tuple[str, str], PlanGroup] = {}
    for n, change in changes:
        key = (change.verb, change.rule_label)
        group = found.get(key)
        if group is None:
            group = found[key] = PlanGroup(*key, change, reason=change.reason)
        group.n += 1
        group.differs |= change.reason != group.reason
        if len(group.changes) < MAX_EXAMPLES:
            group.changes.append((n, change))
    return sorted(found.values(), key=lambda group: (VERB_ORDER.index(group.verb), -group.n, group.rule))


def add_examples(context: HttpContext, groups: Sequence[PlanGroup]) -> None:
    """Complete groups with the rule as a sentence and the answers of a few people."""
    wanted = [change.row for group in groups for _, change in group.changes if change.row]
    rows = context.workspace.store.requests(wanted)
    repos = read_repos_of_requests(context.app_state, rows.values())
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


def _describe_rule(context: HttpContext, change: Change) -> str:
    """Return the rule behind a change as a sentence; empty if it has changed."""
    bundle = context.app_state.policies.current
    return describe_change_rule(change, () if bundle is None else bundle.policies)
