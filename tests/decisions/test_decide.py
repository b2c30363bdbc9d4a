"""A decision at the keyboard: found, written down, sent once and settled, whatever happens to the process on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events import events as e
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.requests import AccessRequest, Target, target_of
from hf_gate.core.runs import RunKind
from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget
from hf_gate.decisions.service.runs import runs
from hf_gate.decisions.service.runs.run_executor import LATE_CALL_WAIT
from hf_gate.errors import HubUnavailable, NotAllowed, PersonNotFound, RequestNotFound, Stale, StoreUnavailable
from hf_gate.hub.protocol.flows.single_decision import DUPLICATE
from hf_gate.hub.protocol.messages import HubCall
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.requests.query_parser import parse_query
from hf_gate.workspace.rows.opening import open_store
from tests.kits.acts import ACCEPT, GRANT, RESET, DyingHub, decide, run_of, undo
from tests.kits.faulty_stores import FailingStore, KilledError, disk_full
from tests.kits.in_process_hub import ORIGIN, InProcessClient, InProcessHub
from tests.kits.workspaces import HubWorkspace


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(repos=2))
    yield made
    made.close()


def kinds(scene: HubWorkspace, run: str | None) -> list[str]:
    """What the ledger has of a run, the oldest first."""
    return [row.link.kind for row in reversed(scene.store.entries(run=run))]


def calls(scene: HubWorkspace) -> dict[str, int]:
    return dict(scene.local_hub.app.calls)


def listed(scene: HubWorkspace, name: str) -> AccessRequest:
    found = scene.hub.find(scene.repos[0], name)
    assert found is not None
    return found


# ---- one person --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_time", [True, False], ids=["the Hub tells when", "the Hub tells no time"])
def test_whom_we_decided_is_found_by_the_day_of_it_also_after_a_full_reading(
    scene: HubWorkspace, *, has_time: bool
) -> None:
    scene.ask(["ada"])
    scene.sync()
    decide(scene, ACCEPT, "ada")
    if not has_time:
        world = scene.local_hub.app.world
        gated, account = world.find_repo(scene.repos[0]), world.find_user("ada")
        assert gated is not None
        assert account is not None
        gated.people[account.id].reviewed_ms = None
    now = scene.clock.now()
    for _ in range(2):
        row = scene.row("ada")
        assert row.request is not None
        assert row.state.reviewed_at == to_ms(row.request.reviewed_at)
        assert abs((row.state.reviewed_at or 0) - to_ms(now)) < 10_000
        found = scene.store.query(parse_query(f"reviewed:{now:%Y-%m-%d}"), now=to_ms(now))
        assert [one.id for one in found.rows] == [row.id]
        scene.sync()
    assert verify_ledger(scene.store, with_tables=True).ok


def test_whom_we_put_back_is_not_reviewed(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    scene.sync()
    for choice in (ACCEPT, Choice(Status.PENDING)):
        decide(scene, choice, "ada")
    row = scene.row("ada")
    assert (row.state.status, row.state.reviewed_at) == ("pending", None)


def test_whom_the_store_knows_costs_one_look_and_one_call(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    scene.sync()
    before = calls(scene)
    decided = decide(scene, ACCEPT, "ada")
    assert [one.kind for one in decided.outcomes] == [OutcomeKind.DONE]
    spent = {name: count - before.get(name, 0) for name, count in calls(scene).items() if count != before.get(name, 0)}
    assert spent == {"GET list": 1, "POST handle": 1}
    assert kinds(scene, decided.run) == ["PlanApproved", "ChangeStarted", "ChangeSettled", "RunEnded"]
    assert scene.row("ada").state.status == "accepted"
    run = run_of(scene, decided)
    assert (run.kind, run.state, run.actor, dict(run.counts)) == ("direct", "ended", "lena-brandt", {"done": 1})
    scene.check_over()


def test_whom_the_store_does_not_know_is_found_and_entered_first(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    decided = decide(scene, RESET, "ada")
    assert decided.outcomes[0].kind is OutcomeKind.DONE
    assert calls(scene) == {"GET list": 1, "POST handle": 1}
    row = scene.row("ada")
    assert [one.link.kind for one in reversed(scene.store.entries(request=row.id))] == [
        "RequestSeen",
        "ChangeStarted",
        "ChangeSettled",
    ]
    started = scene.store.entries(request=row.id)[1]
    assert (started.private or {})["reason"] == "Say more."
    assert b"Say more" not in started.link.body
    scene.check_over()


def test_the_store_says_in_which_list_and_by_which_name_to_look(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bob"])
    ident = listed(scene, "bob").request_id
    scene.decide("ada", "rejected")
    scene.sync()
    before = calls(scene)["GET list"]
    assert decide(scene, RESET, "ada").outcomes[0].kind is OutcomeKind.DONE
    assert calls(scene)["GET list"] == before + 1
    decide(scene, ACCEPT, Target(request_id=ident))
    assert calls(scene)["GET list"] == before + 2
    assert scene.status_on_hub("bob") == "accepted"


def test_an_id_alone_is_looked_for_on_one_page_and_decided_unseen_where_it_is_not_there(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    ident = listed(scene, "ada").request_id
    scene.decide("ada", "rejected")
    before = calls(scene)["GET list"]
    decided = decide(scene, ACCEPT, Target(request_id=ident))
    assert (decided.outcomes[0].kind, decided.outcomes[0].request_id) == (OutcomeKind.DONE, ident)
    assert scene.status_on_hub("ada") == "accepted"
    assert [row.state for row in scene.store.changes(decided.run or "")] == ["done"]
    assert calls(scene)["GET list"] == before + 1


def test_an_intent_is_on_the_disk_before_the_call(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    started: list[list[str]] = []

    def look(send: HubCall) -> None:
        if send.is_change:
            with open_store(scene.folder / "desk.db", endpoint=ORIGIN, read_only=True) as other:
                started.append([row.state for row in other.changes("r_1")])
                started.append([row.link.kind for row in other.entries(run="r_1")])

    scene.local_hub.on_send = look
    decide(scene, ACCEPT, "ada")
    assert started == [["started"], ["ChangeStarted", "PlanApproved"]]


def test_what_is_so_already_is_told_and_nothing_is_sent(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    scene.decide("ada", "accepted")
    moves = len(scene.local_hub.journal())
    decided = decide(scene, ACCEPT, "ada")
    assert (decided.outcomes[0].kind, decided.outcomes[0].why) == (OutcomeKind.ALREADY, "already accepted")
    assert decide(scene, ACCEPT, listed(scene, "ada")).outcomes[0].kind is OutcomeKind.ALREADY
    assert len(scene.local_hub.journal()) == moves
    assert "POST handle" not in {name for name, count in calls(scene).items() if count > 1}
    scene.check_over()


def test_a_request_that_moved_or_went_since_it_was_read_is_left_alone(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bob"])
    ada, bob = listed(scene, "ada"), listed(scene, "bob")
    scene.decide("ada", "rejected")
    scene.local_hub.withdraw("bob", scene.repos[0])
    moved, gone = decide(scene, ACCEPT, ada).outcomes[0], decide(scene, ACCEPT, bob).outcomes[0]
    assert (moved.kind, type(moved.error)) == (OutcomeKind.STALE, Stale)
    assert (gone.kind, type(gone.error)) == (OutcomeKind.GONE, RequestNotFound)
    assert scene.moves() == []
    scene.check_over()


@pytest.mark.parametrize(("name", "error"), [("nobody-of-that-name", PersonNotFound), ("gil", RequestNotFound)])
def test_who_is_not_there_is_refused_in_the_words_of_the_hub(
    scene: HubWorkspace, name: str, error: type[Exception]
) -> None:
    scene.local_hub.add_people("gil")
    decided = decide(scene, ACCEPT, name)
    assert decided.outcomes[0].kind is OutcomeKind.REFUSED
    assert isinstance(decided.outcomes[0].error, error)
    assert name in decided.outcomes[0].why
    assert kinds(scene, decided.run) == ["PlanApproved", "ChangeStarted", "ChangeSettled", "RunEnded"]


def test_a_list_that_lags_behind_our_own_change_is_not_believed(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    scene.sync()
    scene.local_hub.time.advance(60)
    scene.local_hub.set_faults(["lag:s=5"])
    assert decide(scene, ACCEPT, "ada").outcomes[0].kind is OutcomeKind.DONE
    assert decide(scene, ACCEPT, "ada").outcomes[0].kind is OutcomeKind.ALREADY
    assert decide(scene, Choice(Status.PENDING), "ada").outcomes[0].kind is OutcomeKind.DONE
    assert [move["to"] for move in scene.moves()] == ["accepted", "pending"]


def test_one_who_is_named_twice_is_decided_once(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bob"])
    ident = listed(scene, "ada").request_id
    decided = decide(scene, ACCEPT, "ada", Target(request_id=ident), "bob")
    assert [one.kind for one in decided.outcomes] == [OutcomeKind.DONE, OutcomeKind.ALREADY, OutcomeKind.DONE]
    assert decided.outcomes[1].why == DUPLICATE
    assert len(scene.moves()) == 2
    scene.check_over()


def test_a_request_that_is_named_twice_is_refused_twice(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bob"])
    ident = listed(scene, "ada").request_id
    scene.local_hub.set_faults(["fail_before:status=400:on=handle:p=1", "fail_before:status=400:on=batch:p=1"])
    decided = decide(scene, ACCEPT, "ada", Target(request_id=ident))
    assert [one.kind for one in decided.outcomes] == [OutcomeKind.REFUSED, OutcomeKind.REFUSED]
    assert decided.outcomes[1].why == decided.outcomes[0].why


def test_where_a_repo_hides_names_the_name_that_was_given_is_sent_and_an_id_is_found(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bob"])
    repo = scene.repos[0]
    ids = {request.username: request.request_id for request in scene.hub.list_pending(repo)}
    scene.local_hub.control("POST", "settings", {"repo": repo.id, "repo_type": repo.type.value, "hide_usernames": True})
    assert decide(scene, ACCEPT, "ada").outcomes[0].kind is OutcomeKind.DONE
    decided = decide(scene, ACCEPT, Target(request_id=ids["bob"]))
    assert decided.outcomes[0].kind is OutcomeKind.DONE
    assert scene.status_on_hub("ada") == scene.status_on_hub("bob") == "accepted"
    assert [row.request for row in scene.store.changes(decided.run or "")] != [None]


# ---- several, and what ends them -----------------------------------------------------------------------------------------


def test_many_go_by_the_hundred_and_each_has_its_outcome(scene: HubWorkspace) -> None:
    names = [f"p{n:03}" for n in range(150)]
    scene.ask(names)
    decided = decide(scene, ACCEPT, *names, "nobody-of-that-name")
    assert [one.kind for one in decided.outcomes] == [OutcomeKind.DONE] * 150 + [OutcomeKind.REFUSED]
    assert isinstance(decided.outcomes[-1].error, PersonNotFound)
    assert calls(scene)["POST batch"] == 2
    assert len(scene.moves()) == 150


def test_one_repo_that_refuses_does_not_stop_the_other(scene: HubWorkspace) -> None:
    scene.ask(["ada"], scene.repos[1])
    nowhere = Repo(scene.repos[0].type, "lumen-labs", "nothing-here")
    targets = [DecisionTarget(repo, target_of("ada")) for repo in (nowhere, scene.repos[1])]
    decided = decide(scene, ACCEPT, *targets)
    assert [one.kind for one in decided.outcomes] == [OutcomeKind.OPEN, OutcomeKind.DONE]
    assert "no such repo" in str(decided.stopped_by)
    scene.check_over()


def test_without_the_right_to_decide_nothing_is_left_half_way(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    with InProcessClient(scene.local_hub, "fine_access") as hub:
        decided = decide(scene, ACCEPT, "ada", hub=hub)
    assert isinstance(decided.stopped_by, NotAllowed)
    assert decided.outcomes[0].kind is OutcomeKind.OPEN
    run = run_of(scene, decided)
    assert run.state == "abandoned"
    assert scene.row("ada").state.open_run is None
    assert decide(scene, ACCEPT, "ada").outcomes[0].kind is OutcomeKind.DONE
    assert len(scene.moves()) == 1
    scene.check_over()


def test_a_hub_that_cannot_be_read_is_sent_nothing_and_no_run_is_begun(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    scene.local_hub.set_faults(["fail_before:status=503:on=list"])
    with InProcessClient(scene.local_hub, max_wait=1.0) as hub, pytest.raises(HubUnavailable):
        decide(scene, ACCEPT, "ada", hub=hub)
    assert scene.store.runs() == []
    assert "POST handle" not in calls(scene)


# ---- crashes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_next_decision_first_reads_what_became_of_one_that_was_cut_off(scene: HubWorkspace, when: str) -> None:
    scene.ask(["ada"])
    cut_off = decide(scene, ACCEPT, "ada", hub=DyingHub(scene.hub, when))
    assert isinstance(cut_off.stopped_by, KilledError)
    assert scene.row("ada").state.open_run == cut_off.run
    scene.restart()
    again = decide(scene, ACCEPT, "ada")
    assert again.outcomes[0].kind is (OutcomeKind.DONE if when == "before" else OutcomeKind.ALREADY)
    assert [move["to"] for move in scene.moves()] == ["accepted"]
    run = run_of(scene, cut_off)
    assert (run.state, dict(run.counts)) == (
        ("abandoned", {"planned": 1}) if when == "before" else ("ended", {"done": 1})
    )
    scene.check_over()


def test_a_call_of_a_dead_process_gets_its_time_also_where_the_clock_was_set_forward(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    decide(scene, ACCEPT, "ada", hub=DyingHub(scene.hub, "after"))
    scene.local_hub.skew += 2 * 3600
    scene.restart()
    before = scene.local_hub.time.now()
    decide(scene, ACCEPT, "ada")
    assert scene.local_hub.time.now() - before >= LATE_CALL_WAIT


def test_a_decision_about_somebody_whom_a_plan_left_under_way_tells_how_that_plan_stands(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bo"])
    scene.sync()
    run = scene.approve(scene.plan())
    scene.die_while_sending(run)
    assert dict(scene.reload(run).counts) != {"planned": 2}
    decide(scene, ACCEPT, "ada")
    assert (scene.reload(run).state, dict(scene.reload(run).counts)) == ("ready", {"planned": 2})
    scene.check()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("when", ["before", "in", "after"])
def test_no_call_leaves_without_a_durable_intent_when_the_disk_is_full_at_any_write(
    tmp_path: Path, when: str, count: int
) -> None:
    for at in range(1, 7):
        scene = HubWorkspace(tmp_path / f"{when}-{count}-{at}", InProcessHub(repos=1))
        names = ["ada", "bob", "cem"][:count]
        scene.ask(names)
        store = FailingStore(scene.store, at, when, disk_full)
        try:
            decided = decide(scene, ACCEPT, *names, store=store)
            stop = decided.stopped_by
            told = {one.user for one in decided.outcomes if one.kind is OutcomeKind.DONE}
            assert told <= {name for name in names if scene.status_on_hub(name) == "accepted"}
        except StoreUnavailable as problem:
            stop = problem
            assert scene.moves() == []
        assert isinstance(stop, StoreUnavailable) == store.has_failed
        scene.check()
        scene.restart()
        decide(scene, ACCEPT, *names)
        assert {scene.status_on_hub(name) for name in names} == {"accepted"}
        assert len(scene.moves()) == count
        scene.check_over()
        scene.close()


# ---- who never asked -----------------------------------------------------------------------------------------------------


def test_who_never_asked_is_let_in_then_found_and_can_be_put_out_again(scene: HubWorkspace) -> None:
    scene.local_hub.add_people("eve")
    decided = decide(scene, Choice(Status.ACCEPTED, is_grant=True, note="By telephone.", until="30d"), "eve")
    assert decided.outcomes[0].kind is OutcomeKind.DONE
    assert calls(scene)["POST grant"] == 1
    row = scene.row("eve")
    assert (row.state.status, row.state.until is not None, row.has_notes) == ("accepted", True, True)
    assert [one.link.kind for one in reversed(scene.store.entries(request=row.id))] == [
        "RequestSeen",
        "ChangeSettled",
        "GrantDated",
        "NoteWritten",
    ]
    intent = next(one for one in scene.store.entries(run=decided.run) if one.link.kind == "ChangeStarted")
    assert (intent.link.request, b"eve" in intent.link.body) == (None, False)
    assert run_of(scene, decided).counts == {"done": 1}
    plan, _ = runs.plan_undo(scene.store, run_of(scene, decided), now=scene.clock.now())
    assert [(change.user, change.before, change.after) for change in plan.changes] == [("eve", "accepted", "reset")]
    assert scene.execute(scene.approve(plan, RunKind.UNDO)).counts == {"done": 1}
    assert scene.status_on_hub("eve") == "reset"


def test_a_grant_to_who_has_asked_is_an_acceptance(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    decided = decide(scene, GRANT, "ada")
    assert decided.outcomes[0].kind is OutcomeKind.DONE
    assert "POST grant" not in calls(scene)
    scene.check_over()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_grant_that_was_cut_off_is_settled_by_reading_and_sent_at_most_once(scene: HubWorkspace, when: str) -> None:
    scene.local_hub.add_people("eve", "fay")
    cut_off = decide(scene, GRANT, "eve", "fay", hub=DyingHub(scene.hub, when))
    scene.restart()
    ended = scene.execute(run_of(scene, cut_off))
    assert (ended.state, dict(ended.counts)) == ("ended", {"done": 2})
    assert scene.status_on_hub("eve") == scene.status_on_hub("fay") == "accepted"
    grants = [move for move in scene.local_hub.journal() if move["route"] == "grant"]
    assert sorted(move["user"] for move in grants) == ["eve", "fay"]
    assert scene.row("eve").state.status == "accepted"


# ---- notes and ends ------------------------------------------------------------------------------------------------------


def test_a_note_is_kept_beside_the_ledger_and_an_end_is_dated(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    decide(scene, Choice(Status.ACCEPTED, note="Met at the workshop.", until="2030-01-01"), "ada")
    row = scene.row("ada")
    entries = {one.link.kind: one for one in scene.store.entries(request=row.id)}
    assert entries["NoteWritten"].private == {"note": "Met at the workshop."}
    assert b"workshop" not in entries["NoteWritten"].link.body
    dated = e.decode_event(entries["GrantDated"].link.body)
    assert isinstance(dated, e.GrantDated)
    assert dated.written == "2030-01-01"
    assert dated.until == row.state.until
    assert not any("workshop" in json.dumps(move) for move in scene.local_hub.journal())
    scene.check_over()


def test_an_end_can_be_given_to_who_is_in_already(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    decide(scene, ACCEPT, "ada")
    assert scene.row("ada").state.until is None
    assert decide(scene, Choice(Status.ACCEPTED, until="30d"), "ada").outcomes[0].kind is OutcomeKind.ALREADY
    assert scene.row("ada").state.until is not None
    assert len(scene.moves()) == 1


def test_undo_of_a_direct_run_puts_everybody_back(scene: HubWorkspace) -> None:
    scene.ask(["ada", "bob"])
    decided = decide(scene, ACCEPT, "ada", "bob")
    undo(scene, decided)
    assert scene.status_on_hub("ada") == scene.status_on_hub("bob") == "pending"
    scene.check_over()
