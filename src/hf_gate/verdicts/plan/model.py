"""The plan: an ordered list of changes with reasons and a digest, and its encoding as JSON."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from hf_gate.base.decoding import make_json_decoder
from hf_gate.base.ids import RepoType, parse_repo
from hf_gate.base.timestamps import to_iso
from hf_gate.core.changes import Change
from hf_gate.core.events.events import canonical_json
from hf_gate.core.lifecycle import AT_END, STATUSES
from hf_gate.core.people.grants import GrantTerms, is_fact_name, parse_grant_end, read_duration
from hf_gate.errors import Guarded, UsageError

SCHEMA_VERSION: Final = 1
MAX_CHANGES: Final = 100_000
"""The most changes in one plan. The oldest come first, and the plan says how many remain."""

VALIDITY: Final = timedelta(hours=24)
END_EXPRESSION: Final = "until <= now"
"""The expression in the reason of a change that ends a grant."""

CLOCK_SKEW: Final = "clock_skew_s"
"""In a plan's summary: how many seconds the Hub's clock is ahead of ours, if that is too far to end a grant."""


"""In a plan's summary: how many grants would end earlier, but wait for a person's confirmation."""

ENDS_UNDECIDED: Final = "ends_undecided"
"""In a plan's summary: how many grants would end by a condition that is unknown now."""


class GuardResult(msgspec.Struct, frozen=True, kw_only=True):
    """A limit with the plan's value for it. `ok` is false if a typed number is needed, or if changes were excluded."""

    name: str
    ok: bool
    limit: int
    value: int


class PlanHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The origin of a plan and the end of its validity."""

    digest: str
    policy_digest: str
    endpoint: str
    made_at: str
    expires_at: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A list of changes with a digest. `summary` counts the changes, and the excluded requests by reason."""

    schema_version: int
    plan: PlanHeader
    summary: dict[str, int]
    changes: list[Change]
    guards: list[GuardResult]

    @property
    def digest(self) -> str:
        return self.plan.digest

    @property
    def expires_at(self) -> datetime:
        return datetime.fromisoformat(self.plan.expires_at)


NO_PLAN: Final = Plan(
    schema_version=1,
    plan=PlanHeader(digest="", policy_digest="", endpoint="", made_at="", expires_at=""),
    summary={},
    changes=[],
    guards=[],
)
"""A plan without changes, of nobody."""


def build_plan(
    changes: Iterable[Change],
    *,
    policy_digest: str,
    endpoint: str,
    now: datetime,
    summary: Mapping[str, int],
    guards: Sequence[GuardResult],
    valid: timedelta = VALIDITY,
    most: int = MAX_CHANGES,
    dropped: int = 0,
) -> Plan:
    """Sort changes, and return their plan with its digest.

    Changes beyond `most` are dropped and counted as remaining.
    """
    ordered = sorted(changes, key=lambda change: change.sort_key)
    included = (
        ordered
        if len(ordered) <= most
        else sorted(
            sorted(ordered, key=lambda change: (change.asked_at, change.sort_key))[:most], key=lambda c: c.sort_key
        )
    )
    head = PlanHeader(
        digest="", policy_digest=policy_digest, endpoint=endpoint, made_at=to_iso(now), expires_at=to_iso(now + valid)
    )
    counts = {**summary, "remaining": dropped + len(ordered) - len(included)}
    plan = Plan(schema_version=SCHEMA_VERSION, plan=head, summary=counts, changes=included, guards=list(guards))
    return msgspec.structs.replace(plan, plan=msgspec.structs.replace(head, digest=digest_plan(plan)))


def make_partial_plan(plan: Plan, changes: Iterable[Change]) -> Plan:
    """Return a plan with only some changes of another plan."""
    part = msgspec.structs.replace(plan, changes=sorted(changes, key=lambda change: change.sort_key))
    return msgspec.structs.replace(part, plan=msgspec.structs.replace(plan.plan, digest=digest_plan(part)))


def digest_plan(plan: Plan) -> str:
    """Return the SHA-256 of the plan's canonical JSON without the digest."""
    return _digest_of_document(msgspec.to_builtins(plan))


def _digest_of_document(document: dict[str, Any]) -> str:
    del document["plan"]["digest"]
    return hashlib.sha256(canonical_json(document)).hexdigest()


def encode_plan(plan: Plan) -> bytes:
    """Encode a plan as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"


_ANY_MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
_DECODER = make_json_decoder(Plan)


def decode_plan(document: bytes, source: str) -> Plan:
    """Decode a plan file and check its digest. Key order and layout do not matter."""
    try:
        plan = _DECODER.decode(document)
        raw = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UsageError(
            f"{source} is not a plan of hf-gate: {problem}.", hint="Make one: hf-gate plan --out plan.json"
        ) from None
    if plan.schema_version != SCHEMA_VERSION:
        raise UsageError(
            f"{source} has format version {plan.schema_version}, but this hf-gate reads version {SCHEMA_VERSION}.",
            hint="Make a new plan: hf-gate plan --out plan.json",
        )
    _check_digest(plan, raw, source)
    fault = next(_find_faults(plan), None)
    if fault is not None:
        raise UsageError(f"{source} is not a plan of hf-gate: {fault}.", hint="Make one: hf-gate plan --out plan.json")
    return plan


def decode_stored_plan(document: bytes, digest: str) -> Plan | None:
    """Decode a plan from the store; return None if it does not match the digest."""
    try:
        plan = _DECODER.decode(document)
        raw = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return plan if _digest_of_document(raw) == digest else None


def _find_faults(plan: Plan) -> Iterator[str]:
    """Yield what is invalid in a plan: a correct digest does not prove that hf-gate made it."""
    for name, moment in (("made_at", plan.plan.made_at), ("expires_at", plan.plan.expires_at)):
        if not _is_moment(moment):
            yield f"{name} {moment!r} is not a timestamp"
    for repo, repo_type in {(change.repo, change.repo_type) for change in plan.changes}:
        if repo_type not in tuple(RepoType):
            yield f"{repo_type!r} is not a repo type"
        try:
            parse_repo(repo)
        except UsageError as problem:
            yield str(problem).rstrip(".")
    if len({change.row for change in plan.changes}) < len(plan.changes):
        yield "it has two changes for one request"
    for change in plan.changes:
        yield from _change_faults(change)


def _change_faults(change: Change) -> Iterator[str]:
    for status in (change.before, change.after):
        if status not in STATUSES:
            yield f"{status!r} is not a status"
    if not _is_moment(change.asked_at):
        yield f"asked_at {change.asked_at!r} is not a timestamp"
    for digest in (change.answers_digest, change.identity_digest or ""):
        if not _HEX.fullmatch(digest):
            yield f"{digest!r} is not a digest"
    if change.end is not None:
        if change.end.at_end not in AT_END:
            yield f"at_end {change.end.at_end!r} is not an action"
        yield from _end_faults(change.end.written, change.end.terms or GrantTerms())


def _end_faults(until: str | None, terms: GrantTerms) -> Iterator[str]:
    fixed = [each for each in terms.until if not is_fact_name(each)]
    for written in (*filter(None, [until]), *fixed):
        try:
            parse_grant_end(written, _ANY_MOMENT, UTC)
        except (ValueError, OverflowError):
            yield f"until {written!r} is not a date or a duration"
    for length in (*terms.notice, *(each.grace for each in terms.keep_while if each.grace is not None)):
        if read_duration(length) is None:
            yield f"{length!r} is not a duration"


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _check_digest(plan: Plan, raw: dict[str, Any], source: str) -> None:
    """Check that the content, including unknown keys, matches the digest."""
    expected = raw["plan"]["digest"]
    if not digest_plan(plan) == _digest_of_document(raw) == expected:
        raise Guarded(
            f"{source} was changed after the plan was made; nothing was sent.",
            hint="Do not edit a plan: change the policy and make a new plan with `hf-gate plan --out`.",
        )
