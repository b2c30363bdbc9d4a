"""Reads what failed from an error of another library, or from a pasted log: repo, file, status, and words of the Hub.

Errors are read by the names of their attributes, so errors of requests, httpx and httpx2 need no import of these
libraries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.errors import HfGateError
from hf_gate.hub.credentials import Secret
from hf_gate.hub.hidden_tokens import hide_tokens
from hf_gate.hub.protocol.access_refusals import RefusalCause, find_refusal, locate_words_in_log

MAX_LOG: Final = 1 << 20  # characters of a pasted log that are read, from its end
_MAX_CAUSES: Final = 12
_MAX_WORDS: Final = 20_000  # characters of the text of one error
_URL: Final = re.compile(r"(?:https?://|(?<=url: )/)[^\s\"'<>()\[\]{}`\\]+")
_REASONS: Final = (
    "Client Error|Server Error|Unauthorized|Forbidden|Not Found|Too Many|Internal|Bad Gateway|Service|Gateway"
)
_STATUS: Final = re.compile(
    r"(?i)\b(?:http|status|code|error|response|manifest)\b[^\d/]{0,24}(?<!line )(4[0-3]\d|451|5[0-2]\d)\b"
    rf"|\b(4[0-3]\d|451|5[0-2]\d) (?:{_REASONS})"
)
_NAME: Final = r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}?)"
_NAMED_BY_HUB: Final = re.compile(rf"(?i)\b(?:access(?: to)?|repo) (model|dataset) {_NAME}(?= (?:is|has)\b)")
_NAMED: Final = re.compile(
    rf"(?P<mark>['\"`]){_NAME}(?:@[\w.-]+)?(?P=mark)"
    rf"|(?<![\w./:-]){_NAME}(?= (?:is not a local folder|does not appear to have))"
)
_ABOUT_REPOS: Final = re.compile(
    r"(?i)model|dataset|pipeline|download|load|find|reach|access|is not|not found|does not|doesn.t"
)
_FILE_NAME: Final = re.compile(r"(?i)\.(?:py|json|csv|txt|ya?ml|toml|bin|pt|pth|so|safetensors|gguf|parquet|log)$")
_NO_REPOS: Final = frozenset(
    {
        "settings",
        "docs",
        "blog",
        "login",
        "join",
        "pricing",
        "collections",
        "organizations",
        "papers",
        "tasks",
        "oauth",
        "front",
        "chat",
        "learn",
        "posts",
        "new",
        "spaces",
        "inference",
        "support",
        "terms-of-service",
        "api",
        "datasets",
        "models",
        "v1",
        "v2",
        "enterprise",
        "namespace",
        "buckets",
        "kernels",
        "jobs",
        "application",
        "text",
        "image",
        "audio",
        "video",
    }
)
_GATED: Final = re.compile(r"(?i)GatedRepo|access (?:a )?gated repo|is a gated dataset")
_FILE_ROUTES: Final = ("resolve", "raw", "blob")
_ROUTES: Final = frozenset({*_FILE_ROUTES, "tree", "auth-check", "revision", "refs", "commits", "paths-info"})
_HUB_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com", "huggingface.com"})
_STORAGE_HOST: Final = re.compile(
    r"(?i)(^|\.)(xethub\.hf\.co|cdn-lfs[\w-]*\.(hf|huggingface)\.co|cloudfront\.net|amazonaws\.com)(:\d+)?$"
)
_DECORATION: Final = re.compile(
    r"(?m)\x1b\[[0-9;]*[A-Za-z]|[\u2500-\u257f]|\\n|^ *(?:>|\([^()\n]{1,40} pid=\d+\))"
)  # colours, frames, quotes


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
        """The cause that an answer or the Hub's words in a log show; None if they show none."""
        told = locate_words_in_log(self.words)[0]
        refusal = None if self.status is None else find_refusal(self.status, self.code, self.words)
        known = None if refusal is None else refusal.cause
        if self.status == 403 and not self.is_log:  # in an answer, words count only with their code
            return known
        return told or known

    @property
    def is_from_storage(self) -> bool:
        """Whether a host that stores files refused, not the Hub."""
        return self.host is not None and _STORAGE_HOST.search(self.host) is not None

    def has_words(self, *texts: str) -> bool:
        """Return whether the text contains one of these, without regard to case."""
        return any(text in self.words.lower() for text in texts)


# ---- errors in this process ------------------------------------------------------------------------------------------


def read_error(error: BaseException) -> Failure:
    """Return what an error and its causes say. The outermost answer of a server decides: those within may have been
    handled.
    """
    chain = list(_follow_causes(error))
    answered = [(step, response) for step in chain if (response := _get(step, "response")) is not None]
    words = "\n".join(dict.fromkeys(f"{type(step).__name__}: {_show(step)}" for step in chain))[:_MAX_WORDS]
    if not answered:
        return _read_words(words, is_log=False)
    step, response = answered[0]
    headers = _headers_of(response) or {}
    status = _get(response, "status_code") or _get(response, "status")
    request = _get(response, "request") or _get(step, "request")
    url = _show(_get(request, "url") or _get(response, "url") or "")
    sent = _headers_of(request)
    place = parse_url(url)
    secret = _read_secret((sent or {}).get("authorization", ""))
    told = headers.get("x-error-message") or _show(_get(step, "server_message") or "") or words
    return Failure(
        words=hide_tokens(told, [secret] if secret is not None else [])[:_MAX_WORDS],
        repo=place.repo if place is not None else _read_words(words, is_log=False).repo,
        file=place.file if place is not None else None,
        host=_host_of(url),
        status=status if isinstance(status, int) else None,
        code=headers.get("x-error-code"),
        sent_token="authorization" in sent if sent is not None else None,
        secret=secret,
    )


def _follow_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then its causes from the outside to the inside, each once."""
    seen = set[int]()
    step: object = error
    while isinstance(step, BaseException) and id(step) not in seen and len(seen) < _MAX_CAUSES:
        seen.add(id(step))
        yield step
        step = _get(step, "__cause__") or _get(step, "__context__")


def _attempt(read: Callable[[], Any]) -> Any:
    """Return what a function returns; None if it fails. Objects of other libraries can fail where they are read."""
    try:
        return read()
    except Exception:  # noqa: BLE001 - the code of another library, such as `request` of some errors of httpx
        return None


def _get(value: object, name: str) -> Any:
    return _attempt(lambda: getattr(value, name, None))


def _show(value: object) -> str:
    return (
        _attempt(lambda: hide_tokens(str(value)[: 2 * _MAX_WORDS])[:_MAX_WORDS]) or ""
    )  # no part of a token at its end


def _headers_of(message: object) -> dict[str, str] | None:
    headers: dict[str, str] | None = _attempt(
        lambda: {str(name).lower(): str(value) for name, value in _get(message, "headers").items()}
    )
    return headers


def _read_secret(header: str) -> Secret | None:
    kind, _, token = header.partition(" ")
    is_bearer = kind.lower() == "bearer" and token.strip() != ""
    return Secret(token.strip()) if is_bearer and token.isascii() and token.isprintable() else None


# ---- pasted logs -----------------------------------------------------------------------------------------------------


class _Place(Struct, frozen=True):
    """Where a text names a repo. The highest rank counts, and of several the place that is nearest to the failure."""

    repo: Repo
    rank: int
    file: str | None = None
    host: str | None = None
    start: int = 0


_LINK, _SENTENCE, _CALL, _WORDS_OF_HUB = range(4)  # ranks of places


def read_log(text: str) -> Failure:
    """Return what a pasted log says. Only its last 1,048,576 characters are read."""
    return _read_words(text[-MAX_LOG:], is_log=True)


def _read_words(told: str, *, is_log: bool) -> Failure:
    """Return what a text says; repos and statuses are read from the whole text, `words` is without tokens."""
    text, words = (_join_lines(part, is_log=is_log) for part in (told, hide_tokens(told)))
    statuses = [(found.start(), int(found[1] or found[2])) for found in _STATUS.finditer(text)]
    urls = [(found.start(), found[0]) for found in _URL.finditer(text)]
    failed_at = locate_words_in_log(text)[1]
    if failed_at < 0:
        failed_at = statuses[-1][0] if statuses else len(text)

    def measure(place: tuple[int, Any]) -> int:
        return abs(place[0] - failed_at)

    place = max(_list_places(text, urls), key=lambda place: (place.rank, -measure((place.start, place))), default=None)
    host = _host_of(min(urls, key=measure, default=(0, ""))[1])
    return Failure(
        words=words,
        repo=place.repo if place is not None else None,
        file=place.file if place is not None else None,
        host=host if place is None or _STORAGE_HOST.search(host or "") else place.host,
        status=min(statuses, key=measure, default=(0, None))[1],
        code="GatedRepo" if _GATED.search(text) else None,
        is_log=is_log,
    )


def _join_lines(text: str, *, is_log: bool) -> str:
    return " ".join((_DECORATION.sub(" ", text) if is_log else text).split())


def _list_places(text: str, urls: list[tuple[int, str]]) -> Iterator[_Place]:
    for start, url in urls:
        if (place := parse_url(url)) is not None:
            yield replace(place, start=start)
    for found in _NAMED_BY_HUB.finditer(text):
        yield from _make_place(found[2], found[1], _WORDS_OF_HUB, start=found.start())
    for found in _NAMED.finditer(text):
        around = text[max(0, found.start() - 60) : found.end() + 30]
        name = found[2] or found[3]
        if _ABOUT_REPOS.search(around) and not _FILE_NAME.search(name):
            is_dataset = "dataset" in around.casefold() or "Couldn't reach" in around
            yield from _make_place(name, "dataset" if is_dataset else "model", _SENTENCE, start=found.start())


def _make_place(name: str, kind: str, rank: int, **fields: Any) -> Iterator[_Place]:
    try:
        repo = parse_repo(name, kind.lower(), endpoint=None)
    except HfGateError:
        return
    if repo.namespace not in _NO_REPOS and repo.name not in _ROUTES:
        yield _Place(repo, rank, **fields)


def parse_url(url: str) -> _Place | None:
    """Return the repo and the file of the address of a call, or of a page of the Hub; None for other addresses."""
    try:
        parts = urlsplit(url.rstrip(".,;:!"))
    except ValueError:
        return None
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    host = _host_of(url)
    start, rank = _find_name(segments, host or "")
    kind = "dataset" if start and segments[start - 1] == "datasets" else "model"
    rest = segments[start + 2 :]
    if rank == _LINK and rest and rest[0] not in (*_FILE_ROUTES, "tree", "info", "manifests"):
        return None
    file = "/".join(rest[2:]) if rest[:1] and rest[0] in _FILE_ROUTES else None
    return next(_make_place("/".join(segments[start : start + 2]), kind, rank, file=file or None, host=host), None)


def _find_name(segments: list[str], host: str) -> tuple[int, int]:
    """Return the place of the name of a repo in the path of an address, and its rank. Mirrors have a path before it."""
    if "resolve" in segments[2:]:
        return segments.index("resolve", 2) - 2, _CALL
    call = segments.index("api") if "api" in segments else len(segments)
    for start, word in enumerate(segments):
        if word in ("models", "datasets") and (start > call or host.endswith(".huggingface.co")):
            return start + 1, _CALL
    if host not in _HUB_HOSTS:
        return len(segments), _LINK
    return int(segments[:1] in (["v2"], ["datasets"])), _LINK


def _host_of(url: str) -> str | None:
    """Return the host of an address, with its port if it has one."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower() or None
    except ValueError:
        return None
