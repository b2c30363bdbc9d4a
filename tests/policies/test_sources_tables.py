"""Table files as people write them: read tolerantly, reported with line numbers, never "everyone missing"."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import Person
from hf_gate.base.private_files import read_unchanged_file
from hf_gate.core.people.grants import last_day
from hf_gate.core.policy_model import UnknownReason
from hf_gate.policies.drivers.table_files import MAX_BYTES, inline_table, load_table, parse_table
from hf_gate.policies.facts.tables import Table, unbound_usernames
from tests.kits.tables import NOW, read_table

ALICE = Person("a" * 24, "Alice", "Alice Example")
MALLORY = Person("f" * 24, "alice", "Mallory")


def codes(table: Table) -> list[tuple[int, str]]:
    return [(each.line, each.code) for each in table.problems]


def state(
    table: Table, person: Person = ALICE, address: str | None = "alice@example.org", **known: object
) -> str | None:
    hit = table.find(person, address, now=NOW, **known)  # type: ignore[arg-type]
    return hit.state if hit.why is None else None


# ---- how files are written -------------------------------------------------------------------------------------------


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    table = read_table('email,note\na@example.org,"one\ntwo\nthree"\n\nnonsense,x\nb@example.org,y\n')
    assert codes(table) == [(6, "no_email")]


@pytest.mark.parametrize(
    "written", ["Alice", " alice ", "@alice", "https://huggingface.co/alice", "huggingface.co/Alice/", "hf.co/alice"]
)
def test_a_name_is_read_as_people_paste_it_and_told_when_it_was_tidied(written: str) -> None:
    table = read_table(f"username\n{written}\n", ("username",))
    assert table.usernames() == ("alice",)
    assert codes(table) == ([] if written.strip().lower() == "alice" else [(2, "tidied")])


def test_a_mailbox_in_brackets_and_a_mailto_are_addresses() -> None:
    assert state(read_table("email\nAlice Example <alice@example.org>\n")) == "valid"
    assert state(read_table("email\nmailto:alice@example.org\n")) == "valid"


# ---- what is no source -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n\n", b"email\n", b"name,date\nalice,2027-01-01\n", b"email\nnonsense\n", b"\xff\xfee\x00m\x00", b"email\nalice@ex\xe4mple.org\n",
        b'email,n\nalice@example.org,"cut off', b"email,n\nalice@example.org,1\nbob@exam", b"email,email\na@example.org,b@example.org\n",
    ],
)  # fmt: skip
def test_a_file_that_is_empty_half_or_unreadable_knows_nobody_and_misses_nobody(content: bytes) -> None:
    table = parse_table(content, "dua", ("email",))
    assert table.refusal
    hit = table.find(ALICE, "alice@example.org", now=NOW)
    assert hit.why is UnknownReason.UNAVAILABLE
    assert hit.note


def test_a_json_file_cut_off_in_its_last_line_is_no_source() -> None:
    assert read_table('{"email": "alice@example.org"}\n{"email": "bob@ex', is_json=True).refusal
    assert read_table('{"email": "alice@example.org"}\n[1]\n', is_json=True).refusal


def test_a_json_line_may_lack_the_column_key() -> None:
    lines = '{"key": "alice", "n": 1}\n{"email": "bob@example.org"}\n{"key": ""}\n'
    table = parse_table(lines.encode(), "dua", ("email", "username"), is_json=True)
    assert [(row.username, row.email) for row in table.rows] == [("alice", None), (None, "bob@example.org")]
    assert [problem.line for problem in table.problems if problem.is_error] == [3]


def test_a_table_that_lost_more_than_a_quarter_counts_as_incomplete() -> None:
    rows = "".join(f"p{number}@example.org\n" for number in range(75))
    assert not read_table("email\n" + rows, previous_rows=100).refusal
    assert "may be incomplete" in read_table("email\n" + rows, previous_rows=101).refusal


def test_a_link_shows_nothing_of_what_is_no_table_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    secret, link, pipe = tmp_path / "environ", tmp_path / "links.csv", tmp_path / "pipe.csv"
    secret.write_text("HF_TOKEN=canary")
    link.symlink_to(secret)
    os.mkfifo(pipe)
    for file in (link, pipe):
        table = load_table(file, "dua", ["email"], now=NOW)
        assert table.refusal == f"table dua: {file.name} is not a regular file, or links to a file of another type"
        assert state(table) is None
    other = tmp_path / "other.csv"
    other.write_text("email\nalice@example.org\n")
    link.unlink()
    link.symlink_to(other)
    assert state(load_table(link, "dua", ["email"], now=NOW)) == "valid"


def test_a_line_that_cannot_be_read_leaves_open_who_else_is_listed() -> None:
    table = read_table("email,n\nalice@example.org,1\nbroken,2\nbob@example.org,3\n")
    assert state(table) == "valid"
    assert state(table, address="carol@example.org") is None
    assert "line 3" in table.find(ALICE, "carol@example.org", now=NOW).note


# ---- dates -----------------------------------------------------------------------------------------------------------


def test_a_row_that_is_repeated_is_reported_and_one_that_says_something_else_refuses_the_file() -> None:
    text = "email,expires\nalice@example.org,2027-06-30\nAlice@example.org,2027-06-30\n"
    table = read_table(text)
    assert state(table) == "valid"
    assert codes(table) == [(3, "duplicate_row")]
    assert not any(each.is_error for each in table.problems)
    doubled = read_table(text + "alice@example.org,2026-01-01\n")
    assert doubled.refusal == (
        "table dua: line 4: email of line 2 is repeated with other values; keep one of the two rows"
    )
    assert state(doubled) is None


def test_a_file_that_was_joined_to_itself_is_refused() -> None:
    text = "email,expires\nalice@example.org,2027-06-30\n"
    assert "line 3 repeats the header" in read_table(text + text).refusal


@pytest.mark.parametrize("count", [201, 20_000])
def test_a_file_with_more_than_two_hundred_columns_is_refused_in_one_line(count: int) -> None:
    columns = ["email", *(f"c{n}" for n in range(count - 1))]
    many = ",".join(columns) + "\n" + ",".join(["a@b.org"] * count) + "\n"
    assert read_table(many).refusal == "table dua: more than 200 columns; keep those that the policies read"
    rows = json.dumps(dict.fromkeys(columns, "a@b.org"))
    assert "more than 200 columns" in parse_table(rows.encode(), "dua", ("email",), is_json=True).refusal
    assert not read_table(",".join(columns[:200]) + "\n" + ",".join(["a@b.org"] * 200) + "\n").refusal


def test_the_first_column_that_appears_twice_is_named() -> None:
    assert read_table("email,to,of,to,of\na@b.org,1,2,3,4\n").refusal == "table dua: duplicate column to"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"email\nalice@example.org\nz\xfcrich@example.org\n", "the file is not UTF-8 (line 3)"),
        ("email\nalice@example.org\n".encode("utf-16"), "the file is UTF-16"),
    ],
)
def test_another_encoding_is_refused_with_its_place(content: bytes, words: str) -> None:
    assert words in parse_table(content, "dua", ("email",)).refusal


def test_a_file_that_changes_while_it_is_read_is_not_used(tmp_path: Path) -> None:
    file, is_over = tmp_path / "dua.csv", threading.Event()
    file.write_bytes(b"email\n" + b"alice@example.org\n" * 200_000)

    def write() -> None:
        with file.open("ab") as more:
            while not is_over.is_set():
                more.write(b"alice@example.org\n")
                more.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert any(read_unchanged_file(file, MAX_BYTES) is None for _ in range(2_000))
    finally:
        is_over.set()
        writer.join()
    assert read_unchanged_file(file, MAX_BYTES) == file.read_bytes()


def test_the_column_key_holds_an_id_a_name_or_an_address() -> None:
    text = f"key,email,note\n{'a' * 24},,x\nbob,,y\ncem@example.org,,z\n"
    table = read_table(text, ("user_id", "username", "email"))
    assert codes(table) == [], "the column stands for two others"
    rows = table.rows
    assert [(row.user_id, row.username, row.email) for row in rows] == [
        ("a" * 24, None, None),
        (None, "bob", None),
        (None, None, "cem@example.org"),
    ]
    assert rows[0].columns == {"note": "x"}


def test_a_moment_with_its_own_zone_is_that_moment() -> None:
    table = read_table("email,expires\nalice@example.org,2026-11-26T13:30:00+02:00\n")
    assert table.find(ALICE, "alice@example.org", now=NOW).state == "expired"


@pytest.mark.parametrize("written", ["9999-12-31", "9999-12-30", "9999-12-31T23:59:59"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Lima"])
def test_a_date_at_the_end_of_the_calendar_means_no_practical_end(written: str, zone: str) -> None:
    table = read_table(f"email,expires\nalice@example.org,{written}\n", zone=ZoneInfo(zone))
    assert codes(table) == []
    hit = table.find(ALICE, "alice@example.org", now=NOW)
    assert (hit.state, hit.expires and hit.expires.year) == ("valid", 9999)
    assert hit.expires is not None
    assert last_day(hit.expires, ZoneInfo(zone)).year == 9999


@pytest.mark.parametrize("written", ["9999-12-31T23:59-12:00", "0001-01-01T00:00+23:59"])
def test_a_moment_outside_the_calendar_is_a_bad_date_in_its_row_only(written: str) -> None:
    table = read_table(f"email,expires\nalice@example.org,{written}\nbob@example.org,2027-06-30\n")
    assert codes(table) == [(2, "no_date")]
    assert state(table) is None
    assert state(table, address="bob@example.org") == "valid"
    assert codes(read_table(f"email,from\nalice@example.org,{written}\n")) == [(2, "no_date")]


# ---- whom a row means ------------------------------------------------------------------------------------------------


def test_a_username_matches_only_once_it_is_bound_to_an_account() -> None:
    table = read_table("username\nalice\n", ("username",))
    assert unbound_usernames(table, {}) == ("alice",)
    assert state(table) is None
    bindings = {"alice": ALICE.id or ""}
    assert unbound_usernames(table, bindings) == ()
    assert state(table, bindings=bindings) == "valid"
    assert state(table, MALLORY, bindings=bindings) == "missing"
    renamed = Person(ALICE.id, "alice-two")
    assert state(table, renamed, bindings=bindings) == "valid"


def test_a_row_with_name_and_mail_is_bound_by_the_mail_of_the_account() -> None:
    table = read_table("username,email\nalice,alice@example.org\n", ("username",))
    assert state(table) == "valid"
    assert state(table, MALLORY, "mallory@example.org") is None


def test_a_key_that_no_row_uses_may_be_hidden() -> None:
    table = read_table(f"user_id,email\n{'a' * 24},\n", ("user_id", "email"))
    assert state(table, MALLORY, None) == "missing"


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("a@mit.edu", True), ("a@cs.mit.edu", True), ("a@x.cs.mit.edu", True), ("a@notmit.edu", False), ("a@mit.edu.evil.com", False),
        ("a@xn--mt-nja.edu", False), ("a@edu", False),
    ],
)  # fmt: skip
def test_domains_in_place_match_on_labels(address: str, listed: bool) -> None:
    table = inline_table("mit", ["@mit.edu", "@*.mit.edu"])
    assert state(table, address=address) == ("valid" if listed else "missing")
    assert state(table, address=None) is None


def test_rows_in_place_may_be_names_addresses_and_domains() -> None:
    table = inline_table("friends", ["@bob", "carol", "alice@example.org", "@*.example.net", "not a name!"])
    assert table.usernames() == ("bob", "carol")
    assert state(table) == "valid"
    assert state(table, address="x@y.example.net") == "valid"
    assert codes(table) == [(1, "tidied"), (5, "no_username")]
    assert state(table, address="x@example.com") is None


def test_half_characters_in_a_cell_never_reach_an_expression() -> None:
    table = read_table('{"email": "alice@example.org", "n": "\\ud800"}', is_json=True)
    assert table.find(ALICE, "alice@example.org", now=NOW).row == {"n": "\ufffd"}


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_make_the_reader_raise_and_none_of_them_lists_a_stranger(content: bytes, is_json: bool) -> None:
    table = parse_table(content, "any", ("email", "username", "user_id"), is_json=is_json)
    assert state(table, Person("0" * 24, "somebody-else"), "somebody@never.example") in {None, "missing"}


def test_with_several_keys_any_of_them_finds_the_row() -> None:
    text = f"user_id,email\n{'A' * 24},\n,bob@example.org\n"
    table = read_table(text, ("user_id", "email"))
    assert state(table, ALICE, "x@example.org") == "valid"
    assert state(table, MALLORY, "bob@example.org") == "valid"
    assert state(table, MALLORY, "x@example.org") == "missing"
    assert state(table, MALLORY, None) is None
    assert state(table, Person(), "x@example.org") is None
