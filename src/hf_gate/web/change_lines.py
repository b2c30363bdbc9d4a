"""One change of a plan or run as a row: person, old and new status, rule, reason and outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from ..domain.ids import Repo
from ..domain.outcomes import OutcomeKind
from ..domain.rows import ChangeRow
from ..plan.model import Change, ChangeReason
from ..plan.render import describe_end
from ..plan.words import describe_reason
from . import formatting
from .request_context import RequestContext

MARKS: Final = {"remove": "end"}
"""The CSS name of a verb that differs from the verb."""

OPEN_STATES: Final = ("planned", "started", OutcomeKind.OPEN.value, "unsent")
_NOT_YET: Final = {"planned": "not sent", "started": "sent or about to be sent; read back before anything else is sent"}


@dataclass(frozen=True, slots=True)
class ChangeLine:
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


def change_line(context: RequestContext, n: int, change: Change, row: ChangeRow | None = None) -> ChangeLine:
    """Return the row of a change; viewers see no names, reasons and values."""
    masked = context.is_masked
    return ChangeLine(
        n=n,
        who="(hidden from viewers)" if masked else change.person_name,
        key=change.request_id or (f"n{change.row}" if change.row else None),
        repo=str(change.repo_ref),
        verb=change.verb,
        before=change.before or "no request",
        after=change.after,
        rule=change.rule_label,
        why="" if masked else _describe_reasons(change.because),
        reason=None if masked else change.reason,
        age=formatting.format_age(datetime.fromisoformat(change.asked_at), context.now) if change.asked_at else "",
        outcome=None if row is None else OutcomeKind.OPEN.value if row.state in OPEN_STATES else row.state,
        note="" if row is None or masked else row.why or _NOT_YET.get(row.state, ""),
    )


def run_change_line(context: RequestContext, row: ChangeRow) -> ChangeLine:
    """Return the row of a change of a run."""
    return change_line(context, row.n, msgspec.json.decode(row.change, type=Change), row)


def _describe_reasons(reasons: Iterable[ChangeReason]) -> str:
    return ", ".join(_describe_reason(one) for one in reasons if one.value)


def _describe_reason(one: ChangeReason) -> str:
    """Describe a condition with the value that it read: `person.account_days > 30 (1204)`."""
    if (words := describe_end(one)) is not None:
        return words
    return describe_reason(one)


def visible_repos(context: RequestContext, repos: Collection[Repo]) -> list[Repo] | None:
    """Return the repos of a plan or run that the member can see; None if all."""
    if context.member.repos is None:
        return None
    seen = [repo for repo in repos if context.can_see(repo)]
    return None if len(seen) == len(repos) else seen
