"""explain, policy promote and policy new at a desk with a store, on a local Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from hf_gate.verdicts.service.example_policies import EXAMPLES
from hf_gate.workspace.commands.schemas import schema_of
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


# ---- explain ------------------------------------------------------------------------------------------------------------


def test_explain_shows_every_rule_tried_its_values_and_what_would_have_to_differ(at: Desk) -> None:
    ended = at.run("explain", f"bob99@{DATASET}")
    assert ended.code == 0
    lines = [line.strip() for line in ended.out.splitlines()]
    assert lines[0].startswith(f"bob99 at {DATASET}: pending, asked ")
    assert lines[1] == "Needs review: e-mail domain is “mail.example”."
    assert lines[2] == "Needs review: rule `rest` of policy `voices`"
    assert "\u2717 known (accept) does not match" in lines
    assert '\u2717 email.domain == "example.org"' in lines
    assert any(re.fullmatch(r'email\.domain = "mail\.example" \(.*account, just read\)', line) for line in lines)
    assert 'it matches if `email.domain == "example.org"` is true' in lines
    assert "\u2713 rest (human) matches, because it has no condition" in lines


ENOUGH = """\
  - id: clear
    when: answers.purpose.quality == "good" && email.disposable
    then: human
  - id: enough
    when: answers.purpose.quality in ["good", "thin"] && email.domain == "sora.example"
    then: accept
"""


def test_explain_and_plan_do_not_say_a_thing_and_its_opposite(at: Desk, hub: LocalHub) -> None:
    hub.add_people([{"username": "sora", "email": "sora@sora.example"}])
    request_access(hub, ["sora"], DATASET, {"Purpose": "academic"})
    at.write(f"{RULES.format(repo=DATASET).partition('rules:')[0]}rules:\n{ENOUGH}")
    assert at.run("sync").code == 0
    explained = at.run("explain", f"sora@{DATASET}").out
    planned = at.run("plan").out
    assert 'answers.purpose.quality = "thin"' in explained
    assert "Would accept: something written about use (thin), e-mail domain is" in explained
    assert "enough: something written about use (thin)" in planned
    assert "little written" not in explained + planned


def test_explain_reads_a_profile_that_a_rule_needs_and_stores_nothing(at: Desk) -> None:
    at.write(RULES.format(repo=DATASET).replace('email.domain == "example.org"', "person.models >= 0"))
    before = (at.folder / "desk.db").read_bytes()
    ended = at.run("explain", f"bob99@{DATASET}")
    assert ended.code == 0, ended.err
    assert re.search(r"person\.models = \d+ \(.*just read\)", ended.out)
    assert (at.folder / "desk.db").read_bytes() == before


def _parts(because: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in because:
        yield each
        yield from _parts(each["parts"])


def test_explain_plan_and_ledger_tell_the_same_story_about_one_person(at: Desk) -> None:
    told = {name: at.run("explain", f"{name}@{DATASET}", "--json").json for name in ("ada-l", "bob99", "chen-w")}
    assert all(each["ledger"] is None for each in told.values())
    planned = {each["user"]: each for each in at.run("plan", "--json").json["changes"]}
    assert set(planned) == {"ada-l", "chen-w"}
    for name, change in planned.items():
        verdict = told[name]["verdict"]
        assert told[name]["why"].startswith("Would accept: " if name == "ada-l" else "Would send back: ")
        assert (verdict["policy"], verdict["rule"], verdict["digest"]) == (
            change["policy"],
            change["rule"],
            change["policy_digest"],
        )
        assert (verdict["reason"], verdict["until"]) == (change["reason"], change["until"])
        own = next(each for each in told[name]["policies"][0]["tried"] if each["matched"])
        seen = {part["expr"]: part["value"] for part in _parts(own["because"])}
        assert {each["expr"]: each["value"] for each in change["because"]}.items() <= seen.items()
    for name in told:
        after = at.run("explain", f"{name}@{DATASET}", "--json").json
        assert after["ledger"]["rule"] == after["verdict"]["rule"]
        jsonschema.validate(after, schema_of("explain"))


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
    assert "evaluated from the Hub's current data, without history. `hf-gate sync` reads it." in ended.err
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


def test_who_is_in_is_told_by_which_run_and_rule_since_when_and_until_when(at: Desk, hub: LocalHub) -> None:
    at.run("plan", "--out", str(at.folder / "plan.json"))
    applied = at.run("apply", str(at.folder / "plan.json"), "--yes", "--json").json
    shown = at.run("explain", f"ada-l@{DATASET}").out
    by = rf"policy:voices@[0-9a-f]{{8}}, by rule `known`, in run {applied['run']}"
    assert re.search(rf"^accepted \d{{4}}-\d\d-\d\d \d\d:\d\d UTC by {by}$", shown, re.MULTILINE)
    assert re.search(
        r"^Access ends after \d{1,2} [A-Z][a-z]{2} \d{4} \(in 1[12] mo\), then sent back, by rule [a-z-]+/known\.$",
        shown,
        re.MULTILINE,
    )
    doc = at.run("explain", f"ada-l@{DATASET}", "--json").json
    jsonschema.validate(doc, schema_of("explain"))
    assert (doc["came"]["run"], doc["came"]["rule"], doc["at_end"]) == (applied["run"], "known", "reset")
    opinion = ["action", "rule", "reason", "until", "at_end", "reviewers", "needs", "missing", "possible"]
    assert list(doc["verdict"]) == [*opinion, "policy", "digest", "says"]
    (policy,) = (each for each in doc["policies"] if each["policy"] == "voices")
    assert list(policy["opinion"]) == opinion
    conditions = [each for rule in policy["tried"] for each in rule["because"]]
    facts = [fact for each in conditions for fact in each["facts"].values()]
    assert list(policy["tried"][0]) == ["rule", "then", "matched", "because", "differ"]
    assert list(conditions[0]) == ["expr", "value", "note", "facts", "parts"]
    assert list(facts[0]) == ["value", "trust", "source", "as_of", "why", "note"]

    at.run("accept", f"bob99@{DATASET}")
    shown = at.run("explain", f"bob99@{DATASET}").out
    assert re.search(r" by lena-brandt, directly, in run r_\w+\nAccess has no end\.\n", shown)

    request_access(hub, ["dora-k"], DATASET, GOOD)
    at.run("sync")
    with Hub(hub.tokens["owner"], hub.url) as other:
        other.reset(DATASET, "dora-k")
    at.run("sync", "--full")
    shown = at.run("explain", f"dora-k@{DATASET}").out
    assert re.search(r"^reset on the Hub by .+, seen \d", shown, re.MULTILINE)
    assert "Access" not in shown
    assert at.run("explain", f"chen-w@{DATASET}", "--json").json["came"]["rule"] == "say-more"


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


def test_promote_says_what_the_first_cycle_would_do_needs_a_yes_and_is_entered_once(at: Desk) -> None:
    refused = at.run("policy", "promote", "voices")
    assert (refused.code, refused.out) == (6, "")
    assert "would change 2 requests in its first turn: 1 to accept, 1 to send back." in refused.err
    done = at.run("policy", "promote", "voices", "--yes", "--json").json
    jsonschema.validate(done, schema_of("policy-promote"))
    assert (done["promoted"], done["changes"]) == (True, {"accept": 1, "reset": 1})
    again = at.run("policy", "promote", "voices", "--yes", "--json").json
    assert (again["promoted"], again["digest"]) == (False, done["digest"])
    entries = at.run("audit", "ls", "--json", "--all").json
    assert sum("PolicyPromoted" in str(each) for each in entries) == 1
    at.write(RULES.format(repo=DATASET).replace("until: 1y", "until: 2y"))
    assert at.run("policy", "promote", "voices").code == 6


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


def test_new_writes_no_policy_with_a_table_of_a_name_that_the_workspace_has(at: Desk) -> None:
    workspace = at.folder / "hf-gate.yaml"
    workspace.write_text(workspace.read_text("utf-8") + 'tables: {partners: ["@example.org"]}\n', "utf-8")
    refused = at.run("policy", "new", "first", "--like", "academic")
    assert (refused.code, "hf-gate.yaml also defines table `partners`" in refused.error) == (2, True)
    assert not (at.folder / "policies" / "first.yaml").exists()
    shown = at.run("policy", "new", "first", "--like", "academic", "--dry-run")
    assert (shown.code, shown.error, "policy: first" in shown.out) == (2, refused.error, True), (
        "it prints what to change"
    )
    assert at.run("policy", "new", "first", "--like", "consumer").code == 0


# ---- what check knows once the repos were read ----------------------------------------------------------------------------


def test_check_holds_the_labels_of_a_policy_against_the_forms_that_the_store_knows(at: Desk) -> None:
    at.write(RULES.format(repo=DATASET).replace("email.domain ==", 'form["Purpsoe"] =='))
    ended = at.run("policy", "check", "--json").json
    assert ended["forms"] == [DATASET]
    labels = [each for each in ended["problems"] if "Purpsoe" in each["message"]]
    assert [(each["level"], each["line"]) for each in labels] == [("error", 11)]
    (at.folder / "desk.db").unlink()
    assert at.run("policy", "check", "--json").json["forms"] == []


def test_plan_and_explain_say_the_rule_in_words(at: Desk) -> None:
    assert at.run("sync").code == 0
    plan = [line.strip() for line in at.run("plan").out.splitlines()]
    rules = plan[plan.index("Rules") + 1 : plan.index("Examples")]
    assert rules == [
        "+ voices/known: Accept when e-mail domain is “example.org” and account older than 30 days.",
        "↺ voices/say-more: Send back when nothing useful written about use.",
    ]
    explained = at.run("explain", f"bob99@{DATASET}").out
    assert "the rule in words: Everybody else needs review." in explained
    told = json.loads(at.run("explain", f"ada-l@{DATASET}", "--json").out)
    assert told["verdict"]["says"] == rules[0].partition(": ")[2]
