"""The verdicts on a page are kept until something that they depend on changes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hf_gate.desk.decisions.background_worker import BackgroundWorker
from hf_gate.desk.policies.verdict_cache import VerdictSummary
from hf_gate.desk.requests.verdicts import read_verdicts
from tests.kits.desk import GOOD, POLICY, Desk, open_desk


def verdict(desk: Desk, name: str, later: timedelta = timedelta()) -> VerdictSummary:
    """The verdict on the request of a person, as a page shows it."""
    row, state = desk.row(name), desk.app_state
    return read_verdicts(state, [row], state.now() + later)[row.id]


def evaluate(desk: Desk) -> None:
    BackgroundWorker(desk.app_state, lambda: [desk.repo]).sync_repos()


def test_a_verdict_is_computed_once_while_nothing_changes(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": "ada"}], {"Purpose": GOOD})
        evaluate(desk)
        assert verdict(desk, "ada") is verdict(desk, "ada")


def test_a_verdict_without_a_stored_evaluation_is_computed_each_time(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": "ada"}], {"Purpose": GOOD})
        assert verdict(desk, "ada") is not verdict(desk, "ada"), "nothing would say that it changed"


def test_a_verdict_is_computed_again_after_the_person_changed(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": "ada"}], {"Purpose": GOOD})
        evaluate(desk)
        before = verdict(desk, "ada")
        with desk.app_state.workspace.store.writing() as write:
            write.mark_due([desk.row("ada").person.id])
        assert verdict(desk, "ada") is not before


def test_a_changed_policy_is_shown_at_once(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        desk.ask([{"username": "bob"}], {"Purpose": GOOD})
        evaluate(desk)
        assert verdict(desk, "bob").rule == "rest"
        policy = POLICY.replace("id: rest", "id: others")
        (tmp_path / "policies" / "house.yaml").write_text(policy, "utf-8")
        desk.app_state.policies.expire()
        assert verdict(desk, "bob").rule == "others"
