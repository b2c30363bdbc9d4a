"""Stores the terms that can move the ends of grants, and reads the grants that have such terms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ..domain.grants import GrantTerms
from ..domain.ids import Repo
from ..domain.rows import RequestRow
from .store import Store
from .writer import Writer

_PAGE: Final = 1000
_DECODER: Final = msgspec.json.Decoder(GrantTerms)


def write_terms(write: Writer, terms: Iterable[GrantTerms]) -> None:
    """Store terms under their digests, each once."""
    rows = {one.digest: msgspec.json.encode(one).decode() for one in terms}
    sql = "INSERT INTO grant_terms (digest, document) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING"
    write.db.run_many(sql, sorted(rows.items()))


def read_terms(store: Store) -> dict[str, GrantTerms]:
    """Return all stored terms by digest."""
    return {
        digest: _DECODER.decode(text) for digest, text in store.reads.rows("SELECT digest, document FROM grant_terms")
    }


def read_terms_of(store: Store, digest: str | None) -> GrantTerms | None:
    """Return the terms with this digest; None if there are none."""
    found = store.reads.rows("SELECT document FROM grant_terms WHERE digest = ?", (digest,)) if digest else ()
    return next((_DECODER.decode(text) for (text,) in found), None)


def iterate_grants_with_terms(store: Store, repo: Repo) -> Iterator[list[RequestRow]]:
    """Iterate over the current requests of a repo whose ends can move, in pages, ordered by number."""
    sql = (
        "SELECT r.id FROM requests r JOIN repos o ON o.id = r.repo_id WHERE o.type = ? AND o.namespace = ? AND o.name = ?"
        f" AND r.terms IS NOT NULL AND r.is_current AND r.id > ? ORDER BY r.id LIMIT {_PAGE}"
    )
    last = 0
    while found := [ident for (ident,) in store.reads.rows(sql, (repo.type.value, repo.namespace, repo.name, last))]:
        rows = store.requests(found)
        yield [rows[ident] for ident in found if ident in rows]
        last = found[-1]
