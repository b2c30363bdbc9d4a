"""Finds the Hub account of a member, and proves it by a token that the member sends once.

The desk asks its Hub which account the token belongs to. The token goes nowhere else and is not stored.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct
from starlette.responses import Response

from hf_gate.base.environment import require_writes
from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.accounts import Account
from hf_gate.core.people.members import Member
from hf_gate.errors import HfGateError, HubUnavailable, NotAllowed, Offline, PersonNotFound, StoreBusy, UsageError
from hf_gate.members.records import ProofRecord
from hf_gate.members.rows.members import prove_account
from hf_gate.web.app_state import AppState, ProofCode
from hf_gate.web.exports import EscapedJSON, error_response
from hf_gate.workspace.service import bootstrap

_TOKEN: Final = re.compile(r"[!-~]{8,400}\Z")
_MAX_BODY: Final = 2048  # bytes
CODE_LIFETIME: Final = 15 * 60.0  # seconds
_MAX_ANSWER: Final = 4 << 20  # bytes
_NO_HEADERS: Final[Mapping[str, str]] = {}


class NotProven(Exception):
    """An account is not proven. `status` is the HTTP status of the answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def make_proof_link(app_state: AppState, member: Member) -> str:
    """Return a link for `hf-gate ui prove`. The code is in the fragment, which browsers do not send."""
    code = app_state.account_codes.issue(member.id, ProofCode(member.id), CODE_LIFETIME)
    return f"{app_state.url}/settings#prove={code}"


def look_up_account(app_state: AppState, name: str, *, is_guess: bool) -> tuple[str, str | None] | None:
    """Return name and id of a Hub account. Return None for a guess that the Hub does not know.

    Raises UsageError if the Hub does not answer: without the id, a member who was renamed could decide their own
    request.
    """
    try:
        person = app_state.workspace.hub.profile(name).person
    except PersonNotFound:
        if is_guess:
            return None
        raise UsageError(f"the Hub has no account {name!r}.", hint="Write the name as the Hub shows it.") from None
    except HfGateError as problem:
        raise UsageError(
            f"the Hub could not be asked about the account {name!r}, so nobody was invited: {problem}",
            hint="Try again when the Hub answers.",
        ) from None
    return person.username or name, person.id


# ---- the terminal's side ---------------------------------------------------------------------------------------------


class ProofLink(Struct, frozen=True):
    """The target of a proof: the desk's origin and the one-time code from its settings page."""

    origin: str
    code: str


def parse_proof_link(text: str) -> ProofLink:
    """Parse a link of the settings page. Raises UsageError if a token sent to it could be read on the way."""
    try:
        url = urlsplit(text.strip())
        host = url.hostname or ""
        _ = url.port
    except ValueError:
        host = ""
        url = urlsplit("")
    code = url.fragment.removeprefix("prove=")
    if url.scheme not in {"http", "https"} or not host or url.username or code in {"", url.fragment}:
        raise UsageError(
            "that is not a link from a desk's settings page.",
            hint="Copy a link from Settings in the desk, and put it in quotes.",
        )
    if url.scheme == "http" and not (is_loopback_host(host) or host.endswith(".localhost")):
        raise UsageError(
            f"{url.netloc} uses plain http, so others could read the token. Nothing was sent.",
            hint="Serve the desk over HTTPS: hf-gate ui --public-url https://HOST",
        )
    return ProofLink(f"{url.scheme}://{url.netloc.lower()}", code)


def send_proof(link: ProofLink, token: str) -> dict[str, str]:
    """Send a token to the desk and return the desk's answer. Redirects are not followed."""
    require_writes("the desk")
    answer = post_to_desk(link.origin, "/account/prove", {"code": link.code, "token": token})
    if not {"name", "role", "account", "link"} <= answer.keys():
        raise UsageError("the desk's answer is not complete.")
    return {key: str(value) for key, value in answer.items()}


def post_to_desk(
    origin: str, path: str, wish: Mapping[str, Any], *, name: str = "", headers: Mapping[str, str] = _NO_HEADERS
) -> dict[str, Any]:
    """Send JSON to a desk and return its answer. Raises UsageError with the desk's message if it refuses.

    Redirects are not followed. `name` is the desk's address for messages, by default `origin`.
    """
    url = urlsplit(origin)
    host = "127.0.0.1" if (url.hostname or "").endswith("localhost") else url.hostname or ""
    made = HTTPConnection if url.scheme == "http" else HTTPSConnection
    connection = made(host, url.port, timeout=30)
    own = {"host": url.netloc, "origin": origin, "content-type": "application/json"}
    try:
        connection.request("POST", path, json.dumps(dict(wish)), own | dict(headers))
        reply = connection.getresponse()
        body = reply.read(_MAX_ANSWER)
        answer = json.loads(body) if body.startswith(b"{") else {}
    except (OSError, HTTPException, ValueError, RecursionError) as problem:
        raise HfGateError(f"the desk at {name or origin} does not answer: {problem}.") from None
    finally:
        connection.close()
    if reply.status != 200:
        why = str(answer.get("error") or f"the desk answered {reply.status}.")
        raise UsageError(why, hint=answer.get("hint") or None)
    return dict(answer)


# ---- the desk's side -------------------------------------------------------------------------------------------------


def answer_proof(app_state: AppState, body: bytes, *, is_private: bool) -> Response:
    """Check a proof and store it. `is_private`: the connection is encrypted or local."""
    if not is_private:
        error = "the desk accepts tokens only over https or on this machine. Start it with --public-url."
        return error_response(403, error)
    try:
        return EscapedJSON(_record_proof(app_state, _parse_proof(body)))
    except NotProven as problem:
        return error_response(problem.status, str(problem))


def _parse_proof(body: bytes) -> tuple[str, str]:
    try:
        sent: Any = json.loads(body) if len(body) <= _MAX_BODY else None
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, Mapping):
        raise NotProven("that is not a proof of an account.", 422)
    code = str(sent.get("code") or "")
    token = str(sent.get("token") or "")
    if not _TOKEN.match(token):  # without a token, the Hub client would use the desk's own
        raise NotProven("the proof contains no token.", 422)
    return code, token


def _record_proof(app_state: AppState, sent: tuple[str, str]) -> ProofRecord:
    code, token = sent
    found = app_state.account_codes.take(code)
    member = None if found is None else app_state.membership.find_by_id(found.member)
    if found is None or member is None:
        raise NotProven("this link is no longer valid. Get a new one on the settings page.", 404)
    try:
        account = bootstrap.read_account_of_token(app_state.workspace.settings, token)
        user_id = _check_account(app_state, member, account)
        secret = secrets.token_urlsafe(32)
        at = to_ms(app_state.now())
        if not prove_account(app_state.workspace.store, member, account.name, user_id, secret, at):
            raise NotProven(f"{member.name} was revoked.", 404)
    except (HubUnavailable, Offline, StoreBusy) as problem:
        app_state.account_codes.keep(code, found.member, found, CODE_LIFETIME)  # the failure is ours
        raise NotProven(f"{problem} Try again in a moment.", 503) from None
    except NotAllowed:
        hub = bootstrap.name_of_hub(app_state.workspace.settings)
        raise NotProven(f"{hub} does not know this token.", 403) from None
    except HfGateError as problem:
        raise NotProven(str(problem), 422) from None
    link = f"{app_state.url}/sign-in?t={secret}"
    return ProofRecord(name=member.name, role=member.role, account=account.name, link=link)


def _check_account(app_state: AppState, member: Member, account: Account) -> str:
    """Return the account's id. Raises NotProven if it is not the account of this member."""
    if account.id is None or account.raw.get("type", "user") != "user":
        raise NotProven("this token does not belong to a person's account.", 403)
    is_invited = member.user_id == account.id
    if member.user_id is None:  # the Hub gave no id with the invitation
        is_invited = member.account is None or member.account.lower() == account.name.lower()
    if member.account is not None and not is_invited:
        raise NotProven(f"{member.name} was invited as {member.account}, but the token belongs to {account.name}.", 409)
    others = (
        app_state.membership.owner_member,
        *(one for one in app_state.workspace.store.members() if one.has_link),
    )
    other = next((one for one in others if one.proven_account == account.id and one.id != member.id), None)
    if other is not None:
        raise NotProven(f"{account.name} already belongs to {other.name}; one account is one person.", 409)
    return account.id
