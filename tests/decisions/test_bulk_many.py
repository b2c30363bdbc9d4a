"""Very many at once: a run of exactly those who were shown, begun whole or not at all, led back by a plan; memory stays small."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from hf_gate.core.people.members import Member, MemberRole
from hf_gate.decisions.service.bulk_decisions import BulkDecision, create_bulk_run
from hf_gate.errors import Guarded
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Desk, Visitor, open_desk, text_of
from tests.kits.desk_actions import wait_for_run
from tests.kits.paths import ROOT

MANY = 1100
T = TypeVar("T")


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": f"p{n:04}"} for n in range(MANY)], {"Purpose": GOOD})
        desk.read(SyncKind.FULL)
        yield desk


def _sheet(visitor: Visitor, verb: str = "reset") -> str:
    visitor.post("/selection", {"do": "all", "q": "status:pending"})
    return visitor.post("/bulk", {"verb": verb}).headers["location"]


def _yes(visitor: Visitor, place: str, typed: str | None = None) -> str:
    count = re.search(r'name="count" value="(\d+)"', visitor.get(place).body)
    assert count
    values = {"verb": "reset", "count": count[1], "typed": typed or count[1], "reason": "Please say more."}
    return visitor.post(place.partition("?")[0], values).headers.get("location", "")


def test_more_than_the_tray_holds_become_a_run_of_exactly_those_who_were_shown(full: Desk) -> None:
    lena = full.visitor()
    place = _sheet(lena)
    assert "in a run that you can pause" in text_of(lena.get(place).body)
    full.ask([{"username": "late"}], {"Purpose": GOOD})
    full.app_state.workspace.hub.accept(full.repo, "p0000")
    full.read()
    assert _yes(lena, place, "7") == ""
    assert "p0005" in lena.get(place.replace("?", ".csv?")).body
    assert len(lena.get(place.replace("?", ".json?")).json) == MANY - 1
    assert full.reviewer("mia").get(place.replace("?", ".json?")).status == 404
    full.remove("mia")
    run = _yes(lena, place)
    wait_for_run(full, run)
    said = text_of(lena.get(run).body)
    assert f"{MANY - 1:,} changes: ended" in said
    sent = Counter(line["user"] for line in full.local.journal() if line["to"] == "reset")
    assert set(sent) == {f"p{n:04}" for n in range(1, MANY)}
    assert set(sent.values()) == {1}
    assert full.row("late").state.status == "pending"
    assert full.row("p0005").state.moved_at is not None
    assert full.app_state.workspace.store.entries(request=full.row("p0005").id)[0].link.actor == "lena-brandt"
    back = lena.post(run, {"do": "undo"}).headers["location"]
    assert f"Plan: {MANY - 1:,} changes" in text_of(lena.get(back).body)


def test_where_two_must_agree_very_many_become_a_plan(full: Desk) -> None:
    mia = full.visitor(Member(name="mia", role=MemberRole.REVIEWER))
    place = _sheet(mia)
    assert "that a second person must agree to" in text_of(mia.get(place).body)
    plan = _yes(mia, place)
    assert plan.startswith("/plans/")
    assert mia.post(plan, {"do": "apply", "count": str(MANY)}).status == 403
    noor = full.visitor(Member(name="noor", role=MemberRole.ADMIN))
    run = noor.post(plan, {"do": "apply", "count": str(MANY)}).headers["location"]
    wait_for_run(full, run)
    assert f"done {MANY:,}" in text_of(noor.get(run).body)


def test_a_run_whose_writing_down_was_cut_off_sends_nothing_and_cannot_go_on(full: Desk) -> None:
    lena, before = full.visitor(), full.count_writes()
    _sheet(lena)
    store = full.app_state.workspace.store
    idents = [row.id for row in store.iterate_requests(full.repo, "pending")]
    order = BulkDecision("r_0123456789ab", "lena-brandt", "reset", None, MANY)

    class PowerCutError(Exception):
        pass

    def parts() -> Iterator[list[int]]:
        yield idents[:500]
        raise PowerCutError

    with pytest.raises(PowerCutError):
        create_bulk_run(store, order, parts(), full.app_state.now())
    assert store.count_changes(order.run_id) == {"planned": 500}
    assert "Stopped" in text_of(lena.get(f"/runs/{order.run_id}").body)
    lena.post(f"/runs/{order.run_id}", {"do": "resume"})
    with pytest.raises(Guarded):
        create_bulk_run(
            store,
            BulkDecision("r_0123456789ac", "lena-brandt", "reset", None, MANY),
            [idents[:7]],
            full.app_state.now(),
        )
    assert full.count_writes() == before


# ---- a quarter of a million ----------------------------------------------------------------------------------------------


def measure(folder: str, many: str, preset: str) -> None:
    """Select, show and begin a decision about everybody who waits; print seconds, MB and what the run says as JSON."""
    took: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        began = time.monotonic()
        found = work()
        took[name] = round(time.monotonic() - began, 2)
        return found

    with open_desk(Path(folder), requests=int(many), repos=1, preset=preset) as desk:
        lena, store = desk.visitor(), desk.app_state.workspace.store
        lena.post("/selection", {"do": "clear"})
        before = _peak_mb()
        place = timed("select", lambda: _sheet(lena))
        timed("page", lambda: lena.get(place))
        page = timed("confirm", lambda: _yes(lena, place))
        run = page.rpartition("/")[2]
        store.request_stop(run, "pause")
        job = desk.app_state.run_worker.find_job(run)
        assert job is not None
        timed("write down", lambda: job.ended.wait(900))
        stored = store.run(run)
        timed("run page", lambda: lena.get(page))
        total = None if stored is None else stored.total
        told = {"took": took, "grew": _peak_mb() - before, "total": total, "said": text_of(lena.get(page).body)[:900]}
        sys.stdout.write(json.dumps(told))


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@pytest.mark.torture
def test_a_quarter_of_a_million_by_query(tmp_path: Path) -> None:
    """All that wait of so many: selected, shown and begun in a process that grows by little."""
    program = "import sys; from tests.decisions.test_bulk_many import measure; measure(*sys.argv[1:])"
    words_ = [sys.executable, "-c", program, str(tmp_path), "370000", "consumer"]
    env = os.environ | {"PYTHONPATH": "."}
    done = subprocess.run(words_, env=env, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["total"] >= 250_000, told
    assert told["grew"] < 500, told  # MB, most of them the caches of those who read
    assert told["took"]["page"] < 30, told  # 2 s where nothing else runs
