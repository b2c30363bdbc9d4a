"""A person's page shows where they stand over all repos that the reader sees, and one decision reaches the repos that are ticked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.base.ids import Repo, parse_repo
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk
from tests.kits.hostile_texts import HOSTILE_ANSWERS
from tests.kits.stores import read_selected


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Desk]:
    """Ada asks at all three repos, Bob at one."""
    with open_desk(tmp_path, requests=0, repos=3) as desk:
        for number, repo in enumerate(_repos(desk)):
            people = [{"username": "ada", "email": "ada@ethz.ch"}, *([{"username": "bob"}] if number == 0 else [])]
            desk.ask(people, {"Purpose": GOOD, "Affiliation": f"Institute {number}"}, repo)
        yield desk


def _repos(desk: Desk) -> list[Repo]:
    """Those that let in by hand."""
    found = [parse_repo(line["repo"], line["repo_type"]) for line in desk.local.repos if line["gated"] == "manual"]
    assert len(found) >= 2
    return found


def _href(desk: Desk, name: str) -> str:
    return f"/people/{desk.row(name).person.pseudonym}"


def _picks(body: str) -> list[str]:
    return re.findall(r'name="pick"\s+value="([^"]+)"', body)


def _decide(visitor: Visitor, path: str, verb: str, picks: list[str], **more: str) -> Answer:
    """As the page does it: ticks, then the yes on the page that follows where there is one."""
    body = "&".join([f"verb={verb}", *(f"pick={pick}" for pick in picks)]).encode()
    answer = visitor.ask("POST", path, body, {"content-type": "application/x-www-form-urlencoded"})
    if answer.status != 303 or not answer.headers["location"].startswith("/bulk/"):
        return answer
    weighed = visitor.get(answer.headers["location"])
    count = re.search(r'name="count" value="(\d+)"', weighed.body)
    assert count, weighed.body
    return visitor.post(answer.headers["location"].partition("?")[0], {"verb": verb, "count": count[1], **more})


def test_what_changed_since_the_page_was_read_is_not_decided(three: Desk) -> None:
    lena, path = three.visitor(), _href(three, "ada")
    picks = _picks(lena.get(path).body)
    with Hub(three.local.tokens["admin"], three.local.url) as other:
        other.reject(_repos(three)[0], "ada", reason="outside")
    three.read()
    lost = _decide(lena, path, "accept", picks)
    assert lost.status == 409
    assert f"at {_repos(three)[0]} changed and is rejected now" in lost.body
    assert list_waiting_decisions(three.app_state.workspace.store) == []
    assert "outside the desk" in lena.get(path).body


def test_a_decision_about_one_person_leaves_what_else_is_selected(three: Desk) -> None:
    lena, path = three.visitor(), _href(three, "ada")
    lena.post("/selection", {"do": "all", "q": "status:pending"})
    picks = _picks(lena.get(path).body)
    assert _decide(lena, path, "reset", picks[:2], reason="Say more").status == 303
    left = read_selected(three.app_state.workspace.store, f"s_{three.app_state.membership.owner_member.id}")
    assert three.row("bob").id in left
    assert len(left) == len(_repos(three)) + 1 - 2


def test_who_decides_after_somebody_else_decides_nothing_twice(three: Desk) -> None:
    lena = three.visitor()
    mia = three.reviewer("mia")
    path = _href(three, "ada")
    picks = _picks(lena.get(path).body)[:1]
    assert _decide(mia, path, "accept", picks).status == 303
    late = _decide(lena, path, "accept", picks)
    assert late.status == 422
    assert "No selected request can be decided this way." in late.body
    assert len(list_waiting_decisions(three.app_state.workspace.store)) == 1


def test_nothing_is_decided_without_a_tick_or_for_somebody_else(three: Desk) -> None:
    lena, path = three.visitor(), _href(three, "ada")
    assert lena.post(path, {"verb": "accept"}).status == 422
    assert lena.post(path, {"verb": "destroy", "pick": _picks(lena.get(path).body)[0]}).status == 422
    bob = three.row("bob")
    foreign = f"{bob.state.hub_request}:{bob.version.token}"
    assert lena.post(path, {"verb": "accept", "pick": foreign}).status == 404
    assert list_waiting_decisions(three.app_state.workspace.store) == []


def test_what_is_in_the_tray_cannot_be_ticked_again(three: Desk) -> None:
    lena, path = three.visitor(), _href(three, "ada")
    _decide(lena, path, "accept", _picks(lena.get(path).body)[:1])
    assert len(re.findall(r'name="pick"\s+value="[^"]+" disabled', lena.get(path).body)) == 1


def test_a_reviewer_sees_the_attempts_at_their_own_repos_alone(three: Desk) -> None:
    mine, foreign = _repos(three)[:2]
    mia, path = three.reviewer("mia", str(mine)), _href(three, "ada")
    body = mia.get(path).body
    assert f"<code>{mine}</code>" in body
    assert str(foreign) not in body
    assert "Institute 1" not in body
    assert {row["repo"] for row in mia.get(f"{path}.json").json} == {mine.id}
    ada = next(row for row in three.app_state.workspace.store.find_by_identity(foreign, "ada"))
    pick = f"{ada.state.hub_request}:{ada.version.token}"
    assert mia.post(path, {"verb": "accept", "pick": pick}).status == 404
    only_elsewhere = three.reviewer("noa", str(foreign))
    assert only_elsewhere.get(_href(three, "bob")).status == 404


def test_an_address_is_described_although_a_policy_cannot_be_read(tmp_path: Path) -> None:
    with open_desk(tmp_path, "version: 1\npolicy: [\n") as desk:
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        body = desk.visitor().get("/people").body
    assert "ethz.ch" in body
    assert "academic" in body
    assert "no mail shared" not in body


def test_a_file_of_one_person_has_every_attempt(three: Desk) -> None:
    rows = three.visitor().get(f"{_href(three, 'ada')}.json").json
    assert {(row["user"], row["attempt"]) for row in rows} == {("ada", 1)}
    assert len(rows) == len(_repos(three))


def test_nothing_that_people_wrote_becomes_markup(desk: Desk) -> None:
    for number, text in enumerate(HOSTILE_ANSWERS):
        desk.ask([{"username": f"p{number}", "fullname": text[:200]}], {"Purpose": text, "Affiliation": text})
    lena = desk.visitor()
    allowed = set(re.findall(r"<(\w+)", lena.get(_href(desk, "p41")).body)) | {"time", "p"}
    for number in range(len(HOSTILE_ANSWERS)):
        body = lena.get(_href(desk, f"p{number}")).body
        assert set(re.findall(r"<(\w+)", body)) - allowed <= {"span", "bdi"}, HOSTILE_ANSWERS[number]
        assert not re.search(r"<[^>]*\son\w+=", body), HOSTILE_ANSWERS[number]
