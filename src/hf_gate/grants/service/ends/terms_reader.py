"""Reads the terms of acceptances by hand, and remembers those that people were shown.

What was shown is what is sent, for 24 hours: the terms are not computed again, and a rule that changed meanwhile
changes nothing. An end is refused if its policy no longer applies. The executor of runs refuses an end that has passed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.approvals.service.approval_status import find_earlier_ends
from hf_gate.approvals.service.quorum_rules import BundleReader
from hf_gate.base.ids import Repo, group_by_repo
from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.core.people.access_end import (
    NO_HAND_TERMS,
    AccessEnd,
    HandTerms,
    TermsKind,
    end_of_terms,
    shorten_terms,
)
from hf_gate.core.people.approvals import approved_end_of
from hf_gate.core.policy_model import PolicyMode
from hf_gate.core.stored_rows import RepoRow, RequestRow
from hf_gate.errors import Guarded, HfGateError, UsageError
from hf_gate.policies.words.phrases import name_fact
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.service.evaluation import RepoPolicies, build_inputs, find_rows_of_terms, open_fact_sources

if TYPE_CHECKING:
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle

NO_POLICIES: Final = HandTerms(TermsKind.UNKNOWN, missing=("the policies, which cannot be read",))
NO_RECORD: Final = HandTerms(TermsKind.UNKNOWN, missing=("the request, which was not read",))
SHOWN_FOR: Final = DAY_MS
"""How long an end that a person was shown stays valid (ms)."""
_MAX_SHOWN: Final = 50_000


class UnreadablePolicies(UsageError):
    """The policies of a repo cannot be read now, perhaps because a file is being saved."""


class ShownTerms:
    """The terms that pages of this process showed, by a name of what was shown and row id.

    The oldest are forgotten first.
    """

    def __init__(self) -> None:
        self._shown = dict[tuple[str, int], HandTerms]()
        self._lock = threading.Lock()

    def remember(self, name: str, terms: Mapping[int, HandTerms]) -> None:
        """Remember the terms of requests, by row id, under a name."""
        with self._lock:
            self._shown |= {(name, ident): one for ident, one in terms.items()}
            while len(self._shown) > _MAX_SHOWN:
                del self._shown[next(iter(self._shown))]

    def find(self, name: str, ident: int, now: datetime) -> HandTerms | None:
        """Return the terms that were shown under a name; None if that was too long ago, or in another process."""
        terms = self._shown.get((name, ident))
        return terms if terms is not None and is_valid_at(terms.end.shown_at, now) else None


class TermsReader(Struct, frozen=True):
    """Reads terms. `policies_of` returns the policies of a repo, and raises an error if they cannot be read."""

    workspace: Workspace
    policies_of: Callable[[RepoRow], RepoPolicies | None]
    shown: ShownTerms = field(default_factory=ShownTerms)
    read_bundle: BundleReader | None = None

    def read_terms(self, rows: Sequence[RequestRow], now: datetime) -> dict[int, HandTerms]:
        """Return the terms of requests by row id, whatever their status."""
        by_rules = {
            ident: terms
            for repo, group in group_by_repo(rows).items()
            for ident, terms in self._read_terms_at(repo, group, now).items()
        }
        return self.shorten_terms(rows, by_rules, now)

    def shorten_terms(
        self, rows: Sequence[RequestRow], by_rules: Mapping[int, HandTerms], now: datetime
    ) -> dict[int, HandTerms]:
        """Return terms, with the earlier ends of those who approved already where two people must approve."""
        given = {ident: approved_end_of(end_of_terms(terms)) for ident, terms in by_rules.items()}
        wanted = [row for row in rows if row.id in by_rules and not by_rules[row.id].needs_choice]
        earlier = find_earlier_ends(self.workspace, wanted, given, now, self.read_bundle)
        return {ident: shorten_terms(terms, earlier.get(ident, ())) for ident, terms in by_rules.items()}

    def read_each(self, targets: Sequence[tuple[Repo, RequestRow | None]], now: datetime) -> list[HandTerms]:
        """Return the terms of people at repos, each with their stored request, in the same order."""
        known = self.read_terms([row for _, row in targets if row is not None and row.request], now)
        return [
            known[row.id] if row is not None and row.id in known else self.without_request(repo)
            for repo, row in targets
        ]

    def without_request(self, repo: Repo) -> HandTerms:
        """Return the terms of a person without a request: unknown if a policy sets terms at this repo."""
        try:
            policies = self._policies(repo)
        except HfGateError:
            return NO_POLICIES
        if policies is None or not policies.evaluator.sets_terms_by_hand:
            return NO_HAND_TERMS
        return NO_RECORD

    def of_unevaluated(self, repo: str) -> HandTerms:
        """Return the terms of requests that no policy evaluated yet: unknown if a policy sets terms at this repo."""
        rows = [row for row in self.workspace.store.repos() if str(row.repo) == repo]
        return self.without_request(rows[0].repo) if rows else NO_HAND_TERMS

    def check_end(self, repo: Repo, end: AccessEnd) -> AccessEnd:
        """Return an end as it was shown; its rule is named with its version if the policy changed since.

        Raises Guarded if the policy no longer applies at the repo, and UnreadablePolicies.
        """
        policy = _policy_of(end.rule)
        if not policy:
            return end
        versions = self.read_versions(repo)
        if policy not in versions:
            raise Guarded(f"the policy {policy}, which set the end of access, no longer applies to {repo}")
        if end.version is None or end.version == versions[policy]:
            return end
        return replace(end, rule=f"{end.rule}@{end.version[:8]}")

    def read_versions(self, repo: Repo) -> Mapping[str, str]:
        """Return the digests of the policies that are enforced at a repo, by name."""
        return _versions_of(self._policies(repo))

    def can_end_access(self, repo: Repo) -> bool:
        """Tell whether `run` can end an access at this repo, because a workspace with a folder contains it."""
        location = self.workspace.location
        return location.folder is not None and location.config.includes(repo)

    def _policies(self, repo: Repo) -> RepoPolicies | None:
        if not self.can_end_access(repo):
            return None
        try:
            return self.policies_of(self.workspace.store.repo(repo) or RepoRow(id=0, repo=repo))
        except HfGateError as problem:
            raise UnreadablePolicies(f"the policies cannot be read: {problem}", hint=problem.hint) from problem

    def _read_terms_at(self, repo: Repo, rows: Sequence[RequestRow], now: datetime) -> Mapping[int, HandTerms]:
        try:
            policies = self._policies(repo)
        except HfGateError:
            return {row.id: NO_POLICIES for row in rows}
        if policies is None or not policies.evaluator.sets_terms_by_hand:
            return dict.fromkeys((row.id for row in rows), mark_as_shown(NO_HAND_TERMS, {}, now))
        found = dict.fromkeys((row.id for row in rows), NO_RECORD)
        versions = _versions_of(policies)
        for case in build_inputs(self.workspace.store, policies, open_fact_sources(self.workspace), rows, now):
            terms = policies.evaluator.terms_by_hand(case.facts, now=now)
            terms = terms.with_end(rests_on=find_rows_of_terms(terms.end.terms, case))
            found[case.row.id] = mark_as_shown(terms, versions, now)
        return found


def mark_as_shown(terms: HandTerms, versions: Mapping[str, str], now: datetime) -> HandTerms:
    """Return terms with the version of their policy and the time at which a person is shown them."""
    return terms.with_end(version=versions.get(_policy_of(terms.end.rule)), shown_at=to_ms(now))


def _versions_of(policies: RepoPolicies | None) -> dict[str, str]:
    compiled = () if policies is None else policies.evaluator.policies
    return {one.policy.name: one.policy.digest for one in compiled if one.policy.mode is PolicyMode.ENFORCE}


def is_valid_at(shown_at: int | None, now: datetime) -> bool:
    """Tell whether what was shown at a time (ms) is still sent; None: nobody was shown an end."""
    return shown_at is None or to_ms(now) - shown_at <= SHOWN_FOR


def _policy_of(rule: str) -> str:
    """Return the policy of a rule that is named `policy/rule`; "" if no rule set the end."""
    return rule.rpartition("/")[0]


def load_terms_reader(workspace: Workspace, read_bundle: BundleReader | None = None) -> TermsReader:
    """Return the reader of terms by the policies of a workspace as they are now. Without a workspace there is no end.

    `read_bundle` returns policies that are already compiled. Terms are unknown while the policies cannot be read.
    """
    from hf_gate.verdicts.service.policy_bundle import load_policies

    bundle: PolicyBundle | None = None
    problem: HfGateError | None = None
    if workspace.location.folder is not None:
        try:
            bundle = (read_bundle() if read_bundle is not None else None) or load_policies(workspace)
        except HfGateError as wrong:
            problem = wrong

    def policies_of(row: RepoRow) -> RepoPolicies | None:
        if problem is not None:
            raise problem
        return None if bundle is None else bundle.for_repo(row, open_fact_sources(workspace))

    return TermsReader(workspace, policies_of, read_bundle=read_bundle)


def describe_terms_problem(terms: HandTerms) -> str:
    """Return why a person must choose the end, in words; "" if no choice is needed."""
    match terms.kind:
        case TermsKind.UNKNOWN:
            return f"not known: {', '.join(map(_name_missing, terms.missing))}"
        case TermsKind.PAST:
            return f"in the past ({terms.end.written}, rule {terms.end.rule})"
        case TermsKind.FALSE:
            return f"not known: the condition `keep_while` of rule {terms.end.rule} is false or unknown"
        case _:
            return ""


def _name_missing(name: str) -> str:
    """Return a missing fact in words; what is no fact is in words already."""
    return name if " " in name else name_fact(name)


def make_end_choice_error(who: str | None, terms: HandTerms) -> UsageError:
    """Return the error for an acceptance whose end a person must choose."""
    return UsageError(
        f"The end of access of {who or 'this person'} is {describe_terms_problem(terms)}. Nothing was sent.",
        hint="Choose an end: a length such as 1y, a date such as 2028-11-30, or none.",
    )


def sort_terms(counted: Mapping[HandTerms, int]) -> list[tuple[HandTerms, int]]:
    """Return counted terms in order: first known ends, then no end, then those of which a person must choose."""
    order = [TermsKind.END, TermsKind.NO_END]

    def key(counted_terms: tuple[HandTerms, int]) -> tuple[int, str, int]:
        terms, n = counted_terms
        return order.index(terms.kind) if terms.kind in order else len(order), terms.end.written or "", -n

    return sorted(counted.items(), key=key)
