"""From why to a changed rule in a real Chromium, with and without scripts: four steps, and the file says exactly that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.kits.browser import WATCH
from tests.kits.desk import GOOD, POLICY, Desk, open_desk, serve_desk

pytestmark = pytest.mark.slow
ALLOWED = "desk: {may_write_policies: true}\n"
OLD = POLICY.replace("when: email.academic", "when: email.academic && person.account_days > 30")


@contextmanager
def _page(browser: Browser, desk: Desk, url: str, *, has_script: bool = True, width: int = 1280) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, java_script_enabled=has_script, accept_downloads=True
    )
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(f"{url}/sign-in?t={desk.authenticator.make_link()}")
    yield page
    if has_script:
        assert page.evaluate("window.blocked") == []
    context.close()


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
def test_from_why_to_a_changed_rule_in_four_steps(browser: Browser, tmp_path: Path, has_script: bool) -> None:
    file = tmp_path / "policies" / "house.yaml"
    with open_desk(tmp_path, policy=OLD, config=ALLOWED) as desk, serve_desk(desk) as url:
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        key = desk.row("ada").state.hub_request
        with _page(browser, desk, url, has_script=has_script) as page:
            page.goto(f"{url}/requests/{key}")
            page.get_by_role("link", name="Change this rule").click()  # 1
            card = page.locator(".cards > li.is-marked")
            expect(card).to_have_count(1)
            expect(page.locator(".told")).to_contain_text("ada")
            card.get_by_label("Decision of rule").select_option("reset")  # 2
            page.get_by_role("button", name="Check and try").click()  # 3
            expect(page.locator("main")).to_contain_text("reason")
            expect(page.locator(".msg-bad").first).to_contain_text("1 error")
            assert file.read_text("utf-8") == OLD
            card = page.locator(".cards > li").nth(1)
            card.get_by_label("Decision of rule").select_option("human")
            page.get_by_role("button", name="Save").click()  # 4, in place of 3: a save checks too
            expect(page.locator(".msg-ok")).to_contain_text("Saved")
            expect(page.locator(".msg-warn")).to_contain_text("acts after hf-gate policy promote house")
        assert file.read_text("utf-8") == OLD.replace("then: accept", "then: human")
        assert desk.count_writes() == 0


def test_enter_in_a_number_checks_and_the_impact_leads(browser: Browser, tmp_path: Path) -> None:
    young = OLD.replace("> 30", "< 30")
    with open_desk(tmp_path, policy=young) as desk, serve_desk(desk) as url:
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        with _page(browser, desk, url) as page:
            page.goto(f"{url}/policies/house?rule=academic")
            page.get_by_label("account age of rule academic", exact=True).fill("0")
            page.keyboard.press("Enter")
            expect(page.locator(".impact")).to_contain_text("0 of 1 would now be accepted, 1 no longer.")
            expect(page.get_by_text(re.compile("^account younger than 0 days"))).to_be_visible()
            with page.expect_download() as kept:
                page.get_by_role("button", name="Download").click()
            assert kept.value.path().read_text("utf-8") == young.replace("< 30", "< 0")


def test_a_long_policy_opens_at_the_rule_and_a_moved_card_stays_in_sight(browser: Browser, tmp_path: Path) -> None:
    more = "".join(f"  - id: r{n}\n    when: person.account_days < {n}\n    then: human\n" for n in range(40))
    text = POLICY.replace("  - id: rest\n", f"{more}  - id: rest\n")
    with open_desk(tmp_path, policy=text) as desk, serve_desk(desk) as url, _page(browser, desk, url) as page:
        page.goto(f"{url}/policies/house?rule=r30")
        expect(page.locator(".cards > .is-marked")).to_be_in_viewport()
        page.get_by_role("button", name=re.compile("Move up rule r30$")).click()
        page.wait_for_load_state()
        expect(page.locator(".cards > .is-marked")).to_be_in_viewport()
        order = page.locator(".cards > li .card-says > .hint code").all_inner_texts()
        assert order.index("r30") + 1 == order.index("r29")


def test_the_place_of_a_problem_puts_the_cursor_there(browser: Browser, tmp_path: Path) -> None:
    wrong = POLICY.replace("email.academic", "emial.academic")
    with open_desk(tmp_path, policy=wrong) as desk, serve_desk(desk) as url, _page(browser, desk, url) as page:
        page.goto(f"{url}/policies/house?tab=text")
        page.locator(".errs a").first.click()
        at = page.locator("#src").evaluate("one => one.selectionStart")
        assert wrong[at:].startswith("emial.academic")


@pytest.mark.parametrize("width", [360, 768])
def test_cards_are_not_wider_than_a_small_window(browser: Browser, tmp_path: Path, width: int) -> None:
    odd = POLICY.replace("Please say", "x" * 190).replace("email.academic", 'email.domain == "' + "y" * 300 + '"')
    with (
        open_desk(tmp_path, policy=odd) as desk,
        serve_desk(desk) as url,
        _page(browser, desk, url, width=width) as page,
    ):
        page.goto(f"{url}/policies/house?rule=academic")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
