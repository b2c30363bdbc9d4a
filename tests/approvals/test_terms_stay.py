"""The terms of a rule stay with the access whoever accepts: one person can shorten it, and longer access needs two."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, timedelta
from pathlib import Path

import pytest

from hf_gate.base.timestamps import format_day, to_ms
from hf_gate.command_line.grants.hand_ends import describe_end
from hf_gate.core.events import events as e
from hf_gate.core.events.event_descriptions import describe_event
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.people.access_end import AccessEnd, end_of_terms
from hf_gate.core.people.approvals import Approver
from hf_gate.core.people.members import Member, RunAuthor
from hf_gate.core.requests import Target
from hf_gate.decisions.service.bulk_decisions import BulkDecision, BulkEnds, create_bulk_run
from hf_gate.decisions.service.decision_sender import DecisionSender
from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget, PendingDecision
from hf_gate.decisions.service.tray import DecisionRequest, TrayService
from hf_gate.grants.rows import read_terms_of
from hf_gate.grants.service.ends.approved_ends import EndChanger
from hf_gate.grants.service.ends.end_changes import renew_by_rules
from hf_gate.grants.service.ends.terms_reader import load_terms_reader
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.members.rows.members import find_member, remove_member
from hf_gate.members.service.members import Membership
from hf_gate.settings import setting_keys
from hf_gate.store.rows.tray import find_latest_decisions
from tests.kits.grant_workspaces import KEPT, GrantWorkspace, make_grant_workspace, policy
from tests.kits.members import store_member

RULE = "wishes/signed"
TWO = "reviewers: 2"
LATE = "2099-01-01"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[GrantWorkspace]:
    made = make_grant_workspace(tmp_path)
    with made.store.writing() as write:
        write.write_setting(setting_keys.OWNER, json.dumps({"name": "owner", "user_id": "id-owner"}))
    made.set_rows({"ada": 900, "bo": 900})
    yield made
    made.close()


def member(scene: GrantWorkspace, name: str) -> Member:
    return store_member(scene.store, name)


def ask(scene: GrantWorkspace, *terms: str) -> None:
    """Two people ask, under a rule with these terms."""
    scene.set_policy(policy(*terms))
    scene.ask(["ada", "bo"])
    scene.sync()


def accept(scene: GrantWorkspace, account: str, until: str | None = None) -> Outcome:
    """A person accepts ada by a command; without an end, as the rules say."""
    scene.count += 1
    author, reader = RunAuthor(account=f"id-{account}"), load_terms_reader(scene.workspace)

    def by_rules(decisions: Sequence[PendingDecision]) -> list[AccessEnd | None]:
        targets = [(one.repo, one.row) for one in decisions]
        return [end_of_terms(terms) for terms in reader.read_each(targets, scene.clock.now())]

    sender = DecisionSender(
        scene.store, scene.hub, scene.clock, scene.zone, account, scene.approvals, author, choose_ends=by_rules
    )
    done = sender.decide(
        [DecisionTarget(scene.repos[0], Target(username="ada"))],
        Choice(Status.ACCEPTED, until=until),
        run_id=f"r_{scene.count}",
    )
    return done.outcomes[0]


def days_and_terms(scene: GrantWorkspace) -> tuple[int | None, str | None, int]:
    """How long the access lasts, the rule that gave it, and how many conditions it has."""
    state, days = scene.row("ada").state, scene.days_left("ada")
    terms = read_terms_of(scene.store, state.terms)
    return None if days is None else round(days), state.until_rule, 0 if terms is None else len(terms.keep_while)


def how_the_end_was_set(scene: GrantWorkspace) -> tuple[str | None, str]:
    """The cause of the end in the ledger, and what the audit log says in brackets."""
    entries = scene.store.entries(request=scene.row("ada").id, limit=100)
    entry = next(one for one in entries if one.link.kind == e.kind_of(e.GrantDated))
    event = e.decode_event(entry.link.body)
    assert isinstance(event, e.GrantDated)
    sentence = describe_event(event, private=entry.private, zone=UTC)
    return event.cause, sentence[sentence.rfind("(") : sentence.rfind(")") + 1]


# ---- acceptances -----------------------------------------------------------------------------------------------------


def test_an_approved_end_that_has_passed_does_not_shorten_an_acceptance_into_the_past(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y")
    member(scene, "mia")
    day = f"{scene.now + timedelta(days=3):%Y-%m-%d}"
    assert accept(scene, "mia", day).why == "approval 1 of 2"
    scene.wait(6)
    scene.sync()
    refused = accept(scene, "owner")
    assert (refused.kind, scene.status_on_hub("ada")) == (OutcomeKind.REFUSED, "pending")
    assert f"mia approved access until {format_day(date.fromisoformat(day))}" in refused.why


@pytest.mark.parametrize("until", [LATE, "none"])
def test_a_second_approver_cannot_lengthen_the_end_of_the_rule(scene: GrantWorkspace, until: str) -> None:
    ask(scene, TWO, "until: 1y", KEPT)
    member(scene, "mia")
    assert accept(scene, "mia").why == "approval 1 of 2"
    refused = accept(scene, "owner", until)
    assert refused.kind is OutcomeKind.REFUSED
    assert "mia approved access for 1y, under a condition, and this is access" in refused.why
    assert scene.status_on_hub("ada") == "pending"
    assert accept(scene, "owner").kind is OutcomeKind.DONE
    assert days_and_terms(scene) == (365, RULE, 1)


def test_a_second_approver_can_shorten_and_the_terms_of_the_rule_stay(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y", KEPT)
    member(scene, "mia")
    accept(scene, "mia")
    assert accept(scene, "owner", "90d").kind is OutcomeKind.DONE
    assert days_and_terms(scene) == (90, RULE, 1)
    dated = [event for event in scene.events_of("ada") if isinstance(event, e.GrantDated)]
    assert [(event.written, event.cause) for event in dated] == [("90d", "chosen")]


def test_two_people_who_choose_the_same_longer_end_can_give_it(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y", KEPT)
    member(scene, "mia")
    assert accept(scene, "mia", "2y").why == "approval 1 of 2"
    assert (
        "mia approved access for 2y, under a condition, and this is access for 3y" in accept(scene, "owner", "3y").why
    )
    assert accept(scene, "owner", "2y").kind is OutcomeKind.DONE
    assert days_and_terms(scene)[1:] == (RULE, 1)
    assert scene.days_left("ada") == pytest.approx(730, abs=1.01)
    assert verify_ledger(scene.store, with_tables=True).ok


def test_of_the_end_that_one_chose_and_the_end_of_the_rule_the_earlier_holds(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y", KEPT)
    member(scene, "mia")
    accept(scene, "mia", "30d")
    scene.turn()
    assert scene.status_on_hub("ada") == "pending"
    row = scene.row("ada")
    shown = load_terms_reader(scene.workspace).read_terms([row], scene.clock.now())[row.id]
    assert describe_end(shown, scene.clock.now(), scene.zone).endswith(", as mia approved")
    assert accept(scene, "owner").kind is OutcomeKind.DONE
    assert days_and_terms(scene) == (30, RULE, 1)
    assert how_the_end_was_set(scene) == ("approved", "(as mia approved)")
    assert verify_ledger(scene.store, with_tables=True).ok


def test_an_end_that_the_first_one_chose_after_the_second_looked_names_the_first(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y", KEPT)
    member(scene, "mia")
    row = scene.row("ada")
    seen = load_terms_reader(scene.workspace).read_terms([row], scene.clock.now())[row.id]
    accept(scene, "mia", "30d")
    author = RunAuthor(account="id-owner")
    sender = DecisionSender(scene.store, scene.hub, scene.clock, scene.zone, "owner", scene.approvals, author)
    target = DecisionTarget(scene.repos[0], Target(username="ada"), end=end_of_terms(seen))
    assert sender.decide([target], Choice(Status.ACCEPTED), run_id="r_9").outcomes[0].kind is OutcomeKind.DONE
    assert days_and_terms(scene) == (30, RULE, 1)
    assert how_the_end_was_set(scene) == ("approved", "(as mia approved)")


@pytest.mark.parametrize("is_bulk", [True, False])
def test_a_second_acceptance_by_the_same_person_keeps_the_earlier_end_that_they_chose(
    scene: GrantWorkspace, is_bulk: bool
) -> None:
    ask(scene, TWO, "until: 1y")
    mia = member(scene, "mia")
    accept(scene, "mia", "30d")
    if is_bulk:
        reader, now = load_terms_reader(scene.workspace), scene.clock.now()
        ends = BulkEnds(read=lambda rows: reader.read_terms(rows, now), now=now)
        author = RunAuthor(member=mia.id, account=mia.account_id)
        decision = BulkDecision("r_9", "mia", "accepted", None, 1, author, ends)
        scene.execute(create_bulk_run(scene.store, decision, [[scene.row("ada").id]], now))
    else:
        assert accept(scene, "mia").why.startswith("approval 1 of 2: your approval counts once")
    assert accept(scene, "owner").kind is OutcomeKind.DONE
    assert days_and_terms(scene)[0] == 30


def test_no_end_of_the_rule_and_an_end_that_the_first_one_chose_gives_that_end(scene: GrantWorkspace) -> None:
    ask(scene, TWO)
    member(scene, "mia")
    accept(scene, "mia", "30d")
    assert accept(scene, "owner").kind is OutcomeKind.DONE
    assert days_and_terms(scene)[0] == 30
    assert how_the_end_was_set(scene) == ("approved", "(as mia approved)")


@pytest.mark.parametrize("days", [900, 1200])
def test_the_earlier_end_of_one_approver_is_not_lengthened_by_the_table_of_the_rule(
    scene: GrantWorkspace, days: int
) -> None:
    ask(scene, TWO, "until: tables.dua.expires")
    member(scene, "mia")
    accept(scene, "mia", "200d")
    assert accept(scene, "owner").kind is OutcomeKind.DONE
    scene.set_rows({"ada": days, "bo": 900})
    scene.turn()
    assert days_and_terms(scene)[0] == 200
    scene.set_rows({"ada": 100, "bo": 900})
    scene.turn()
    assert days_and_terms(scene)[0] in (100, 101), "an earlier date of the table counts"


def test_a_later_end_that_the_second_approver_chose_is_refused_and_the_end_of_the_rule_gives_way(
    scene: GrantWorkspace,
) -> None:
    ask(scene, TWO, "until: 2y")
    member(scene, "mia")
    accept(scene, "mia", "1y")
    assert accept(scene, "owner", "2y").kind is OutcomeKind.REFUSED, "a later end that a person chose is refused"
    assert accept(scene, "owner").kind is OutcomeKind.DONE
    assert days_and_terms(scene)[0] == 365


def test_an_approver_can_approve_another_end_instead(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y")
    member(scene, "mia")
    accept(scene, "mia")
    assert accept(scene, "mia", "2y").why.startswith("approval 1 of 2: your approval counts once")
    assert accept(scene, "owner", "2y").kind is OutcomeKind.DONE


def test_a_chosen_end_within_a_date_of_a_table_still_follows_the_table(scene: GrantWorkspace) -> None:
    ask(scene, "until: tables.dua.expires")
    assert accept(scene, "owner", "200d").kind is OutcomeKind.DONE
    assert days_and_terms(scene)[:2] == (200, RULE)
    scene.set_rows({"ada": 1200, "bo": 900})
    scene.turn()
    assert days_and_terms(scene)[0] == 200, "the end that the person chose is the earlier one"
    scene.set_rows({"ada": 100, "bo": 900})
    scene.turn()
    assert days_and_terms(scene)[0] in (100, 101)


def test_one_person_can_lengthen_where_one_accepts_and_the_condition_stays(scene: GrantWorkspace) -> None:
    ask(scene, "until: 1y", KEPT)
    assert accept(scene, "owner", "2y").kind is OutcomeKind.DONE
    assert days_and_terms(scene)[1:] == (RULE, 1)
    assert scene.days_left("ada") == pytest.approx(730, abs=1.01)


def test_an_approval_with_a_condition_is_none_for_access_without_it(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y", KEPT)
    member(scene, "mia")
    accept(scene, "mia", "2y")
    scene.set_rows({"ada": -1, "bo": 900})
    refused = accept(scene, "owner", "30d")
    assert (refused.kind, scene.status_on_hub("ada")) == (OutcomeKind.REFUSED, "pending")
    assert "mia approved access for 2y, under a condition, and this is access for 30d" in refused.why


def tray_of(scene: GrantWorkspace, held_by: Member, until: str = LATE) -> TrayService:
    membership = Membership(scene.workspace, "owner", "id-owner")
    service = TrayService(scene.workspace, membership, load_terms_reader(scene.workspace))
    row = scene.row("ada")
    request = DecisionRequest("accept", {row.id: row.version.token}, held_by, until=until)
    assert service.queue_decisions(request, scene.clock.now(), 0).count == 1
    return service


def test_a_second_approver_in_the_desk_cannot_lengthen_it_either(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y", KEPT)
    mia = member(scene, "mia")
    accept(scene, "owner")
    tray_of(scene, mia).send_due(scene.clock.now())
    item = find_latest_decisions(scene.workspace.store, [scene.row("ada").id])[scene.row("ada").id]
    assert item.outcome == OutcomeKind.REFUSED
    assert scene.status_on_hub("ada") == "pending"


def test_no_end_in_the_desk_does_not_outlast_the_end_that_another_person_approved(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y")
    mia = member(scene, "mia")
    accept(scene, "owner", "90d")
    tray_of(scene, mia, "none").send_due(scene.clock.now())
    item = find_latest_decisions(scene.workspace.store, [scene.row("ada").id])[scene.row("ada").id]
    assert item.outcome == OutcomeKind.REFUSED
    now = scene.clock.now()
    author = RunAuthor(member=mia.id, account=mia.account_id)
    reader = load_terms_reader(scene.workspace)
    ends = BulkEnds(chosen="none", for_all=True, read=lambda rows: reader.read_terms(rows, now), now=now)
    decision = BulkDecision("r_none", "mia", "accepted", None, 1, author, ends)
    scene.execute(create_bulk_run(scene.store, decision, [[scene.row("ada").id]], now))
    assert scene.status_on_hub("ada") == "pending"


def test_a_selection_cannot_lengthen_it_either_and_keeps_the_terms_of_the_rule(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y", KEPT)
    mia = member(scene, "mia")
    accept(scene, "owner")
    reader = load_terms_reader(scene.workspace)
    for until, status in ((LATE, "pending"), ("60d", "accepted")):
        now = scene.clock.now()
        ends = BulkEnds(chosen=until, for_all=True, read=lambda rows: reader.read_terms(rows, now), now=now)  # noqa: B023
        author = RunAuthor(member=mia.id, account=mia.account_id)
        decision = BulkDecision(f"r_{until}", "mia", "accepted", None, 1, author, ends)
        scene.execute(create_bulk_run(scene.store, decision, [[scene.row("ada").id]], now))
        assert scene.status_on_hub("ada") == status
    assert days_and_terms(scene) == (60, RULE, 1)


# ---- access that people have -----------------------------------------------------------------------------------------


@pytest.fixture
def granted(scene: GrantWorkspace) -> GrantWorkspace:
    """Two people accepted ada for a year, under a condition."""
    ask(scene, TWO, "until: 1y", KEPT)
    member(scene, "mia")
    accept(scene, "mia")
    accept(scene, "owner")
    assert days_and_terms(scene) == (365, RULE, 1)
    return scene


OWNER, MIA = (Approver(name, None, f"id-{name}") for name in ("owner", "mia"))
NOBODY = Approver("local:eve", None, None)


@pytest.mark.parametrize("until", [LATE, None])
def test_one_person_cannot_lengthen_or_drop_an_end_that_two_people_gave(
    granted: GrantWorkspace, until: str | None
) -> None:
    (held,) = granted.change_end("ada", until, NOBODY)
    assert held.kind is OutcomeKind.REFUSED
    assert "your Hub account is unknown" in held.why
    for _ in range(2):
        (held,) = granted.change_end("ada", until, OWNER)
        assert held.kind is OutcomeKind.DEFERRED
    assert days_and_terms(granted) == (365, RULE, 1)


def test_two_people_together_lengthen_an_end_and_the_terms_of_the_rule_stay(granted: GrantWorkspace) -> None:
    granted.change_end("ada", "2y", OWNER)
    (held,) = granted.change_end("ada", "3y", MIA)
    two, three = (str(granted.now.year + years) for years in (2, 3))
    assert re.search(
        f"owner approved access until .* {two}, under a condition, and this is access until .* {three}", held.why
    )
    assert granted.change_end("ada", "2y", MIA) == []
    assert days_and_terms(granted)[1:] == (RULE, 1)
    assert granted.days_left("ada") == pytest.approx(730, abs=1.01)
    (held,) = granted.change_end("ada", "4y", MIA)
    assert held.why == "approval 1 of 2", "approvals count for one change"
    assert verify_ledger(granted.store, with_tables=True).ok


def test_one_person_shortens_an_end_alone_and_does_not_begin_a_grace_again(granted: GrantWorkspace) -> None:
    assert granted.change_end("ada", "90d", NOBODY) == []
    assert days_and_terms(granted) == (90, RULE, 1)
    (held,) = granted.change_end("ada", "200d", OWNER)
    assert held.why == "approval 1 of 2"


@pytest.mark.parametrize("shortens", [MIA, OWNER, NOBODY])
def test_an_approval_of_a_longer_end_does_not_outlive_an_earlier_end(
    granted: GrantWorkspace, shortens: Approver
) -> None:
    granted.change_end("ada", "2y", MIA)
    assert granted.change_end("ada", "30d", shortens) == []
    (held,) = granted.change_end("ada", "2y", OWNER)
    assert held.why == "approval 1 of 2"
    assert days_and_terms(granted) == (30, RULE, 1)


def test_an_approval_of_a_longer_end_does_not_outlive_an_earlier_date_of_the_table(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: tables.dua.expires")
    member(scene, "mia")
    accept(scene, "mia")
    accept(scene, "owner")
    scene.change_end("ada", "2028-12-31", MIA)
    scene.change_end("ada", LATE, MIA)
    scene.set_rows({"ada": 60, "bo": 900})
    scene.turn()
    (held,) = scene.change_end("ada", LATE, OWNER)
    assert held.why == "approval 1 of 2"
    assert days_and_terms(scene)[0] in (60, 61)


def test_a_second_approver_cannot_begin_an_approved_length_later(granted: GrantWorkspace) -> None:
    granted.change_end("ada", "400d", MIA)
    granted.wait(200)
    (held,) = granted.change_end("ada", "400d", OWNER)
    assert held.kind is OutcomeKind.REFUSED
    assert "mia approved access until " in held.why
    assert granted.change_end("ada", "199d", OWNER) == []
    assert days_and_terms(granted) == (199, RULE, 1)


def test_one_person_cannot_drop_a_condition_by_a_renewal(granted: GrantWorkspace) -> None:
    granted.set_policy(policy(TWO, "until: 200d"))
    row, now = granted.row("ada"), granted.clock.now()
    terms = load_terms_reader(granted.workspace).read_terms([row], now)[row.id]
    change = renew_by_rules(row, terms, now, granted.zone)
    (held,) = EndChanger(granted.approvals, OWNER).record([change], to_ms(now))
    assert held.why == "approval 1 of 2"
    assert days_and_terms(granted) == (365, RULE, 1)
    assert EndChanger(granted.approvals, MIA).record([change], to_ms(now)) == []
    assert days_and_terms(granted) == (200, RULE, 0)


def test_a_revoked_member_does_not_lengthen_an_end(granted: GrantWorkspace) -> None:
    granted.change_end("ada", "2y", MIA)
    mia = find_member(granted.store, "mia")
    assert mia is not None
    remove_member(granted.store, mia, "owner", 3)
    (held,) = granted.change_end("ada", "2y", OWNER)
    assert held.why == "approval 1 of 2"
    (held,) = granted.change_end("ada", "2y", MIA)
    assert held.kind is OutcomeKind.REFUSED


def test_an_acceptance_of_somebody_who_has_access_lengthens_no_end_alone(granted: GrantWorkspace) -> None:
    again = accept(granted, "owner", LATE)
    assert (again.kind, again.why) == (
        OutcomeKind.DEFERRED,
        "approval 1 of 2; the person has access already, so this is about its end",
    )
    assert days_and_terms(granted) == (365, RULE, 1)


def test_a_grace_that_has_begun_does_not_begin_again_by_another_end(scene: GrantWorkspace) -> None:
    ask(scene, TWO, "until: 1y", KEPT, "grace: 10d")
    member(scene, "mia")
    accept(scene, "mia")
    accept(scene, "owner")
    scene.set_rows({"ada": -1, "bo": 900})
    scene.turn()
    assert days_and_terms(scene)[0] == 10
    scene.wait(5)
    scene.change_end("ada", "300d", OWNER)
    scene.turn()
    assert days_and_terms(scene)[0] == 5
