"""Builds the address at which a source is asked about a person, reads its answer, and says how long that holds."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from msgspec import Struct

from hf_gate.base.display_text import SURROGATE
from hf_gate.base.ids import Person
from hf_gate.base.timestamps import from_ms, to_iso
from hf_gate.core.events.events import canonical_json
from hf_gate.core.people.grants import FAR_END
from hf_gate.core.policy_model import Facts, FactValue, UnknownReason
from hf_gate.core.stored_rows import Observation
from hf_gate.settings.workspace_config import SourceSpec

from .fact_table import CelType
from .fact_values import SourceFact
from .facts import RequestFacts

FIELDS: Final = ("user_id", "username", "email")
"""What the address of a source can name: `{user_id}`, `{username}`, `{email}`."""

MAX_TEXT: Final = 1000
_PLACEHOLDER: Final = re.compile(r"\{(" + "|".join(FIELDS) + r")\}")
_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:\d{2})\Z", re.ASCII)
_UNSAFE: Final = re.compile(r"[/\\\x00-\x1f\x7f]|\A\.+\Z|[\ud800-\udfff]")
"""Text that a server may read as a part of its path, even if it is percent-encoded."""

_IS_DOWN: Final = frozenset({401, 403, 407, 408, 425, 429})
_FAR_START: Final = datetime(1, 1, 2, tzinfo=UTC)  # the earliest time that exists in every time zone
_MAX_AHEAD: Final = timedelta(minutes=5)  # of an answer; one of a later time was read before the clock was set back
_MAX_INTEGER: Final = 1 << 53  # no JSON reader changes smaller numbers


class SourceAnswer(NamedTuple):
    """What a call gave: a value, or the problem. `is_down` if others would probably fare alike."""

    value: FactValue | None = None
    problem: str = ""
    is_down: bool = False


def find_source_fact(
    spec: SourceSpec, person: Person, email: str | None, known: Observation | None, now: datetime
) -> SourceFact:
    """Return what is known about a person from a source. An observation that expired is not yet known again."""
    values = {"user_id": person.id or "", "username": person.username or "", "email": email or ""}
    for name in _PLACEHOLDER.findall(spec.get):
        if not values[name] or _UNSAFE.search(values[name]):
            why = "cannot be written into an address" if values[name] else "is not shown by the Hub"
            return SourceFact(why=UnknownReason.UNAVAILABLE, note=f"the {name.replace('_', ' ')} {why}")
    address = _PLACEHOLDER.sub(lambda match: quote(values[match[1]], safe=""), spec.get)
    is_current = known is not None and from_ms(known.at) - _MAX_AHEAD <= now < from_ms(known.expires_at)
    if known is None or not is_current or known.question != digest_question(spec, address):
        return SourceFact(note="the source has not been asked yet", address=address)
    read_at = from_ms(known.at)
    value = None if known.value is None else check_value(spec.type, json.loads(known.value))
    why = UnknownReason.UNAVAILABLE
    return SourceFact(value, read_at, why, known.problem, from_ms(known.expires_at))


def digest_question(spec: SourceSpec, address: str) -> str:
    """Return the digest of a question: of the address, and of how its answer is read and how long it holds."""
    about = [address, spec.pointer, spec.type, encode_value(spec.absent), spec.cache.total_seconds()]
    return hashlib.sha256(canonical_json(about)).hexdigest()[:32]


def encode_value(value: FactValue | None) -> str | None:
    """Return a value as JSON, for the store."""
    return None if value is None else json.dumps(to_iso(value) if isinstance(value, datetime) else value)


# ---- answers ---------------------------------------------------------------------------------------------------------


def read_answer(spec: SourceSpec, status: int, body: bytes) -> SourceAnswer:
    """Return the value in an answer, or why it has none. The problem repeats nothing of the answer."""
    if status == 404 and spec.absent is not None:
        return SourceAnswer(spec.absent)
    if status != 200:
        is_redirect = 300 <= status < 400
        problem = f"the source answered {status}{', and redirects are not followed' if is_redirect else ''}"
        return SourceAnswer(None, problem, is_redirect or status >= 500 or status in _IS_DOWN)
    try:
        document = json.loads(body.decode(), object_pairs_hook=_make_object, parse_constant=_refuse_constant)
        value = check_value(spec.type, _follow_pointer(document, spec.pointer))
    except LookupError:
        return SourceAnswer(problem=f"the answer has no value at {spec.pointer}")
    except (ValueError, RecursionError):  # also UnicodeDecodeError, and numbers of too many digits
        return SourceAnswer(problem="the answer is not JSON, or has a name twice")
    zone = " with date, time and zone" if spec.type == CelType.TIMESTAMP else ""
    return SourceAnswer(value, "" if value is not None else f"the value in the answer is not a {spec.type}{zone}")


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _follow_pointer(document: object, pointer: str) -> object:
    """Return the value at a JSON pointer (RFC 6901). Raises LookupError if there is none."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document[name]
        elif isinstance(document, list) and re.fullmatch(r"0|[1-9]\d{0,5}", name, re.ASCII):
            document = document[int(name)]
        else:
            raise LookupError
    return document


def check_value(kind: str, value: object) -> FactValue | None:
    """Return a value of JSON as a fact; None if it is not of this type, or too large."""
    match kind, value:
        case CelType.BOOL, bool():
            return value
        case CelType.INT, int() if not isinstance(value, bool) and abs(value) < _MAX_INTEGER:
            return value
        case CelType.STRING, str() if len(value) <= MAX_TEXT and not SURROGATE.search(value):
            return value
        case CelType.TIMESTAMP, str() if _MOMENT.match(value):
            try:
                moment = datetime.fromisoformat(value)
                return FAR_END if moment > FAR_END else max(from_ms(int(moment.timestamp() * 1000)), _FAR_START)
            except (ValueError, OverflowError):  # such as the 31st of February
                return None
        case _:
            return None


# ---- questions that are open ----------------------------------------------------------------------------------------

MAX_CALLS: Final = 500  # of one source in one turn


class OpenQuestion(Struct, frozen=True):
    """A question to a source whose answer can change a verdict or an end. `person` is the store's number."""

    person: int
    source: str
    address: str


def find_open_questions(facts: Facts, names: Iterable[str], person: int) -> Iterator[OpenQuestion]:
    """Yield the questions whose answers would make these facts known."""
    if isinstance(facts, RequestFacts):
        for name in names:
            head, _, source = name.partition(".")
            fact = facts.inputs.sources.get(source) if head == "sources" else None
            if fact is not None and fact.address and fact.why is UnknownReason.NOT_YET:
                yield OpenQuestion(person, source, fact.address)


def keep_first(known: list[OpenQuestion], more: Iterable[OpenQuestion]) -> None:
    """Add questions to those of a turn, up to as many of each source as a turn can ask."""
    counts = Counter(one.source for one in known)
    for one in more:
        if counts[one.source] < MAX_CALLS:
            counts[one.source] += 1
            known.append(one)
