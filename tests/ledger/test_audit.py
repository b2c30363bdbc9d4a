"""The ledger's page tells what happened, to whom it may; a proof finds what was touched; its files prove it without the store."""

from __future__ import annotations

import pytest

from hf_gate import Hub
from hf_gate.core.events.event_descriptions import KIND_LABELS
from hf_gate.core.events.events import KINDS
from hf_gate.core.stored_rows import LedgerRow, TimelineFilter
from hf_gate.store.rows.ledger import search_entries
from tests.kits.desk import GOOD, Desk


@pytest.fixture
def told(desk: Desk) -> Desk:
    """Ada is accepted here, Bob rejected outside, and there is a note about Ada."""
    desk.ask([{"username": "ada", "email": "ada@ethz.ch"}, {"username": "bob"}], {"Purpose": GOOD})
    lena = desk.visitor()
    key = desk.row("ada").state.hub_request
    lena.post(f"/requests/{key}/note", {"note": "a <b>friend</b> of mine"})
    lena.post("/tray", {"accept": f"{key}:{desk.row('ada').version.token}"})
    desk.send_due()
    with Hub(desk.local.tokens["admin"], desk.local.url) as other:
        other.reject(desk.repo, "bob", reason="outside")
    desk.read()
    return desk


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        ("kind=StatusMoved", {"StatusMoved"}),
        ("kind=notewritten", {"NoteWritten"}),
        ("actor=lena-brandt&kind=ChangeSettled", {"ChangeSettled"}),
        ("person=bob", {"RequestSeen", "StatusMoved"}),
        ("repo=desk", {"PlanApproved", "RunEnded"}),
        ("actor=nobody", set()),
    ],
)
def test_a_filter_finds_what_it_says(told: Desk, asked: str, kinds: set[str]) -> None:
    assert {row["kind"] for row in told.visitor().get(f"/audit.json?{asked}").json} == kinds


def test_what_was_done_outside_is_told_apart(told: Desk) -> None:
    body = told.visitor().get("/audit?kind=StatusMoved").body
    assert "outside the desk" in body
    assert "pending to rejected, on the Hub" in body


@pytest.mark.parametrize("max_searched", [1, 2, 7, 1000])
def test_looking_back_in_short_stretches_misses_nothing(told: Desk, max_searched: int) -> None:
    store, mine = told.app_state.workspace.store, told.row("ada").id
    whole = store.entries(limit=1000)
    for wanted, found in (
        (TimelineFilter(), whole),
        (TimelineFilter(kind="StatusMoved"), [row for row in whole if row.link.kind == "StatusMoved"]),
        (TimelineFilter([], with_desk=True), [row for row in whole if row.link.chain == "desk"]),
        (
            TimelineFilter([told.repo], with_desk=False, actor="outside"),
            [row for row in whole if row.link.actor == "outside"],
        ),
        (TimelineFilter([told.repo], with_desk=True), whole),
        (TimelineFilter(requests=[mine]), [row for row in whole if row.link.request == mine]),
    ):
        got: list[LedgerRow] = []
        before = None
        while True:
            some = search_entries(store, wanted, limit=2, before=before, max_searched=max_searched)
            got += some.rows
            before = some.next
            if before is None:
                break
        assert got == list(found), wanted


def test_a_reviewer_sees_the_chains_of_their_repos_and_proves_nothing(crowded: Desk) -> None:
    chains = [chain for chain in crowded.app_state.workspace.store.chains() if chain != "desk"]
    mine, foreign = chains[0], chains[1]
    mia = crowded.reviewer("mia", mine.removeprefix("models/"))
    rows = mia.get("/audit.json").json
    assert {f"{row['repo_type']}s/{row['repo']}" for row in rows} == {mine}
    assert mia.get(f"/audit/{mine}/1").status == 200
    assert mia.get(f"/audit/{foreign}/1").status == 404
    assert mia.get("/audit/desk/1").status == 404
    assert mia.get(f"/audit.json?repo={foreign.removeprefix('models/')}").status == 422
    person = crowded.visitor().get(f"/audit.json?repo={foreign.removeprefix('models/')}&kind=RequestSeen").json[0]
    assert mia.get(f"/audit?request=n{person['request']}").status == 404
    assert (mia.post("/audit/verify").status, mia.post("/audit/checkpoint").status) == (403, 403)
    assert mia.get("/audit/export").status == 403


def test_a_proof_finds_what_was_touched(told: Desk) -> None:
    with told.app_state.workspace.store.writing() as write:
        write.db.run("DROP TRIGGER ledger_no_update")
        write.db.run("UPDATE ledger SET actor = 'mallory' WHERE kind = 'NoteWritten'")
    lena = told.visitor()
    lena.post("/audit/verify")
    body = lena.get("/audit").body
    assert "Damaged" in body
    assert "content does not match its hash" in body


def test_a_proof_must_come_from_a_page_of_the_desk(told: Desk) -> None:
    assert told.visitor().post("/audit/verify", origin="https://evil.example").status == 403
    assert told.visitor().get("/audit/verify").status == 404


def test_every_kind_of_event_has_a_label() -> None:
    assert set(KIND_LABELS) == set(KINDS)
