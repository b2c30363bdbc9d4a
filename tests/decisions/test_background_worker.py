"""The work of a desk's threads: what one round could not do, the next round does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hf_gate.automation.service.health import list_problems, read_health
from hf_gate.core.turns import HealthState
from hf_gate.desk.decisions.background_worker import BackgroundWorker
from hf_gate.errors import UsageError
from hf_gate.testing import LocalHub
from tests.kits.desk import GOOD, POLICY, Desk, open_existing_desk, write_desk
from tests.kits.key_calls import give_key, send
from tests.kits.outboxes import list_notice_items, turn_on_destinations

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


# ---- the token ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def token_desk(tmp_path: Path) -> Iterator[tuple[Desk, BackgroundWorker, Path]]:
    """A desk whose token is in a file, with a destination of notices; ada-l has asked."""
    file = tmp_path / "token"
    with LocalHub(requests=0, repos=1) as local:
        write_desk(tmp_path / "desk", local)
        file.write_text(local.tokens["owner"])
        with open_existing_desk(tmp_path / "desk", local, token_file=file) as desk:
            turn_on_destinations(desk.app_state.workspace.store)
            ask(desk, "ada-l")
            worker = BackgroundWorker(desk.app_state, lambda: [desk.repo], desk.follow_token)
            worker.sync_repos()
            worker.check_token()
            yield desk, worker, file


def alarms(desk: Desk) -> list[str]:
    """The alarms that were queued."""
    items = [item for item in list_notice_items(desk.app_state.workspace.store) if item.event == "token"]
    return [f"{item.facts['text']}{item.facts.get('state', '')}" for item in items]


def state_of(desk: Desk) -> HealthState:
    workspace = desk.app_state.workspace
    return read_health(workspace.store, workspace.now(), list_problems(workspace)).state


def test_a_token_that_the_hub_refuses_is_one_incident_until_another_one_has_worked(
    token_desk: tuple[Desk, BackgroundWorker, Path],
) -> None:
    desk, worker, file = token_desk
    secret = give_key(desk)
    body = {"repo": str(desk.repo), "person": "ada-l", "action": "accept", "until": "none"}
    assert send(desk, secret, body).status == 202
    for wrong in ("hf_local_revoked", "hf_local_mistyped"):
        file.write_text(wrong)
        worker.check_token()
        worker.sync_repos()
        worker.check_token()
    text = "The desk can send nothing: the Hub refuses its token."
    assert alarms(desk) == [text]
    assert state_of(desk) is HealthState.STUCK
    answer = send(desk, secret, body)
    assert answer.status == 503
    assert "The decision is stored." in answer.json["hint"]
    assert desk.visitor().get("/readyz").status == 503
    assert text in desk.visitor().get("/settings").body
    file.write_text(desk.local.tokens["owner"])
    worker.check_token()
    assert state_of(desk) is HealthState.STUCK, "the Hub has not answered yet"
    worker.sync_repos()
    worker.check_token()
    desk.send_due()
    assert alarms(desk) == [text, f"{text}over"]
    assert state_of(desk) is HealthState.IDLE
    assert send(desk, secret, body).json["outcome"] == "done"
    assert desk.visitor().get("/readyz").status == 200


@pytest.mark.parametrize("content", ["", "writer"])
def test_a_desk_sends_nothing_while_its_token_file_is_unreadable_or_of_another_account(
    token_desk: tuple[Desk, BackgroundWorker, Path], content: str
) -> None:
    desk, worker, file = token_desk
    file.write_text(desk.local.tokens.get(content, ""))
    for _ in range(2):
        with pytest.raises(UsageError):
            worker.check_token()
    assert len(alarms(desk)) == 1
    assert desk.app_state.workspace.hub.whoami().id == desk.app_state.owner_id
    file.write_text(desk.local.tokens["owner"])
    worker.check_token()
    assert [text.endswith("over") for text in alarms(desk)] == [False, True]
