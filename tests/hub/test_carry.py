"""A run carried to its end whatever happens: each situation of the table of outcomes, and a crash or a full disk at every write."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hf_gate.base.ids import parse_repo
from hf_gate.base.timestamps import from_ms
from hf_gate.core.runs import RunEvent
from hf_gate.core.stored_rows import RunRow
from hf_gate.decisions.service.runs.run_executor import halt_run
from hf_gate.errors import Guarded, HfGateError, HubUnavailable, NotAllowed, NotGated, RepoMoved, StoreUnavailable
from hf_gate.hub.protocol.messages import HubCall
from hf_gate.workspace.rows.opening import open_store
from tests.kits.faulty_stores import WRONG_EXECUTORS, FailingStore, HalfSettlingStore, KilledError, disk_full
from tests.kits.in_process_hub import ORIGIN, InProcessClient, InProcessHub
from tests.kits.invariants import find_final_violations, list_moves
from tests.kits.workspaces import POLICY, HubWorkspace, write_workspace

MANY = {f"p{n:02}": ("accept", "while", "reset", "reject")[n % 4] for n in range(20)}
WISHED = {"accept": "accepted", "while": "accepted", "reset": "reset", "reject": "rejected"}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(repos=2, page_size=10))
    yield made
    made.close()


def begun(scene: HubWorkspace, wishes: dict[str, str] | None = None) -> RunRow:
    """People asked, half of them at another repo if there is one, were read, judged, and their run is approved."""
    wanted = list((wishes or MANY).items())
    here, there = (wanted, []) if wishes or len(scene.repos) < 2 else (wanted[::2], wanted[1::2])
    for repo, some in zip(scene.repos, (here, there), strict=False):
        scene.ask(dict(some), repo)
        scene.sync(repo=repo)
    return scene.approve(scene.plan())


def counted(scene: HubWorkspace, run: RunRow) -> Counter[str]:
    return Counter(scene.states(run).values())


def as_wished(scene: HubWorkspace, wishes: dict[str, str] | None = None) -> bool:
    """Whether everybody stands where they wished to, moved once, and all books agree."""
    wanted = {name: WISHED[wish] for name, wish in (wishes or MANY).items()}
    scene.check_over()
    stands = {
        name: status for repo in reversed(scene.repos) for name in wanted if (status := scene.status_on_hub(name, repo))
    }
    return stands == wanted and len(scene.moves()) == len(wanted)


# ---- every situation ends as the table says ----------------------------------------------------------------------------


def test_a_run_moves_everybody_once_and_a_second_time_moves_nobody(scene: HubWorkspace) -> None:
    run = begun(scene)
    ended = scene.execute(run)
    assert (ended.state, dict(ended.counts)) == ("ended", {"done": 20})
    assert as_wished(scene)
    assert scene.approve(scene.plan()).total == 0
    assert scene.execute(scene.reload(run)).counts == {"done": 20}
    assert len(scene.moves()) == 20


def test_a_run_that_a_person_stopped_sends_nothing_whoever_executes_it(scene: HubWorkspace) -> None:
    run = begun(scene)
    stopped = halt_run(scene.store, run, RunEvent.STOP, 1)
    with pytest.raises(Guarded, match="the run is stopped, which does not allow begin"):
        scene.execute(stopped)
    assert (scene.moves(), scene.reload(run).state) == ([], "stopped")


def test_an_intent_is_on_the_disk_before_the_call_that_it_is_about(scene: HubWorkspace) -> None:
    run = begun(scene)
    calls: list[set[str]] = []

    def look(send: HubCall) -> None:
        if send.is_change:
            calls.append({one["userId"] for one in json.loads(send.body or b"")["requests"]})
            with open_store(scene.folder / "desk.db", endpoint=ORIGIN, read_only=True) as other:
                started = {json.loads(row.change)["user_id"] for row in other.changes(run.id, ("started",))}
            assert calls[-1] <= started

    scene.local_hub.on_send = look
    scene.execute(run)
    assert sum(map(len, calls)) == 20
    assert len(calls) == 4  # one for each repo, status and reason


def test_who_was_decided_elsewhere_meanwhile_is_already_or_stale_and_who_withdrew_is_gone(scene: HubWorkspace) -> None:
    run = begun(scene, {"ada": "accept", "bob": "accept", "cem": "accept", "dora": "accept"})
    scene.decide("ada", "accepted")
    scene.decide("bob", "rejected")
    scene.local_hub.withdraw("cem", scene.repos[0])
    ended = scene.execute(run)
    assert dict(ended.counts) == {"already": 1, "stale": 1, "gone": 1, "done": 1}
    assert [move["user"] for move in scene.moves()] == ["dora"]
    scene.check_over()


def test_who_is_known_to_have_withdrawn_by_a_reading_since_is_gone_and_the_others_go_on(scene: HubWorkspace) -> None:
    run = begun(scene, {"ada": "accept", "bob": "accept"})
    scene.local_hub.withdraw("ada", scene.repos[0])
    scene.sync()
    assert scene.row("ada").state.status == "withdrawn"
    assert dict(scene.execute(run).counts) == {"gone": 1, "done": 1}
    scene.check_over()


@pytest.mark.parametrize("again", ["reset", "accept"], ids=["the same answers", "other answers"])
def test_who_asked_anew_is_not_decided_on_the_old_request(scene: HubWorkspace, again: str) -> None:
    run = begun(scene, {"ada": "reset"})
    scene.decide("ada", "reset")
    scene.ask({"ada": again})
    assert dict(scene.execute(run).counts) == {"stale": 1}
    assert scene.status_on_hub("ada") == "pending"


@pytest.mark.parametrize(("reads_name", "kind"), [(True, "stale"), (False, "done")])
def test_a_rename_makes_a_change_stale_only_where_its_rule_read_the_name(
    scene: HubWorkspace, *, reads_name: bool, kind: str
) -> None:
    condition = 'form.exists(k, k == "wish" && form[k] == "accept")'
    name = 'person.username != "mallory" && ' if reads_name else ""
    write_workspace(scene.folder, POLICY.replace(condition, f"{name}{condition}"))
    scene.join()
    run = begun(scene, {"ada": "accept"})
    scene.local_hub.rename("ada", "ada2")
    assert dict(scene.execute(run).counts) == {kind: 1}
    assert scene.status_on_hub("ada2") == ("pending" if reads_name else "accepted")


def test_who_was_rejected_and_put_back_meanwhile_is_left_alone(scene: HubWorkspace) -> None:
    run = begun(scene, {"ada": "accept", "bob": "accept"})
    scene.decide("ada", "rejected")
    scene.sync()
    scene.decide("ada", "pending")
    scene.sync()
    assert dict(scene.execute(run).counts) == {"stale": 1, "done": 1}
    assert scene.status_on_hub("ada") == "pending"


def test_a_name_that_changed_hands_lets_nobody_in_by_mistake(scene: HubWorkspace) -> None:
    """She is to be accepted, and renames herself, mallory takes the name and asks: mallory waits on."""
    run = begun(scene, {"alice": "accept"})
    scene.local_hub.rename("alice", "bob2")
    scene.ask({"alice": "x"})  # mallory
    scene.execute(run)
    assert scene.status_on_hub("alice") == "pending"
    scene.check_over()


def test_a_name_that_changed_hands_where_ids_are_hidden_from_the_reader(scene: HubWorkspace) -> None:
    """The same, and the one who was meant took the request back: nobody is left whom the plan means."""
    run = begun(scene, {"alice": "accept"})
    scene.local_hub.withdraw("alice", scene.repos[0])
    scene.local_hub.rename("alice", "bob2")
    scene.ask({"alice": "accept"})
    assert dict(scene.execute(run).counts) == {"gone": 1}
    assert scene.status_on_hub("alice") == "pending"
    assert scene.moves() == []


# ---- what the Hub does -------------------------------------------------------------------------------------------------

PASSING = [
    "fail_before:p=0.5:on=batch",
    "fail_before:status=503:p=0.4",
    "fail_after:p=0.5:on=batch",
    "fail_after:status=504:call=1-2:on=batch",
    "delay_before:s=15:call=1:on=batch",
    "delay_after:s=15:call=1-2:on=batch",
    "reset_at:byte=0:call=1:on=batch",
    "reset_at:byte=20:p=0.3",
    "truncate:p=0.3:on=batch|list",
    "html_200:call=1:on=batch",
    "empty_200:call=1:on=batch",
    "dup_rows:p=0.5",
    "lag:s=1",
    "limit_bare:call=2-4",
    "hidden_limit:rate=1",
    "no_batch",
]


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_loses_nobody_and_moves_nobody_twice(scene: HubWorkspace, fault: str) -> None:
    run = begun(scene)
    scene.local_hub.set_faults([fault])
    for _ in range(8):
        try:
            if scene.execute(scene.reload(run)).state == "ended":
                break
        except HfGateError:
            scene.check()
            scene.local_hub.time.advance(60)
    assert counted(scene, run) == Counter(done=20)
    assert as_wished(scene)


def test_who_is_decided_by_others_right_after_a_call_whose_answer_was_lost_is_not_decided_again(
    scene: HubWorkspace,
) -> None:
    """Reading shows neither where the request stood nor where it should go: that somebody moved it, and nothing is sent."""
    run = begun(scene, {"ada": "accept"})
    scene.local_hub.set_faults(["fail_after:call=1:on=batch"])

    def decide(send: HubCall) -> None:
        if send.is_change:
            scene.local_hub.on_reply = lambda _: None
            scene.decide("ada", "rejected")

    scene.local_hub.on_reply = decide
    assert scene.execute(run).state == "interrupted"
    assert scene.status_on_hub("ada") == "rejected"
    scene.local_hub.set_faults([])
    assert dict(scene.execute(scene.reload(run)).counts) == {"stale": 1}
    assert len(scene.moves()) == 1
    scene.check_over()


def test_what_stays_unknown_is_asked_again_by_a_resume(scene: HubWorkspace) -> None:
    """The batch fails after it was done, and for so long no list can be read whole: the run has not ended."""
    run = begun(scene)
    scene.local_hub.set_faults(["fail_after:on=batch", "bad_record:on=list:kind=no_id"])
    try:
        ended = scene.execute(run)
    except HfGateError:
        ended = scene.reload(run)
    assert ended.state == "interrupted"
    scene.check()
    scene.local_hub.set_faults([])
    assert scene.execute(scene.reload(run)).state == "ended"
    assert as_wished(scene)


STOPPING: list[tuple[str, type[HfGateError]]] = [
    ("ungate:call=2:on=batch", NotGated),
    ("rename_repo:call=2:on=batch", RepoMoved),
    ("revoke_token:token=owner:call=2:on=batch", NotAllowed),
    ("down:s=3600:call=2:on=batch", HubUnavailable),
]


@pytest.mark.parametrize(("fault", "error"), STOPPING)
def test_what_ends_a_run_is_raised_and_the_rest_waits(
    scene: HubWorkspace, fault: str, error: type[HfGateError]
) -> None:
    run = begun(scene)
    scene.local_hub.set_faults([fault])
    with pytest.raises(error):
        scene.execute(run)
    assert scene.reload(run).state == "interrupted"
    assert 0 < counted(scene, run)["done"] < 20
    scene.check()
    mend: dict[type[HfGateError], Callable[[], None]] = {
        NotGated: scene.local_hub.gate_all,
        RepoMoved: scene.local_hub.restore_names,
        NotAllowed: scene.local_hub.app.world.revoked.clear,
        HubUnavailable: lambda: scene.local_hub.time.advance(3600),
    }
    scene.local_hub.set_faults([])
    mend[error]()
    scene.begin()
    assert scene.execute(scene.reload(run)).state == "ended"
    assert counted(scene, run) == Counter(done=20)
    assert as_wished(scene)


def test_a_token_that_is_revoked_at_the_137th_call_stops_the_run_there(tmp_path: Path) -> None:
    """One call for each, sixteen at once: no more than those under way go on, and another token does the rest."""
    local_hub = InProcessHub()
    scene = HubWorkspace(tmp_path, local_hub)
    wishes = {f"q{n:03}": "accept" for n in range(200)}
    scene.ask(wishes)
    scene.sync()
    run = scene.approve(scene.plan())
    local_hub.set_faults(["no_batch", "revoke_token:token=owner:call=137:on=handle"])
    with pytest.raises(NotAllowed):
        scene.execute(run)
    assert 136 <= len(scene.moves()) <= 136 + 16
    scene.check()
    local_hub.set_faults([])
    local_hub.app.world.revoked.clear()
    scene.restart()
    assert scene.execute(scene.reload(run)).counts == {"done": 200}
    assert as_wished(scene, wishes)
    scene.close()


def test_an_hour_without_a_hub_is_waited_for_by_who_says_so(scene: HubWorkspace) -> None:
    run = begun(scene)
    scene.local_hub.set_faults(["down:s=3600:call=2:on=batch"])
    began = scene.local_hub.time.now()
    scene.hub = InProcessClient(scene.local_hub, max_wait=7200)
    assert scene.execute(run).state == "ended"
    assert 3600 <= scene.local_hub.time.now() - began < 3600 + 300
    assert as_wished(scene)


def test_a_repo_that_fails_does_not_keep_the_others(scene: HubWorkspace) -> None:
    scene.ask({"ada": "accept"})
    scene.ask({"bob": "accept"}, scene.repos[1])
    scene.sync()
    scene.sync(repo=scene.repos[1])
    run = scene.approve(scene.plan())
    scene.local_hub.set_gate(scene.repos[1], False)
    with pytest.raises(NotGated):
        scene.execute(run)
    assert (scene.status_on_hub("ada"), scene.status_on_hub("bob", scene.repos[1])) == ("accepted", "pending")


def test_with_true_headers_no_call_is_refused_and_a_reserve_stays(tmp_path: Path) -> None:
    local_hub = InProcessHub(page_size=10, quota="40/300")
    scene = HubWorkspace(tmp_path, local_hub)
    wishes = {f"q{n:03}": "accept" for n in range(60)}
    scene.ask(wishes)
    scene.sync()
    run = scene.approve(scene.plan())
    for _ in range(3):
        scene.begin()
        scene.execute(scene.reload(run))
    assert local_hub.app.replies["429"] == 0
    assert as_wished(scene, wishes)
    scene.close()


# ---- what becomes of the process ---------------------------------------------------------------------------------------


def commits(scene: HubWorkspace, run: RunRow) -> int:
    """How many transactions a whole carry takes: asked of one whose last is never reached."""
    watched = FailingStore(scene.store, 1_000)
    scene.execute(run, store=watched)
    return watched.count


def test_a_process_that_dies_at_any_write_is_resumed_without_loss(tmp_path: Path) -> None:
    """Before each transaction, within it and after it, one after the other until the run needs no more of them."""
    for when in ("before", "in", "after"):
        for at in range(1, 20):
            scene = HubWorkspace(tmp_path / f"{when}{at}", InProcessHub(repos=2, page_size=10))
            run = begun(scene)
            dying = FailingStore(scene.store, at, when)
            with suppress(KilledError):
                scene.execute(run, store=dying)
            scene.restart()
            scene.check()
            ended = scene.execute(scene.reload(run))
            assert (ended.state, dict(ended.counts)) == ("ended", {"done": 20}), (when, at)
            assert as_wished(scene), (when, at)
            scene.close()
            if not dying.has_failed:
                break
        assert at > 5, "so few transactions would prove nothing"


@pytest.mark.parametrize("tail", [b"", b"torn" * 999, bytes(24 + 4096)], ids=["as it is", "torn", "empty pages"])
def test_what_a_power_cut_leaves_of_the_log_is_opened_and_resumed(tmp_path: Path, tail: bytes) -> None:
    """The files as they are on the disk at each commit, with what of the next write had reached it; no process closed them."""
    for at in range(1, 20):
        scene = HubWorkspace(tmp_path / f"{at}", InProcessHub(repos=2, page_size=10))
        run = begun(scene)
        dying = FailingStore(scene.store, at, "before")
        with suppress(KilledError):
            scene.execute(run, store=dying)
        image = tmp_path / f"{at}-image"
        image.mkdir()
        for name in ("desk.db", "desk.db-wal"):
            shutil.copy(scene.folder / name, image / name)
        with (image / "desk.db-wal").open("ab") as log:
            log.write(tail)
        scene.close()
        after = HubWorkspace(image, scene.local_hub)
        after.check()
        assert dict(after.execute(after.reload(run)).counts) == {"done": 20}
        assert as_wished(after)
        after.close()
        if not dying.has_failed:
            break
    assert at > 5


def test_a_process_that_dies_between_outcome_and_projection_leaves_neither(scene: HubWorkspace) -> None:
    run = begun(scene)

    def die() -> None:
        raise KilledError

    with pytest.raises(KilledError):
        scene.execute(run, store=HalfSettlingStore(FailingStore(scene.store, 2, "in"), die))
    scene.restart()
    scene.check()
    scene.execute(scene.reload(run))
    assert as_wished(scene)


@pytest.mark.parametrize("times", [1, 1_000_000], ids=["room at once", "room after a while"])
def test_a_disk_that_is_full_at_any_write_lets_no_call_go_unwritten(tmp_path: Path, times: int) -> None:
    for at in range(1, 20):
        scene = HubWorkspace(tmp_path / str(at), InProcessHub(repos=2, page_size=10))
        run = begun(scene)
        full = FailingStore(scene.store, at, "in", disk_full, times=times)
        try:
            scene.execute(run, store=full)
        except StoreUnavailable:
            scene.check()  # I1: whatever reached the Hub has an intent in the store
        if at == 1:
            assert scene.moves() == []
        ended = scene.execute(scene.reload(run))
        assert (ended.state, dict(ended.counts)) == ("ended", {"done": 20}), at
        assert as_wished(scene), at
        scene.close()
        if not full.has_failed:
            break
    assert at > 5


def test_a_call_that_arrives_after_its_process_died_is_waited_for(scene: HubWorkspace) -> None:
    run = begun(scene, {"ada": "accept", "bob": "reject"})
    scene.local_hub.set_faults(["delay_before:s=12:call=1:on=batch"])

    def die(send: HubCall) -> None:
        if scene.local_hub.late_calls and not send.is_change:
            raise KilledError

    scene.local_hub.on_send = die
    with pytest.raises(KilledError):
        scene.execute(run, store=FailingStore(scene.store, 2, "before"))
    scene.local_hub.on_send = lambda _: None
    assert scene.local_hub.late_calls
    scene.restart()
    scene.execute(scene.reload(run))
    assert scene.local_hub.late_calls == []
    assert as_wished(scene, {"ada": "accept", "bob": "reject"})


def test_an_access_that_is_read_back_late_ends_by_when_it_began(scene: HubWorkspace) -> None:
    run, dying = begun(scene, {"ada": "while"}), FailingStore(scene.store, 1_000_000)
    scene.local_hub.on_reply = lambda send: dying.die() if send.is_change else None
    with suppress(HfGateError, KilledError):
        scene.execute(run, store=dying)
    scene.local_hub.on_reply = lambda _: None
    (move,) = scene.moves()
    scene.restart()
    scene.local_hub.time.advance(10 * 86_400)
    assert scene.execute(scene.reload(run)).counts == {"done": 1}
    until = scene.row("ada").state.until
    assert until is not None
    assert from_ms(until) == datetime.fromisoformat(move["time"]) + timedelta(days=30)


def test_a_call_that_left_long_after_its_intent_is_waited_for_as_well(scene: HubWorkspace) -> None:
    """It waited a minute for its turn, its process died right after it left, and the next one looks at once."""
    run = begun(scene, {"ada": "accept"})
    scene.local_hub.set_faults(["delay_before:s=12:call=1:on=batch"])
    dying = FailingStore(scene.store, 1_000_000)

    def see(send: HubCall) -> None:
        if send.is_change:
            scene.local_hub.time.advance(60)
        elif scene.local_hub.late_calls:
            dying.die()

    scene.local_hub.on_send = see
    with suppress(KilledError):
        scene.execute(run, store=dying)
    scene.local_hub.on_send = lambda _: None
    assert scene.local_hub.late_calls
    scene.restart()
    scene.make_executor(scene.store, scene.hub, scene.clock, scene.workspace.zone, scene.approvals).settle_started(
        scene.reload(run)
    )
    assert list(scene.states(run).values()) == ["done"]


def test_a_clock_that_was_set_back_hides_nobodys_decision(scene: HubWorkspace) -> None:
    run = begun(scene, {"ada": "accept"})
    scene.local_hub.skew = 7200.0
    scene.execute(run)
    scene.local_hub.skew = 0.0
    scene.local_hub.time.advance(60)
    scene.decide("ada", "rejected")
    scene.sync()
    assert scene.row("ada").state.status == "rejected"


def test_a_wish_to_pause_ends_after_the_batch_and_a_wish_to_stop_leaves_the_rest(scene: HubWorkspace) -> None:
    run = begun(scene)
    asked = iter([None, "pause"])
    paused = scene.execute(run, read_stop_request=lambda: next(asked, "pause"))
    assert paused.state == "paused"
    scene.check()
    stopped = scene.execute(paused, read_stop_request=lambda: "stop")
    assert stopped.state == "stopped"
    scene.check_over()


# ---- a plan that means other rows --------------------------------------------------------------------------------------


def test_a_plan_from_another_store_is_refused(tmp_path: Path) -> None:
    """The store was lost and read anew: its numbers mean other people, who asked in the same moment and answered alike."""
    local_hub = InProcessHub()
    local_hub.add_people("ada", "bob", "cem")
    first = HubWorkspace(tmp_path / "first", local_hub)
    here = {"repo": first.repos[0].id, "answers": {"wish": "accept"}, "asked_at": "2026-09-01T10:00:00.000Z"}
    local_hub.control("POST", "requests", [{**here, "user": "ada"}, {**here, "user": "bob"}])
    first.sync()
    plan = first.plan()
    first.close()
    local_hub.control("POST", "requests", [{**here, "user": "cem"}])
    second = HubWorkspace(tmp_path / "second", local_hub)
    second.sync()
    assert {second.row(change.user or "").id for change in plan.changes} != {change.row for change in plan.changes}
    with pytest.raises(Guarded, match="another store"):
        second.approve(plan)
    assert second.store.runs() == []
    second.close()


# ---- the checks can fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(WRONG_EXECUTORS))
def test_a_carrier_that_forgets_a_duty_is_caught(tmp_path: Path, name: str) -> None:
    found: list[str] = []
    for at in range(1, 7):
        local_hub = InProcessHub(page_size=10)
        scene = HubWorkspace(tmp_path / str(at), local_hub, make_executor=WRONG_EXECUTORS[name])
        run = begun(scene)
        local_hub.set_faults(["fail_before:on=batch"] if name == "hopeful" else [])
        with suppress(KilledError, HfGateError):
            scene.execute(run, store=FailingStore(scene.store, at))
        local_hub.set_faults([])
        scene.restart()
        for move in list_moves(local_hub.journal())[-3:]:
            where = parse_repo(move["repo"], move["repo_type"])
            scene.decide(move["user"], "rejected" if move["to"] == "accepted" else "accepted", where)
        try:
            scene.execute(scene.reload(run))
        except Guarded as refused:  # the store refuses an outcome of a change that was not stored as started
            found.append(str(refused))
        found += find_final_violations(scene.store, local_hub.journal())
        scene.close()
    assert found, f"{name} was not caught"
