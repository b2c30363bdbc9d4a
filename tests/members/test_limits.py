"""What is too much, wrong or not theirs any more ends where it comes in: bodies, fields, links, decisions, members."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.decisions.service.tray import DecisionRequest
from hf_gate.desk.decisions.plan import read_plan
from hf_gate.desk.members.member_limits import MAX_OPEN, MAX_RUNNING
from hf_gate.desk.security import MAX_BODY
from hf_gate.members.rows.members import find_member, remove_member
from hf_gate.members.rows.sessions import delete_session, list_open_sessions
from hf_gate.store.rows.tray import find_latest_decisions, list_waiting_decisions
from hf_gate.workspace.service.bootstrap import utc_now
from tests.kits.desk import GOOD, HOME, Answer, Desk, Visitor, call_app, open_desk

PART = 1 << 16
MANY = 20 * MAX_BODY // PART


def _parts_taken(desk: Desk, path: str) -> int:
    """How many parts of a body are read that has no length, from somebody who is not in."""
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"1" * PART, "more_body": taken < MANY}

    async def send(_: Any) -> None: ...

    headers = HOME | {"transfer-encoding": "chunked", "content-type": "application/json"}
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(n.encode(), v.encode()) for n, v in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860), "root_path": "",
    }  # fmt: skip
    with ThreadPoolExecutor(1) as apart:  # where no browser's loop runs
        apart.submit(asyncio.run, desk.app(scope, receive, send)).result()
    return taken


@pytest.mark.parametrize("path", ["/tray", "/sign-in", "/terminal", "/api/v1/decisions"])
def test_a_body_that_does_not_say_its_length_is_read_no_further_than_any_other(desk: Desk, path: str) -> None:
    assert _parts_taken(desk, path) <= MAX_BODY // PART + 1


def test_a_form_or_an_address_of_too_many_fields_says_nothing(desk: Desk) -> None:
    lena, many = desk.visitor(), "&" * 20_001
    assert lena.get(f"/queue?{many}").status == 200
    assert lena.ask("POST", "/selection", many.encode()).status == 422
    assert Visitor(desk.app).ask("POST", "/sign-in", many.encode()).status == 401


def test_a_right_link_opens_also_while_somebody_guesses(desk: Desk) -> None:
    stranger = Visitor(desk.app)
    assert [stranger.get(f"/sign-in?t=guess{n}").status for n in range(11)][-1] == 429
    assert Visitor(desk.app).get(f"/sign-in?t={desk.authenticator.make_link()}").status == 303


@pytest.mark.parametrize(
    "then",
    [
        Member(name="mia", role=MemberRole.REVIEWER),
        Member(name="mia", role=MemberRole.VIEWER, is_active=True),
        Member(name="mia", role=MemberRole.REVIEWER, repos=("elsewhere/*",), is_active=True),
    ],
    ids=["put out", "made a viewer", "let into other repos"],
)
def test_what_lies_in_the_tray_of_who_may_not_decide_any_more_is_not_sent(desk: Desk, then: Member) -> None:
    desk.ask([{"username": "ada"}, {"username": "bob"}], {"Purpose": GOOD})
    mia, lena, before = desk.reviewer(), desk.visitor(), desk.count_writes()
    for who, name in ((mia, "ada"), (lena, "bob")):
        row = desk.row(name)
        assert who.post("/tray", {"accept": f"{row.state.hub_request}:{row.version.token}"}).status == 303
    if then.is_active:
        desk.add_member(then)
    else:
        known = find_member(desk.app_state.workspace.store, "mia")
        assert known is not None
        remove_member(desk.app_state.workspace.store, known, "lena-brandt", 0)
    desk.send_due()
    ada = find_latest_decisions(desk.app_state.workspace.store, [desk.row("ada").id])[desk.row("ada").id]
    assert (ada.outcome, ada.row.why) == ("refused", "mia may no longer decide at this repo")
    assert (desk.row("ada").state.status, desk.row("bob").state.status) == ("pending", "accepted")
    assert desk.count_writes() == before + 1
    assert "mia may no longer decide at this repo" in lena.get("/queue").body


def test_nobody_decides_their_own_request_by_turning_a_run_back(desk: Desk) -> None:
    desk.ask([{"username": "bea"}, {"username": "ada"}], {"Purpose": GOOD})
    bea, lena = desk.visitor(Member(name="bea", role=MemberRole.ADMIN)), desk.visitor()
    for name in ("bea", "ada"):
        row = desk.row(name)
        values = {"verb": "reject", "key": row.state.hub_request or "", "version": row.version.token, "reason": "No."}
        assert lena.post("/tray", values).status == 303
    desk.send_due()
    run = desk.app_state.workspace.store.runs(1)[0]
    assert (run.total, desk.row("bea").state.status) == (2, "rejected")
    plan = bea.post(f"/runs/{run.id}", {"do": "undo"}).headers["location"]
    own = 1 + [change.user for change in read_plan(desk.app_state, plan.rpartition("/")[2]).changes].index("bea")
    refused = bea.post(plan, {"do": "apply", "count": "2"})
    assert refused.status == 409
    assert f"You cannot decide your own request, and change {own} is about it." in refused.body
    less = bea.post(plan, {"do": "exclude", "n": str(own)}).headers["location"]
    assert "/runs/" in bea.post(less, {"do": "apply", "count": "1"}).headers["location"]
    assert "/runs/" in lena.post(plan, {"do": "apply", "count": "2"}).headers["location"]
    desk.app_state.run_worker.stop()


def test_an_acceptance_that_lay_in_the_tray_until_its_end_was_over_is_not_sent(desk: Desk) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    app_state, row, before = desk.app_state, desk.row("ada"), desk.count_writes()
    over = (app_state.now() - timedelta(days=2)).date().isoformat()
    app_state.tray_service.queue_decisions(
        DecisionRequest("accept", {row.id: row.version.token}, app_state.membership.owner_member, until=over),
        app_state.now(),
        None,
    )
    desk.send_due()
    assert desk.count_writes() == before
    held = find_latest_decisions(app_state.workspace.store, [row.id])[row.id]
    assert (held.outcome, held.row.why) == ("stale", f"the end {over} had passed when the decision was due")


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2027-02-30"])
def test_a_day_that_has_no_end_is_none_for_an_access(desk: Desk, day: str) -> None:
    desk.ask([{"username": "ada"}], {"Purpose": GOOD})
    row, lena = desk.row("ada"), desk.visitor()
    values = {"verb": "accept", "key": row.state.hub_request or "", "version": row.version.token, "until": "day"}
    assert lena.post("/tray", {**values, "day": day}).status == 422
    assert list_waiting_decisions(desk.app_state.workspace.store) == []


def test_a_digit_that_is_no_number_names_nothing(desk: Desk) -> None:
    lena = desk.visitor()
    assert lena.get("/requests/n²").status == 404
    assert lena.post("/selection", {"do": "add", "key": "n²"}).status == 404


def test_who_is_put_out_leaves_nothing_to_whoever_has_the_name_next(desk: Desk) -> None:
    desk.ask([{"username": "ada"}, {"username": "bob"}], {"Purpose": GOOD})
    mia, lena = desk.reviewer(), desk.visitor()
    ada, bob = desk.row("ada"), desk.row("bob")
    values = {"verb": "accept", "key": ada.state.hub_request or "", "version": ada.version.token, "when": "later"}
    assert mia.post("/tray", values).status == 303
    assert mia.post("/selection", {"do": "add", "key": bob.state.hub_request or ""}).status == 303
    assert lena.post("/settings/members/remove", {"name": "mia"}).status == 303
    mia = desk.reviewer()
    assert mia.post("/bulk", {"verb": "accept"}).status == 422, "nobody is selected"
    assert list_waiting_decisions(desk.app_state.workspace.store) == []
    desk.send_due()
    assert desk.row("ada").state.status == "pending"


def test_a_query_of_hundreds_of_patterns_over_thousands_of_requests_is_refused_before_it_takes_a_page_thread(
    tmp_path: Path,
) -> None:
    with open_desk(tmp_path, requests=3_600) as desk:
        lena, vic = desk.visitor(), desk.viewer()
        q = urlencode({"q": " ".join(f"-answer:{'*a' * 150}*{n}*z" for n in range(6))})
        for path in (f"/queue?{q}", f"/queue.csv?{q}", f"/queue.json?{q}"):
            answer = lena.get(path)
            assert answer.status == 422, path[:20]
            assert "pattern parts" in answer.body, path[:20]
        assert lena.post("/selection", {"do": "all", "q": parse_qs(q)["q"][0]}).status == 422
        few = urlencode({"q": " ".join(f"-answer:*{n}xyz*" for n in range(8))})
        assert (lena.get(f"/queue?{few}").status, vic.get(f"/queue?{few}").status) == (200, 200)


async def _asked_together(visitor: Visitor, paths: list[str], then: Callable[[], Awaitable[None]]) -> list[Answer]:
    """The answers to pages that one member opens together; `then` happens while they are under way."""
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    headers = HOME | {"cookie": cookies, "sec-fetch-mode": "navigate"}
    calls = [asyncio.ensure_future(call_app(visitor.app, "GET", path, b"", headers)) for path in paths]
    await then()
    return await asyncio.gather(*calls)


def test_a_member_with_many_slow_pages_keeps_nobody_else_waiting(desk: Desk) -> None:
    mia, vic = desk.reviewer(), desk.viewer()
    slow = desk.app_state.policies._lock  # whoever has it keeps every page waiting that needs the policies

    async def then() -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in vic.cookies.items())
        try:
            answer = await asyncio.wait_for(call_app(vic.app, "GET", "/nothing", b"", HOME | {"cookie": cookie}), 30)
        finally:
            slow.release()
        assert answer.status == 404, "another member's page is answered meanwhile"

    slow.acquire()
    with ThreadPoolExecutor(1) as apart:
        found = apart.submit(asyncio.run, _asked_together(mia, ["/policies"] * 2 * MAX_OPEN, then)).result(60)
    statuses = [answer.status for answer in found]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= MAX_OPEN
    refused = next(answer for answer in found if answer.status == 429)
    assert "Wait a moment, then reload this page." in refused.body
    assert refused.headers["content-type"].startswith("text/html")


def test_requests_that_wait_while_the_session_ends_do_not_run(desk: Desk) -> None:
    mia, slow = desk.reviewer(), desk.app_state.policies._lock
    ident = list_open_sessions(desk.app_state.workspace.store, to_ms(utc_now()), "mia")[0].id

    async def then() -> None:
        try:
            answer = await asyncio.wait_for(call_app(mia.app, "GET", "/healthz", b"", HOME), 30)
            assert answer.status == 200
            assert delete_session(desk.app_state.workspace.store, ident)
        finally:
            slow.release()

    slow.acquire()
    with ThreadPoolExecutor(1) as apart:
        found = apart.submit(asyncio.run, _asked_together(mia, ["/policies"] * MAX_OPEN, then)).result(60)
    statuses = [answer.status for answer in found]
    assert statuses.count(200) <= MAX_RUNNING, "those that ran already"
    assert set(statuses) <= {200, 401}


@pytest.mark.parametrize(
    "more",
    [
        {"name": "z" * 65_536},
        {"repos": " ".join(f"acme/r{number}" for number in range(201))},
        {"repos": "acme/" + "r" * 200},
    ],
)
def test_a_member_that_is_too_large_is_refused_in_a_short_line(desk: Desk, more: dict[str, str]) -> None:
    lena, before = desk.visitor(), desk.local.stats()["calls"]
    answer = lena.post("/settings/members", {"name": "zoe", "role": "viewer", **more})
    assert answer.status == 422
    assert len(answer.body) < 8_000
    assert desk.app_state.workspace.store.members() == []
    assert desk.local.stats()["calls"] == before, "the Hub is not asked"
