"""The overview page and its files: what members see, and that the charts show what the table says."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from playwright.sync_api import Browser

from hf_gate import Hub
from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.core.events.events import GrantDated, LedgerEntry
from hf_gate.core.records import keys_of
from hf_gate.reports.pages.overview import WIDTH, Series, draw_lines, draw_stacked_bars
from hf_gate.reports.service.overview import OverviewRecord
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Desk, serve_desk

_SVG = "{http://www.w3.org/2000/svg}"


def _ask(desk: Desk, count: int) -> None:
    desk.ask([{"username": f"ada{n}"} for n in range(count)], {"Purpose": GOOD})


def test_the_page_shows_who_waits_and_links_to_them(desk: Desk) -> None:
    _ask(desk, 7)
    body = desk.visitor().get("/overview").body
    assert '<dd><a href="/queue?q=status%3Apending">7</a></dd>' in body
    assert "Decisions a week" in body
    assert body.count("<desc ") == 2, "each chart has its numbers as text"
    assert "style=" not in body


def test_numbers_that_a_query_expresses_link_to_the_requests_they_count(desk: Desk) -> None:
    _ask(desk, 9)
    with Hub(desk.local.tokens["owner"], desk.local.url) as hub:
        for n in range(7):
            hub.accept(desk.repo, f"ada{n}")
    desk.read(SyncKind.FULL)
    store, now = desk.app_state.workspace.store, to_ms(desk.app_state.now())
    for n, days in enumerate((1, 1, 20, 20, 89, 100, 400)):
        dated = LedgerEntry(
            event=GrantDated(until=now + days * DAY_MS), at=now, actor="lena", request=desk.row(f"ada{n}").id
        )
        with store.writing() as write:
            write.append(desk.repo, [dated])
    lena = desk.visitor()
    body = lena.get("/overview").body
    found = {
        unescape(link).partition("?q=")[2]: int(number)
        for link, number in re.findall(r'href="(/queue\?q=[^"]+)">(\d+)</a>', body)
    }
    assert list(found.values()) == [2, 2, 5, 2, 2, 1], "waiting, still waiting, all ends, and the ends of three weeks"
    for query, number in found.items():
        assert len(lena.get(f"/queue?q={query}").rows) == number, query


def test_a_desk_without_requests_says_so_in_words(desk: Desk) -> None:
    body = desk.visitor().get("/overview").body
    assert "No rule decided a request in these weeks." in body
    assert "No grant ends in these days." in body
    assert "<dd>unknown</dd>" in body


def test_the_files_hold_the_numbers_of_the_page(desk: Desk) -> None:
    _ask(desk, 7)
    lena = desk.visitor()
    document = lena.get("/overview.json").json
    assert tuple(document) == ("schema_version", *keys_of(OverviewRecord))
    assert (document["waiting"], sum(week["asked"] for week in document["weeks"])) == (7, 7)
    rows = list(csv.DictReader(io.StringIO(lena.get("/overview.csv").body)))
    assert [row["value"] for row in rows if row["name"] == "waiting"] == ["7"]
    assert len([row for row in rows if row["part"] == "week"]) == 26 * 5
    assert lena.get("/overview.xlsx").status == 404


def test_the_picture_is_well_formed_and_draws_every_week_with_decisions(desk: Desk) -> None:
    _ask(desk, 7)
    answer = desk.visitor().get("/overview.svg")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    picture = ET.fromstring(answer.body)  # noqa: S314 - a picture of ours
    lines = [each.get("points", "") for each in picture.iter(f"{_SVG}polyline")]
    assert [len(line.split()) for line in lines] == [26, 26]
    assert list(picture.iter(f"{_SVG}script")) == []


def test_one_week_far_above_all_others_is_cut_and_labelled_and_the_others_stay_readable() -> None:
    weeks = [f"2026-0{1 + n // 4}-{1 + 7 * (n % 4):02}" for n in range(26)]
    values = [10 + n % 3 for n in range(26)]
    values[25] = 12_345
    for chart in (
        draw_stacked_bars(weeks, [Series("all", "ch-all", values)]),
        draw_lines(weeks, [Series("asked", "ch-asked", values), Series("answered", "ch-answered", [9] * 26)]),
    ):
        assert [each.text for each in chart.breaks] == ["12,345"]
        assert chart.breaks[0].text_x <= chart.right
        assert chart.values[-1].text == "15"
    values[25] = 20
    assert draw_stacked_bars(weeks, [Series("all", "ch-all", values)]).breaks == []


@pytest.mark.parametrize("many", [(123_456, 234_567), (2**63, 2**63 - 1), (1_000, 999)])
def test_numbers_of_weeks_that_are_cut_side_by_side_do_not_overlap(many: tuple[int, int]) -> None:
    weeks = [f"2026-01-{day:02d}" for day in range(1, 27)]
    for values in ([*[10] * 24, *many], [*many, *[10] * 24], [*[10] * 12, *many, *[10] * 12]):
        breaks = draw_stacked_bars(weeks, [Series("all", "ch-all", values)]).breaks
        assert len(breaks) == 2
        ends = [
            (each.text_x - 3.5 * len(each.text), each.text_x + 3.5 * len(each.text)) for each in breaks if each.text
        ]
        assert ends
        assert all(left >= 0 and right <= WIDTH for left, right in ends)
        assert all(before[1] <= after[0] for before, after in pairwise(ends))


def test_a_member_of_one_repo_gets_no_number_of_another(crowded: Desk) -> None:
    everything = crowded.visitor().get("/overview.json").json
    mia = crowded.reviewer("mia", str(crowded.repo))
    own = mia.get("/overview.json").json
    assert own["repos"] == 1
    assert 0 < own["waiting"] < everything["waiting"]


def test_charts_stand_side_by_side_where_there_is_room(browser: Browser, desk: Desk) -> None:
    _ask(desk, 2)
    with serve_desk(desk) as url:
        context = browser.new_context(base_url=url)
        page = context.new_page()
        page.goto(f"/sign-in?t={desk.authenticator.make_link()}")
        page.goto("/overview")
        for width, rows in ((390, 2), (1024, 2), (1280, 1), (1920, 1)):
            page.set_viewport_size({"width": width, "height": 900})
            boxes = [chart.bounding_box() for chart in page.locator(".chart").all()]
            assert len({box["y"] for box in boxes if box}) == rows, width
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        context.close()
