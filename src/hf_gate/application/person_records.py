"""Output records about one person: everything that is held about them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from .records import ChangeRecord, Count, ExportedRequest, PersonRecord, PlaceRecord, Record, Time


class PersonEntryRecord(Record, frozen=True, kw_only=True):
    """One entry of the audit log about a person, with its personal data."""

    id: Annotated[str, Meta(description="chain#number")]
    at: Time
    repo: str
    kind: str
    actor: str
    text: Annotated[str, Meta(description="the entry as a sentence")]
    private: Annotated[dict[str, Any] | None, Meta(description="null: the entry has no personal data")]


class DecisionRecord(Record, frozen=True, kw_only=True):
    """One decision in the tray of the desk."""

    repo: str
    verb: str
    reason: str | None
    actor: str
    made_at: Time
    outcome: Annotated[str | None, Meta(description="null: not sent yet")]


class BindingRecord(Record, frozen=True, kw_only=True):
    """A row of a table that was matched with an account."""

    table: str
    key: str


class SavedViewRecord(Record, frozen=True, kw_only=True):
    """A saved view."""

    name: str
    query: str


class PersonLetterRecord(Record, frozen=True, kw_only=True):
    """One letter to the person, without its text and address, which are not stored."""

    id: str
    kind: str
    repo: str
    made_at: Annotated[Time, Meta(description="when its cause happened")]
    sent_at: Annotated[Time | None, Meta(description="when it was sent last, or marked as sent; null: never")]
    ended_at: Annotated[Time | None, Meta(description="when its outcome was stored; null: none yet")]
    outcome: Annotated[str, Meta(description="due, sending, sent, unknown, failed or dropped")]
    problem: str | None


class PersonExportRecord(Record, frozen=True, kw_only=True):
    """Everything that is held about one person."""

    made_at: Time
    endpoint: str
    person: PersonRecord
    requests: list[ExportedRequest]
    entries: list[PersonEntryRecord]
    changes: Annotated[list[ChangeRecord], Meta(description="changes of runs about the person")]
    decisions: list[DecisionRecord]
    letters: list[PersonLetterRecord]
    profile: Annotated[dict[str, Any] | None, Meta(description="the public profile, if a policy read it")]
    bindings: list[BindingRecord]
    tables: Annotated[list[str], Meta(description="tables that contained the person at the last evaluation")]
    views: Annotated[list[SavedViewRecord], Meta(description="saved views that name the person")]
    selections: Annotated[Count, Meta(description="selections in the desk with a request of the person")]
    places: Annotated[list[PlaceRecord], Meta(description="your files that name the person")]
