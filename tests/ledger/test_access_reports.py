"""The report of access names everybody who approved, the rule, what the end rests on, and who was accepted elsewhere."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hf_gate.base.timestamps import to_ms
from hf_gate.core.events import events as e
from hf_gate.core.events.event_descriptions import describe_event
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.access_end import AccessEnd, HandTerms, TermsKind, end_of_terms
from hf_gate.core.requests import Target
from hf_gate.core.stored_rows import entry_about
from hf_gate.decisions.service.decision_sender import DecisionSender
from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget
from hf_gate.grants.service.ends.end_changes import renew_by_rules, write_end_changes
from hf_gate.grants.service.ends.terms_reader import TermsReader
from hf_gate.ledger.service.access_report import AccessRecord, describe_outside, name_deciders, name_rule, read_access
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.requests.service.record_files import csv_lines
from hf_gate.settings import setting_keys
from hf_gate.verdicts.service.evaluation import open_fact_sources
from tests.kits.approvals import (
    OWNER,
    TWO_REVIEWERS,
    author_of,
    create_member,
    decide_as,
    list_alarms,
    two_people,
    use_policy,
)
from tests.kits.grant_workspaces import OTHERS, SIGNED, GrantWorkspace, policy
from tests.kits.in_process_hub import InProcessHub
from tests.kits.members import store_member
from tests.kits.workspaces import HubWorkspace

__all__ = ["two_people"]
FILE = "9f" * 32


def access(scene: HubWorkspace, at: datetime | None = None) -> dict[str | None, AccessRecord]:
    """The report now, or as of a moment."""
    moment = datetime.fromtimestamp(scene.local_hub.time.now(), UTC) if at is None else at
    return {row.user: row for row in read_access(scene.store, scene.repos[:1], moment).records()}


# ---- who gave it -----------------------------------------------------------------------------------------------------


def test_both_approvers_and_their_rule_are_named(two_people: HubWorkspace) -> None:
    scene = two_people
    scene.turn()
    decide_as(scene, author_of(create_member(scene, "mia")), actor="mia")
    decide_as(scene, OWNER, actor="owner")
    row = access(scene)["ada"]
    assert (row.by, row.approvers, row.policy, row.rule) == ("owner", ["mia", "owner"], "wishes", "welcome")
    assert (row.is_outside, row.missing_approvals, describe_outside(row)) == (False, 0, "")
    assert (name_deciders(row), name_rule(row)) == ("mia, owner", "welcome")
    (sheet,) = csv.DictReader(io.StringIO("".join(csv_lines(AccessRecord, [row]))))
    assert [name for name in ("mia", "owner") if name in sheet["approvers"]] == ["mia", "owner"]
    assert (sheet["rule"], sheet["is_outside"]) == ("welcome", "false")


def test_the_report_says_that_an_approver_was_a_new_member(two_people: HubWorkspace) -> None:
    scene = two_people
    amy2 = store_member(scene.store, "amy2", begun_at=to_ms(scene.clock.now()) - 180_000, begun_by="id-owner")
    decide_as(scene, author_of(amy2), actor="amy2")
    decide_as(scene, author_of(create_member(scene, "mia")), actor="mia")
    row = access(scene)["ada"]
    assert row.approvers == ["amy2", "mia"]
    assert name_deciders(row) == "amy2 (member since 3 min, added by owner), mia"


def test_approvals_that_a_turn_sends_are_named_beside_the_policy(two_people: HubWorkspace) -> None:
    scene = two_people
    decide_as(scene, author_of(create_member(scene, "mia")), actor="mia")
    scene.local_hub.set_faults(["fail_before:status=503:on=batch|handle"])
    decide_as(scene, OWNER, actor="owner")
    scene.local_hub.set_faults([])
    scene.turn()
    row = access(scene)["ada"]
    assert (row.approvers, row.rule) == (["mia", "owner"], "welcome")
    assert (row.by or "").startswith("policy:wishes@")
    assert name_deciders(row) == f"{row.by}, mia, owner"


def test_an_approval_of_another_version_of_the_request_is_not_named(two_people: HubWorkspace) -> None:
    scene, row = two_people, two_people.row("ada")
    decide_as(scene, author_of(create_member(scene, "mia")), actor="mia")
    events = [e.decode_event(one.link.body) for one in scene.store.entries(request=row.id)]
    given = next(event for event in events if isinstance(event, e.ApprovalGiven))
    stale = e.ApprovalGiven(account="id-kim", need=given.need)
    with scene.store.writing() as write:
        write.append(row.repo, [entry_about(row, stale, "kim", 1, {"version": "0" * 16})])
    decide_as(scene, OWNER, actor="owner")
    assert access(scene)["ada"].approvers == ["mia", "owner"]


def test_one_person_who_accepts_alone_is_the_only_approver(two_people: HubWorkspace) -> None:
    scene = two_people
    use_policy(scene, TWO_REVIEWERS.replace("    reviewers: 2\n", ""))
    decide_as(scene, OWNER, actor="owner")
    row = access(scene)["ada"]
    assert (row.approvers, row.rule, name_deciders(row), name_rule(row)) == (["owner"], None, "owner", None)


@pytest.mark.parametrize("given", [0, 1])
def test_who_was_accepted_on_the_hub_without_approvals_is_marked(two_people: HubWorkspace, given: int) -> None:
    scene = two_people
    list_alarms(scene)
    if given:
        decide_as(scene, author_of(create_member(scene, "mia")), actor="mia")
    scene.decide("ada", "accepted")
    scene.sync()
    before = datetime.fromtimestamp(scene.local_hub.time.now(), UTC)
    scene.local_hub.time.advance(60)
    assert list_alarms(scene) == [("ada", given, 2)]
    row = access(scene)["ada"]
    assert (row.is_outside, row.missing_approvals, row.approvers) == (True, 2 - given, ["mia"] * given)
    missing = "1 approval" if given else "2 approvals"
    assert describe_outside(row) == f"accepted outside hf-gate, {missing} missing"
    earlier = access(scene, before)["ada"]
    assert (earlier.is_outside, earlier.missing_approvals) == (True, 0), "the alarm came later"


# ---- what the end rests on -------------------------------------------------------------------------------------------


class AgreementScene(GrantWorkspace):
    """A scene whose table has signed rows."""

    def sign(self, day: str, version: str, name: str = "ada") -> None:
        others = [f"{n:024x},2099-12-31,," for n in range(OTHERS)]
        rows = [f"{self.id_of(name)},{day},{FILE},{version}", *others]
        table = self.folder / "tables" / "dua.csv"
        table.parent.mkdir(exist_ok=True)
        table.write_text("\n".join(["user_id,expires,file_hash,version", *rows]) + "\n")
        self.load()


@pytest.fixture
def renewed(tmp_path: Path) -> Iterator[tuple[AgreementScene, datetime]]:
    """Somebody who was accepted under DUA-1 and signed DUA-2 later, and a moment between."""
    scene = AgreementScene(tmp_path, InProcessHub(repos=1))
    with scene.store.writing() as write:
        write.write_setting(setting_keys.OWNER, json.dumps({"name": "owner", "user_id": "id-owner"}))
    year = scene.now.year
    scene.sign(f"{year + 1}-06-30", "DUA-1")
    scene.set_policy(policy(SIGNED))
    scene.ask(["ada"])
    scene.turn()
    between = scene.now
    scene.wait(1)
    scene.sign(f"{year + 2}-06-30", "DUA-2")
    scene.turn()
    yield scene, between
    scene.close()


def _describe_row(scene: AgreementScene) -> str:
    """Describe the row of the person in the table of now."""
    table = scene.bundle.tables["dua"]
    row = next(row for row in table.rows if row.user_id == scene.id_of("ada"))
    return f"dua row {row.digest}, table {table.digest[:8]}"


def test_after_a_renewal_the_report_names_the_row_and_its_version_with_its_date(
    renewed: tuple[AgreementScene, datetime],
) -> None:
    scene, between = renewed
    first, second = access(scene, between)["ada"], access(scene)["ada"]
    assert [(found.until or "")[:4] for found in (first, second)] == [str(between.year + 1), str(between.year + 2)]
    assert first.until_row != second.until_row
    assert second.until_row == _describe_row(scene)
    assert second.until_rule == "wishes/signed"
    assert verify_ledger(scene.store, with_tables=True).broken == []


def test_the_entry_that_dates_a_grant_names_row_and_table_without_personal_data(
    renewed: tuple[AgreementScene, datetime],
) -> None:
    scene, _ = renewed
    entries = scene.store.entries(request=scene.row("ada").id, limit=100)
    newest = next(one for one in entries if one.link.kind == e.kind_of(e.GrantDated))
    event = e.decode_event(newest.link.body)
    assert isinstance(event, e.GrantDated)
    table = scene.bundle.tables["dua"]
    assert (event.rule, event.lists) == ("wishes/signed", {"table:dua": table.digest[:8]})
    for personal in (scene.id_of("ada"), "ada", "DUA-2", FILE):
        assert personal.encode() not in newest.link.body.replace(b"table:dua", b"")
    assert "on dua row" in describe_event(event, newest.private, zone=UTC)


def test_the_entry_of_the_acceptance_names_the_row_that_gave_its_date(
    renewed: tuple[AgreementScene, datetime],
) -> None:
    scene, between = renewed
    first = access(scene, between)["ada"]
    assert (first.until_row or "").startswith("dua row ")
    entries = scene.store.entries(request=scene.row("ada").id, limit=100)
    dated = [e.decode_event(one.link.body) for one in entries if one.link.kind == e.kind_of(e.GrantDated)]
    assert [isinstance(each, e.GrantDated) and list(each.lists) for each in dated] == [["table:dua"]] * 2


def test_an_acceptance_by_hand_under_a_row_that_no_verdict_has_seen_names_that_row(tmp_path: Path) -> None:
    scene = AgreementScene(tmp_path, InProcessHub(repos=1))
    scene.sign(f"{scene.now.year + 1}-06-30", "DUA-1")
    scene.set_policy(policy(SIGNED, when="person.is_pro"))
    scene.ask(["ada"])
    scene.turn()
    scene.sign(f"{scene.now.year + 2}-06-30", "DUA-2")
    scene.set_policy(policy(SIGNED))
    terms = TermsReader(scene.workspace, lambda row: scene.bundle.for_repo(row, open_fact_sources(scene.workspace)))
    (hand_terms,) = terms.read_terms([scene.row("ada")], scene.now).values()
    sender = DecisionSender(scene.store, scene.hub, scene.clock, scene.zone, "lena", scene.approvals)
    sender.choose_ends = lambda ready: [end_of_terms(hand_terms) for _ in ready]
    sender.decide([DecisionTarget(scene.repos[0], Target(username="ada"))], Choice(Status.ACCEPTED), run_id="r_hand")
    row = access(scene)["ada"]
    assert ((row.until or "")[:4], row.by, row.until_rule) == (str(scene.now.year + 2), "lena", "wishes/signed")
    assert row.until_row == _describe_row(scene)
    scene.close()


def test_a_renewal_by_the_rules_names_the_new_row(renewed: tuple[AgreementScene, datetime]) -> None:
    """A person renews before the next turn has moved the date."""
    scene, _ = renewed
    scene.sign(f"{scene.now.year + 3}-06-30", "DUA-3")
    terms = TermsReader(scene.workspace, lambda row: scene.bundle.for_repo(row, open_fact_sources(scene.workspace)))
    row = scene.row("ada")
    change = renew_by_rules(row, terms.read_terms([row], scene.now)[row.id], scene.now, UTC)
    with scene.store.writing() as write:
        write_end_changes(write, [change], "lena", round(scene.now.timestamp() * 1000))
    found = access(scene)["ada"]
    assert ((found.until or "")[:4], found.until_row) == (str(scene.now.year + 3), _describe_row(scene))


def test_terms_of_two_people_are_equal_though_they_rest_on_different_rows() -> None:
    ends = (AccessEnd("1y", rests_on={"dua": {"table": "a", "row": row}}) for row in "xy")
    one, other = (HandTerms(TermsKind.END, end) for end in ends)
    assert (one == other, hash(one) == hash(other), one == HandTerms(TermsKind.END, AccessEnd("2y"))) == (
        True,
        True,
        False,
    )
