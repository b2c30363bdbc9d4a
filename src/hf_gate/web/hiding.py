"""What a member of some repos does not learn about the others: facts that count them, and the names in a policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from ..domain.ids import Repo
from ..domain.rows import HistoryRow
from ..policy.literals import glob_matches
from ..policy.model import Abstention, ConditionTrace, Fact, Opinion, Policy, RuleTrace, UnknownReason, Verdict
from ..store.reading import Store

COUNTS_OTHERS: Final = "history.elsewhere"
Part = TypeVar("Part", Opinion, Abstention)
_NOTE: Final = "it counts repos that you do not see"


class VisibleStore:
    """A store in which a person's history is that of some repos alone: for rules that a member of these wrote."""

    def __init__(self, store: Store, repos: Collection[int]) -> None:
        self._store, self._repos = store, repos

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the store has it
        return getattr(self._store, name)

    def history(self, repo: Repo, people: Sequence[int]) -> Mapping[int, HistoryRow]:
        """What happened to people, as far as these repos tell."""
        return self._store.history(repo, people, within=self._repos)


def without_counts(verdict: Verdict) -> Verdict:
    """The same verdict; what its rules saw of other repos is not shown."""
    return replace(
        verdict,
        opinions=tuple(map(_trials, verdict.opinions)),
        shadow=tuple(map(_trials, verdict.shadow)),
        abstentions=tuple(map(_trials, verdict.abstentions)),
    )


def without_count(tried: RuleTrace) -> RuleTrace:
    """The same of one rule. Whether a condition that reads such a count held is not shown either: it tells the count."""
    conditions = tuple(map(_because, tried.conditions))
    if conditions == tried.conditions:
        return tried
    return replace(tried, conditions=conditions, matched=None, ways_to_match=())


def _trials(part: Part) -> Part:
    return replace(part, rule_traces=tuple(map(without_count, part.rule_traces)))


def _because(because: ConditionTrace) -> ConditionTrace:
    parts = tuple(map(_because, because.parts))
    facts = {name: _hidden(fact) if name == COUNTS_OTHERS else fact for name, fact in because.facts.items()}
    if COUNTS_OTHERS not in facts and parts == because.parts:
        return because
    note = "" if because.note.startswith("=") else because.note  # the value of a name that a policy lets stand for it
    return replace(because, value=None, facts=facts, parts=parts, note=note)


def _hidden(fact: Fact) -> Fact:
    return msgspec.structs.replace(fact, value=None, why=UnknownReason.UNAVAILABLE, note=_NOTE)


def names_others(policy: Policy, seen: Collection[Repo]) -> bool:
    """Whether a policy names repos that are not among these, so that its text would tell of them."""
    return any(not any(glob_matches(glob, repo) for repo in seen) for glob in policy.applies_to)
