"""Parses the Hub's answers. Missing and unknown parts are tolerated; unreadable records are reported, never dropped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from hf_gate.base.decoding import make_json_decoder
from hf_gate.base.display_text import SURROGATE
from hf_gate.base.ids import Person, Repo
from hf_gate.core.lifecycle import STATUS_OF
from hf_gate.core.people.accounts import Account, Profile, TokenRights, TokenScope
from hf_gate.core.requests import AccessRequest


class UnreadableBody(ValueError):
    """The body is not JSON of the expected form."""


class _RawUser(msgspec.Struct, frozen=True, gc=False):
    id: str | None = msgspec.field(name="_id", default=None)
    user: str | None = None
    fullname: str | None = None
    email: str | None = None


class _RawRequest(msgspec.Struct, frozen=True, gc=False):
    status: str
    timestamp: datetime
    requestId: str | None = None  # noqa: N815 - the Hub's spelling
    user: _RawUser | None = None
    grantedBy: _RawUser | None = None  # noqa: N815
    reviewedAt: datetime | None = None  # noqa: N815
    fields: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that could not be read, with the reason; the other records of its page are not affected."""

    reason: str
    raw: str = field(repr=False)


class RequestPage(Struct, frozen=True):
    """One page of a list: the requests in the Hub's order, and the records that could not be read."""

    rows: tuple[AccessRequest, ...]
    quarantined: tuple[Quarantined, ...] = ()

    @property
    def size(self) -> int:
        """The number of records that the Hub sent."""
        return len(self.rows) + len(self.quarantined)


MAX_RECORDS = 100_000  # a page has at most 1,000; millions of tiny records would fill the memory
MAX_RECORD_BYTES = 1 << 20  # of one record in a list; the answers of a long form are a few thousand bytes
MAX_ANSWERS = 200  # of one request
_split_records = make_json_decoder(list[msgspec.Raw]).decode
_decode_record = make_json_decoder(_RawRequest).decode


def read_request_page(body: bytes, repo: Repo, at: float, max_record: int | None = None) -> RequestPage:
    """Parse one page of a list. A body that is not a JSON array raises `UnreadableBody`; a bad record is quarantined.

    So is a record of more than `max_record` bytes: one person must not delay the requests of all others.
    """
    try:
        records: Sequence[bytes | msgspec.Raw] = _split_records(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        records = [_encode_json(record) for record in _expect_array(load_json(body))]
    if len(records) > MAX_RECORDS:
        raise UnreadableBody(f"the page has {len(records):,} records; the limit is {MAX_RECORDS:,}")
    rows: list[AccessRequest] = []
    bad: list[Quarantined] = []
    for record in records:
        content = bytes(record)
        if max_record is not None and len(content) > max_record:
            bad.append(_set_aside(content, f"larger than {max_record >> 20} MiB: decide it on the Hub's page"))
            continue
        try:
            rows.append(_read_record(content, repo, at))
        except (ValueError, TypeError, RecursionError, OverflowError) as problem:
            bad.append(_set_aside(content, str(problem) or "unreadable"))
    return RequestPage(tuple(rows), tuple(bad))


def _set_aside(record: bytes, reason: str) -> Quarantined:
    return Quarantined(reason, record[:2000].decode("utf-8", "replace"))


def _read_record(record: bytes, repo: Repo, at: float) -> AccessRequest:
    try:
        item = _decode_record(record)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _read_lenient(record, repo, at)
    return _build_request(item, record, repo, at)


def load_json(body: bytes) -> Any:
    """Parse JSON of any shape. Lone surrogates become U+FFFD; invalid JSON raises `UnreadableBody`."""
    try:
        return _replace_surrogates(json.loads(body, parse_int=_parse_int))
    except (ValueError, RecursionError, UnicodeDecodeError) as problem:
        raise UnreadableBody(f"not JSON: {problem}") from None


def _parse_int(digits: str) -> int | None:
    """Parse an integer; None for one that is too long, because parsing it would be slow."""
    return int(digits) if len(digits) < 100 else None


def _replace_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_replace_surrogates(key): _replace_surrogates(item) for key, item in value.items()}
    return value


def _encode_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _expect_array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableBody(f"expected an array, not {type(value).__name__}")
    return value


def _to_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _build_person(user: _RawUser | None) -> Person:
    return Person() if user is None else Person(user.id, user.user, user.fullname)


def _build_request(item: _RawRequest, record: bytes, repo: Repo, at: float) -> AccessRequest:
    granted = item.grantedBy
    request = AccessRequest(
        repo=repo,
        status=STATUS_OF.get(item.status, item.status),
        asked_at=_to_utc(item.timestamp),
        person=_build_person(item.user),
        request_id=item.requestId,
        email=item.user.email if item.user else None,
        reviewed_at=_to_utc(item.reviewedAt) if item.reviewedAt else None,
        granted_by=_build_person(granted) if granted and (granted.id or granted.user) else None,
        answers=_limit_answers(item.fields or {}),
        has_form=item.fields is not None,
        raw_json=record,
        read_at=at,
    )
    if not request.key:
        raise ValueError("no request id, account id or username")
    return request


def _limit_answers(answers: dict[str, str]) -> dict[str, str]:
    """Return the first 200 answers. A policy that reads another one fails, so it accepts nobody."""
    return answers if len(answers) <= MAX_ANSWERS else dict(islice(answers.items(), MAX_ANSWERS))


def _read_lenient(record: bytes, repo: Repo, at: float) -> AccessRequest:
    """Parse a record whose optional parts have unexpected types; only status, time and identity are required."""
    value = load_json(record)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, not {type(value).__name__}")
    status = value.get("status")
    time = value.get("timestamp")
    if not isinstance(status, str):
        raise ValueError("no status")
    if not isinstance(time, str):
        raise ValueError("no timestamp")
    fields = value.get("fields")
    item = _RawRequest(
        status=status,
        timestamp=datetime.fromisoformat(time),
        requestId=_as_text(value.get("requestId")),
        user=_read_user(value.get("user")),
        grantedBy=_read_user(value.get("grantedBy")),
        reviewedAt=_parse_time(value.get("reviewedAt")),
        fields=normalize_answers(fields) if isinstance(fields, dict) else None,
    )
    return _build_request(item, _encode_json(value), repo, at)


def normalize_answers(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the answers as text: `true` of a checkbox becomes "true", and null becomes an empty answer."""
    return {
        label: value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
        for label, value in fields.items()
    }


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_user(value: Any) -> _RawUser | None:
    if not isinstance(value, dict):
        return None
    return _RawUser(*(_as_text(value.get(key)) for key in ("_id", "user", "fullname", "email")))


def _parse_time(value: Any) -> datetime | None:
    try:
        return _to_utc(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def format_hub_time(time: datetime) -> str:
    """Format a time as the Hub does: with milliseconds and Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_LINK = re.compile(r'<([^<>]*)>\s*((?:;[^,<"]*(?:"[^"]*")?[^,<"]*)*)')
_REL_NEXT = re.compile(r'rel\s*=\s*(?:"[^"]*\bnext\b[^"]*"|next\b)', re.IGNORECASE)


def find_next_link(headers: Mapping[str, str]) -> str | None:
    """Return the URL with rel="next" from the Link header, unchanged."""
    for match in _LINK.finditer(headers.get("link", "")):
        if _REL_NEXT.search(match[2]):
            return match[1]
    return None


def same_origin_path(url: str, origin: str) -> str | None:
    """Return the path and query of a URL on `origin`; None for another origin or an invalid URL."""
    try:
        there = urlsplit(url)
        here = urlsplit(origin)
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
    """Parse a user overview."""
    value = read_object(body)
    return Profile(
        person=Person(_as_text(value.get("_id")), _as_text(value.get("user")), _as_text(value.get("fullname"))),
        created_at=_parse_time(value.get("createdAt")),
        is_pro=value.get("isPro") is True,
        orgs=_read_org_names(value),
        models=_as_count(value.get("numModels")),
        datasets=_as_count(value.get("numDatasets")),
        followers=_as_count(value.get("numFollowers")),
        raw=value,
    )


def read_whoami(body: bytes) -> Account:
    """Parse an answer from whoami-v2."""
    value = read_object(body)
    name = value.get("name")
    if not isinstance(name, str):
        raise UnreadableBody("whoami without a name")
    auth = value.get("auth")
    token = auth.get("accessToken") if isinstance(auth, dict) else None
    rights = _read_rights(token) if isinstance(token, dict) else TokenRights()
    return Account(name, _as_text(value.get("id")), _read_org_names(value), rights.role, value, rights)


def _read_org_names(value: Mapping[str, Any]) -> tuple[str, ...]:
    orgs = value.get("orgs")
    if not isinstance(orgs, list):
        return ()
    return tuple(org["name"] for org in orgs if isinstance(org, dict) and isinstance(org.get("name"), str))


def _read_rights(token: Mapping[str, Any]) -> TokenRights:
    """Read the rights of a token. An unreadable scope stays in the result, with an unknown entity."""
    fine = token.get("fineGrained")
    scoped = fine.get("scoped") if isinstance(fine, dict) else None
    scopes = tuple(map(_read_scope, scoped)) if isinstance(scoped, list) else None
    return TokenRights(_as_text(token.get("role")), scopes)


def _read_scope(value: Any) -> TokenScope:
    entity = value.get("entity") if isinstance(value, dict) else None
    entity = entity if isinstance(entity, dict) else {}
    permissions = value.get("permissions") if isinstance(value, dict) else None
    words = permissions if isinstance(permissions, list) else []
    return TokenScope(
        _as_text(entity.get("type")) or "part of the Hub",
        _as_text(entity.get("name")),
        frozenset(word for word in words if isinstance(word, str)),
    )


def read_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; raise `UnreadableBody` for anything else."""
    value = load_json(body)
    if not isinstance(value, dict):
        raise UnreadableBody(f"expected an object, not {type(value).__name__}")
    return value


def read_array(body: bytes) -> list[Any]:
    """Parse a JSON array; raise `UnreadableBody` for anything else."""
    return _expect_array(load_json(body))


def _as_count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
