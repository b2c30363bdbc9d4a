"""The control API of the local Hub, `/_hf_gate`, for tests and demos; not reachable from other
machines or web pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import to_builtins

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.errors import HfGateError
from hf_gate.localhub.handlers.access import add_request
from hf_gate.localhub.handlers.files import commit_files

from .context import BodyValidator
from .faults import parse_spec
from .http_messages import HttpError, HttpRequest, HttpResponse, format_ms, json_response, parse_ms
from .hub_state import HubState, parse_local_hub_time
from .records import HubAccount, HubRepo, HubToken
from .world import World

PREFIX = "/_hf_gate/"
_ORG_ROLES = ("admin", "write", "contributor", "read", "no_access")
_TOKEN_ROLES = ("read", "write", "fineGrained")
_RESTRICTIONS = ("mfa", "token-policy", "token-revoked", "sso", "ip")
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def answer_control_call(app: HubState, request: HttpRequest, client: str) -> HttpResponse:
    """Answer one control call. Every error is JSON with a one-line message."""
    try:
        _check_caller(request, client)
        handler = _HANDLERS.get((request.method, request.path.removeprefix(PREFIX)))
        if handler is None:
            known = ", ".join(f"{method} {name}" for method, name in _HANDLERS)
            return HttpError(404, f"Unknown control call. Available: {known}").to_response("json")
        return json_response(handler(app, request))
    except HttpError as refusal:
        return refusal.to_response("json")
    except (ValueError, HfGateError) as error:
        return HttpError(400, str(error)).to_response("json")


def _check_caller(request: HttpRequest, client: str) -> None:
    if not is_loopback_host(client) or not is_loopback_host(_parse_host(request.headers.get("host", ""))):
        raise HttpError(403, "Control calls are allowed only from this machine, by a loopback name")
    if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise HttpError(403, "Control calls are not allowed from other web pages")
    if (
        request.method == "POST"
        and request.headers.get("content-type", "").partition(";")[0].strip() != "application/json"
    ):
        raise HttpError(415, "Send JSON with content-type application/json")


def _parse_host(header: str) -> str:
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdecimal() else header
    return name.strip("[]")


# ---- reading ---------------------------------------------------------------------------------------------------------


def _get_journal(app: HubState, request: HttpRequest) -> list[dict[str, object]]:
    after = request.params.get("after", "0")
    if not after.isdecimal():
        raise HttpError(400, "after must be the number of the last line that you have")
    world = app.world
    first = world.journal[0].seq if world.journal else 1
    return [
        {
            "seq": m.seq,
            "time": format_ms(m.at_ms),
            "repo": m.repo.id,
            "repo_type": m.repo.type.value,
            "request_id": m.request_id,
            "user_id": m.account.id,
            "user": m.user,
            "from": m.before,
            "to": m.after,
            "route": m.route,
            "token": m.token,
        }
        for m in world.journal[max(0, int(after) + 1 - first) :]
    ]


def _get_stats(app: HubState, _: HttpRequest) -> dict[str, object]:
    return {"calls": dict(app.calls), "replies": dict(app.replies), "world_id": app.world.world_id}


def _get_clock(app: HubState, _: HttpRequest) -> dict[str, object]:
    return {"now": app.clock.now(), "rate": app.clock.rate}


def _get_faults(app: HubState, _: HttpRequest) -> list[str]:
    return [fault.spec for fault in app.faults.active]


# ---- changing --------------------------------------------------------------------------------------------------------


def _set_faults(app: HubState, request: HttpRequest) -> list[str]:
    body = _parse_body(request, {"set", "add", "clear"})
    fresh = [parse_spec(_expect_text(spec)) for key in ("set", "add") for spec in _expect_list(body.get(key, []))]
    if body.get("clear") or "set" in body:
        app.faults.clear()
    for fault in fresh:
        app.faults.add(fault)
    return _get_faults(app, request)


def _advance_clock(app: HubState, request: HttpRequest) -> dict[str, object]:
    app.clock.advance(parse_local_hub_time(_expect_text(_parse_body(request, {"advance"}).get("advance"))))
    return _get_clock(app, request)


def _add_people(app: HubState, request: HttpRequest) -> list[dict[str, object]]:
    """Add all the people, or none if there is an error."""
    world = app.world
    ready = dict[str, tuple[str, str, str, int]]()
    for raw in _expect_list(_parse_json(request)):
        line = _check_keys(raw, {"username", "fullname", "email", "created_at"})
        name = _validate_name(world, line.get("username"))
        if name.lower() in ready:
            raise HttpError(400, f"{name!r} appears twice in this call")
        email = _get_text(line, "email") or f"{name}@example.org"
        ready[name.lower()] = (
            name,
            _get_text(line, "fullname"),
            email,
            _parse_time(line.get("created_at"), request.now_ms),
        )
    accounts = [HubAccount(world.new_id(made), name, full, email) for name, full, email, made in ready.values()]
    return [_describe_person(world, world.add_account(account)) for account in accounts]


def _describe_person(world: World, account: HubAccount) -> dict[str, object]:
    return {"id": account.id, "username": account.username, "token": world.personal_secret(account)}


def _validate_name(world: World, value: object, *, of: HubAccount | None = None) -> str:
    """Return a username that is free, or that belongs to `of` (who may be changing only its capitals)."""
    name = _expect_text(value)
    if not _USERNAME.fullmatch(name):
        raise HttpError(400, f"{name!r} is not a username: use letters, digits, - _ . only")
    if world.names.get(name.lower(), of) is not of:
        raise HttpError(400, f"the username {name!r} is taken")
    return name


def _rename_person(app: HubState, request: HttpRequest) -> dict[str, object]:
    """Give a person another username. The old one becomes free. Owners of repos cannot be renamed."""
    line = _parse_body(request, {"user", "to"})
    world = app.world
    account = _find_account(world, line.get("user"))
    name = _validate_name(world, line.get("to"), of=account)
    if any(hub_repo.repo.namespace.lower() == account.username.lower() for hub_repo in world.repos.values()):
        raise HttpError(400, f"{account.username} owns repos under that name: rename somebody without repos")
    world.rename_account(account, name)
    return _describe_person(world, account)


def _add_token(app: HubState, request: HttpRequest) -> dict[str, object]:
    """Make a token for a person. A fine-grained one has only the permissions of its scopes."""
    line = _parse_body(request, {"user", "role", "name", "can_read_gated", "scopes", "expired", "restrictions"})
    world = app.world
    account = _find_account(app.world, line.get("user"))
    role = line.get("role", "read")
    if role not in _TOKEN_ROLES:
        raise HttpError(400, f"{role!r} is not a role of a token; roles: {', '.join(_TOKEN_ROLES)}")
    name = _get_text(line, "name") or f"{account.username}-{role}-{len(world.tokens)}"
    if world.find_user(name) or any(token.name == name for token in world.tokens.values()):
        raise HttpError(400, f"the token name {name!r} is taken")
    scopes = _parse_scopes(world, line.get("scopes", []))
    is_fine_grained = role == "fineGrained"
    can_read_gated = _get_flag(line, "can_read_gated", default=not is_fine_grained)
    if not is_fine_grained and (scopes or not can_read_gated):
        raise HttpError(400, "can_read_gated and scopes are for tokens with role fineGrained")
    restrictions = tuple(_expect_text(text) for text in _expect_list(line.get("restrictions", [])))
    if unknown := [text for text in restrictions if text not in _RESTRICTIONS]:
        raise HttpError(400, f"{unknown[0]!r} is not a restriction; restrictions: {', '.join(_RESTRICTIONS)}")
    token = HubToken(
        name,
        f"hf_local_{world.seed}_{world.new_id(request.now_ms)}",
        account,
        role,
        scopes.pop("", frozenset()),
        request.now_ms,
        scopes,
        can_read_gated,
        _get_flag(line, "expired"),
        restrictions,
    )
    return {"name": name, "user": account.username, "token": world.add_token(token).secret}


def _parse_scopes(world: World, value: object) -> dict[str, frozenset[str]]:
    """Return permissions by the id of a repo; "" stands for the account and its organisations."""
    scopes: dict[str, frozenset[str]] = {}
    for raw in _expect_list(value):
        line = _check_keys(raw, {"repo", "repo_type", "permissions"})
        place = _find_repo(world, line).id if "repo" in line else ""
        names = _expect_list(line.get("permissions", ["repo.content.read"]))
        scopes[place] = scopes.get(place, frozenset()) | {_expect_text(name) for name in names}
    return scopes


def _set_role(app: HubState, request: HttpRequest) -> dict[str, object]:
    """Give a person a role in an organisation; null removes the person."""
    line = _parse_body(request, {"org", "user", "role"})
    org = app.world.orgs.get(_expect_text(line.get("org")).lower())
    account = _find_account(app.world, line.get("user"))
    if org is None:
        raise HttpError(400, f"there is no organisation {line.get('org')!r}")
    role = line.get("role")
    if role is None:
        org.roles.pop(account.id, None)
    elif role in _ORG_ROLES:
        org.roles[account.id] = role
    else:
        raise HttpError(400, f"{role!r} is not a role; roles: {', '.join(_ORG_ROLES)}")
    return {"org": org.account.username, "user": account.username, "role": role}


def _add_requests(app: HubState, request: HttpRequest) -> list[dict[str, object]]:
    """Add all the requests in the given order, or none if there is an error."""
    world = app.world
    ready = dict[tuple[str, str], tuple[HubRepo, HubAccount, dict[str, str], int]]()
    for raw in _expect_list(_parse_json(request)):
        line = _check_keys(raw, {"repo", "repo_type", "user", "answers", "asked_at"})
        hub_repo = _find_repo(world, line)
        account = _find_account(world, line.get("user"))
        if (there := hub_repo.people.get(account.id)) is not None and there.status != "reset":
            raise HttpError(400, f"{account.username} already has a request for {hub_repo.repo}")
        if (hub_repo.id, account.id) in ready:
            raise HttpError(400, f"{account.username} asks for {hub_repo.repo} twice in this call")
        asked_ms = _parse_time(line.get("asked_at"), request.now_ms)
        ready[hub_repo.id, account.id] = hub_repo, account, _parse_answers(line), asked_ms
    rows = [
        add_request(world, hub_repo, account, answers, request.now_ms, account.username, asked_ms)
        for hub_repo, account, answers, asked_ms in ready.values()
    ]
    return [{"request_id": row.id} for row in rows]


def _parse_answers(line: Mapping[str, Any]) -> dict[str, str]:
    answers = line.get("answers") or {}
    if not isinstance(answers, dict) or not all(isinstance(value, str) for value in answers.values()):
        raise HttpError(400, "answers must be an object that maps labels to text")
    return answers


def _set_card(app: HubState, request: HttpRequest) -> dict[str, object]:
    """Replace README.md, and thus the gate form. Existing requests keep the labels that they answered."""
    line = _parse_body(request, {"repo", "repo_type", "text"})
    hub_repo = _find_repo(app.world, line)
    files = hub_repo.head.files | {"README.md": _get_text(line, "text").encode()}
    return {"commit": commit_files(hub_repo, files, "change the card", request.now_ms).oid}


def _change_settings(app: HubState, request: HttpRequest) -> dict[str, object]:
    """Hide usernames or e-mail addresses of requesters, or close a repo as the Hub does.

    The Hub has no known endpoint.
    """
    line = _parse_body(request, {"repo", "repo_type", *_REPO_FLAGS})
    hub_repo = _find_repo(app.world, line)
    flags = {key: _get_flag(line, key, default=getattr(hub_repo, name)) for key, name in _REPO_FLAGS.items()}
    for key, name in _REPO_FLAGS.items():
        setattr(hub_repo, name, flags[key])
    return dict(flags)


_REPO_FLAGS = {"hide_usernames": "hide_usernames", "hide_emails": "hide_emails", "disabled": "is_disabled"}


def _reset_world(app: HubState, request: HttpRequest) -> dict[str, object]:
    _parse_body(request, set())
    app.reset()
    return {"world_id": app.world.world_id}


_HANDLERS: dict[tuple[str, str], Callable[[HubState, HttpRequest], object]] = {
    ("GET", "journal"): _get_journal,
    ("GET", "stats"): _get_stats,
    ("GET", "clock"): _get_clock,
    ("GET", "outbox"): lambda app, _: app.world.outbox,
    ("GET", "repos"): lambda app, _: to_builtins(app.describe_repos()),
    ("GET", "faults"): _get_faults,
    ("POST", "faults"): _set_faults,
    ("POST", "clock"): _advance_clock,
    ("POST", "people"): _add_people,
    ("POST", "requests"): _add_requests,
    ("POST", "rename"): _rename_person,
    ("POST", "roles"): _set_role,
    ("POST", "tokens"): _add_token,
    ("POST", "card"): _set_card,
    ("POST", "settings"): _change_settings,
    ("POST", "reset"): _reset_world,
}


# ---- parsing ---------------------------------------------------------------------------------------------------------


def _parse_json(request: HttpRequest) -> object:
    if request.body.lstrip()[:1] == b"[":
        return BodyValidator(b'{"_":' + request.body + b"}").values["_"]
    body = BodyValidator(request.body)
    body.raise_problems()
    return body.values


def _parse_body(request: HttpRequest, keys: set[str]) -> dict[str, Any]:
    return _check_keys(_parse_json(request), keys)


def _check_keys(line: object, keys: set[str]) -> dict[str, Any]:
    if not isinstance(line, dict):
        raise HttpError(400, "send an object")
    unknown = sorted(set(line) - keys)
    if unknown:
        raise HttpError(400, f"unknown key {unknown[0]!r}; known keys: {', '.join(sorted(keys)) or 'none'}")
    return line


def _expect_list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise HttpError(400, "send a list")
    return value


def _expect_text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise HttpError(400, f"{value!r} must be non-empty text")
    return value


def _get_text(line: Mapping[str, Any], key: str) -> str:
    """Return the text of a key; empty if the key is missing."""
    value = line.get(key)
    if value is not None and not isinstance(value, str):
        raise HttpError(400, f"{key} must be text")
    return value or ""


def _get_flag(line: Mapping[str, Any], key: str, *, default: bool = False) -> bool:
    """Return the flag of a key; null counts as missing."""
    value = line.get(key)
    if value is not None and not isinstance(value, bool):
        raise HttpError(400, f"{key} must be true or false")
    return default if value is None else value


def _parse_time(value: object, default: int) -> int:
    if value is None:
        return default
    ms = parse_ms(value) if isinstance(value, str) else None
    if ms is None:
        raise HttpError(400, f"{value!r} is not a time: write 2026-11-25T10:00:00.000Z")
    return ms


def _find_repo(world: World, line: Mapping[str, Any]) -> HubRepo:
    repo: Repo = parse_repo(_expect_text(line.get("repo")), line.get("repo_type"))
    hub_repo = world.find_repo(repo)
    if hub_repo is None:
        raise HttpError(400, f"there is no {repo.type.value} {repo.id} here")
    return hub_repo


def _find_account(world: World, value: object) -> HubAccount:
    account = world.find_user(_expect_text(value))
    if account is None:
        raise HttpError(400, f"there is no person {value!r}: add them with POST people")
    return account
