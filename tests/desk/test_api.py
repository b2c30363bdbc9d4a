"""The JSON API says what its OpenAPI says, and nothing to strangers."""

from __future__ import annotations

import pytest

from tests.kits.desk import Desk, Visitor
from tests.kits.desk_actions import post_json


def test_nobody_outside_learns_anything(desk: Desk) -> None:
    stranger, vic = Visitor(desk.app), desk.viewer()
    for path in ("/api/v1/events", "/api/openapi.json", "/api/v1/events?limit=0"):
        assert stranger.get(path).status == 401
    assert post_json(stranger, "/decisions", {"nonsense": 1}).status == 401
    unknown = stranger.get("/api/v1/nothing")
    assert (unknown.status, unknown.json["error"]) == (404, "The API has no such path.")
    assert vic.get("/api/v1/events").status == 403
    lena, wish = desk.visitor(), {"repo": str(desk.repo), "person": "ada", "action": "accept"}
    assert post_json(vic, "/decisions", wish).status == 403
    assert post_json(lena, "/decisions", wish).status == 403, "decisions of members go through the pages"
    assert post_json(lena, "/decisions", wish, origin="https://evil.example").status == 403
    form = lena.ask("POST", "/api/v1/decisions", b"verb=accept", {"content-type": "text/plain"})
    assert form.status == 422


def test_it_tells_what_it_is(crowded: Desk) -> None:
    document = crowded.visitor().get("/api/openapi.json").json
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {"/api/v1/events", "/api/v1/decisions", "/api/v1/tables/{name}/rows/{key}"}


@pytest.mark.parametrize("body", [b"\xff", b'{"action": "acc\xff"}', b'{"\xff": 1}', b'{"action": "\\ud800"}'])
def test_a_body_that_is_not_utf8_is_refused(desk: Desk, body: bytes) -> None:
    told = desk.visitor().ask("POST", "/api/v1/decisions", body, {"content-type": "application/json"})
    assert (told.status, told.json["error"]) == (400, "The body cannot be read as JSON.")
