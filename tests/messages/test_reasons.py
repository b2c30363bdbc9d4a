"""The texts of a reason: which are offered in what order, which is sent, and what the person will read."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from hf_gate.messages.reason_texts import list_ready_texts
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk, parse_page

RESET = [(one.text, one.name) for one in list_ready_texts("reset")]
REJECT = [(one.text, one.name) for one in list_ready_texts("reject")]
OWN = "templates: {closed: We are closed., more: 'Say more about {repo}, {user}.'}\n"


@pytest.fixture
def asked(desk: Desk) -> Desk:
    desk.ask([{"username": name, "email": f"{name}@web.example"} for name in ("ada", "bob", "cyd")], {"Purpose": GOOD})
    return desk


def _key(desk: Desk, name: str) -> str:
    return desk.row(name).state.hub_request or ""


def _sheet(desk: Desk, visitor: Visitor, name: str, verb: str = "reset") -> str:
    return visitor.get(f"/requests/{_key(desk, name)}/{verb}", hx_request="true").body


def _decide(desk: Desk, visitor: Visitor, verb: str, name: str, **more: str) -> Answer:
    values = {"verb": verb, "key": _key(desk, name), "version": desk.row(name).version.token, **more}
    return visitor.post("/tray", values)


def _preview(desk: Desk, visitor: Visitor, name: str, **values: str) -> str:
    answer = visitor.post(f"/requests/{_key(desk, name)}/preview", values, hx_request="true")
    assert answer.status == 200
    return _words(answer.body)


def _words(body: str) -> str:
    return " ".join(" ".join(parse_page(body).text).split())


def _offered(sheet: str) -> list[tuple[str, str]]:
    """The chips in their order: the text that is sent, and the title."""
    chips = re.findall(r'<label class="reason-chip".*?</label>', sheet, re.DOTALL)
    texts = [unescape(re.findall(r'value="([^"]*)"', chip)[0]) for chip in chips]
    return list(zip(texts, (re.sub(r"^\d ", "", _words(chip)) for chip in chips), strict=True))


def _chosen(sheet: str) -> list[str | None]:
    return [
        at["value"] for tag, at in parse_page(sheet).tags if tag == "input" and "data-text" in at and "checked" in at
    ]


# ---- what is offered -----------------------------------------------------------------------------------------------------


def test_the_text_used_last_is_chosen_at_its_place(tmp_path: Path) -> None:
    with open_desk(tmp_path, config=OWN) as desk:
        desk.ask([{"username": name} for name in ("ada", "bob", "cyd")], {"Purpose": GOOD})
        lena = desk.visitor()
        _decide(desk, lena, "reset", "ada", reason=f"Say more about {desk.repo.id}, ada.")
        sheet = _sheet(desk, lena, "bob")
        assert _offered(sheet)[1] == (f"Say more about {desk.repo.id}, bob.", "more last used")
        assert _chosen(sheet) == [f"Say more about {desk.repo.id}, bob."]
        assert _chosen(_sheet(desk, lena, "bob", "reject")) == ["We are closed."]
        assert _chosen(_sheet(desk, desk.reviewer("mia"), "bob")) == ["We are closed."]
        lena.post("/tray/undo")
        assert _chosen(_sheet(desk, lena, "bob")) == ["We are closed."]


def test_a_text_of_ones_own_is_offered_again_unless_it_names_the_person(asked: Desk) -> None:
    lena = asked.visitor()
    _decide(asked, lena, "reset", "ada", reason="Please name your supervisor.")
    sheet = _sheet(asked, lena, "bob")
    assert _offered(sheet) == [*RESET, ("Please name your supervisor.", "Your last text last used")]
    assert _chosen(sheet) == ["Please name your supervisor."]
    _decide(asked, lena, "reset", "bob", reason="Dear Bob, please name your supervisor.")
    sheet = _sheet(asked, lena, "cyd")
    assert _offered(sheet) == RESET
    assert _chosen(sheet) == [RESET[0][0]]


# ---- what the person reads -----------------------------------------------------------------------------------------------


def test_the_sheet_shows_what_the_chosen_text_leads_to_without_a_script(asked: Desk) -> None:
    page = _words(asked.visitor().get(f"/requests/{_key(asked, 'ada')}?verb=reset").body)
    assert f"The Hub e-mails ada this text: {RESET[0][0]} They can ask again." in page
    page = _words(asked.visitor().get(f"/requests/{_key(asked, 'ada')}?verb=reject").body)
    assert f"The Hub shows ada this text: {REJECT[0][0]} They cannot ask again. To allow it later, send" in page


def test_the_preview_follows_the_form_and_changes_nothing(asked: Desk) -> None:
    lena, before = asked.visitor(), asked.count_writes()
    assert "this text: Hello. They can ask again." in _preview(asked, lena, "ada", verb="reset", reason="Hello.")
    assert "this text: Hello. They cannot" in _preview(asked, lena, "ada", verb="reject", reason="", text="Hello.")
    assert "ada does not learn why. They can ask" in _preview(asked, lena, "ada", verb="reset", reason="  ")
    assert "has 201 characters, but the Hub allows 200" in _preview(asked, lena, "ada", verb="reset", reason="x" * 201)
    assert "has 202 characters" in _preview(asked, lena, "ada", verb="reset", reason="😀" * 101)
    assert "U+202E" in _preview(asked, lena, "ada", verb="reset", reason="a\u202eb")
    assert (list_waiting_decisions(asked.app_state.workspace.store), asked.count_writes()) == ([], before)
