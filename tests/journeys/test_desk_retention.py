"""Old personal data is deleted as hf-gate.yaml says: shown first, by command or by `run`, and it does not come back."""

from __future__ import annotations

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.policies.parsing.config_parser import parse_config
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, CommandResult, Console, request_access
from tests.kits.stores import new_schema
from tests.kits.word_search import find_words_in_files, find_words_on_server

OLD, PURPOSE = "quokka-zzyx", "I record kxqjz signals"


class Scene:
    """A workspace in which one person was rejected long ago, and others were not."""

    def __init__(self, hub: LocalHub, folder: Path, server: str | None) -> None:
        self.hub, self.folder, self.server, self.console = hub, folder, server, Console(hub)
        request_access(hub, [OLD], answers={"Purpose": PURPOSE})
        request_access(hub, ["ada-l", "bob"])
        assert self.run("init", MODEL, DATASET).code == 0
        config = folder / "hf-gate.yaml"
        text = config.read_text() + "\nretention: {rejected: 180d}\n"
        config.write_text(text if server is None else text.replace("sqlite:///desk.db", server))
        if server is not None:
            (folder / "desk.db").unlink()
        assert self.run("sync", "--full").code == 0
        assert self.run("reject", f"{OLD}@{MODEL}", "--reason", "no vjqxh").code == 0
        assert self.run("reset", f"bob@{MODEL}", "--no-reason").code == 0
        (known,) = self.run("person", "ls", "--query", f"user:{OLD}", "--json").json
        self.words = [OLD, PURPOSE, "no vjqxh", known["email"]]
        self.user_id = known["user_id"]

    def run(self, *args: str) -> CommandResult:
        return self.console.run(*args, env={"HF_GATE_CLOCK": "hub"})

    def traces(self) -> list[str]:
        found = find_words_in_files(self.folder, self.words)
        return found + ([] if self.server is None else find_words_on_server(self.server, self.words))


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.chdir(tmp_path)
    server = None if request.param == "sqlite" else new_schema(request.getfixturevalue("postgres_uri"))
    return Scene(fresh, tmp_path, server)


def test_what_was_rejected_long_ago_loses_its_personal_data_and_keeps_its_ids(scene: Scene) -> None:
    shown = scene.run("store", "retention", "--dry-run", "--json").json
    assert shown["requests"] == {"rejected": 0}, "it is not old yet"
    scene.hub.clock.advance("4400h")
    shown = scene.run("store", "retention", "--dry-run", "--json")
    jsonschema.validate(shown.json, schema_of("store-retention"))
    assert (shown.json["requests"], shown.json["deleted"]) == ({"rejected": 1}, False)
    assert scene.traces()
    assert scene.run("store", "retention").code == 6, "it asks"
    done = scene.run("store", "retention", "--yes", "--json")
    assert (done.code, done.json["requests"]) == (0, {"rejected": 1}), done.err
    assert scene.traces() == []
    for _ in range(2):
        assert scene.run("sync", "--full").code == 0
        assert scene.traces() == []
    rows = scene.run("ls", MODEL, "--status", "all", "--json").json
    kept = {row["user_id"]: row for row in rows}[scene.user_id]
    assert (kept["status"], kept["user"], kept["answers"]) == ("rejected", None, None)
    assert {row["user"] for row in rows if row["user"]} == {"ada-l", "bob"}
    assert scene.run("audit", "verify").code == 0
    checked = scene.run("store", "check")
    assert checked.code == 0, checked.out


def test_run_deletes_what_is_old_once_a_day(scene: Scene) -> None:
    scene.hub.clock.advance("4400h")
    told = scene.run("run", "--once")
    assert told.code == 0, told.err
    assert "deleted personal data of 1 old request" in told.out + told.err
    assert scene.traces() == []
    assert "personal data" not in scene.run("run", "--once").out


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{accepted: 180d}", "unknown_key"),
        ("{rejected: never}", "bad_period"),
        ("{rejected: 0d}", "bad_period"),
        ("{rejected: 180}", "bad_period"),
        ("[rejected]", "not_a_map"),
    ],
)
def test_a_wrong_retention_is_refused_with_its_place(text: str, code: str) -> None:
    parsed = parse_config(f"version: 1\nrepos: [acme/x]\nretention: {text}\n")
    assert parsed.config is None
    assert [(each.code, each.position.line) for each in parsed.problems] == [(code, 3)]


def test_periods_are_read_as_days() -> None:
    parsed = parse_config("version: 1\nrepos: [acme/x]\nretention: {rejected: 180d, reset: 1y, withdrawn: 6mo}\n")
    assert parsed.config is not None
    assert parsed.config.retention == {"rejected": 180, "reset": 365, "withdrawn": 180}
