"""The overview page: what members see, and that charts and table say the same."""

from __future__ import annotations

import re
from html import unescape

from hf_gate import Hub
from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.core.events.events import GrantDated, LedgerEntry
from hf_gate.desk.reports.overview import Series, draw_lines, draw_stacked_bars
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Desk, text_of


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
    assert "No grant ends in these days." in body
    assert "<dd>unknown</dd>" in body


def test_the_axis_ends_above_a_week_far_above_all_others() -> None:
    weeks = [f"2026-0{1 + n // 4}-{1 + 7 * (n % 4):02}" for n in range(26)]
    values = [*[10] * 25, 12_345]
    bars = draw_stacked_bars(weeks, [Series("all", "ch-all", values)])
    lines = draw_lines(weeks, [Series("asked", "ch-asked", values)])
    assert bars.values[-1].text == lines.values[-1].text == "15,000"
    assert bars.bars[0].height < 1
    assert len(lines.lines[0][1].split()) == 26


def test_a_member_of_one_repo_gets_no_number_of_another(crowded: Desk) -> None:
    mia = crowded.reviewer("mia", str(crowded.repo))
    pages = [text_of(one.get("/overview").body) for one in (crowded.visitor(), mia)]
    everything, own = (int(found[1]) for page in pages if (found := re.search(r"Waiting\s+(\d+)", page)))
    assert "1 repo, the last 26 weeks." in pages[1]
    assert 0 < own < everything
