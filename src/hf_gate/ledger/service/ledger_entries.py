"""Reads single entries of the ledger by name."""

from __future__ import annotations

from hf_gate.core.events.entry_records import MODELS
from hf_gate.core.events.ledger import WORKSPACE_CHAIN, SealedEntry
from hf_gate.store.store import Store


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
    end = cut.removeprefix("...").removeprefix("\N{HORIZONTAL ELLIPSIS}")
    return [chain] if end == cut else [known for known in store.chains() if known.endswith(end)]
