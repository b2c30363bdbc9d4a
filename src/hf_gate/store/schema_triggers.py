"""Defines the triggers of the ledger and the text index, in the language of each database."""

from __future__ import annotations

from typing import Final

SQLITE: Final = (
    "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END",
    "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END",
    "CREATE VIRTUAL TABLE grams USING fts5(text, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1')",
    "INSERT INTO grams (grams, rank) VALUES ('automerge', 16)",  # many pages are written in sequence
    "INSERT INTO grams (grams, rank) VALUES ('hashsize', 33554432)",  # bytes; large enough that a transaction writes one segment
)

POSTGRESQL: Final = (
    """CREATE FUNCTION ledger_only_added_to() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'the ledger is only added to'; END $$""",
    "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION ledger_only_added_to()",
    "CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger EXECUTE FUNCTION ledger_only_added_to()",
    # Three bytes as one number: SQL finds a byte by its position in constant time, but a UTF-8 character by counting from
    # the start, so the index is built in half the time. Matches are compared with the text anyway.
    """CREATE FUNCTION trigrams_of(whole text) RETURNS int[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
       $$ SELECT ARRAY(SELECT (get_byte(b, i) << 16) + (get_byte(b, i + 1) << 8) + get_byte(b, i + 2)
          FROM convert_to(whole, 'UTF8') AS b, generate_series(0, octet_length(b) - 3) AS i) $$""",
    "CREATE INDEX texts_grams ON texts USING gin (trigrams_of(text || extra))",
)
