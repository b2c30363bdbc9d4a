"""Bytes of the Hub to values: tolerant of what is missing or new, never silent about what it cannot read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ..domain.accounts import Account, Profile, TokenRights, TokenScope
from ..domain.ids import Person, Repo
from ..domain.lifecycle import Status
from ..domain.requests import AccessRequest

_STATUS = {status.value: status for status in Status}
_SURROGATE = re.compile("[\ud800-\udfff]")


class Unreadable(ValueError):
    """A body that is not the JSON it should be."""


class _User(msgspec.Struct, frozen=True, gc=False):
    id: str | None = msgspec.field(name="_id", default=None)
    user: str | None = None
    fullname: str | None = None
    email: str | None = None


class _Item(msgspec.Struct, frozen=True, gc=False):
    status: str
    timestamp: datetime
    requestId: str | None = None  # noqa: N815 - the Hub's spelling
    user: _User | None = None
    grantedBy: _User | None = None  # noqa: N815
    reviewedAt: datetime | None = None  # noqa: N815
    fields: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that could not be read, kept with the reason; the rest of its page went on."""

    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class Page:
    """The records of one page in the Hub's order, and those that could not be read."""

    rows: tuple[AccessRequest, ...]
    quarantined: tuple[Quarantined, ...] = ()

    @property
    def size(self) -> int:
        """How many records the page held on the wire."""
        return len(self.rows) + len(self.quarantined)


RECORD_LIMIT = 100_000  # a page was asked for with 1,000; millions of tiny records would fill the memory
_split_records = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_item = msgspec.json.Decoder(_Item).decode


def read_page(body: bytes, repo: Repo, at: float) -> Page:
    """One page of a list. A page that is no JSON array raises `Unreadable`; a bad record is quarantined."""
    try:
        records: Sequence[bytes | msgspec.Raw] = _split_records(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        records = [_dump(record) for record in _array(loads(body))]
    if len(records) > RECORD_LIMIT:
        raise Unreadable(f"a page of {len(records):,} records, of which {RECORD_LIMIT:,} are read at most")
    rows: list[AccessRequest] = []
    bad: list[Quarantined] = []
    for record in records:
        try:
            rows.append(_read_record(bytes(record), repo, at))
        except (ValueError, TypeError, RecursionError, OverflowError) as problem:
            bad.append(Quarantined(str(problem) or "unreadable", bytes(record)[:2000].decode("utf-8", "replace")))
    return Page(tuple(rows), tuple(bad))


def _read_record(record: bytes, repo: Repo, at: float) -> AccessRequest:
    try:
        item = _read_item(record)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _tolerant(record, repo, at)
    return _request(item, record, repo, at)


def loads(body: bytes) -> Any:
    """JSON of any shape; half characters become U+FFFD; anything else that is wrong raises `Unreadable`."""
    try:
        return _mend(json.loads(body, parse_int=_whole))
    except (ValueError, RecursionError, UnicodeDecodeError) as problem:
        raise Unreadable(f"no JSON: {problem}") from None


def _whole(digits: str) -> int | None:
    """A whole number, or None where the digits are no number that anybody counts with."""
    return int(digits) if len(digits) < 100 else None


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(item) for key, item in value.items()}
    return value


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Unreadable(f"a list of requests was expected, not {type(value).__name__}")
    return value


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _person(user: _User | None) -> Person:
    return Person() if user is None else Person(user.id, user.user, user.fullname)


def _request(item: _Item, record: bytes, repo: Repo, at: float) -> AccessRequest:
    granted = item.grantedBy
    request = AccessRequest(
        repo=repo,
        status=_STATUS.get(item.status, item.status),
        asked_at=_utc(item.timestamp),
        person=_person(item.user),
        request_id=item.requestId,
        email=item.user.email if item.user else None,
        reviewed_at=_utc(item.reviewedAt) if item.reviewedAt else None,
        granted_by=_person(granted) if granted and (granted.id or granted.user) else None,
        answers=item.fields or {},
        has_form=item.fields is not None,
        raw_json=record,
        read_at=at,
    )
    if not request.key:
        raise ValueError("neither a request id, nor an account id, nor a username")
    return request


def _tolerant(record: bytes, repo: Repo, at: float) -> AccessRequest:
    """A record whose optional parts have odd shapes; only what a request cannot be without is insisted on."""
    value = loads(record)
    if not isinstance(value, dict):
        raise ValueError(f"a record is an object, not {type(value).__name__}")
    status, time = value.get("status"), value.get("timestamp")
    if not isinstance(status, str):
        raise ValueError("no status")
    if not isinstance(time, str):
        raise ValueError("no timestamp")
    fields = value.get("fields")
    item = _Item(
        status=status,
        timestamp=datetime.fromisoformat(time),
        requestId=_text(value.get("requestId")),
        user=_user(value.get("user")),
        grantedBy=_user(value.get("grantedBy")),
        reviewedAt=_time(value.get("reviewedAt")),
        fields=answers_of(fields) if isinstance(fields, dict) else None,
    )
    return _request(item, _dump(value), repo, at)


def answers_of(fields: Mapping[str, Any]) -> dict[str, str]:
    """Answers as text, whatever JSON they came as: a checkbox `true` is "true", null an empty answer."""
    return {
        label: value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
        for label, value in fields.items()
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _user(value: Any) -> _User | None:
    if not isinstance(value, dict):
        return None
    return _User(*(_text(value.get(key)) for key in ("_id", "user", "fullname", "email")))


def _time(value: Any) -> datetime | None:
    try:
        return _utc(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def iso(time: datetime) -> str:
    """A time as the Hub writes it: milliseconds and Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_LINK = re.compile(r'<([^<>]*)>\s*((?:;[^,<"]*(?:"[^"]*")?[^,<"]*)*)')
_REL_NEXT = re.compile(r'rel\s*=\s*(?:"[^"]*\bnext\b[^"]*"|next\b)', re.IGNORECASE)


def next_link(headers: Mapping[str, str]) -> str | None:
    """The URL with rel="next" in a Link header, as it stands."""
    for match in _LINK.finditer(headers.get("link", "")):
        if _REL_NEXT.search(match[2]):
            return match[1]
    return None


def same_origin_path(url: str, origin: str) -> str | None:
    """Path and query of a URL on `origin`, or None when it names any other origin, or none that can be read."""
    try:
        there, here = urlsplit(url), urlsplit(origin)
        if not there.scheme and not there.netloc:
            return url if url.startswith("/") and not url.startswith("//") else None
        ports = {"http": 80, "https": 443}
        same = (there.scheme, there.hostname, there.port or ports.get(there.scheme)) == (
            here.scheme,
            here.hostname,
            here.port or ports.get(here.scheme),
        )
    except ValueError:
        return None
    if not same or there.username is not None or "\\" in url:
        return None
    return there.path + (f"?{there.query}" if there.query else "")


def read_profile(body: bytes) -> Profile:
    """A user overview."""
    value = _object(body)
    orgs = value.get("orgs")
    return Profile(
        person=Person(_text(value.get("_id")), _text(value.get("user")), _text(value.get("fullname"))),
        created_at=_time(value.get("createdAt")),
        is_pro=value.get("isPro") is True,
        orgs=tuple(o["name"] for o in orgs if isinstance(o, dict) and isinstance(o.get("name"), str))
        if isinstance(orgs, list)
        else (),
        models=_count(value.get("numModels")),
        datasets=_count(value.get("numDatasets")),
        followers=_count(value.get("numFollowers")),
        raw=value,
    )


def read_account(body: bytes) -> Account:
    """The answer of whoami-v2."""
    value = _object(body)
    name = value.get("name")
    if not isinstance(name, str):
        raise Unreadable("whoami without a name")
    orgs = value.get("orgs")
    auth = value.get("auth")
    token = auth.get("accessToken") if isinstance(auth, dict) else None
    rights = _rights(token) if isinstance(token, dict) else TokenRights()
    return Account(
        name,
        _text(value.get("id")),
        tuple(o["name"] for o in orgs if isinstance(o, dict) and isinstance(o.get("name"), str))
        if isinstance(orgs, list)
        else (),
        rights.role,
        value,
        rights,
    )


def _rights(token: Mapping[str, Any]) -> TokenRights:
    """A part that is no scope makes the rest no less true: it is one at an entity that is not told."""
    fine = token.get("fineGrained")
    scoped = fine.get("scoped") if isinstance(fine, dict) else None
    scopes = tuple(map(_scope, scoped)) if isinstance(scoped, list) else None
    return TokenRights(_text(token.get("role")), scopes)


def _scope(value: Any) -> TokenScope:
    entity = value.get("entity") if isinstance(value, dict) else None
    entity = entity if isinstance(entity, dict) else {}
    permissions = value.get("permissions") if isinstance(value, dict) else None
    words = permissions if isinstance(permissions, list) else []
    return TokenScope(
        _text(entity.get("type")) or "part of the Hub",
        _text(entity.get("name")),
        frozenset(word for word in words if isinstance(word, str)),
    )


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object, or `Unreadable`."""
    return _object(body)


def read_array(body: bytes) -> list[Any]:
    """A JSON array, or `Unreadable`."""
    return _array(loads(body))


def _object(body: bytes) -> dict[str, Any]:
    value = loads(body)
    if not isinstance(value, dict):
        raise Unreadable(f"an object was expected, not {type(value).__name__}")
    return value


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
