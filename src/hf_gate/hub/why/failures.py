"""Reads what failed from an error of another library, or from a pasted log: repo, file, status, and words of the Hub.

Errors are read by the names of their attributes, so errors of requests, httpx and httpx2 need no import of these libraries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from ...domain.ids import Repo, RepoType, parse_repo
from ...errors import HfGateError
from ...protocol.access_refusals import RefusalCause, find_cause_in_log, find_refusal
from ..credentials import Secret

MAX_LOG: Final = 1 << 20  # characters of a pasted log that are read, from its end
_MAX_CAUSES: Final = 12
_MAX_WORDS: Final = 20_000  # characters of the text of one error
_URL: Final = re.compile(r"https?://[^\s\"'<>()\[\]{}`\\]+")
_REFUSED_URL: Final = re.compile(
    r"\b([45]\d\d)\b[^\n]{0,300}?\b(?:for url|url)\b\W{0,12}(https?://[^\s\"'<>()\[\]{}`\\]+)", re.IGNORECASE
)
_STATUS: Final = re.compile(
    r"(?:\b(?:HTTP|status|code|error|got|returned|answered)\b[^\n\d]{0,24}|\b)(40[0-9]|429|50[0-9])\b"
    r"(?=\s*(?:Client|Server|Unauthorized|Forbidden|Not Found|Too Many|,|\.|\)|:|$|\n))",
    re.IGNORECASE,
)
_NAME: Final = r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}?)"
_NAMED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"[Aa]ccess(?: to)? (model|dataset) {_NAME}(?= is | has )",
        rf"Repo (model|dataset) {_NAME} is gated",
        rf"([Dd]ataset) '{_NAME}(?:@[\w.-]+)?'",
        rf"(?:download|load|find|access)[^\n]{{0,80}}?(model|dataset)?[^\n]{{0,40}}?['\"`]{_NAME}(?:@[\w.-]+)?['\"`]",
        rf"(model|dataset)?['\"`]{_NAME}['\"`][^\n]{{0,40}}(?:is not|does not|pipeline|model|doesn)",
    )
)
_NO_REPOS: Final = frozenset(
    {"settings", "docs", "blog", "login", "join", "pricing", "collections", "organizations", "papers", "tasks", "oauth", "front",
     "chat", "learn", "posts", "new", "spaces", "inference", "support", "terms-of-service", "api", "user-attachments"}
)  # fmt: skip
_HUB_HOSTS: Final = ("huggingface.co", "hf.co", "hf-mirror.com", "huggingface.com")
_STORAGE: Final = re.compile(
    r"(?i)xethub\.hf\.co|cdn-lfs[\w.-]*|cas-bridge|cas-server|SignatureError|invalid key pair id|hf_xet"
)
_STORAGE_HOST: Final = re.compile(
    r"(?i)(^|\.)(xethub\.hf\.co|cdn-lfs[\w-]*\.(hf|huggingface)\.co|cloudfront\.net|amazonaws\.com)$"
)
_COLORS: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Failure(Struct, frozen=True):
    """What failed. `words` is the text of the error, or of the whole log.

    `sent_token` tells whether the request carried a token; None if this is not known, as in a log.
    """

    words: str
    repo: Repo | None = None
    file: str | None = None
    host: str | None = None
    status: int | None = None
    code: str | None = None
    sent_token: bool | None = None
    secret: Secret | None = None
    is_log: bool = False

    @property
    def cause(self) -> RefusalCause | None:
        """The cause that the Hub's words show, or else status and code; None if they show none."""
        if (cause := find_cause_in_log(self.words)) is not None or self.status is None:
            return cause
        refusal = find_refusal(self.status, self.code, self.words)
        return None if refusal is None else refusal.cause

    @property
    def is_from_storage(self) -> bool:
        """Whether a host that stores files refused, not the Hub."""
        if self.host is not None and _STORAGE_HOST.search(self.host):
            return True
        return self.is_log and self.repo is None and _STORAGE.search(self.words) is not None

    def has_words(self, *texts: str) -> bool:
        """Return whether the text contains one of these, without regard to case."""
        words = self.words.casefold()
        return any(text in words for text in texts)


# ---- errors in this process ----------------------------------------------------------------------------------------------


def read_error(error: BaseException) -> Failure:
    """Return what an error and its causes say; the innermost answer of a server decides."""
    chain = list(_follow_causes(error))
    answered = [(step, response) for step in chain if (response := getattr(step, "response", None)) is not None]
    words = "\n".join(dict.fromkeys(_text_of(step) for step in chain))[:_MAX_WORDS]
    if not answered:
        return _read_words(words, is_log=False)
    step, response = answered[-1]
    headers = _headers_of(response)
    status = getattr(response, "status_code", getattr(response, "status", None))
    request = getattr(response, "request", None) or getattr(step, "request", None)
    url = str(getattr(request, "url", "") or getattr(response, "url", ""))
    message = headers.get("x-error-message") or str(getattr(step, "server_message", "") or "") or words
    sent = _headers_of(request).get("authorization")
    repo, file = parse_url(url) or (None, None)
    named = _read_words(words, is_log=False) if repo is None else None
    return Failure(
        words=message[:_MAX_WORDS],
        repo=repo or (named.repo if named is not None else None),
        file=file,
        host=_host_of(url),
        status=status if isinstance(status, int) else None,
        code=headers.get("x-error-code"),
        sent_token=sent is not None if request is not None else None,
        secret=_read_secret(sent),
    )


def _follow_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then its causes from the outside to the inside, each once."""
    seen = set[int]()
    step: BaseException | None = error
    while step is not None and id(step) not in seen and len(seen) < _MAX_CAUSES:
        seen.add(id(step))
        yield step
        step = step.__cause__ or step.__context__


def _text_of(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:_MAX_WORDS]
    except Exception:  # noqa: BLE001 - an error of another library whose text fails
        return type(error).__name__


def _headers_of(message: Any) -> dict[str, str]:
    headers = getattr(message, "headers", None)
    if not isinstance(headers, Mapping):
        return {}
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _read_secret(header: str | None) -> Secret | None:
    kind, _, token = (header or "").partition(" ")
    return Secret(token.strip()) if kind.lower() == "bearer" and token.strip() and token.isprintable() else None


# ---- pasted logs -----------------------------------------------------------------------------------------------------------


def read_log(text: str) -> Failure:
    """Return what a pasted log says. Only its last 1,048,576 characters are read."""
    return _read_words(_COLORS.sub("", text[-MAX_LOG:]), is_log=True)


def _read_words(text: str, *, is_log: bool) -> Failure:
    refused = [(int(status), url) for status, url in _REFUSED_URL.findall(text)]
    places = [(status, url, place) for status, url in refused if (place := parse_url(url)) is not None]
    status, url = refused[-1] if refused else (None, "")
    repo: Repo | None
    if places:
        status, url, (repo, file) = places[-1]
    else:
        repo, file, other = _find_repo(text)
        url = url or other
        statuses = _STATUS.findall(text)
        status = status or (int(statuses[-1]) if statuses else None)
    is_gated = "GatedRepo" in text or "gated repo" in text.casefold()
    code = "GatedRepo" if is_gated else "RepoNotFound" if "RepositoryNotFound" in text and status == 404 else None
    words = " ".join(text.split()) if is_log else text
    return Failure(words, repo, file, _host_of(url), status, code, is_log=is_log)


def _find_repo(text: str) -> tuple[Repo | None, str | None, str]:
    """Return the repo that a text names, with its file and URL: in a URL, or in a sentence of a library."""
    for url in reversed(_URL.findall(text)):
        if (place := parse_url(url)) is not None:
            return *place, url
    for pattern in _NAMED:
        for kind, name in pattern.findall(text):
            try:
                return parse_repo(name, kind.lower() or None, endpoint=None), None, ""
            except HfGateError:
                continue
    return None, None, ""


def parse_url(url: str) -> tuple[Repo, str | None] | None:
    """Return the repo and the file of a URL of a Hub or of a mirror; None if it is not one of a repo."""
    try:
        parts = urlsplit(url.rstrip(".,;:!"))
        host = parts.hostname or ""
    except ValueError:
        return None
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    is_call = segments[:1] == ["api"] or "resolve" in segments or "raw" in segments
    segments = segments[1:] if segments[:1] == ["api"] else segments
    kind = RepoType.DATASET if segments[:1] == ["datasets"] else RepoType.MODEL
    segments = segments[1:] if segments[:1] in (["datasets"], ["models"]) else segments
    if len(segments) < 2 or segments[0] in _NO_REPOS or not (is_call or host.endswith(_HUB_HOSTS)):
        return None
    try:
        repo = parse_repo("/".join(segments[:2]), kind)
    except HfGateError:
        return None
    has_file = len(segments) > 4 and segments[2] in ("resolve", "raw", "blob")
    return repo, "/".join(segments[4:]) if has_file else None


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
