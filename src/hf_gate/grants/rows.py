"""Stores the terms that can move the ends of grants, and reads the grants that have such terms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from hf_gate.base.decoding import make_json_decoder
from hf_gate.base.ids import Repo
from hf_gate.core.events.evaluations import ReviewResult
from hf_gate.core.events.events import GrantDated, decode_event, kind_of
from hf_gate.core.events.request_state import SUDDEN_MS
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.grants import GrantTerms
from hf_gate.core.stored_rows import RequestRow
from hf_gate.store.rows.requests import IS_ENDABLE, IS_SUDDEN
from hf_gate.store.sql import Reader
from hf_gate.store.store import Store
from hf_gate.store.writing.compression import decode_private_part, unpack
from hf_gate.store.writing.state_columns import repo_of
from hf_gate.store.writing.writer import Writer

_PAGE: Final = 1000
_DECODER: Final = make_json_decoder(GrantTerms)


def write_terms(write: Writer, terms: Iterable[GrantTerms]) -> None:
    """Store terms and their shapes under their digests, each once."""
    found = {each.digest: each for each in terms}
    shapes = {shape.digest: shape for shape in (each.shape for each in found.values())}
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


def count_endless(store: Store) -> dict[int, int]:
    """Return how many people have access without an end and without conditions, by the number of the repo."""
    sql = "SELECT repo_id, count(*) FROM requests WHERE is_current AND status = ? AND ends_at IS NULL AND terms IS NULL"
    return dict(store.reads.rows(f"{sql} GROUP BY repo_id", (Status.ACCEPTED,)))


def find_terms_faults(store: Store) -> Iterator[str]:
    """Yield the digests of stored terms that differ from the digest by which grants name them, or that are missing."""
    for digest, text in store.reads.rows("SELECT digest, document FROM grant_terms ORDER BY digest"):
        try:
            is_same = _DECODER.decode(text).digest == digest
        except msgspec.DecodeError:
            is_same = False
        if not is_same:
            yield digest
    sql = (
        "SELECT DISTINCT terms FROM requests WHERE terms IS NOT NULL AND terms NOT IN (SELECT digest FROM grant_terms)"
    )
    yield from (digest for (digest,) in store.reads.rows(sql))


def read_shapes(store: Store) -> list[GrantTerms]:
    """Return the shapes of all stored terms: they have all conditions and names of facts. There are few."""
    rows = store.reads.rows("SELECT document FROM grant_terms WHERE is_shape ORDER BY digest")
    return [_DECODER.decode(text) for (text,) in rows]


def has_grants_with_terms(store: Store, repo_id: int) -> bool:
    """Tell whether any grant of a repo has terms."""
    sql = "SELECT 1 FROM requests WHERE repo_id = ? AND terms IS NOT NULL LIMIT 1"
    return store.reads.row(sql, (repo_id,)) is not None


def read_terms_of(store: Store, digest: str | None) -> GrantTerms | None:
    """Return the terms with this digest; None if there are none."""
    found = store.reads.rows("SELECT document FROM grant_terms WHERE digest = ?", (digest,)) if digest else ()
    return next((_DECODER.decode(text) for (text,) in found), None)


class SetEnd(Struct, frozen=True):
    """The last event that set the end of a grant, and who chose that end: of two approvers, the one whose end holds."""

    event: GrantDated
    by: str


def read_set_ends(store: Store, requests: Collection[int]) -> dict[int, SetEnd]:
    """Return what set the end of each grant. Moves by a table or a condition do not count."""
    if not requests:
        return {}
    among, value = store.reads.in_clause(list(requests))
    sql = (
        "SELECT l.request_id, l.body, l.actor, x.data FROM ledger l LEFT JOIN private x ON x.id = l.id"
        f" WHERE l.request_id {among} AND l.kind = ? ORDER BY l.id"
    )
    found: dict[int, SetEnd] = {}
    for request, body, actor, private in store.reads.rows(sql, (value, kind_of(GrantDated))):
        event = decode_event(body.encode())
        if isinstance(event, GrantDated) and event.cause not in ("fact", "keep_while"):
            known = {} if private is None else decode_private_part(unpack(private))
            found[request] = SetEnd(event, str(known.get("approved_by", actor)))
    return found


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
        "SELECT id FROM requests WHERE repo_id = ? AND terms IS NOT NULL AND is_current AND id > ?"
        f" ORDER BY id LIMIT {_PAGE}"
    )
    repo_id = store.repo_id(repo)
    last = 0
    while found := [ident for (ident,) in store.reads.rows(sql, (repo_id, last))]:
        rows = store.requests(found)
        yield [rows[ident] for ident in found if ident in rows]
        last = found[-1]


# ---- reviews of ends -------------------------------------------------------------------------------------------------


END_LIST: Final = "ends"
"""In place of a status, in `evaluated_lists`: the basis of the reviews of a repo."""


def find_due_reviews(reader: Reader, repo_id: int, now: int) -> list[int]:
    """Return the grants with terms whose ends must be reviewed at `now` (ms), ordered by number."""
    sql = (
        "SELECT id FROM requests WHERE repo_id = ? AND terms IS NOT NULL AND is_current AND review_at <= ? ORDER BY id"
    )
    return [ident for (ident,) in reader.reads.rows(sql, (repo_id, now))]


def find_undecided_grants(reader: Reader, repo_id: int) -> set[int]:
    """Return the grants that would end by a condition that was unknown at their last review."""
    sql = "SELECT id FROM requests WHERE repo_id = ? AND is_undecided AND terms IS NOT NULL AND is_current"
    return {ident for (ident,) in reader.reads.rows(sql, (repo_id,))}


def count_sudden_ends(reader: Reader, until: int, *, with_undecided: bool) -> dict[Repo, int]:
    """Count the grants that end at or before a time (ms) and count towards the guard of ends, by repo.

    Without a record nothing can be sent, so such a grant does not count. `with_undecided` includes those that wait for
    a condition that is unknown.
    """
    sql = (
        "SELECT o.type, o.namespace, o.name, count(*) FROM requests r JOIN repos o ON o.id = r.repo_id"
        f" WHERE r.ends_at <= ? AND r.is_current AND {IS_ENDABLE} AND {IS_SUDDEN}"
        f"{'' if with_undecided else ' AND NOT r.is_undecided'} GROUP BY o.type, o.namespace, o.name"
    )
    found = reader.reads.rows(sql, (until, until, until - SUDDEN_MS))
    return {repo_of(kind, namespace, name): count for kind, namespace, name, count in found}


def write_reviews(write: Writer, results: Sequence[ReviewResult]) -> None:
    """Store results of reviews. A grant that changed since it was read is due again instead."""
    write.db.run_many(
        "UPDATE requests SET review_at = 0 WHERE id = ? AND evaluation_version <> ?",
        [(result.request, result.version) for result in results],
    )
    write.db.run_many(
        "UPDATE requests SET review_at = ?, is_undecided = ?, lookup_user = ?, lookup_email = ?, lookup_name = ?,"
        " evaluation_version = evaluation_version + 1 WHERE id = ? AND evaluation_version = ?",
        [
            (result.review_at, result.is_undecided, *result.lookups, result.request, result.version)
            for result in results
        ],
    )
