"""Operations on repos and accounts other than decisions: gate, card, report, profile, and one's own access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hf_gate.base.ids import Person, Repo, RepoType, is_id
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.people.accounts import Account, Gate, Profile
from hf_gate.errors import (
    PAGED_READ_HINT,
    HubError,
    NotAllowed,
    OutcomeUnknown,
    PersonNotFound,
    RepoNotFound,
    RequestNotFound,
    UnexpectedAnswer,
    WrongRepoType,
)
from hf_gate.hub.protocol import endpoints
from hf_gate.hub.protocol.access_refusals import ADVICE, RefusalCause, find_refusal_cause, is_answer_of_hub
from hf_gate.hub.protocol.codec import (
    UnreadableBody,
    find_next_link,
    read_array,
    read_object,
    read_profile,
    read_whoami,
)
from hf_gate.hub.protocol.messages import Answer, EmitValue, HubCall, Reply
from hf_gate.hub.protocol.replies import build_error, is_ok, is_outcome_unknown

from .calls import Flow, FlowContext, T, build_unreadable_error, follow_link, read_reply, send_call

_MAX_PAGES = 1000  # pages of the repos of an owner, or of the members of an organisation


def with_type_hint(flow: Flow[T], repo: Repo, context: FlowContext) -> Flow[T]:
    """Run a flow; if the repo is not found but a repo of the other type has its name, raise WrongRepoType."""
    try:
        return (yield from flow)
    except RepoNotFound as error:
        other = Repo(RepoType.DATASET if repo.type is RepoType.MODEL else RepoType.MODEL, repo.namespace, repo.name)
        answer = yield from send_call(endpoints.build_info_call(other), context)
        if not is_ok(answer):
            raise
        raise WrongRepoType(
            f"there is no {repo.type} {repo.id}, but a {other.type} with that name.",
            hint=f"Write {'datasets/' + repo.id if other.type is RepoType.DATASET else 'model:' + repo.id}.",
            status=error.status,
            code=error.code,
            request_id=error.request_id,
        ) from None


def fetch_gate(repo: Repo, context: FlowContext) -> Flow[Gate]:
    """Return how the repo is gated now."""
    value = yield from _fetch_object(endpoints.build_info_call(repo), context, repo)
    ident = value.get("_id")
    return Gate(repo, value.get("gated", False), ident if isinstance(ident, str) and is_id(ident) else None)


def set_gate(repo: Repo, values: Mapping[str, Any], context: FlowContext) -> Flow[Gate]:
    """Change the gate settings and return the new mode."""
    answer = yield from send_call(endpoints.build_settings_call(repo, values), context)
    if is_outcome_unknown(answer):
        current = yield from fetch_gate(repo, context)
        if values.keys() == {"gated"} and current.mode == values["gated"]:
            return current
        raise OutcomeUnknown(f"{repo}: the settings were sent, but the answer was lost.", hint=_LOOK_HINT)
    if not is_ok(answer):
        raise build_error(answer, repo)
    return Gate(repo, values["gated"]) if "gated" in values else (yield from fetch_gate(repo, context))


def _fetch_object(send: Any, context: FlowContext, repo: Repo) -> Flow[dict[str, Any]]:
    reply = yield from read_reply(send, context, repo)
    try:
        return read_object(reply.body)
    except UnreadableBody as problem:
        raise build_unreadable_error(problem, reply, repo) from None


def fetch_card(repo: Repo, context: FlowContext) -> Flow[str]:
    """Return the text of README.md; empty if there is none."""
    send = endpoints.build_card_call(repo)
    answer = yield from send_call(send, context)
    for _ in range(3):
        if not (isinstance(answer, Reply) and 300 <= answer.status < 400 and "x-hf-gate-foreign" not in answer.headers):
            break
        send = endpoints.build_next_call(send, follow_link(answer.headers.get("location", ""), context.origin))
        answer = yield from send_call(send, context)
    if isinstance(answer, Reply) and answer.status == 404 and answer.headers.get("x-error-code") == "EntryNotFound":
        return ""
    if not is_ok(answer):
        raise build_error(answer, repo)
    return answer.body.decode("utf-8", "replace")


def fetch_report(repo: Repo, context: FlowContext) -> Flow[list[dict[str, Any]]]:
    """Return the Hub's access report: all statuses in one answer, with the Hub's keys."""
    try:
        reply = yield from read_reply(endpoints.build_report_call(repo), context, repo)
    except UnexpectedAnswer as problem:
        problem.hint = PAGED_READ_HINT
        raise
    try:
        return [row for row in read_array(reply.body) if isinstance(row, dict)]
    except UnreadableBody as problem:
        raise build_unreadable_error(problem, reply, repo) from None


def list_gated_repos(owner: str, context: FlowContext) -> Flow[None]:
    """Emit a `Gate` for each gated model, then for each gated dataset of an owner."""
    for repo_type in RepoType:

        def read_gate(row: Mapping[str, Any], kind: RepoType = repo_type) -> Gate | None:
            namespace, _, name = str(row.get("id", "")).partition("/")
            return Gate(Repo(kind, namespace, name), row["gated"]) if name and row.get("gated") else None

        yield from _emit_rows(endpoints.build_repos_call(repo_type, owner), context, read_gate, f"repos of {owner}")


def list_org_members(org: str, context: FlowContext) -> Flow[None]:
    """Emit a `Person` for each member of an organisation who can see its repos."""

    def read_member(row: Mapping[str, Any]) -> Person | None:
        name, ident, fullname = (row.get(key) for key in ("user", "_id", "fullname"))
        if not isinstance(name, str) or row.get("role") == "no_access":
            return None
        is_known = isinstance(ident, str) and is_id(ident)
        return Person(ident if is_known else None, name, fullname if isinstance(fullname, str) else None)

    yield from _emit_rows(endpoints.build_members_call(org), context, read_member, f"members of {org}")


def _emit_rows(
    send: HubCall, context: FlowContext, read_row: Callable[[Mapping[str, Any]], object | None], what: str
) -> Flow[None]:
    """Emit what `read_row` makes of each row of a list, page by page."""
    seen = set[str]()
    while send.path not in seen:
        seen.add(send.path)
        if len(seen) > _MAX_PAGES:
            raise UnexpectedAnswer(f"the Hub lists more than {_MAX_PAGES:,} pages of {what}.")
        reply = yield from read_reply(send, context)
        try:
            rows = read_array(reply.body)
        except UnreadableBody as problem:
            raise build_unreadable_error(problem, reply, None) from None
        for row in rows:
            value = read_row(row) if isinstance(row, dict) else None
            if value is not None:
                yield EmitValue(value)
        link = find_next_link(reply.headers)
        if link is None:
            break
        send = endpoints.build_next_call(send, follow_link(link, context.origin))
        if not rows:
            break  # an empty page with a link could go on forever


def fetch_profile(user: str, context: FlowContext) -> Flow[Profile]:
    """Return a public profile with one call."""
    answer = yield from send_call(endpoints.build_profile_call(user), context)
    if isinstance(answer, Reply) and answer.status == 404:
        raise PersonNotFound(f"no account named {user} on the Hub.", status=404)
    if not is_ok(answer):
        raise build_error(answer, None)
    try:
        return read_profile(answer.body)
    except UnreadableBody as problem:
        raise build_unreadable_error(problem, answer, None) from None


def fetch_account(context: FlowContext) -> Flow[Account]:
    """Return the token's account. The Hub's rate limit for this call is strict: send it once."""
    reply = yield from read_reply(endpoints.build_whoami_call(), context)
    try:
        return read_whoami(reply.body)
    except UnreadableBody as problem:
        raise build_unreadable_error(problem, reply, None) from None


_LOOK_HINT = "Check the state before you try again: the change may have happened, or may still happen."

_ACCESS_STATES: dict[RefusalCause | None, str] = {
    RefusalCause.NO_TOKEN: "sign_in",
    RefusalCause.NOT_ASKED: "ask",
    RefusalCause.PENDING: "pending",
    RefusalCause.REJECTED: "rejected",
    RefusalCause.RESET: "reset",
}


_TOKEN_CAUSES = frozenset({RefusalCause.TOKEN_INVALID, RefusalCause.TOKEN_EXPIRED})


def check_access(repo: Repo, context: FlowContext) -> Flow[str]:
    """Return the token's access to the files: granted, ask, pending, rejected, reset, sign_in or unknown.

    Granted means that the Hub confirmed the access and did not refuse a file. Raises NotAllowed if something other than
    the request is in the way: the token, the region, or the rules of an organisation.
    """
    answer = yield from send_call(endpoints.build_auth_check_call(repo), context)
    if is_ok(answer):
        if not is_answer_of_hub(answer) or answer.body.strip() != b"OK":
            raise build_error(answer, repo)
        answer = yield from send_call(endpoints.build_gated_file_call(repo), context)
        if _is_file_answer(answer):
            return "granted"
    if not isinstance(answer, Reply) or answer.status not in (401, 403):
        raise build_error(answer, repo)
    if not is_answer_of_hub(answer):
        raise UnexpectedAnswer(f"{repo}: the answer ({answer.status}) is not from a Hub.", status=answer.status)
    cause = find_refusal_cause(answer)
    if cause in _TOKEN_CAUSES and not context.has_token:
        cause = RefusalCause.NO_TOKEN
    if cause is RefusalCause.NO_TOKEN and context.has_token:
        cause = RefusalCause.TOKEN_INVALID
    if cause not in ADVICE:
        return _ACCESS_STATES.get(cause, "unknown")
    error = build_error(answer, repo)
    error.message = f"{repo}: {ADVICE[cause].sentence}."
    error.hint = ADVICE[cause].hint
    raise error


def _is_file_answer(answer: Answer) -> bool:
    """Return whether the Hub would send a file, or says that there is no such file: it checks the access first."""
    if not isinstance(answer, Reply) or not is_answer_of_hub(answer):
        return False
    is_absent = answer.status == 404 and answer.headers.get("x-error-code") in ("EntryNotFound", "RevisionNotFound")
    return 200 <= answer.status < 400 or is_absent


def ask_access(repo: Repo, answers: Mapping[str, str], context: FlowContext) -> Flow[str]:
    """Ask for access as the token's account; return the state of `check_access` afterwards."""
    answer = yield from send_call(endpoints.build_ask_call(repo, answers), context)
    is_accepted = isinstance(answer, Reply) and (answer.status in (302, 303) or is_ok(answer))
    is_lost = not isinstance(answer, Reply) or answer.status >= 500
    if not is_accepted and not is_lost:
        raise build_error(answer, repo)
    if not is_lost:
        return (yield from check_access(repo, context))
    lost = OutcomeUnknown(f"{repo}: the request was sent, but the answer was lost.", hint=_LOOK_HINT)
    state = yield from _check_after_loss(repo, context, lost)
    if state in ("ask", "reset"):
        raise lost
    return state


def _check_after_loss(repo: Repo, context: FlowContext, lost: OutcomeUnknown) -> Flow[str]:
    """Return the state after a change whose answer was lost. Raises `lost` if the state cannot be read."""
    try:
        return (yield from check_access(repo, context))
    except HubError as problem:
        raise lost from problem


def withdraw_request(repo: Repo, context: FlowContext) -> Flow[Outcome]:
    """Withdraw the account's pending request; the Hub deletes it."""
    answer = yield from send_call(endpoints.build_cancel_call(repo), context)
    if is_ok(answer):
        return Outcome(OutcomeKind.DONE, repo, Person())
    if not isinstance(answer, Reply) or answer.status >= 500:
        lost = OutcomeUnknown(f"{repo}: the withdrawal was sent, but the answer was lost.", hint=_LOOK_HINT)
        if (yield from _check_after_loss(repo, context, lost)) == "ask":
            return Outcome(OutcomeKind.DONE, repo, Person(), why="the answer was lost; read back")
        raise lost
    error: HubError = build_error(answer, repo)
    if isinstance(error, RequestNotFound) and not isinstance(error, NotAllowed):
        raise make_no_pending_error(repo, error.code)
    raise error


def make_no_pending_error(repo: Repo, code: str | None = None) -> RequestNotFound:
    """Return the error of a withdrawal without a pending request."""
    return RequestNotFound(f"you have no pending request for {repo}.", hint="", status=404, code=code)
