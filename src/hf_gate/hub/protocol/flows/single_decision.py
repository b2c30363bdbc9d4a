"""Sends one decision about one person; a lost answer is settled by reading the request back."""

from __future__ import annotations

from collections.abc import Mapping

from hf_gate.base.ids import Person, Repo
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import Outcome, OutcomeKind, classify_error
from hf_gate.core.requests import AccessRequest, Decision, Target
from hf_gate.errors import (
    BadRequest,
    HfGateError,
    HubError,
    InvalidTarget,
    OutcomeUnknown,
    PersonNotFound,
    RequestNotFound,
    Stale,
)
from hf_gate.hub.protocol import endpoints
from hf_gate.hub.protocol.codec import UnreadableBody, load_json
from hf_gate.hub.protocol.messages import Answer, HubCall, Pause, Reply
from hf_gate.hub.protocol.replies import build_error, is_ok, is_outcome_unknown

from .calls import Flow, FlowContext, send_call
from .lookup import Found, account_exists, find_requests, order_statuses

SETTLE_ROUNDS = 6
DUPLICATE = "already decided in this run"


def get_person(target: Target) -> Person:
    """Return the person of a target."""
    return target.request.person if target.request else Person(target.user_id, target.username)


def build_outcome(
    kind: OutcomeKind,
    repo: Repo,
    target: Target,
    why: str = "",
    error: Exception | None = None,
    reply: Answer | None = None,
) -> Outcome:
    """Build an outcome for a target."""
    hub_id = reply.headers.get("x-request-id") if isinstance(reply, Reply) else None
    return Outcome(kind, repo, get_person(target), target.request_id, why, hub_id, error)


def build_error_outcome(repo: Repo, target: Target, error: HfGateError) -> Outcome:
    """Build the outcome for an error; the error rules choose its kind."""
    kind = classify_error(error, is_listed=target.request is not None).kind
    return build_outcome(kind, repo, target, error.message, error)


def repeat_outcome(first: Outcome, target: Target) -> Outcome:
    """Return the outcome of a decision that repeats an earlier one: the same, but a change is done only once."""
    if first.kind is OutcomeKind.DONE:
        return build_outcome(OutcomeKind.ALREADY, first.repo, target, DUPLICATE)
    return build_outcome(first.kind, first.repo, target, first.why, first.error)


def choose_identifier(target: Target, *, for_handle: bool) -> Mapping[str, str]:
    """Return the most reliable identifier that the endpoint accepts. Names can be reused, ids cannot."""
    if target.request_id and for_handle:
        return {"requestId": target.request_id}
    if target.user_id:
        return {"userId": target.user_id}
    return {"user": target.username} if target.username else {}


def decide_one(repo: Repo, decision: Decision, context: FlowContext) -> Flow[Outcome]:
    """Send one decision through `handle` and return its outcome."""
    target = decision.target
    request = decision.target.request
    if request is not None:
        early = yield from _check_request(repo, decision, request, context)
        if early is not None:
            return early
    send = endpoints.build_handle_call(repo, choose_identifier(target, for_handle=True), decision.to, decision.reason)
    return (yield from send_and_settle(send, repo, target, decision.to, context))


def _check_request(
    repo: Repo, decision: Decision, request: AccessRequest, context: FlowContext
) -> Flow[Outcome | None]:
    """Return an outcome if the given request needs no call: already in the wanted status, gone, or changed since it was
    read.
    """
    target = decision.target
    if request.repo != repo:
        raise InvalidTarget(f"the request belongs to {request.repo}, not to {repo}.")
    if request.status == decision.to:
        return build_outcome(OutcomeKind.ALREADY, repo, target, f"already {request.status}")
    if request.read_at >= context.started_at > 0:
        return None
    found = yield from find_requests(repo, [target], order_statuses(request.status), context)
    return check_unchanged(repo, target, found.requests.get(0), complete=found.complete)


def check_unchanged(repo: Repo, target: Target, current: AccessRequest | None, *, complete: bool) -> Outcome | None:
    """Return None if the request has not changed since the decision was made, else the outcome: stale, gone or open."""
    assert target.request is not None
    if current is None and not complete:
        error = OutcomeUnknown(f"{target.label}: the lists could not be read completely, so nothing was sent.")
        return build_error_outcome(repo, target, error)
    if current is None:
        return build_error_outcome(repo, target, RequestNotFound(f"{target.label} no longer has a request for {repo}."))
    moved = current.describe_changes_since(target.request)
    if moved:
        return build_error_outcome(repo, target, Stale(f"{target.label} at {repo} changed since it was read: {moved}."))
    return None


def send_and_settle(
    send: HubCall,
    repo: Repo,
    target: Target,
    to: Status,
    context: FlowContext,
    *,
    first: Answer | None = None,
    may_resend: bool = True,
) -> Flow[Outcome]:
    """Send a change for one person and return its outcome. `first` is an answer that was already received.

    Raises only if the change certainly did not happen. After a lost answer, a later refusal is no proof.
    """
    for round_ in range(1, SETTLE_ROUNDS + 1):
        answer = yield from send_call(send, context, first)
        first = None
        if is_done(answer):
            return build_outcome(OutcomeKind.DONE, repo, target, reply=answer)
        if not is_doubtful(answer):
            return (yield from explain_refusal(answer, repo, target, to, context, resent=round_ > 1))
        yield Pause(context.retry_policy.pause_after(round_), reason="reading back a change with a lost answer")
        found = yield from _try_find(repo, target, to, context)
        current = found.requests.get(0) if found else None
        if current is not None and current.status == to:
            return build_outcome(OutcomeKind.DONE, repo, target, "the answer was lost; read back", reply=answer)
        if found is None or not may_resend or (current is None and not (found.complete and send.endpoint == "grant")):
            break
        if target.request and current and current.describe_changes_since(target.request):
            break
    return build_unknown_outcome(repo, target)


def build_unknown_outcome(repo: Repo, target: Target) -> Outcome:
    """Build the outcome of a change that was sent and whose result is unknown."""
    why = f"{target.label} at {repo}: the change was sent, but reading could not tell whether it happened."
    return build_error_outcome(repo, target, OutcomeUnknown(why))


def _try_find(repo: Repo, target: Target, to: Status, context: FlowContext) -> Flow[Found | None]:
    try:
        return (yield from find_requests(repo, [target], order_statuses(to), context))
    except HubError:
        return None


def is_done(answer: Answer) -> bool:
    """Return whether the Hub confirmed a write: a 2xx with a JSON object."""
    if not is_ok(answer):
        return False
    try:
        return isinstance(load_json(answer.body), dict)
    except UnreadableBody:
        return False


def is_doubtful(answer: Answer) -> bool:
    """Return whether a write may have happened: no answer, a server error, or a 2xx without a JSON object."""
    return is_outcome_unknown(answer) or (is_ok(answer) and not is_done(answer))


def explain_refusal(
    answer: Answer, repo: Repo, target: Target, to: Status, context: FlowContext, *, resent: bool = False
) -> Flow[Outcome]:
    """Return the outcome of a refused change.

    A 400 or 404 without a code is checked by reading: the change may be in effect already.
    """
    error = build_error(answer, repo)
    is_ambiguous = isinstance(answer, Reply) and answer.status in (400, 404) and error.code is None
    if not is_ambiguous and resent:
        return build_unknown_outcome(repo, target)
    if not is_ambiguous:
        raise error
    try:
        found = yield from find_requests(repo, [target], order_statuses(to), context)
    except HubError:
        if resent:
            return build_unknown_outcome(repo, target)
        raise
    current = found.requests.get(0)
    if current is not None and current.status == to:
        kind = OutcomeKind.DONE if resent else OutcomeKind.ALREADY
        return build_outcome(kind, repo, target, "" if resent else f"already {to}", reply=answer)
    if current is not None and isinstance(error, RequestNotFound):
        why = f"{target.label} at {repo}: the Hub refused {to}; the request is now {current.status}."
        return build_error_outcome(repo, target, _with_message(BadRequest, why, error))
    if current is not None:
        return build_error_outcome(repo, target, error)
    if not found.complete:
        why = f"{target.label} at {repo}: the Hub found nothing to change, and reading could not tell why."
        return build_error_outcome(repo, target, OutcomeUnknown(why))
    return (yield from explain_missing_request(repo, target, context, error))


def explain_missing_request(repo: Repo, target: Target, context: FlowContext, error: HubError) -> Flow[Outcome]:
    """Return the outcome for a target without a request: no such account, no request, or a request that is gone."""
    if target.request is not None:
        gone = f"{target.label} no longer has a request for {repo}."
        return build_error_outcome(repo, target, _with_message(RequestNotFound, gone, error))
    is_unknown = (yield from account_exists(target, context)) is False
    missing = make_account_error(target) if is_unknown else make_request_error(repo, target)
    return build_error_outcome(repo, target, _with_message(type(missing), missing.message, error))


def make_account_error(target: Target) -> HubError:
    """Return the error of a decision about an account that does not exist."""
    return PersonNotFound(f"no account named {target.label} on the Hub.", status=404)


def make_request_error(repo: Repo, target: Target) -> HubError:
    """Return the error of a decision about a person without a request."""
    return RequestNotFound(f"{target.label} has no request for {repo}.", status=404)


def _with_message(error_class: type[HubError], message: str, error: HubError) -> HubError:
    """Return an error of another class and message for the same answer of the Hub."""
    return error_class(message, status=error.status, request_id=error.request_id, server_message=error.server_message)


def grant_access(repo: Repo, target: Target, context: FlowContext) -> Flow[Outcome]:
    """Give a person access, with or without a request."""
    who = choose_identifier(target, for_handle=False)
    if not who:
        return (yield from decide_one(repo, Decision(Status.ACCEPTED, target), context))
    if target.request is not None:
        early = yield from _check_request(repo, Decision(Status.ACCEPTED, target), target.request, context)
        if early is not None:
            return early
    result = yield from send_and_settle(endpoints.build_grant_call(repo, who), repo, target, Status.ACCEPTED, context)
    if isinstance(result.error, RequestNotFound) and target.request is None:
        return build_error_outcome(repo, target, make_account_error(target))
    return result
