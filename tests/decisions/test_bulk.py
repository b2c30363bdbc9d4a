"""A selection is exactly those who were selected, over pages and polls; what follows is shown first, and the yes fits its size."""

from __future__ import annotations

from datetime import timedelta

from hf_gate.base.timestamps import to_ms
from hf_gate.store.rows.tray import list_waiting_decisions
from tests.kits.desk import GOOD, Desk
from tests.kits.desk_actions import confirm_bulk, list_selected, start_bulk


def test_many_get_a_chosen_end_where_no_rule_has_one(desk: Desk) -> None:
    desk.ask([{"username": name} for name in ("ada", "bob")], {"Purpose": GOOD})
    lena = desk.visitor()
    lena.post("/selection", {"do": "all", "q": "status:pending"})
    path = start_bulk(lena, "accept")
    page = " ".join(lena.get(path).body.split())
    assert "<legend>Access ends</legend>" in page
    assert 'value="" data-key="0" checked> <span>no end</span>' in page.replace("><", "> <")
    assert "as the rules say" not in page
    assert "Access ends" not in lena.get(path.replace("accept", "reset")).body
    assert confirm_bulk(lena, path, until="soon").status == 422
    assert confirm_bulk(lena, path, until="day", day="2001-01-01").status == 422
    assert confirm_bulk(lena, path, until="90d").status == 303
    held = list_waiting_decisions(desk.app_state.workspace.store)
    assert [(one.verb, one.change.until) for one in held] == [("accept", "90d")] * 2
    desk.send_due()
    ends = {desk.row(name).state.ends_at for name in ("ada", "bob")}
    assert ends == {to_ms(desk.app_state.now() + timedelta(days=90))}


def test_a_reason_that_comes_back_is_counted_as_the_hub_counts_it(desk: Desk) -> None:
    desk.ask([{"username": f"p{n:02d}"} for n in range(21)], {"Purpose": GOOD})
    lena = desk.visitor()
    lena.post("/selection", {"do": "all", "q": "status:pending"})
    body = confirm_bulk(lena, start_bulk(lena, "reset"), reason="😀" * 60, typed="20").body
    assert "<b>120</b> of 200 characters" in body
    assert 'value="120"' in body


def test_a_selection_of_somebody_else_is_not_there(desk: Desk) -> None:
    desk.ask([{"username": "ada"}, {"username": "bob"}], {"Purpose": GOOD})
    lena, mia = desk.visitor(), desk.reviewer("mia")
    lena.post("/selection", {"do": "all", "q": "status:pending"})
    path = start_bulk(lena, "accept")
    assert mia.get(path).status == 404
    assert mia.post(path.partition("?")[0], {"verb": "accept", "count": "2"}).status == 404
    assert mia.post("/bulk", {"verb": "accept"}).status == 422
    assert list_waiting_decisions(desk.app_state.workspace.store) == []


def test_nobody_of_another_repo_comes_into_a_reviewers_selection(crowded: Desk) -> None:
    repos = sorted({(row["repo_type"], row["repo"]) for row in crowded.visitor().get("/queue.json").json})
    glob = repos[0][1] if repos[0][0] == "model" else f"datasets/{repos[0][1]}"
    mia = crowded.reviewer("mia", glob)
    mia.post("/selection", {"do": "all", "q": "status:pending"})
    rows = crowded.app_state.workspace.store.requests(list(list_selected(crowded, "mia"))).values()
    assert rows
    assert {row.repo.id for row in rows} == {repos[0][1]}
