"""Searches everything that a store writes for words: each file byte by byte, or each table of a server."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psycopg


def list_spellings(words: Collection[str]) -> list[bytes]:
    """How these words may stand in a file: as they are, folded, and escaped as in JSON."""
    found = {word for each in words for word in (each, each.lower(), each.casefold())}
    escaped = {json.dumps(word)[1:-1] for word in found}
    return sorted(word.encode() for word in found | escaped | {json.dumps(word)[1:-1] for word in escaped})


def find_words_in_files(folder: Path, words: Collection[str], but: Collection[Path] = ()) -> list[str]:
    """Where these words occur in the files below a folder; also as trigrams of a text index that no other text has."""
    wanted = list_spellings(words)
    spared = {path.resolve() for path in but}
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.resolve() not in spared:
            content = path.read_bytes()
            found += [f"{path}: {word!r}" for word in wanted if word in content]
            if content.startswith(b"SQLite format 3\0") and not path.name.endswith(("-wal", "-shm")):
                found += [f"{path}: trigram {gram!r}" for gram in _grams_in(path, words)]
    return found


def _grams_in(path: Path, words: Collection[str]) -> list[str]:
    """The trigrams of these words in the index, but not in the texts of other people."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, grams, row)")
        terms = {row[0] for row in db.execute("SELECT term FROM temp.terms")}
        others = "\n".join(row[0] for row in db.execute("SELECT text FROM texts"))
        parts = {bytes(row[0]) for row in db.execute("SELECT term FROM grams_idx")}
        pages = (bytes(row[0]) for row in db.execute("SELECT block FROM grams_data WHERE id >= ?", (1 << 37,)))
        terms |= {term for page in pages for term in _terms_of(page)}
    folded = [word.casefold() for word in words]
    grams = {word[i : i + 3] for word in folded for i in range(len(word) - 2)}
    own = {gram for gram in grams if gram not in others}
    return sorted(own & terms | {gram for gram in own if any(gram.encode() in part for part in parts)})


def _terms_of(page: bytes) -> Iterator[str]:
    """The terms on a leaf page of an FTS5 index, also those of rows that are only marked as deleted."""
    size = int.from_bytes(page[2:4])
    at, term, footer = 0, b"", size
    while footer < len(page):
        step, footer = _number(page, footer)
        is_first, at = at == 0, at + step
        prefix, start = (0, at) if is_first else _number(page, at)
        length, start = _number(page, start)
        term = term[:prefix] + page[start : start + length]
        yield term[1:].decode("utf-8", "replace")  # the first byte is the number of the index


def _number(page: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer, and where the next one begins."""
    value = 0
    while True:
        value = value << 7 | page[at] & 0x7F
        at += 1
        if page[at - 1] < 0x80:
            return value, at


def find_words_on_server(url: str, words: Collection[str]) -> list[str]:
    """Where these words occur in any table of a store on PostgreSQL."""
    wanted = list_spellings(words)
    found = []
    for table, row in _rows_on_server(url):
        content = b"\n".join(_bytes(value) for value in row)
        found += [f"{table}: {word!r}" for word in wanted if word in content]
    return found


def _rows_on_server(url: str) -> Iterator[tuple[str, Sequence[object]]]:
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'.encode()):  # noqa: S608 - names from the catalogue
                yield table, row


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
