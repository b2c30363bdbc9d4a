"""policy check, test and show: problems as people can mend them, tests that say why they fail, rules as sentences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import HOSTILE, CommandResult, Console
from tests.kits.workspace_folders import EEG, write_desk_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "desk"


def run(hub: LocalHub, folder: Path, *args: str) -> CommandResult:
    """One policy command for the desk in this folder."""
    return Console(hub).run("--workspace", str(folder), "policy", *args)


# ---- check -------------------------------------------------------------------------------------------------------------


def test_a_check_says_which_tests_fail(fresh: LocalHub, folder: Path) -> None:
    text = EEG.partition("tests:")[0] + "tests:\n  - {name: a guest, facts: {email.free: true}, want: {then: accept}}\n"
    ended = run(fresh, write_desk_folder(folder, {"eeg.yaml": text}), "check")
    assert ended.code == 0
    assert "1 test fails: a guest. Why: hf-gate policy test" in ended.out
    assert run(fresh, folder, "check", "--json").json["policies"][0]["failing_tests"] == ["a guest"]


@pytest.mark.parametrize("name", ["hf-gate.yaml", "policies/eeg.yaml", "tables/partners.csv"])
def test_a_link_in_a_desk_shows_nothing_of_a_file_of_another_kind(fresh: LocalHub, folder: Path, name: str) -> None:
    write_desk_folder(folder)
    secret = folder.parent / "environ"
    secret.write_text("HF_TOKEN=canary\0PATH=/bin", "utf-8")
    (folder / name).unlink()
    (folder / name).symlink_to(secret)
    ended = run(fresh, folder, "check")
    assert ended.code == 2
    assert "is not a regular file, or links to a file of another type" in ended.out + ended.err
    assert "canary" not in ended.out + ended.err


def test_a_file_is_checked_with_the_tables_of_the_desk_above_it_or_with_none(fresh: LocalHub, tmp_path: Path) -> None:
    inside = write_desk_folder(tmp_path / "desk") / "policies" / "eeg.yaml"
    assert Console(fresh).run("policy", "check", str(inside)).code == 0
    alone = tmp_path / "alone.yaml"
    alone.write_text(EEG, "utf-8")
    ended = Console(fresh).run("policy", "check", str(alone))
    assert ended.code == 2
    assert "tables.partners" in ended.out
    piped = Console(fresh).run("policy", "check", "-", stdin=EEG.replace("email.academic || tables.partners", "true"))
    assert (piped.code, piped.err) == (0, "")


def test_without_desk_or_file_the_next_step_is_named(fresh: LocalHub) -> None:
    for args in (["check"], ["test"], ["show", "acme/med-7b"]):
        ended = Console(fresh).run("policy", *args)
        assert ended.code == 2
        assert ended.error == "Error: there is no workspace here: no hf-gate.yaml in this folder or above it."
        assert "Create a workspace with `hf-gate init`" in ended.hint


def test_text_that_would_act_on_the_terminal_is_shown_and_does_not_act(fresh: LocalHub, folder: Path) -> None:
    text = EEG.replace("say-more", f'"{HOSTILE}"'.replace("\r", "")).replace("then: reset", "then: \x1b[2Jreset")
    ended = run(fresh, write_desk_folder(folder, {"eeg.yaml": text}), "check")
    assert ended.code == 2
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u200b]", ended.out + ended.err)


def test_a_long_line_is_shown_around_the_place(fresh: LocalHub, folder: Path) -> None:
    long = " && ".join(["person.account_days > 30"] * 40 + ["person.acount_days > 1"])
    text = EEG.replace("institutional && person.account_days > 30", long).partition("tests:")[0]
    head, line, marks, *_ = run(fresh, write_desk_folder(folder, {"eeg.yaml": text}), "check").out.splitlines()
    assert len(line) < 140
    assert line[marks.index("^") :].startswith("person.acount_days")
    assert int(head.split(":")[2]) > 900


# ---- lint, test, show --------------------------------------------------------------------------------------------------


def test_tests_beside_the_rules_are_run_and_one_that_fails_says_what_came_out_and_why(
    fresh: LocalHub, folder: Path
) -> None:
    ended = run(fresh, write_desk_folder(folder), "test")
    assert (ended.code, ended.out) == (0, "\u2713 eeg: from a university\n1 test: 1 passed, 0 failed.\n")
    text = EEG.replace("account_days: 400", "account_days: 3")
    (folder / "policies" / "eeg.yaml").write_text(text, "utf-8")
    ended = run(fresh, folder, "test")
    assert ended.code == 1
    assert re.search(r"\u2717 eeg: from a university \(.*eeg\.yaml:17\)", ended.out)
    assert "expected accept by signed, got human by rest" in ended.out
    assert "person.account_days = 3 (test, account)" in ended.out
    assert ended.out.endswith("1 test: 0 passed, 1 failed.\n")


def test_the_rules_of_a_repo_are_one_numbered_list_of_sentences(fresh: LocalHub, folder: Path) -> None:
    ended = run(fresh, write_desk_folder(folder), "show", "datasets/acme/eeg-2")
    assert ended.code == 0
    assert [line.partition(".")[0] for line in ended.out.splitlines()] == [str(n) for n in range(1, 7)]
    assert ", for 1 year; then access ends, and the person may request it again (signed)." in ended.out
    other = run(fresh, folder, "show", "acme/med-7b")
    assert other.out == "1. No policy applies to this repo: a person decides each request.\n"
    model = run(fresh, folder, "show", "acme/eeg-2")
    assert (model.code, model.hint) == (2, "Hint: Did you mean datasets/acme/eeg-2?")


def test_the_policy_commands_need_neither_token_nor_hub(folder: Path, fresh: LocalHub) -> None:
    write_desk_folder(folder)
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": ""}
    for args in (["check"], ["test"], ["show", "acme/med-7b"]):
        assert Console(fresh).run("--workspace", str(folder), "policy", *args, env=away).code == 0
