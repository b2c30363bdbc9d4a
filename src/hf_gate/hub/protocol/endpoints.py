"""Lists the Hub's endpoints: builds each call for the client, and recognises each call for the local Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from msgspec import Struct

from hf_gate.base.ids import Repo, RepoType

from .messages import MIB, HubCall, Lane

MAX_PAGE_SIZE = 1000  # also the Hub's default
MIN_PAGE_SIZE = 10
MAX_BATCH_SIZE = 100  # people in one batch


class Endpoint(NamedTuple):
    """One endpoint. In `template`, `{T}` is models or datasets, `{W}` is empty or datasets/, `{path}` is the rest."""

    name: str
    method: str
    template: str
    bucket: str = "api"
    is_change: bool = False


_REPO_PATH = "/api/{T}/{ns}/{repo}"
_ACCESS_PATH = _REPO_PATH + "/user-access-request"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("handle", "POST", _ACCESS_PATH + "/handle", is_change=True),
    Endpoint("batch", "POST", _ACCESS_PATH + "/batch", is_change=True),
    Endpoint("grant", "POST", _ACCESS_PATH + "/grant", is_change=True),
    Endpoint("cancel", "POST", _ACCESS_PATH + "/cancel", is_change=True),
    Endpoint("list", "GET", _ACCESS_PATH + "/{status}"),
    Endpoint("settings", "PUT", _REPO_PATH + "/settings", is_change=True),
    Endpoint("auth-check", "GET", _REPO_PATH + "/auth-check"),
    Endpoint("tree", "GET", _REPO_PATH + "/tree/{revision}"),
    Endpoint("tree", "GET", _REPO_PATH + "/tree/{revision}/{path}"),
    Endpoint("commit", "POST", _REPO_PATH + "/commit/{revision}", is_change=True),
    Endpoint("preupload", "POST", _REPO_PATH + "/preupload/{revision}"),
    Endpoint("info-at", "GET", _REPO_PATH + "/revision/{revision}"),
    Endpoint("info", "GET", _REPO_PATH),
    Endpoint("repos", "GET", "/api/{T}"),
    Endpoint("create-repo", "POST", "/api/repos/create", is_change=True),
    Endpoint("delete-repo", "DELETE", "/api/repos/delete", is_change=True),
    Endpoint("whoami", "GET", "/api/whoami-v2"),
    Endpoint("overview", "GET", "/api/users/{user}/overview"),
    Endpoint("members", "GET", "/api/organizations/{org}/members"),
    Endpoint("openid-configuration", "GET", "/.well-known/openid-configuration", "pages"),
    Endpoint("openid-authorize", "GET", "/oauth/authorize", "pages"),
    Endpoint("openid-token", "POST", "/oauth/token", "pages"),
    Endpoint("openid-userinfo", "GET", "/oauth/userinfo", "pages"),
    Endpoint("openid-keys", "GET", "/oauth/jwks", "pages"),
    Endpoint("ask", "POST", "/{W}{ns}/{repo}/ask-access", "pages", is_change=True),
    Endpoint("report", "GET", "/{W}{ns}/{repo}/user-access-report", "pages"),
    Endpoint("resolve", "GET", "/{W}{ns}/{repo}/resolve/{revision}/{path}", "resolvers"),
    Endpoint("resolve", "HEAD", "/{W}{ns}/{repo}/resolve/{revision}/{path}", "resolvers"),
)

_BY_NAME: dict[str, Endpoint] = {endpoint.name: endpoint for endpoint in reversed(ENDPOINTS)}
_PLACEHOLDERS = {"T": "(?P<T>models|datasets)", "W": "(?P<W>datasets/)?", "path": "(?P<path>.+)"}


class RecognizedCall(Struct, frozen=True):
    """A call to the local Hub: its endpoint and the decoded parts of its path."""

    endpoint: Endpoint
    parts: Mapping[str, str]

    @property
    def repo(self) -> Repo | None:
        """The repo in the path, if there is one."""
        if "ns" not in self.parts:
            return None
        is_dataset = self.parts.get("T") == "datasets" or bool(self.parts.get("W"))
        return Repo(RepoType.DATASET if is_dataset else RepoType.MODEL, self.parts["ns"], self.parts["repo"])


@cache
def _compile_path(endpoint: Endpoint) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", lambda m: _PLACEHOLDERS.get(m[1], f"(?P<{m[1]}>[^/]+)"), endpoint.template))


def match_call(method: str, path: str) -> RecognizedCall | None:
    """Find the endpoint for a method and an undecoded path without query; None if the Hub has no such endpoint."""
    for endpoint in ENDPOINTS:
        if endpoint.method == method and (match := _compile_path(endpoint).fullmatch(path)):
            if match.groupdict().get("ns") in {"api", "datasets", "spaces"}:
                continue
            return RecognizedCall(endpoint, {name: unquote(text) for name, text in match.groupdict().items() if text})
    return None


def build_list_call(
    repo: Repo, status: str, *, limit: int = MAX_PAGE_SIZE, before: str | None = None, q: str | None = None
) -> HubCall:
    """Build the call for one page of a list. Later pages come from the Link header instead."""
    query = {"limit": str(limit)} | ({"before": before} if before else {}) | ({"q": q} if q else {})
    return _build_call("list", repo, query=query, lane=Lane.READ, status=status)


def build_handle_call(repo: Repo, identifier: Mapping[str, str], status: str, reason: str | None) -> HubCall:
    """Build a decision about one person: `identifier` has exactly one of user, userId, requestId."""
    return _build_call(
        "handle", repo, body={**identifier, "status": status, **_build_reason(status, reason)}, lane=Lane.WRITE
    )


def build_batch_call(repo: Repo, people: Sequence[Mapping[str, str]], status: str, reason: str | None) -> HubCall:
    """Build one decision about 1 to 100 people, each given as `{user}` or `{userId}`."""
    body = {"status": status, **_build_reason(status, reason), "requests": [dict(identifier) for identifier in people]}
    return _build_call("batch", repo, body=body, lane=Lane.BULK_WRITE)


def build_grant_call(repo: Repo, identifier: Mapping[str, str]) -> HubCall:
    """Build a grant of access without a request."""
    return _build_call("grant", repo, body=dict(identifier), lane=Lane.WRITE)


def build_cancel_call(repo: Repo) -> HubCall:
    """Build the requester's withdrawal of a pending request."""
    return _build_call("cancel", repo, lane=Lane.WRITE)


def build_ask_call(repo: Repo, answers: Mapping[str, str]) -> HubCall:
    """Build a request for access with answers by label."""
    return _build_call("ask", repo, body=dict(answers), lane=Lane.WRITE)


def build_settings_call(repo: Repo, values: Mapping[str, Any]) -> HubCall:
    """Build a change of gate settings."""
    return _build_call("settings", repo, body=dict(values), lane=Lane.WRITE)


def build_report_call(repo: Repo, *, max_bytes: int = 384 * MIB) -> HubCall:
    """Build the call for the complete access report: one JSON array.

    The size limit allows a million rows of 380 bytes.
    """
    return _build_call("report", repo, max_bytes=max_bytes)


def build_info_call(repo: Repo) -> HubCall:
    """Build the call for the gate mode and card metadata of a repo."""
    return _build_call("info", repo, query=[("expand[]", "gated"), ("expand[]", "cardData")])


def build_summary_call(repo: Repo) -> HubCall:
    """Build the call for what decides the access to a repo. The Hub answers it for gated repos too."""
    keys = ("gated", "private", "disabled", "siblings", "cardData")
    return _build_call("info", repo, query=[("expand[]", key) for key in keys])


def build_file_call(repo: Repo, path: str, revision: str = "main", *, method: str = "HEAD") -> HubCall:
    """Build the call that asks whether the Hub would send a file, or with `GET` for the file."""
    call = _build_call("resolve", repo, revision=revision, path=path, accept="*/*", max_bytes=MIB)
    return replace(call, method=method)


def build_card_call(repo: Repo) -> HubCall:
    """Build the call for the text of README.md, which the gate never hides."""
    return _build_call("resolve", repo, revision="main", path="README.md", accept="*/*", max_bytes=8 * MIB)


def build_gated_file_call(repo: Repo) -> HubCall:
    """Build the call for a small file that the gate hides and that almost every repo has."""
    return _build_call("resolve", repo, revision="main", path=".gitattributes", accept="*/*")


def build_auth_check_call(repo: Repo) -> HubCall:
    """Build the call that checks whether the token can read the files."""
    return _build_call("auth-check", repo, accept="*/*")


def build_repos_call(repo_type: RepoType, owner: str) -> HubCall:
    """Build the call for the first page of an owner's gated repos of one type."""
    query = [("author", owner), ("gated", "true"), ("limit", "1000"), ("expand[]", "gated")]
    return _build_call("repos", None, query=query, T=f"{repo_type.value}s")


def build_members_call(org: str) -> HubCall:
    """Build the call for the first page of the members of an organisation."""
    return _build_call("members", None, query=[("limit", "1000")], org=org)


def build_profile_call(user: str) -> HubCall:
    """Build the call for a public profile."""
    return _build_call("overview", None, user=user)


def build_whoami_call() -> HubCall:
    """Build the call for the token's account. The Hub's rate limit for this call is strict: send it once."""
    return _build_call("whoami", None)


def build_next_call(first: HubCall, path: str) -> HubCall:
    """Build the call for a next page: like `first`, but with another path and bulk priority."""
    lane = Lane.BULK_READ if first.lane is Lane.READ else first.lane
    return replace(first, path=path, body=None, lane=lane, within=None)


def _build_reason(status: str, reason: str | None) -> dict[str, str]:
    if reason is None:
        return {}
    return {"resetReason" if status == "reset" else "rejectionReason": reason}


def _build_call(
    name: str,
    repo: Repo | None,
    *,
    query: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    body: Any = None,
    lane: Lane = Lane.READ,
    max_bytes: int = 32 * MIB,
    accept: str = "application/json",
    **parts: str,
) -> HubCall:
    endpoint = _BY_NAME[name]
    path = endpoint.template
    if repo is not None:
        parts |= {"T": f"{repo.type.value}s", "ns": repo.namespace, "repo": repo.name}
        path = path.replace("{W}", "" if repo.type is RepoType.MODEL else "datasets/")
    path = re.sub(r"\{(\w+)\}", lambda m: quote(parts[m[1]], safe="/" if m[1] == "path" else ""), path)
    pairs = urlencode(query if isinstance(query, Mapping) else list(query))
    data = None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    path = f"{path}?{pairs}" if pairs else path
    return HubCall(name, endpoint.method, path, data, lane, endpoint.bucket, endpoint.is_change, max_bytes, accept)
