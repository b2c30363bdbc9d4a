"""Nobody is let in without a link, no other site changes anything, every answer bears its headers, each role its limits."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.desk.routes import ROUTES, Route
from hf_gate.desk.static_files import static_url
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, Desk, Visitor

OPEN = ("/sign-in", static_url("desk.css"), "/static/0/nothing.css", "/healthz", "/readyz", "/metrics")


def _path(way: Route, key: str) -> str:
    return (
        way.path.replace("{id}", key).replace("{kind}", "json").replace("{verb}", "reset").replace("{digest}", "0" * 64)
    )


def _ask(visitor: Visitor, way: Route, key: str) -> int:
    path = _path(way, key)
    return (visitor.get(path) if way.method == "GET" else visitor.post(path)).status


@pytest.mark.parametrize("way", ROUTES, ids=lambda way: f"{way.method} {way.path}")
def test_without_a_session_every_way_leads_to_the_sign_in(crowded: Desk, way: Route) -> None:
    key = crowded.visitor().get("/queue").rows[0]
    stranger = Visitor(crowded.app, {"hf-gate": "guessed"})
    path = _path(way, key)
    answer = stranger.get(path) if way.method == "GET" else stranger.post(path)
    assert answer.status == 401
    assert "Sign in" in answer.body
    assert key not in answer.body


def test_what_is_not_there_looks_the_same_as_everything_else_to_a_stranger(crowded: Desk) -> None:
    stranger = Visitor(crowded.app)
    assert stranger.get("/nothing").body == stranger.get("/queue").body


def _answers(desk: Desk) -> Iterator[tuple[str, dict[str, str]]]:
    signed_in, stranger = desk.visitor(), Visitor(desk.app)
    for path in (*OPEN, "/queue", "/nothing", "/queue.json", "/queue?q=colour:red", "/requests/n999999"):
        yield path, stranger.get(path).headers
        yield path, signed_in.get(path).headers
    yield "POST from elsewhere", stranger.post("/tray", origin="https://evil.example").headers
    yield "a wrong host", stranger.get("/queue", host="evil.example").headers


def test_every_answer_bears_the_headers(crowded: Desk) -> None:
    for path, headers in _answers(crowded):
        policy = headers["content-security-policy"]
        nonce = re.search(r"'nonce-([\w-]{20,})'", policy)
        assert nonce, path
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store" or path == static_url("desk.css"), path


def test_no_page_has_a_script_or_a_style_of_its_own(crowded: Desk) -> None:
    visitor = crowded.visitor()
    for path in ("/queue", f"/requests/{visitor.get('/queue').rows[0]}", "/keys", "/settings"):
        body = visitor.get(path).body
        assert re.findall(r"<script(?![^>]*\ssrc=)", body) == []
        assert re.findall(r"\son\w+=|\sstyle=|javascript:", body) == [], path
        nonce = re.search(r"'nonce-([\w-]+)'", visitor.get(path).headers["content-security-policy"])
        assert nonce


def test_a_nonce_is_used_once(crowded: Desk) -> None:
    visitor = crowded.visitor()
    first, second = (visitor.get("/queue").headers["content-security-policy"] for _ in range(2))
    assert first != second


# ---- writes from elsewhere -----------------------------------------------------------------------------------------------

ELSEWHERE = {
    "another site": {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    "another port": {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:1"},
    "a browser that tells the origin only": {"sec-fetch-site": "-", "origin": "https://evil.example"},
    "an opaque origin": {"sec-fetch-site": "-", "origin": "null"},
    "nobody says from where": {"sec-fetch-site": "-", "origin": "-"},
    "typed by the user": {"sec-fetch-site": "none", "origin": "-"},
    "a page that hides where it is": {"sec-fetch-site": "same-origin", "origin": "null"},
    "a lie about the site": {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_write_from_elsewhere_changes_nothing(desk: Desk, what: str) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    visitor = desk.visitor()
    row = desk.row("ada")
    values = {"accept": f"{row.state.hub_request}:{row.version.token}"}
    headers = {name.replace("-", "_"): value for name, value in ELSEWHERE[what].items()}
    assert visitor.ask("POST", "/tray", b"x", {}).status != 403
    answer = visitor.post("/tray", values, **headers)
    assert answer.status == 403
    assert list_waiting_decisions(desk.app_state.workspace.store) == []
    assert visitor.post("/tray", values).status == 303


def test_a_get_decides_nothing(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    visitor = desk.visitor()
    assert visitor.get("/tray?verb=accept&key=x").status == 200
    assert visitor.get("/tray/send").status == 404
    assert list_waiting_decisions(desk.app_state.workspace.store) == []


def test_another_name_for_this_machine_is_not_answered(crowded: Desk) -> None:
    assert crowded.visitor().get("/queue", host="rebound.example:7860").status == 421
    assert crowded.visitor().ask("POST", "/healthz", headers={"host": "rebound.example:7860"}).status == 421


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_may_ask_by_address(crowded: Desk, path: str) -> None:
    answer = crowded.visitor().get(path, host="10.1.2.3:7860")
    assert (answer.status, answer.body) == (200, "ok\n")


def test_a_form_that_is_too_large_is_not_read(crowded: Desk) -> None:
    assert crowded.visitor().ask("POST", "/tray", b"a=" + b"b" * (3 << 20)).status == 413


# ---- sessions ------------------------------------------------------------------------------------------------------------


def test_a_link_opens_once(crowded: Desk) -> None:
    link = crowded.authenticator.make_link()
    assert Visitor(crowded.app).get(f"/sign-in?t={link}").status == 303
    assert Visitor(crowded.app).get(f"/sign-in?t={link}").status == 401


def test_a_session_that_was_there_before_is_not_the_one_afterwards(crowded: Desk) -> None:
    visitor = Visitor(crowded.app, {"hf-gate": "planted"})
    visitor.get(f"/sign-in?t={crowded.authenticator.make_link()}")
    first = visitor.cookies["hf-gate"]
    assert first != "planted"
    visitor.get(f"/sign-in?t={crowded.authenticator.make_link()}")
    assert visitor.cookies["hf-gate"] != first
    assert Visitor(crowded.app, {"hf-gate": first}).get("/queue").status == 401


def test_a_session_is_kept_as_a_digest_only(crowded: Desk) -> None:
    visitor = crowded.visitor()
    kept = crowded.app_state.workspace.store.reads.rows("SELECT id FROM sessions")
    assert kept
    assert all(visitor.cookies["hf-gate"] not in str(row) and len(row[0]) == 64 for row in kept)


def test_the_cookie_is_for_this_desk_alone(crowded: Desk) -> None:
    answer = Visitor(crowded.app).get(f"/sign-in?t={crowded.authenticator.make_link()}")
    flags = answer.headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=lax" in flags
    assert "path=/" in flags


def test_signing_out_ends_the_session_for_good(crowded: Desk) -> None:
    visitor = crowded.visitor()
    old = dict(visitor.cookies)
    assert visitor.post("/sign-out").status == 200
    assert Visitor(crowded.app, old).get("/queue").status == 401


def test_a_removed_member_is_out_with_the_next_click(desk: Desk) -> None:
    mia = desk.reviewer("mia")
    assert mia.get("/queue").status == 200
    assert desk.visitor().post("/settings/members/remove", {"name": "mia"}).status == 303
    assert mia.get("/queue").status == 401


def test_a_session_ends_when_nobody_is_there_and_after_twelve_hours(desk: Desk) -> None:
    visitor = desk.visitor()
    store = desk.app_state.workspace.store
    with store.writing() as write:
        write.db.run("UPDATE sessions SET seen_at = seen_at - ?", (31 * 60_000,))
    assert visitor.get("/queue").status == 401
    visitor = desk.visitor()
    with store.writing() as write:
        write.db.run("UPDATE sessions SET made_at = made_at - ?", (13 * 3_600_000,))
    assert visitor.get("/queue").status == 401


def test_a_page_that_is_left_open_keeps_nobody_signed_in(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    visitor, store = desk.visitor(), desk.app_state.workspace.store

    def after(minutes: int) -> None:
        with store.writing() as write:
            write.db.run("UPDATE sessions SET seen_at = seen_at - ?", (minutes * 60_000,))

    after(20)
    assert visitor.ask("GET", "/tray?rows=", headers={"hx_request": "true"}).status == 200
    assert visitor.get("/queue", hx_request="true", hx_trigger="via-poll").status == 200, "an empty queue looks again"
    after(11)
    assert visitor.ask("GET", "/tray?rows=", headers={"hx_request": "true"}).status == 401
    visitor = desk.visitor()
    after(20)
    assert visitor.get("/queue").status == 200
    after(20)
    assert visitor.get("/queue").status == 200, "a click keeps it"


def test_guessing_links_is_slowed_down(desk: Desk) -> None:
    stranger = Visitor(desk.app)
    answers = [stranger.get(f"/sign-in?t=guess{n}") for n in range(12)]
    assert [answer.status for answer in answers] == [401] * 10 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0


def test_a_link_that_was_used_before_leads_to_another(desk: Desk) -> None:
    answer = Visitor(desk.app).get("/sign-in?t=used")
    assert "was used before" in answer.body
    assert "<code>hf-gate ui</code>" in answer.body


# ---- roles -----------------------------------------------------------------------------------------------------------------


def _member(role: MemberRole) -> Member:
    return Member(name=f"the-{role}", role=role)


@pytest.mark.parametrize("role", list(MemberRole), ids=str)
@pytest.mark.parametrize("way", ROUTES, ids=lambda way: f"{way.method} {way.path}")
def test_a_role_goes_the_ways_of_its_role_and_no_others(crowded: Desk, way: Route, role: MemberRole) -> None:
    key = crowded.visitor().get("/queue").rows[0]
    status = _ask(crowded.visitor(_member(role)), way, key)
    if role.covers(way.role):
        assert status not in {401, 403, 500}
    else:
        assert status == (404 if way.method == "GET" else 403)


def test_a_reviewer_sees_their_own_repos_and_the_others_are_not_there(crowded: Desk) -> None:
    owner = crowded.visitor()
    rows = owner.get("/queue.json?q=").json
    repos = sorted({(row["repo_type"], row["repo"]) for row in rows})
    mine = repos[0]
    glob = mine[1] if mine[0] == "model" else f"datasets/{mine[1]}"
    mia = crowded.reviewer("mia", glob)
    assert {(row["repo_type"], row["repo"]) for row in mia.get("/queue.json?q=").json} == {mine}
    foreign = next(row["request_id"] for row in rows if (row["repo_type"], row["repo"]) != mine)
    for path in (f"/requests/{foreign}", f"/requests/{foreign}/why", f"/requests/{foreign}/reset"):
        assert owner.get(path).status == 200
        unknown = mia.get(path.replace(foreign, "0" * 24))
        answer = mia.get(path)
        assert answer.status == 404
        assert _less(answer.body, foreign) == _less(unknown.body, "0" * 24)
    assert mia.post("/tray", {"verb": "accept", "key": foreign, "version": "x"}).status == 404


def _less(body: str, key: str) -> str:
    """A page without what differs between any two answers."""
    return re.sub(r'nonce="[^"]*"', "", body.replace(key, "ID"))


def test_a_viewer_reads_everything_of_their_repos_and_decides_nothing(crowded: Desk) -> None:
    row, vic = crowded.visitor().get("/queue.json").json[0], crowded.viewer()
    detail = vic.get(f"/requests/{row['request_id']}").body
    assert row["user"] in detail
    assert vic.get(f"/queue?q=user:{row['user']}").rows == [row["request_id"]]
    assert vic.get("/queue.json").json[0] == row
    for action in ("/tray", "/bulk", "/selection"):
        assert f'action="{action}"' not in detail
        assert vic.post(action, {"verb": "accept", "key": row["request_id"]}).status == 403
    assert vic.post(f"/requests/{row['request_id']}/note", {"note": "hello"}).status == 403
    stranger = crowded.viewer("una")
    stranger.cookies.clear()
    assert stranger.get("/queue.json").status == 401
