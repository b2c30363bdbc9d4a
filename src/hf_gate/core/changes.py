"""A change of one request that a plan or a run contains, with the rule and the reasons behind it."""

from __future__ import annotations

from typing import Any

import msgspec

from hf_gate.base.ids import Repo, RepoType, name_person
from hf_gate.core.people.access_end import AccessEnd

from .lifecycle import VERB_FOR_STATUS, Status
from .runs import END_GUARD, ChangeOrigin


class ChangeReason(msgspec.Struct, frozen=True, kw_only=True):
    """One expression of the rule with its value and the facts it used."""

    expr: str
    value: bool | None
    facts: dict[str, Any]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a request. It is skipped as stale if the status, attempt or answers have changed since.

    Durations of the `end` begin with the accept. `row` is the id of the request in the store that made the plan.
    """

    repo: str
    repo_type: str
    request_id: str | None
    user_id: str | None
    user: str | None
    asked_at: str
    answers_digest: str
    last_moved_at: int | None = msgspec.field(default=None, name="moved_at")  # when the status last changed (ms)
    identity_digest: str | None = None  # digest of the names and e-mail address, if the rule read them
    before: str = msgspec.field(name="from")
    after: str = msgspec.field(name="to")
    reason: str | None
    rule: str
    policy: str | None
    policy_digest: str | None
    because: list[ChangeReason]
    end: AccessEnd | None = None  # of the access that it gives
    is_sudden: bool = False  # an end that counts towards the guard `end`; see `RequestState.is_sudden_end`
    row: int

    @property
    def until(self) -> str | None:
        """The end of the access that it gives, as written in a rule: `30d`, `2027-06-30`, or several with commas."""
        return None if self.end is None else self.end.written

    @property
    def person_name(self) -> str:
        """The username, or a number if the repo hides it."""
        return name_person(self.user, self.user_id, self.request_id)

    @property
    def rule_label(self) -> str:
        """`policy/rule`, or only the rule's name for a decision by a person."""
        return f"{self.policy}/{self.rule}" if self.policy else self.rule

    @property
    def repo_ref(self) -> Repo:
        """The repo as a `Repo`."""
        namespace, _, name = self.repo.partition("/")
        return Repo(RepoType(self.repo_type), namespace, name)

    @property
    def action(self) -> str:
        """The action on the Hub: accept, reject, reset or cancel."""
        return VERB_FOR_STATUS[self.after]

    @property
    def verb(self) -> str:
        """The action as counted by guards: `remove` if it takes access away."""
        return "remove" if self.before == Status.ACCEPTED else self.action

    @property
    def is_end(self) -> bool:
        """Whether the change ends a grant whose end has come."""
        return self.rule == ChangeOrigin.UNTIL and self.policy is None

    @property
    def guard(self) -> str:
        """The guard of `run` that the change counts towards; "" for an end that has none."""
        if self.is_end:
            return END_GUARD if self.is_sudden else ""
        return self.verb

    @property
    def sort_key(self) -> tuple[str, str, str, str]:
        """The sort key: type, repo, time of the request, id."""
        return (self.repo_type, self.repo, self.asked_at, self.request_id or self.user_id or self.user or "")
