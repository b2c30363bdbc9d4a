"""The JSON API says what its OpenAPI says, under the session, the roles and the tray of the pages."""

from __future__ import annotations

from typing import Any

import pytest

from hf_gate.base.timestamps import from_ms
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, Desk, Visitor
from tests.kits.desk_actions import post_json


def _decision(desk: Desk, name: str, verb: str = "accept", **more: Any) -> dict[str, Any]:
    row = desk.row(name)
    return {"verb": verb, "requests": [{"id": row.state.hub_request, "version": row.version.token}], **more}


@pytest.fixture
def asked(desk: Desk) -> Desk:
    desk.ask([{"username": name} for name in ("ada", "bob")], {"Purpose": GOOD})
    return desk


def test_rows_come_page_by_page(crowded: Desk) -> None:
    lena, found, cursor = crowded.visitor(), [], ""
    while True:
        page = lena.get(f"/api/v1/requests?limit=100{cursor}").json
        found += [row["id"] for row in page["requests"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == [row["request_id"] for row in lena.get("/queue.json").json]


def test_a_decision_goes_through_the_tray(asked: Desk) -> None:
    lena = asked.visitor()
    told = post_json(lena, "/decisions", _decision(asked, "ada", hold=None)).json
    assert (told["taken"], told["lost"]) == (1, [])
    (held,) = lena.get("/api/v1/tray").json["held"]
    assert (held["verb"], held["leaves_at"]) == ("accept", None)
    assert post_json(lena, "/tray/send", {}).json["count"] == 1
    asked.app_state.tray_service.send_due(asked.app_state.now())
    assert asked.row("ada").state.status == "accepted"
    asked.app_state.hold = 30.0
    post_json(lena, "/decisions", _decision(asked, "bob", "reset", reason="Please say more."))
    (bob,) = list_waiting_decisions(asked.app_state.workspace.store)
    assert bob.run.starts_at == bob.run.made_at + 30_000, "without `hold` as in the desk"
    assert post_json(lena, "/tray/undo", {}).json["count"] == 1
    assert lena.get("/api/v1/tray").json["held"] == []


def test_an_acceptance_takes_an_end(asked: Desk) -> None:
    lena = asked.visitor()
    assert post_json(lena, "/decisions", _decision(asked, "ada", until="90d")).json["taken"] == 1
    (held,) = lena.get("/api/v1/tray").json["held"]
    assert (held["verb"], held["until"]) == ("accept", "90d")
    asked.send_due()
    now = asked.app_state.now()
    days = (from_ms(asked.row("ada").state.until or 0) - now).days
    assert days in {89, 90}


@pytest.mark.parametrize(
    ("verb", "until", "why"),
    [
        (
            "accept",
            "soon",
            "`soon` is not an end: write a duration such as 30d, 12w, 6mo or 1y, or a date such as 2027-06-30.",
        ),
        ("accept", "", "No end is given."),
        ("accept", "2001-01-01", "2001-01-01 is in the past."),
        ("accept", "9999-12-31", "9999-12-31 is too far in the future; leave the end out for access without an end."),
        ("reject", "90d", "Only an acceptance has an end."),
    ],
)
def test_an_end_that_cannot_be_is_refused(asked: Desk, verb: str, until: str, why: str) -> None:
    answer = post_json(asked.visitor(), "/decisions", _decision(asked, "ada", verb, until=until))
    assert (answer.status, answer.json["error"]) == (422, why)
    assert list_waiting_decisions(asked.app_state.workspace.store) == []


def test_the_loser_of_a_race_is_told(asked: Desk) -> None:
    lena, mia = asked.visitor(), asked.reviewer("mia")
    post_json(lena, "/decisions", _decision(asked, "ada"))
    told = post_json(mia, "/decisions", _decision(asked, "ada", "reject", reason="no")).json
    assert told["taken"] == 0
    assert told["lost"] == [asked.row("ada").state.hub_request]


def test_what_is_not_asked_for_is_refused(asked: Desk) -> None:
    lena = asked.visitor()
    changes: tuple[dict[str, Any], ...] = (
        {"verb": "destroy"},
        {"requests": []},
        {"actor": "mia"},
        {"hold": -1},
        {"reason": 7},
    )
    for change in changes:
        answer = post_json(lena, "/decisions", {**_decision(asked, "ada"), **change})
        assert answer.status == 422, change
        assert set(answer.json) == {"error", "hint"}
    assert lena.get("/api/v1/requests?q=colour:red").status == 422
    assert lena.get("/api/v1/requests?limit=0").status == 422
    assert lena.get("/api/v1/requests/" + "0" * 24).status == 404
    assert list_waiting_decisions(asked.app_state.workspace.store) == []


def test_more_than_the_ladder_lets_pass_without_a_look_is_not_taken(asked: Desk) -> None:
    one = _decision(asked, "ada")["requests"][0]
    many = {"verb": "accept", "requests": [one] * 21}
    assert post_json(asked.visitor(), "/decisions", many).status == 422


def test_nobody_outside_learns_anything(asked: Desk) -> None:
    stranger, vic = Visitor(asked.app), asked.viewer()
    for path in ("/api/v1/requests", "/api/v1/tray", "/api/openapi.json", "/api/v1/requests?limit=0"):
        assert stranger.get(path).status == 401
    assert post_json(stranger, "/decisions", {"nonsense": 1}).status == 401
    unknown = stranger.get("/api/v1/nothing")
    assert (unknown.status, unknown.json["error"]) == (404, "The API has no such path.")
    assert vic.get("/api/v1/requests").status == 403
    assert post_json(vic, "/decisions", _decision(asked, "ada")).status == 403
    assert (
        post_json(asked.visitor(), "/decisions", _decision(asked, "ada"), origin="https://evil.example").status == 403
    )
    form = asked.visitor().ask("POST", "/api/v1/decisions", b"verb=accept", {"content-type": "text/plain"})
    assert form.status == 422


def test_it_tells_what_it_is(crowded: Desk) -> None:
    document = crowded.visitor().get("/api/openapi.json").json
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {
        "/api/v1/requests", "/api/v1/requests/{id}", "/api/v1/events", "/api/v1/decisions", "/api/v1/tray", "/api/v1/tray/undo",
        "/api/v1/tray/send", "/api/v1/tables/{name}/rows/{key}",
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"\xff", b'{"verb": "acc\xff"}', b'{"\xff": 1}', b'{"verb": "\\ud800"}'])
def test_a_body_that_is_not_utf8_is_refused(desk: Desk, body: bytes) -> None:
    told = desk.visitor().ask("POST", "/api/v1/decisions", body, {"content-type": "application/json"})
    assert (told.status, told.json["error"]) == (400, "The body cannot be read as JSON.")
