"""Signs people in with the local Hub: a desk that is its client, and a browser that goes through both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from hf_gate.desk.members.hub_sign_in import build_hub_sign_in
from tests.kits.desk import HOST, Answer, Desk, Visitor, open_desk

CLIENT = {"DESK_CLIENT_ID": "hf_local_desk", "DESK_CLIENT_SECRET": "hf_local_desk_secret"}
SIGN_IN = "sign_in:\n  client_id: env:DESK_CLIENT_ID\n  client_secret: env:DESK_CLIENT_SECRET\n"
ROLES = "  roles:\n    tidewater-audio: {admin: admin, write: reviewer, read: viewer}\n"
ORG = "tidewater-audio"


@contextmanager
def open_desk_with_sign_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, config: str = SIGN_IN, **made: Any
) -> Iterator[Desk]:
    """A desk on 127.0.0.1 whose members can sign in with the local Hub."""
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)
    with open_desk(folder, config=config, **made) as desk:
        desk.app_state.hub_sign_in = build_hub_sign_in(desk.app_state.workspace, os.environ, None, "127.0.0.1", 7860)
        assert desk.app_state.hub_sign_in.client is not None, desk.app_state.hub_sign_in.problem
        yield desk


def choose_account(desk: Desk, location: str, **values: str) -> str:
    """What the provider's page does when somebody is chosen: where it sends the browser, as a path of the desk."""
    url = urlsplit(location)
    assert f"{url.scheme}://{url.netloc}" == desk.local.url
    connection = HTTPConnection(url.netloc)
    connection.request("GET", f"{url.path}?{url.query}&{urlencode(values)}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 303
    there = answer.headers["location"]
    assert there.startswith(f"http://{HOST}/")
    return there.removeprefix(f"http://{HOST}")


def start_sign_in(desk: Desk, browser: Visitor, user: str) -> str:
    """A sign-in up to the provider's redirect; where it leads."""
    led = browser.get("/sign-in/hub")
    assert led.status == 303, led.body
    return choose_account(desk, led.headers["location"], user=user)


def sign_in(desk: Desk, user: str, browser: Visitor | None = None) -> tuple[Visitor, Answer]:
    """A whole sign-in."""
    browser = browser or Visitor(desk.app)
    return browser, browser.get(start_sign_in(desk, browser, user), sec_fetch_site="cross-site")


@pytest.fixture
def sign_in_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with open_desk_with_sign_in(tmp_path, monkeypatch) as desk:
        yield desk


@pytest.fixture
def orgs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk that lets the members of an organisation in."""
    with open_desk_with_sign_in(tmp_path, monkeypatch, SIGN_IN + ROLES, repos=3) as desk:
        desk.local.add_people([{"username": "kim"}])
        yield desk
