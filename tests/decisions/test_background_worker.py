"""The work of a desk's threads: what one round could not do, the next round does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hf_gate.decisions.pages.background_worker import BackgroundWorker
from hf_gate.settings.setting_keys import checked_entries_key
from tests.kits.desk import GOOD, POLICY, Desk, open_desk

TWO_PEOPLE = POLICY.replace("then: human", "then: accept\n    reviewers: 2")
assert TWO_PEOPLE != POLICY


@contextmanager
def refuse_rows(desk: Desk, table: str, condition: str = "1 = 1") -> Iterator[None]:
    """Let the store refuse new rows of a table."""
    store = desk.app_state.workspace.store
    with store.writing() as write:
        write.db.run(
            f"CREATE TRIGGER refuse_rows BEFORE INSERT ON {table} WHEN {condition}"
            " BEGIN SELECT raise(ABORT, 'refused by the test'); END"
        )
    yield
    with store.writing() as write:
        write.db.run("DROP TRIGGER refuse_rows")


def ask(desk: Desk, name: str) -> None:
    """Somebody asks; nothing is synced."""
    desk.local.add_people([{"username": name}])
    line = {"repo": desk.repo.id, "repo_type": desk.repo.type.value, "user": name, "answers": {"Purpose": GOOD}}
    desk.local.add_requests([line])


def verdicts(desk: Desk) -> dict[str | None, bool]:
    """Whether the waiting requests have a verdict, by username."""
    rows = desk.app_state.workspace.store.iterate_requests(desk.repo, "pending")
    return {row.person.identity.username: row.state.verdict is not None for row in rows}


def test_requests_whose_evaluation_failed_are_evaluated_in_the_next_round(desk: Desk) -> None:
    worker = BackgroundWorker(desk.app_state, lambda: [desk.repo])
    worker.sync_repos()
    ask(desk, "ada-l")
    with refuse_rows(desk, "ledger", "NEW.kind = 'VerdictReached'"), pytest.raises(sqlite3.IntegrityError):
        worker.sync_repos()
    assert verdicts(desk) == {"ada-l": False}
    worker.sync_repos()
    assert verdicts(desk) == {"ada-l": True}


def test_a_policy_whose_first_evaluation_failed_does_not_count_as_evaluated(desk: Desk) -> None:
    ask(desk, "ada-l")
    desk.read()
    worker = BackgroundWorker(desk.app_state, lambda: [desk.repo])
    with refuse_rows(desk, "ledger", "NEW.kind = 'VerdictReached'"), pytest.raises(sqlite3.IntegrityError):
        worker.sync_repos()
    worker.sync_repos()
    assert verdicts(desk) == {"ada-l": True}


def test_requests_are_evaluated_although_the_check_of_acceptances_fails(tmp_path: Path) -> None:
    with open_desk(tmp_path, TWO_PEOPLE) as desk:
        worker = BackgroundWorker(desk.app_state, lambda: [desk.repo])
        ask(desk, "ada-l")
        with (
            refuse_rows(desk, "settings", f"NEW.key = '{checked_entries_key(desk.repo)}'"),
            pytest.raises(sqlite3.IntegrityError),
        ):
            worker.sync_repos()
        assert verdicts(desk) == {"ada-l": True}
