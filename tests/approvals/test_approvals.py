"""Two people approve a request before the Hub hears of it: who counts, when approvals lapse, and that nothing gets round them."""

from __future__ import annotations

import shutil

import pytest

from hf_gate.approvals.service.approval_alarms import close_alarm, list_open_alarms
from hf_gate.approvals.service.approvals import as_approver
from hf_gate.approvals.service.quorum_rules import SinglePersonRules, read_quorum_rules
from hf_gate.automation.service.health import list_problems
from hf_gate.automation.service.turn_permissions import promote
from hf_gate.core.events import events as e
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.approvals import Approver, PolicyAuthor, why_not_counted
from hf_gate.core.people.members import Member, MemberRole, RunAuthor
from hf_gate.decisions.service.direct_decisions import Choice
from hf_gate.decisions.service.tray import withdraw_approval
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.members.rows.members import remove_member
from hf_gate.verdicts.rows.policy_authors import write_policy_author, write_promoted_policies
from tests.kits.approvals import (
    LATER,
    OWNER,
    REJECT,
    TWO_REVIEWERS,
    author_of,
    create_member,
    decide_as,
    list_alarms,
    use_policy,
)
from tests.kits.approvals import two_people as scene
from tests.kits.members import store_member
from tests.kits.workspaces import POLICY, HubWorkspace, write_workspace

__all__ = ["scene"]


def accepts(scene: HubWorkspace) -> int:
    """How many people the Hub has let in."""
    return sum(scene.status_on_hub(name) == "accepted" for name in ("ada", "bo"))


def test_the_first_approval_is_recorded_and_the_second_is_sent(scene: HubWorkspace) -> None:
    mia = create_member(scene, "mia")
    first = decide_as(scene, author_of(mia))
    assert (first.kind, first.why) == (OutcomeKind.DEFERRED, "approval 1 of 2")
    assert scene.status_on_hub("ada") == "pending"
    second = decide_as(scene, OWNER)
    assert second.kind is OutcomeKind.DONE
    assert scene.status_on_hub("ada") == "accepted"
    assert verify_ledger(scene.store, with_tables=True).broken == []


def test_one_person_counts_once_however_often_they_approve(scene: HubWorkspace) -> None:
    mia = create_member(scene, "mia")
    decide_as(scene, author_of(mia))
    again = decide_as(scene, author_of(mia))
    assert again.kind is OutcomeKind.DEFERRED
    assert again.why.startswith("approval 1 of 2: your approval counts once")
    at_the_terminal = decide_as(scene, RunAuthor(account="id-mia"))
    assert at_the_terminal.kind is OutcomeKind.DEFERRED
    assert accepts(scene) == 0


@pytest.mark.parametrize("by", [RunAuthor(), RunAuthor(account="id-stranger")])
def test_an_account_that_is_unknown_or_not_a_members_does_not_count(scene: HubWorkspace, by: RunAuthor) -> None:
    assert decide_as(scene, by).kind is OutcomeKind.REFUSED
    decide_as(scene, OWNER)
    assert decide_as(scene, by).kind is OutcomeKind.REFUSED
    assert accepts(scene) == 0


def test_a_viewer_does_not_count(scene: HubWorkspace) -> None:
    decide_as(scene, OWNER)
    kim = create_member(scene, "kim", role=MemberRole.VIEWER)
    refused = decide_as(scene, author_of(kim))
    assert refused.kind is OutcomeKind.REFUSED
    assert "your Hub account is no member who may decide here" in refused.why
    assert accepts(scene) == 0


def test_the_requester_does_not_count(scene: HubWorkspace) -> None:
    ident = scene.row("ada").person.identity.user_id
    made = store_member(scene.store, "adas-desk-name", MemberRole.ADMIN, user_id=str(ident), account="ada")
    decide_as(scene, OWNER)
    refused = decide_as(scene, RunAuthor(member=made.id, account=ident), actor="adas-desk-name")
    assert refused.kind is OutcomeKind.REFUSED
    assert "your own request" in refused.why
    assert scene.status_on_hub("ada") == "pending"


def test_a_requester_who_takes_the_name_of_a_member_does_not_block_the_approval(scene: HubWorkspace) -> None:
    made = store_member(scene.store, "ada", MemberRole.ADMIN, user_id="id-of-the-member", account="ada-in-truth")
    first = decide_as(scene, RunAuthor(member=made.id, account="id-of-the-member"), actor="ada")
    assert (first.kind, first.why) == (OutcomeKind.DEFERRED, "approval 1 of 2")
    assert why_not_counted(Approver("ada", made.id, "id-of-the-member"), ("Ada", None), [], None), "the id is hidden"


def test_whoever_promoted_this_version_does_not_count(scene: HubWorkspace) -> None:
    mia, kim = create_member(scene, "mia"), create_member(scene, "kim")
    (policy,) = scene.bundle.policies
    with scene.store.writing() as write:
        write_policy_author(write, PolicyAuthor(policy.digest, "mia", mia.id, mia.account_id))
    assert "you alone promoted" in decide_as(scene, author_of(mia)).why
    assert decide_as(scene, author_of(kim)).kind is OutcomeKind.DEFERRED
    assert decide_as(scene, author_of(mia)).kind is OutcomeKind.REFUSED
    assert decide_as(scene, OWNER).kind is OutcomeKind.DONE


def test_an_author_of_the_version_stays_one_after_another_promotion_under_the_same_name(scene: HubWorkspace) -> None:
    mia = create_member(scene, "mia")
    (policy,) = scene.bundle.policies
    for by in (author_of(mia), RunAuthor(), RunAuthor(account="id-of-another-mia")):
        promote(scene.workspace, scene.bundle.policies, policy, "mia", by)
    assert "you alone promoted" in decide_as(scene, author_of(mia)).why
    assert "you alone promoted" in decide_as(scene, RunAuthor(account="id-of-another-mia")).why


def test_a_request_that_was_made_again_has_no_approvals(scene: HubWorkspace) -> None:
    mia = create_member(scene, "mia")
    decide_as(scene, author_of(mia))
    scene.local_hub.withdraw("ada", scene.repos[0])
    scene.ask(["ada"])
    scene.sync()
    assert decide_as(scene, OWNER).why == "approval 1 of 2"
    assert scene.status_on_hub("ada") == "pending"


def test_changed_rules_end_the_approvals_and_other_changes_do_not(scene: HubWorkspace) -> None:
    mia, kim = create_member(scene, "mia"), create_member(scene, "kim")
    decide_as(scene, author_of(mia))
    use_policy(scene, TWO_REVIEWERS.replace("Please ask again.", "Please ask once more."))
    assert decide_as(scene, author_of(mia)).why.startswith("approval 1 of 2: your approval")
    use_policy(scene, TWO_REVIEWERS.replace("reviewers: 2", "reviewers: 2\n    until: 30d"))
    assert decide_as(scene, author_of(kim)).why == "approval 1 of 2"
    assert scene.status_on_hub("ada") == "pending"


def test_a_removed_member_does_not_count_any_more(scene: HubWorkspace) -> None:
    mia = create_member(scene, "mia")
    decide_as(scene, author_of(mia))
    remove_member(scene.store, mia, "owner", LATER)
    assert decide_as(scene, OWNER).why == "approval 1 of 2"
    assert accepts(scene) == 0


def test_an_approval_can_be_taken_back_until_it_is_sent(scene: HubWorkspace) -> None:
    mia = create_member(scene, "mia")
    decide_as(scene, author_of(mia))
    withdraw_approval(scene.workspace, scene.row("ada"), as_approver(mia))
    assert decide_as(scene, OWNER).why == "approval 1 of 2"
    assert verify_ledger(scene.store, with_tables=True).broken == []


def test_one_person_is_enough_to_reject(scene: HubWorkspace) -> None:
    decide_as(scene, OWNER)
    assert decide_as(scene, author_of(create_member(scene, "mia")), choice=REJECT).kind is OutcomeKind.DONE
    assert scene.status_on_hub("ada") == "rejected"


@pytest.mark.parametrize("key", [r"\x72eviewers", r"\u0072eviewers", r"\U00000072eviewers", "review\\\n      ers"])
def test_a_policy_that_spells_reviewers_with_escapes_asks_for_two_people(scene: HubWorkspace, key: str) -> None:
    line = f'? "{key}"\n    : 2' if "\n" in key else f'"{key}": 2'
    use_policy(scene, TWO_REVIEWERS.replace("reviewers: 2", line))
    first = decide_as(scene, OWNER)
    assert (first.kind, first.why) == (OutcomeKind.DEFERRED, "approval 1 of 2")


@pytest.mark.parametrize(
    ("line", "can_ask"),
    [
        ("# reviewers: 2", False),
        ("\t # for our reviewers", False),
        ("reviewers: 2 # both", True),
        ("# both\u0085reviewers: 2", True),
        ("# both\u2028reviewers: 2", True),
        ("# both\rreviewers: 2", True),
        ('reason: "see\n  # 4", reviewers: 2', True),  # the second line ends a text that began on the first
        ("reason: 'see\n  # 4', reviewers: 2", True),
    ],
)
def test_a_file_that_names_reviewers_in_comments_alone_does_not_ask_for_two_people(
    scene: HubWorkspace, line: str, *, can_ask: bool
) -> None:
    with scene.store.writing() as write:
        write_promoted_policies(write, {})
    write_workspace(scene.folder, f"version: [\n{line}\n")  # such a file would block every acceptance, if it could ask
    assert isinstance(read_quorum_rules(scene.workspace), SinglePersonRules) is not can_ask


def test_somebody_whom_no_accept_rule_covers_needs_two_people_too(scene: HubWorkspace) -> None:
    scene.ask({"cy": "nothing of the kind"})
    scene.sync()
    assert decide_as(scene, OWNER, "cy").why == "approval 1 of 2"


def test_an_accept_rule_with_one_reviewer_that_holds_needs_one_person(scene: HubWorkspace) -> None:
    scene.ask({"cy": "while"})
    scene.sync()
    assert decide_as(scene, OWNER, "cy").kind is OutcomeKind.DONE


def test_a_grant_without_a_request_is_refused_where_two_people_are_needed(scene: HubWorkspace) -> None:
    scene.local_hub.add_people("dee")
    refused = decide_as(scene, OWNER, "dee", Choice(Status.ACCEPTED, is_grant=True))
    assert refused.kind is OutcomeKind.REFUSED
    assert scene.status_on_hub("dee") is None


def test_while_the_policies_cannot_be_read_nobody_is_accepted(scene: HubWorkspace) -> None:
    decide_as(scene, author_of(create_member(scene, "mia")))
    write_workspace(scene.folder, "version: 1\npolicy: [")
    held = decide_as(scene, OWNER)
    assert held.kind is OutcomeKind.REFUSED
    assert "cannot be read" in held.why
    assert decide_as(scene, OWNER, choice=REJECT).kind is OutcomeKind.DONE


@pytest.mark.parametrize("loss", ["folder", "link", "name"])
def test_while_a_policy_that_asks_for_two_people_is_missing_nobody_is_accepted(scene: HubWorkspace, loss: str) -> None:
    decide_as(scene, OWNER)
    list_alarms(scene)
    file = scene.folder / "policies" / "wishes.yaml"
    if loss == "folder":
        shutil.rmtree(file.parent)
    elif loss == "link":
        file.unlink()
        file.symlink_to(scene.folder / "nowhere")
    else:
        file.rename(file.with_suffix(".yml"))
    for who in ("ada", "bo"):
        held = decide_as(scene, OWNER, who)
        assert held.kind is OutcomeKind.REFUSED
        assert "cannot be found" in held.why
    assert accepts(scene) == 0
    assert decide_as(scene, OWNER, "bo", REJECT).kind is OutcomeKind.DONE
    scene.decide("ada", "accepted")
    scene.sync()
    assert list_alarms(scene) == [("ada", 1, 2)], "the version that was promoted asks for two"
    file.unlink(missing_ok=True)
    use_policy(scene, TWO_REVIEWERS)
    assert list_alarms(scene) == [("ada", 1, 2)]


def test_a_policy_in_shadow_mode_asks_for_two_people_no_more_and_may_then_go(scene: HubWorkspace) -> None:
    list_alarms(scene)
    use_policy(scene, TWO_REVIEWERS.replace("mode: enforce", "mode: shadow"))
    list_alarms(scene)
    shutil.rmtree(scene.folder / "policies")
    assert decide_as(scene, OWNER).kind is OutcomeKind.DONE


def test_a_turn_sends_nothing_before_the_second_approval(scene: HubWorkspace) -> None:
    decide_as(scene, OWNER)
    scene.turn()
    assert accepts(scene) == 0


def test_what_needs_two_people_is_recorded_as_a_persons_to_decide(scene: HubWorkspace) -> None:
    scene.turn()
    verdict = scene.row("ada").state.verdict
    assert verdict is not None
    assert (verdict[0], verdict[2]) == ("human", "welcome")


def test_a_turn_sends_what_was_approved_by_two_people_and_not_sent(scene: HubWorkspace) -> None:
    decide_as(scene, author_of(create_member(scene, "mia")))
    scene.local_hub.set_faults(["fail_before:status=503:on=batch|handle"])
    assert decide_as(scene, OWNER).kind is not OutcomeKind.DONE
    scene.local_hub.set_faults([])
    assert accepts(scene) == 0
    scene.turn()
    assert (scene.status_on_hub("ada"), scene.status_on_hub("bo")) == ("accepted", "pending")


def test_a_forged_approval_is_found_by_the_verification(scene: HubWorkspace) -> None:
    decide_as(scene, author_of(create_member(scene, "mia")))
    with scene.store.writing() as write:
        write.db.run("UPDATE approvals SET account = 'id-forged'")
    assert any("id-forged" in one.what for one in verify_ledger(scene.store, with_tables=True).broken)


# ---- acceptances outside -------------------------------------------------------------------------------------------------


def test_an_acceptance_on_the_hubs_page_without_approvals_raises_an_alarm_until_it_is_acknowledged(
    scene: HubWorkspace,
) -> None:
    assert list_alarms(scene) == []
    decide_as(scene, author_of(create_member(scene, "mia")))
    scene.decide("ada", "accepted")
    scene.sync()
    assert list_alarms(scene) == [("ada", 1, 2)]
    assert list_alarms(scene) == [("ada", 1, 2)], "checking again adds nothing"
    kinds = [one.link.kind for one in scene.store.entries(request=scene.row("ada").id)]
    assert kinds.count("ApprovalMissing") == 1
    close_alarm(scene.workspace, scene.row("ada"), Member(name="owner", role=MemberRole.ADMIN))
    assert list_alarms(scene) == []
    assert verify_ledger(scene.store, with_tables=True).broken == []


def test_an_alarm_ends_when_the_person_is_sent_back(scene: HubWorkspace) -> None:
    list_alarms(scene)
    scene.decide("ada", "accepted")
    scene.sync()
    assert list_alarms(scene) == [("ada", 0, 2)]
    assert decide_as(scene, OWNER, choice=REJECT).kind is OutcomeKind.DONE
    assert list_alarms(scene) == []


def test_our_own_acceptance_with_two_approvals_raises_no_alarm(scene: HubWorkspace) -> None:
    list_alarms(scene)
    decide_as(scene, author_of(create_member(scene, "mia")))
    decide_as(scene, OWNER)
    scene.sync()
    assert list_alarms(scene) == []


def test_somebody_accepted_outside_between_two_syncs_raises_an_alarm(scene: HubWorkspace) -> None:
    list_alarms(scene)
    scene.ask(["zoe"])
    scene.decide("zoe", "accepted")
    scene.sync()
    assert list_alarms(scene) == [("zoe", 0, 2)]


def test_an_open_alarm_is_stuck(scene: HubWorkspace) -> None:
    list_alarms(scene)
    scene.decide("ada", "accepted")
    scene.sync()
    assert list_alarms(scene) == [("ada", 0, 2)]
    stuck = [one.sentence for one in list_problems(scene.workspace)]
    assert [each.partition(", at ")[0] for each in stuck] == [
        "1 person was accepted outside hf-gate without enough approvals"
    ]


def list_settled(scene: HubWorkspace) -> list[tuple[str, str]]:
    """The outcomes of ada's changes, the latest first."""
    events = [e.decode_event(one.link.body) for one in scene.store.entries(request=scene.row("ada").id)]
    return [(one.kind, one.how) for one in events if isinstance(one, e.ChangeSettled)]


def test_an_acceptance_outside_that_our_own_run_finds_raises_an_alarm(scene: HubWorkspace) -> None:
    use_policy(scene, POLICY)
    run = scene.approve(scene.plan())
    use_policy(scene, TWO_REVIEWERS)
    list_alarms(scene)
    scene.decide("ada", "accepted")
    scene.execute(run)
    assert list_settled(scene) == [("already", "read")]
    scene.sync()
    assert list_alarms(scene) == [("ada", 0, 2)]
    close_alarm(scene.workspace, scene.row("ada"), Member(name="owner", role=MemberRole.ADMIN))
    assert decide_as(scene, OWNER).kind is OutcomeKind.ALREADY
    assert list_alarms(scene) == [], "the person was known to be accepted"


def test_an_acceptance_outside_that_a_later_read_takes_for_ours_raises_an_alarm(scene: HubWorkspace) -> None:
    use_policy(scene, POLICY)
    run = scene.approve(scene.plan())
    scene.die_while_sending(run)
    use_policy(scene, TWO_REVIEWERS)
    list_alarms(scene)
    scene.decide("ada", "accepted")
    scene.execute(scene.reload(run))
    assert list_settled(scene)[0] == ("done", "read")
    scene.sync()
    assert ("ada", 0, 2) in list_alarms(scene)


def test_accepting_again_somebody_from_before_the_policy_raises_no_alarm(scene: HubWorkspace) -> None:
    use_policy(scene, POLICY)
    decide_as(scene, OWNER)
    use_policy(scene, TWO_REVIEWERS)
    list_alarms(scene)
    assert decide_as(scene, OWNER).kind is OutcomeKind.ALREADY
    assert list_alarms(scene) == []


def test_acceptances_from_before_the_policy_raise_no_alarm(scene: HubWorkspace) -> None:
    use_policy(scene, POLICY)
    assert list_alarms(scene) == []
    scene.decide("ada", "accepted")
    scene.sync()
    use_policy(scene, TWO_REVIEWERS)
    assert list_alarms(scene) == []


def test_a_turn_raises_the_alarm(scene: HubWorkspace) -> None:
    scene.turn()
    scene.decide("ada", "accepted")
    scene.sync()
    scene.turn()
    assert [row.person.identity.username for _, row in list_open_alarms(scene.store)] == ["ada"]
