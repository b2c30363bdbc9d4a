"""Builds the output records of requests, from the Hub and from the store.

A record that has more fields extends `RequestRecord`; `extend_record` takes over the fields that both have.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from hf_gate.base.ids import Person
from hf_gate.base.timestamps import from_ms, ms_to_iso, to_iso
from hf_gate.core.records import (
    NO_DETAILS,
    AttemptRecord,
    ExportedRequest,
    RecordedVerdict,
    RequestRecord,
    RowDetails,
    extend_record,
)
from hf_gate.core.requests import AccessRequest

if TYPE_CHECKING:
    from hf_gate.core.records import Quality
    from hf_gate.core.stored_rows import RequestRow
    from hf_gate.verdicts.service.current_verdicts import CurrentVerdicts


# ---- records ---------------------------------------------------------------------------------------------------------


def request_record(
    request: AccessRequest,
    verdict: RecordedVerdict | None = None,
    details: RowDetails = NO_DETAILS,
    *,
    with_quality: bool = True,
) -> RequestRecord:
    """Return the record of a request read from the Hub.

    `with_quality` false saves time, because rating answers takes longest.
    """
    return _build_record(request, request.person, request.email, verdict, details, with_quality=with_quality)


def stored_request(
    row: RequestRow, verdicts: CurrentVerdicts, details: RowDetails, *, with_quality: bool = True
) -> RequestRecord:
    """Return the record of a stored request, with the person's latest names.

    `verdicts` drops a verdict that no longer applies.
    """
    known = row.person.identity
    request = row.request or _without_record(row)
    recorded = request.person
    username = known.username or recorded.username
    fullname = known.fullname or recorded.fullname
    person = Person(known.user_id or recorded.id, username, fullname)
    verdict = verdict_record(row, verdicts)
    return _build_record(request, person, known.email or request.email, verdict, details, with_quality=with_quality)


def stored_attempt(
    row: RequestRow, verdicts: CurrentVerdicts, details: RowDetails, *, with_quality: bool = True
) -> AttemptRecord:
    """Return the record of a stored request with its attempt number and its end."""
    record = stored_request(row, verdicts, details, with_quality=with_quality)
    return extend_record(record, AttemptRecord, attempt=row.state.attempt, until=ms_to_iso(row.state.ends_at))


def attempt_record(request: AccessRequest) -> AttemptRecord:
    """Return the record of a request read from the Hub, which has neither an attempt number nor an end."""
    return extend_record(request_record(request), AttemptRecord, attempt=None, until=None)


def exported_request(row: RequestRow, verdicts: CurrentVerdicts, details: RowDetails) -> ExportedRequest:
    """Return the record of a stored request for the export of the store."""
    return extend_record(
        stored_attempt(row, verdicts, details, with_quality=False),
        ExportedRequest,
        id=row.id,
        person=row.person.id,
        follows=row.state.after,
        is_current=row.is_current,
        first_seen_at=ms_to_iso(row.first_seen_at),
        at_end=row.state.at_end,
        record=None if row.request is None else row.request.raw,
    )


def _build_record(
    request: AccessRequest,
    person: Person,
    email: str | None,
    verdict: RecordedVerdict | None,
    details: RowDetails,
    *,
    with_quality: bool,
) -> RequestRecord:
    return RequestRecord(
        repo=request.repo.id,
        repo_type=request.repo.type,
        request_id=request.request_id,
        user_id=person.id,
        user=person.username,
        fullname=person.fullname,
        email=email,
        status=str(request.status),
        asked_at=to_iso(request.asked_at),
        reviewed_at=to_iso(request.reviewed_at),
        answers=dict(request.answers) if request.has_form else None,
        quality=rate_answers(request, details.choices) if with_quality else None,
        verdict=verdict,
        grant=details.grant,
        approvals=details.approvals,
    )


def verdict_record(row: RequestRow, verdicts: CurrentVerdicts) -> RecordedVerdict | None:
    """Return the record of the verdict on a stored request; None if it has none that still applies."""
    verdict = verdicts.verdict_of(row)
    if verdict is None:
        return None
    action, policy, rule, digest = verdict
    return RecordedVerdict(action=action, policy=policy, rule=rule, digest=digest)


def rate_answers(request: AccessRequest, choices: Collection[str] = ()) -> dict[str, Quality] | None:
    """Rate each text answer; check boxes, dates, numbers and `choices` (labels) are not rated. None without a form."""
    if not request.has_form:
        return None
    from hf_gate.core.forms.forms import collapse_whitespace
    from hf_gate.requests.answer_quality import is_rated, rate_answer

    names = tuple(filter(None, (request.person.username, request.person.fullname)))
    asked = ((label, text) for label, text in request.answers.items() if collapse_whitespace(label) not in choices)
    texts = {label: text for label, text in asked if is_rated(text)}
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
