"""explain, policy promote and policy new at a desk with a store, on a local Hub."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate import Hub
from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from hf_gate.verdicts.service.example_policies import EXAMPLES
from tests.kits.command_line import DATASET, HOSTILE, MODEL, CommandResult, Console, request_access

RULES = """\
version: 1
policy: voices
applies_to: [{repo}]
mode: enforce
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk"]
    then: reset
    reason: Please say what you will study, then ask again.
  - id: known
    when: email.domain == "example.org" && person.account_days > 30
    then: accept
    until: 1y
  - id: rest
    then: human
"""
GOOD = {"Purpose": "I study how the voices of harbours changed over a hundred years."}


class Desk:
    """A desk that was initialised for one repo, and the program at work there."""

    def __init__(self, hub: LocalHub, folder: Path, policy: str = RULES.format(repo=DATASET)) -> None:
        self.console, self.folder = Console(hub), folder
        assert self.run("init", DATASET).code == 0
        (folder / "policies" / "starter.yaml").unlink()
        self.write(policy)

    def run(self, *args: str, stdin: str = "") -> CommandResult:
        return self.console.run("--workspace", str(self.folder), *args, stdin=stdin)

    def write(self, policy: str, name: str = "voices") -> None:
        (self.folder / "policies" / f"{name}.yaml").write_text(policy, "utf-8")


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """Three people who asked: one from an organisation, one from elsewhere, one who wrote nothing."""
    with LocalHub(requests=0) as hub:
        hub.add_people(
            [
                {"username": "ada-l", "email": "ada@example.org", "created_at": "2020-01-01T00:00:00Z"},
                {"username": "bob99", "email": "bob@mail.example", "created_at": "2020-01-01T00:00:00Z"},
                {"username": "chen-w", "email": "chen@example.org", "created_at": "2020-01-01T00:00:00Z"},
            ]
        )
        request_access(hub, ["ada-l", "bob99"], DATASET, GOOD)
        request_access(hub, ["chen-w"], DATASET, {"Purpose": ""})
        yield hub


@pytest.fixture
def at(hub: LocalHub, tmp_path: Path) -> Desk:
    return Desk(hub, tmp_path / "desk")


def test_the_next_commands_go_to_the_same_workspace_and_hub(at: Desk, tmp_path: Path) -> None:
    plan, back = tmp_path / "first plan.json", tmp_path / "back.json"
    place = ["--endpoint", at.console.hub.url, "--workspace", str(at.folder)]
    option = shlex.join(["hf-gate", *place])
    assert f"To apply the plan: {option} plan --out plan.json, then {option} apply plan.json" in (
        at.console.run("plan", *place).out
    )
    planned = at.console.run("plan", *place, "--out", str(plan))
    after = shlex.split(planned.out.partition("Next: ")[2])
    assert after == ["hf-gate", *place, "apply", str(plan)]
    applied = at.console.run(*after[1:], "--yes", "--max-changes", "9")
    details, _, undo = applied.out.partition("Details: ")[2].partition("  Undo: ")
    assert f"{option} runs show r_" in details
    undone = shlex.split(undo)
    again = at.console.run("undo", undone[-3], *place)
    assert f"To apply the plan: {option} undo {undone[-3]} --out plan.json, then {option} apply plan.json" in again.out
    saved = at.console.run(*undone[1:-1], str(back))
    assert saved.out.rstrip().endswith(f"Next: {option} apply {back}")


def test_show_with_the_name_of_a_policy_names_its_repos(at: Desk) -> None:
    ended = at.run("policy", "show", "voices")
    assert (ended.code, f"voices is a policy; `policy show` takes a repo. It applies to {DATASET}." in ended.error) == (
        2,
        True,
    )
    assert "hf-gate policy show REPO" in ended.hint


def test_a_plan_says_which_rule_keeps_people_on_hold_and_what_follows(at: Desk) -> None:
    late = (
        '  - id: late\n    when: email.domain == "mail.example"\n    then: wait\n    at_most: 14d\n    after: reset\n'
    )
    late += "    says: Not on the roster yet.\n    reason: Please ask again.\n"
    at.write(RULES.format(repo=DATASET).replace("  - id: rest", f"{late}  - id: rest"))
    lines = [" ".join(line.split()) for line in at.run("plan").out.splitlines()]
    assert "on hold 1 voices/late: Not on the roster yet; sent back after 14 days" in lines


# ---- explain ------------------------------------------------------------------------------------------------------------


def test_explain_reads_a_profile_that_a_rule_needs_and_stores_nothing(at: Desk) -> None:
    at.write(RULES.format(repo=DATASET).replace('email.domain == "example.org"', "person.models >= 0"))
    before = (at.folder / "desk.db").read_bytes()
    ended = at.run("explain", f"bob99@{DATASET}")
    assert ended.code == 0, ended.err
    assert re.search(r"person\.models = \d+ \(.*just read\)", ended.out)
    assert (at.folder / "desk.db").read_bytes() == before


def test_a_verdict_that_moved_since_the_ledgers_last_is_said(at: Desk) -> None:
    at.run("plan")
    assert "ledger" not in at.run("explain", f"ada-l@{DATASET}").out
    at.write(RULES.format(repo=DATASET).replace("then: accept\n    until: 1y", "then: human"))
    assert (
        "The last recorded verdict was Accept: rule `known` of policy `voices`@"
        in at.run("explain", f"ada-l@{DATASET}").out
    )


def test_a_request_that_the_store_does_not_have_is_read_from_the_hub_and_that_is_said(at: Desk, hub: LocalHub) -> None:
    request_access(hub, ["newcomer"], DATASET, GOOD)
    ended = at.run("explain", f"newcomer@{DATASET}")
    assert ended.code == 0
    command = f"hf-gate --workspace {at.folder} sync"
    assert f"evaluated from the Hub's current data, without history. `{command}` reads it." in ended.err
    assert not at.run("explain", f"newcomer@{DATASET}", "--json").json["is_stored"]
    at.run("sync")
    assert at.run("explain", f"newcomer@{DATASET}", "--json").json["is_stored"]


def test_a_draft_is_tried_on_a_request_in_the_place_of_the_desks_policies(at: Desk, tmp_path: Path) -> None:
    draft = tmp_path / "draft.yaml"
    text = RULES.format(repo=DATASET).replace("example.org", "mail.example")
    draft.write_text(text.replace("mode: enforce", "mode: shadow"), "utf-8")
    assert at.run("explain", f"bob99@{DATASET}", "--policy", str(draft), "-q").out == "accept\n"
    assert at.run("explain", f"bob99@{DATASET}", "-q").out == "human\n"
    draft.write_text(RULES.format(repo=MODEL), "utf-8")
    other = at.run("explain", f"bob99@{DATASET}", "--policy", str(draft))
    assert (other.code, other.error) == (2, f"Error: that policy does not apply to {DATASET}.")


def test_who_is_not_judged_is_told_what_they_would_be(at: Desk) -> None:
    at.console.run("reject", f"bob99@{DATASET}", "--reason", "no")
    at.run("sync", "--full")
    ended = at.run("explain", f"bob99@{DATASET}")
    assert "No policy evaluates rejected requests. If this request were pending:" in ended.out
    assert at.run("explain", f"bob99@{DATASET}", "--json").json["is_judged"] is False


def test_who_was_in_before_the_desk_was_made_is_told_so(hub: LocalHub, tmp_path: Path) -> None:
    with Hub(hub.tokens["owner"], hub.url) as other:
        other.accept(DATASET, "ada-l")
    at = Desk(hub, tmp_path / "desk")
    assert "accepted since before it was first synced, " in at.run("explain", f"ada-l@{DATASET}").out
    assert at.run("explain", f"bob99@{DATASET}", "--json").json["came"]["run"] is None


def test_explain_finds_a_request_by_its_id_and_says_whom_it_does_not_find(at: Desk) -> None:
    ident = at.run("explain", f"ada-l@{DATASET}", "--json").json["request_id"]
    assert at.run("explain", ident, "--json").json["user"] == "ada-l"
    unknown = at.run("explain", "0" * 24)
    assert (unknown.code, "--repo REPO" in unknown.hint) == (1, True)
    nobody = at.run("explain", f"nobody@{DATASET}")
    assert (nobody.code, "no request of nobody at" in nobody.error) == (1, True)
    elsewhere = at.run("explain", f"ada-l@{MODEL}")
    assert (elsewhere.code, "is not a repo of this workspace" in elsewhere.error) == (2, True)


def test_the_answers_of_a_hostile_requester_do_not_act_in_an_explanation(at: Desk, hub: LocalHub) -> None:
    request_access(hub, ["mallory"], DATASET, {"Purpose": HOSTILE})
    at.write(RULES.format(repo=DATASET).replace('quality in ["empty", "junk"]', 'text.contains("Evil")'))
    ended = at.run("explain", f"mallory@{DATASET}")
    assert "Evil" in ended.out
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u200b]", ended.out)


# ---- promote ------------------------------------------------------------------------------------------------------------


def test_a_comment_does_not_take_a_promotion_away(at: Desk) -> None:
    assert at.run("policy", "promote", "voices", "--yes").code == 0
    at.write("# said more clearly\n" + RULES.format(repo=DATASET))
    assert at.run("policy", "promote", "voices", "--json").json["promoted"] is False


def test_a_policy_in_shadow_or_of_no_name_is_not_promoted(at: Desk) -> None:
    misspelt = at.run("policy", "promote", "voice", "--yes")
    assert (misspelt.code, misspelt.hint) == (2, "Hint: Did you mean voices?")
    at.write(RULES.format(repo=DATASET).replace("mode: enforce", "mode: shadow"))
    shadow = at.run("policy", "promote", "voices", "--yes")
    assert (shadow.code, "is in shadow" in shadow.error) == (2, True)
    assert "mode: enforce" in shadow.hint


# ---- new ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("like", EXAMPLES)
def test_a_policy_to_begin_with_is_for_the_desks_repos_and_passes_its_tests(at: Desk, like: str) -> None:
    made = at.run("policy", "new", "first", "--like", like, "--json").json
    jsonschema.validate(made, schema_of("policy-new"))
    for name in made["missing"]:
        (at.folder / name).parent.mkdir(exist_ok=True)
        (at.folder / name).write_text("user_id,email,expires\n,ada@example.org,2030-01-01\n", "utf-8")
    checked = at.run("policy", "check", "--json").json
    mine = next(each for each in checked["policies"] if each["policy"] == "first")
    assert (checked["errors"], mine["mode"], mine["applies_to"]) == (0, "shadow", [DATASET])
    assert at.run("policy", "test").code == 0
    again = at.run("policy", "new", "first", "--like", like)
    assert (again.code, again.error) == (2, "Error: there is already a policy first.")


def test_new_writes_nothing_in_a_dry_run_and_takes_no_name_that_leaves_the_folder(at: Desk) -> None:
    shown = at.run("policy", "new", "first", "--like", "class", "--dry-run")
    assert "policy: first\n" in shown.out
    assert not (at.folder / "policies" / "first.yaml").exists()
    for name in ("../first", "First", "a/b", ""):
        assert at.run("policy", "new", name, "--like", "class").code == 2


# ---- what check knows once the repos were read ----------------------------------------------------------------------------
