"""A desk behind a proxy that ends TLS: its cookie, its names, its origin; and the figures that a monitor may read."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from hf_gate.desk.app import build_desk_app
from hf_gate.desk.members.sign_in import Authenticator
from hf_gate.desk.server import allowed_hosts, parse_public_url
from hf_gate.errors import UsageError
from hf_gate.members.service.keys import add_key
from tests.kits.desk import GOOD, HOST, Answer, Desk, Visitor
from tests.kits.key_calls import BARE

PUBLIC = "https://desk.example.org"
NAME = "desk.example.org"


@pytest.fixture
def public(desk: Desk) -> Desk:
    """The same desk as `hf-gate ui --public-url` serves it."""
    desk.app_state.url = PUBLIC
    door = Authenticator(desk.app_state, "__Host-hf-gate", is_https=True)
    app = build_desk_app(desk.app_state, door, allowed_hosts("127.0.0.1", 7860, PUBLIC), public_origin=PUBLIC)
    return replace(desk, authenticator=door, app=app)


def _by_tls(visitor: Visitor, method: str, path: str, **headers: str) -> Answer:
    told = {"host": NAME, "origin": PUBLIC, "content_type": "application/x-www-form-urlencoded"} | headers
    return visitor.ask(method, path, b"", told)


def test_the_cookie_travels_by_tls_alone_and_belongs_to_this_host_alone(public: Desk) -> None:
    visitor = Visitor(public.app)
    answer = _by_tls(visitor, "GET", f"/sign-in?t={public.authenticator.make_link()}")
    told = answer.headers["set-cookie"]
    assert told.startswith("__Host-hf-gate=")
    parts = {part.strip().lower() for part in told.split(";")[1:]}
    assert {"secure", "httponly", "path=/", "samesite=lax"} <= parts
    assert not any(part.startswith("domain") for part in parts)
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert _by_tls(visitor, "GET", "/queue").status == 200
    out = _by_tls(visitor, "POST", "/sign-out")
    assert out.headers["set-cookie"].startswith("__Host-hf-gate=")
    assert "secure" in out.headers["set-cookie"].lower(), "else the browser keeps it"


def _signed_in(public: Desk) -> Visitor:
    visitor = Visitor(public.app)
    assert _by_tls(visitor, "GET", f"/sign-in?t={public.authenticator.make_link()}").status == 303
    return visitor


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (PUBLIC, NAME, 303),
        ("http://desk.example.org", NAME, 403),
        ("https://evil.example", NAME, 403),
        ("https://desk.example.org:8443", NAME, 403),
        (f"http://{HOST}", NAME, 403),
        (PUBLIC, "evil.example", 421),
        (f"http://{HOST}", HOST, 303),
    ],
)
def test_a_change_comes_from_the_public_address_or_from_this_machine(
    public: Desk, origin: str, host: str, status: int
) -> None:
    assert _by_tls(_signed_in(public), "POST", "/tray/undo", origin=origin, host=host).status == status


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://desk.example.org", PUBLIC),
        (" HTTPS://Desk.Example.org:443/ ", PUBLIC),
        ("https://desk.example.org:8443", f"{PUBLIC}:8443"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_a_public_address_is_an_origin(text: str, origin: str) -> None:
    assert parse_public_url(text) == origin


@pytest.mark.parametrize(
    "text",
    ["http://desk.example.org", "desk.example.org", "https://", "https://a@b.example", "https://desk.example.org/gate",
     "https://desk.example.org:port", "https://desk.example.org?x=1", ""],
)  # fmt: skip
def test_whatever_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_public_url(text)


# ---- figures -------------------------------------------------------------------------------------------------------------


def test_a_monitor_on_this_machine_reads_figures_that_name_nobody(desk: Desk) -> None:
    desk.ask([{"username": "ada", "fullname": "Ada Lindqvist", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
    answer = Visitor(desk.app).get("/metrics")
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert f'hf_gate_requests{{repo="{desk.repo}",status="pending",verdict="none"}} 1\n' in answer.body
    assert re.search(r'hf_gate_oldest_pending_seconds\{repo="[^"]+"\} \d', answer.body)
    assert 'hf_gate_tray_decisions{state="leaving"} 0\n' in answer.body
    assert "hf_gate_reader_ok{} " not in answer.body
    assert not re.search(r"ada|lindqvist|ethz|lena|Self-supervised", answer.body, re.IGNORECASE)
    lines = [line for line in answer.body.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'hf_gate_\w+(\{(\w+="[^"]*",?)+\})? [\d.e+-]+', line) for line in lines), answer.body
    names = re.findall(r"^# TYPE (\w+) gauge$", answer.body, re.MULTILINE)
    assert len(names) == len(set(names)) == 15


@pytest.mark.parametrize("header", ["x_forwarded_for", "x_forwarded_server", "forwarded", "via", "x_real_ip"])
def test_once_a_request_came_through_a_proxy_figures_need_a_session(desk: Desk, header: str) -> None:
    monitor = Visitor(desk.app)
    assert monitor.get("/metrics").status == 200
    assert Visitor(desk.app).get("/sign-in", **{header: "203.0.113.7"}).status == 200
    assert monitor.get("/metrics").status == 401, "the proxy may leave the header out for some"
    assert desk.visitor().get("/metrics").status == 200


def test_behind_tls_figures_need_a_session(public: Desk) -> None:
    assert _by_tls(Visitor(public.app), "GET", "/metrics").status == 401
    assert _by_tls(Visitor(public.app), "GET", "/metrics", host=HOST).status == 401
    assert _by_tls(_signed_in(public), "GET", "/metrics").status == 200


def test_a_key_that_may_read_metrics_reads_the_figures_of_its_repos(public: Desk) -> None:
    where = str(public.repo)

    def read(secret: str) -> Answer:
        return _by_tls(Visitor(public.app), "GET", "/metrics", authorization=f"Bearer {secret}", **BARE)

    answer = read(add_key(public.app_state.workspace, "prometheus", ["metrics"], [], "lena"))
    assert (answer.status, f'repo="{where}"' in answer.body, "outbox_messages" in answer.body) == (200, True, True)
    assert (
        f'repo="{where}"' not in read(add_key(public.app_state.workspace, "other", ["metrics"], ["a/b"], "lena")).body
    )
    assert read(add_key(public.app_state.workspace, "crm", ["events"], [], "lena")).status == 403
    assert read("gate_invented").status == 401


def test_a_member_reads_the_figures_of_their_repos(crowded: Desk) -> None:
    every = crowded.visitor().get("/metrics").body
    names = set(re.findall(r'hf_gate_requests\{repo="([^"]+)"', every))
    assert len(names) == 3
    mine = min(names)
    theirs = crowded.reviewer("mia", mine).get("/metrics").body
    assert set(re.findall(r'repo="([^"]+)"', theirs)) == {mine}
