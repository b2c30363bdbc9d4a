"""Stores what the gates of the repos asked: the texts of prompts and forms, by the digests that the ledger names."""

from __future__ import annotations

from collections.abc import Iterator

from hf_gate.core.forms.forms import digest_gate_text
from hf_gate.store.store import Store

from .writer import Writer


def write_gate_text(write: Writer, digest: str, kind: str, text: str, at: int) -> None:
    """Store a text, unless it is stored already."""
    sql = "INSERT INTO gate_texts (digest, kind, text, at) VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING"
    write.db.run(sql, (digest, kind, text, at))


def find_text_faults(store: Store) -> Iterator[str]:
    """Yield the texts that differ from their digest, as sentences."""
    for digest, kind, text in store.reads.rows("SELECT digest, kind, text FROM gate_texts ORDER BY digest"):
        if digest_gate_text(text) != digest:
            yield f"the text of the {kind} {digest[:12]} is not what its digest was taken of"
