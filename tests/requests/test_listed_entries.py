"""The page of a request shows the row of a list beside what the applicant claims."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.desk import GOOD, Desk, open_desk, text_of

CONFIG = "tables: {agreements: {file: tables/agreements.csv, key: [email, username]}}\n"
POLICY = """\
version: 1
policy: house
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
rules:
  - id: signed
    when: tables.agreements
    then: accept
    until: tables.agreements.expires
  - id: rest
    then: human
"""
EVIL = "<img src=x onerror=alert(1)>\u202e"
ROWS = f"""\
email,institution,version,note,from,expires,full name,secret
ada@ethz.ch,ETH  Zürich,2,by post,2020-01-01,2099-06-30,Ada Muster,x
bob@ethz.ch,University of Basel,1,,,2020-06-30,"{EVIL}",x
"""
ANSWERS = {
    "Purpose": GOOD,
    "Affiliation": "ETH Zürich",
    "First name": "Ada",
    "Version of the agreement": "3",
    "Access until": "until 2099-06-30, please",
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "agreements.csv").write_text(ROWS, "utf-8")
    with open_desk(tmp_path, POLICY, config=CONFIG) as desk:
        people = [
            {"username": n, "email": f"{n}@ethz.ch", "fullname": f"{n.title()} Muster"} for n in ("ada", "bob", "cem")
        ]
        desk.ask(people, ANSWERS)
        yield desk


def _section(desk: Desk, who: str, body: str = "") -> str:
    body = body or desk.reviewer().get(f"/requests/{desk.row(who).state.hub_request}").body
    found = re.search(r'aria-labelledby="h-l">(.*?)</section>', body, re.DOTALL)
    return found[1] if found else ""


def _cells(section: str) -> list[list[str]]:
    rows = re.findall(r"<tr role=\"row\">(.*?)</tr>", section.partition("<tbody")[2], re.DOTALL)
    return [[text_of(cell) for cell in re.findall(r"<t[hd] [^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]


def test_the_row_of_an_agreement_stands_beside_what_is_claimed(desk: Desk) -> None:
    section = _section(desk, "ada")
    assert "agreements : valid entry" in text_of(section)
    assert 'href="/tables/agreements?q=ada%40ethz.ch"' in section
    assert _cells(section) == [
        ["institution", "ETH Zürich", "ETH Zürich", "same"],
        ["version", "3", "2", "differs"],
        ["full name", "Ada Muster", "Ada Muster", "same"],
        ["first day", "not claimed", "2020-01-01", ""],
        ["last day", "2099-06-30", "2099-06-30", "same"],
    ]


def test_an_entry_that_expired_and_hostile_cells_are_shown_as_text(desk: Desk) -> None:
    section = _section(desk, "bob")
    assert "agreements : expired entry" in text_of(section)
    assert "onerror=alert(1)>" not in section
    assert "\u202e" not in section
    assert ["institution", "ETH Zürich", "University of Basel", "differs"] in _cells(section)


def test_nothing_is_shown_of_people_who_are_on_no_list(desk: Desk) -> None:
    assert _section(desk, "cem") == ""


def test_a_list_that_is_refused_says_nothing_of_its_rows(desk: Desk) -> None:
    desk.visitor().post("/plans")
    folder = desk.app_state.workspace.location.folder
    assert folder is not None
    (folder / "tables" / "agreements.csv").write_bytes(b"")
    desk.app_state.policies.expire()
    assert _section(desk, "ada") == ""
