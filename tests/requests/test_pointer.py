"""The queue in a real Chromium, left alone: what is pressed stays under the pointer."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from hf_gate.testing import LocalHub
from tests.kits.desk import run_desk_program, write_desk

pytestmark = pytest.mark.slow
MODEL = "lumen-labs/lantern-7b-chat"
LONG = "We compare how well small models follow instructions in Luganda and Swahili, and publish what we find. " * 6


def test_a_row_that_folds_up_above_takes_no_click_away(browser: Browser, tmp_path: Path) -> None:
    with LocalHub(requests=0, repos=1) as local:
        write_desk(tmp_path, local)
        local.add_people([{"username": name, "email": f"{name}@ethz.ch"} for name in ("ada", "bob", "cyd")])
        local.add_requests(
            [
                {"repo": MODEL, "user": name, "answers": {"Purpose": LONG}, "asked_at": f"2026-06-0{n}T10:00:00.000Z"}
                for n, name in enumerate(("ada", "bob", "cyd"), 1)
            ]
        )
        with run_desk_program(tmp_path, local) as program:
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            page.goto(program.login_url)
            rows = page.locator("#rows > .row")
            expect(rows).to_have_count(3, timeout=60_000)
            rows.first.locator(".who").focus()
            opened = rows.first.bounding_box()
            pick = rows.last.locator("[data-pick]")
            box = pick.bounding_box()
            assert opened is not None
            assert box is not None
            page.mouse.move(box["x"] + 8, box["y"] + 8)
            page.mouse.down()
            assert pick.bounding_box() == box
            page.mouse.up()
            expect(pick).to_be_checked()
            expect(rows.last).to_have_class("row is-focus")
            folded = rows.first.bounding_box()
            assert folded is not None
            assert folded["height"] < opened["height"] - 20
            page.emulate_media(forced_colors="active")  # where no tint shows, a bar says who is selected
            expect(rows.last.locator("> :first-child")).to_have_css("border-inline-start-width", "4px")
            expect(rows.first.locator("> :first-child")).not_to_have_css("border-inline-start-width", "4px")
            context.close()
