"""Decisions on the page of a person: one decision reaches what is ticked and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, Answer, Desk, Visitor, open_desk


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Desk]:
    """Bob asks at one repo, Ada at all three."""
    with open_desk(tmp_path, requests=0, repos=3) as desk:
        first, *others = _repos(desk)
        desk.ask([{"username": "bob"}], {"Purpose": GOOD}, first)
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD}, first)
        for repo in others:
            desk.ask([{"username": "ada"}], {"Purpose": GOOD}, repo)
        yield desk


def _repos(desk: Desk) -> list[Repo]:
    found = [parse_repo(line["repo"], line["repo_type"]) for line in desk.local.repos if line["gated"] == "manual"]
    assert len(found) >= 2
    return found


def _path(desk: Desk, name: str) -> str:
    return f"/people/{desk.row(name).person.pseudonym}"


def _list_picks(desk: Desk, visitor: Visitor, name: str) -> list[str]:
    """Return the requests of a person that can be ticked."""
    return re.findall(r'name="pick"\s+value="([^"]+)">', visitor.get(_path(desk, name)).body)


def _send(visitor: Visitor, path: str, verb: str, picks: list[str]) -> Answer:
    body = "&".join([f"verb={verb}", f"next={path}", *(f"pick={one}" for one in picks)]).encode()
    return visitor.ask("POST", path, body, {"content-type": "application/x-www-form-urlencoded"})


def test_one_decision_reaches_what_is_ticked_of_one_person_after_a_yes(three: Desk) -> None:
    lena, path = three.visitor(), _path(three, "ada")
    picks = _list_picks(three, lena, "ada")
    assert len(picks) == len(_repos(three))
    follows = _send(lena, path, "accept", picks[:2]).headers["location"]
    asked = re.search(
        r'name="count" value="2">\s*<input type="hidden" name="next" value="([^"]+)"', lena.get(follows).body
    )
    assert asked
    assert asked[1] == path
    told = lena.post(follows.partition("?")[0], {"verb": "accept", "count": "2", "next": path})
    assert told.headers["location"] == path
    assert {item.request for item in list_waiting_decisions(three.app_state.workspace.store)} <= {
        row.id for row in three.app_state.workspace.store.find_by_identity(None, "ada")
    }
    assert lena.get(path).body.count("accepting") == 2
    three.send_due()
    assert [row["user"] for row in lena.get("/queue.json?q=status:accepted").json] == ["ada", "ada"]


def test_a_request_of_another_person_is_not_decided(three: Desk) -> None:
    lena = three.visitor()
    assert _send(lena, _path(three, "bob"), "accept", _list_picks(three, lena, "ada")[:1]).status == 404
    assert list_waiting_decisions(three.app_state.workspace.store) == []


def test_a_reviewer_meets_what_is_asked_of_their_repos_alone(three: Desk) -> None:
    mia = three.reviewer("mia", str(_repos(three)[1]))
    assert len(_list_picks(three, mia, "ada")) == 1
    assert mia.get(_path(three, "bob")).status == 404
