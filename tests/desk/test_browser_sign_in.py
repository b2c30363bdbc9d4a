"""Sign-in, sessions and settings in a real browser: through the page of the local Hub."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hf_gate.testing import LocalHub
from tests.kits.accessibility import find_accessibility_problems
from tests.kits.desk import DeskProgram, run_desk_program, write_desk
from tests.kits.sign_in import CLIENT, ORG, ROLES, SIGN_IN

pytestmark = pytest.mark.slow


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeskProgram]:
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)
    with LocalHub(requests=30, repos=3, people=[{"username": "kim"}]) as local:
        local.set_role(ORG, "kim", "write")
        write_desk(tmp_path, local, more=SIGN_IN + ROLES)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with run_desk_program(tmp_path, local, "10s", "--port", str(port)) as made:
            yield made


def _is_accessible(page: Page) -> list[str]:
    return [found["id"] for found in find_accessibility_problems(page)]


def test_a_member_of_an_organisation_signs_in_at_the_private_address(browser: Browser, program: DeskProgram) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{program.url}/queue")
    assert _is_accessible(page) == []
    page.get_by_role("link", name="Sign in with the local Hub").click()
    expect(page.get_by_role("heading", name="Sign in to the local Hub")).to_be_visible()
    assert _is_accessible(page) == []
    page.get_by_label("Username begins with").fill("kim")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="kim", exact=True).click()
    expect(page.get_by_role("heading", name="Sign in as kim?")).to_be_visible()
    assert ".localhost" in page.url, "the session is kept at the private address"
    page.get_by_role("button", name="Sign in as kim").click()
    page.wait_for_url("**/queue")
    page.goto(page.url.replace("/queue", "/settings"))
    expect(page.get_by_role("row", name=re.compile("kim .this browser. Hub account Chrome"))).to_be_visible()
    assert _is_accessible(page) == []
    context.close()


def test_who_cancels_is_told_so_and_nobody_is_signed_in(browser: Browser, program: DeskProgram) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{program.url}/sign-in")
    page.get_by_role("link", name="Sign in with the local Hub").click()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("You did not allow the sign-in. Sign in again.")
    assert _is_accessible(page) == []
    context.close()
