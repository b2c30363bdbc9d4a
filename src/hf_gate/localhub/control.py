"""The local Hub's own door, `/_hf_gate`: what tests and demos ask of it and do to it; never reachable from another machine or page."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..domain.ids import Repo, parse_repo
from ..errors import HfGateError
from .clock import seconds_of
from .faults import parse_spec
from .handlers_access import ask_for
from .handlers_files import commit_files
from .records import Account, Gated
from .running import Running
from .wire import Answered, Asked, Refusal, iso, json_answer, ms_of
from .world import World
from .zod import Body

PREFIX = "/_hf_gate/"
_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def answer(app: Running, asked: Asked, client: str) -> Answered:
    """One call to the door. Every refusal is JSON with one line."""
    try:
        _guard(asked, client)
        handler = _HANDLERS.get((asked.method, asked.path.removeprefix(PREFIX)))
        if handler is None:
            known = ", ".join(f"{method} {name}" for method, name in _HANDLERS)
            return Refusal(404, f"Known here: {known}").answered("json")
        return json_answer(handler(app, asked))
    except Refusal as refusal:
        return refusal.answered("json")
    except (ValueError, HfGateError) as error:
        return Refusal(400, str(error)).answered("json")


def _guard(asked: Asked, client: str) -> None:
    if not _is_loopback(client) or not _is_loopback(_host(asked.headers.get("host", ""))):
        raise Refusal(403, "Only from this machine, by a loopback name")
    if asked.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise Refusal(403, "Not for other pages")
    if asked.method == "POST" and asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refusal(415, "JSON only: send content-type application/json")


def _host(header: str) -> str:
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdecimal() else header
    return name.strip("[]")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ---- reading ------------------------------------------------------------------------------------------------------------


def _journal(app: Running, asked: Asked) -> list[dict[str, object]]:
    after = asked.params.get("after", "0")
    if not after.isdecimal():
        raise Refusal(400, "after is the last seq that you have, a number")
    world = app.world
    first = world.journal[0].seq if world.journal else 1
    return [
        {
            "seq": m.seq, "time": iso(m.at_ms), "repo": m.repo.id, "repo_type": m.repo.type.value, "request_id": m.request_id,
            "user_id": m.account.id, "user": m.user, "from": m.before, "to": m.after, "route": m.route, "token": m.token,
        }
        for m in world.journal[max(0, int(after) + 1 - first) :]
    ]  # fmt: skip


def _stats(app: Running, _: Asked) -> dict[str, object]:
    return {"calls": dict(app.calls), "replies": dict(app.replies), "world_id": app.world.world_id}


def _clock(app: Running, _: Asked) -> dict[str, object]:
    return {"now": app.clock.now(), "rate": app.clock.rate}


def _outbox(app: Running, _: Asked) -> list[dict[str, str | None]]:
    return app.world.outbox


def _repos(app: Running, _: Asked) -> list[dict[str, object]]:
    return app.repo_lines()


def _faults(app: Running, _: Asked) -> list[str]:
    return [fault.spec for fault in app.faults.active]


# ---- doing --------------------------------------------------------------------------------------------------------------


def _set_faults(app: Running, asked: Asked) -> list[str]:
    body = _body(asked, {"set", "add", "clear"})
    fresh = [parse_spec(_word(spec)) for key in ("set", "add") for spec in _list(body.get(key, []))]
    if body.get("clear") or "set" in body:
        app.faults.clear()
    for fault in fresh:
        app.faults.add(fault)
    return _faults(app, asked)


def _advance(app: Running, asked: Asked) -> dict[str, object]:
    app.clock.advance(seconds_of(_word(_body(asked, {"advance"}).get("advance"))))
    return _clock(app, asked)


def _people(app: Running, asked: Asked) -> list[dict[str, object]]:
    """All of them or none."""
    world, ready = app.world, dict[str, tuple[str, str, str, int]]()
    for raw in _list(_json(asked)):
        line = _known(raw, {"username", "fullname", "email", "created_at"})
        name = _new_name(world, line.get("username"))
        if name.lower() in ready:
            raise Refusal(400, f"{name!r} is there twice in this call")
        email = _text(line, "email") or f"{name}@example.org"
        ready[name.lower()] = name, _text(line, "fullname"), email, _time(line.get("created_at"), asked.now_ms)
    accounts = [Account(world.new_id(made), name, full, email) for name, full, email, made in ready.values()]
    return [_person(world, world.add_account(account)) for account in accounts]


def _person(world: World, account: Account) -> dict[str, object]:
    return {"id": account.id, "username": account.username, "token": world.personal_secret(account)}


def _new_name(world: World, value: object, *, of: Account | None = None) -> str:
    """A username that nobody has, but for `of`, who may want other capitals."""
    name = _word(value)
    if not _USERNAME.fullmatch(name):
        raise Refusal(400, f"{name!r} is no username: letters, digits, - _ . only")
    if world.names.get(name.lower(), of) is not of:
        raise Refusal(400, f"there is somebody of the name {name!r} already")
    return name


def _rename(app: Running, asked: Asked) -> dict[str, object]:
    """The old name is free from then on; id, token and requests stay. Owners of repos cannot: their repos carry the name."""
    line, world = _body(asked, {"user", "to"}), app.world
    account = _named(world, line.get("user"))
    name = _new_name(world, line.get("to"), of=account)
    if any(gated.repo.namespace.lower() == account.username.lower() for gated in world.repos.values()):
        raise Refusal(400, f"{account.username} has repos under that name: rename somebody who has none")
    world.rename_account(account, name)
    return _person(world, account)


def _requests(app: Running, asked: Asked) -> list[dict[str, object]]:
    """In the given order; the first line that is wrong stops them all, and none of them has happened."""
    world, ready = app.world, dict[tuple[str, str], tuple[Gated, Account, dict[str, str], int]]()
    for raw in _list(_json(asked)):
        line = _known(raw, {"repo", "repo_type", "user", "answers", "asked_at"})
        gated, account = _gated(world, line), _named(world, line.get("user"))
        if (there := gated.people.get(account.id)) is not None and there.status != "reset":
            raise Refusal(400, f"{account.username} has a request at {gated.repo} already")
        if (gated.id, account.id) in ready:
            raise Refusal(400, f"{account.username} asks at {gated.repo} twice in this call")
        asked_ms = _time(line.get("asked_at"), asked.now_ms)
        ready[gated.id, account.id] = gated, account, _answers(line), asked_ms
    rows = [
        ask_for(world, gated, account, answers, asked.now_ms, account.username, asked_ms)
        for gated, account, answers, asked_ms in ready.values()
    ]
    return [{"request_id": row.id} for row in rows]


def _answers(line: Mapping[str, Any]) -> dict[str, str]:
    answers = line.get("answers") or {}
    if not isinstance(answers, dict) or not all(isinstance(value, str) for value in answers.values()):
        raise Refusal(400, "answers is an object: label to text")
    return answers


def _card(app: Running, asked: Asked) -> dict[str, object]:
    """Another README.md, and so another gate form; requests keep the labels that they answered."""
    line = _body(asked, {"repo", "repo_type", "text"})
    gated = _gated(app.world, line)
    files = gated.head.files | {"README.md": _text(line, "text").encode()}
    return {"commit": commit_files(gated, files, "change the card", asked.now_ms).oid}


def _settings(app: Running, asked: Asked) -> dict[str, object]:
    """What the Hub has no known route for: hiding names and addresses of those who ask."""
    line = _body(asked, {"repo", "repo_type", "hide_usernames", "hide_emails"})
    gated = _gated(app.world, line)
    gated.hide_usernames = bool(line.get("hide_usernames", gated.hide_usernames))
    gated.hide_emails = bool(line.get("hide_emails", gated.hide_emails))
    return {"hide_usernames": gated.hide_usernames, "hide_emails": gated.hide_emails}


def _reset(app: Running, asked: Asked) -> dict[str, object]:
    _body(asked, set())
    app.reset()
    return {"world_id": app.world.world_id}


def _save(app: Running, asked: Asked) -> dict[str, object]:
    _body(asked, set())
    return {"saved": app.save()}


_HANDLERS: dict[tuple[str, str], Callable[[Running, Asked], object]] = {
    ("GET", "journal"): _journal,
    ("GET", "stats"): _stats,
    ("GET", "clock"): _clock,
    ("GET", "outbox"): _outbox,
    ("GET", "repos"): _repos,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _set_faults,
    ("POST", "clock"): _advance,
    ("POST", "people"): _people,
    ("POST", "requests"): _requests,
    ("POST", "rename"): _rename,
    ("POST", "card"): _card,
    ("POST", "settings"): _settings,
    ("POST", "reset"): _reset,
    ("POST", "save"): _save,
}


# ---- what was sent ------------------------------------------------------------------------------------------------------


def _json(asked: Asked) -> object:
    if asked.body.lstrip()[:1] == b"[":
        return Body(b'{"_":' + asked.body + b"}").values["_"]
    body = Body(asked.body)
    body.settle()
    return body.values


def _body(asked: Asked, keys: set[str]) -> dict[str, Any]:
    return _known(_json(asked), keys)


def _known(line: object, keys: set[str]) -> dict[str, Any]:
    if not isinstance(line, dict):
        raise Refusal(400, "an object is wanted here")
    unknown = sorted(set(line) - keys)
    if unknown:
        raise Refusal(400, f"unknown key {unknown[0]!r}; there are {', '.join(sorted(keys)) or 'none'}")
    return line


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise Refusal(400, "a list is wanted here")
    return value


def _word(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Refusal(400, f"a text is wanted where {value!r} stands")
    return value


def _text(line: Mapping[str, Any], key: str) -> str:
    """A text that may be missing, then empty."""
    value = line.get(key)
    if value is not None and not isinstance(value, str):
        raise Refusal(400, f"{key} is a text")
    return value or ""


def _time(value: object, default: int) -> int:
    if value is None:
        return default
    ms = ms_of(value) if isinstance(value, str) else None
    if ms is None:
        raise Refusal(400, f"{value!r} is no time: write 2026-11-25T10:00:00.000Z")
    return ms


def _gated(world: World, line: Mapping[str, Any]) -> Gated:
    repo: Repo = parse_repo(_word(line.get("repo")), line.get("repo_type"))
    gated = world.find(repo)
    if gated is None:
        raise Refusal(400, f"there is no {repo.type.value} {repo.id} here")
    return gated


def _named(world: World, value: object) -> Account:
    account = world.named(_word(value))
    if account is None:
        raise Refusal(400, f"nobody here is called {value!r}: add them by POST people")
    return account
