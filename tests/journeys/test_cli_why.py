"""`why` in the terminal: waiting for a decision, and what points to it."""

from __future__ import annotations

import json
import signal

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console, request_access


def start_waiting(hub: LocalHub) -> None:
    hub.add_people([{"username": "mia"}])
    request_access(hub, ["mia"])


def test_ctrl_c_ends_a_wait_with_130_and_the_state_was_said(fresh: LocalHub) -> None:
    start_waiting(fresh)
    program = Console(fresh, "mia").start("why", MODEL, "--wait")
    assert program.stderr is not None
    line = program.stderr.readline().decode()
    assert f"{MODEL}: no access yet. The state is pending." in line
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out) == (130, b""), err


def test_a_state_that_time_does_not_change_is_told_at_once(fresh: LocalHub) -> None:
    start_waiting(fresh)
    with Hub(fresh.tokens["owner"], fresh.url) as owner:
        owner.reject(MODEL, "mia", reason=None)
    ended = Console(fresh, "mia").run("why", MODEL, "--wait")
    assert (ended.code, "time alone changes nothing here" in ended.out) == (1, True)
    with Hub(fresh.tokens["owner"], fresh.url) as owner:
        owner.accept(MODEL, "mia")
    assert Console(fresh, "mia").run("why", MODEL, "--wait").code == 0


def test_the_document_of_why_has_the_schema_that_is_printed(fresh: LocalHub) -> None:
    start_waiting(fresh)
    console = Console(fresh, "mia")
    schema = json.loads(console.run("schema", "why").out)
    for words in (("why", MODEL), ("why", MODEL, "--offline"), ("why",), ("why", "acme/nothing-here")):
        jsonschema.validate(console.run(*words, "--json").json, schema)
    log = f"GatedRepoError: 403 Client Error for url: {fresh.url}/{MODEL}/resolve/main/config.json"
    jsonschema.validate(console.run("why", "-", "--json", stdin=log).json, schema)


@pytest.mark.parametrize(("holder", "told"), [("", "no token"), ("hf_local_wrong", "401"), ("reader", "403")])
def test_a_person_who_only_downloads_gets_a_note_and_the_command_for_them(
    fresh: LocalHub, holder: str, told: str
) -> None:
    """The exit code stays that of a token which cannot review."""
    console = Console(fresh, holder)
    ended, document = console.run("doctor", MODEL), console.run("doctor", MODEL, "--json").json
    assert ended.code == 4
    assert "FAIL" not in ended.out
    assert told in ended.out
    assert "hf-gate why REPO" in ended.out
    assert document["ok"] is False
    assert [check["check"] for check in document["checks"] if check["ok"] is False] == []


def test_a_hub_that_is_away_stays_a_failure_of_doctor(fresh: LocalHub) -> None:
    ended = Console(fresh).run("doctor", "--endpoint", "http://127.0.0.1:9", "--max-wait", "100ms")
    assert (ended.code, "FAIL  token" in ended.out) == (75, True)
