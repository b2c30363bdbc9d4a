"""Builds output records from stored rows, plans and results of the Hub client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..domain.grants import parse_grant_end
from ..domain.hand_terms import end_of_terms
from ..domain.ids import Person, RepoType
from ..domain.lifecycle import STATUSES
from ..domain.outcomes import Outcome, OutcomeKind
from ..domain.requests import AccessRequest
from ..domain.timestamps import from_ms, ms_to_iso, to_iso, to_ms
from .records import (
    TICKS,
    AcceptRequirementRecord,
    AccountRecord,
    AttemptRecord,
    ChangeRecord,
    ExportedRequest,
    GrantEndRecord,
    HealthRecord,
    OutcomeRecord,
    PersonRecord,
    PolicyRecord,
    ProblemRecord,
    RepoRecord,
    RepoStatusRecord,
    RequestRecord,
    RunRecord,
    TermsRecord,
    TurnRecord,
    VerdictRecord,
)

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from ..domain.accounts import Gate, Profile
    from ..domain.hand_terms import HandTerms
    from ..domain.rows import ChangeRow, PersonRow, RepoRow, RequestRow, RunRow
    from ..domain.turns import TurnRow
    from ..plan.model import Change
    from ..policy.accept_requirements import AcceptRequirement
    from ..policy.model import PolicyProblem
    from ..policy.policy_checker import CheckedPolicy
    from ..policy.policy_tests import PolicyTestResult
    from .evaluation import CurrentVerdicts
    from .health import Health
    from .workspace_status import RepoStatus


# ---- requests ----------------------------------------------------------------------------------------------------------


def request_record(request: AccessRequest, *, with_quality: bool = True) -> RequestRecord:
    """Return the record of a request read from the Hub.

    `with_quality` false saves time, because rating answers takes longest.
    """
    return RequestRecord(**_request_fields(request, request.person, request.email, with_quality=with_quality))


def stored_request(row: RequestRow, verdicts: CurrentVerdicts, *, with_quality: bool = True) -> RequestRecord:
    """Return the record of a stored request. `verdicts` drops a verdict that no longer applies."""
    return RequestRecord(**stored_fields(row, verdicts, with_quality=with_quality))


def stored_attempt(row: RequestRow, verdicts: CurrentVerdicts) -> AttemptRecord:
    """Return the record of a stored request with its attempt number and its end."""
    return AttemptRecord(**stored_fields(row, verdicts), attempt=row.state.attempt, until=ms_to_iso(row.state.ends_at))


def account_record(profile: Profile, created_at: datetime | None) -> AccountRecord:
    """Return the record of a public profile. `created_at` is from the request, for a profile without one."""
    return AccountRecord(
        created_at=to_iso(profile.created_at or created_at),
        is_pro=profile.is_pro,
        orgs=list(profile.orgs),
        models=profile.models,
        datasets=profile.datasets,
        followers=profile.followers,
    )


def exported_request(row: RequestRow, verdicts: CurrentVerdicts) -> ExportedRequest:
    """Return the record of a stored request for the export of the store."""
    state, request = row.state, row.request
    return ExportedRequest(
        **stored_fields(row, verdicts, with_quality=False),
        attempt=state.attempt,
        until=ms_to_iso(state.ends_at),
        id=row.id,
        person=row.person.id,
        follows=state.after,
        is_current=row.is_current,
        first_seen_at=ms_to_iso(row.first_seen_at),
        at_end=state.at_end,
        record=None if request is None else request.raw,
    )


def attempt_record(request: AccessRequest) -> AttemptRecord:
    """Return the record of a request read from the Hub, which has neither an attempt number nor an end."""
    return AttemptRecord(**_request_fields(request, request.person, request.email), attempt=None, until=None)


def stored_fields(row: RequestRow, verdicts: CurrentVerdicts, *, with_quality: bool = True) -> dict[str, Any]:
    """Return the fields of a stored request, with the person's latest names."""
    known, request = row.person.identity, row.request or _without_record(row)
    recorded = request.person
    username, fullname = known.username or recorded.username, known.fullname or recorded.fullname
    person = Person(known.user_id or recorded.id, username, fullname)
    fields = _request_fields(request, person, known.email or request.email, with_quality=with_quality)
    return fields | store_only_fields(row, verdicts)


def store_only_fields(row: RequestRow, verdicts: CurrentVerdicts) -> dict[str, Any]:
    """Return the fields of a record that the Hub does not know."""
    verdict = verdicts.verdict_of(row)
    if verdict is None:
        return {"verdict": None}
    action, policy, rule, digest = verdict
    return {
        "verdict": VerdictRecord(
            action=action,
            policy=policy,
            rule=rule,
            digest=digest,
            queue=row.state.queue,
            due_at=ms_to_iso(row.state.due),
        )
    }


def terms_record(terms: HandTerms, now: datetime, zone: tzinfo) -> TermsRecord:
    """Return the record of the terms of an acceptance by hand."""
    end = end_of_terms(terms)
    return TermsRecord(
        kind=terms.kind,
        until=terms.until,
        ends_at=None if end is None or end.written is None else to_iso(parse_grant_end(end.written, now, zone)),
        at_end=terms.at_end,
        rule=terms.rule,
        missing=list(terms.missing),
    )


def _request_fields(
    request: AccessRequest, person: Person, email: str | None, *, with_quality: bool = True
) -> dict[str, Any]:
    return {
        "repo": request.repo.id,
        "repo_type": request.repo.type,
        "request_id": request.request_id,
        "user_id": person.id,
        "user": person.username,
        "fullname": person.fullname,
        "email": email,
        "status": str(request.status),
        "asked_at": to_iso(request.asked_at),
        "reviewed_at": to_iso(request.reviewed_at),
        "answers": dict(request.answers) if request.has_form else None,
        "quality": rate_answers(request) if with_quality else None,
        "verdict": None,
    }


def rate_answers(request: AccessRequest) -> dict[str, str] | None:
    """Rate each text answer; checkboxes are not rated. Return None without a form."""
    if not request.has_form:
        return None
    from ..domain.answer_quality import rate_answer

    names = tuple(filter(None, (request.person.username, request.person.fullname)))
    texts = {label: text for label, text in request.answers.items() if text not in TICKS}
    return {label: rate_answer(text, label, None, names).value for label, text in texts.items()}


def _without_record(row: RequestRow) -> AccessRequest:
    """Return a request from its stored state, because its record was erased."""
    state = row.state
    return AccessRequest(
        repo=row.repo,
        status=state.status,
        asked_at=from_ms(state.asked_at),
        person=Person(row.person.identity.user_id, row.person.identity.username),
        request_id=state.hub_request,
        reviewed_at=None if state.reviewed_at is None else from_ms(state.reviewed_at),
    )


def grant_end_record(row: RequestRow, now: datetime) -> GrantEndRecord:
    """Return the record of the end of a stored request's access."""
    known, state = row.person.identity, row.state
    late = 0 if state.ends_at is None else max(0, to_ms(now) - state.ends_at)
    return GrantEndRecord(
        ends_at=ms_to_iso(state.ends_at),
        until=ms_to_iso(state.until),
        lapses_at=ms_to_iso(state.lapses_at),
        late_hours=late // 3_600_000,
        user=known.username,
        user_id=known.user_id,
        request_id=state.hub_request,
        repo=row.repo.id,
        repo_type=row.repo.type,
        at_end=state.at_end,
        rule=state.until_rule,
        is_final=state.is_final,
    )


# ---- people and repos --------------------------------------------------------------------------------------------------


def person_record(person: PersonRow, requests: Mapping[str, str]) -> PersonRecord:
    """Return the record of a stored person. `requests` is the status by repo."""
    known = person.identity
    return PersonRecord(
        person=person.pseudonym,
        user_id=known.user_id,
        user=known.username,
        fullname=known.fullname,
        email=known.email,
        requests=dict(requests),
    )


def repo_record(row: RepoRow, oldest: datetime | None, policies: Sequence[str] | None) -> RepoRecord:
    """Return the record of a stored repo."""
    return RepoRecord(**_repo_fields(row, oldest), policies=None if policies is None else list(policies))


def repo_status_record(status: RepoStatus, answered: str) -> RepoStatusRecord:
    """Return the record of a stored repo with its waiting times."""
    median = status.median
    return RepoStatusRecord(
        **_repo_fields(status.row, status.oldest),
        waiting=status.waiting,
        overdue=status.overdue,
        median_wait_s=None if median is None else round(median.total_seconds()),
        on_hold=dict(status.on_hold),
        answered=answered or None,
    )


def health_record(health: Health) -> HealthRecord:
    """Return the record of the health of unattended work."""
    stop = health.stop
    return HealthRecord(
        state=health.state,
        sentence=health.sentence,
        hint=health.hint,
        stuck=tuple(health.stuck),
        last_turn=None if health.last is None else _turn_record(health.last),
        running_turn=None if health.running is None else _turn_record(health.running),
        stopped_by=None if stop is None else stop.by,
        stopped_at=None if stop is None else ms_to_iso(stop.at),
    )


def _turn_record(turn: TurnRow) -> TurnRecord:
    return TurnRecord(
        started_at=ms_to_iso(turn.started_at),
        ended_at=ms_to_iso(turn.ended_at),
        end=turn.end,
        problem=turn.problem,
        repos=turn.repos,
        news=turn.news,
        done=turn.done,
        deferred=turn.deferred,
    )


def _repo_fields(row: RepoRow, oldest: datetime | None) -> dict[str, Any]:
    from ..domain.forms import form_from_json

    is_open = row.gated is None and row.full_at is not None
    form = None if row.form_card is None else form_from_json(row.form_card)
    return {
        "repo": row.repo.id,
        "repo_type": row.repo.type,
        "gated": False if is_open else row.gated,
        "counts": {**dict.fromkeys(STATUSES, 0), **row.counts},
        "oldest_asked_at": to_iso(oldest),
        "quick_at": ms_to_iso(row.quick_at),
        "full_at": ms_to_iso(row.full_at),
        "complete": row.is_complete,
        "problem": row.problem,
        "fields": None if form is None else [field.label for field in form.fields],
        "form_problems": None if row.form_card is None else len(json.loads(row.form_card).get("problems", ())),
        "fingerprint": None if form is None else form.fingerprint,
    }


def gate_record(gate: Gate) -> RepoRecord:
    """Return the record of a repo if only its gate is known."""
    return RepoRecord(repo=gate.repo.id, repo_type=gate.repo.type, gated=gate.mode)


# ---- plans, runs and changes -------------------------------------------------------------------------------------------


def change_record(n: int, change: Change, row: ChangeRow | None = None) -> ChangeRecord:
    """Return the record of a change of a plan, or of a run if `row` gives its outcome."""
    outcome, why = (None, None) if row is None else _outcome_of(row)
    return ChangeRecord(
        n=n,
        repo=change.repo,
        repo_type=RepoType(change.repo_type),
        request_id=change.request_id,
        user_id=change.user_id,
        user=change.user,
        asked_at=change.asked_at or None,
        before=change.before or None,
        after=change.after,
        reason=change.reason,
        rule=change.rule,
        policy=change.policy,
        until=change.until,
        outcome=outcome,
        why=why,
    )


def outcome_of_change(change: Change, row: ChangeRow) -> OutcomeRecord:
    """Return the outcome record of a change of a run."""
    outcome, why = _outcome_of(row)
    return OutcomeRecord(
        user=change.user,
        user_id=change.user_id,
        request_id=change.request_id,
        repo=change.repo,
        repo_type=RepoType(change.repo_type),
        outcome=outcome,
        why=why,
    )


def outcome_record(outcome: Outcome) -> OutcomeRecord:
    """Return the record of an outcome that the Hub client returned."""
    return OutcomeRecord(
        user=outcome.person.username,
        user_id=outcome.person.id,
        request_id=outcome.request_id,
        repo=outcome.repo.id,
        repo_type=outcome.repo.type,
        outcome=outcome.kind,
        why=outcome.why or None,
    )


def run_record(row: RunRow) -> RunRecord:
    """Return the record of a stored run."""
    return RunRecord(
        run=row.id,
        kind=row.kind,
        state=row.state,
        actor=row.actor,
        made_at=ms_to_iso(row.made_at),
        plan=row.plan,
        planned=row.total,
        counts=dict(row.counts),
    )


def _outcome_of(row: ChangeRow) -> tuple[OutcomeKind, str | None]:
    """Return the outcome and reason of a change of a run; open if it has no outcome yet."""
    if row.state.value in set(OutcomeKind):
        return OutcomeKind(row.state), row.why or None
    return OutcomeKind.OPEN, row.why or "not sent yet"


# ---- audit log and policies --------------------------------------------------------------------------------------------


def problem_record(problem: PolicyProblem) -> ProblemRecord:
    """Return the record of a policy problem."""
    return ProblemRecord(
        file=problem.source,
        line=problem.position.line,
        column=problem.position.column,
        length=problem.length,
        level="error" if problem.is_error else "warning",
        code=problem.code,
        message=problem.message,
        hint=problem.hint or None,
        fix=problem.fix,
    )


def policy_record(
    file: str,
    name: str,
    checked: CheckedPolicy,
    applies_to: Sequence[str],
    requirements: Iterable[AcceptRequirement] | None = None,
    failing: Iterable[PolicyTestResult] = (),
) -> PolicyRecord:
    """Return the record of a checked policy file.

    If `requirements` is None, neither requirements nor tests were computed.
    """
    policy, errors = checked.policy, sum(problem.is_error for problem in checked.problems)
    return PolicyRecord(
        policy=name,
        file=file,
        mode=None if policy is None else policy.mode.value,
        digest=None if policy is None else policy.digest,
        applies_to=list(applies_to),
        rules=0 if policy is None else len(policy.rules),
        tests=0 if policy is None else len(policy.tests),
        errors=errors,
        warnings=len(checked.problems) - errors,
        failing_tests=None if requirements is None else [each.test.name for each in failing],
        accepts=None if requirements is None else [_requirement(requirement) for requirement in requirements],
    )


def _requirement(requirement: AcceptRequirement) -> AcceptRequirementRecord:
    return AcceptRequirementRecord(
        rule=requirement.rule,
        trust=requirement.trust.value if requirement.trust else None,
        facts=list(requirement.facts),
    )
