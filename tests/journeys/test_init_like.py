"""init with an example: the workspace, the policy, the table and the first plan of a course in one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.core.forms.roles import Role
from hf_gate.hub.drivers.local_hub_headers import get_world_id
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.settings import setting_keys
from hf_gate.testing import LocalHub
from hf_gate.verdicts.service.example_policies import fit_example
from hf_gate.workspace.rows.opening import open_store
from tests.kits.command_line import DATASET, CommandResult, Console, request_access
from tests.kits.course_answers import ANSWERS

LISTED = [f"student-{n:03}" for n in range(120)]


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with LocalHub(requests=0) as local:
        yield local


def _init(hub: LocalHub, folder: Path, *options: str) -> CommandResult:
    return Console(hub).run("--workspace", str(folder), "init", DATASET, "--like", *options)


def _write_roster(folder: Path, header: str, rows: list[str]) -> str:
    path = folder / "roster.csv"
    path.write_text("\n".join([header, *rows, ""]), "utf-8")
    return str(path)


def test_people_who_have_access_already_keep_it_until_their_access_is_included(hub: LocalHub, tmp_path: Path) -> None:
    request_access(hub, LISTED[:3], DATASET, ANSWERS)
    console = Console(hub)
    console.run("accept", *(f"{name}@{DATASET}" for name in LISTED[:2]), "--yes")
    file = _write_roster(tmp_path, "username", LISTED[:3])
    options = ("class", "--roster", file, "--until", "2099-06-30")
    folder = tmp_path / "kept"
    made = _init(hub, folder, *options)
    assert (
        "2 people have access already and keep it, without an end. To give them one: hf-gate ends set --all" in made.out
    )
    applied = console.run("--workspace", str(folder), "apply", str(folder / "plan.json"), "--yes")
    assert "Nothing ends access on its date while `hf-gate run` does not run." in applied.err
    assert "NOT RUNNING: Nothing ends access" in console.run("--workspace", str(folder), "status").out
    assert "Nothing ends access" in console.run("--workspace", str(folder), "ends", "ls").err
    assert "have access already" in console.run("--workspace", str(folder), "plan").out

    folder = tmp_path / "included"
    made = _init(hub, folder, *options, "--include-accepted")
    assert "Gave 3 people who had access already the end of the rules." in made.out
    assert "have access already" not in made.out
    ends = console.run("--workspace", str(folder), "--json", "ends", "ls").json
    assert len(ends) == 3


def test_without_an_example_init_says_who_keeps_access(hub: LocalHub, tmp_path: Path) -> None:
    request_access(hub, LISTED[:1], DATASET, ANSWERS)
    Console(hub).run("accept", f"{LISTED[0]}@{DATASET}")
    made = Console(hub).run("--workspace", str(tmp_path / "w"), "init", DATASET)
    assert "1 person has access already and keeps it." in made.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("class", "--until", "2020-01-01"), "is in the past"),
        (("class", "--until", "2027-02-30"), "does not exist"),
        (("class", "--until", "30.6.2027"), "Did you mean 2027-06-30?"),
        (("medical", "--until", "2099-01-01"), "has no end, or one from a table"),
        (("consumer", "--roster", "FILE"), "has no table for --roster"),
        (("class", "--roster", "FILE", "--column", "email=Mail"), "has no column Mail"),
        (("class", "--roster", "absent.csv"), "cannot be read"),
    ],
)
def test_a_mistake_in_the_options_writes_nothing(
    hub: LocalHub, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    file = _write_roster(tmp_path, "E-Mail-Adresse", ["ada@x.example"])
    made = _init(hub, tmp_path / "w", *(file if each == "FILE" else each for each in options))
    assert made.code == 2
    assert words in made.err
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("rows", [["ada@x.example;bea@x.example"], ["ada;bea"], []])
def test_a_roster_whose_addresses_are_not_plain_is_refused_before_anything_is_written(
    hub: LocalHub, tmp_path: Path, rows: list[str]
) -> None:
    file = _write_roster(tmp_path, "Privat;Uni", rows)
    made = _init(hub, tmp_path / "w", "class", "--roster", file)
    assert made.code == 2
    assert "the file " in made.error
    assert not (tmp_path / "w").exists()


def test_a_roster_without_column_names_loses_nobody(hub: LocalHub, tmp_path: Path) -> None:
    file = _write_roster(tmp_path, "ada@x.example", ["bea@x.example", "@cy"])
    made = _init(hub, tmp_path / "w", "class", "--roster", file)
    assert made.code == 0, made.err
    rows = (tmp_path / "w" / "tables" / "roster.csv").read_text("utf-8").splitlines()
    assert rows == ["email,username", "ada@x.example,", "bea@x.example,", ",cy"]


def test_init_makes_the_workspace_that_the_environment_names(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    made = Console(hub).run("init", DATASET, env={"HF_GATE_WORKSPACE": str(tmp_path / "there")})
    assert made.code == 0, made.err
    assert (tmp_path / "there" / "hf-gate.yaml").exists()
    with Hub(hub.tokens["owner"], hub.url) as client:
        creator = client.whoami().id
    url = f"sqlite:///{tmp_path / 'there' / 'desk.db'}"
    with closing(open_store(url, endpoint=hub.url, world=get_world_id(hub.url))) as store:
        assert store.setting(setting_keys.INIT_ACCOUNT) == creator, "the desk belongs to the account that ran init"
    assert list(here.iterdir()) == []


def test_options_of_an_example_need_an_example(hub: LocalHub, tmp_path: Path) -> None:
    made = Console(hub).run("--workspace", str(tmp_path / "w"), "init", DATASET, "--until", "2099-01-01")
    assert made.code == 2
    assert "need --like" in made.error


def test_an_init_that_ended_early_is_continued_as_its_hint_says(hub: LocalHub, tmp_path: Path) -> None:
    request_access(hub, ["ada"], DATASET, ANSWERS)
    file = _write_roster(tmp_path, "username", ["ada"])
    assert _init(hub, tmp_path / "w", "class").code == 0
    (tmp_path / "w" / "plan.json").unlink()
    again = _init(hub, tmp_path / "w", "class", "--roster", file)
    assert again.code == 2
    at = f"hf-gate --workspace {tmp_path / 'w'}"
    assert f"{at} sync --full, {at} table import TABLE FILE, {at} plan, or use" in again.hint
    assert "interrupted" not in again.hint
    console = Console(hub)
    for words in (("sync", "--full"), ("table", "import", "roster", file, "--yes"), ("plan", "--out", "plan.json")):
        done = console.run("--workspace", str(tmp_path / "w"), *words)
        assert done.code == 0, (words, done.err)


def test_a_plan_or_a_table_of_another_workspace_is_not_replaced(hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}", "utf-8")
    made = _init(hub, tmp_path, "class")
    assert made.code == 2
    assert "already has a plan.json" in made.error
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("like", ["consumer", "academic", "medical", "class", "deny"])
def test_rules_that_send_back_for_answers_no_form_asks_are_left_out_with_their_tests(like: str) -> None:
    text = fit_example(like, like, ["you/model"], set())
    policy = parse_policy(text).policy
    assert policy is not None
    assert not [rule.id for rule in policy.rules if rule.then == "reset" and "answers." in (rule.when or "")]
    assert fit_example(like, "p", ["you/model"], set(Role)).count("- id:") >= len(policy.rules)
    kept = {rule.id for rule in policy.rules}
    assert {test.rule for test in policy.tests if test.rule} <= {*kept, "none"}
