"""Computes when verdicts are outdated: the basis of a repo, and the next moment at which a fact changes by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import combinations

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events.evaluations import EVALUATE_NOW
from hf_gate.core.events.events import canonical_json
from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import FactEnd, Facts
from hf_gate.policies.evaluation.opinions import grant_end
from hf_gate.policies.facts.fact_values import DAY_COUNTS, FactInputs
from hf_gate.policies.facts.facts import RequestFacts
from hf_gate.policies.facts.form_facts import FormRoles
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.day_thresholds import find_thresholds, iterate_day_changes
from hf_gate.verdicts.drivers.profile import MAX_AGE
from hf_gate.verdicts.drivers.rule_versions import read_fact_code_version
from hf_gate.verdicts.rows.evaluations import EvaluatedList, read_table_digests

from .evaluated_tables import note_tables
from .evaluation import RepoPolicies, SourcesPort

# ---- what verdicts have in common ------------------------------------------------------------------------------------


def compute_basis(
    policy_set: RepoPolicies,
    store: Store,
    sources: SourcesPort,
    epochs: Mapping[str, str],
    *,
    code: str | None = None,
) -> str:
    """Return a digest of everything that the verdicts of this repo depend on, except the requests and people
    themselves.

    `epochs` has the epoch of each table, which stays when only rows of single people changed. `code` is the version of
    the code that computes facts; None means the running one.
    """
    row = store.repo(policy_set.repo)
    document = {
        "code": read_fact_code_version() if code is None else code,
        "lists": dict(sources.list_versions()),
        "policies": [
            [policy.name, policy.digest, policy.mode.value, sorted(policy.judges)]
            for policy in (compiled.policy for compiled in policy_set.evaluator.policies)
        ],
        "form": _form_document(policy_set.form),
        "zone": str(policy_set.evaluator.zone),
        "complete": policy_set.should_read_history and row is not None and row.full_at is not None,
        "tables": {name: epochs[name] for name in policy_set.tables},
        "bindings": {name: sorted(store.bindings(name).items()) for name in policy_set.tables},
    }
    return hashlib.sha256(canonical_json(document)).hexdigest()


def _form_document(form: FormRoles) -> object:
    roles = [[label, str(role)] for label, role in form.roles.items()]
    return [roles, list(form.boxes), sorted(form.overrides.items()), form.is_known]


class EvaluationBases:
    """What the stored results of some repos rest on: a basis for each repo, and the versions of their tables."""

    def __init__(self, store: Store, policy_sets: Sequence[RepoPolicies], sources: SourcesPort, now: datetime) -> None:
        self._now = to_ms(now)
        tables = {name: table for one in policy_sets for name, table in one.tables.items()}
        self.tables = note_tables(store, tables)
        epochs = {name: epoch for name, (_, epoch) in self.tables.items()}
        self.by_repo = {one.repo: compute_basis(one, store, sources, epochs) for one in policy_sets}

    def is_current(self, repo: Repo, known: EvaluatedList | None) -> bool:
        """Tell whether the results of a list still hold. After the clock was set back, they may be of the future."""
        return known is not None and known.basis == self.by_repo[repo] and known.at <= self._now


def have_same_tables(write: Writer, tables: Mapping[str, tuple[str, str]]) -> bool:
    """Tell whether the stored versions of tables are still these."""
    stored = read_table_digests(write) if tables else {}
    return all(stored.get(name) == version for name, version in tables.items())


# ---- times -----------------------------------------------------------------------------------------------------------


_DAY = timedelta(days=1)
_MS = timedelta(milliseconds=1)
_NOW = "now"


class EvaluationTimes:
    """Computes the next evaluation of requests at one repo.

    A result that comes early is harmless, because the request is then evaluated again; a late one would keep a verdict
    that no longer holds.
    """

    def __init__(self, policy_set: RepoPolicies, now: datetime) -> None:
        evaluator = policy_set.evaluator
        self._evaluator = evaluator
        self._now = now
        self._facts = evaluator.facts
        self._thresholds = {
            name: find_thresholds(evaluator.policies, name) for name in DAY_COUNTS if name in self._facts
        }
        self._reads_profiles = policy_set.should_read_profiles
        policies = [compiled.policy for compiled in evaluator.policies]
        self._waits = {rule.at_most for policy in policies for rule in policy.rules if rule.at_most is not None}
        ends = [{rule.until for rule in policy.rules if rule.until is not None} for policy in policies]
        every = set().union(*ends)
        self._durations = [each for each in every if isinstance(each, Duration)]
        self._end_facts = [each.name for each in every if isinstance(each, FactEnd)]
        self._days_of_end = [
            grant_end(each, now, evaluator.zone) for each in every if not isinstance(each, Duration | FactEnd)
        ]
        self._is_split = len(every) > 1  # a rule can depend on which of two ends is earlier
        self._has_many_terms = sum(map(bool, ends)) > 1

    def next_evaluation(self, facts: Facts) -> int | None:
        """Return the time of the next evaluation in ms; None if time alone cannot change the verdict."""
        if not isinstance(facts, RequestFacts) or self._uses_now(facts):
            return EVALUATE_NOW
        moments = [*self._days(facts.inputs), *self._ends(facts), *self._sources(facts.inputs)]
        return min((to_ms(moment) for moment in moments), default=None)

    def _uses_now(self, facts: RequestFacts) -> bool:
        status = facts.inputs.request.status
        return _NOW in self._facts and self._evaluator.depends_on(_NOW, facts, now=self._now, status=status)

    def _days(self, at: FactInputs) -> Iterator[datetime]:
        """Yield when the facts that count days, and the actions of waiting rules, change next."""
        yield from iterate_day_changes(at, self._thresholds, self._now)
        for span in self._waits:
            if (over := span.after(at.request.asked_at)) > self._now:
                yield over

    def _sources(self, at: FactInputs) -> Iterator[datetime]:
        """Yield when a row of a table starts or expires, and when a profile becomes too old."""
        for hit in at.tables.values():
            if hit.changes_at is not None:
                yield hit.changes_at
        if self._reads_profiles and at.profile is not None and at.profile.read_at is not None:
            yield at.profile.read_at + MAX_AGE

    def _ends(self, facts: RequestFacts) -> Iterator[datetime]:
        """Yield when an end passes, after which people must decide about an acceptance, or when two ends
        change order.
        """
        own = [value for name in self._end_facts if isinstance(value := facts.find_known(name), datetime)]
        for end in (*self._days_of_end, *own):
            if end > self._now:
                yield end
        if self._is_split and (self._has_many_terms or facts.has_unknown):
            yield from self._shared_crossings
            for end in own:
                yield from self._crossings(end)

    @cached_property
    def _shared_crossings(self) -> list[datetime]:
        """When the ends that are the same for all requests change their order."""
        found = [crossing for end in self._days_of_end for crossing in self._crossings(end)]
        if any(bool(one.months) != bool(other.months) for one, other in combinations(self._durations, 2)):
            midnight = self._now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            found.append(midnight + _DAY)  # a month has 28 to 31 days
        return found

    def _crossings(self, end: datetime) -> Iterator[datetime]:
        """Yield from when on a duration that starts then reaches a fixed end."""
        for span in self._durations:
            if span.after(self._now) <= end:
                # the result is after `early` or equal to it, and not after `late`
                early = self._now
                late = end
                while late - early > _MS:
                    middle = early + (late - early) / 2
                    early, late = (early, middle) if span.after(middle) >= end else (middle, late)
                yield early
