"""Commands from the terminal to a running desk: sign-in links and members. The key is in a file of mode 0600."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from starlette.responses import Response

from hf_gate.base.environment import require_writes
from hf_gate.base.locks import read_announcement
from hf_gate.base.timestamps import from_ms, ms_to_iso, to_ms
from hf_gate.config import Settings
from hf_gate.core.lifecycle import VERBS
from hf_gate.core.people.members import EVENTS, MEMBER_NAME, RESERVED_NAMES, ROLES, TABLE, Member, MemberRole
from hf_gate.core.records import Record
from hf_gate.errors import HfGateError, UsageError
from hf_gate.members.records import (
    EndedSessionRecord,
    InvitationRecord,
    KeyRecord,
    KeysRecord,
    LinkRecord,
    MemberRecord,
    MembersRecord,
    RevocationRecord,
    SessionRecord,
    SessionsRecord,
)
from hf_gate.members.rows.api_keys import list_api_keys, make_key
from hf_gate.members.rows.members import find_member
from hf_gate.members.rows.sessions import count_devices, delete_session, list_open_sessions
from hf_gate.members.sessions import KEY_OVERLAP, ApiKey, digest_secret
from hf_gate.settings.service.workspace import WorkspaceLocation
from hf_gate.web.app_state import AppState
from hf_gate.web.exports import EscapedJSON, error_response
from hf_gate.workspace.service import bootstrap

from .account_proofs import look_up_account, post_to_desk
from .sign_in import Authenticator


def _announcement_file(settings: Settings, place: WorkspaceLocation) -> Path:
    """Return the file where a running desk announces its address and key; one for each store."""
    name = hashlib.sha256(bootstrap.store_url(settings, place).encode()).hexdigest()[:16]
    return settings.paths.state / "ui" / f"{name}.json"


KEY_PREFIX: Final = "gate_"
"""The start of each secret of a key, by which scanners of secrets can find one."""
_SHOWN_ID: Final = 12  # letters of a session's id
_MAX_GLOBS: Final = 200  # repos of one member; each page compares them
_MAX_GLOB: Final = 200  # characters
_MAX_ACCOUNT: Final = 100  # characters


# ---- the desk's side -------------------------------------------------------------------------------------------------


class Terminal:
    """Answers commands that come with the key. `at`: the address this process listens on."""

    def __init__(self, app_state: AppState, authenticator: Authenticator, at: str) -> None:
        self._app_state = app_state
        self._authenticator = authenticator
        self._at = at
        self._key = secrets.token_urlsafe(32)

    @contextmanager
    def announce(self) -> Iterator[None]:
        """Announce the desk's address and key while the desk runs."""
        path = _announcement_file(self._app_state.workspace.settings, self._app_state.workspace.location)
        with bootstrap.publish_process(path, {"url": self._app_state.url, "at": self._at, "key": self._key}):
            yield

    def answer(self, authorization: str, body: bytes) -> Response:
        """Perform a command; 404 without the key."""
        if not secrets.compare_digest(authorization.encode(), f"Bearer {self._key}".encode()):
            return Response("", 404)
        try:
            asked = json.loads(body)
            return EscapedJSON(self._perform(asked if isinstance(asked, dict) else {}))
        except (ValueError, HfGateError) as problem:
            status = 422 if isinstance(problem, ValueError) else 503
            return error_response(status, str(problem), getattr(problem, "hint", None))

    def _perform(self, asked: Mapping[str, Any]) -> Record:
        app_state = self._app_state
        match asked.get("do"):
            case "link":
                return LinkRecord(login_url=f"{app_state.url}/sign-in?t={self._authenticator.make_link()}")
            case "invite":
                secret = secrets.token_urlsafe(32)
                member = app_state.membership.invite(parse_invitation(asked, app_state), secret)
                link = f"{app_state.url}/sign-in?t={secret}"
                return InvitationRecord(
                    name=member.name,
                    role=member.role,
                    link=link,
                    account=account_name(member),
                    account_id=member.user_id,
                )
            case "revoke":
                known = find_member(app_state.workspace.store, str(asked.get("name")))
                if known is None:
                    raise UsageError(f"there is no member {asked.get('name')!r}.")
                app_state.membership.revoke(known)
                app_state.run_worker.stop_runs_of(known)
                return RevocationRecord(name=known.name)
            case "key" | "keys" | "revoke key":
                return self._manage_keys(asked)
            case "members":
                at = to_ms(app_state.now())
                devices = count_devices(app_state.workspace.store, at)
                rows = app_state.workspace.store.members()
                return MembersRecord(
                    members=[
                        MemberRecord(
                            name=row.name.partition("~")[0],
                            role=row.role,
                            repos=list(row.repos or ()),
                            link=row.has_link,
                            link_state=describe_link(row, devices.get(row.id, 0), at),
                            account=account_name(row),
                            proven=row.proven_account is not None,
                        )
                        for row in rows
                    ]
                )
            case "sessions":
                found = list_open_sessions(app_state.workspace.store, to_ms(bootstrap.utc_now()))
                return SessionsRecord(
                    sessions=[
                        SessionRecord(
                            id=session.id[:_SHOWN_ID],
                            member=session.member,
                            method=session.method,
                            browser=session.browser,
                            began_at=ms_to_iso(session.began_at),
                            seen_at=ms_to_iso(session.seen_at),
                        )
                        for session in found
                    ]
                )
            case "end":
                return EndedSessionRecord(session=self._end_session(str(asked.get("name"))))
            case _:
                raise UsageError("the desk does not know this command.")

    def _manage_keys(self, asked: Mapping[str, Any]) -> KeysRecord:
        """List the keys, after revoking one, or make a key, or a new secret for one that exists."""
        store = self._app_state.workspace.store
        at = to_ms(self._app_state.now())
        secret = old_until = revoked = None
        if asked["do"] == "key":
            secret = f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"
            key = _parse_key(asked, list_api_keys(store, at), digest_secret(secret), at)
            end = at - 1 if asked.get("revoke_old") else at + KEY_OVERLAP
            old_until = ms_to_iso(make_key(store, key, self._app_state.owner, old_until=end))
        elif asked["do"] == "revoke key":
            revoked = str(asked.get("name"))
            if not self._app_state.membership.revoke_key(revoked):
                raise UsageError(f"there is no key {revoked!r}.", hint="hf-gate ui key ls lists them.")
        keys = list(map(_key_record, list_api_keys(store, at)))
        return KeysRecord(keys=keys, secret=secret, old_until=old_until, revoked=revoked)

    def _end_session(self, ident: str) -> str:
        """End the session whose id begins so. Raises UsageError unless there is exactly one."""
        store = self._app_state.workspace.store
        found = [one.id for one in list_open_sessions(store, to_ms(bootstrap.utc_now())) if one.id.startswith(ident)]
        if len(ident) < _SHOWN_ID or len(found) != 1 or not delete_session(store, found[0]):
            raise UsageError(f"there is no session {ident!r}.", hint="hf-gate ui sessions lists them.")
        return ident


def parse_invitation(asked: Mapping[str, Any], app_state: AppState) -> Member:
    """Return the member to invite. Raises UsageError if name, role or account are not valid."""
    name = str(asked.get("name") or "").strip().lower()
    role = str(asked.get("role") or "reviewer")
    if not MEMBER_NAME.match(name) or name in RESERVED_NAMES or name == app_state.owner.lower():
        raise UsageError(
            f"{name[:_MAX_ACCOUNT]!r} is not a valid member name.",
            hint=(
                "Use lowercase letters, digits, dots and dashes; not the token's account, and not "
                f"{', '.join(sorted(RESERVED_NAMES))}."
            ),
        )
    if role not in ROLES:
        raise UsageError(f"{role!r} is not a role.", hint="Use viewer, reviewer or admin.")
    globs = _parse_globs(asked.get("repos") or (), "an invitation")
    wanted = str(asked.get("account") or "").strip()
    if len(wanted) > _MAX_ACCOUNT:
        raise UsageError("that is not the name of a Hub account.", hint="Write the name as the Hub shows it.")
    account, user_id = _find_invited_account(app_state, name, wanted)
    return Member(
        name=name, role=MemberRole(role), repos=globs, made_at=to_ms(app_state.now()), account=account, user_id=user_id
    )


def _find_invited_account(app_state: AppState, name: str, account: str) -> tuple[str | None, str | None]:
    """Return name and id of the invited Hub account: the one given, or the one named like the member."""
    if account:
        return look_up_account(app_state, account, is_guess=False) or (None, None)
    known = find_member(app_state.workspace.store, name)
    if known is not None and known.has_link:
        return None, None  # the stored account stays
    found = look_up_account(app_state, name, is_guess=True)
    return None, None if found is None else found[1]


def _parse_key(asked: Mapping[str, Any], known: Sequence[ApiKey], digest: str, at: int) -> ApiKey:
    """Return the key to store. Raises UsageError if it is not valid, or would change one that exists."""
    name = str(asked.get("name") or "")
    if not MEMBER_NAME.match(name) or name in {"ls", "revoke"}:
        raise UsageError(f"{name[:_MAX_ACCOUNT]!r} is not a valid name of a key.", hint="Write billing, for example.")
    verbs = tuple(dict.fromkeys(str(verb) for verb in asked.get("verbs") or ()))
    globs = _parse_globs(asked.get("repos") or (), "a key")
    earlier = next((one for one in known if one.name == name), None)
    if earlier is not None:
        if (verbs and set(verbs) != set(earlier.verbs)) or (globs and globs != earlier.repos):
            raise UsageError(
                f"the key {name} exists with other verbs or repos.",
                hint=f"Leave --verbs and --repo out to get a new secret; or first: hf-gate ui key revoke {name}",
            )
        return ApiKey(digest=digest, name=name, verbs=earlier.verbs, repos=earlier.repos, made_at=at)
    wrong = next((verb for verb in verbs if verb not in {*VERBS, EVENTS, TABLE}), None)
    if wrong is not None or not verbs:
        raise UsageError(
            f"a new key needs --verbs: there is no key {name} yet." if wrong is None else f"{wrong!r} is not a verb.",
            hint=f"--verbs takes some of {','.join((*VERBS, EVENTS, TABLE))}, separated by commas.",
        )
    if globs is None and verbs != (EVENTS,):
        raise UsageError(
            "a key that decides or changes rows needs repos.", hint="--repo acme/model, or --repo 'datasets/acme/*'."
        )
    return ApiKey(digest=digest, name=name, verbs=verbs, repos=globs, made_at=at)


def _parse_globs(words: Iterable[object], what: str) -> tuple[str, ...] | None:
    globs = tuple(str(glob) for glob in words) or None
    if len(globs or ()) > _MAX_GLOBS or any(len(glob) > _MAX_GLOB for glob in globs or ()):
        raise UsageError(
            f"{what} takes at most {_MAX_GLOBS} repos of at most {_MAX_GLOB} characters each.", hint="Use acme/*."
        )
    return globs


def _key_record(key: ApiKey) -> KeyRecord:
    return KeyRecord(
        name=key.name,
        verbs=list(key.verbs),
        repos=list(key.repos or ()),
        made_at=ms_to_iso(key.made_at),
        until=ms_to_iso(key.until_at),
    )


def account_name(member: Member) -> str | None:
    """Return the name of a member's Hub account, if known."""
    return member.account or (member.name if member.user_id else None)


def describe_link(member: Member, devices: int, at: int) -> str:
    """Return the state of a member's personal link in words."""
    if not member.has_link:
        return "revoked"
    if member.link_until is None:
        return f"works in {devices} browser{'s' if devices != 1 else ''}" if devices else "none"
    day = f"{from_ms(member.link_until):%Y-%m-%d}"
    return f"not used yet, until {day}" if at <= member.link_until else f"expired on {day}"


# ---- the terminal's side ---------------------------------------------------------------------------------------------


_READS: Final = frozenset({"members", "sessions", "keys"})


def find_running_desk(settings: Settings, place: WorkspaceLocation) -> dict[str, Any] | None:
    """Return the announcement of the desk that runs on this store and machine; None if there is none."""
    return read_announcement(_announcement_file(settings, place))


def send_command(desk: Mapping[str, Any], wish: Mapping[str, Any]) -> dict[str, Any]:
    """Send a command to a running desk. Raises UsageError with the desk's message if it refuses, and for a command that
    changes the desk or opens it if nothing may be changed.
    """
    if wish["do"] not in _READS:
        require_writes("the desk")
    headers = {"authorization": f"Bearer {desk['key']}"}
    return post_to_desk(str(desk["at"]), "/terminal", wish, name=str(desk["url"]), headers=headers)
