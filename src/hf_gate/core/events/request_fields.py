"""What each column of a request is for: what sets and finds it, where an export has it, and what an erasure leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Struct

from hf_gate.base.batches import group_pairs
from hf_gate.core.request_version import EMPTY_CONTENT

from . import events as e

IN_LEDGER: Final = "ledger.jsonl"
"""In place of a key: the export has it in the entries of the ledger."""

IN_STORE: Final = ""
"""In place of a key: it has a meaning in this store only, or follows from other columns."""


class RequestField(Struct, frozen=True):
    """A column of the table `requests`.

    `exported` is the key of `ExportedRequest` that has it (a dot leads into a part). `erased` is its value after the
    personal data was erased; without one, the column stays. `times` are the keys of the query language that compare it
    with a time; `text` is the key that compares it with a pattern. `event` sets a text from `private`, a key of its
    private part.
    """

    exported: str
    erased: object = UNSET
    times: tuple[str, ...] = ()
    text: str = ""
    event: type[e.Event] | None = None
    private: str = ""


FIELDS: Final[Mapping[str, RequestField]] = {
    "id": RequestField("id"),
    "repo_id": RequestField("repo"),
    "person_id": RequestField("person"),
    # ---- the state: fields of `RequestState`
    "status": RequestField("status"),
    "asked_at": RequestField("asked_at", times=("age", "asked")),
    "attempt": RequestField("attempt"),
    "hub_request": RequestField("request_id"),
    "reviewed_at": RequestField("reviewed_at", times=("reviewed",)),
    "after_id": RequestField("follows"),
    "verdict_id": RequestField("verdict"),
    "until_at": RequestField("grant.until"),
    "at_end": RequestField("at_end"),
    "until_rule": RequestField("grant.rule"),
    "until_cause": RequestField(IN_LEDGER),
    "shortened_at": RequestField(IN_LEDGER),
    "open_run": RequestField(IN_LEDGER),
    "open_before": RequestField(IN_LEDGER),
    "open_after": RequestField(IN_LEDGER),
    "moved_at": RequestField(IN_LEDGER),
    "terms": RequestField("grant.keep_while"),
    "lapses": RequestField("grant.lapses_at"),
    "noticed_at": RequestField(IN_LEDGER),
    "ends_at": RequestField("until", times=("ends",)),
    "last_moved_at": RequestField(IN_LEDGER),
    "version": RequestField(IN_STORE),
    # ---- the record, and what people wrote
    "is_current": RequestField("is_current"),
    "has_notes": RequestField(IN_LEDGER, erased=False),
    "first_seen_at": RequestField("first_seen_at"),
    "started_at": RequestField(IN_LEDGER),
    "record_id": RequestField("record", erased=None),
    "raw": RequestField(IN_STORE, erased=b""),
    "answers": RequestField(IN_STORE, erased=EMPTY_CONTENT.answers),
    "identity": RequestField(IN_STORE, erased=EMPTY_CONTENT.identity),
    "domain": RequestField("email", erased=None),
    "country": RequestField("answers", erased=None),
    "quality": RequestField("answers", erased=None),
    "mail": RequestField("email", erased=None),
    "fingerprint": RequestField(IN_STORE, erased=None),
    "reason": RequestField(IN_LEDGER, erased=None, text="reason", event=e.ChangeStarted, private="reason"),
    # ---- the stored evaluation: `core/events/evaluations.py`
    "evaluation_version": RequestField(IN_STORE),
    "outcome": RequestField(IN_STORE),
    "evaluate_at": RequestField(IN_STORE),
    "lookup_user": RequestField(IN_STORE, erased=None),
    "lookup_email": RequestField(IN_STORE, erased=None),
    "lookup_name": RequestField(IN_STORE, erased=None),
    "review_at": RequestField(IN_STORE),
    "is_undecided": RequestField(IN_STORE),
}
"""Every column of the table, in its order; a test compares them."""

ERASED: Final[Mapping[str, object]] = {name: one.erased for name, one in FIELDS.items() if one.erased is not UNSET}
"""The value of each column that an erasure clears."""

TEXT_COLUMNS: Final[tuple[str, ...]] = tuple(name for name, one in FIELDS.items() if one.text)
"""The columns that the query language compares with patterns, one by one."""


_SET_BY: Final = group_pairs((one.event, (name, one.private)) for name, one in FIELDS.items())


def read_texts(event: e.Event, private: Mapping[str, object]) -> dict[str, str]:
    """Return the texts that an event sets, by column."""
    found = ((name, private.get(key)) for name, key in _SET_BY.get(type(event), ()))
    return {name: text for name, text in found if isinstance(text, str)}
