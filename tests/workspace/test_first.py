"""Where there is nothing yet the desk says what is to be done, and the page of settings who may do what."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from pathlib import Path

from hf_gate.config import Flags, read_settings
from hf_gate.core.people.members import MemberRole
from hf_gate.desk.app import build_desk_app
from hf_gate.desk.app_state import AppState
from hf_gate.desk.members.settings_page import PERMISSIONS
from hf_gate.desk.members.sign_in import Authenticator
from hf_gate.desk.routes import ROUTES
from hf_gate.testing import LocalHub
from hf_gate.workspace.service import bootstrap
from tests.kits.desk import HOST, Desk, Visitor, write_desk


def _titles(body: str) -> str:
    return body[body.index('class="steps"') :]


def test_a_desk_that_was_never_read_shows_the_steps_in_place_of_an_empty_queue(tmp_path: Path) -> None:
    with LocalHub(requests=0, repos=1) as local:
        write_desk(tmp_path, local, policy=None)
        settings = read_settings(
            Flags(endpoint=local.url, token=local.tokens["owner"], workspace=str(tmp_path)), {}, tmp_path
        )
        with (
            bootstrap.Connection(settings) as connection,
            bootstrap.connect_workspace(connection, bootstrap.read_location(settings)) as workspace,
        ):
            app_state = AppState(workspace, "lena-brandt", 10.0, f"http://{HOST}")
            door = Authenticator(app_state)
            visitor = Visitor(build_desk_app(app_state, door, frozenset({HOST})))
            visitor.get(f"/sign-in?t={door.make_link()}")
            body = visitor.get("/queue").body
            assert "First steps" in body
            assert body.count('<li class="ok">') == 2
            app_state.sync_status.problem = "the Hub is away"
            assert "the Hub is away" in _titles(visitor.get("/queue").body)


def test_the_frame_says_what_the_token_cannot_do_and_when_the_hub_is_read_next(desk: Desk) -> None:
    lena, app_state = desk.visitor(), desk.app_state
    assert "READ-ONLY" not in lena.get("/keys").body
    app_state.token_role = "read"
    app_state.sync_status.synced_at, app_state.sync_status.next_at = (
        app_state.now(),
        app_state.now() + timedelta(seconds=90),
    )
    body = lena.get("/keys").body
    assert "READ-ONLY" in body
    assert re.search(r"next in (89|90) s", body)


def test_what_each_role_may_do_is_what_the_ways_say() -> None:
    least = {f"{way.method} {way.path}": way.role for way in ROUTES}
    assert [(text, least.get(way)) for text, _, way in PERMISSIONS] == [(text, role) for text, role, _ in PERMISSIONS]
    assert {role for _, role, _ in PERMISSIONS} == set(MemberRole)


def test_a_viewer_gets_the_rows_of_their_pages_as_files_and_not_the_whole_ledger(crowded: Desk) -> None:
    vic = crowded.viewer()
    for path in ("/queue", "/repos", "/policies", "/tables", "/audit", "/plans", "/people", "/access"):
        offered = re.findall(r'href="([^"]*\.(?:json|jsonl|csv)\b[^"]*)"', vic.get(path).body)
        assert all(vic.get(html.unescape(file)).status == 200 for file in offered), path
    audit = vic.get("/audit").body
    assert "/audit/verify" in audit
    assert "/audit/export" not in audit
    assert "/audit/checkpoint" not in audit
    assert vic.get("/audit/export").status == 404
