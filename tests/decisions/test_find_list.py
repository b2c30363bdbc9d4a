"""A pasted list: everybody in it is found or named as not found, and those who wait are decided together."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

from playwright.sync_api import Browser, expect

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.core.people.members import Member, MemberRole
from tests.kits.browser import open_page
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk, serve_desk


def _find(visitor: Visitor, text: str, repo: Repo | None = None) -> Answer:
    return visitor.post("/find-list", {"list": text, "repo": "" if repo is None else str(repo)})


def _text(markup: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def _lines(answer: Answer) -> dict[str, str]:
    """The state of each entry."""
    pairs = re.findall(r'<th role="rowheader" scope="row">(.*?)</th>.*?<td[^>]*>(.*?)</td>', answer.body, re.DOTALL)
    return {_text(name): _text(state) for name, state in pairs}


def _pick(answer: Answer) -> str:
    found = re.search(r'action="(/bulk/b_\w+)"', answer.body)
    assert found is not None
    return found[1]


def _granted(desk: Desk) -> list[str]:
    return [line["user"] for line in desk.local.journal() if line["to"] == "accepted"]


def test_an_address_that_two_people_have_is_unclear(desk: Desk) -> None:
    desk.ask([{"username": name, "email": "team@uni.example"} for name in ("ada", "bob")], {"Purpose": GOOD})
    answer = _find(desk.visitor(), "team@uni.example ada")
    assert _lines(answer) == {"team@uni.example": "unclear", "ada": "waiting"}
    assert "Several people have this name or address." in answer.body


def test_a_reviewer_finds_only_at_their_repos(tmp_path: Path) -> None:
    with open_desk(tmp_path, repos=3) as desk:
        repos = [parse_repo(line["repo"], line["repo_type"]) for line in desk.local.repos]
        desk.ask([{"username": "ada", "email": "ada@uni.example"}], {"Purpose": GOOD}, repos[1])
        mia = desk.visitor(Member(name="mia", role=MemberRole.REVIEWER, repos=(str(repos[0]),)))
        lena = desk.visitor()
        assert _lines(_find(mia, "ada@uni.example ada")) == {"ada@uni.example": "not found", "ada": "not found"}
        theirs = _find(lena, "ada ada@uni.example")
        assert _lines(theirs) == {"ada": "waiting", "ada@uni.example": "waiting"}
        assert "Accept 1…" in theirs.body, "a person who is named twice has one request"
        assert _lines(_find(lena, "ada", repos[2])) == {"ada": "not found"}
        assert mia.post(_pick(theirs), {"do": "open", "verb": "accept"}).status == 404, "another member's list"


def test_nobody_accepts_their_own_request_with_a_list(desk: Desk) -> None:
    desk.ask([{"username": name} for name in ("mia", "ada")], {"Purpose": GOOD})
    mia = desk.reviewer("mia")
    page = mia.post(_pick(_find(mia, "mia ada")), {"do": "open", "verb": "accept"})
    assert "Accept 1 request?" in page.body
    assert "your own request" in page.body


def test_a_list_is_bounded(desk: Desk) -> None:
    lena = desk.visitor()
    for text, words in (
        ("", "The list is empty."),
        (" ,;\n ", "The list is empty."),
        (" ".join(f"n{n}" for n in range(501)), "The list has 501 entries; at most 500 are read."),
        ("x" * 100_001, "at most 100,000 are read"),
    ):
        answer = _find(lena, text)
        assert answer.status == 422
        assert words in answer.body


def test_a_viewer_finds_no_list(desk: Desk) -> None:
    vic = desk.viewer()
    assert vic.get("/find-list").status == 404
    assert _find(vic, "ada").status == 403
    assert "Find a list" not in vic.get("/queue").body


def test_ten_people_are_let_in_from_a_pasted_list_in_five_steps(browser: Browser, desk: Desk) -> None:
    names = [f"p{n:02}" for n in range(11)]
    desk.ask([{"username": name} for name in names], {"Purpose": GOOD})
    desk.app_state.workspace.hub.accept(desk.repo, "p00")
    desk.read()
    steps = 0
    with serve_desk(desk) as url, open_page(browser, desk, url) as page:
        page.get_by_role("link", name="Find a list…").click()
        steps += 1
        expect(page.locator("#list")).to_be_focused()
        page.keyboard.insert_text("\n".join([*names, "finn"]))  # as a paste
        steps += 1
        page.get_by_role("button", name="Find", exact=True).click()
        steps += 1
        expect(page.get_by_role("heading", level=1)).to_contain_text("10 waiting, 1 accepted, 1 not found")
        page.get_by_role("button", name="Accept 10…").click()
        steps += 1
        expect(page.locator(".effect")).to_contain_text("10 people get access; they can download at once.")
        page.get_by_role("button", name="Accept 10").click()
        steps += 1
        expect(page.locator("#tray")).to_contain_text("10 decisions will be sent in")
    desk.send_due()
    assert sorted(_granted(desk)) == sorted(names)
    assert steps == 5
