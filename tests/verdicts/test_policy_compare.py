"""The page that compares a policy with people: cells lead to requests, limits hold, and members see only their repos."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hf_gate import Decision, Hub
from hf_gate.base.ids import parse_repo
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.verdicts.pages.draft_report import MAX_REQUESTS
from tests.kits.desk import GOOD, POLICY, Desk, Visitor, open_desk

OWN = "lumen-labs/lantern-7b-chat"
OTHER = "datasets/tidewater-audio/harbour-voices"


def _decide(desk: Desk, visitor: Visitor, verb: str, name: str, repo: str = "") -> None:
    """A person of the desk decides, and the decision is sent."""
    where = (
        parse_repo(repo.removeprefix("datasets/"), "dataset" if repo.startswith("datasets/") else "model")
        if repo
        else None
    )
    desk.ask([{"username": name, "email": f"{name}@ethz.ch"}], {"Purpose": GOOD}, where)
    row = desk.row(name)
    key, version = row.state.hub_request or "", row.version.token
    answer = visitor.post(
        "/tray", {"verb": verb, "key": key, "version": version, "reason": "Tell us more.", "when": "later"}
    )
    assert answer.status < 400, answer.body
    desk.send_due()
    assert desk.row(name).state.status != "pending"


def test_the_matrix_counts_and_the_table_leads_to_the_requests_that_differ(desk: Desk) -> None:
    lena = desk.visitor()
    _decide(desk, lena, "accept", "ada")
    _decide(desk, lena, "reset", "bob")
    body = lena.get("/policies/house/compare").body
    assert "agrees with 1 of 2:" in body
    (matrix, table) = re.findall(r"<tbody.*?</tbody>", body, re.DOTALL)
    assert re.findall(r'class="num">(\d+)<', matrix) == ["1", "1"]
    assert "ada" not in table, "an agreement"
    (link,) = re.findall(r'<a href="(/requests/[^"]+)"><bdi>bob', table)
    assert lena.get(link).status == 200
    assert "/policies/house/compare" in lena.get("/policies/house").body
    assert "style=" not in body


def test_nothing_to_compare_is_said_in_words(desk: Desk) -> None:
    assert "No person has decided a request" in desk.visitor().get("/policies/house/compare").body


def test_a_policy_with_errors_is_not_compared(desk: Desk) -> None:
    folder = desk.app_state.workspace.location.folder
    assert folder is not None
    (folder / "policies" / "wrong.yaml").write_text(
        POLICY.replace("house", "wrong").replace("email.academic", "email.acadmic"), "utf-8"
    )
    assert "Not compared" in desk.visitor().get("/policies/wrong/compare").body


def test_viewers_and_strangers_to_the_policy_find_no_page(desk: Desk) -> None:
    assert desk.viewer().get("/policies/house/compare").status == 404
    assert desk.visitor().get("/policies/nothing/compare").status == 404


def test_a_member_of_one_repo_sees_the_decisions_there_alone(tmp_path: Path) -> None:
    with open_desk(tmp_path, POLICY, repos=4) as desk:
        lena = desk.visitor()
        _decide(desk, lena, "reset", "ada", OWN)
        _decide(desk, lena, "accept", "bob", OTHER)
        rob = desk.visitor(Member(name="rob", role=MemberRole.REVIEWER, repos=(OWN,)))
        both, own = (visitor.get("/policies/house/compare").body for visitor in (lena, rob))
        assert "The last 2 decisions" in both
        assert "The last decision of" in own
        assert ">ada<" in own.replace("<bdi>", "").replace("</bdi>", "")
        assert not [word for word in ("bob", OTHER, "harbour-voices") if word in own], json.dumps(own)[:200]


def test_no_more_decisions_are_compared_than_a_draft_may_be_tried_on(desk: Desk) -> None:
    lena = desk.visitor()
    names = [f"person{n:03}" for n in range(MAX_REQUESTS + 5)]
    desk.ask([{"username": name} for name in names], {"Purpose": GOOD})
    with Hub(desk.local.tokens["owner"], desk.local.url) as hub:
        list(hub.decide_many(desk.repo, [Decision.accept(name) for name in names]))
    desk.read(SyncKind.FULL)
    assert f"The last {MAX_REQUESTS} decisions" in lena.get("/policies/house/compare").body
