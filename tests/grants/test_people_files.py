"""Lists of people are read as they are written: every dialect gives the same rows, and hostile files one line."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import UTC, date, datetime

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.errors import UsageError
from hf_gate.grants.people_files import MAX_PEOPLE, PeopleFile, classify_key, format_people, read_people_text
from hf_gate.grants.service.tables.table_imports import check_list, read_people_file

names = st.from_regex(r"[a-z][a-z0-9]{2,8}", fullmatch=True)
notes = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12).map(str.strip)
keys = st.tuples(names, names).map(lambda pair: (pair[0], f"{pair[1]}@uni.example"))
people = st.lists(
    st.tuples(keys, notes, st.sampled_from("ue2")), min_size=1, max_size=12, unique_by=lambda row: row[0][0]
)


def rows_of(found: PeopleFile) -> list[dict[str, str]]:
    return [dict(cells) for _, cells in found.read.records]


@given(people, st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans(), st.booleans())
def test_rows_in_any_dialect_are_read_as_the_same_rows(
    rows: list[tuple[tuple[str, str], str, str]], delimiter: str, end: str, is_quoted: bool, has_bom: bool, titled: bool
) -> None:
    wanted = []
    out = io.StringIO()
    writer = csv.writer(
        out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL
    )
    if titled:
        writer.writerow(["Kurs: Sprache und Hafen"])
        writer.writerow([])
    writer.writerow(["E-Mail", "Note", "Username"])
    for number, ((name, _), note, which) in enumerate(rows):
        address = f"p{number}@uni.example"
        email, user = ("" if which == "u" else address), ("" if which == "e" else name)
        writer.writerow([email, note, user])
        wanted.append((email, note, user))
    content = out.getvalue().encode("utf-8-sig" if has_bom else "utf-8")
    found = rows_of(read_people_text(content, {}))
    assert [(row.get("email", ""), row["Note"], row.get("username", "")) for row in found] == wanted
    again = read_people_text(format_people(read_people_text(content, {})).encode(), {})
    assert rows_of(again) == found
    as_json = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in found).encode()
    assert rows_of(read_people_text(as_json, {})) == found


@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_one_refusal(content: bytes) -> None:
    try:
        found = read_people_file(content, {})
        check_list(found, "list", found.keys or ("email",), UTC)
    except UsageError:
        return
    assert found.read.records


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("@Ada-L", ("username", "Ada-L")),
        ("https://huggingface.co/ada-l/", ("username", "ada-l")),
        ("hf.co/ada-l", ("username", "ada-l")),
        ("@uni.example", ("email", "@uni.example")),
        ("Ada Lovelace <mailto:ada@uni.example>", ("email", "ada@uni.example")),
        ("0123456789abcdef01234567", ("user_id", "0123456789abcdef01234567")),
        ("https://github.com/ada-l", ("", "https://github.com/ada-l")),
        ("https://huggingface.co/%2e%2e", ("", "https://huggingface.co/%2e%2e")),
        ("https://huggingface.co/datasets/ada-l", ("", "https://huggingface.co/datasets/ada-l")),
    ],
)
def test_a_key_is_known_by_its_form(text: str, key: tuple[str, str]) -> None:
    assert classify_key(text) == key


def test_keys_of_any_kind_stand_in_any_column() -> None:
    found = read_people_text(b"Account;E-Mail\nada@x.example;\n;https://hf.co/bob\n@x.example;\n-;keine\n", {})
    assert rows_of(found) == [
        {"email": "ada@x.example", "username": ""},
        {"email": "", "username": "bob"},
        {"email": "@x.example", "username": ""},
    ]
    assert found.notes == ["1 line has no username or address that hf-gate recognised: 5"]


@pytest.mark.parametrize(
    "name",
    ["Hugging-Face-Konto", "HF-Name", "HF Benutzername", "Username (Hugging Face)", "HuggingFace ID", "Nutzername"],
)
def test_a_column_of_usernames_is_recognised_by_its_name(name: str) -> None:
    found = read_people_text(f"Name;{name};E-Mail\nAda;ada-l;\nBob;;b@x.example\n".encode(), {})
    assert [(row["username"], row["email"]) for row in rows_of(found)] == [("ada-l", ""), ("", "b@x.example")]
    assert found.columns[name] == "username"


def test_a_column_of_usernames_is_recognised_by_its_cells() -> None:
    text = "Name;Wo;Mail\nAda L;ada-l;\nBob B;https://hf.co/bob;\nEve E;;e@x.example\nZoe Z;zoe;\n"
    found = read_people_text(text.encode(), {})
    assert [row["username"] for row in rows_of(found)] == ["ada-l", "bob", "", "zoe"]
    text = text.replace("https://hf.co/bob", "bob")
    found = read_people_text(text.encode(), {}, {"ada-l", "bob", "zoe"}.__contains__)
    assert [row["username"] for row in rows_of(found)] == ["ada-l", "bob", "", "zoe"]
    with pytest.raises(
        UsageError, match=r"3 of 4 lines have no username.*not read as usernames or addresses: Name, Wo"
    ):
        read_people_text(text.encode(), {})
    assert "Name" in rows_of(read_people_text(text.encode(), {"Wo": "username"}))[0]


def test_lines_without_a_cell_are_no_lines_of_a_list() -> None:
    found = read_people_text(b"Name;E-Mail\nAda;ada@x.example\n;\n;\n;\n;\n", {})
    assert (len(rows_of(found)), found.notes) == (1, [])


def test_a_wrong_name_of_a_column_of_the_table_is_refused() -> None:
    with pytest.raises(UsageError, match="no column usrname; did you mean username"):
        read_people_text(b"E-Mail;X\na@x.example;ada\n", {"X": "usrname"})


def test_repeated_rows_are_merged_and_contradictions_are_all_said() -> None:
    text = "username,email,expires\nada,,\nADA,ada@x.example,\n,ada@x.example,2030-01-01\n"
    found = read_people_text(text.encode(), {})
    assert rows_of(found) == [{"email": "ada@x.example", "username": "ada", "expires": "2030-01-01"}]
    assert found.notes == ["2 lines repeat a row and were merged: 3, 4"]
    wrong = "username,email\nada,ada@x.example\nada,eve@x.example\nb b,\n,not(at)x.example\nzoe,z@x.example,1,2\n"
    with pytest.raises(UsageError) as refused:
        check_list(read_people_text(wrong.encode(), {}), "list", ("username", "email"), UTC)
    assert [line.partition(":")[0] for line in refused.value.details] == [
        "line 3",
        "line 4",
        "line 5",
        "line 6",
    ]
    many = "email\n" + "".join(f"b b{n}\n" for n in range(500))
    with pytest.raises(UsageError, match="500 lines of the file cannot be used") as refused:
        check_list(read_people_text(many.encode(), {}), "list", ("email",), UTC)
    assert len(refused.value.details) < 25


def test_the_cells_of_a_repeated_row_that_differ_are_said() -> None:
    text = "username,Note,Büro\nada,<b>first,\nbob,,\nADA,second,12\nada,,13\nada,<b>first,12\n"
    found = read_people_text(text.encode(), {})
    assert rows_of(found)[0] == {"username": "ada", "Note": "<b>first", "Büro": "12"}
    assert found.notes == [
        "3 lines repeat a row and were merged: 4, 5, 6",
        "line 4 repeats 2: kept Note '<b>first', not 'second'",
        "line 5 repeats 2: kept Büro '12', not '13'",
    ]


def test_a_file_of_windows_is_read_and_that_is_said() -> None:
    found = read_people_text("Name;E-Mail\nJörg Müller;joerg@x.example\n".encode("cp1252"), {})
    assert rows_of(found)[0]["Name"] == "Jörg Müller"
    assert "Windows-1252" in found.notes[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b'email\n"ada@x.example\n', "the file may be incomplete"),
        (b"email\nada@x.example\0\n", "line 2 has a NUL byte"),
        (b"email\n" + b"x" * (10 << 20), "field larger than field limit"),
        (b"email\n" + b"a@x.example\n" * (MAX_PEOPLE + 1), "more than 100,000 rows"),
        ("email\na@x.example\n".encode("utf-16"), "UTF-16"),
        (b"email" + b",x" * 300, "more than 200 columns"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or a protected workbook"),
        (b"PK\x03\x04 is no workbook", "the workbook cannot be read"),
        (b"email,username,expires\na@x.example,ada,2030-06-30\nb@x.example,b", "line, 3, is incomplete"),
        (b"username,end,expires\nada,2030-01-01,2030-06-30\n", "Two values of expires"),
        (b"username\n" + b"@" * 100_000, "1 line of the file"),
        (b"username\n<" + b" " * 100_000 + b"x", "is not a username"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(content: bytes, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_list(read_people_file(content, {}), "list", ("email", "username"), UTC)
    assert words in f"{refused.value} {refused.value.details}"


def test_the_end_is_the_one_of_two_columns_that_is_filled_in() -> None:
    found = read_people_text(b"username,end,expires\nada,,2030-06-30\nbob,2030-01-01,\n", {})
    assert [row["expires"] for row in rows_of(found)] == ["2030-06-30", "2030-01-01"]


def test_dates_with_dots_are_days_months_and_years_and_the_list_says_so() -> None:
    text = "username;from;expires\nada;1.2.2027;31.12.2027\nbob;;2. 3. 2028\ncy;;2028-01-01\ndi;;31.2.2027\n"
    found = read_people_text(text.encode(), {})
    assert [row["expires"] for row in rows_of(found)] == ["2027-12-31", "2028-03-02", "2028-01-01", "31.2.2027"]
    assert rows_of(found)[0]["from"] == "2027-02-01"
    assert found.notes == ["2 lines have a date such as 31.12.2027, read as day, month, year: 2, 3"]


def test_a_column_of_dates_with_an_unknown_name_is_named_because_no_access_ends_by_it() -> None:
    found = read_people_text(b"E-Mail;Vertrag;Notiz\na@x.org;31.12.2027;2 Jahre\nb@x.org;-;\n", {})
    (note,) = found.notes
    assert note == "no access ends by Vertrag, which has dates; if it is the end: --column expires='Vertrag'"
    assert read_people_text(b"email,signed,expires\na@x.org,2026-01-01,2027-01-01\n", {}).notes == []
    assert read_people_text(b"email,signed\na@x.org,2026-01-01\n", {"signed": "expires"}).notes == []


@pytest.mark.parametrize("name", ["valid until", "gültig bis", "bis", "Ablaufdatum", "Expiry date", "expires_at"])
def test_an_end_is_recognised_by_the_usual_names(name: str) -> None:
    (row,) = rows_of(read_people_text(f"email;{name}\na@x.org;2027-12-31\n".encode(), {}))
    assert row["expires"] == "2027-12-31"


def test_formulas_markup_and_control_characters_are_text() -> None:
    found = read_people_text(b'username,note\nada,"=1+1"\nbob,<b>\x1b[31m</b>\n', {})
    assert [row["note"] for row in rows_of(found)] == ["=1+1", "<b>\x1b[31m</b>"]
    for name in ("=1+1", "<b>ada</b>", "ada\x1b[31m"):
        with pytest.raises(UsageError) as refused:
            check_list(read_people_text(f"username\n{name}\n".encode(), {}), "list", ("username",), UTC)
        assert "\x1b" not in "".join(refused.value.details)


# ---- workbooks -------------------------------------------------------------------------------------------------------


def _workbook(rows: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_workbook_is_read_as_its_text_would_be() -> None:
    content = _workbook(
        [
            ["Teilnehmende"],
            [],
            ["Name", "E-Mail", "Hugging Face", "until"],
            ["Jörg", "joerg@x.example", None, date(2030, 6, 30)],
            ["Ada", None, "https://huggingface.co/ada-l", datetime(2030, 6, 30, tzinfo=None)],  # noqa: DTZ001
            ["Nr", None, 12345, "2030-06-30"],
        ]
    )
    found = read_people_file(content, {})
    assert (found.unit, found.notes) == ("row", ["skipped 1 row above the column names"])
    assert [row["expires"] for row in rows_of(found)] == ["2030-06-30"] * 3
    assert [(row["email"], row["username"]) for row in rows_of(found)] == [
        ("joerg@x.example", ""),
        ("", "ada-l"),
        ("", "12345"),
    ]


def test_a_wrong_row_of_a_workbook_is_called_a_row() -> None:
    people = read_people_file(_workbook([["email"], ["a(at)x.example"], ["b@x.example"]]), {})
    with pytest.raises(UsageError, match="1 row of the file cannot be used") as refused:
        check_list(people, "list", ("email",), UTC)
    assert refused.value.details[0].startswith("row 2: ")


def _repack(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(_workbook([["email"]]))) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.infolist():
            new.writestr(part, data if part.filename == name else old.read(part))
    return out.getvalue()


def test_a_workbook_that_unpacks_to_much_or_declares_entities_is_refused() -> None:
    sheet = "xl/worksheets/sheet1.xml"
    with pytest.raises(UsageError, match="when unpacked"):
        read_people_file(_repack(sheet, b" " * (65 << 20)), {})
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><worksheet>&b;</worksheet>'
    for data in (bomb, bomb.decode().encode("utf-16")):
        with pytest.raises(UsageError, match="declarations"):
            read_people_file(_repack(sheet, data), {})
    with pytest.raises(UsageError, match="cannot be read"):
        read_people_file(_repack(sheet, b"<worksheet><sheetData><row><c"), {})
    far = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1048576"><c r="XFD1048576" t="str"><v>x</v></c></row></sheetData></worksheet>'
    with pytest.raises(UsageError):
        read_people_file(_repack(sheet, far), {})


@pytest.mark.parametrize(
    ("part", "data"),
    [
        (
            "xl/worksheets/sheet1.xml",
            b"<worksheet><sheetData><row>" + b"<c/>" * 200_000 + b"</row></sheetData></worksheet>",
        ),
        ("xl/styles.xml", b"<styleSheet><cellXfs>" + b"<row/><xf/>" * 100_000 + b"</cellXfs></styleSheet>"),
        ("xl/worksheets/sheet1.xml", b"<worksheet>" + b'<row r="1"/>' * 4_100_000 + b"</worksheet>"),
        ("xl/worksheets/sheet1.xml", b"<worksheet " + b" ".join(b'a%d=""' % n for n in range(300)) + b"/>"),
    ],
    ids=["cells", "formats", "rows", "attributes"],
)
def test_a_small_workbook_with_millions_of_elements_is_refused_before_they_fill_the_memory(
    part: str, data: bytes
) -> None:
    with pytest.raises(UsageError, match="more cells or formats"):
        read_people_file(_repack(part, data), {})
