"""The verdicts on a page are kept until something that they depend on changes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hf_gate.web.background_worker import BackgroundWorker
from hf_gate.web.verdict_cache import VerdictSummary
from hf_gate.web.verdicts import read_verdicts
from tests.kits.desk import GOOD, POLICY, Desk, open_desk


def verdict(room: Desk, name: str, later: timedelta = timedelta()) -> VerdictSummary:
    """The verdict on the request of a person, as a page shows it."""
    row, state = room.row(name), room.app_state
    return read_verdicts(state, [row], state.now() + later)[row.id]


def evaluate(room: Desk) -> None:
    BackgroundWorker(room.app_state, lambda: [room.repo]).sync_repos()


def test_a_verdict_is_computed_once_while_nothing_changes(tmp_path: Path) -> None:
    with open_desk(tmp_path) as room:
        room.ask([{"username": "ada"}], {"Purpose": GOOD})
        evaluate(room)
        assert verdict(room, "ada") is verdict(room, "ada")


def test_a_verdict_without_a_stored_evaluation_is_computed_each_time(tmp_path: Path) -> None:
    with open_desk(tmp_path) as room:
        room.ask([{"username": "ada"}], {"Purpose": GOOD})
        assert verdict(room, "ada") is not verdict(room, "ada"), "nothing would say that it changed"


def test_a_verdict_is_computed_again_after_the_person_changed(tmp_path: Path) -> None:
    with open_desk(tmp_path) as room:
        room.ask([{"username": "ada"}], {"Purpose": GOOD})
        evaluate(room)
        before = verdict(room, "ada")
        with room.app_state.workspace.store.writing() as write:
            write.mark_due([room.row("ada").person.id])
        assert verdict(room, "ada") is not before


def test_a_verdict_is_computed_again_with_time_because_its_sentence_counts_days(tmp_path: Path) -> None:
    with open_desk(tmp_path) as room:
        room.ask([{"username": "ada"}], {"Purpose": GOOD})
        evaluate(room)
        before = verdict(room, "ada")
        assert verdict(room, "ada", timedelta(hours=1)) is not before
        assert verdict(room, "ada", timedelta(days=-1)) is not before, "the clock was set back"


def test_a_changed_policy_is_shown_at_once(tmp_path: Path) -> None:
    with open_desk(tmp_path) as room:
        room.ask([{"username": "bob"}], {"Purpose": GOOD})
        evaluate(room)
        assert verdict(room, "bob").rule == "rest"
        policy = POLICY.replace("id: rest", "id: others")
        (tmp_path / "policies" / "house.yaml").write_text(policy, "utf-8")
        room.app_state.policies.expire()
        assert verdict(room, "bob").rule == "others"
