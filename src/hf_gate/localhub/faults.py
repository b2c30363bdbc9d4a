"""The local Hub's tantrums, each by a name: when they fire and what they do to one call; seeded, and without a clock or network."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple

import msgspec

from ..protocol.endpoints import ENDPOINTS, RecognizedCall
from .records import Gated
from .wire import HTML_TYPE, Answered, Asked, Refusal, View, json_answer
from .world import World

ROUTE_NAMES = tuple(dict.fromkeys(route.name for route in ENDPOINTS))
_LISTS, _DECISIONS = frozenset({"list"}), frozenset({"batch", "handle", "grant"})
_SEEN = frozenset({"list", "report", "auth-check", "resolve", "raw"})
_WALL = b"<!doctype html><title>Welcome to this network</title><h1>Sign in to go on</h1><form method=post></form>"


@dataclass(slots=True)
class Plan:
    """What the faults of one call have decided; `skin` parts (delays in real seconds, cut, speed) are the server's to do."""

    asked: Asked
    call: RecognizedCall | None
    world: World
    instead: Answered | None = None  # said without looking at the world
    is_bare: bool = False  # no rate-limit headers
    mend: list[Callable[[Answered], Answered]] = field(default_factory=list)
    delay_before: float = 0.0
    delay_after: float = 0.0
    cut_at: int | None = None  # bytes of the body after which the connection ends
    bps: float | None = None  # bytes of the body in a second

    @property
    def gated(self) -> Gated | None:
        repo = self.call.repo if self.call else None
        return None if repo is None else self.world.find(repo)

    def after(self, change: Callable[[Answered], Answered]) -> None:
        self.mend.append(change)


class Fault:
    """One fault that is on: its name, when it fires, and what it remembers between calls."""

    def __init__(self, spec: str, kind: Kind, values: dict[str, Any], when: When) -> None:
        self.spec, self.kind, self.values, self.when = spec, kind, values, when
        self.seen = self.fired = 0
        self.recent: deque[int] = deque()
        self.until_ms = 0
        self._random = Random()

    def seed(self, seed: object) -> Fault:
        self._random.seed(f"{seed}:{self.spec}")
        return self

    def on(self, plan: Plan) -> None:
        """Have one call pass: counted if it matches, acted upon if the fault fires."""
        now_ms = plan.asked.now_ms
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


class When(NamedTuple):
    """`p` chance, `call` the n-th to m-th matching call, `on` the routes (None: any), `times` at most so often."""

    p: float = 1.0
    call: tuple[float, float] = (1, float("inf"))
    on: frozenset[str] | None = None
    times: int | None = None


class Kind(NamedTuple):
    """A fault by name: what it does, on which routes if nothing else is said, its own keys with their defaults."""

    act: Callable[[Fault, Plan], None]
    on: frozenset[str] | None
    keys: dict[str, Any]
    about: str
    times: int | None = None


class FaultSet:
    """The faults that are on, in the order in which they were set."""

    def __init__(self, specs: Iterable[str] = (), seed: int = 0) -> None:
        self.seed = seed
        self.active: list[Fault] = []
        for spec in specs:
            self.add(parse_spec(spec))

    def clear(self) -> None:
        self.active.clear()

    def add(self, fault: Fault) -> None:
        self.active.append(fault.seed(self.seed))

    def plan(self, asked: Asked, call: RecognizedCall | None, world: World) -> Plan:
        plan = Plan(asked, call, world)
        for fault in self.active:
            fault.on(plan)
        return plan


# ---- what they do -------------------------------------------------------------------------------------------------------


def failure(status: int) -> Answered:
    """What a gateway (HTML) or the Hub itself (JSON) says when it cannot."""
    if status in {502, 503, 504}:
        page = f"<!doctype html><title>{status}</title><h1>{status} from the gateway</h1>"
        return Answered(status, {"Content-Type": HTML_TYPE}, page.encode())
    return Refusal(status, "Internal error").answered("json")


def _limit_bare(_: Fault, plan: Plan) -> None:
    plan.instead, plan.is_bare = Answered(429, {"Content-Type": HTML_TYPE}, b"<h1>Too many requests</h1>"), True


def _hidden_limit(fault: Fault, plan: Plan) -> None:
    now_ms = plan.asked.now_ms
    while fault.recent and fault.recent[0] <= now_ms - 1000:
        fault.recent.popleft()
    if len(fault.recent) >= fault.values["rate"]:
        plan.instead = Refusal(429, "Too many actions of this kind").answered("json")
    else:
        fault.recent.append(now_ms)


def _fail_before(fault: Fault, plan: Plan) -> None:
    plan.instead = failure(fault.values["status"])


def _fail_after(fault: Fault, plan: Plan) -> None:
    plan.after(lambda _: failure(fault.values["status"]))


def _delay_before(fault: Fault, plan: Plan) -> None:
    plan.delay_before += fault.values["s"]


def _delay_after(fault: Fault, plan: Plan) -> None:
    plan.delay_after += fault.values["s"]


def _reset_at(fault: Fault, plan: Plan) -> None:
    plan.cut_at = fault.values["byte"]


def _truncate(_: Fault, plan: Plan) -> None:
    plan.after(lambda a: replace(a, body=a.body[: len(a.body) // 2]))


def _html_200(_: Fault, plan: Plan) -> None:
    plan.instead, plan.is_bare = Answered(200, {"Content-Type": HTML_TYPE}, _WALL), True


def _empty_200(_: Fault, plan: Plan) -> None:
    plan.after(lambda a: Answered(200, {"Content-Type": a.headers.get("Content-Type", HTML_TYPE)}, b""))


def _lag(fault: Fault, plan: Plan) -> None:
    plan.asked = replace(plan.asked, view=View(plan.asked.view.shuffled, int(fault.values["s"] * 1000)))


def _shuffle(_: Fault, plan: Plan) -> None:
    plan.asked = replace(plan.asked, view=View(shuffled=True, lag_ms=plan.asked.view.lag_ms))


def _dup_rows(fault: Fault, plan: Plan) -> None:
    plan.after(_rows(lambda rows: rows + rows[: fault.values["n"]]))


def _no_link(_: Fault, plan: Plan) -> None:
    plan.after(lambda a: replace(a, headers={k: v for k, v in a.headers.items() if k != "Link"}))


def _link_loop(_: Fault, plan: Plan) -> None:
    asked = plan.asked
    here = f"{asked.base_url}{asked.path}" + (f"?{asked.query}" if asked.query else "")
    plan.after(lambda a: a.having(Link=f'<{here}>; rel="next"') if a.status == 200 else a)


def _link_evil(fault: Fault, plan: Plan) -> None:
    url = fault.values["url"]
    plan.after(lambda a: a.having(Link=f'<{url}>; rel="next"') if a.status == 200 else a)


def _redirect_evil(fault: Fault, plan: Plan) -> None:
    plan.instead = Answered(307, {"Location": fault.values["url"]}, b"")


def _ungate(_: Fault, plan: Plan) -> None:
    if plan.gated is not None:
        plan.gated.gated = False


def _revoke_token(fault: Fault, plan: Plan) -> None:
    plan.world.revoke(fault.values["token"])


def _rename_repo(_: Fault, plan: Plan) -> None:
    if plan.gated is not None:
        plan.world.rename(plan.gated, f"{plan.gated.repo.name}-renamed")


def _down(fault: Fault, plan: Plan) -> None:
    if plan.asked.now_ms >= fault.until_ms:
        fault.until_ms = plan.asked.now_ms + int(fault.values["s"] * 1000)
    plan.instead, plan.is_bare = failure(503), True


def _huge_body(fault: Fault, plan: Plan) -> None:
    plan.after(lambda a: replace(a, body=a.body + b" " * (fault.values["mb"] << 20)))


def _deep_json(fault: Fault, plan: Plan) -> None:
    depth = fault.values["n"]
    plan.after(lambda a: replace(a, body=b"[" * depth + b"]" * depth))


def _bad_record(fault: Fault, plan: Plan) -> None:
    kind = fault.values["kind"]

    def broken(rows: list[Any]) -> list[Any]:
        return [BAD_RECORDS[kind](rows[0]), *rows[1:]] if rows and isinstance(rows[0], dict) else rows

    plan.after(_rows(broken, is_surrogate=kind == "surrogate"))


def _slow_body(fault: Fault, plan: Plan) -> None:
    plan.bps = fault.values["bps"]


def _no_batch(_: Fault, plan: Plan) -> None:
    plan.instead = Refusal(404, "Sorry, we can't find the page you are looking for.").answered("json")


def _drop_user(fault: Fault, plan: Plan) -> None:
    every = fault.values["every"]

    def without(rows: list[Any]) -> list[Any]:
        return [_without_user(row) if n % every == 0 and isinstance(row, dict) else row for n, row in enumerate(rows)]

    plan.after(_rows(without))


def _without_user(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "user"}


def _half_a_pair(row: dict[str, Any]) -> dict[str, Any]:
    user = row.get("user")
    return row | {"user": (user if isinstance(user, dict) else {}) | {"fullname": "half \ue000 pair"}}


BAD_RECORDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "time": lambda row: row | {"timestamp": "yesterday"},
    "user": lambda row: row | {"user": "a text"},
    "no_id": lambda row: {k: v for k, v in row.items() if k not in {"requestId", "user"}},
    "status": lambda row: row | {"status": "escalated"},
    "fields_null": lambda row: row | {"fields": None},
    "checkbox": lambda row: row | {"fields": (row.get("fields") or {}) | {"I agree": True}},
    "surrogate": _half_a_pair,
    "text": lambda _: "not a record",
    "null": lambda _: None,
}


def _rows(change: Callable[[list[Any]], list[Any]], *, is_surrogate: bool = False) -> Callable[[Answered], Answered]:
    def mended(answered: Answered) -> Answered:
        rows = _list_in(answered)
        if rows is None:
            return answered
        body = msgspec.json.encode(change(rows))
        if is_surrogate:
            body = body.replace("\ue000".encode(), b"\\ud800")
        fresh = json_answer(None, raw=body)
        return replace(fresh, headers={**answered.headers, **fresh.headers})

    return mended


def _list_in(answered: Answered) -> list[Any] | None:
    """The rows of a list; None for any other answer, and for one that a fault before this has broken already."""
    try:
        rows = msgspec.json.decode(answered.body) if answered.status == 200 else None
    except (msgspec.DecodeError, RecursionError):
        return None
    return rows if isinstance(rows, list) else None


_EVIL = "https://evil.invalid/next"
KINDS: dict[str, Kind] = {
    "limit_bare": Kind(_limit_bare, None, {}, "429 without any header that says how long"),
    "hidden_limit": Kind(
        _hidden_limit,
        _DECISIONS,
        {"rate": 7},
        "429 above so many decisions in a second, while the headers see calls left",
    ),
    "fail_before": Kind(_fail_before, None, {"status": 502}, "an error, and nothing was done"),
    "fail_after": Kind(_fail_after, None, {"status": 500}, "an error, though it was done"),
    "delay_before": Kind(_delay_before, None, {"s": 30.0}, "real seconds before anything is done"),
    "delay_after": Kind(_delay_after, None, {"s": 30.0}, "real seconds before the answer leaves"),
    "reset_at": Kind(_reset_at, None, {"byte": 40}, "done, and the connection ends after so many bytes of the body"),
    "truncate": Kind(_truncate, None, {}, "done, and half of the body, as if it were whole"),
    "html_200": Kind(_html_200, None, {}, "the sign-in page of a network in between; nothing was done"),
    "empty_200": Kind(_empty_200, None, {}, "done, and a 200 with no body"),
    "dup_rows": Kind(_dup_rows, _LISTS, {"n": 3}, "the first rows of a page once more at its end"),
    "no_link": Kind(_no_link, _LISTS, {}, "full pages that name no next one"),
    "link_loop": Kind(_link_loop, _LISTS, {}, "each page names itself as the next"),
    "link_evil": Kind(_link_evil, _LISTS, {"url": _EVIL}, "the next page is said to be on another host"),
    "redirect_evil": Kind(_redirect_evil, None, {"url": _EVIL}, "307 to another host; nothing was done"),
    "lag": Kind(_lag, _SEEN, {"s": 1.0}, "lists, report and gate as they were that long ago by the Hub's clock"),
    "shuffle": Kind(_shuffle, _LISTS, {}, "lists in an order that has nothing to do with time"),
    "ungate": Kind(_ungate, None, {}, "the repo of the call is not gated any more", 1),
    "revoke_token": Kind(_revoke_token, None, {"token": "owner"}, "a token is nobody's any more", 1),
    "rename_repo": Kind(_rename_repo, None, {}, "the repo of the call has moved: 307 to its new name", 1),
    "down": Kind(_down, None, {"s": 3600.0}, "503 to everything for so long by the Hub's clock", 1),
    "huge_body": Kind(_huge_body, None, {"mb": 64}, "megabytes of white space behind the body"),
    "deep_json": Kind(_deep_json, None, {"n": 100_000}, "a body of nothing but brackets in brackets"),
    "bad_record": Kind(
        _bad_record, _LISTS, {"kind": "time"}, "the first row of a page is broken: " + ", ".join(BAD_RECORDS)
    ),
    "slow_body": Kind(_slow_body, None, {"bps": 100.0}, "so many bytes of the body in a real second"),
    "no_batch": Kind(_no_batch, frozenset({"batch"}), {}, "there is no batch here"),
    "drop_user": Kind(_drop_user, _LISTS, {"every": 1}, "every n-th row without its user"),
}


# ---- how they are written -----------------------------------------------------------------------------------------------

_COMMON = ("p", "call", "on", "times")


def parse_spec(text: str) -> Fault:
    """`NAME[:key=value]...`; ValueError, in one line that lists what there is, for anything else."""
    name, *parts = re.split(r":(?=[a-z_]+=)", text.strip())
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"no fault {name!r}; there are {', '.join(KINDS)}")
    given = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key not in kind.keys and key not in _COMMON:
            raise ValueError(f"{name} has no key {key!r}; it has {', '.join([*kind.keys, *_COMMON])}")
        given[key] = value
    values = {
        key: _own(name, key, given[key], default) if key in given else default for key, default in kind.keys.items()
    }
    when = When(
        _chance(given.get("p", "1")),
        _span(given.get("call")),
        _routes(given["on"]) if "on" in given else kind.on,
        _count("times", given["times"]) if "times" in given else kind.times,
    )
    return Fault(text.strip(), kind, values, when)


def _own(name: str, key: str, text: str, default: object) -> object:
    if key == "kind" and text not in BAD_RECORDS:
        raise ValueError(f"{name} knows no kind {text!r}; it knows {', '.join(BAD_RECORDS)}")
    if isinstance(default, str):
        return text
    if isinstance(default, int):
        return _count(key, text)
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ValueError(f"{key}={text} is no number")
    return float(text)


def _count(key: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or (key in {"times", "every", "rate"} and int(text) < 1):
        raise ValueError(f"{key}={text} is no count")
    return int(text)


def _chance(text: str) -> float:
    if not re.fullmatch(r"1|1\.0+|0?\.\d+", text):
        raise ValueError(f"p={text} is no chance: write p=0.2 for one call in five")
    return float(text)


def _span(text: str | None) -> tuple[float, float]:
    if text is None:
        return (1, float("inf"))
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    if match is None or int(match[1]) < 1:
        raise ValueError(f"call={text} is no call: write call=137, or call=10-20")
    return (int(match[1]), int(match[2] or match[1]))


def _routes(text: str) -> frozenset[str]:
    names = frozenset(text.split("|"))
    unknown = sorted(names - set(ROUTE_NAMES))
    if unknown:
        raise ValueError(f"on={unknown[0]} is no route; there are {', '.join(ROUTE_NAMES)}")
    return names
