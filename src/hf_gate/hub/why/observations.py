"""Asks the Hub what decides access: at most five calls for a repo, up to three more for the repos that it loads."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from hf_gate import __version__
from hf_gate.base.ids import Repo, RepoType, parse_repo
from hf_gate.base.network_hosts import PUBLIC_HUB
from hf_gate.core.people.accounts import Account
from hf_gate.errors import HfGateError, UsageError
from hf_gate.hub.credentials import Secret, check_channel
from hf_gate.hub.drivers.budget import budget_for
from hf_gate.hub.drivers.clock import clock_for
from hf_gate.hub.drivers.deadlines import StopSignal
from hf_gate.hub.drivers.driver import Driver
from hf_gate.hub.drivers.transport import BlockingTransport, HubConnection, build_user_agent
from hf_gate.hub.protocol import endpoints
from hf_gate.hub.protocol.access_refusals import is_answer_of_hub
from hf_gate.hub.protocol.codec import UnreadableBody, read_object, read_whoami, same_origin_path
from hf_gate.hub.protocol.flows.calls import REDIRECTS
from hf_gate.hub.protocol.messages import Answer, FailureReason, HubCall, NoReply, Reply
from hf_gate.hub.protocol.replies import is_ok

from .token_search import TokenSearch

CALL_S: Final = 10.0  # the most seconds of one call
ALL_CALLS_S: Final = 20.0  # the most seconds of all calls of one question
MAX_RELATED: Final = 3  # repos that a repo loads
MAX_SAVED: Final = 4  # saved tokens that --all-tokens tries
_OPEN_FILE: Final = re.compile(r"(?i)(readme\.md|license.*|\.gitattributes)")  # files that show nothing about access
_CONFIG_FILES: Final = ("adapter_config.json", "config.yaml")  # files that name the repos which a repo loads
_REPO_IN_CONFIG: Final = re.compile(
    r"(?:base_model_name_or_path|segmentation|embedding|plda)[\"']?\s*:\s*[\"']?"
    r"([\w.-]{1,96}/[\w.-]{1,96})(?:@[\w.-]+)?[\"']?(?=[\s,}]|$)"
)


class RepoSummary(Struct, frozen=True):
    """What the Hub tells about a repo, whether or not it is open to the account."""

    gated: Any = False
    is_disabled: bool = False
    is_private: bool = False
    files: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()


class Observations(Struct):
    """The Hub's answers. An answer is None if the call was not needed."""

    endpoint: str
    repo: Repo | None = None
    moved_from: Repo | None = None
    file: str | None = None
    revision: str = "main"
    whoami: Answer | None = None
    account: Account | None = None
    info: Answer | None = None
    summary: RepoSummary | None = None
    other_type: Repo | None = None
    is_public_without_token: bool | None = None
    auth_check: Answer | None = None
    head: Answer | None = None
    accepted_source: str | None = None  # a later source whose token the Hub accepts, if it refused the first
    accepted_account: str | None = None
    related: list[tuple[Repo, Answer]] = []
    opening_tokens: list[str] = []  # names of saved tokens that open the repo
    calls: int = 0

    @property
    def host(self) -> str:
        """The host of the Hub, with the port of a local one."""
        return urlsplit(self.endpoint).netloc

    @property
    def is_public_hub(self) -> bool:
        """Whether other tokens than the one in use may be sent there. Anybody may listen on a port of this machine."""
        return self.endpoint == PUBLIC_HUB


class HubCaller:
    """Sends single calls, each once, with a limit of calls and seconds. It sends none before `allow_calls`."""

    def __init__(self, endpoint: str, *, insecure_http: bool = False) -> None:
        self.endpoint = endpoint
        self.calls = 0
        self._clock = clock_for(endpoint)
        self._max_calls = 0
        self._insecure_http = insecure_http
        self._drivers: dict[str, Driver] = {}
        self._ends_at = time.monotonic() + ALL_CALLS_S

    def ask(self, call: HubCall, secret: Secret | None) -> Answer:
        """Return the answer to one call; an answer without a reply if it cannot be sent."""
        left = self._ends_at - time.monotonic()
        if left <= 0 or self.calls >= self._max_calls:
            detail = "the limit of calls or seconds of this question is used up"
            return NoReply(FailureReason.NOT_SENT, False, detail, self._clock.now())
        try:
            driver = self._driver(secret)
        except (UsageError, OSError) as problem:
            return NoReply(FailureReason.CONNECT, False, f"the proxy or the certificates: {problem}", self._clock.now())
        self.calls += 1
        driver.max_wait = min(CALL_S, left)
        return driver.exchange(call, StopSignal())

    def check_channel(self, secret: Secret | None) -> None:
        """Raise InsecureEndpoint if a token would be sent unencrypted to another machine."""
        check_channel(self.endpoint, secret, insecure_http=self._insecure_http)

    def allow_calls(self, count: int) -> None:
        """Allow so many further calls, with the full time."""
        self._max_calls = self.calls + count
        self._ends_at = time.monotonic() + ALL_CALLS_S

    def close(self) -> None:
        """Close all connections."""
        for driver in self._drivers.values():
            driver.close()

    def _driver(self, secret: Secret | None) -> Driver:
        key = secret.fingerprint if secret is not None else ""
        if key not in self._drivers:
            self.check_channel(secret)
            connection = HubConnection(self.endpoint, self._clock, CALL_S, secret, build_user_agent(__version__))
            transport = BlockingTransport(connection, time.monotonic)
            budget = budget_for(self.endpoint, key, 0.0)
            self._drivers[key] = Driver(transport, budget, self._clock, CALL_S)
        return self._drivers[key]


def observe(caller: HubCaller, search: TokenSearch, seen: Observations) -> None:
    """Make the calls that decide, and store their answers. They end as soon as an answer decides."""
    secret = search.active.secret if search.active is not None else None
    if (secret is None or _observe_account(caller, search, secret, seen)) and seen.repo is not None:
        _observe_access(caller, secret, seen)
    seen.calls = caller.calls


def _observe_access(caller: HubCaller, secret: Secret | None, seen: Observations) -> None:
    if not _observe_repo(caller, secret, seen):
        return
    assert seen.repo is not None
    assert seen.summary is not None
    seen.auth_check = caller.ask(endpoints.build_auth_check_call(seen.repo), secret)
    if not is_access_confirmed(seen.auth_check):
        return
    name = seen.file or _pick_file(seen.summary.files)
    seen.head = caller.ask(endpoints.build_file_call(seen.repo, name, seen.revision), secret)
    if is_file_answer(seen.head):
        _observe_related(caller, secret, seen)


def is_access_confirmed(answer: Answer | None) -> bool:
    """Return whether an answer to auth-check says that the account has access. Other pages may answer 200 too."""
    return answer is not None and is_ok(answer) and answer.body.strip() == b"OK"


def is_file_answer(answer: Answer | None) -> bool:
    """Return whether the Hub would send a file, or redirects to its storage. Mirrors remove the Hub's headers."""
    return (
        isinstance(answer, Reply)
        and 200 <= answer.status < 400
        and (is_answer_of_hub(answer) or "html" not in answer.headers.get("content-type", ""))
    )


def is_reached(answer: Answer | None) -> bool:
    """Return whether this is an answer of a Hub, or of a mirror that passes its JSON on."""
    return isinstance(answer, Reply) and (is_answer_of_hub(answer) or _read_object(answer) is not None)


def _observe_account(caller: HubCaller, search: TokenSearch, secret: Secret, seen: Observations) -> bool:
    """Ask for the token's account; return whether to go on with the repo."""
    seen.whoami = answer = caller.ask(endpoints.build_whoami_call(), secret)
    if is_ok(answer):
        try:
            seen.account = read_whoami(answer.body)
        except UnreadableBody:
            return is_answer_of_hub(answer)
    if not isinstance(answer, Reply) or answer.status >= 500 or answer.status == 429:
        return False
    if answer.status != 401:
        return is_reached(answer)
    if seen.repo is not None:
        info = caller.ask(endpoints.build_summary_call(seen.repo), None)
        seen.is_public_without_token = is_ok(info) and not _read_summary(info).gated
    following = [candidate for candidate in search.candidates[1:] if candidate.secret is not None]
    if seen.is_public_hub and following and following[0].secret is not None:
        other = caller.ask(endpoints.build_whoami_call(), following[0].secret)
        if is_ok(other):
            name = (_read_object(other) or {}).get("name")
            seen.accepted_source = following[0].source
            seen.accepted_account = str(name) if name else None
    return False


def _observe_repo(caller: HubCaller, secret: Secret | None, seen: Observations) -> bool:
    """Read what the Hub tells about the repo, under its new name if it was moved; return whether to go on."""
    assert seen.repo is not None
    answer = caller.ask(endpoints.build_summary_call(seen.repo), secret)
    if (moved := _read_new_name(answer, seen)) is not None:
        seen.moved_from = seen.repo
        seen.repo = moved
        answer = caller.ask(endpoints.build_summary_call(moved), secret)
    seen.info = answer
    if is_ok(answer):
        seen.summary = _read_summary(answer) if _read_object(answer) is not None else None
        return seen.summary is not None and not seen.summary.is_disabled
    if isinstance(answer, Reply) and answer.status in (401, 404) and is_reached(answer):
        other = Repo(RepoType.DATASET if seen.repo.type is RepoType.MODEL else RepoType.MODEL, *seen.repo.id.split("/"))
        if is_ok(caller.ask(endpoints.build_info_call(other), secret)):
            seen.other_type = other
    return False


def _observe_related(caller: HubCaller, secret: Secret | None, seen: Observations) -> None:
    """Ask for access to the repos that the card or a readable configuration of this repo names."""
    assert seen.repo is not None
    assert seen.summary is not None
    names = list[str]()
    for config in [name for name in _CONFIG_FILES if name in seen.summary.files][:1]:
        names += seen.summary.base_models  # a repo without such a file only says from which one it was made
        call = endpoints.build_file_call(seen.repo, config, method="GET")
        answer = caller.ask(call, secret)
        if (path := _read_redirect(answer, seen)) is not None:  # the Hub has small files at another address
            answer = caller.ask(replace(call, path=path), secret)
        if is_ok(answer):
            names += _REPO_IN_CONFIG.findall(answer.body[:100_000].decode("utf-8", "replace"))
    for other in _parse_repos(names, seen.repo)[:MAX_RELATED]:
        seen.related.append((other, caller.ask(endpoints.build_auth_check_call(other), secret)))


def try_saved_tokens(caller: HubCaller, search: TokenSearch, seen: Observations) -> None:
    """Find the saved tokens that open the repo. They are sent only to the public Hub."""
    assert seen.repo is not None
    others = [one for one in search.saved if one is not search.active_login]
    if not seen.is_public_hub:
        return
    caller.allow_calls(MAX_SAVED)
    for saved in others[:MAX_SAVED]:
        if is_access_confirmed(caller.ask(endpoints.build_auth_check_call(seen.repo), saved.secret)):
            seen.opening_tokens.append(saved.name)
    seen.calls = caller.calls


def _pick_file(files: Sequence[str]) -> str:
    """Return a file that the gate hides."""
    hidden = [name for name in files if not _OPEN_FILE.fullmatch(name)]
    return "config.json" if "config.json" in hidden else next(iter(hidden), ".gitattributes")


def _read_redirect(answer: Answer, seen: Observations) -> str | None:
    """Return the path to which the Hub redirects; None for another host, which gets no token."""
    if not isinstance(answer, Reply) or answer.status not in REDIRECTS:
        return None
    return same_origin_path(answer.headers.get("location", ""), seen.endpoint)


def _read_new_name(answer: Answer, seen: Observations) -> Repo | None:
    path = _read_redirect(answer, seen)
    try:
        return None if path is None else parse_repo(f"{seen.endpoint}{path.partition('?')[0]}", endpoint=seen.endpoint)
    except HfGateError:
        return None


def _read_object(answer: Reply) -> dict[str, Any] | None:
    try:
        return read_object(answer.body)
    except UnreadableBody:
        return None


def _read_summary(answer: Reply) -> RepoSummary:
    value: Mapping[str, Any] = _read_object(answer) or {}
    card = value.get("cardData")
    base = card.get("base_model") if isinstance(card, Mapping) else None
    siblings = value.get("siblings")
    rows = siblings[:10_000] if isinstance(siblings, list) else []
    files = (row.get("rfilename") for row in rows if isinstance(row, Mapping))
    return RepoSummary(
        gated=value.get("gated", False),
        is_disabled=value.get("disabled") is True,
        is_private=value.get("private") is True,
        files=tuple(name for name in files if isinstance(name, str)),
        base_models=tuple(name for name in (base if isinstance(base, list) else [base]) if isinstance(name, str)),
    )


def _parse_repos(names: Sequence[str], own: Repo) -> list[Repo]:
    repos = list[Repo]()
    for name in names[:20]:
        try:
            repo = parse_repo(name)
        except HfGateError:
            continue
        if repo not in (own, *repos):
            repos.append(repo)
    return repos
