"""Making a list in the desk: what is understood, who matches, what is left out, and that only what was shown is written."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.errors import UsageError
from hf_gate.grants.pages.tables import MAX_LINES, MAX_UPLOAD
from hf_gate.grants.service.tables.new_lists import read_columns
from hf_gate.policies.drivers.workspace_folder import read_folder
from hf_gate.policies.parsing.config_edits import add_table, describe_table
from hf_gate.policies.parsing.config_parser import parse_config
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk, text_of
from tests.kits.desk_actions import MULTIPART_TYPE, encode_multipart

ALLOWED = "desk: {may_write_tables: true}  # by the owner\n"
EVIL = "<img src=x onerror=alert(1)>\u202e"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, config=ALLOWED) as desk:
        people = [{"username": n, "email": f"{n}@ethz.ch", "fullname": f"{n.title()} Muster"} for n in ("ada", "bob")]
        desk.ask(people, {"Purpose": GOOD})
        yield desk


def _folder(desk: Desk) -> Path:
    assert desk.app_state.workspace.location.folder is not None
    return desk.app_state.workspace.location.folder


def _admin(desk: Desk, name: str = "mia", *repos: str) -> Visitor:
    return desk.visitor(Member(name=name, role=MemberRole.ADMIN, repos=repos or None))


def _shown(page: Answer) -> str:
    found = re.search(r'name="shown" value="([0-9a-f]{64})"', page.body)
    assert found, text_of(page.body)
    return found[1]


def _make(visitor: Visitor, name: str, rows: str, **more: str) -> Answer:
    values = {"name": name, "rows": rows, **more}
    page = visitor.post("/new-list", values)
    assert page.status == 200, text_of(page.body)
    confirmation = {**values, **_columns_of(page), "do": "write", "shown": _shown(page)}
    return visitor.post("/new-list", confirmation)


def _columns_of(page: Answer) -> dict[str, str]:
    """The fields of columns with which a browser confirms the page."""
    names = re.findall(r'name="(column\.\d+)" value="([^"]*)"', page.body)
    picks = re.findall(r'<select [^>]*name="(as\.\d+)">(.*?)</select>', page.body, re.DOTALL)
    meanings = {field: re.search(r'value="(\w*)" selected', options) for field, options in picks}
    chosen = {field: meaning[1] if meaning else "" for field, meaning in meanings.items()}
    return {**{field: html.unescape(name) for field, name in names}, **chosen}


def test_pasted_names_show_who_matches_and_become_a_table(desk: Desk) -> None:
    mia = _admin(desk)
    assert 'href="/new-list"' in mia.get("/tables").body
    config = (_folder(desk) / "hf-gate.yaml").read_text("utf-8")
    page = mia.post(
        "/new-list", {"name": "partners", "rows": "@ada\r\nzoe@x.example.org\r\nBob Muster <bob@ethz.ch>\n"}
    )
    text = text_of(page.body)
    assert "Who matches now 2 requests waiting, 0 with access" in text
    assert "Nobody asked under: zoe@x.example.org" in text
    assert "3 rows. Nothing is written yet." in text
    assert not (_folder(desk) / "tables").exists()
    made = _make(mia, "partners", "@ada\r\nzoe@x.example.org\r\nBob Muster <bob@ethz.ch>\n")
    assert (made.status, made.headers["location"]) == (303, "/tables/partners?done=1")
    assert (_folder(desk) / "tables" / "partners.csv").read_text("utf-8") == (
        "email,username,expires\n,ada,\nzoe@x.example.org,,\nbob@ethz.ch,,\n"
    )
    entry = "partners: {file: tables/partners.csv, key: [email, username]}"
    assert (_folder(desk) / "hf-gate.yaml").read_text("utf-8") == f"{config}tables:\n  {entry}\n"
    assert "3 rows. Key: email, username." in text_of(mia.get("/tables/partners").body)
    entries = desk.visitor().get("/audit.json").json
    assert [(one["actor"], one["body"]["added"]) for one in entries if one["kind"] == "TableChanged"] == [("mia", 3)]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_first_of_pasted_addresses_is_a_row_like_the_others(mark: str) -> None:
    columns = read_columns(f"{mark}ada@ethz.ch\nbob@ethz.ch\nzoe@x.example\n", {})
    assert columns.content.decode() == "email,username\nada@ethz.ch,\nbob@ethz.ch,\nzoe@x.example,\n"
    pairs = read_columns("ada@ethz.ch, bob@ethz.ch\nzoe@x.example, cem@x.example\n", {})
    assert pairs.content.count(b"@") == 4


@pytest.mark.parametrize("rows", ["Ada,ada@ethz.ch\nBob,bob@ethz.ch\n", "ada@ethz.ch;Ada\nbob@ethz.ch;Bob\n"])
def test_a_first_name_in_a_file_without_column_names_is_not_taken_for_an_account(rows: str) -> None:
    with pytest.raises(UsageError, match="does not name the columns"):
        read_columns(rows, {})


def test_a_csv_keeps_its_columns_and_a_person_can_say_what_they_mean(desk: Desk) -> None:
    mia = _admin(desk)
    rows = "Institute;Contact;HF user;Until\nETH;ada@ethz.ch;ada;2099-06-30\nUZH;zoe@uzh.ch;zoe;\n"
    page = mia.post("/new-list", {"name": "partners", "rows": rows})
    chosen = re.findall(r'<option value="(\w*)" selected', page.body)
    assert chosen == ["", "email", "username", "expires"]
    names = ("Institute", "Contact", "HF user", "Until")
    columns = {f"column.{number}": name for number, name in enumerate(names)}
    picks = {f"as.{number}": meaning for number, meaning in enumerate(("", "", "username", "expires"))}
    assert _make(mia, "partners", rows, **columns, **picks).status == 303
    (spec,) = read_folder(_folder(desk)).config.tables
    assert spec.key == ("username",)
    assert (_folder(desk) / "tables" / "partners.csv").read_text("utf-8").splitlines() == [
        "Institute,Contact,username,expires",
        "ETH,ada@ethz.ch,ada,2099-06-30",
        "UZH,zoe@uzh.ch,zoe,",
    ]
    twice = mia.post("/new-list", {"name": "others", "rows": rows, **columns, **picks, "as.0": "username"})
    assert (twice.status, "Two columns mean username." in twice.body) == (422, True)
    nobody = mia.post("/new-list", {"name": "others", "rows": rows, **columns, **dict.fromkeys(picks, "")})
    assert (nobody.status, "No column names people." in nobody.body) == (422, True)
    assert 'name="as.2"' in nobody.body  # the meaning can still be chosen


def test_lines_that_cannot_be_read_are_named_and_left_out(desk: Desk) -> None:
    mia = _admin(desk)
    rows = f"username,expires,note\nada,,\nb b,,\nbob,soon,\n{EVIL},,\ncem,,,,\ndua,,last\n"
    page = mia.post("/new-list", {"name": "partners", "rows": rows})
    text = text_of(page.body)
    for words in ("Line 3: 'b b' is not a Hub username", "Line 4: Expires 'soon' is not a date", "Line 6: 5 cells"):
        assert words in text
    assert "onerror=alert(1)>" not in page.body
    assert "\u202e" not in page.body
    assert _make(mia, "partners", rows).status == 303
    lines = (_folder(desk) / "tables" / "partners.csv").read_text("utf-8").splitlines()
    assert lines == ["username,expires,note", "ada,,", "dua,,last"]
    words = text_of(mia.post("/new-list", {"name": "more", "rows": "Ada Lovelace\n@bob\nb@d@e\n"}).body)
    assert "Lovelace stands among other words. Write one name a line." in words
    assert "b@d@e is not a username, e-mail address or id." in words


def test_a_file_is_read_as_its_text(desk: Desk) -> None:
    body = encode_multipart(
        [("name", b"partners"), ("rows", b""), ("file", b"\xef\xbb\xbfemail,note\nada@ethz.ch,x\n")]
    )
    page = _admin(desk).ask("POST", "/new-list", body, {"content-type": MULTIPART_TYPE})
    assert "1 request waiting, 0 with access" in text_of(page.body)
    assert "email,note\nada@ethz.ch,x" in page.body


@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [
        ("partners", "", "Paste a list, or choose a file."),
        ("../x", "ada", "This is not a name of a list."),
        ("a: b", "ada", "This is not a name of a list."),
        ("partners", "x" * (MAX_UPLOAD + 1), "larger than 256 KiB"),
        ("partners", "username\n" + "\n" * (MAX_LINES + 1), "more than 20,000 lines"),
        ("partners", ",".join(["username", *(f"c{n}" for n in range(200))]) + "\n", "more than 200 columns"),
        ("partners", "username\nada b\n", "Line 2: 'ada b' is not a Hub username."),
        ("partners", "Name,Room\nAda,1\n", "No column names people."),
    ],
)
def test_what_is_no_list_is_refused_and_nothing_is_written(desk: Desk, name: str, rows: str, words: str) -> None:
    before = (_folder(desk) / "hf-gate.yaml").read_bytes()
    answer = _admin(desk).post("/new-list", {"name": name, "rows": rows, "do": "write"})
    assert answer.status == 422 or "Create list" in answer.body
    assert words in html.unescape(answer.body)
    assert (_folder(desk) / "hf-gate.yaml").read_bytes() == before
    assert not (_folder(desk) / "tables").exists()


def test_only_what_was_shown_is_written(desk: Desk) -> None:
    mia = _admin(desk)
    page = mia.post("/new-list", {"name": "partners", "rows": "ada"})
    again = mia.post("/new-list", {"name": "partners", "rows": "ada\nbob", "do": "write", "shown": _shown(page)})
    assert (again.status, "2 rows. Nothing is written yet." in text_of(again.body)) == (200, True)
    assert _make(mia, "partners", "ada").status == 303
    taken = mia.post("/new-list", {"name": "partners", "rows": "bob"})
    assert (taken.status, "There is a list partners already." in taken.body) == (422, True)


def test_a_save_that_broke_off_is_finished_by_repeating_it(desk: Desk) -> None:
    mia = _admin(desk)
    (_folder(desk) / "tables").mkdir()
    file = _folder(desk) / "tables" / "partners.csv"
    file.write_text("email,username,expires\n,ada,\n", "utf-8")
    other = mia.post("/new-list", {"name": "partners", "rows": "ada\nbob"})
    assert (other.status, "with other rows" in other.body) == (422, True)
    assert _make(mia, "partners", "ada").status == 303
    assert file.read_text("utf-8") == "email,username,expires\n,ada,\n"
    assert [spec.name for spec in read_folder(_folder(desk)).config.tables] == ["partners"]


def test_only_an_admin_of_all_repos_makes_lists_and_only_where_the_owner_allowed_it(tmp_path: Path) -> None:
    values = {"name": "partners", "rows": "ada", "do": "write"}
    with open_desk(tmp_path) as desk:
        refused = desk.visitor().post("/new-list", values)
        assert (refused.status, "may_write_tables: true" in html.unescape(refused.body)) == (422, True)
        listed = text_of(desk.visitor().get("/tables").body)
        assert "This page writes no files. To change a list, run in the workspace: hf-gate table add NAME" in listed
        (tmp_path / "hf-gate.yaml").write_text((tmp_path / "hf-gate.yaml").read_text("utf-8") + ALLOWED, "utf-8")
        desk.app_state.policies.expire()
        arno = _admin(desk, "arno", str(desk.repo))
        for visitor in (arno, desk.reviewer(), desk.viewer()):
            assert visitor.post("/new-list", values).status == 403
            assert visitor.get("/new-list").status == (403 if visitor is arno else 404)
            assert "/new-list" not in visitor.get("/tables").body
    assert not (tmp_path / "tables").exists()


# ---- hf-gate.yaml ----------------------------------------------------------------------------------------------------

HEAD = "version: 1\nrepos: [a/b]  # ours\n"
ENTRY = describe_table("new", "tables/new.csv", ("email",))


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD.replace("\n", "\r\n"),
        HEAD + "timezone: UTC",
        HEAD
        + "tables:\n  # people\n  old: {file: o.csv, key: email}  # kept\n\n# end\ndesk: {may_write_tables: true}\n",
        HEAD + "tables:\n      old:\n        file: o.csv\n        key: email\n",
        HEAD + "tables: {old: {file: o.csv, key: email}}\n",
        HEAD + 'tables: {old: ["@x.example"]}\ntimezone: UTC\n',
    ],
)
def test_a_table_is_added_and_every_other_byte_stays(text: str) -> None:
    before, new = parse_config(text).config, add_table(text, "hf-gate.yaml", "new", ENTRY)
    after = parse_config(new).config
    assert before is not None
    assert after is not None
    assert {spec.name for spec in after.tables} == {spec.name for spec in before.tables} | {"new"}
    assert (after.repos, after.timezone, after.may_write_tables) == (
        before.repos,
        before.timezone,
        before.may_write_tables,
    )
    left = iter(new)
    assert all(sign in left for sign in text)  # in this order
    assert len(new) - len(text) <= len(ENTRY) + len("\r\ntables:\r\n  \r\n")


@pytest.mark.parametrize(
    "more",
    ["tables:\n", "tables: {}\n", "tables: &t {old: {file: o.csv}}\n", "...\n", "tables: {new: {file: o.csv}}\n"],
)
def test_a_text_that_would_say_something_else_is_left_alone(more: str) -> None:
    text = HEAD + more
    with pytest.raises(UsageError, match="cannot be changed here") as refused:
        add_table(text, "hf-gate.yaml", "new", ENTRY)
    assert refused.value.hint == f"Add this line under `tables`: {ENTRY}"


@given(text=st.text(alphabet="ab:{}[],#&*|> \n\t-'\"\r.t", max_size=60))
def test_whatever_a_file_says_it_says_the_rest_as_before(text: str) -> None:
    try:
        new = add_table(text, "hf-gate.yaml", "new", ENTRY)
    except UsageError:
        return
    assert new.count(ENTRY) == 1
