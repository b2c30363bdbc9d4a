"""A changed row changes nothing else in the owner's file, whatever dialect it is written in."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.errors import UsageError
from hf_gate.grants.table_edits import RowEdits, edit_table
from hf_gate.policies.drivers.table_files import parse_table

TEXT = '# the students of 2026\nemail;name;expires\n\n# first term\nada@x.example;"Ada; L";2027-01-01\nbob@x.example;Bob;\n'


def _edit(text: str, edits: RowEdits, key: tuple[str, ...] = ("email",), *, is_json: bool = False) -> str:
    return edit_table(text.encode(), edits, key=key, is_json=is_json).decode()


def _lines(text: str, key: tuple[str, ...] = ("email",)) -> dict[str, int]:
    return {row.email or row.username or "": row.line for row in parse_table(text.encode(), "t", key).rows}


def test_comments_blank_lines_and_the_other_rows_stay_as_they_are() -> None:
    added = _edit(TEXT, RowEdits(added=[{"email": "cem@x.example", "name": 'C "em"'}]))
    assert added == TEXT + 'cem@x.example;"C ""em""";\n'
    removed = _edit(TEXT, RowEdits(removed=[_lines(TEXT)["ada@x.example"]]))
    assert removed == TEXT.replace('ada@x.example;"Ada; L";2027-01-01\n', "")
    changed = _edit(TEXT, RowEdits(changed={_lines(TEXT)["bob@x.example"]: {"expires": "2028-01-01"}}))
    assert changed == TEXT.replace("bob@x.example;Bob;", "bob@x.example;Bob;2028-01-01")


def test_a_comment_is_no_row_and_a_commented_row_that_is_no_comment_is_reported() -> None:
    table = parse_table(b"username\n# ada\nbob\n#cem\nlast\n", "t", ("username",))
    assert [row.username for row in table.rows] == ["bob", "last"]
    assert [each.line for each in table.problems] == [4]  # may be a person, so everybody who is not found is unknown


def test_a_comment_inside_a_quoted_cell_is_text() -> None:
    table = parse_table(b'email,note\nada@x.example,"one\n# two"\n', "t", ("email",))
    assert table.rows[0].columns == {"note": "one\n# two"}


@pytest.mark.parametrize("value", ["=1+1", "+41 79", "-x", "@SUM(A1)", "\t=1", "a;=1"])
def test_a_cell_that_a_spreadsheet_would_run_is_written_as_text(value: str) -> None:
    text = _edit("email,note\n", RowEdits(added=[{"email": "@x.example", "note": value}]))
    email, note = list(csv.reader(io.StringIO(text)))[1]
    assert email == "@x.example"
    assert not note.startswith(("=", "+", "-", "@", "\t"))
    assert "'" in note


@pytest.mark.parametrize("is_json", [False, True])
def test_a_value_that_is_not_unicode_text_is_refused(is_json: bool) -> None:
    with pytest.raises(UsageError, match="the value of note is not UTF-8 text"):
        _edit(
            "" if is_json else "email,note\n",
            RowEdits(added=[{"email": "@x.example", "note": "\udcff"}]),
            is_json=is_json,
        )


def test_a_row_never_becomes_a_comment() -> None:
    text = _edit("note,email\n", RowEdits(added=[{"email": "ada@x.example", "note": "# 7"}]))
    assert parse_table(text.encode(), "t", ("email",)).rows[0].columns == {"note": "# 7"}


def test_an_unknown_column_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="no column phone; its columns are email, name, expires"):
        _edit(TEXT, RowEdits(added=[{"email": "a@x.example", "phone": "1"}]))


def test_json_lines_keep_their_other_lines_and_the_order_of_their_keys() -> None:
    text = '{"name": "Ada", "e-mail": "ada@x.example"}\r\n{"email":"bob@x.example"}'
    line = _edit(text, RowEdits(changed={1: {"email": "new@x.example"}}), is_json=True).split("\r\n")
    assert line == ['{"name": "Ada", "e-mail": "new@x.example"}', '{"email":"bob@x.example"}']
    assert _edit(text, RowEdits(added=[{"email": "é@x.example"}]), is_json=True).endswith(
        '"}\r\n{"email": "é@x.example"}'
    )


def test_a_file_with_a_column_key_takes_ids_and_names_there() -> None:
    text = "key,email,from,expires,note,file_hash,version\n"
    made = _edit(text, RowEdits(added=[{"username": "ada", "email": "ada@x.example"}]), ("user_id", "email"))
    assert made == text + "ada,ada@x.example,,,,,\n"


_WORDS = st.text("ab é'\"#;,\t =@+\n\r", max_size=8)
_NAMES = st.lists(st.integers(0, 500), min_size=1, max_size=6, unique=True)


@st.composite
def _files(draw: st.DrawFn, *, has_dates: bool = True) -> tuple[str, list[str]]:
    """A table file in some dialect, with comments and blank lines, and the addresses in it."""
    width = 3 if has_dates else draw(st.sampled_from([1, 2]))
    delimiter = draw(st.sampled_from(",;\t"))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    is_quoted = draw(st.booleans())
    people = [f"p{number}@x.example" for number in draw(_NAMES)]

    def line(cells: list[str]) -> str:
        out = io.StringIO()
        writer = csv.writer(
            out,
            delimiter=delimiter,
            lineterminator="",
            quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL,
        )
        writer.writerow(cells)
        return out.getvalue()

    lines = [line(["E-Mail", "note", "expires"][:width])]
    for each in people:
        lines += draw(st.lists(st.sampled_from(["", "# a comment", '#\t"open']), max_size=2))
        lines.append(line([each, draw(_WORDS), draw(st.sampled_from(["", "2027-01-01"]))][:width]))
    mark = draw(st.sampled_from(["", "# top" + end, end]))
    return mark + end.join(lines) + draw(st.sampled_from(["", end])), people


@given(_files(), _WORDS, st.data())
def test_a_row_that_is_added_and_removed_leaves_the_bytes_as_they_were(
    file: tuple[str, list[str]], note: str, data: st.DataObject
) -> None:
    text, people = file
    before = _lines(text)
    assert [*before] == people
    new = _edit(text, RowEdits(added=[{"email": "new@x.example", "note": note}]))
    after = _lines(new)
    assert [*after] == [*people, "new@x.example"]
    assert _edit(new, RowEdits(removed=[after["new@x.example"]])) == text
    one = data.draw(st.sampled_from(people))
    changed = _edit(text, RowEdits(changed={before[one]: {"expires": "2030-01-01"}}))
    rows = {row.email: row for row in parse_table(changed.encode(), "t", ("email",)).rows}
    olds = {row.email: row for row in parse_table(text.encode(), "t", ("email",)).rows}
    assert {each: rows[each].columns for each in people} == {each: olds[each].columns for each in people}
    assert rows[one].expires is not None


@given(_files(has_dates=False), st.data())
def test_a_file_without_an_end_gets_the_column_and_keeps_all_else(
    file: tuple[str, list[str]], data: st.DataObject
) -> None:
    text, people = file
    one = data.draw(st.sampled_from(people))
    changed = _edit(text, RowEdits(changed={_lines(text)[one]: {"expires": "2030-01-01"}}))
    rows = {row.email: row for row in parse_table(changed.encode(), "t", ("email",)).rows}
    olds = {row.email: row for row in parse_table(text.encode(), "t", ("email",)).rows}
    assert [*rows] == people
    assert {each: row.columns for each, row in rows.items()} == {each: row.columns for each, row in olds.items()}
    assert [each for each, row in rows.items() if row.expires is not None] == [one]
    comments = [line for line in text.splitlines() if line.startswith(("# a comment", "# top"))]
    assert [line for line in changed.splitlines() if line in comments] == comments
