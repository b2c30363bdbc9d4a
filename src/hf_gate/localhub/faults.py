"""The named faults of the local Hub: when they fire, and what they do to a call. Random choices are seeded."""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.hub.protocol.endpoints import ENDPOINTS, RecognizedCall
from hf_gate.localhub.handlers.dispatch import get_error_shape
from hf_gate.localhub.handlers.openid import SIGN_IN_FAULTS

from .http_messages import HTML_TYPE, HttpError, HttpRequest, HttpResponse, json_response
from .records import HubRepo
from .world import World

ROUTE_NAMES = tuple(dict.fromkeys(route.name for route in ENDPOINTS))
_LISTS = frozenset({"list"})
_DECISIONS = frozenset({"batch", "handle", "grant"})
_SEEN = frozenset({"list", "report", "auth-check", "resolve"})
_SIGN_IN_PAGE = (
    b"<!doctype html><title>Welcome to this network</title><h1>Sign in to go on</h1><form method=post></form>"
)


class FaultPlan(Struct):
    """What the faults do to one call. The server carries out delays (real seconds), cuts and speed limits."""

    request: HttpRequest
    call: RecognizedCall | None
    world: World
    replacement: HttpResponse | None = None  # sent instead of the world's answer
    is_bare: bool = False  # no rate-limit headers
    is_foreign: bool = False  # none of the Hub's own headers
    changes: list[Callable[[HttpResponse], HttpResponse]] = field(default_factory=list)
    delay_before: float = 0.0
    delay_after: float = 0.0
    cut_at: int | None = None  # the connection ends after this many bytes of the body
    bps: float | None = None  # bytes of the body per second

    @property
    def hub_repo(self) -> HubRepo | None:
        repo = self.call.repo if self.call else None
        return None if repo is None else self.world.find_repo(repo)

    def add_change(self, change: Callable[[HttpResponse], HttpResponse]) -> None:
        self.changes.append(change)


class ActiveFault:
    """One active fault: its kind, its trigger, and its state between calls."""

    def __init__(self, spec: str, kind: FaultKind, values: dict[str, Any], when: FaultTrigger) -> None:
        self.spec = spec
        self.kind = kind
        self.values = values
        self.when = when
        self.seen = self.fired = 0
        self.recent: deque[int] = deque()
        self.until_ms = 0
        self._random = Random()

    def seed_random(self, seed: object) -> ActiveFault:
        self._random.seed(f"{seed}:{self.spec}")
        return self

    def apply(self, plan: FaultPlan) -> None:
        """Count a call if it matches, and act on it if the fault fires."""
        now_ms = plan.request.now_ms
        if now_ms < self.until_ms:
            self.kind.act(self, plan)
            return
        name = plan.call.endpoint.name if plan.call else "other"
        if self.when.on is not None and name not in self.when.on:
            return
        self.seen += 1
        low, high = self.when.call
        if not low <= self.seen <= high or (self.when.times is not None and self.fired >= self.when.times):
            return
        if self.when.p < 1 and self._random.random() >= self.when.p:
            return
        self.fired += 1
        self.kind.act(self, plan)


class FaultTrigger(NamedTuple):
    """When a fault fires: with probability `p`, on the n-th to m-th matching `call`, `on` endpoints,
    at most `times`.
    """

    p: float = 1.0
    call: tuple[float, float] = (1, float("inf"))
    on: frozenset[str] | None = None
    times: int | None = None


class FaultKind(NamedTuple):
    """A kind of fault: what it does, its default endpoints, and its own keys with their defaults."""

    act: Callable[[ActiveFault, FaultPlan], None]
    on: frozenset[str] | None
    keys: dict[str, Any]
    description: str
    times: int | None = None


class FaultSet:
    """The active faults, in the order in which they were set."""

    def __init__(self, specs: Iterable[str] = (), seed: int = 0) -> None:
        self.seed = seed
        self.active: list[ActiveFault] = []
        for spec in specs:
            self.add(parse_spec(spec))

    def clear(self) -> None:
        self.active.clear()

    def add(self, fault: ActiveFault) -> None:
        self.active.append(fault.seed_random(self.seed))

    def plan_call(self, request: HttpRequest, call: RecognizedCall | None, world: World) -> FaultPlan:
        plan = FaultPlan(request, call, world)
        for fault in self.active:
            fault.apply(plan)
        return plan


# ---- effects ---------------------------------------------------------------------------------------------------------


def build_failure(status: int) -> HttpResponse:
    """Return a server error in the form of a gateway (HTML) or of the Hub itself (JSON)."""
    if status in {502, 503, 504}:
        page = f"<!doctype html><title>{status}</title><h1>{status} from the gateway</h1>"
        return HttpResponse(status, {"Content-Type": HTML_TYPE}, page.encode())
    return HttpError(status, "Internal error").to_response("json")


def _limit_bare(_: ActiveFault, plan: FaultPlan) -> None:
    plan.replacement = HttpResponse(429, {"Content-Type": HTML_TYPE}, b"<h1>Too many requests</h1>")
    plan.is_bare = True


def _hidden_limit(fault: ActiveFault, plan: FaultPlan) -> None:
    now_ms = plan.request.now_ms
    while fault.recent and fault.recent[0] <= now_ms - 1000:
        fault.recent.popleft()
    if len(fault.recent) >= fault.values["rate"]:
        plan.replacement = HttpError(429, "Too many actions of this kind").to_response("json")
    else:
        fault.recent.append(now_ms)


def _answer(fault: ActiveFault, plan: FaultPlan) -> None:
    values = fault.values
    error = HttpError(values["status"], values["text"], values["code"] or None)
    plan.replacement = error.to_response(get_error_shape(plan.request, plan.call))


def _drop_auth(_: ActiveFault, plan: FaultPlan) -> None:
    headers = {name: value for name, value in plan.request.headers.items() if name != "authorization"}
    plan.request = dataclasses.replace(plan.request, headers=headers)


def _foreign(_: ActiveFault, plan: FaultPlan) -> None:
    plan.is_foreign = True


def _fail_before(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.replacement = build_failure(fault.values["status"])


def _fail_after(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.add_change(lambda _: build_failure(fault.values["status"]))


def _delay_before(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.delay_before += fault.values["s"]


def _delay_after(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.delay_after += fault.values["s"]


def _reset_at(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.cut_at = fault.values["byte"]


def _truncate(_: ActiveFault, plan: FaultPlan) -> None:
    plan.add_change(lambda a: replace(a, body=a.body[: len(a.body) // 2]))


def _html_200(_: ActiveFault, plan: FaultPlan) -> None:
    plan.replacement = HttpResponse(200, {"Content-Type": HTML_TYPE}, _SIGN_IN_PAGE)
    plan.is_bare = True


def _empty_200(_: ActiveFault, plan: FaultPlan) -> None:
    plan.add_change(lambda a: HttpResponse(200, {"Content-Type": a.headers.get("Content-Type", HTML_TYPE)}, b""))


def _lag(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.request = dataclasses.replace(
        plan.request, view=replace(plan.request.view, lag_ms=int(fault.values["s"] * 1000))
    )


def _shuffle(_: ActiveFault, plan: FaultPlan) -> None:
    plan.request = dataclasses.replace(plan.request, view=replace(plan.request.view, is_shuffled=True))


def _bad_sign_in(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.request = dataclasses.replace(plan.request, view=replace(plan.request.view, sign_in=fault.values["how"]))


def _dup_rows(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.add_change(_change_rows(lambda rows: rows + rows[: fault.values["n"]]))


def _no_link(_: ActiveFault, plan: FaultPlan) -> None:
    plan.add_change(lambda a: replace(a, headers={k: v for k, v in a.headers.items() if k != "Link"}))


def _link_loop(_: ActiveFault, plan: FaultPlan) -> None:
    request = plan.request
    here = f"{request.base_url}{request.path}" + (f"?{request.query}" if request.query else "")
    plan.add_change(lambda a: a.with_headers(Link=f'<{here}>; rel="next"') if a.status == 200 else a)


def _link_evil(fault: ActiveFault, plan: FaultPlan) -> None:
    url = fault.values["url"]
    plan.add_change(lambda a: a.with_headers(Link=f'<{url}>; rel="next"') if a.status == 200 else a)


def _redirect_evil(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.replacement = HttpResponse(307, {"Location": fault.values["url"]}, b"")


def _ungate(_: ActiveFault, plan: FaultPlan) -> None:
    if plan.hub_repo is not None:
        plan.hub_repo.gated = False


def _revoke_token(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.world.revoke_tokens(fault.values["token"])


def _rename_repo(_: ActiveFault, plan: FaultPlan) -> None:
    if plan.hub_repo is not None:
        plan.world.rename_repo(plan.hub_repo, f"{plan.hub_repo.repo.name}-renamed")


def _down(fault: ActiveFault, plan: FaultPlan) -> None:
    if plan.request.now_ms >= fault.until_ms:
        fault.until_ms = plan.request.now_ms + int(fault.values["s"] * 1000)
    plan.replacement = build_failure(503)
    plan.is_bare = True


def _huge_body(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.add_change(lambda a: replace(a, body=a.body + b" " * (fault.values["mb"] << 20)))


def _deep_json(fault: ActiveFault, plan: FaultPlan) -> None:
    depth = fault.values["n"]
    plan.add_change(lambda a: replace(a, body=b"[" * depth + b"]" * depth))


def _bad_record(fault: ActiveFault, plan: FaultPlan) -> None:
    kind = fault.values["kind"]

    def broken(rows: list[Any]) -> list[Any]:
        return [BAD_RECORDS[kind](rows[0]), *rows[1:]] if rows and isinstance(rows[0], dict) else rows

    plan.add_change(_change_rows(broken, is_surrogate=kind == "surrogate"))


def _slow_body(fault: ActiveFault, plan: FaultPlan) -> None:
    plan.bps = fault.values["bps"]


def _no_batch(_: ActiveFault, plan: FaultPlan) -> None:
    plan.replacement = HttpError(404, "Sorry, we can't find the page you are looking for.").to_response("json")


def _drop_user(fault: ActiveFault, plan: FaultPlan) -> None:
    every = fault.values["every"]

    def without(rows: list[Any]) -> list[Any]:
        return [_without_user(row) if n % every == 0 and isinstance(row, dict) else row for n, row in enumerate(rows)]

    plan.add_change(_change_rows(without))


def _without_user(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "user"}


def _add_lone_surrogate(row: dict[str, Any]) -> dict[str, Any]:
    user = row.get("user")
    return row | {"user": (user if isinstance(user, dict) else {}) | {"fullname": "half \ue000 pair"}}


BAD_RECORDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "time": lambda row: row | {"timestamp": "yesterday"},
    "user": lambda row: row | {"user": "a text"},
    "no_id": lambda row: {k: v for k, v in row.items() if k not in {"requestId", "user"}},
    "status": lambda row: row | {"status": "escalated"},
    "fields_null": lambda row: row | {"fields": None},
    "checkbox": lambda row: row | {"fields": (row.get("fields") or {}) | {"I agree": True}},
    "surrogate": _add_lone_surrogate,
    "text": lambda _: "not a record",
    "null": lambda _: None,
}


def _change_rows(
    change: Callable[[list[Any]], list[Any]], *, is_surrogate: bool = False
) -> Callable[[HttpResponse], HttpResponse]:
    def mend(response: HttpResponse) -> HttpResponse:
        rows = _decode_rows(response)
        if rows is None:
            return response
        body = msgspec.json.encode(change(rows))
        if is_surrogate:
            body = body.replace("\ue000".encode(), b"\\ud800")
        fresh = json_response(None, raw=body)
        return replace(fresh, headers={**response.headers, **fresh.headers})

    return mend


def _decode_rows(response: HttpResponse) -> list[Any] | None:
    """Return the rows of a list; None for any other answer, and for an answer that an earlier fault has broken."""
    try:
        rows = msgspec.json.decode(response.body) if response.status == 200 else None
    except (msgspec.DecodeError, RecursionError):
        return None
    return rows if isinstance(rows, list) else None


_EVIL = "https://evil.invalid/next"
FAULT_KINDS: dict[str, FaultKind] = {
    "limit_bare": FaultKind(_limit_bare, None, {}, "429 without a header with the wait time"),
    "hidden_limit": FaultKind(
        _hidden_limit,
        _DECISIONS,
        {"rate": 7},
        "429 above this number of decisions a second, although the headers show remaining calls",
    ),
    "fail_before": FaultKind(_fail_before, None, {"status": 502}, "an error, and the change is not made"),
    "fail_after": FaultKind(_fail_after, None, {"status": 500}, "an error, although the change is made"),
    "delay_before": FaultKind(
        _delay_before, None, {"s": 30.0}, "waits this many real seconds before the call is processed"
    ),
    "delay_after": FaultKind(_delay_after, None, {"s": 30.0}, "waits this many real seconds before the answer is sent"),
    "reset_at": FaultKind(
        _reset_at, None, {"byte": 40}, "the change is made, but the connection ends after this many bytes of the body"
    ),
    "truncate": FaultKind(
        _truncate, None, {}, "the change is made, but only half of the body is sent, as if it were complete"
    ),
    "html_200": FaultKind(_html_200, None, {}, "the sign-in page of a network; the change is not made"),
    "empty_200": FaultKind(_empty_200, None, {}, "the change is made, and the answer is a 200 without body"),
    "dup_rows": FaultKind(_dup_rows, _LISTS, {"n": 3}, "the first rows of a page are repeated at its end"),
    "no_link": FaultKind(_no_link, _LISTS, {}, "full pages have no next link"),
    "link_loop": FaultKind(_link_loop, _LISTS, {}, "the next link of each page leads to itself"),
    "link_evil": FaultKind(_link_evil, _LISTS, {"url": _EVIL}, "the next link leads to another host"),
    "redirect_evil": FaultKind(_redirect_evil, None, {"url": _EVIL}, "307 to another host; the change is not made"),
    "answer": FaultKind(
        _answer,
        None,
        {"status": 403, "text": "Forbidden", "code": ""},
        "an error with these words, as the Hub sends it; the change is not made",
    ),
    "drop_auth": FaultKind(
        _drop_auth, None, {}, "the call arrives without its token, as through a mirror that does not pass it on"
    ),
    "foreign": FaultKind(
        _foreign, None, {}, "the answer has none of the Hub's own headers, as through a proxy that strips them"
    ),
    "lag": FaultKind(
        _lag, _SEEN, {"s": 1.0}, "lists, report and gate are as they were this many seconds ago, by the Hub's clock"
    ),
    "shuffle": FaultKind(_shuffle, _LISTS, {}, "lists are in an order unrelated to time"),
    "ungate": FaultKind(_ungate, None, {}, "the repo of the call is no longer gated", 1),
    "revoke_token": FaultKind(_revoke_token, None, {"token": "owner"}, "a token is revoked", 1),
    "rename_repo": FaultKind(_rename_repo, None, {}, "the repo of the call is renamed: 307 to its new name", 1),
    "down": FaultKind(_down, None, {"s": 3600.0}, "503 to every call for this many seconds of the Hub's clock", 1),
    "huge_body": FaultKind(_huge_body, None, {"mb": 64}, "megabytes of white space after the body"),
    "deep_json": FaultKind(_deep_json, None, {"n": 100_000}, "a body of deeply nested brackets"),
    "bad_record": FaultKind(
        _bad_record, _LISTS, {"kind": "time"}, "the first row of a page is broken: " + ", ".join(BAD_RECORDS)
    ),
    "slow_body": FaultKind(_slow_body, None, {"bps": 100.0}, "this many bytes of the body per real second"),
    "no_batch": FaultKind(_no_batch, frozenset({"batch"}), {}, "the batch endpoint does not exist"),
    "bad_sign_in": FaultKind(
        _bad_sign_in,
        frozenset({"openid-configuration", "openid-token", "openid-userinfo"}),
        {"how": "nonce"},
        "the sign-in provider answers incorrectly, or another one answers: " + ", ".join(SIGN_IN_FAULTS),
    ),
    "drop_user": FaultKind(_drop_user, _LISTS, {"every": 1}, "every n-th row is without its user"),
}


# ---- parsing ---------------------------------------------------------------------------------------------------------

_COMMON = ("p", "call", "on", "times")


def parse_spec(text: str) -> ActiveFault:
    """Parse `NAME[:key=value]...`; raise a one-line ValueError that lists the choices for anything else."""
    name, *parts = re.split(r":(?=[a-z_]+=)", text.strip())
    kind = FAULT_KINDS.get(name)
    if kind is None:
        raise ValueError(f"unknown fault {name!r}; known faults: {', '.join(FAULT_KINDS)}")
    given = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key not in kind.keys and key not in _COMMON:
            raise ValueError(f"{name} has no key {key!r}; its keys: {', '.join([*kind.keys, *_COMMON])}")
        given[key] = value
    values = {
        key: _parse_value(name, key, given[key], default) if key in given else default
        for key, default in kind.keys.items()
    }
    when = FaultTrigger(
        _parse_probability(given.get("p", "1")),
        _parse_call_range(given.get("call")),
        _parse_routes(given["on"]) if "on" in given else kind.on,
        _parse_count("times", given["times"]) if "times" in given else kind.times,
    )
    return ActiveFault(text.strip(), kind, values, when)


def _parse_value(name: str, key: str, text: str, default: object) -> object:
    if key == "kind" and text not in BAD_RECORDS:
        raise ValueError(f"{name} has no kind {text!r}; its kinds: {', '.join(BAD_RECORDS)}")
    if key == "how" and text not in SIGN_IN_FAULTS:
        raise ValueError(f"{name} has no way {text!r}; its ways: {', '.join(SIGN_IN_FAULTS)}")
    if key == "text":
        return _parse_words(text)
    if key == "code" and not re.fullmatch(r"[A-Za-z0-9]{0,64}", text):
        raise ValueError(f"code={text!r} is not an error code: write letters and digits, such as GatedRepo")
    if key == "status" and not re.fullmatch(r"[45]\d\d", text):
        raise ValueError(f"status={text} is not the status of an error: write 400 to 599")
    if isinstance(default, str):
        return text
    if isinstance(default, int):
        return _parse_count(key, text)
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ValueError(f"{key}={text} is not a number")
    return float(text)


def _parse_words(text: str) -> str:
    """Decode %XX as in a URL, so that a text can have any character."""
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise ValueError(f"text={text!r} has a % without two hex digits: write % as %25")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise ValueError(f"text={text!r} is not UTF-8") from None


def _parse_count(key: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or (key in {"times", "every", "rate"} and int(text) < 1):
        raise ValueError(f"{key}={text} is not a count")
    return int(text)


def _parse_probability(text: str) -> float:
    if not re.fullmatch(r"1|1\.0+|0?\.\d+", text):
        raise ValueError(f"p={text} is not a probability: write p=0.2 for one call in five")
    return float(text)


def _parse_call_range(text: str | None) -> tuple[float, float]:
    if text is None:
        return (1, float("inf"))
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    if match is None or int(match[1]) < 1:
        raise ValueError(f"call={text} is not a call number: write call=137, or call=10-20")
    return (int(match[1]), int(match[2] or match[1]))


def _parse_routes(text: str) -> frozenset[str]:
    names = frozenset(text.split("|"))
    unknown = sorted(names - set(ROUTE_NAMES))
    if unknown:
        raise ValueError(f"on={unknown[0]} is not an endpoint; known endpoints: {', '.join(ROUTE_NAMES)}")
    return names
