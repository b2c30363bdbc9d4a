"""Reads single entries of the ledger, groups similar ones, and builds their records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import ms_to_iso
from hf_gate.core.events.event_descriptions import describe_event
from hf_gate.core.events.events import NoteWritten, decode_event, kind_of
from hf_gate.core.events.ledger import WORKSPACE_CHAIN, LedgerLink, SealedEntry, repo_of_chain
from hf_gate.core.records import AuditRecord
from hf_gate.store.store import Store

_SENTENCES: Final = 3  # sentences shown for one group
_MODELS: Final = "models/"
_DONE: Final = {
    "to accepted: done": "accepted",
    "to reset: done": "sent back",
    "to rejected: done": "rejected",
    "to pending: done": "returned to pending",
}
"""The words of a group for the sentences of changes that took effect."""


def read_entry(store: Store, chain: str, seq: int) -> SealedEntry | None:
    """Return one entry with its private part; None if the chain has no entry with that number."""
    found = next(store.links_with_private_parts(chain, seq), None) if seq > 0 else None
    return found if found is not None and found.link.seq == seq else None


def name_of_entry(link: LedgerLink) -> str:
    """Return the name of an entry as used in commands: `datasets/ns/name#12`, or `ns/name#12` for a model."""
    return f"{link.chain.removeprefix(_MODELS)}#{link.seq}"


def parse_entry_name(text: str) -> tuple[str, int] | None:
    """Return the chain and the number in the name of an entry; None if the text is not such a name."""
    chain, hash_sign, seq = text.strip().rpartition("#")
    if not hash_sign or not seq.isdecimal() or len(seq) > 15:
        return None
    plain = chain == WORKSPACE_CHAIN or chain.startswith((_MODELS, "datasets/"))
    return (chain if plain else f"{_MODELS}{chain}", int(seq)) if chain else None


def complete_chains(store: Store, chain: str) -> list[str]:
    """Return the chains that a name may mean: that name or, if a narrow table cut it at its start, all that end so."""
    cut = chain.removeprefix(_MODELS)
    if not cut.startswith("\N{HORIZONTAL ELLIPSIS}"):
        return [chain]
    return [known for known in store.chains() if known.endswith(cut[1:])]


# ---- groups ----------------------------------------------------------------------------------------------------------


def group_key(link: LedgerLink) -> tuple[object, ...]:
    """Return the key that similar entries share: the same chain, kind, actor and run.

    Notes, and entries that are not about a request, have unique keys.
    """
    if link.request is None or link.kind == kind_of(NoteWritten):
        return link.chain, link.seq
    return link.chain, link.kind, link.actor, body_of_entry(link).get("run")


def summarize_links(links: Sequence[LedgerLink]) -> str:
    """Return the most common sentences of a group with their counts: `99 sent back; 2 times: to reset: stale`."""
    counts = Counter(text_of_entry(link, None) for link in links)
    first = counts.most_common(_SENTENCES)
    rest = len(links) - sum(count for _, count in first)
    lines = [
        f"{count:,} {_DONE[text]}" if text in _DONE else f"{pluralize(count, 'time')}: {text}" for text, count in first
    ]
    return "; ".join(lines) + (f"; {pluralize(rest, 'other')}" if rest else "")


# ---- records ---------------------------------------------------------------------------------------------------------


def audit_record(link: LedgerLink, private: Mapping[str, object] | None = None) -> AuditRecord:
    """Return the record of an entry. Private data appears only in `text`."""
    repo = repo_of_chain(link.chain)
    return AuditRecord(
        id=name_of_entry(link),
        at=ms_to_iso(link.at),
        kind=link.kind,
        actor=link.actor,
        repo=None if repo is None else repo.id,
        repo_type=None if repo is None else repo.type,
        request=link.request,
        text=text_of_entry(link, private),
        body=body_of_entry(link),
    )


def text_of_entry(link: LedgerLink, private: Mapping[str, object] | None) -> str:
    """Return the sentence that describes an entry."""
    try:
        return describe_event(decode_event(link.body), private)
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
