"""What the terminal asks of a desk that runs: a fresh link, and who may come in; it proves itself by a file that this user alone can read."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response

from .. import bootstrap
from ..application.workspace import WorkspaceLocation
from ..config import Settings
from ..domain.members import MEMBER_NAME, RESERVED_NAMES, ROLES, Member, MemberRole
from ..domain.timestamps import to_ms
from ..errors import HfGateError, UsageError
from ..locks import read_announcement
from .account_proofs import find_account
from .app_state import AppState
from .sign_in import Authenticator


def _announcement_file(settings: Settings, place: WorkspaceLocation) -> Path:
    """Where a running desk says how it is reached; one for each store."""
    name = hashlib.sha256(bootstrap.store_url(settings, place).encode()).hexdigest()[:16]
    return settings.paths.state / "ui" / f"{name}.json"


# ---- the side of the desk ----------------------------------------------------------------------------------------------


class Terminal:
    """Answers those who have the key. `at`: where this process listens."""

    def __init__(self, app_state: AppState, authenticator: Authenticator, at: str) -> None:
        self._app_state, self._authenticator, self._at = app_state, authenticator, at
        self._key = secrets.token_urlsafe(32)

    @contextmanager
    def announce(self) -> Iterator[None]:
        """Says where the desk is, as long as it is there."""
        path = _announcement_file(self._app_state.workspace.settings, self._app_state.workspace.location)
        with bootstrap.announce(path, {"url": self._app_state.url, "at": self._at, "key": self._key}):
            yield

    def answer(self, authorization: str, body: bytes) -> Response:
        """One wish. Without the key it is not there."""
        if not secrets.compare_digest(authorization.encode(), f"Bearer {self._key}".encode()):
            return Response("", 404)
        try:
            asked = json.loads(body)
            return JSONResponse(self._perform(asked if isinstance(asked, dict) else {}))
        except (ValueError, UsageError) as problem:
            return JSONResponse({"error": str(problem)}, 422)

    def _perform(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        app_state = self._app_state
        match asked.get("do"):
            case "link":
                return {"login_url": f"{app_state.url}/sign-in?t={self._authenticator.make_link()}"}
            case "invite":
                secret = secrets.token_urlsafe(32)
                member = app_state.membership.invite(parse_invitation(asked, app_state), secret)
                link = f"{app_state.url}/sign-in?t={secret}"
                account = {"account": account_name(member), "account_id": member.user_id}
                return {"name": member.name, "role": member.role.value, "link": link, **account}
            case "revoke":
                known = app_state.workspace.members.find_by_name(str(asked.get("name")))
                if known is None:
                    raise UsageError(f"there is no member {asked.get('name')!r}.")
                app_state.membership.revoke(known)
                app_state.run_worker.stop_runs_of(known)
                return {"name": known.name}
            case "members":
                return {"members": [_member_to_dict(one) for one in app_state.workspace.members.list_all()]}
            case _:
                raise UsageError("that is nothing to ask of a desk.")


def parse_invitation(asked: Mapping[str, Any], app_state: AppState) -> Member:
    """Who is to be let in, or a clear refusal."""
    name, role = str(asked.get("name") or "").strip().lower(), str(asked.get("role") or "reviewer")
    if not MEMBER_NAME.match(name) or name in RESERVED_NAMES or name == app_state.owner.lower():
        raise UsageError(
            f"{name!r} is no name for a member.",
            hint=f"Small letters, digits, dots and dashes; not the token's account, nor {', '.join(sorted(RESERVED_NAMES))}.",
        )
    if role not in ROLES:
        raise UsageError(f"{role!r} is no role.", hint="It is viewer, reviewer or admin.")
    globs = tuple(str(glob) for glob in asked.get("repos") or ()) or None
    account, user_id = _find_invited_account(app_state, name, str(asked.get("account") or "").strip())
    return Member(
        name=name, role=MemberRole(role), repos=globs, made_at=to_ms(app_state.now()), account=account, user_id=user_id
    )  # fmt: skip


def _find_invited_account(app_state: AppState, name: str, account: str) -> tuple[str | None, str | None]:
    """The Hub account that is meant: the one that was named, else the one that is called like the member."""
    if account:
        return find_account(app_state, account, is_guess=False) or (None, None)
    known = app_state.workspace.members.find_by_name(name)
    if known is not None and known.has_link:
        return None, None  # it stays as it is
    found = find_account(app_state, name, is_guess=True)
    return None, None if found is None else found[1]


def account_name(member: Member) -> str | None:
    """The name of a member's Hub account, as far as it is known."""
    return member.account or (member.name if member.user_id else None)


def _member_to_dict(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "role": member.role.value,
        "repos": list(member.repos or ()),
        "link": member.has_link,
        "account": account_name(member),
        "proven": member.proven_account is not None,
    }


# ---- the side of the terminal ------------------------------------------------------------------------------------------


def find_running_desk(settings: Settings, place: WorkspaceLocation) -> dict[str, Any] | None:
    """The desk that runs at this store on this machine, if one does."""
    return read_announcement(_announcement_file(settings, place))


def send_command(desk: Mapping[str, Any], wish: Mapping[str, Any]) -> dict[str, Any]:
    """One wish to a running desk; its words are the error when it refuses."""
    at = str(desk["at"])
    connection = HTTPConnection(urlsplit(at).netloc, timeout=20)
    headers = {"authorization": f"Bearer {desk['key']}", "content-type": "application/json", "origin": at}
    try:
        connection.request("POST", "/terminal", json.dumps(dict(wish)), headers)
        reply = connection.getresponse()
        answer: dict[str, Any] = json.loads(reply.read() or b"{}")
    except (OSError, ValueError) as problem:
        raise HfGateError(f"the desk at {desk['url']} does not answer: {problem}.") from None
    finally:
        connection.close()
    if reply.status != 200:
        raise UsageError(str(answer.get("error") or "the desk refuses."))
    return answer
