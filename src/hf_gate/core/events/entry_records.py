"""Builds the records of ledger entries: the name, the sentence and the public part of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import tzinfo
from typing import Final

from hf_gate.base.timestamps import ms_to_iso
from hf_gate.core.records import AuditRecord, EventRecord, extend_record

from .event_descriptions import describe_event
from .events import decode_event
from .ledger import LedgerLink, repo_of_chain

MODELS: Final = "models/"
"""What names of entries leave out at the start of a chain."""


def name_of_entry(link: LedgerLink) -> str:
    """Return the name of an entry as used in commands: `datasets/ns/name#12`, or `ns/name#12` for a model."""
    return f"{link.chain.removeprefix(MODELS)}#{link.seq}"


def audit_record(link: LedgerLink, private: Mapping[str, object] | None = None, *, zone: tzinfo) -> AuditRecord:
    """Return the record of an entry. Private data appears only in `text`, which names ends as days in `zone`."""
    repo = repo_of_chain(link.chain)
    return AuditRecord(
        id=name_of_entry(link),
        at=ms_to_iso(link.at),
        kind=link.kind,
        actor=link.actor,
        repo=None if repo is None else repo.id,
        repo_type=None if repo is None else repo.type,
        request=link.request,
        text=text_of_entry(link, private, zone),
        body=body_of_entry(link),
    )


def event_record(link: LedgerLink, cursor: str, zone: tzinfo) -> EventRecord:
    """Return the record of an entry in the event feed."""
    commitment = None if link.commitment is None else link.commitment.hex()
    return extend_record(
        audit_record(link, zone=zone), EventRecord, cursor=cursor, hash=link.hash.hex(), commitment=commitment
    )


def text_of_entry(link: LedgerLink, private: Mapping[str, object] | None, zone: tzinfo) -> str:
    """Return the sentence that describes an entry, with ends as days in `zone`."""
    try:
        return describe_event(decode_event(link.body), private, zone=zone)
    except ValueError:
        return "this version cannot read it"


def body_of_entry(link: LedgerLink) -> Mapping[str, object]:
    """Return the public part of an entry without its kind."""
    try:
        body = json.loads(link.body)
    except ValueError:
        return {"unreadable": link.body.decode("utf-8", "replace")}
    if not isinstance(body, dict):
        return {"unreadable": body}
    return {key: value for key, value in body.items() if key != "type"}
