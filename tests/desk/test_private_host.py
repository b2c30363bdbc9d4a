"""A browser on this machine is led to the desk's private host name, so that its session goes to no other port of 127.0.0.1."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.desk.app import build_desk_app
from hf_gate.desk.members.sign_in import Authenticator
from hf_gate.desk.private_host import ensure_private_host, listen_on_other_loopback
from hf_gate.desk.server import Server, allowed_hosts
from hf_gate.members.sessions import SignInMethod
from hf_gate.testing import LocalHub
from tests.kits.desk import HOST, Desk, Visitor, origin_of, run_desk_program, write_desk

NAME = "desk-0123456789.localhost"
ORIGIN = f"http://{NAME}:7860"
CHROME = {
    "sec_fetch_mode": "navigate",
    "sec_fetch_site": "none",
    "user_agent": "Mozilla/5.0 (X11; Linux) Chrome/140.0 Safari/537.36",
}
SAFARI = CHROME | {"user_agent": "Mozilla/5.0 (Macintosh) Version/18.1 Safari/605.1.15"}


@pytest.fixture
def local_desk(desk: Desk) -> Desk:
    """The same desk as `hf-gate ui` serves it on this machine."""
    door = Authenticator(desk.app_state, private_origin=ORIGIN)
    return replace(
        desk, authenticator=door, app=build_desk_app(desk.app_state, door, allowed_hosts("127.0.0.1", 7860, None, NAME))
    )


def test_a_browser_is_led_to_the_private_name_before_its_link_is_spent(local_desk: Desk) -> None:
    visitor, link = Visitor(local_desk.app), local_desk.authenticator.make_link()
    for _ in range(2):
        led = visitor.get(f"/sign-in?t={link}", **CHROME)
        assert (led.status, led.headers["location"]) == (303, f"{ORIGIN}/sign-in?t={link}")
        assert "set-cookie" not in led.headers
    there = visitor.get(f"/sign-in?t={link}", host=f"{NAME}:7860", **CHROME)
    assert (there.status, there.headers["location"]) == (303, "/queue")
    assert visitor.get("/queue", host=f"{NAME}:7860", **CHROME).status == 200
    assert Visitor(local_desk.app).get(f"/sign-in?t={link}", **CHROME).status == 401


def test_a_link_of_a_member_is_led_on_too(local_desk: Desk) -> None:
    mia = local_desk.add_member(Member(name="mia", role=MemberRole.REVIEWER))
    link = local_desk.authenticator.make_link_of(mia, SignInMethod.HUB, 60.0)
    led = Visitor(local_desk.app).get(f"/sign-in?t={link}", **CHROME)
    assert led.headers["location"] == f"{ORIGIN}/sign-in?t={link}"


def test_who_brings_no_valid_link_does_not_learn_the_private_name(local_desk: Desk) -> None:
    stranger = Visitor(local_desk.app)
    for path in ("/", "/queue", "/sign-in", "/sign-in?t=guess", "/nothing"):
        answer = stranger.get(path, **CHROME)
        assert answer.status in {200, 401}
        assert NAME not in answer.body + str(answer.headers)


def test_scripts_and_api_clients_stay_at_127_0_0_1(local_desk: Desk) -> None:
    client = Visitor(local_desk.app)
    answer = client.get(f"/sign-in?t={local_desk.authenticator.make_link()}", sec_fetch_site="-", origin="-")
    assert (answer.status, answer.headers["location"]) == (303, "/queue")
    assert client.get("/queue.json").status == 200


def test_a_browser_that_may_not_find_the_name_chooses_its_address(local_desk: Desk) -> None:
    visitor, link = Visitor(local_desk.app), local_desk.authenticator.make_link()
    asked = visitor.get(f"/sign-in?t={link}", **SAFARI)
    assert asked.status == 200
    assert f'href="{ORIGIN}/sign-in?t={link}"' in asked.body
    assert f'href="/sign-in?t={link}&amp;stay=1"' in asked.body
    assert "set-cookie" not in asked.headers
    stays = visitor.get(f"/sign-in?t={link}&stay=1", **SAFARI | {"sec_fetch_site": "same-origin"})
    assert (stays.status, stays.headers["location"]) == (303, "/queue")
    assert visitor.get("/queue", **SAFARI).status == 200, "and is not led on afterwards"


def test_a_change_comes_from_the_private_name_to_the_private_name(local_desk: Desk) -> None:
    visitor = Visitor(local_desk.app)
    there = f"{NAME}:7860"
    visitor.get(f"/sign-in?t={local_desk.authenticator.make_link()}", host=there)
    assert visitor.post("/tray/undo", host=there, origin=ORIGIN).status == 303
    assert visitor.post("/tray/undo", host=there, origin=f"http://{HOST}").status == 403
    assert visitor.get("/queue", host="desk-other.localhost:7860").status == 421


# ---- the name and its addresses ------------------------------------------------------------------------------------------


def test_a_workspace_keeps_its_name(desk: Desk) -> None:
    assert ensure_private_host(desk.app_state.workspace) == ensure_private_host(desk.app_state.workspace)
    with closing(Server(desk.app_state, list, port=0)) as server:
        assert server.private_host == ensure_private_host(desk.app_state.workspace)
        assert server.url == f"http://127.0.0.1:{server.port}"


def test_a_host_that_a_crafted_store_names_is_not_where_links_lead(desk: Desk) -> None:
    for host in ("evil.example", "desk-0123456789abcdef0123.localhost.evil.example", "desk-x.localhost\r\nx: y"):
        with desk.app_state.workspace.store.writing() as write:
            write.write_setting("desk host", host)
        name = ensure_private_host(desk.app_state.workspace)
        assert re.fullmatch(r"desk-[0-9a-f]{20}\.localhost", name)
        assert ensure_private_host(desk.app_state.workspace) == name


def test_where_another_program_has_the_other_loopback_address_there_is_no_private_name(desk: Desk) -> None:
    """A browser looks for NAME.localhost at both: it would take its link there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert listen_on_other_loopback("::1", port, 1) is None
    assert listen_on_other_loopback("127.0.0.5", port, 1) is None
    beside = listen_on_other_loopback("::1", port, 1)
    assert beside is not None
    for one in beside:
        assert one.getsockname() == ("127.0.0.1", port)
        one.close()
    with closing(Server(desk.app_state, list, port=0, public_url="https://desk.example.org")) as server:
        assert server.private_host is None


# ---- in a browser --------------------------------------------------------------------------------------------------------


@dataclass
class Neighbour:
    """Another program on this machine, and the cookies that browsers brought it."""

    port: int = 0
    cookies: list[str] = field(default_factory=list)


@contextmanager
def _neighbour() -> Iterator[Neighbour]:
    found = Neighbour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.cookies.append(self.headers.get("cookie") or "")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    try:
        yield context.new_page()
    finally:
        context.close()


def test_another_port_of_this_machine_gets_no_session(browser: Browser, tmp_path: Path) -> None:
    with LocalHub(requests=0, repos=1) as local, _neighbour() as neighbour:
        write_desk(tmp_path, local)
        with run_desk_program(tmp_path, local) as program, _page(browser) as page:
            assert urlsplit(program.login_url).hostname == urlsplit(program.url).hostname == "127.0.0.1"
            page.goto(program.login_url)
            at = urlsplit(page.url)
            assert (at.path, at.port) == ("/queue", urlsplit(program.url).port)
            assert (at.hostname or "").endswith(".localhost")
            page.goto(f"http://127.0.0.1:{neighbour.port}/")
            page.goto(f"http://localhost:{neighbour.port}/")
            assert neighbour.cookies
            assert set(neighbour.cookies) == {""}
            kept = json.dumps(page.context.cookies([program.url]))
            assert "hf-gate" not in kept
            page.goto(f"http://{at.netloc}/queue")
            assert page.title().startswith("Queue")


def test_a_page_of_another_site_needs_a_click_to_sign_in(browser: Browser, tmp_path: Path) -> None:
    with LocalHub(requests=0, repos=1) as local, _neighbour() as neighbour:
        write_desk(tmp_path, local)
        with run_desk_program(tmp_path, local) as program, _page(browser) as page:
            page.goto(f"http://127.0.0.1:{neighbour.port}/")
            elsewhere = program.login_url.replace("127.0.0.1", "localhost")
            page.evaluate("url => { location.href = url }", elsewhere)
            page.get_by_role("button", name="Sign in as lena-brandt").click()
            page.wait_for_url("**/queue")
            assert origin_of(page).partition(":")[2].rpartition(":")[0].endswith(".localhost")
