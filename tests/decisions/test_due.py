"""Queues and due dates of rules: what is overdue is shown, and a view leaves out the queues of others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.desk import GOOD, POLICY, Desk, open_desk, text_of
from tests.kits.desk_actions import create_plan

DUE = POLICY.replace(
    "  - id: rest\n    then: human\n", "  - id: rest\n    then: human\n    queue: office\n    due: 5d\n"
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    assert DUE != POLICY
    with open_desk(tmp_path, DUE, config="queues: {office: [mia]}\n") as opened:
        opened.ask([{"username": "ada"}], {"Purpose": GOOD})
        create_plan(opened, opened.visitor())
        yield opened


def test_an_overdue_request_is_marked_and_has_a_view(desk: Desk) -> None:
    lena = desk.visitor()
    assert desk.row("ada").state.due == desk.row("ada").state.asked_at + 5 * 86_400_000
    assert lena.get("/queue?q=status:pending+due:over").rows == []
    with desk.app_state.workspace.store.writing() as write:
        write.db.run("UPDATE requests SET due_at = 1000")
    page = text_of(lena.get("/queue").body)
    assert re.search(r"overdue \d", page), re.findall(".{40}verdue.{40}", page)
    assert "Overdue" in page
    assert len(lena.get("/queue?q=status:pending+due:over").rows) == 1
    assert lena.get("/queue?q=status:pending+-due:over").rows == []
    assert lena.get("/queue.json").json[0]["verdict"]["queue"] == "office"


def test_a_view_leaves_out_the_queues_of_others(desk: Desk) -> None:
    lena, mia = desk.visitor(), desk.reviewer("mia")
    assert "For you" in text_of(lena.get("/queue").body)
    assert lena.get("/queue?q=status:pending+-queue:office").rows == []
    assert "For you" not in text_of(mia.get("/queue").body)
    assert len(mia.get("/queue").rows) == 1
