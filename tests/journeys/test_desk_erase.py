"""Forgetting one person: what goes, what stays, what comes back from the Hub or from a backup, and what is refused."""

from __future__ import annotations

import html
import json
import stat
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate import Hub
from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, CommandResult, Console, request_access, status_of
from tests.kits.stores import new_schema
from tests.kits.word_search import find_words_in_files, find_words_on_server

QUOKKA, NAME = "quokka-zzyx", 'Quœkka "Zz" Yxwvut'
PURPOSE = 'I record "kxqjz" signals'
REASON, NOTE = "We could not find vjqxh in your text.", "Met at the wzkqj workshop"


class Scene:
    """A workspace with the person to be forgotten and two others, and what is known about that person."""

    def __init__(self, hub: LocalHub, folder: Path, server: str | None) -> None:
        self.hub, self.folder, self.server, self.console = hub, folder, server, Console(hub)
        hub.add_people([{"username": QUOKKA, "fullname": NAME}])
        request_access(hub, ["ada-l", "bob"])
        request_access(hub, [QUOKKA], answers={"Purpose": PURPOSE})
        request_access(hub, [QUOKKA], DATASET, answers={"Purpose": PURPOSE})
        assert self.run("init", MODEL, DATASET).code == 0
        if server is not None:
            config = folder / "hf-gate.yaml"
            config.write_text(config.read_text().replace("sqlite:///desk.db", server))
            (folder / "desk.db").unlink(missing_ok=True)
        assert self.run("sync", "--full").code == 0
        (known,) = self.run("person", "ls", "--query", f"user:{QUOKKA}", "--json").json
        self.words = [QUOKKA, NAME, PURPOSE, REASON, NOTE, known["email"], known["user_id"]]
        self.email = known["email"]
        self.pseudonym = known["person"]

    def run(self, *args: str) -> CommandResult:
        return self.console.run(*args)

    def traces(self) -> list[str]:
        """Where the person can still be found."""
        found = find_words_in_files(self.folder, self.words)
        return found + ([] if self.server is None else find_words_on_server(self.server, self.words))

    def decide(self) -> None:
        """The person is accepted at one repo with a note, sent back there, and rejected at the other."""
        run = self.console.run
        assert run("plan", "--out", "plan.json").code in {0, 3}
        assert run("accept", f"ada-l@{MODEL}", "--note", f"Came with {QUOKKA}.").code == 0
        assert run("accept", f"{QUOKKA}@{MODEL}", "--note", NOTE).code == 0
        assert run("reset", f"{QUOKKA}@{MODEL}", "--reason", REASON).code == 0
        assert run("reject", f"{QUOKKA}@{DATASET}", "--reason", REASON).code == 0
        (self.folder / "plan.json").unlink()


@pytest.fixture
def scene(request: pytest.FixtureRequest, fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A workspace with its store in SQLite, or in the database of the test's parameter."""
    monkeypatch.chdir(tmp_path)
    is_on_server = getattr(request, "param", "sqlite") == "postgresql"
    server = new_schema(request.getfixturevalue("postgres_uri")) if is_on_server else None
    return Scene(fresh, tmp_path, server)


on_both = pytest.mark.parametrize("scene", ["sqlite", "postgresql"], indirect=True)


@on_both
def test_no_byte_of_an_erased_person_stays_or_comes_back(scene: Scene) -> None:
    run = scene.console.run
    scene.decide()
    assert scene.traces(), "the search finds the person before the erasure"
    planned = run("person", "erase", QUOKKA, "--dry-run", "--json")
    jsonschema.validate(planned.json, schema_of("person-erase"))
    assert (planned.code, planned.json["erased"], planned.json["requests"]) == (0, False, 2)
    done = run("person", "erase", QUOKKA, "--yes", "--json")
    jsonschema.validate(done.json, schema_of("person-erase"))
    assert (done.code, done.json["erased"], done.json["person"]) == (0, True, scene.pseudonym), done.err
    assert scene.traces() == []
    for _ in range(2):
        assert run("sync", "--full").code == 0
        assert scene.traces() == []
    assert run("audit", "verify").code == 0
    checked = run("store", "check")
    assert checked.code == 0, checked.out
    rows = run("ls", "--status", "all", "--json").json
    mine = [row for row in rows if row["user"] is None]
    assert {row["status"] for row in mine} == {"reset", "rejected"}, "statuses stay"
    assert all(row["email"] is row["answers"] is None for row in mine)
    assert run("person", "show", scene.pseudonym).code == 0
    named = run("audit", "ls", "--kind", "PrivatePartsDeleted", "--json").json
    assert {entry["body"]["person"] for entry in named} == {scene.pseudonym}
    assert all("was erased" in entry["text"] for entry in named)
    erasures = scene.folder / "erasures.jsonl"
    assert stat.S_IMODE(erasures.stat().st_mode) == 0o600


def test_a_later_request_of_an_erased_person_is_new_data(scene: Scene) -> None:
    scene.decide()
    run = scene.console.run
    assert run("person", "erase", QUOKKA, "--yes").code == 0
    scene.hub.clock.advance("2h")
    request_access(scene.hub, [QUOKKA], answers={"Purpose": PURPOSE})
    assert run("sync", "--full").code == 0
    (row,) = run("person", "show", QUOKKA, "--json").json
    assert (row["status"], row["answers"]) == ("pending", {"Purpose": PURPOSE})
    (new,) = run("person", "ls", "--query", f"user:{QUOKKA}", "--json").json
    assert new["person"] != scene.pseudonym
    assert run("audit", "verify").code == 0
    assert run("store", "check").code == 0


def test_a_decision_elsewhere_about_an_erased_person_is_stored_without_the_person(scene: Scene) -> None:
    scene.decide()
    run = scene.console.run
    assert run("person", "erase", QUOKKA, "--yes").code == 0
    scene.hub.clock.advance("2h")
    with Hub(scene.hub.tokens["owner"], scene.hub.url) as hub:
        hub.reset(DATASET, QUOKKA)
    assert run("sync", "--full").code == 0
    rows = run("ls", DATASET, "--status", "all", "--json").json
    assert [row["status"] for row in rows if row["user"] is None] == ["reset"]
    assert scene.traces() == []
    assert run("store", "check").code == 0


def test_access_that_still_runs_is_ended_first(scene: Scene) -> None:
    run = scene.console.run
    assert run("accept", f"{QUOKKA}@{MODEL}").code == 0
    refused = run("person", "erase", QUOKKA, "--yes")
    assert (refused.code, f"hf-gate revoke '{QUOKKA}@*'" in refused.err) == (75, True)
    assert run("revoke", f"{QUOKKA}@*", "--no-reason").code == 0
    assert run("person", "erase", QUOKKA, "--yes").code == 0
    assert scene.traces() == []


def test_the_exact_name_confirms(scene: Scene) -> None:
    run = scene.console.run
    assert run("person", "erase", QUOKKA).code == 6
    assert run("person", "erase", scene.email, "--yes").code == 6
    assert run("person", "erase", "nobody-here", "--yes").code == 1
    assert run("person", "show", QUOKKA).code == 0, "nothing was erased"


@pytest.mark.parametrize("scene", ["sqlite"], indirect=True)
def test_copies_are_named_with_their_age_and_restored_backups_do_not_hold_an_erased_person(
    scene: Scene, tmp_path: Path
) -> None:
    run, folder = scene.console.run, scene.folder
    scene.decide()
    assert run("store", "backup", "kept.db").code == 0
    assert run("store", "backup", "moved.db").code == 0
    assert run("store", "restore", "kept.db", "--yes").code == 0, "the replaced store is one more copy"
    away = tmp_path.parent / f"{tmp_path.name}-away.db"
    (folder / "moved.db").rename(away)
    assert find_words_in_files(folder, scene.words)
    done = run("person", "erase", QUOKKA, "--yes", "--json").json
    named = {Path(written["file"]).name: written["days"] for written in done["files"]}
    assert named == {"kept.db": 0, "moved.db": None, "desk.db.before-restore": 0}
    copies = [folder / "kept.db", folder / "desk.db.before-restore"]
    assert find_words_in_files(folder, scene.words, but=copies) == []
    for copy in copies:
        copy.unlink()
    assert run("store", "restore", str(away), "--yes").code == 0
    assert scene.traces() == []
    assert run("sync", "--full").code == 0
    assert scene.traces() == []
    assert run("store", "check").code == 0
    away.replace(folder / "desk.db")  # copied by hand, without `store restore`
    refused = run("ls", "--status", "all")
    assert refused.code == 75, "what cannot write, does not show it either"
    assert run("sync", "--full").code == 0
    assert scene.traces() == []


@pytest.mark.parametrize("scene", ["sqlite"], indirect=True)
def test_files_of_the_owner_are_listed_and_not_edited(scene: Scene) -> None:
    run, folder = scene.console.run, scene.folder
    (folder / "tables").mkdir(exist_ok=True)
    table = folder / "tables" / "partners.csv"
    table.write_text(f"email,note\nada@example.org,x\n{scene.email},y\n")
    assert run("store", "export", "exported").code == 0
    done = run("person", "erase", QUOKKA, "--yes", "--json").json
    places = {(Path(place["file"]).relative_to(folder.resolve()).as_posix(), place["line"]) for place in done["places"]}
    assert ("tables/partners.csv", 3) in places
    assert any(name.startswith("exported/") for name, _ in places)
    assert scene.email in table.read_text()
    listed = [folder / name for name, _ in places]
    assert find_words_in_files(folder, scene.words, but=listed) == []


@on_both
def test_all_that_is_held_is_exported_before_the_erasure_and_nothing_after(scene: Scene) -> None:
    run, folder = scene.console.run, scene.folder
    scene.decide()
    done = run("person", "export", scene.email, "quokka.json")
    assert done.code == 0, done.err
    document = json.loads((folder / "quokka.json").read_text())
    jsonschema.validate(document, schema_of("person-export"))
    jsonschema.validate(run("person", "export", QUOKKA, "--json").json, schema_of("person-export"))
    assert json.loads(run("person", "export", QUOKKA).out)["person"] == document["person"], (
        "text that a person can save"
    )
    told = json.dumps(document, ensure_ascii=False)
    page = (folder / "quokka.html").read_text()
    for word in (QUOKKA, scene.email, REASON, NOTE, *scene.words[-1:]):
        assert word in told
        assert word in page
    assert {request["answers"]["Purpose"] for request in document["requests"]} == {PURPOSE}
    assert html.escape(PURPOSE) in page
    assert "<script" not in page
    for name in ("quokka.json", "quokka.html"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert run("person", "export", QUOKKA, "quokka.json").code == 2, "no file is replaced"
    for name in ("quokka.json", "quokka.html"):
        (folder / name).unlink()
    assert run("person", "erase", QUOKKA, "--yes").code == 0
    after = json.dumps(run("person", "export", scene.pseudonym, "--json").json, ensure_ascii=False)
    assert not [word for word in scene.words if word in after]


def test_an_erased_request_that_still_waits_is_neither_evaluated_nor_planned(scene: Scene) -> None:
    run = scene.console.run
    assert run("person", "erase", QUOKKA, "--yes").code == 0
    for _ in range(2):
        assert run("run", "--once").code == 0
        planned = run("plan", "--json")
        assert planned.code in {0, 3}, planned.err
        assert not [change for change in planned.json["changes"] if change["user"] is None]
        assert run("sync", "--full").code == 0
    assert run("status").code == 0
    assert run("ls", "--json").code == 0
    assert run("report", "access", "--json").code == 0
    assert scene.traces() == []
    checked = run("store", "check")
    assert checked.code == 0, checked.out


def test_a_decision_by_the_username_of_an_erased_person_stores_no_name(scene: Scene) -> None:
    run = scene.console.run
    assert run("person", "erase", QUOKKA, "--yes").code == 0
    rejected = run("reject", f"{QUOKKA}@{DATASET}", "--reason", "Out of scope.")
    assert (rejected.code, QUOKKA in rejected.out) == (0, True), rejected.err
    done = run("accept", f"{QUOKKA}@{MODEL}", f"ada-l@{MODEL}", "--yes")
    assert done.code == 0, done.err
    again = run("accept", f"{QUOKKA}@{MODEL}")
    assert (again.code, "already" in again.out) == (0, True), again.err
    assert scene.traces() == []
    assert run("sync", "--full").code == 0
    assert scene.traces() == []
    rows = run("ls", "--status", "all", "--json").json
    assert {row["status"] for row in rows if row["user"] is None} == {"accepted", "rejected"}
    assert run("audit", "verify").code == 0
    assert run("store", "check").code == 0


def test_a_saved_plan_does_not_bring_an_erased_person_back(scene: Scene) -> None:
    run, plan = scene.console.run, scene.folder / "plan.json"
    rules = "rules:\n  - id: again\n    when: email.present\n    then: reset\n    reason: Please ask again.\n"
    header = f"version: 1\npolicy: starter\napplies_to: [{MODEL}, {DATASET}]\nmode: enforce\n"
    (scene.folder / "policies" / "starter.yaml").write_text(header + rules)
    assert run("plan", "--out", "plan.json").code == 0
    assert QUOKKA in plan.read_text()
    erased = run("person", "erase", QUOKKA, "--yes", "--json")
    assert str(plan.resolve()) in {place["file"] for place in erased.json["places"]}
    refused = run("apply", "plan.json", "--yes")
    assert (refused.code, "personal data of a request was deleted" in refused.err) == (6, True), refused.err
    assert {move["to"] for move in scene.hub.journal()} == {"pending"}, "nothing was sent"
    plan.unlink()
    assert scene.traces() == []


@pytest.mark.parametrize("scene", ["sqlite"], indirect=True)
def test_an_erased_request_gets_no_access_that_should_end(scene: Scene) -> None:
    """No plan could end it: without a record, there is nothing to compare with the Hub."""
    run = scene.console.run
    assert run("person", "erase", QUOKKA, "--yes").code == 0
    done = run("accept", f"{QUOKKA}@{MODEL}", f"ada-l@{MODEL}", "--until", "2d", "--yes", "--json")
    assert [one["outcome"] for one in done.json["outcomes"]] == ["refused", "done"], done.err
    alone = run("accept", f"{QUOKKA}@{MODEL}", "--until", "2d")
    assert "personal data was erased" in alone.out + alone.err
    assert status_of(scene.hub, QUOKKA) == "pending"
    assert scene.traces() == []


def test_an_export_that_was_written_elsewhere_is_named(
    fresh: LocalHub, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, apart = tmp_path_factory.mktemp("eeg"), tmp_path_factory.mktemp("apart")
    monkeypatch.chdir(folder)
    scene = Scene(fresh, folder, None)
    assert scene.run("store", "export", str(apart / "all")).code == 0
    planned = scene.run("person", "erase", QUOKKA, "--dry-run", "--json").json
    assert str(apart / "all" / "requests.jsonl") in {place["file"] for place in planned["places"]}
