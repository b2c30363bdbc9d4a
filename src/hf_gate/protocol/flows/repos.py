"""Everything about a repo or an account that is no decision: gate, form, report, asking, who one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...domain.accounts import Account, Gate, Profile
from ...domain.ids import Person, Repo, RepoType
from ...domain.outcomes import Kind, Outcome
from ...errors import (
    HubError,
    NotAllowed,
    OutcomeUnknown,
    PersonNotFound,
    RepoNotFound,
    RequestNotFound,
    UnexpectedAnswer,
    WrongRepoType,
)
from .. import routes
from ..codec import Unreadable, next_link, read_account, read_array, read_object, read_profile
from ..messages import Emit, Reply
from ..replies import error_of, is_ok, is_unsettled, server_message
from .calling import Flow, Setting, T, call, follow_link, read, unreadable

_MOST_PAGES = 1000  # of the repos of one owner


def with_type_hint(flow: Flow[T], repo: Repo, setting: Setting) -> Flow[T]:
    """Runs a flow; when the repo is not found, says so if the other type has one of that name."""
    try:
        return (yield from flow)
    except RepoNotFound as error:
        other = Repo(RepoType.DATASET if repo.type is RepoType.MODEL else RepoType.MODEL, repo.namespace, repo.name)
        answer = yield from call(routes.info(other), setting)
        if not is_ok(answer):
            raise
        raise WrongRepoType(
            f"there is no {repo.type} {repo.id}, but a {other.type} of that name.",
            hint=f"Write {'datasets/' + repo.id if other.type is RepoType.DATASET else 'model:' + repo.id}.",
            status=error.status,
            code=error.code,
            request_id=error.request_id,
        ) from None


def gate(repo: Repo, setting: Setting) -> Flow[Gate]:
    """How the repo is gated now."""
    value = yield from _object(routes.info(repo), setting, repo)
    return Gate(repo, value.get("gated", False))


def set_gate(repo: Repo, values: Mapping[str, Any], setting: Setting) -> Flow[Gate]:
    """Change the gate; the answer echoes the mode alone."""
    answer = yield from call(routes.settings(repo, values), setting)
    if is_unsettled(answer):
        now = yield from gate(repo, setting)
        if values.keys() == {"gated"} and now.mode == values["gated"]:
            return now
        raise OutcomeUnknown(f"{repo}: the settings were sent and the answer was lost.", hint=_LOOK)
    if not is_ok(answer) or not isinstance(answer, Reply):
        raise error_of(answer, repo)
    return Gate(repo, values["gated"]) if "gated" in values else (yield from gate(repo, setting))


def _object(send: Any, setting: Setting, repo: Repo) -> Flow[dict[str, Any]]:
    reply = yield from read(send, setting, repo)
    try:
        return read_object(reply.body)
    except Unreadable as problem:
        raise unreadable(problem, reply, repo) from None


def card(repo: Repo, setting: Setting) -> Flow[str]:
    """The text of README.md, empty when there is none."""
    send = routes.card(repo)
    answer = yield from call(send, setting)
    for _ in range(3):
        if not (isinstance(answer, Reply) and 300 <= answer.status < 400 and "x-hf-gate-foreign" not in answer.headers):
            break
        send = routes.follow(send, follow_link(answer.headers.get("location", ""), setting.origin))
        answer = yield from call(send, setting)
    if isinstance(answer, Reply) and answer.status == 404 and answer.headers.get("x-error-code") == "EntryNotFound":
        return ""
    if not is_ok(answer) or not isinstance(answer, Reply):
        raise error_of(answer, repo)
    return answer.body.decode("utf-8", "replace")


def report(repo: Repo, setting: Setting) -> Flow[list[dict[str, Any]]]:
    """The Hub's own report: all statuses, one answer however long, keys as the Hub names them."""
    reply = yield from read(routes.report(repo), setting, repo)
    try:
        return [row for row in read_array(reply.body) if isinstance(row, dict)]
    except Unreadable as problem:
        raise unreadable(problem, reply, repo) from None


def gated_repos(owner: str, setting: Setting) -> Flow[None]:
    """Emits a `Gate` for each gated model, then each gated dataset of an owner."""
    for repo_type in RepoType:
        send, seen = routes.gated_repos(repo_type, owner), set[str]()
        while send.path not in seen:
            seen.add(send.path)
            if len(seen) > _MOST_PAGES:
                raise UnexpectedAnswer(f"the Hub names more than {_MOST_PAGES:,} pages of repos of {owner}.")
            reply = yield from read(send, setting)
            try:
                rows = read_array(reply.body)
            except Unreadable as problem:
                raise unreadable(problem, reply, None) from None
            for row in rows:
                namespace, _, name = str(row.get("id", "") if isinstance(row, dict) else "").partition("/")
                if name and row.get("gated"):
                    yield Emit(Gate(Repo(repo_type, namespace, name), row["gated"]))
            link = next_link(reply.headers)
            if link is None:
                break
            send = routes.follow(send, follow_link(link, setting.origin))
            if not rows:
                break  # a link behind nothing may lead to nothing for ever


def profile(user: str, setting: Setting) -> Flow[Profile]:
    """A public profile; one call of the token's budget each."""
    answer = yield from call(routes.overview(user), setting)
    if isinstance(answer, Reply) and answer.status == 404:
        raise PersonNotFound(f"no account named {user} on the Hub.", status=404)
    if not is_ok(answer) or not isinstance(answer, Reply):
        raise error_of(answer, None)
    try:
        return read_profile(answer.body)
    except Unreadable as problem:
        raise unreadable(problem, answer, None) from None


def whoami(setting: Setting) -> Flow[Account]:
    """Whose token this is. The Hub limits this call heavily: ask once."""
    reply = yield from read(routes.whoami(), setting)
    try:
        return read_account(reply.body)
    except Unreadable as problem:
        raise unreadable(problem, reply, None) from None


_LOOK = "Look at it before trying again: the change may have happened, or may still arrive."

# The Hub gives one code for all of these; only its sentence tells them apart.
_GATE_SENTENCES = (
    ("awaiting a review", "pending"),
    ("has been rejected", "rejected"),
    ("has been reset", "reset"),
    ("not in the authorized list", "ask"),
)


def check_access(repo: Repo, setting: Setting) -> Flow[str]:
    """What this token may do with the files: granted, ask, pending, rejected, reset, sign_in or unknown."""
    answer = yield from call(routes.auth_check(repo), setting)
    if is_ok(answer):
        return "granted"
    if not isinstance(answer, Reply) or answer.status >= 500:
        raise error_of(answer, repo)
    if answer.status == 401:
        return "sign_in"
    if answer.status == 403:
        said = server_message(answer)
        return next((state for words, state in _GATE_SENTENCES if words in said), "unknown")
    raise error_of(answer, repo)


def ask(repo: Repo, answers: Mapping[str, str], setting: Setting) -> Flow[str]:
    """Ask for access as this token's account; returns what `check_access` says afterwards."""
    answer = yield from call(routes.ask(repo, answers), setting)
    asked = isinstance(answer, Reply) and (answer.status in (302, 303) or is_ok(answer))
    lost = not isinstance(answer, Reply) or answer.status >= 500
    if not asked and not lost:
        raise error_of(answer, repo)
    state = yield from check_access(repo, setting)
    if lost and state in ("ask", "reset"):
        raise OutcomeUnknown(f"{repo}: the request was sent and the answer was lost.", hint=_LOOK)
    return state


def withdraw(repo: Repo, setting: Setting) -> Flow[Outcome]:
    """Take this account's pending request back; it is deleted."""
    answer = yield from call(routes.withdraw(repo), setting)
    if is_ok(answer):
        return Outcome(Kind.DONE, repo, Person())
    if not isinstance(answer, Reply) or answer.status >= 500:
        state = yield from check_access(repo, setting)
        if state == "ask":
            return Outcome(Kind.DONE, repo, Person(), why="the answer was lost; read back")
        raise OutcomeUnknown(f"{repo}: the withdrawal was sent and the answer was lost.", hint=_LOOK)
    error: HubError = error_of(answer, repo)
    if isinstance(error, RequestNotFound) and not isinstance(error, NotAllowed):
        raise RequestNotFound(f"you have no pending request at {repo}.", hint="", status=404, code=error.code)
    raise error
