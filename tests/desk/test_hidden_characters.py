"""Characters that act on a terminal, hide or reorder text leave the desk as visible text: in pages, files and JSON."""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

import pytest

from hf_gate.desk.formatting import split_text
from tests.kits.desk import GOOD, Desk, Visitor

ACTING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")
BAD = "\x1b[31m \x9b31m \u202egnp.exe\u202c \u200b end"
LABEL = "Pur\u202epose \x9b1m"


@pytest.fixture
def marked(desk: Desk) -> Desk:
    """Somebody whose name, question and answers are full of them, accepted with such a reason in the ledger."""
    desk.ask([{"username": "eve", "fullname": f"Eve {BAD}", "email": "eve@x.example"}], {LABEL: BAD, "Purpose": GOOD})
    lena, row = desk.visitor(), desk.row("eve")
    values = {"verb": "reset", "key": row.state.hub_request or "", "version": row.version.token, "reason": f"No {BAD}"}
    assert lena.post("/tray", values).status == 303
    desk.send_due()
    desk.ask([{"username": "eve"}], {LABEL: BAD, "Purpose": GOOD})
    row = desk.row("eve")
    assert lena.post(f"/requests/{row.state.hub_request}/note", {"note": BAD}).status == 303
    assert any(ACTING.search(text) for text in (row.request.answers if row.request else {}).values())
    return desk


def _addresses(desk: Desk, visitor: Visitor) -> list[str]:
    key = desk.row("eve").state.hub_request
    person = desk.row("eve").person.pseudonym
    assert visitor.post("/selection", {"do": "add", "key": key or ""}).status == 303
    bulk = visitor.post("/bulk", {"verb": "accept"}).headers["location"].partition("?")[0]
    plan = visitor.post("/plans").headers["location"]
    run = f"/runs/{desk.app_state.workspace.store.runs(1)[0].id}"
    tables = ["/queue", f"/people/{person}", "/people", bulk, plan, run, "/repos", "/policies", "/audit", "/plans"]
    files = [f"{table}.{kind}" for table in tables for kind in ("csv", "json", "jsonl")]
    shown = [f"/requests/{key}{part}" for part in ("", "/why", "/accept", "/reset")]
    return [
        *tables,
        *files,
        *shown,
        "/tray",
        "/settings",
        "/queue?q=%E2%80%AE%1B",
        "/audit/export",
    ]


def test_no_page_and_no_file_gives_a_character_that_acts(marked: Desk) -> None:
    lena, found = marked.visitor(), {}
    addresses = _addresses(marked, lena)
    for path in addresses:
        answer = lena.get(path)
        assert answer.status in {200, 404, 422}, path
        hit = ACTING.search(answer.body)
        if hit:
            found[path] = answer.body[max(0, hit.start() - 80) : hit.end() + 20]
    assert found == {}
    assert sum(lena.get(path).status == 200 for path in addresses) > 40


def test_a_policy_file_shows_its_hidden_characters(desk: Desk, tmp_path: Path) -> None:
    text = "# \u202e\u200b\nversion: 1\npolicy: odd\napplies_to: ['*/*']\nmode: shadow\nrules: [{id: r, when: x\u202e\u200b, then: human}]\n"
    (tmp_path / "policies" / "odd.yaml").write_text(text, "utf-8")
    lena = desk.visitor()
    for path in ("/policies", "/policies/odd", "/policies.json", "/policies.csv"):
        assert not ACTING.search(lena.get(path).body), path


def test_csv_shows_what_the_command_line_shows(marked: Desk) -> None:
    body = marked.visitor().get("/people.csv").body
    assert "Eve ␛[31m" in body
    assert "⟨U+202E⟩" in body


def test_every_cyrillic_and_greek_letter_in_a_latin_word_is_marked() -> None:
    letters = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isalpha()]
    alike = [each for each in letters if unicodedata.name(each, "").startswith(("CYRILLIC ", "GREEK "))]
    assert len(alike) > 500
    assert [each for each in alike if len(split_text(f"p{each}ypal")) != 3] == []
    assert [piece.mark for piece in split_text("Übung")] == [""]
