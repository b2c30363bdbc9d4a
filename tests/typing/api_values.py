"""The values of the public API as a type checker sees them: requests, decisions, outcomes, gates, forms, ids; all of them frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, assert_type

from hf_gate import (
    AccessRequest,
    Account,
    AsyncListing,
    Completeness,
    Decision,
    Gate,
    GateForm,
    Listing,
    Outcome,
    OutcomeKind,
    Outlook,
    Person,
    Profile,
    Quarantined,
    Repo,
    RepoType,
    Status,
    TokenRights,
    parse_gate_form,
    parse_repo,
)


def ids() -> None:
    repo = parse_repo("datasets/acme/eeg")
    assert_type(repo, Repo)
    assert_type(parse_repo(repo, RepoType.DATASET), Repo)
    assert_type(repo.type, RepoType)
    assert_type(repo.namespace, str)
    assert_type(repo.name, str)
    assert_type(repo.id, str)
    assert_type(repo.web_path, str)
    assert_type(repo < parse_repo("acme/ecg"), bool)
    repo.name = "ecg"  # type: ignore[misc]
    Repo("dataset", "acme", "eeg")  # type: ignore[arg-type]
    Repo(RepoType.MODEL, "acme/eeg")  # type: ignore[call-arg]
    parse_repo(None)  # type: ignore[arg-type]


def people(person: Person, profile: Profile, account: Account) -> None:
    assert_type(Person("0" * 24, "mia", fullname=None), Person)
    assert_type(person.id, str | None)
    assert_type(person.username, str | None)
    assert_type(person.fullname, str | None)
    assert_type(person.created_at, datetime | None)
    assert_type(profile.person, Person)
    assert_type(profile.created_at, datetime | None)
    assert_type(profile.is_pro, bool)
    assert_type(profile.orgs, tuple[str, ...])
    assert_type(profile.models, int | None)
    assert_type(profile.datasets, int | None)
    assert_type(profile.followers, int | None)
    assert_type(profile.raw, Mapping[str, Any])
    assert_type(account.name, str)
    assert_type(account.id, str | None)
    assert_type(account.orgs, tuple[str, ...])
    assert_type(account.token_role, str | None)
    assert_type(account.raw, Mapping[str, Any])
    assert_type(account.rights, TokenRights)
    rights = account.rights
    assert_type(rights.role, str | None)
    assert_type(rights.can_decide(parse_repo("acme/ecg")), bool | None)
    assert_type(rights.describe_excess_reach(lambda repo: repo.namespace == "acme"), tuple[str, ...])
    person.username.lower()  # type: ignore[union-attr]
    person.username = "max"  # type: ignore[misc]
    profile.raw["isPro"] = True  # type: ignore[index]


def requests(request: AccessRequest) -> None:
    assert_type(request.repo, Repo)
    assert_type(request.request_id, str | None)
    assert_type(request.person, Person)
    assert_type(request.email, str | None)
    assert_type(request.status, str)
    assert_type(request.asked_at, datetime)
    assert_type(request.reviewed_at, datetime | None)
    assert_type(request.granted_by, Person | None)
    assert_type(request.answers, Mapping[str, str])
    assert_type(request.has_form, bool)
    assert_type(request.raw, dict[str, Any])
    assert_type(request.key, str)
    assert_type(request.user_id, str | None)
    assert_type(request.username, str | None)
    assert_type(request.fullname, str | None)
    assert_type(request.timestamp, datetime)
    assert_type(request.fields, dict[str, str] | None)
    assert_type(request.describe_changes_since(request), str | None)
    request.status = "accepted"  # type: ignore[misc]
    request.answers["Purpose"] = "another"  # type: ignore[index]
    request.fields["Purpose"]  # type: ignore[index]
    request.email.lower()  # type: ignore[union-attr]
    AccessRequest(repo="acme/eeg", status="pending", asked_at=request.asked_at, person=request.person)  # type: ignore[arg-type]
    AccessRequest(request.repo, status="pending", asked_at=request.asked_at, person=request.person)  # type: ignore[call-arg]


def decisions(request: AccessRequest, person: Person) -> None:
    assert_type(Decision.accept(request), Decision)
    assert_type(Decision.accept("mia"), Decision)
    assert_type(Decision.reject(person, reason=None), Decision)
    assert_type(Decision.reset(request, reason="Say more."), Decision)
    assert_type(Decision.reset("mia"), Decision)
    assert_type(Decision.cancel(request), Decision)
    assert_type(Decision.cancel(request).to, Status)
    assert_type(Decision.cancel(request).reason, str | None)
    Decision.accept(request, reason="Welcome.")  # type: ignore[call-arg]
    Decision.reject(request)  # type: ignore[call-arg]
    Decision.reject(request, "No.")  # type: ignore[call-arg]
    Decision.cancel(7)  # type: ignore[arg-type]
    Decision.accept(None)  # type: ignore[arg-type]
    Decision("accepted", "mia")  # type: ignore[arg-type]


def outcomes(outcome: Outcome) -> str:
    assert_type(outcome.kind, OutcomeKind)
    assert_type(outcome.repo, Repo)
    assert_type(outcome.person, Person)
    assert_type(outcome.user, str | None)
    assert_type(outcome.request_id, str | None)
    assert_type(outcome.why, str)
    assert_type(outcome.hub_request_id, str | None)
    assert_type(outcome.error, Exception | None)
    outcome.kind = OutcomeKind.DONE  # type: ignore[misc]
    match outcome.kind:  # all seven, so that nothing is behind
        case OutcomeKind.DONE | OutcomeKind.ALREADY:
            return "so"
        case OutcomeKind.STALE | OutcomeKind.GONE | OutcomeKind.REFUSED:
            return "not so"
        case OutcomeKind.DEFERRED | OutcomeKind.OPEN:
            return "not yet"


def statuses(status: Status) -> str:
    plain: str = status
    repr(Status.WITHDRAWN)  # type: ignore[attr-defined]
    match status:
        case Status.PENDING | Status.ACCEPTED | Status.REJECTED | Status.RESET:
            return plain


def listings(listing: Listing, later: AsyncListing, completeness: Completeness) -> None:
    assert_type(next(listing), AccessRequest)
    assert_type(list(listing), list[AccessRequest])
    assert_type(listing.repo, Repo)
    assert_type(listing.status, str)
    assert_type(listing.completeness, Completeness)
    assert_type(listing.quarantined, list[Quarantined])
    assert_type(later.completeness, Completeness)
    assert_type(completeness.proved, bool)
    assert_type(completeness.why, str)
    assert_type(listing.quarantined[0].reason, str)
    assert_type(listing.quarantined[0].raw, str)
    listing.close()
    listing[0]  # type: ignore[index]
    list(later)  # type: ignore[call-overload]
    completeness.proved = True  # type: ignore[misc]


def gates(gate: Gate, form: GateForm, outlook: Outlook) -> None:
    assert_type(gate.repo, Repo)
    mode: str | bool = gate.mode
    hub_id: str | None = gate.hub_id
    assert_type(parse_gate_form("---\n---\n"), GateForm)
    assert_type(form.prompt, str | None)
    assert_type(form.heading, str | None)
    assert_type(form.description, str | None)
    assert_type(form.button, str | None)
    assert_type(form.eu_disallowed, bool | None)
    assert_type(form.fingerprint, str | None)
    assert_type(form.prompt_fingerprint, str | None)
    labels: Sequence[str] = [field.label for field in form.fields]
    choices: Sequence[tuple[str, str]] = [(option.label, option.value) for option in form.fields[0].options]
    lines: Sequence[int] = [problem.line for problem in form.problems]
    assert_type(outlook.remaining, int | None)
    assert_type(outlook.quota, int | None)
    assert_type(outlook.window_s, float | None)
    assert_type(outlook.reset_in, float | None)
    why: str | None = outlook.waiting_why
    del mode, hub_id, labels, choices, lines, why
    gate.mode = "auto"  # type: ignore[misc]
    form.fields[0].label = "Why"  # type: ignore[misc]
    parse_gate_form(None)  # type: ignore[arg-type]
