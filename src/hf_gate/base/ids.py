"""Parses, prints and orders the names of repos and people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from hf_gate.errors import InvalidRepo, SpaceNotSupported, UsageError

from .batches import group_pairs
from .network_hosts import PUBLIC_HUB, is_url_of_hub


class RepoType(StrEnum):
    """The two kinds of repo that have access requests."""

    MODEL = "model"
    DATASET = "dataset"


FOREIGN_URL_HINT: Final = "Write ns/name or datasets/ns/name, or set HF_ENDPOINT to that host."
_SEGMENT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?\Z")
_TYPE_WORDS = {
    "model": RepoType.MODEL,
    "models": RepoType.MODEL,
    "dataset": RepoType.DATASET,
    "datasets": RepoType.DATASET,
}
_SPACE_WORDS = frozenset({"space", "spaces"})
_ID = re.compile(r"[0-9a-fA-F]{24}\Z")


@dataclass(frozen=True, slots=True, order=True)
class Repo:
    """One model or dataset on the Hub; ordered by type, then by name."""

    type: RepoType
    namespace: str
    name: str

    @property
    def id(self) -> str:
        """`ns/name`, as the Hub and the JSON output write it."""
        return f"{self.namespace}/{self.name}"

    @property
    def web_path(self) -> str:
        """The path of the repo's page, without a leading slash: `ns/name`, or `datasets/ns/name`."""
        return self.id if self.type is RepoType.MODEL else f"datasets/{self.id}"

    def __str__(self) -> str:
        return self.web_path


def parse_repo_type(text: str) -> RepoType:
    """Parse `model(s)` or `dataset(s)`. Raises SpaceNotSupported for a Space."""
    word = text.strip().lower()
    if word in _SPACE_WORDS:
        raise SpaceNotSupported("Spaces have no access requests on the Hub: they cannot be listed or decided.")
    if word not in _TYPE_WORDS:
        raise UsageError(f"unknown repo type {text!r}.", hint="Write model or dataset.")
    return _TYPE_WORDS[word]


def parse_repo(text: str | Repo, repo_type: str | RepoType | None = None, *, endpoint: str | None = PUBLIC_HUB) -> Repo:
    """Parse a repo: `ns/name` (a model), `datasets/ns/name`, `dataset:ns/name`, `hf://...` or a URL of the Hub at
    `endpoint`.

    `repo_type` sets the type of a bare `ns/name`. If the text names a type, both must agree. A URL of another host is
    refused, because calls go to the Hub at `endpoint`; with None, the caller checks the host.
    """
    wanted = None if repo_type is None else parse_repo_type(repo_type)
    if isinstance(text, Repo):
        return _make_repo(text.type, wanted, str(text), text.namespace, text.name)
    if not isinstance(text, str):
        raise InvalidRepo(f"a repo is a text or a Repo, not {type(text).__name__}.")
    path = _path_of(text, endpoint)
    stated, parts = _split_type(path)
    if len(parts) > 2:
        parts = parts[:2] if _looks_like_url(text) else parts
    if len(parts) != 2:
        raise InvalidRepo(f"{text!r} is not a repo id: write namespace/name.")
    for part in parts:
        if not _SEGMENT.match(part) or ".." in part or "--" in part:
            raise InvalidRepo(f"{text!r} is not a repo id: {part!r} is not allowed in a name on the Hub.")
    return _make_repo(stated, wanted, text, parts[0], parts[1].removesuffix(".git"))


def _make_repo(stated: RepoType | None, wanted: RepoType | None, text: str, namespace: str, name: str) -> Repo:
    if stated is not None and wanted is not None and stated is not wanted:
        raise UsageError(
            f"{text} is a {stated.value}, but the repo type is {wanted.value}.", hint="Give only one of them."
        )
    return Repo(stated or wanted or RepoType.MODEL, namespace, name)


def _looks_like_url(text: str) -> bool:
    return "://" in text


def _path_of(text: str, endpoint: str | None) -> str:
    text = text.strip()
    if not _looks_like_url(text):
        return text.strip("/")
    try:
        url = urlsplit(text)
        is_own = endpoint is None or url.scheme == "hf" or is_url_of_hub(url, endpoint)
    except ValueError:
        raise InvalidRepo(f"{text!r} is not the URL of a repo.") from None
    if url.scheme == "hf":
        return unquote(f"{url.netloc}{url.path}").strip("/").partition("@")[0]
    if not is_own:
        raise InvalidRepo(
            f"{text!r} is a URL of another host than {urlsplit(endpoint or '').netloc}, where calls go.",
            hint=FOREIGN_URL_HINT,
        )
    return unquote(url.path).strip("/")


def _split_type(path: str) -> tuple[RepoType | None, list[str]]:
    prefix, colon, rest = path.partition(":")
    if colon and "/" not in prefix:
        return parse_repo_type(prefix), rest.strip("/").split("/")
    parts = path.split("/")
    if parts[0] == "api" and len(parts) > 2:
        parts = parts[1:]
    if len(parts) > 2 and parts[0].lower() in _TYPE_WORDS.keys() | _SPACE_WORDS:
        return parse_repo_type(parts[0]), parts[1:]
    return None, parts


@dataclass(frozen=True, slots=True)
class Person:
    """One account of the Hub. Any field may be hidden from a repo's owner. Usernames can be changed and reused."""

    id: str | None = None
    username: str | None = None
    fullname: str | None = None

    @property
    def created_at(self) -> datetime | None:
        """When the account was created: the first 8 hex digits of its id (inferred, not documented by the Hub)."""
        return id_time(self.id) if self.id else None

    def __str__(self) -> str:
        return name_person(self.username, self.id)


def name_person(username: str | None, user_id: str | None, request_id: str | None = None) -> str:
    """Return the username, or `(hidden #3fa9c1)` with the end of an id if the repo hides it.

    The account's id comes first, so that a person has the same number in all requests and on all pages.
    """
    ident = user_id or request_id
    return username or (f"(hidden #{ident[-6:]})" if ident else "(hidden)")


class HasRepo(Protocol):
    """Anything that belongs to one repo."""

    @property
    def repo(self) -> Repo: ...


_Item = TypeVar("_Item", bound=HasRepo)


def group_by_repo(items: Iterable[_Item]) -> dict[Repo, list[_Item]]:
    """Group items by repo, in the order in which the repos come first."""
    return group_pairs((item.repo, item) for item in items)


def is_id(text: str) -> bool:
    """Tell whether a text has the form of the Hub's ids: 24 hex digits."""
    return bool(_ID.match(text))


def id_time(hub_id: str) -> datetime | None:
    """Return the creation time in an id, to the second; None if the text is not an id."""
    return datetime.fromtimestamp(int(hub_id[:8], 16), UTC) if is_id(hub_id) else None
