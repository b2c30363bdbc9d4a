"""The evaluation of many requests in a process of its own, while a desk has the same store open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.base.ids import parse_repo
from hf_gate.config import Paths, Settings
from hf_gate.core.lifecycle import Status
from hf_gate.desk.decisions.evaluation_process import EvaluationProcess
from hf_gate.errors import HfGateError
from hf_gate.hub.drivers.clock import HubClock
from hf_gate.requests.service.sync import sync_repo
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.write_lock import read_holder
from hf_gate.testing import LocalHub
from hf_gate.verdicts.service.evaluation_pool import NICENESS
from hf_gate.verdicts.service.policy_bundle import PolicyBundle, load_policies
from hf_gate.workspace.service.bootstrap import Connection, connect_workspace, read_location

POLICY = """\
version: 1
policy: welcome
applies_to: ['*/*', 'datasets/*/*']
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk"]
    then: reset
    reason: Please say what you will use it for.
  - id: rest
    then: human
"""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A workspace with a few hundred requests that nobody evaluated."""
    with LocalHub(requests=300, repos=2, seed=5) as local, Hub(local.tokens["owner"], local.url) as hub:
        folder = tmp_path / "desk"
        (folder / "policies").mkdir(parents=True)
        names = ", ".join(f"'{parse_repo(line['repo'], line['repo_type'])}'" for line in local.repos)
        config = f"version: 1\nrepos: [{names}]\npolicies: [policies/*.yaml]\n"
        (folder / "hf-gate.yaml").write_text(config, "utf-8")
        (folder / "policies" / "welcome.yaml").write_text(POLICY, "utf-8")
        paths = Paths(*(tmp_path / name for name in ("c", "d", "s", "k")))
        made = Settings(paths, endpoint=local.url, workspace=folder)
        with connect_workspace(Connection(made), read_location(made)) as workspace:
            for line in local.repos:
                repo = parse_repo(line["repo"], line["repo_type"])
                clock = HubClock(hub.endpoint, lambda: hub)
                sync_repo(hub, workspace.store, clock, repo, SyncKind.FULL, actor="lena")
        yield made


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Workspace, PolicyBundle]]:
    """The workspace as a desk opens it, and its policies."""
    with connect_workspace(Connection(settings), read_location(settings), lends=True) as workspace:
        yield workspace, load_policies(workspace)


def count_missing(workspace: Workspace) -> int:
    """How many pending requests have no verdict."""
    store = workspace.store
    pending = (row for one in store.repos() for row in store.iterate_requests(one.repo, Status.PENDING))
    return sum(row.state.verdict is None for row in pending)


@contextmanager
def started(process: EvaluationProcess, workspace: Workspace, bundle: PolicyBundle) -> Iterator[Future[None]]:
    """An evaluation that runs in its process, and cannot store anything before the block ends."""
    with ThreadPoolExecutor(1) as threads, workspace.store.hold_write_lock():
        running = threads.submit(process.evaluate, bundle, workspace.now(), is_new=True)
        wait_until(lambda: process.pid is not None or running.done())
        yield running


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; the limit of the test ends it."""
    never = threading.Event()
    while not holds():
        never.wait(0.02)


def test_many_requests_are_evaluated_by_another_process(settings: Settings) -> None:
    with opened(settings) as (workspace, bundle):
        assert count_missing(workspace) > 100
        process = EvaluationProcess(workspace, min_requests=50)
        process.evaluate(bundle, workspace.now(), is_new=True)
        assert (count_missing(workspace), process.pid) == (0, None)
        assert settings.workspace is not None
        holder = read_holder(settings.workspace / "desk.db")
        assert holder is not None
        assert holder.pid != os.getpid(), "this process stored no verdict"


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="this system has no priorities of processes")
def test_pages_come_before_the_other_process_where_all_cores_are_busy(settings: Settings) -> None:
    with opened(settings) as (workspace, bundle):
        process = EvaluationProcess(workspace, min_requests=50)
        own = os.getpriority(os.PRIO_PROCESS, os.getpid())
        with started(process, workspace, bundle) as running:
            wait_until(lambda: running.done() or priority_of(process) == min(19, own + NICENESS))
            assert not running.done()
        running.result()


def priority_of(process: EvaluationProcess) -> int | None:
    return None if process.pid is None else os.getpriority(os.PRIO_PROCESS, process.pid)


def test_few_requests_are_evaluated_without_another_process(settings: Settings) -> None:
    with opened(settings) as (workspace, bundle):
        process = EvaluationProcess(workspace, min_requests=10_000)
        process.evaluate(bundle, workspace.now(), is_new=True)
        assert count_missing(workspace) == 0
        assert settings.workspace is not None
        holder = read_holder(settings.workspace / "desk.db")
        assert holder is not None
        assert holder.pid == os.getpid()


def test_the_desk_writes_while_the_other_process_evaluates(settings: Settings) -> None:
    with opened(settings) as (workspace, bundle):
        process = EvaluationProcess(workspace, min_requests=50)
        with started(process, workspace, bundle) as running:
            with workspace.store.writing() as write:
                write.write_setting("written", "meanwhile")
            assert not running.done()
        running.result()
        assert (workspace.store.setting("written"), count_missing(workspace)) == ("meanwhile", 0)


def test_an_evaluation_whose_process_was_killed_stays_to_do(settings: Settings) -> None:
    with opened(settings) as (workspace, bundle):
        process = EvaluationProcess(workspace, min_requests=50)
        with started(process, workspace, bundle) as running:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(HfGateError, match="ended before it was done"):
                running.result()
        assert count_missing(workspace) > 100
        process.evaluate(bundle, workspace.now(), is_new=True)
        assert count_missing(workspace) == 0


def test_a_desk_that_ends_ends_the_evaluation(settings: Settings) -> None:
    with opened(settings) as (workspace, bundle):
        process = EvaluationProcess(workspace, min_requests=50)
        with started(process, workspace, bundle) as running:
            process.stop()
            with pytest.raises(HfGateError, match="ended before it was done"):
                running.result()
        assert process.pid is None
        process.evaluate(bundle, workspace.now(), is_new=True)
        assert count_missing(workspace) > 100, "it starts no other"


def test_a_failure_of_the_other_process_is_an_error_of_the_desk(settings: Settings) -> None:
    with opened(settings) as (workspace, bundle):
        assert settings.workspace is not None
        (settings.workspace / "policies" / "welcome.yaml").write_text(POLICY.replace("junk", "thin"), "utf-8")
        process = EvaluationProcess(workspace, min_requests=50)
        with pytest.raises(HfGateError, match="the policies changed before their evaluation"):
            process.evaluate(bundle, workspace.now(), is_new=True)
        assert count_missing(workspace) > 100


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the state of a process from /proc")
def test_the_evaluation_ends_with_a_desk_that_was_killed(settings: Settings) -> None:
    code = f"""if True:
        import threading
        from hf_gate.config import *
        from pathlib import PosixPath
        from hf_gate.workspace.service.bootstrap import Connection, connect_workspace, read_location
        from hf_gate.verdicts.service.policy_bundle import load_policies
        from hf_gate.desk.decisions.evaluation_process import EvaluationProcess
        settings = {settings!r}
        workspace = connect_workspace(Connection(settings), read_location(settings), lends=True)
        process = EvaluationProcess(workspace, min_requests=50)
        with workspace.store.hold_write_lock():
            words = (load_policies(workspace), workspace.now())
            threading.Thread(target=process.evaluate, args=words, kwargs={{"is_new": True}}).start()
            while process.pid is None:
                pass
            print(process.pid, flush=True)
            threading.Event().wait()
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as desk:
        assert desk.stdout is not None
        pid = int(desk.stdout.readline())
        desk.kill()
    wait_until(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    """Whether a process runs, and is no more than an entry that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False
