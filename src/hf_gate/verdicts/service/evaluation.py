"""Evaluates requests by the policies of their repo: reads facts and computes verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import islice
from typing import Final, Protocol, TypeAlias

from msgspec import Struct, field, structs
from msgspec.structs import asdict, replace

from hf_gate.base.batches import split_into_batches
from hf_gate.base.ids import Person, Repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.end_rows import EndRows
from hf_gate.core.forms.forms import GateForm, form_from_json
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.people.grants import GrantTerms
from hf_gate.core.policy_model import Facts, Policy, Verdict
from hf_gate.core.stored_rows import HistoryRow, PersonRow, RepoRow, RequestRow
from hf_gate.errors import UsageError
from hf_gate.policies.evaluation.evaluator import CompiledPolicy, Evaluator, compile_policy
from hf_gate.policies.facts.fact_table import FACTS, fact_types, tables_of
from hf_gate.policies.facts.fact_values import DecisionHistory, EmailFacts, ProfileFact
from hf_gate.policies.facts.facts import FactReader, RequestFacts
from hf_gate.policies.facts.form_facts import NO_FORM, FormRoles, form_roles
from hf_gate.policies.facts.tables import Table
from hf_gate.policies.parsing.policy_digest import policy_digest
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store

MAX_MATCHED: Final = 20_000  # the most pending requests of a repo that are compared with tables
CHUNK: Final = 1000  # the number of requests whose history and profiles are read together
_PROFILE: Final = frozenset(name for name, fact in FACTS.items() if fact.source == "profile")
_HISTORY: Final = "history."
_NO_HISTORY: Final = HistoryRow()


StoredProfiles: TypeAlias = Mapping[int, tuple[bytes | None, int]]
"""Profiles by the person's number, with the time (ms) at which they were read."""


class SourcesPort(Protocol):
    """Facts from outside a request; implemented by `verdicts.drivers.fact_sources.FactSources`."""

    @property
    def countries(self) -> Mapping[str, str]: ...
    def email(self, text: str | None) -> EmailFacts | None: ...
    def list_versions(self) -> Mapping[str, str]: ...
    def profile(self, person: Person, stored: tuple[bytes | None, int] | None, now: datetime) -> ProfileFact: ...
    def fetch(self, people: Iterable[Person], now: datetime, budget: int) -> Mapping[str, bytes]: ...
    def key(self, person: Person) -> str | None: ...
    def account(self, username: str) -> str | None: ...


def open_fact_sources(workspace: Workspace) -> SourcesPort:
    """Return facts from lists, and from profiles that the workspace's Hub gives; both are loaded at their first use."""
    from hf_gate.verdicts.drivers.fact_sources import FactSources

    return FactSources(lambda: workspace.hub)


class RepoPolicies(Struct, frozen=True):
    """The compiled policies of one repo. `reader` reads exactly the facts that the policies use."""

    repo: Repo
    evaluator: Evaluator
    reader: FactReader
    form: FormRoles
    tables: Mapping[str, Table]
    statuses: tuple[str, ...]
    list_versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def should_read_profiles(self) -> bool:
        """Whether any rule uses facts from profiles."""
        return not _PROFILE.isdisjoint(self.reader.wanted)

    @property
    def should_read_history(self) -> bool:
        """Whether any rule uses facts about earlier decisions."""
        return any(name.startswith(_HISTORY) for name in self.reader.wanted)


def compile_policies(policies: Iterable[Policy], tables: Iterable[str]) -> dict[str, CompiledPolicy]:
    """Compile each policy once, keyed by name; repos share the result."""
    declared = fact_types(tables=tables)
    return {policy.name: compile_policy(policy, declared) for policy in policies}


def policies_of_repo(
    row: RepoRow,
    policies: Mapping[str, CompiledPolicy],
    tables: Mapping[str, Table],
    sources: SourcesPort,
    *,
    zone: tzinfo,
) -> RepoPolicies | None:
    """Return the policies of a repo; None if no policy applies.

    Raises UsageError if two policies disagree about a role's label.
    """
    own = [compiled for compiled in policies.values() if matches_any(compiled.policy.applies_to, row.repo)]
    if not own:
        return None
    form = form_roles(_form_of(row), labels_of_roles(row.repo, [compiled.policy for compiled in own]))
    evaluator = Evaluator(own, zone=zone)
    used = tables_of(evaluator.facts)
    known = {name: table for name, table in tables.items() if name in used}
    statuses = tuple(dict.fromkeys(status for compiled in own for status in compiled.policy.judges))
    reader = FactReader(evaluator.facts, sources.countries)
    lists = {name.removeprefix("email.") for name in evaluator.facts if name.startswith("email.")}
    versions = {name: version for name, version in sources.list_versions().items() if name in lists}
    versions |= {f"table:{name}": table.digest[:8] for name, table in known.items()}
    return RepoPolicies(row.repo, evaluator, reader, form, known, statuses, versions)


def policies_for_terms(
    row: RepoRow,
    policies: Iterable[Policy],
    facts: Iterable[str],
    tables: Mapping[str, Table],
    sources: SourcesPort,
    zone: tzinfo,
) -> RepoPolicies:
    """Return policies without rules, which read the facts that the terms of grants at a repo depend on."""
    own = [policy for policy in policies if matches_any(policy.applies_to, row.repo)]
    form = form_roles(_form_of(row), labels_of_roles(row.repo, own))
    reader = FactReader(facts, sources.countries)
    used = tables_of(reader.wanted)
    known = {name: table for name, table in tables.items() if name in used}
    return RepoPolicies(row.repo, Evaluator((), zone=zone), reader, form, known, (Status.ACCEPTED,))


def count_table_matches(
    store: Store,
    tables: Mapping[str, Table],
    repos: Mapping[str, Sequence[Repo]],
    sources: SourcesPort,
    now: datetime,
) -> dict[str, tuple[int, int]]:
    """Return by table how many pending requests were compared (at most `MAX_MATCHED` per repo), and how many the table
    lists.
    """
    found = dict.fromkeys(tables, (0, 0))
    for row in store.repos():
        own = {name: table for name, table in tables.items() if row.repo in repos[name] and not table.refusal}
        reader = FactReader((), sources.countries)
        statuses = (Status.PENDING.value,)
        policy_set = RepoPolicies(row.repo, Evaluator(()), reader, NO_FORM, own, statuses)
        inputs = read_inputs(store, policy_set, sources, Status.PENDING, now) if own else ()
        compared = 0
        listed = Counter[str]()
        for case in islice(inputs, MAX_MATCHED):
            compared += 1
            listed.update(case.tables)
        for name in own:
            found[name] = (found[name][0] + compared, found[name][1] + listed[name])
    return found


def fill_templates(policy: Policy, templates: Mapping[str, str]) -> Policy:
    """Replace the names of reason templates with their texts. A changed text gives the policy another digest."""
    named = [(rule, templates.get(rule.reason_template or "")) for rule in policy.rules]
    rules = tuple(rule if text is None else replace(rule, reason=text) for rule, text in named)
    if rules == policy.rules:
        return policy
    filled = replace(policy, rules=rules)
    return replace(filled, digest=policy_digest(filled))


def _form_of(row: RepoRow) -> GateForm | None:
    return None if row.form_card is None else form_from_json(row.form_card)


def labels_of_roles(repo: Repo, policies: Iterable[Policy]) -> dict[str, str]:
    """Return the labels of roles that the policies of a repo name. Raises UsageError if two of them disagree."""
    labels: dict[str, str] = {}
    for policy in policies:
        for role, label in policy.roles.items():
            if labels.setdefault(role, label) != label:
                raise UsageError(
                    f"the policies of {repo} disagree about the role {role}: {labels[role]!r} or {label!r}.",
                    hint="Give this role the same label in all of them.",
                )
    return labels


# ---- facts -----------------------------------------------------------------------------------------------------------


class EvaluationInput(Struct, frozen=True):
    """One request with its facts. `tables` names the tables that list it."""

    row: RequestRow
    facts: Facts
    tables: tuple[str, ...] = ()


def read_inputs(
    store: Store,
    policy_set: RepoPolicies,
    sources: SourcesPort,
    status: str,
    now: datetime,
) -> Iterator[EvaluationInput]:
    """Yield the requests of one status at this repo with their facts, the oldest first."""
    for chunk in split_into_batches(store.iterate_requests(policy_set.repo, status), CHUNK):
        yield from build_inputs(store, policy_set, sources, chunk, now)


def build_inputs(
    store: Store,
    policy_set: RepoPolicies,
    sources: SourcesPort,
    rows: Sequence[RequestRow],
    now: datetime,
    *,
    fetched: StoredProfiles | None = None,
) -> Iterator[EvaluationInput]:
    """Yield requests of this repo with their facts. `fetched` are profiles that are not stored."""
    people = [row.person.id for row in rows]
    profiles: StoredProfiles = store.profiles(people) if policy_set.should_read_profiles and rows else {}
    profiles = {**profiles, **(fetched or {})}
    has_history = policy_set.should_read_history and bool(rows)
    history = store.history(policy_set.repo, people) if has_history else {}
    bindings = {name: store.bindings(name) for name in policy_set.tables} if rows else {}
    repo = store.repo(policy_set.repo) if has_history else None
    read_at = None if repo is None else repo.full_at
    for row in rows:
        request = row.request
        if request is None:
            continue
        email = sources.email(request.email)
        address = email.address if email and email.domain else None  # only a single valid address identifies a person
        hits = {
            name: table.find(request.person, address, now=now, bindings=bindings[name])
            for name, table in policy_set.tables.items()
        }
        stored = profiles.get(row.person.id)
        profile = sources.profile(request.person, stored, now) if policy_set.should_read_profiles else None
        past = _make_history(row.state.attempt, history.get(row.person.id, _NO_HISTORY), read_at)
        facts = policy_set.reader.compute_facts(
            request,
            now=now,
            form=policy_set.form,
            email=email,
            profile=profile,
            tables=hits,
            history=past,
        )
        listed = tuple(sorted(name for name, hit in hits.items() if hit.state == "valid"))
        yield EvaluationInput(row, facts, listed)


def find_rows_of_terms(terms: GrantTerms | None, case: EvaluationInput) -> EndRows:
    """Return the tables on which the end of an access on these terms rests, each with the row of the person."""
    return {} if terms is None else find_end_rows(terms.until, case.facts)


def find_end_rows(names: Iterable[str], facts: Facts) -> EndRows:
    """Return the tables that these facts read, each with its version and the row that lists the person."""
    if not isinstance(facts, RequestFacts):
        return {}
    used = tables_of(names)
    hits = [(name, hit, hit.listed_by) for name, hit in sorted(facts.inputs.tables.items()) if name in used]
    return {
        name: {"table": hit.source.rpartition("@")[2]} | ({} if row is None else {"row": row.digest})
        for name, hit, row in hits
    }


def _make_history(attempt: int, past: HistoryRow, read_at: int | None) -> DecisionHistory:
    """Return the decisions about a person as facts.

    `read_at` (ms) is when the repo was last read in full; None: never.
    """
    return DecisionHistory(
        **asdict(past),
        attempt=attempt,
        is_complete=read_at is not None,
        as_of=None if read_at is None else from_ms(read_at),
    )


class Evaluation(Struct, frozen=True):
    """The verdict on one request.

    If no policy evaluates the status (`is_judged` false), the request is evaluated as if pending.
    """

    row: RequestRow
    facts: Facts
    verdict: Verdict
    is_judged: bool
    is_stored: bool


def evaluate_request(
    store: Store,
    policies: RepoPolicies | None,
    sources: SourcesPort,
    row: RequestRow,
    now: datetime,
    *,
    with_profile: bool = True,
) -> Evaluation:
    """Evaluate a request as the next plan would.

    With `with_profile`, first read the profile if it can change the verdict; it is not stored. `policies` is None if no
    policy applies to the repo. Raises `LookupError` if the store has no record of the request.
    """
    row = add_read_time(store, row)
    found = _evaluate(store, policies, sources, row, now)
    if with_profile and needs_profile(found.verdict.needs) and found.is_stored:
        fetched = _fetch_profiles(sources, [row.person], now, 1)
        return _evaluate(store, policies, sources, row, now, fetched) if fetched else found
    return found


def needs_profile(needs: Iterable[str]) -> bool:
    """Tell whether one of the facts that a verdict needs is in the profile."""
    return not _PROFILE.isdisjoint(needs)


def add_read_time(store: Store, row: RequestRow) -> RequestRow:
    """Add the latest time at which the record was certainly read: the last full sync, or first sight.

    It dates the facts.
    """
    known = store.repo(row.repo) if row.id > 0 else None
    if row.request is None or known is None:
        return row
    read_at = max(known.full_at or 0, row.first_seen_at or 0) / 1000
    return structs.replace(row, request=structs.replace(row.request, read_at=read_at))


def _evaluate(
    store: Store,
    policy_set: RepoPolicies | None,
    sources: SourcesPort,
    row: RequestRow,
    now: datetime,
    fetched: StoredProfiles | None = None,
) -> Evaluation:
    evaluator = Evaluator(())
    facts: Facts = {}
    if policy_set is not None:
        case = next(build_inputs(store, policy_set, sources, [row], now, fetched=fetched), None)
        if case is None:
            raise LookupError(row.id)
        evaluator = policy_set.evaluator
        facts = case.facts
    verdict = evaluator.evaluate_with_traces(facts, now=now, status=row.state.status)
    as_pending = verdict or evaluator.evaluate_with_traces(facts, now=now, status=Status.PENDING)
    if as_pending is None:
        raise AssertionError("a pending request always has a verdict")
    return Evaluation(row, facts, as_pending, is_judged=verdict is not None, is_stored=row.id > 0)


def latest_request(rows: Sequence[RequestRow]) -> RequestRow | None:
    """Return the latest of the requests that match a name; None if there are none."""
    return max(rows, key=lambda row: (row.state.asked_at, row.id), default=None)


def read_profiles(store: Store, sources: SourcesPort, people: Sequence[PersonRow], now: datetime, budget: int) -> int:
    """Read the profiles that can change a verdict and store them with their age; return how many were read."""
    fetched = _fetch_profiles(sources, people, now, budget)
    with store.writing() as write:
        for ident, (document, at) in fetched.items():
            write.write_profile(ident, document, at)
    return len(fetched)


def _fetch_profiles(
    sources: SourcesPort, people: Sequence[PersonRow], now: datetime, budget: int
) -> dict[int, tuple[bytes | None, int]]:
    """Read the profiles of these people, by the store's number; people whose profile could not be read are left out."""
    wanted = {row.id: Person(row.identity.user_id, row.identity.username, row.identity.fullname) for row in people}
    found = sources.fetch(wanted.values(), now, budget)
    documents = {ident: found.get(sources.key(person) or "") for ident, person in wanted.items()}
    return {ident: (document, to_ms(now)) for ident, document in documents.items() if document is not None}
