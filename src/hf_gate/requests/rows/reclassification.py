"""Classifies stored requests again after rules, lists or a form changed, in short transactions.

It can stop after any of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hf_gate.store.sql import Database
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer

PART: Final = 500
"""Requests that one transaction classifies: about 20 ms."""
_SPAN: Final = 50_000  # request numbers that one transaction looks at, because other repos lie between


class _OutdatedRepo(NamedTuple):
    id: int
    version: str  # the version that the repo's requests should have
    done: int  # the last request number with that version


def reclassify_part(store: Store) -> bool:
    """Classify the next requests of repos whose classifications are outdated. Return whether there may be more.

    The position is stored, so the next call continues there even after a crash.
    """
    if not _read_outdated(store, store.reads):
        return False
    with store.writing() as write:
        repos = _read_outdated(store, write.db)
        if repos:
            _classify_next(store, write, repos)
        return bool(repos)


def _read_outdated(store: Store, db: Database) -> list[_OutdatedRepo]:
    found = []
    for ident, form_card, known, progress in db.rows(
        "SELECT id, form_card, classified_by, reclassifying FROM repos WHERE id > 0"
    ):
        version = store.classification_version(form_card)
        if version is not None and version != known:
            begun, _, done = (progress or "").partition(" ")
            found.append(_OutdatedRepo(ident, version, int(done) if begun == version else 0))
    return found


def _classify_next(store: Store, write: Writer, repos: list[_OutdatedRepo]) -> None:
    db = write.db
    start = min(repo.done for repo in repos)
    last = (db.row("SELECT coalesce(max(id), 0) FROM requests") or (0,))[0]
    end = min(start + _SPAN, last)
    among, value = db.in_clause([repo.id for repo in repos])
    plus = "+" if db.is_sqlite else ""  # SQLite would sort a whole repo otherwise
    rows = db.rows(
        f"SELECT id, repo_id FROM requests WHERE id > ? AND id <= ? AND is_current AND {plus}repo_id {among}"
        " ORDER BY id LIMIT ?",
        (start, end, value, PART),
    )
    if len(rows) == PART:
        end = rows[-1][0]
    # read outside the transaction, but still current, because nobody else writes meanwhile
    known = store.requests([ident for ident, _ in rows])
    write.reclassify([(ident, repo_id, known[ident].request) for ident, repo_id in rows])
    for repo in repos:
        if end >= last:
            db.run("UPDATE repos SET classified_by = ?, reclassifying = NULL WHERE id = ?", (repo.version, repo.id))
        elif end > repo.done:
            db.run("UPDATE repos SET reclassifying = ? WHERE id = ?", (f"{repo.version} {end}", repo.id))
