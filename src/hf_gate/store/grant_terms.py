"""Stores the terms that can move the ends of grants, and reads the grants that have such terms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from ..domain.grants import GrantTerms
from ..domain.ids import Repo
from ..domain.lifecycle import Status
from ..domain.rows import RequestRow
from .state_columns import repo_of
from .store import Store
from .writer import Writer

_PAGE: Final = 1000
_DECODER: Final = msgspec.json.Decoder(GrantTerms)


def write_terms(write: Writer, terms: Iterable[GrantTerms]) -> None:
    """Store terms and their shapes under their digests, each once."""
    found = {one.digest: one for one in terms}
    shapes = {shape.digest: shape for shape in (one.shape for one in found.values())}
    sql = "INSERT INTO grant_terms (digest, document, is_shape) VALUES (?, ?, ?) ON CONFLICT (digest) DO"
    write.db.run_many(f"{sql} NOTHING", _rows_of(found, is_shape=False))
    write.db.run_many(
        f"{sql} UPDATE SET is_shape = TRUE WHERE NOT grant_terms.is_shape", _rows_of(shapes, is_shape=True)
    )


def _rows_of(terms: Mapping[str, GrantTerms], *, is_shape: bool) -> list[tuple[str, str, bool]]:
    return [(digest, msgspec.json.encode(one).decode(), is_shape) for digest, one in sorted(terms.items())]


def read_terms(store: Store, digests: Collection[str]) -> dict[str, GrantTerms]:
    """Return the stored terms with these digests."""
    among, value = store.reads.in_clause(list(digests))
    rows = store.reads.rows(f"SELECT digest, document FROM grant_terms WHERE digest {among}", (value,))
    return {digest: _DECODER.decode(text) for digest, text in rows}


def read_shapes(store: Store) -> list[GrantTerms]:
    """Return the shapes of all stored terms: they have all conditions and names of facts. There are few."""
    rows = store.reads.rows("SELECT document FROM grant_terms WHERE is_shape ORDER BY digest")
    return [_DECODER.decode(text) for (text,) in rows]


def has_terms(store: Store, repo_id: int) -> bool:
    """Tell whether any grant of a repo has terms."""
    sql = "SELECT 1 FROM requests WHERE repo_id = ? AND terms IS NOT NULL LIMIT 1"
    return store.reads.row(sql, (repo_id,)) is not None


def read_terms_of(store: Store, digest: str | None) -> GrantTerms | None:
    """Return the terms with this digest; None if there are none."""
    found = store.reads.rows("SELECT document FROM grant_terms WHERE digest = ?", (digest,)) if digest else ()
    return next((_DECODER.decode(text) for (text,) in found), None)


def count_grants_by_terms(store: Store) -> Iterator[tuple[Repo, GrantTerms, int]]:
    """Iterate over the terms on which people have access now, with the repo and how many people."""
    sql = (
        "SELECT o.type, o.namespace, o.name, t.document, count(*) FROM requests r JOIN repos o ON o.id = r.repo_id"
        " JOIN grant_terms t ON t.digest = r.terms WHERE r.terms IS NOT NULL AND r.is_current AND r.status = ?"
        " GROUP BY o.type, o.namespace, o.name, t.digest, t.document"
    )
    for kind, space, name, document, count in store.reads.rows(sql, (Status.ACCEPTED.value,)):
        yield repo_of(kind, space, name), _DECODER.decode(document), int(count)


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
