"""Builds the output records of people, repos, plans, runs and policies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from hf_gate.base.ids import RepoType
from hf_gate.base.timestamps import ms_to_iso, to_iso
from hf_gate.core.lifecycle import STATUSES
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.records import (
    AccountRecord,
    ChangeRecord,
    OutcomeRecord,
    OutcomesRecord,
    PersonRecord,
    RepoRecord,
    RunRecord,
)
from hf_gate.verdicts.records import AcceptRequirementRecord, PolicyRecord, ProblemRecord

if TYPE_CHECKING:
    from datetime import datetime

    from hf_gate.core.changes import Change
    from hf_gate.core.people.accounts import Gate, Profile
    from hf_gate.core.policy_model import PolicyProblem
    from hf_gate.core.stored_rows import ChangeRow, PersonRow, RepoRow, RunRow
    from hf_gate.policies.checks.accept_requirements import AcceptRequirement
    from hf_gate.policies.checks.policy_checker import CheckedPolicy
    from hf_gate.verdicts.policy_tests import PolicyTestResult


# ---- accounts and ends -----------------------------------------------------------------------------------------------


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


# ---- people and repos ------------------------------------------------------------------------------------------------


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


def repo_record(row: RepoRow, oldest: datetime | None, policies: Sequence[str] | None = None) -> RepoRecord:
    """Return the record of a stored repo."""
    from hf_gate.core.forms.forms import form_from_json

    is_open = row.gated is None and row.full_at is not None
    form = None if row.form_card is None else form_from_json(row.form_card)
    return RepoRecord(
        repo=row.repo.id,
        repo_type=row.repo.type,
        gated=False if is_open else row.gated,
        counts={**dict.fromkeys(STATUSES, 0), **row.counts},
        oldest_asked_at=to_iso(oldest),
        quick_at=ms_to_iso(row.quick_at),
        full_at=ms_to_iso(row.full_at),
        complete=row.is_complete,
        problem=row.problem,
        fields=None if form is None else [field.label for field in form.fields],
        form_problems=None if row.form_card is None else len(json.loads(row.form_card).get("problems", ())),
        fingerprint=None if form is None else form.fingerprint,
        policies=None if policies is None else list(policies),
    )


def gate_record(gate: Gate) -> RepoRecord:
    """Return the record of a repo if only its gate is known."""
    return RepoRecord(repo=gate.repo.id, repo_type=gate.repo.type, gated=gate.mode)


# ---- plans, runs and changes -----------------------------------------------------------------------------------------


def outcomes_record(outcomes: Sequence[OutcomeRecord], planned: int, run_id: str | None) -> OutcomesRecord:
    """Return the document that decision commands and runs print with --json."""
    count = Counter(outcome.outcome for outcome in outcomes)
    counts = {kind.value: count[kind] for kind in OutcomeKind}
    return OutcomesRecord(run=run_id, planned=planned, outcomes=list(outcomes), **counts)


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


# ---- policies --------------------------------------------------------------------------------------------------------


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
    policy = checked.policy
    errors = sum(problem.is_error for problem in checked.problems)
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
        accepts=None
        if requirements is None
        else [
            AcceptRequirementRecord(
                rule=requirement.rule,
                trust=requirement.trust.value if requirement.trust else None,
                facts=list(requirement.facts),
            )
            for requirement in requirements
        ],
    )
