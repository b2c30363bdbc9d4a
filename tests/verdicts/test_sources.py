"""Answers of other systems as facts: when they are asked, what their answers mean, and how long these hold."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from hf_gate.automation.service.health import list_problems
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events.events import decode_event
from hf_gate.decisions.service.plans.planning import PlanResult, make_plan
from hf_gate.privacy.rows.erasure import Eraser, count_parts
from hf_gate.privacy.service.person_export import export_person
from hf_gate.verdicts.plan.model import encode_plan
from hf_gate.verdicts.service.evaluation import evaluate_request, open_fact_sources
from tests.kits.source_systems import Reply, SourceWorkspace, open_source_workspace

PAID = "  - {id: paid, when: sources.paid, then: accept}\n  - {id: rest, then: human}\n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[SourceWorkspace]:
    with open_source_workspace(tmp_path) as made:
        yield made


def plan(scene: SourceWorkspace, *, asks: bool = False, moment: datetime | None = None) -> PlanResult:
    return make_plan(scene.workspace, scene.bundle, scene.evaluate, profile_budget=0, may_ask=asks, moment=moment)


# ---- when a source is asked --------------------------------------------------------------------------------------------


def test_an_answer_decides_a_request_in_the_turn_that_asks(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    scene.ask_access("ada", "bo")
    scene.say("bo", {"paid": False})
    assert scene.turn().planned.answers == 2
    assert (scene.status_on_hub("ada"), scene.status_on_hub("bo")) == ("accepted", "pending")
    assert (scene.verdicts("ada"), scene.verdicts("bo")) == (["accept"], ["human"])
    assert sorted(scene.system.paths) == sorted(f"/people/{scene.id_of(name)}" for name in ("ada", "bo"))


def test_a_plan_without_permission_asks_nobody_and_the_same_store_gives_the_same_bytes(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    scene.ask_access("ada")
    scene.sync()
    first = plan(scene)
    assert (first.plan.changes, scene.system.paths) == ([], [])
    assert scene.verdict("ada") == ("wait", "paid")
    asked = plan(scene, asks=True)
    assert [change.after for change in asked.plan.changes] == ["accepted"]
    scene.system.reply = Reply({"paid": False})
    plans = [plan(scene, moment=scene.now) for _ in range(2)]
    assert encode_plan(plans[0].plan) == encode_plan(plans[1].plan)
    assert [change.after for change in plans[0].plan.changes] == ["accepted"]
    assert len(scene.system.paths) == 1


def test_an_observation_expires_against_the_time_of_the_plan(scene: SourceWorkspace) -> None:
    scene.declare(PAID, "cache: 2d")
    scene.ask_access("ada")
    scene.sync()
    plan(scene, asks=True)
    expires_at = from_ms(scene.observed("ada").expires_at)
    moments = (scene.now, expires_at.replace(microsecond=0), expires_at)
    assert [len(plan(scene, moment=moment).plan.changes) for moment in moments] == [1, 1, 0]
    assert len(scene.system.paths) == 1


def test_a_source_is_asked_again_when_its_answer_expired_and_not_before(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    scene.say("ada", {"paid": False})
    scene.ask_access("ada")
    scene.turn()
    scene.say("ada", {"paid": True})
    scene.wait(0.9)
    scene.turn()
    assert (scene.verdict("ada"), len(scene.system.paths)) == (("human", "rest"), 1)
    scene.wait(0.2)
    assert scene.turn().planned.answers == 1
    assert (scene.status_on_hub("ada"), scene.verdicts("ada")) == ("accepted", ["human", "accept"])


@pytest.mark.parametrize("rules", [
    "  - {id: paid, when: request.attempt > 5 && sources.paid, then: accept}\n  - {id: rest, then: human}\n",
    "  - {id: all, when: request.attempt == 1, then: human}\n  - {id: paid, when: sources.paid, then: accept}\n",
    "  - {id: paid, when: sources.paid, then: human}\n  - {id: rest, then: human}\n",
])  # fmt: skip
def test_nobody_is_asked_about_whom_the_answer_changes_nothing(scene: SourceWorkspace, rules: str) -> None:
    scene.declare(rules)
    scene.ask_access("ada")
    scene.turn()
    assert scene.system.paths == []
    assert scene.verdict("ada")[0] == "human"


def test_a_policy_in_shadow_mode_is_tried_with_answers(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    path = scene.folder / "policies" / "wishes.yaml"
    path.write_text(path.read_text().replace("mode: enforce", "mode: shadow"))
    scene.load()
    scene.ask_access("ada")
    scene.turn()
    assert [action for _, _, action in scene.row("ada").state.shadow] == ["accept"]


def test_another_question_needs_another_answer(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    scene.say("ada", {"paid": False, "member": True})
    scene.ask_access("ada")
    scene.turn()
    config = scene.folder / "hf-gate.yaml"
    config.write_text(config.read_text().replace("value: /paid", "value: /member"))
    scene.load()
    scene.turn()
    assert (len(scene.system.paths), scene.status_on_hub("ada")) == (2, "accepted")


def test_machines_that_ask_other_questions_have_other_files(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    before = scene.bundle.files_digest
    scene.declare(PAID, "timeout: 9s")
    assert scene.bundle.files_digest == before
    scene.declare(PAID, "absent: true")
    assert scene.bundle.files_digest != before


def test_the_end_of_access_is_asked_before_anybody_is_accepted(scene: SourceWorkspace) -> None:
    rules = (
        "  - {id: paid, when: request.attempt > 0, then: accept, until: sources.paid}\n  - {id: rest, then: human}\n"
    )
    scene.declare(rules, "type: timestamp")
    scene.system.reply = Reply({"paid": "2027-06-30T12:00:00+02:00"})
    scene.ask_access("ada")
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    assert from_ms(scene.row("ada").state.ends_at or 0).isoformat() == "2027-06-30T10:00:00+00:00"
    assert scene.verdicts("ada") == ["accept"]


def test_a_condition_behind_an_answer_is_asked_in_the_same_turn(scene: SourceWorkspace) -> None:
    scene.declare(
        "  - {id: paid, when: sources.paid, then: accept, keep_while: sources.paid}\n  - {id: rest, then: human}\n"
    )
    scene.ask_access("ada")
    scene.turn()
    assert (scene.status_on_hub("ada"), scene.verdicts("ada")) == ("accepted", ["accept"])


# ---- what an answer means ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("absent", "status"), [("absent: true", "accepted"), ("absent: false", "pending"), ("", "pending")]
)
def test_404_means_what_the_owner_says(scene: SourceWorkspace, absent: str, status: str) -> None:
    scene.declare(PAID, absent)
    scene.system.reply = Reply({"error": "nobody"}, 404)
    scene.ask_access("ada")
    scene.turn()
    assert scene.status_on_hub("ada") == status
    assert (scene.observed("ada").value is None) is (absent == "")


def test_a_compressed_404_is_an_answer_too(scene: SourceWorkspace) -> None:
    scene.declare(PAID, "absent: true")
    scene.system.reply = Reply(gzip.compress(b"nobody"), 404, {"content-encoding": "gzip"})
    scene.ask_access(*"abcd")
    scene.turn()
    assert {scene.status_on_hub(name) for name in "abcd"} == {"accepted"}


@pytest.mark.parametrize("reply", [
    Reply({"paid": True}, 500), Reply({"paid": True}, 201), Reply({"paid": "true"}), Reply({"paid": 1}), Reply({"paid": None}),
    Reply({}), Reply([True]), Reply(b"true"), Reply(b'{"paid": true, "paid": true}'), Reply(b'{"paid": true'), Reply(b"\xff"),
    Reply(b"[" * 60_000), Reply(b'{"a": NaN, "paid": true}'), Reply(b'{"paid": true, "a": ' + b"1" * 9_000 + b"}"),
    Reply({"paid": True, "a": "x" * 70_000}),
])  # fmt: skip
def test_anything_else_is_unknown_and_goes_to_a_person(scene: SourceWorkspace, reply: Reply) -> None:
    scene.declare(PAID)
    scene.system.reply = reply
    scene.ask_access("ada")
    scene.turn()
    assert (scene.status_on_hub("ada"), scene.verdict("ada")) == ("pending", ("human", "paid"))
    assert scene.observed("ada").value is None


def test_no_unknown_answer_accepts_by_negation(scene: SourceWorkspace) -> None:
    scene.declare("  - {id: fine, when: '!sources.paid', then: accept}\n  - {id: rest, then: human}\n")
    scene.system.reply = Reply(status=503)
    scene.ask_access("ada")
    scene.turn()
    assert scene.status_on_hub("ada") == "pending"


def test_an_explanation_names_the_source_and_the_age_of_its_answer(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    scene.say("ada", {"paid": False})
    scene.ask_access("ada")
    scene.turn()
    scene.wait(0.5)
    sources = open_fact_sources(scene.workspace)
    (policies,) = scene.bundle.for_repos(scene.store, sources)
    found = evaluate_request(scene.store, policies, sources, scene.row("ada"), scene.now)
    fact = found.facts["sources.paid"]
    assert (fact.value, str(fact.trust), fact.source) == (False, "yours", "source:paid")
    assert fact.as_of is not None
    assert (scene.now - fact.as_of).total_seconds() == pytest.approx(43_200, abs=60)
    assert len(scene.system.paths) == 1


# ---- failures ----------------------------------------------------------------------------------------------------------


def test_a_source_that_fails_is_left_alone_and_asked_again_later(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    scene.system.reply = Reply(status=503)
    scene.ask_access(*(f"p{n}" for n in range(8)))
    scene.turn()
    assert len(scene.system.paths) == 3
    actions = sorted(scene.verdict(f"p{n}")[0] for n in range(8))
    assert actions == ["human"] * 3 + ["wait"] * 5
    scene.turn()
    assert len(scene.system.paths) == 3
    (problem,) = [one for one in list_problems(scene.workspace, scene.bundle) if one.kind == "source"]
    assert re.search(r"It is asked again in \d+ \w+, or in the next turn if you change `get`\.\Z", problem.sentence)
    config = scene.folder / "hf-gate.yaml"
    config.write_text(config.read_text().replace("/people/", "/members/"))
    scene.load()
    scene.turn()
    assert len(scene.system.paths) == 6, "who corrects the address need not wait"
    scene.system.reply = Reply({"paid": True})
    scene.wait(0.1)
    scene.turn()
    assert {scene.status_on_hub(f"p{n}") for n in range(8)} == {"accepted"}


def test_status_says_when_a_source_failed_for_all_of_the_last_turn(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    scene.system.reply = Reply({"paid": "yes"})
    scene.ask_access("ada", "bo")
    scene.turn()
    (problem,) = [one for one in list_problems(scene.workspace, scene.bundle) if one.kind == "source"]
    assert problem.sentence.startswith("Source paid gave no usable answer about 2 people")
    assert "the value in the answer is not a bool" in problem.sentence
    assert not problem.is_stuck
    for _ in range(2):
        scene.wait(1.3)
        scene.turn()
    assert [one.is_stuck for one in list_problems(scene.workspace, scene.bundle) if one.kind == "source"] == [True]
    scene.say("ada", {"paid": True})
    scene.wait(1.3)
    scene.turn()
    assert [one for one in list_problems(scene.workspace, scene.bundle) if one.kind == "source"] == []


def test_a_turn_asks_no_more_than_the_rate_of_a_source(scene: SourceWorkspace) -> None:
    scene.declare(PAID, "rate: 2/h")
    scene.ask_access(*"abcde")
    for waited, asked in ((0, 2), (0.01, 2), (0.05, 4), (0.05, 5)):
        scene.wait(waited)
        scene.turn()
        assert len(scene.system.paths) == asked
    assert {scene.status_on_hub(name) for name in "abcde"} == {"accepted"}


def test_a_missing_secret_is_told_without_a_call(scene: SourceWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.declare(PAID, "headers: {Authorization: env:CRM_TOKEN}")
    scene.ask_access("ada")
    scene.turn()
    assert scene.system.paths == []
    assert "the environment variable CRM_TOKEN is not set" in scene.observed("ada").problem
    monkeypatch.setenv("CRM_TOKEN", "Bearer hf_local_source")
    scene.wait(0.2)
    scene.turn()
    assert scene.system.headers[0]["authorization"] == "Bearer hf_local_source"
    assert scene.status_on_hub("ada") == "accepted"
    everything = "".join(str(row) for row in scene.store.reads.rows("SELECT key, value FROM settings"))
    assert "hf_local_source" not in everything


# ---- personal data -----------------------------------------------------------------------------------------------------


def test_the_ledger_holds_a_commitment_to_the_answer_and_not_the_answer(scene: SourceWorkspace) -> None:
    scene.declare(
        "  - {id: gold, when: sources.paid == 'zz-gold', then: accept}\n  - {id: rest, then: human}\n", "type: string"
    )
    scene.system.reply = Reply({"paid": "zz-gold"})
    scene.ask_access("ada")
    scene.turn()
    entries = scene.store.entries(request=scene.row("ada").id)
    assert not any("zz-gold" in str(decode_event(entry.link.body)) for entry in entries)
    assert any(entry.private and "zz-gold" in str(entry.private) for entry in entries)


def test_an_export_has_the_answers_about_a_person_and_an_erasure_deletes_them(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    scene.say("ada", {"paid": False})
    scene.ask_access("ada", "bo")
    scene.turn()
    person = scene.row("ada").person
    answer = export_person(scene.workspace, person).observations["paid"]
    assert (answer["value"], answer["problem"]) == (False, "")
    known = scene.observed("ada")
    with scene.store.writing() as write:
        assert count_parts(write, person.id).observations == 1
        Eraser(write, to_ms(scene.now), "lena").erase_person(person.id)
    assert not scene.store.observations([person.id])
    assert scene.observed("bo") is not None
    with scene.store.writing() as write:
        write.write_observation(person.id, "paid", known)
    assert not scene.store.observations([person.id])


def test_outdated_answers_are_deleted(scene: SourceWorkspace) -> None:
    scene.declare(PAID)
    scene.say("ada", {"paid": False})
    scene.ask_access("ada")
    scene.turn()
    scene.declare("  - {id: rest, then: human}\n")
    scene.wait(2.9)
    scene.turn()
    assert scene.observed("ada") is not None
    scene.wait(0.2)
    scene.turn()
    assert scene.observed("ada") is None
