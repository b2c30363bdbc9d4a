"""Reads single entries of the ledger by name, and groups similar ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from hf_gate.base.display_text import pluralize
from hf_gate.core.events.entry_records import MODELS, body_of_entry, text_of_entry
from hf_gate.core.events.events import NoteWritten, kind_of
from hf_gate.core.events.ledger import WORKSPACE_CHAIN, LedgerLink, SealedEntry
from hf_gate.store.store import Store

_SENTENCES: Final = 3  # sentences shown for one group
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


def parse_entry_name(text: str) -> tuple[str, int] | None:
    """Return the chain and the number in the name of an entry; None if the text is not such a name."""
    chain, hash_sign, seq = text.strip().rpartition("#")
    if not hash_sign or not seq.isdecimal() or len(seq) > 15:
        return None
    plain = chain == WORKSPACE_CHAIN or chain.startswith((MODELS, "datasets/"))
    return (chain if plain else f"{MODELS}{chain}", int(seq)) if chain else None


def complete_chains(store: Store, chain: str) -> list[str]:
    """Return the chains that a name may mean: that name or, if a narrow table cut it at its start, all that end so."""
    cut = chain.removeprefix(MODELS)
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
