"""Evaluates requests by the policies of their repo: facts, verdicts, and how a request came to its status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from itertools import islice
from typing import Final, Protocol

from msgspec import structs

from ..domain import events as e
from ..domain.forms import GateForm, form_from_json
from ..domain.ids import Person, Repo
from ..domain.lifecycle import Status
from ..domain.outcomes import OutcomeKind
from ..domain.request_state import RequestState
from ..domain.requests import AccessRequest
from ..domain.rows import HistoryRow, Identity, ListRange, PersonRow, RepoRow, RequestRow
from ..domain.timestamps import from_ms, to_ms
from ..errors import UsageError
from ..policy.evaluator import CompiledPolicy, Evaluator, compile_policy
from ..policy.fact_table import fact_types
from ..policy.fact_values import DecisionHistory, EmailFacts, ProfileFact
from ..policy.facts import FactReader
from ..policy.form_facts import NO_FORM, FormRoles, QualityCache, form_roles
from ..policy.literals import glob_matches
from ..policy.model import Facts, Policy, PolicyMode, Verdict
from ..policy.policy_digest import policy_digest
from ..policy.tables import Table
from ..store.store import Store

MAX_MATCHED: Final = 20_000  # pending requests of a repo that are compared with tables
CHUNK: Final = 1000  # requests whose history and profiles are asked of the store together
_PROFILE: Final = (
    "person.orgs",
    "person.models",
    "person.datasets",
    "person.followers",
    "person.is_pro",
    "person.verified_orgs",
)
_HISTORY: Final = "history."


class SourcesPort(Protocol):
    """Facts from outside a request, as `sources` gives them."""

    @property
    def countries(self) -> Mapping[str, str]: ...
    def email(self, text: str | None) -> EmailFacts | None: ...
    def list_versions(self) -> Mapping[str, str]: ...
    def profile(self, person: Person, kept: tuple[bytes | None, int] | None, now: datetime) -> ProfileFact: ...
    def fetch(self, people: Iterable[Person], now: datetime, budget: int) -> Mapping[str, bytes]: ...
    def key(self, person: Person) -> str | None: ...
    def account(self, username: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class RepoPolicies:
    """The policies of one repo, ready to judge. `reader` reads every fact that any of them names, and no other."""

    repo: Repo
    evaluator: Evaluator
    reader: FactReader
    form: FormRoles
    tables: Mapping[str, Table]
    statuses: tuple[str, ...]
    list_versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def should_read_profiles(self) -> bool:
        """Whether a profile can matter at all."""
        return any(name in self.reader.wanted for name in _PROFILE)

    @property
    def should_read_history(self) -> bool:
        """Whether earlier decisions can matter at all."""
        return any(name.startswith(_HISTORY) for name in self.reader.wanted)


def compile_policies(policies: Iterable[Policy], tables: Mapping[str, Table]) -> dict[str, CompiledPolicy]:
    """Each policy made ready once, by its name; many repos share it."""
    declared = fact_types(tables=tables)
    return {policy.name: compile_policy(policy, declared) for policy in policies}


def policies_of_repo(
    row: RepoRow,
    policies: Mapping[str, CompiledPolicy],
    tables: Mapping[str, Table],
    sources: SourcesPort,
    *,
    zone: tzinfo,
    cache: QualityCache | None = None,
) -> RepoPolicies | None:
    """Who judges at this repo; None when no policy is for it. Raises where two of them contradict each other's form."""
    mine = [one for one in policies.values() if any(glob_matches(glob, row.repo) for glob in one.policy.applies_to)]
    if not mine:
        return None
    form = form_roles(_form(row), _bindings_by_table(row.repo, [one.policy for one in mine]))
    judge = Evaluator(mine, zone=zone)
    asked = {name.split(".")[1] for name in judge.facts if name.startswith("tables.")}
    known = {name: table for name, table in tables.items() if name in asked}
    statuses = tuple(dict.fromkeys(status for one in mine for status in one.policy.judges))
    reader = FactReader(judge.facts, sources.countries, cache)
    versions = {f"table:{name}": table.digest[:8] for name, table in known.items()}
    return RepoPolicies(row.repo, judge, reader, form, known, statuses, {**_lists_asked(judge, sources), **versions})


def policies_without_rules(
    row: RepoRow, policy: Policy, facts: Iterable[str], tables: Mapping[str, Table], sources: SourcesPort
) -> RepoPolicies:
    """A policy_set that reads these facts of requests for a policy that is judged elsewhere, and judges nobody itself."""
    form = form_roles(_form(row), _bindings_by_table(row.repo, [policy]))
    reader = FactReader(facts, sources.countries)
    return RepoPolicies(row.repo, Evaluator(()), reader, form, tables, policy.judges)


class CurrentVerdicts:
    """Tells of each request the verdict that was entered last, as long as a policy still judges it.

    `policies` None: they cannot be read now, so what was entered stands.
    """

    def __init__(self, policies: Iterable[Policy] | None) -> None:
        self._policies = None if policies is None else tuple(policies)
        self._judging: dict[tuple[Repo, str], dict[str, PolicyMode]] = {}

    def verdict_of(self, row: RequestRow) -> tuple[str, str | None, str, str | None] | None:
        """Action, policy, rule and digest; None when no policy has an opinion about it any more."""
        verdict = row.state.verdict
        if verdict is None or self._policies is None:
            return verdict
        key = (row.repo, row.state.status)
        judging = self._judging.get(key)
        if judging is None:
            judging = self._judging[key] = self._modes(*key)
        name = verdict[1]  # None: policies were there, and none of those in force had an opinion
        return verdict if judging and (name is None or judging.get(name) is PolicyMode.ENFORCE) else None

    def _modes(self, repo: Repo, status: str) -> dict[str, PolicyMode]:
        """The policies that judge requests of a status at a repo."""
        here = [each for each in self._policies or () if any(glob_matches(glob, repo) for glob in each.applies_to)]
        return {policy.name: policy.mode for policy in here if status in policy.judges}


def count_table_matches(
    store: Store,
    tables: Mapping[str, Table],
    repos: Mapping[str, Sequence[Repo]],
    sources: SourcesPort,
    now: datetime,
) -> dict[str, tuple[int, int]]:
    """By table, how many pending requests of its repos were looked at, at most `LOOKED_AT` a repo, and how many it lists."""
    found = dict.fromkeys(tables, (0, 0))
    for row in store.repos():
        mine = {name: table for name, table in tables.items() if row.repo in repos[name] and not table.refusal}
        policy_set = RepoPolicies(
            row.repo, Evaluator(()), FactReader((), sources.countries), NO_FORM, mine, (Status.PENDING.value,)
        )
        looked, listed = 0, Counter[str]()
        for case in islice(read_inputs(store, policy_set, sources, Status.PENDING, now) if mine else (), MAX_MATCHED):
            looked += 1
            listed.update(case.tables)
        for name in mine:
            found[name] = (found[name][0] + looked, found[name][1] + listed[name])
    return found


def _lists_asked(judge: Evaluator, sources: SourcesPort) -> dict[str, str]:
    """The versions of the lists that any rule of this repo looks at."""
    asked = {name.removeprefix("email.") for name in judge.facts if name.startswith("email.")}
    return {name: version for name, version in sources.list_versions().items() if name in asked}


def fill_templates(policy: Policy, templates: Mapping[str, str | Mapping[str, str]]) -> Policy:
    """The policy with the workspace's named texts in the place of their names: another text is another version."""
    named = [templates.get(rule.reason_template or "") for rule in policy.rules]
    rules = tuple(
        rule if text is None else replace(rule, reason=text) for rule, text in zip(policy.rules, named, strict=True)
    )
    if rules == policy.rules:
        return policy
    told = replace(policy, rules=rules)
    return replace(told, digest=policy_digest(told))


def _form(row: RepoRow) -> GateForm | None:
    return None if row.form_card is None else form_from_json(row.form_card)


def _bindings_by_table(repo: Repo, policies: Iterable[Policy]) -> dict[str, str]:
    stated: dict[str, str] = {}
    for policy in policies:
        for role, label in policy.roles.items():
            if stated.setdefault(role, label) != label:
                raise UsageError(
                    f"the policies of {repo} disagree about the role {role}: {stated[role]!r} or {label!r}.",
                    hint="Name one label for it in all of them.",
                )
    return stated


# ---- the facts of many requests ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """One request with what is known about it; `tables` are the owner's tables that list it."""

    row: RequestRow
    facts: Facts
    tables: tuple[str, ...] = ()


def read_inputs(
    store: Store,
    policy_set: RepoPolicies,
    sources: SourcesPort,
    status: str,
    now: datetime,
    part: ListRange = (None, None),
) -> Iterator[EvaluationInput]:
    """Every request of one status at this repo with its facts, the oldest first; or a part of them."""
    chunk: list[RequestRow] = []
    for row in store.walk(policy_set.repo, status, part=part):
        chunk.append(row)
        if len(chunk) >= CHUNK:
            yield from build_inputs(store, policy_set, sources, chunk, now)
            chunk = []
    yield from build_inputs(store, policy_set, sources, chunk, now)


def build_inputs(
    store: Store,
    policy_set: RepoPolicies,
    sources: SourcesPort,
    rows: Sequence[RequestRow],
    now: datetime,
    *,
    visible_repos: Collection[int] | None = None,
) -> Iterator[EvaluationInput]:
    """Yield given requests of this repo with their facts. `seen`: histories count only these repos (their numbers)."""
    people = [row.person.id for row in rows]
    profiles = store.profiles(people) if policy_set.should_read_profiles and rows else {}
    history = (
        store.history(policy_set.repo, people, within=visible_repos) if policy_set.should_read_history and rows else {}
    )
    bindings = {name: store.bindings(name) for name in policy_set.tables} if rows else {}
    whole = store.repo(policy_set.repo) if policy_set.should_read_history and rows else None
    complete = whole is not None and whole.full_at is not None
    for row in rows:
        request = row.request
        if request is None:
            continue
        email = sources.email(request.email)
        address = email.address if email and email.domain else None  # what is no single address may mean anybody
        hits = {
            name: table.find(request.person, address, now=now, bindings=bindings[name])
            for name, table in policy_set.tables.items()
        }
        profile = (
            sources.profile(request.person, profiles.get(row.person.id), now)
            if policy_set.should_read_profiles
            else None
        )
        past = _history(row, history.get(row.person.id), whole, complete=complete)
        facts = policy_set.reader.compute_facts(
            request, now=now, form=policy_set.form, email=email, profile=profile, tables=hits, history=past
        )
        yield EvaluationInput(row, facts, tuple(sorted(name for name, hit in hits.items() if hit.state == "valid")))


def _history(row: RequestRow, past: HistoryRow | None, repo: RepoRow | None, *, complete: bool) -> DecisionHistory:
    as_of = from_ms(repo.full_at) if repo is not None and repo.full_at is not None else None
    if past is None:
        return DecisionHistory(attempt=row.state.attempt, is_complete=complete, as_of=as_of)
    return DecisionHistory(
        row.state.attempt,
        past.accepted,
        past.rejected,
        past.resets,
        past.elsewhere,
        past.last_decision,
        None if past.last_at is None else from_ms(past.last_at),
        is_complete=complete,
        as_of=as_of,
    )


_ENTRIES: Final = 200


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out. Not `is_judged`: no policy judges requests of that status, and this is what they would say of a pending one."""

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
    """Evaluate a request as the next plan will: a profile that can change the verdict is read first if `reads_profile`.

    `policies` None: no policy applies to the repo. Raises `LookupError` if the store has no record of the request.
    """
    row = add_read_time(store, row)
    found = _evaluate(store, policies, sources, row, now)
    if with_profile and found.verdict.needs and found.is_stored and read_profiles(store, sources, [row.person], now, 1):
        return _evaluate(store, policies, sources, row, now)
    return found


def add_read_time(store: Store, row: RequestRow) -> RequestRow:
    """A request with when its record was surely read, for the age of its facts: by the last full reading, or when it was met."""
    known = store.repo(row.repo) if row.id > 0 else None
    if row.request is None or known is None:
        return row
    read_at = max(known.full_at or 0, row.first_seen_at) / 1000
    return structs.replace(row, request=structs.replace(row.request, read_at=read_at))


def _evaluate(
    store: Store, policy_set: RepoPolicies | None, sources: SourcesPort, row: RequestRow, now: datetime
) -> Evaluation:
    case = next(build_inputs(store, policy_set, sources, [row], now), None) if policy_set is not None else None
    if policy_set is not None and case is None:
        raise LookupError(row.id)
    judge, facts = (
        (policy_set.evaluator, case.facts) if policy_set is not None and case is not None else (Evaluator(()), {})
    )
    verdict = judge.evaluate_with_traces(facts, now=now, status=row.state.status)
    as_pending = verdict or judge.evaluate_with_traces(facts, now=now, status=Status.PENDING)
    if as_pending is None:
        raise AssertionError("a pending request is always judged")
    return Evaluation(row, facts, as_pending, is_judged=verdict is not None, is_stored=row.id > 0)


@dataclass(frozen=True, slots=True)
class LastTransition:
    """How a request came to stand where it stands. `actor` outside: on the Hub; then `by` is who, where it told.

    `run` and `rule` are of our own change; `is_first`: it stood there when it was first seen.
    """

    at: int  # ms
    actor: str
    hub_user: str | None = None
    run_id: str | None = None
    rule: str | None = None
    is_first: bool = False


def last_transition(store: Store, row: RequestRow) -> LastTransition | None:
    """By the ledger's latest entries about it; None when they do not tell."""
    settled: LastTransition | None = None
    for entry in store.entries(request=row.id, limit=_ENTRIES) if row.id > 0 else ():
        event, link = e.decode_event(entry.link.body), entry.link
        match event:
            case e.ChangeStarted() if settled is not None and event.run == settled.run_id:
                return replace(settled, rule=event.rule)
            case e.ChangeSettled(kind=OutcomeKind.DONE | OutcomeKind.ALREADY) if (
                settled is None and event.after == row.state.status
            ):
                settled = LastTransition(link.at, link.actor, run_id=event.run)
            case e.StatusMoved() if settled is None and event.after == row.state.status:
                granter = (entry.private or {}).get("granted_by")
                by = granter.get("user") if isinstance(granter, Mapping) else None
                return LastTransition(link.at, link.actor, hub_user=by if isinstance(by, str) else None)
            case e.RequestSeen() if settled is None and event.status == row.state.status:
                return LastTransition(link.at, link.actor, is_first=True)
    return settled


def unstored_row(request: AccessRequest) -> RequestRow:
    """A request that the store does not have, as a row of it: without history."""
    person = request.person
    state = RequestState("", request.status, to_ms(request.asked_at), hub_request=request.request_id)
    identity = Identity(person.id, person.username, person.fullname, request.email)
    return RequestRow(id=0, repo=request.repo, person=PersonRow(0, "", identity), state=state, request=request)


def latest_request(rows: Sequence[RequestRow]) -> RequestRow | None:
    """The one that is meant where several answer to a name: the one that was made last."""
    return max(rows, key=lambda row: (row.state.asked_at, row.id), default=None)


def read_profiles(store: Store, sources: SourcesPort, people: Sequence[PersonRow], now: datetime, budget: int) -> int:
    """Read the profiles that can change a verdict and store them with their age; return how many were read."""
    wanted = {row.id: Person(row.identity.user_id, row.identity.username, row.identity.fullname) for row in people}
    fetched = sources.fetch(wanted.values(), now, budget)
    with store.writing() as write:
        for ident, person in wanted.items():
            document = fetched.get(sources.key(person) or "")
            if document is not None:
                write.profile(ident, document, to_ms(now))
    return len(fetched)
