"""Each endpoint of the Hub once: builds a `Send` for the client and recognises the call for the local Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from ..domain.ids import Repo, RepoType
from .messages import MIB, Lane, Send

PAGE_LIMIT = 1000  # the most that one page of a list holds; also what the Hub takes when nothing is said
PAGE_FLOOR = 10  # the least that may be asked for
BATCH_LIMIT = 100  # people in one batch


class Route(NamedTuple):
    """One endpoint. `{T}` is models or datasets, `{W}` nothing or datasets/, `{path}` the rest of the path."""

    name: str
    method: str
    template: str
    bucket: str = "api"
    changes: bool = False


_REPO = "/api/{T}/{ns}/{repo}"
_ACCESS = _REPO + "/user-access-request"

ROUTES: tuple[Route, ...] = (
    Route("handle", "POST", _ACCESS + "/handle", changes=True),
    Route("batch", "POST", _ACCESS + "/batch", changes=True),
    Route("grant", "POST", _ACCESS + "/grant", changes=True),
    Route("cancel", "POST", _ACCESS + "/cancel", changes=True),
    Route("list", "GET", _ACCESS + "/{status}"),
    Route("settings", "PUT", _REPO + "/settings", changes=True),
    Route("auth-check", "GET", _REPO + "/auth-check"),
    Route("auth-check-write", "GET", _REPO + "/auth-check/write"),
    Route("tree", "GET", _REPO + "/tree/{revision}"),
    Route("tree", "GET", _REPO + "/tree/{revision}/{path}"),
    Route("commit", "POST", _REPO + "/commit/{revision}", changes=True),
    Route("preupload", "POST", _REPO + "/preupload/{revision}"),
    Route("info-at", "GET", _REPO + "/revision/{revision}"),
    Route("info", "GET", _REPO),
    Route("repos", "GET", "/api/{T}"),
    Route("create-repo", "POST", "/api/repos/create", changes=True),
    Route("delete-repo", "DELETE", "/api/repos/delete", changes=True),
    Route("whoami", "GET", "/api/whoami-v2"),
    Route("overview", "GET", "/api/users/{user}/overview"),
    Route("members", "GET", "/api/organizations/{org}/members"),
    Route("ask", "POST", "/{W}{ns}/{repo}/ask-access", "pages", changes=True),
    Route("report", "GET", "/{W}{ns}/{repo}/user-access-report", "pages"),
    Route("resolve", "GET", "/{W}{ns}/{repo}/resolve/{revision}/{path}", "resolvers"),
    Route("resolve", "HEAD", "/{W}{ns}/{repo}/resolve/{revision}/{path}", "resolvers"),
    Route("raw", "GET", "/{W}{ns}/{repo}/raw/{revision}/{path}", "resolvers"),
)

_BY_NAME: dict[str, Route] = {route.name: route for route in reversed(ROUTES)}
_HOLES = {"T": "(?P<T>models|datasets)", "W": "(?P<W>datasets/)?", "path": "(?P<path>.+)"}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the local Hub recognised: the route and the parts of the path, decoded."""

    route: Route
    parts: Mapping[str, str]

    @property
    def repo(self) -> Repo | None:
        """The repo in the path, if there is one."""
        if "ns" not in self.parts:
            return None
        is_dataset = self.parts.get("T") == "datasets" or bool(self.parts.get("W"))
        return Repo(RepoType.DATASET if is_dataset else RepoType.MODEL, self.parts["ns"], self.parts["repo"])


@cache
def _pattern(route: Route) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", lambda m: _HOLES.get(m[1], f"(?P<{m[1]}>[^/]+)"), route.template))


def recognise(method: str, path: str) -> Call | None:
    """The route of a call by method and undecoded path without its query; None for what the Hub does not have."""
    for route in ROUTES:
        if route.method == method and (match := _pattern(route).fullmatch(path)):
            if match.groupdict().get("ns") in {"api", "datasets", "spaces"}:
                continue
            return Call(route, {name: unquote(text) for name, text in match.groupdict().items() if text})
    return None


def list_page(
    repo: Repo, status: str, *, limit: int = PAGE_LIMIT, before: str | None = None, q: str | None = None
) -> Send:
    """One page of a list. Every page after the first comes from the Link header, verbatim."""
    query = {"limit": str(limit)} | ({"before": before} if before else {}) | ({"q": q} if q else {})
    return _send("list", repo, query=query, lane=Lane.READ, status=status)


def handle(repo: Repo, who: Mapping[str, str], status: str, reason: str | None) -> Send:
    """One decision about one person: `who` is exactly one of user, userId, requestId."""
    return _send("handle", repo, body={**who, "status": status, **_reason(status, reason)}, lane=Lane.WRITE)


def batch(repo: Repo, people: Sequence[Mapping[str, str]], status: str, reason: str | None) -> Send:
    """One decision about 1 to 100 people, each `{user}` or `{userId}`."""
    body = {"status": status, **_reason(status, reason), "requests": [dict(who) for who in people]}
    return _send("batch", repo, body=body, lane=Lane.BULK_WRITE)


def grant(repo: Repo, who: Mapping[str, str]) -> Send:
    """Access without a request."""
    return _send("grant", repo, body=dict(who), lane=Lane.WRITE)


def withdraw(repo: Repo) -> Send:
    """The requester takes a pending request back."""
    return _send("cancel", repo, lane=Lane.WRITE)


def ask(repo: Repo, answers: Mapping[str, str]) -> Send:
    """The requester asks; answers by label."""
    return _send("ask", repo, body=dict(answers), lane=Lane.WRITE)


def settings(repo: Repo, values: Mapping[str, Any]) -> Send:
    """Change gate settings."""
    return _send("settings", repo, body=dict(values), lane=Lane.WRITE)


def report(repo: Repo, *, cap: int = 1024 * MIB) -> Send:
    """The whole report: one JSON array of at most `cap` bytes."""
    return _send("report", repo, cap=cap)


def info(repo: Repo) -> Send:
    """The gate mode of a repo, read without opening it."""
    return _send("info", repo, query=[("expand[]", "gated"), ("expand[]", "cardData")])


def card(repo: Repo) -> Send:
    """The card's text; the gate never hides README.md."""
    return _send("resolve", repo, revision="main", path="README.md", accept="*/*", cap=8 * MIB)


def auth_check(repo: Repo) -> Send:
    """May this token read the files?"""
    return _send("auth-check", repo, accept="*/*")


def gated_repos(repo_type: RepoType, owner: str) -> Send:
    """The first page of an owner's gated repos of one type."""
    query = [("author", owner), ("gated", "true"), ("limit", "1000"), ("expand[]", "gated")]
    return _send("repos", None, query=query, T=f"{repo_type.value}s")


def overview(user: str) -> Send:
    """A public profile."""
    return _send("overview", None, user=user)


def whoami() -> Send:
    """Whose token this is. Heavily limited by the Hub: ask once."""
    return _send("whoami", None)


def follow(first: Send, path: str) -> Send:
    """The call of a next page: the same in all but its path, and bulk from now on."""
    lane = Lane.BULK_READ if first.lane is Lane.READ else first.lane
    return Send(first.route, first.method, path, None, lane, first.bucket, first.changes, first.cap, first.accept)


def _reason(status: str, reason: str | None) -> dict[str, str]:
    if reason is None:
        return {}
    return {"resetReason" if status == "reset" else "rejectionReason": reason}


def _send(
    name: str,
    repo: Repo | None,
    *,
    query: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    body: Any = None,
    lane: Lane = Lane.READ,
    cap: int = 32 * MIB,
    accept: str = "application/json",
    **parts: str,
) -> Send:
    route = _BY_NAME[name]
    if repo is not None:
        web = "" if repo.type is RepoType.MODEL else "datasets/"
        parts |= {"T": f"{repo.type.value}s", "ns": repo.namespace, "repo": repo.name}
        path = route.template.replace("{W}", web)
    else:
        path = route.template
    path = re.sub(r"\{(\w+)\}", lambda m: quote(parts[m[1]], safe="/" if m[1] == "path" else ""), path)
    pairs = urlencode(query if isinstance(query, Mapping) else list(query))
    data = None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    path = f"{path}?{pairs}" if pairs else path
    return Send(name, route.method, path, data, lane, route.bucket, route.changes, cap, accept)
