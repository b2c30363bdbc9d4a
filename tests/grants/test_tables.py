"""The pages of tables: who sees which rows, and that a change is shown, confirmed and written for admins only, where allowed."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.base.ids import parse_repo
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.desk.grants.tables import MAX_UPLOAD, PAGE_SIZE
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk, text_of
from tests.kits.desk_actions import MULTIPART_TYPE, encode_multipart

ALLOWED = "desk: {may_write_tables: true}\n"
TABLES = "tables: {dua: {file: tables/dua.csv, key: [user_id, username, email]}}\n"
HEADER = "key,email,note,file_hash,version\n"
ROWS = HEADER + "# signed in May\n,ada@ethz.ch,by post,9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f,2\n,old@ethz.ch,,,1\n"
POLICY = """\
version: 1
policy: house
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - id: missing
    when: "!tables.dua"
    then: wait
    at_most: 60d
    after: human
  - id: signed
    when: tables.dua
    then: accept
"""
EVIL = "<img src=x onerror=alert(1)>\u202e"


def _open_desk(folder: Path, config: str) -> Iterator[Desk]:
    (folder / "tables").mkdir()
    (folder / "tables" / "dua.csv").write_text(ROWS, "utf-8")
    with open_desk(folder, POLICY, config=TABLES + config) as desk:
        people = [{"username": n, "email": f"{n}@ethz.ch", "fullname": f"{n.title()} Muster"} for n in ("ada", "bob")]
        desk.ask(people, {"Purpose": GOOD})
        yield desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield from _open_desk(tmp_path, ALLOWED)


def _file(desk: Desk) -> Path:
    assert desk.app_state.workspace.location.folder is not None
    return desk.app_state.workspace.location.folder / "tables" / "dua.csv"


def _admin(desk: Desk, name: str = "mia", *repos: str) -> Visitor:
    return desk.visitor(Member(name=name, role=MemberRole.ADMIN, repos=repos or None))


def _hidden(page: Answer) -> dict[str, str]:
    """The fields that the preview sends again."""
    found = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.body))
    if match := re.search(r'<textarea name="rows"[^>]*>\n?(.*?)</textarea>', page.body, re.DOTALL):
        found["rows"] = match[1]
    return {html.unescape(name): html.unescape(value) for name, value in found.items() if name != "next"}


def _write(visitor: Visitor, values: dict[str, str], **more: str) -> Answer:
    shown = visitor.post("/tables/dua/import", values)
    assert shown.status == 200, shown.body
    return visitor.post("/tables/dua/import", {**_hidden(shown), "do": "write", **more})


def test_a_file_of_rows_starts_no_formula(desk: Desk) -> None:
    cells = "=HYPERLINK(1)", "\t@SUM(A1)", "-1+2", f"+{EVIL}"
    lines = "".join(f'p{n}@x.example.org,"{cell}"\n' for n, cell in enumerate(cells))
    _file(desk).write_text(f"email,=1+1\n{lines}", "utf-8")
    desk.app_state.policies.expire()
    for row in csv.reader(io.StringIO(desk.reviewer().get("/tables/dua.csv").body)):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t"))]
        assert "\u202e" not in "".join(row)


def test_a_refused_table_gives_no_file(desk: Desk) -> None:
    desk.app_state.policies.expire()
    lena = desk.visitor()
    lena.post("/plans")
    _file(desk).write_bytes(b"")
    desk.app_state.policies.expire()
    refused = lena.get("/tables/dua.csv")
    assert refused.status == 409
    assert "the file is empty" in refused.body


def test_rows_come_in_pages_of_a_bounded_size(desk: Desk) -> None:
    _file(desk).write_text(HEADER + "".join(f",p{n}@x.example.org,,,\n" for n in range(250)), "utf-8")
    desk.app_state.policies.expire()
    rob, path, seen = desk.reviewer(), "/tables/dua", list[str]()
    while path:
        body = rob.get(path).body
        names = re.findall(r"p\d+@x\.example\.org", body)
        assert len(names) <= PAGE_SIZE
        seen += names
        match = re.search(r'<a href="([^"]*)">Next rows', body)
        path = html.unescape(match[1]) if match else ""
    assert seen == [f"p{n}@x.example.org" for n in range(250)]
    assert rob.get("/tables/dua?after=99999999999999999999").status == 200


def test_tables_are_shown_although_a_policy_has_an_error(desk: Desk) -> None:
    (_file(desk).parent.parent / "policies" / "wrong.yaml").write_text("policy: wrong\n", "utf-8")
    desk.app_state.policies.expire()
    assert "ada@ethz.ch" in desk.reviewer().get("/tables/dua").body
    assert "ada@ethz.ch" in desk.reviewer("rob", str(desk.repo)).get("/tables/dua").body


def test_nothing_is_written_that_was_not_shown(desk: Desk) -> None:
    mia = _admin(desk)
    values = {"rows": "email\nbob@ethz.ch\n"}
    shown = _hidden(mia.post("/tables/dua/import", values))
    changed = ROWS.replace("old@", "new@")
    _file(desk).write_text(changed, "utf-8")
    late = mia.post("/tables/dua/import", {**shown, "do": "write"})
    assert (late.status, "changed since you saw the preview" in late.body) == (409, True)
    assert mia.post("/tables/dua/import", {**values, "do": "write"}).status == 409
    assert _file(desk).read_text("utf-8") == changed


def test_a_file_is_uploaded_and_its_rows_that_match_nobody_are_listed(desk: Desk) -> None:
    mia = _admin(desk)
    body = encode_multipart([("file", b"email,note\nzoe@else.example,x\n")])
    shown = mia.ask("POST", "/tables/dua/import", body, {"content-type": MULTIPART_TYPE})
    assert "Nobody asked under: zoe@else.example" in text_of(shown.body)
    assert mia.post("/tables/dua/import", {**_hidden(shown), "do": "write"}).status == 303
    assert _file(desk).read_text("utf-8") == ROWS + ",zoe@else.example,x,,\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty"),
        (b"email\nada@ethz.ch\nz a@ethz.ch\n", "line 3: 'z a@ethz.ch' is not an e-mail address"),
        (b"name,phone\nada,1\n", "no column with usernames or e-mail addresses"),
        (b"email\n" + b"x" * MAX_UPLOAD, "larger than 256 KiB"),
    ],
)
def test_a_bad_upload_is_refused_with_its_place(desk: Desk, content: bytes, words: str) -> None:
    answer = _admin(desk).ask(
        "POST", "/tables/dua/import", encode_multipart([("file", content)]), {"content-type": MULTIPART_TYPE}
    )
    assert answer.status == 422
    assert words in html.unescape(answer.body)
    assert _file(desk).read_text("utf-8") == ROWS


def test_many_rows_go_only_if_their_number_is_typed(desk: Desk) -> None:
    mia = _admin(desk)
    _file(desk).write_text(HEADER + "".join(f",p{n}@x.example.org,,,\n" for n in range(20)), "utf-8")
    values = {"rows": HEADER + ",p1@x.example.org,,,\n", "replaces": "yes"}
    assert _write(mia, values).status == 409
    assert _write(mia, values, count="19").status == 303
    assert _file(desk).read_text("utf-8").count("@x.example.org") == 1


def test_only_an_admin_of_all_repos_writes_and_only_where_the_owner_allowed_it(tmp_path: Path) -> None:
    values = {"rows": "email\nbob@ethz.ch\n"}
    for desk in _open_desk(tmp_path, ""):
        answer = desk.visitor().post("/tables/dua/import", values)
        assert (answer.status, "may_write_tables: true" in html.unescape(answer.body)) == (422, True)
        (tmp_path / "hf-gate.yaml").write_text((tmp_path / "hf-gate.yaml").read_text("utf-8") + ALLOWED, "utf-8")
        desk.app_state.policies.expire()
        for visitor in (_admin(desk, "arno", str(desk.repo)), desk.reviewer(), desk.viewer()):
            assert visitor.post("/tables/dua/import", {**values, "do": "write"}).status == 403
        assert _admin(desk).post("/tables/dua/import", values).status == 200
        assert _file(desk).read_text("utf-8") == ROWS


def test_members_of_some_repos_see_only_tables_of_policies_that_they_see(tmp_path: Path) -> None:
    own, other = parse_repo("lumen-labs/lantern-7b-chat"), parse_repo("datasets/tidewater-audio/harbour-voices")
    (tmp_path / "policies").mkdir(parents=True)
    for name, repo in (("here", own), ("beyond", other)):
        text = (
            POLICY.replace("house", name)
            .replace('["*/*", "datasets/*/*"]', f'["{repo}"]')
            .replace("tables.dua", f"tables.{name}")
        )
        text = text.replace("rules:\n", f"tables: {{{name}: [ada@{name}.example.org]}}\nrules:\n")
        (tmp_path / "policies" / f"{name}.yaml").write_text(text, "utf-8")
    with open_desk(tmp_path, policy=None, repos=4) as desk:
        rob = desk.reviewer("rob", str(own))
        assert "ada@here.example.org" in rob.get("/tables/here").body
        assert "beyond" not in rob.get("/tables").body
        assert rob.get("/tables/beyond").status == rob.get("/tables/nothing").status == 404
        assert "ada@beyond.example.org" in desk.reviewer("rea").get("/tables/beyond").body


def test_the_queue_says_what_people_on_hold_lack(desk: Desk) -> None:
    lena = desk.visitor()
    lena.post("/plans")
    assert "on hold: 1 for an agreement" in " ".join(re.sub(r"<[^>]*>", "", lena.get("/queue").body).split())


def test_hostile_cells_and_columns_come_back_as_text(desk: Desk) -> None:
    _file(desk).write_text(f'email,"{EVIL}",version\nada@ethz.ch,"{EVIL}",{EVIL}\n', "utf-8")
    desk.app_state.policies.expire()
    mia = _admin(desk)
    pages = [mia.get("/tables/dua"), mia.get(f"/tables/dua?q={EVIL}")]
    pages.append(mia.post("/tables/dua/import", {"rows": f"email,version\nzoe@ethz.ch,{EVIL}\n"}))
    for page in pages:
        assert "<img" not in page.body
        assert "\u202e" not in page.body


def test_a_refused_file_says_what_is_in_force(desk: Desk) -> None:
    desk.app_state.policies.expire()
    lena = desk.visitor()
    lena.post("/plans")
    _file(desk).write_bytes(b"")
    desk.app_state.policies.expire()
    for path in ("/tables", "/tables/dua", "/policies", "/queue"):
        assert "the file is empty" in lena.get(path).body, path
