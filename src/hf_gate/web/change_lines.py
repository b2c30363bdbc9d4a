"""One change of a plan or a run as a row: who, from where to where, by which rule, and what became of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from ..domain.display_text import clip
from ..domain.ids import Repo
from ..domain.outcomes import OutcomeKind
from ..domain.rows import ChangeRow
from ..plan.model import Change, ChangeReason
from ..plan.render import describe_end
from . import formatting
from .request_context import RequestContext

MARKS: Final = {"remove": "end"}
"""How a verb is drawn where that is not by its own name."""

EFFECTS: Final = {
    "accept": "let in", "reset": "sent back, may ask again", "reject": "refused, cannot ask again",
    "cancel": "put back to pending", "remove": "lose the access that they have",
}  # fmt: skip
OPEN_STATES: Final = ("planned", "started", OutcomeKind.OPEN.value, "unsent")
_NOT_YET: Final = {"planned": "not sent", "started": "sent, or about to be: read back before anything else"}
_MAX_VALUE: Final = 40


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """A row. `key` names the request in addresses; `outcome` None: it is planned, and no more."""

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


def rule_label(change: Change) -> str:
    """`eeg/academic`; of what people decide the rule's own word alone."""
    return f"{change.policy}/{change.rule}" if change.policy else change.rule


def change_line(context: RequestContext, n: int, change: Change, row: ChangeRow | None = None) -> ChangeLine:
    """A change as a row; who may see no names sees none, nor the values that a rule looked at."""
    masked = context.is_masked
    name = change.user or f"(hidden #{(change.request_id or change.user_id or '------')[-6:]})"
    return ChangeLine(
        n=n,
        who="(hidden from viewers)" if masked else name,
        key=change.request_id or (f"n{change.row}" if change.row else None),
        repo=str(change.repo_ref),
        verb=change.verb,
        before=change.before or "no request",
        after=change.after,
        rule=rule_label(change),
        why="" if masked else _describe_reasons(change.because),
        reason=None if masked else change.reason,
        age=formatting.format_age(datetime.fromisoformat(change.asked_at), context.now) if change.asked_at else "",
        outcome=None if row is None else OutcomeKind.OPEN.value if row.state in OPEN_STATES else row.state,
        note="" if row is None or masked else row.why or _NOT_YET.get(row.state, ""),
    )


def run_change_line(context: RequestContext, row: ChangeRow) -> ChangeLine:
    """The same of a change that lies in a run."""
    return change_line(context, row.n, msgspec.json.decode(row.change, type=Change), row)


def _describe_reasons(reasons: Iterable[ChangeReason]) -> str:
    return " and ".join(_describe_reason(one) for one in reasons if one.value)


def _describe_reason(one: ChangeReason) -> str:
    """`person.account_days > 30 (1204)`: with the value that it saw where the words do not say it."""
    if (words := describe_end(one)) is not None:
        return words
    seen = [
        clip(str(value), _MAX_VALUE) for _, value in sorted(one.facts.items()) if isinstance(value, str | int | float)
    ]
    shown = [text for text in seen if text not in {"True", "False"}]
    return one.expr + (f" ({', '.join(shown)})" if shown else "")


def visible_repos(context: RequestContext, repos: Collection[Repo]) -> list[Repo] | None:
    """Those of a plan's or run's repos that this person sees; None: every one of them."""
    if context.member.repos is None:
        return None
    seen = [repo for repo in repos if context.can_see(repo)]
    return None if len(seen) == len(repos) else seen
