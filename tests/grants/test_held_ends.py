"""Ends that a table moves to an earlier time, more than 20 at once: shown in the desk, and confirmed there by the right people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hf_gate.base.timestamps import from_ms
from hf_gate.core.events.event_descriptions import describe_event
from hf_gate.core.events.events import decode_event
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.grants.service.ends.grant_ends import read_held_ends
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk, text_of
from tests.kits.desk_actions import create_plan, wait_for_run
from tests.kits.stores import read_links

POLICY = """\
version: 1
policy: house
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
tables: {dua: {file: tables/dua.csv, key: email}}
rules:
  - {id: signed, when: tables.dua, then: accept, until: tables.dua.expires}
  - {id: rest, then: human}
"""


def _write_rows(desk: Desk, count: int, day: str) -> None:
    """The table: these people until this day, and as many others, because a table that lost half its rows is refused."""
    folder = desk.app_state.workspace.location.folder
    assert folder is not None
    rows = [f"other-{n}@acme.example,2099-12-31" for n in range(2 * count)] + [
        f"p{n:03}@acme.example,{day}" for n in range(count)
    ]
    (folder / "tables" / "dua.csv").write_text("\n".join(["email,expires", *rows]) + "\n")


@contextmanager
def _a_room_with_held_ends(folder: Path, count: int) -> Iterator[Desk]:
    (folder / "tables").mkdir()
    (folder / "tables" / "dua.csv").write_text("email,expires\n")
    with open_desk(folder, POLICY, repos=2) as desk:
        lena = desk.visitor()
        _write_rows(desk, count, "2090-01-01")
        desk.ask([{"username": f"p{n:03}", "email": f"p{n:03}@acme.example"} for n in range(count)], {"Purpose": GOOD})
        desk.read(SyncKind.FULL)
        plan = create_plan(desk, lena)
        run = lena.post(plan, {"do": "apply", "count": str(count)}).headers["location"]
        wait_for_run(desk, run)
        assert desk.row("p000").state.until is not None
        _write_rows(desk, count, "2089-01-01")
        create_plan(desk, lena)
        assert read_held_ends(desk.app_state.workspace.store) == count
        yield desk


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Desk]:
    with _a_room_with_held_ends(tmp_path, 21) as desk:
        yield desk


def _seen(visitor: Visitor) -> str:
    """What a page sends to say which ends it showed."""
    found = re.search(r'name="seen" value="([0-9a-f]+)"', visitor.get("/ends").body)
    return found[1] if found else ""


def _confirm(visitor: Visitor, count: str, seen: str | None = None, do: str = "confirm") -> Answer:
    return visitor.post("/ends", {"seen": _seen(visitor) if seen is None else seen, "count": count, "do": do})


def _years(desk: Desk, count: int = 21) -> set[int]:
    return {from_ms(desk.row(f"p{n:03}").state.until or 0).year for n in range(count)}


def test_earlier_ends_that_wait_are_listed_and_confirmed_by_their_number(held: Desk) -> None:
    mia = held.reviewer()
    page = text_of(mia.get("/ends").body)
    assert "p000" in page
    assert "the date in the table is earlier" in page
    assert "21 grants would end earlier" in text_of(mia.get("/overview").body)
    assert _confirm(mia, "20").status == 422
    assert _years(held) == {2090}
    done = _confirm(mia, "21")
    assert (done.status, done.headers["location"]) == (303, "/ends?done=21")
    assert _years(held) == {2089}
    assert read_held_ends(held.app_state.workspace.store) == 0
    assert "Nothing to confirm" in text_of(mia.get("/ends?done=21").body)
    assert "would end earlier" not in text_of(mia.get("/overview").body)
    assert _confirm(mia, "21", "0" * 16).status == 409
    entries = held.app_state.workspace.store.entries(request=held.row("p000").id, limit=1)
    assert entries[0].link.actor == "mia"


def test_ends_are_not_confirmed_if_the_table_changed_a_moment_ago(held: Desk) -> None:
    mia = held.reviewer()
    seen = _seen(mia)
    _write_rows(held, 21, "2088-01-01")
    assert _confirm(mia, "21", seen).status == 409
    assert _years(held) == {2090}


def test_ends_that_changed_since_the_page_was_opened_are_not_confirmed(held: Desk) -> None:
    mia = held.reviewer()
    found = re.search(r'name="seen" value="([0-9a-f]+)"', mia.get("/ends").body)
    assert found
    row = held.row("p007")
    mia.post(
        f"/requests/{row.state.hub_request}/end", {"until": "day", "day": "2091-01-01", "version": row.version.token}
    )
    refused = _confirm(mia, "21", found[1])
    assert (refused.status, "changed since you opened the page" in text_of(refused.body)) == (409, True)
    assert _years(held) == {2090, 2091}


def test_ends_whose_dates_changed_since_the_page_was_opened_are_not_confirmed(held: Desk) -> None:
    noor = held.reviewer("noor")
    found = re.search(r'name="seen" value="([0-9a-f]+)"', noor.get("/ends").body)
    assert found is not None
    _write_rows(held, 21, "2028-01-01")
    assert _confirm(noor, "21", found[1]).status == 409
    assert _years(held) == {2090}
    assert _confirm(noor, "21").status == 303
    assert _years(held) == {2028}


def test_only_reviewers_of_all_repos_confirm_and_others_see_their_own_repos(held: Desk) -> None:
    other = next(row.repo for row in held.app_state.workspace.store.repos() if row.repo != held.repo)
    vic, rob, eve = held.viewer(), held.reviewer("rob", str(held.repo)), held.reviewer("eve", str(other))
    assert vic.get("/ends").status == 404
    assert "would end earlier" in text_of(vic.get("/overview").body)
    assert "Review them" not in text_of(vic.get("/overview").body)
    assert "p000" in text_of(rob.get("/ends").body)
    assert "p000" not in text_of(eve.get("/ends").body)
    assert "would end earlier" not in text_of(eve.get("/overview").body)
    assert "Ask a reviewer of all repos to confirm" in text_of(rob.get("/ends").body)
    assert _confirm(vic, "21", "0" * 16).status == 403
    assert _confirm(rob, "21", "0" * 16).status == 403
    assert _years(held) == {2090}


def test_ends_are_not_confirmed_by_a_wrong_clock(held: Desk) -> None:
    lena = held.visitor()
    held.local.clock.advance("24h")
    held.read()
    refused = _confirm(lena, "21")
    assert (refused.status, "behind the Hub" in text_of(refused.body)) == (409, True)
    assert _years(held) == {2090}


def test_more_than_500_ends_need_a_second_person(tmp_path: Path) -> None:
    with _a_room_with_held_ends(tmp_path, 525) as desk:
        lena, noor = desk.visitor(), desk.visitor(Member(name="noor", role=MemberRole.ADMIN))
        page = text_of(lena.get("/ends").body)
        assert (
            "More than 500 end dates within 24 hours need two people. Ask noor to open Ends of access in the desk"
            in page
        )
        seen = _seen(lena)
        alone = _confirm(lena, "525", seen)
        assert (alone.status, "A second person has to agree first" in text_of(alone.body)) == (409, True)
        assert _years(desk, 525) == {2090}
        assert _confirm(lena, "525", seen, "agree").status == 303
        assert "Agree to earlier dates" not in text_of(lena.get("/ends").body), "one person is not two"
        assert _confirm(lena, "525", seen).status == 409
        assert _confirm(lena, "525", seen, "agree").status == 303
        assert _confirm(lena, "525", seen).status == 409
        assert _years(desk, 525) == {2090}
        assert "Agreed: lena-brandt." in text_of(noor.get("/ends").body)
        assert _confirm(noor, "525").headers["location"] == "/ends?done=525"
        assert _years(desk, 525) == {2089}
        told = [link for link in read_links(desk.app_state.workspace.store, repos=()) if link.kind == "PlanAgreed"]
        assert ["525 earlier ends agreed to" in describe_event(decode_event(one.body)) for one in told] == [True]


TWO = "  - {id: pair, when: email.academic, then: accept, reviewers: 2}\n"


def test_ends_of_a_repo_whose_policy_asks_for_two_people_need_two(tmp_path: Path) -> None:
    with _a_room_with_held_ends(tmp_path, 21) as desk:
        lena = desk.visitor()
        folder = desk.app_state.workspace.location.folder
        assert folder is not None
        (folder / "policies" / "house.yaml").write_text(POLICY.replace("  - {id: rest", f"{TWO}  - {{id: rest"))
        desk.app_state.policies.expire()
        page = text_of(lena.get("/ends").body)
        assert f"The policies of {desk.repo} ask for two people." in page
        seen = _seen(lena)
        assert _confirm(lena, "21", seen, "agree").status == 303
        assert _confirm(lena, "21", seen).status == 409
        assert _confirm(desk.viewer(), "21", seen, "agree").status == 403
        assert _years(desk) == {2090}
        _write_rows(desk, 21, "2088-01-01")
        desk.app_state.policies.expire()
        noor = desk.visitor(Member(name="noor", role=MemberRole.REVIEWER))
        assert "Agreed: lena-brandt." not in text_of(noor.get("/ends").body), "lena agreed to other dates"
        assert _confirm(noor, "21").status == 409
        assert _confirm(noor, "21", do="agree").status == 303
        assert _confirm(lena, "21").status == 303
        assert _years(desk) == {2088}


def test_grants_whose_table_is_gone_are_named(held: Desk) -> None:
    folder = held.app_state.workspace.location.folder
    assert folder is not None
    assert "no longer exists" not in text_of(held.visitor().get("/ends").body)
    (folder / "policies" / "house.yaml").write_text(
        'version: 1\npolicy: other\napplies_to: ["*/*"]\nrules:\n  - {id: rest, then: human}\n'
    )
    held.app_state.policies.expire()
    other = next(row.repo for row in held.app_state.workspace.store.repos() if row.repo != held.repo)
    assert f"21 grants at {held.repo} depend on table dua, which no longer exists" in text_of(
        held.visitor().get("/ends").body
    )
    assert "no longer exists" not in text_of(held.reviewer("eve", str(other)).get("/ends").body)
