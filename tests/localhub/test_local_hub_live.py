"""`make live` against the local Hub: plays all transitions, reports differences, touches nothing else, needs a sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

import pytest

from hf_gate.core.lifecycle import MOVES, STATUSES, Status
from hf_gate.testing import LocalHub
from tests.kits.paths import ROOT
from tools.live import SECOND, find_path

QUIET = ("HF_", "HUGGING", "XDG_", "CI")


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def _live(
    hub: LocalHub, repo: str, *more: str, by: str = "owner", second: str | None = None, typed: str = "", **env: str
) -> Ended:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(QUIET)}
    kept |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.tokens[by], **env}
    if second is not None:
        kept[SECOND] = hub.tokens[second]
    command = [sys.executable, "tools/live.py", repo, *more]
    run = subprocess.run(command, cwd=ROOT, env=kept, input=typed, capture_output=True, text=True, check=False)
    return Ended(run.returncode, run.stdout, run.stderr)


@pytest.fixture
def hub(hf_local_hub: LocalHub) -> LocalHub:
    """A Hub with mia, who plays all transitions, and max, who is pending."""
    hf_local_hub.add_people([{"username": "mia"}, {"username": "max"}])
    hf_local_hub.add_requests([{"repo": hf_local_hub.repos[0]["repo"], "user": "max"}])
    return hf_local_hub


def test_it_continues_from_the_current_state(hub: LocalHub) -> None:
    repo = hub.repos[0]["repo"]
    hub.add_requests([{"repo": repo, "user": "mia"}])
    ended = _live(hub, repo, "--yes", second="mia")
    assert (ended.code, ended.err) == (0, "")
    assert hub.repos[0]["pending"] == 1


def test_without_a_second_token_it_reads_only(hub: LocalHub) -> None:
    ended = _live(hub, hub.repos[0]["repo"], "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert "nothing is changed" in ended.out
    calls = hub.stats()["calls"]
    assert calls["GET report"] == 1
    assert not [call for call in calls if not call.startswith("GET ")]


@pytest.mark.parametrize("start", [None, *STATUSES])
def test_the_comparison_makes_every_transition_and_leaves_no_request(start: Status | None) -> None:
    path = find_path(start)
    assert set(path) == set(MOVES)
    assert [move.before for move in path] == [start, *(move.after for move in path[:-1])]
    assert path[-1].after is None
    assert len(path) < 2 * len(MOVES)


# ---- refusals -----------------------------------------------------------------------------------------------------------


def _refused(hub: LocalHub, ended: Ended, words: str) -> None:
    assert ended.code == 2, ended
    assert ended.err.startswith("Error: ")
    assert words in ended.err
    assert [line["user"] for line in hub.journal()] == ["max"]


def test_a_name_that_is_not_typed_changes_nothing(hub: LocalHub) -> None:
    repo = hub.repos[0]["repo"]
    for typed in ("", "yes\n", f"{repo}-2\n"):
        _refused(hub, _live(hub, repo, second="mia", typed=typed), "the name was not typed, so nothing was done")


def test_a_repo_of_another_owner_is_not_touched(hub: LocalHub) -> None:
    ended = _live(hub, hub.repos[0]["repo"], "--yes", by="stranger", second="mia")
    _refused(hub, ended, "belongs neither to sam-stranger nor to one of their organisations")


def test_a_second_account_with_access_is_refused(hub: LocalHub) -> None:
    for second in ("reader", "owner"):
        _refused(hub, _live(hub, hub.repos[0]["repo"], "--yes", second=second), "passes the gate anyway")


def test_a_repo_with_many_pending_requests_is_refused() -> None:
    with LocalHub(requests=200, repos=1) as hub:
        ended = _live(hub, hub.repos[0]["repo"], "--yes", second="stranger")
        assert (ended.code, hub.journal()) == (2, [])
        assert "more than 100 requests of other people" in ended.err


def test_a_ci_run_never_reaches_the_real_hub(hub: LocalHub) -> None:
    ended = _live(hub, "acme/model", "--yes", CI="true", HF_ENDPOINT="https://hub.invalid")
    _refused(hub, ended, "CI is set")
