"""Policy files other than those promoted last accept nobody where two people approve; to ask for fewer takes two."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_gate.automation.service.turn_permissions import is_promoted, promote
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.approvals import PROMOTED_SETTING
from hf_gate.core.people.members import Member, MemberRole, RunAuthor
from hf_gate.errors import NotAllowed
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.members.rows.members import admit_member
from hf_gate.settings import setting_keys
from hf_gate.verdicts.service.policy_bundle import load_policies
from tests.kits.approvals import OWNER, REJECT, TWO_REVIEWERS, author_of, create_member, decide_as, use_policy
from tests.kits.in_process_hub import InProcessHub
from tests.kits.stores import ON_BOTH
from tests.kits.stores import empty_place as place
from tests.kits.workspaces import POLICY, HubWorkspace, PlacedScene, write_workspace

__all__ = ["place"]
pytestmark = ON_BOTH
OTHER = POLICY.replace("policy: wishes", "policy: other")
WIDER = TWO_REVIEWERS.replace('form[k] == "while"', 'form[k] != ""')
THIRD = RunAuthor(account="id-third")


@pytest.fixture
def scene(place: str, tmp_path: Path) -> Iterator[HubWorkspace]:
    """A workspace whose promoted policy asks for two people; ada and bo have asked."""
    made: HubWorkspace = type("Placed", (PlacedScene,), {"place": place})(tmp_path, InProcessHub(repos=2))
    with made.store.writing() as write:
        write.write_setting(setting_keys.OWNER, json.dumps({"name": "owner", "user_id": "id-owner"}))
    made.ask(["ada", "bo"])
    made.sync()
    use_policy(made, TWO_REVIEWERS)
    yield made
    made.close()


def write_files(scene: HubWorkspace, policy: str) -> None:
    """A process has other files: an older copy, or one that somebody changed."""
    write_workspace(scene.folder, policy)
    scene.join()


def promote_as(scene: HubWorkspace, by: RunAuthor) -> str:
    policies = load_policies(scene.workspace).policies
    return "".join(promote(scene.workspace, policies, policy, str(by.account), by) for policy in policies)


def rename(scene: HubWorkspace) -> None:
    write_files(scene, OTHER)


def delete(scene: HubWorkspace) -> None:
    write_files(scene, OTHER)
    (scene.folder / "policies" / "wishes.yaml").unlink()


def add_policy(scene: HubWorkspace) -> None:
    (scene.folder / "policies" / "other.yaml").write_text(OTHER)


def change_to(policy: str) -> Callable[[HubWorkspace], None]:
    return lambda scene: write_files(scene, policy)


FEWER = {
    "one reviewer": change_to(POLICY),
    "shadow mode": change_to(TWO_REVIEWERS.replace("mode: enforce", "mode: shadow")),
    "other repos": change_to(TWO_REVIEWERS.replace('["*/*", "datasets/*/*"]', '["acme/none"]')),
    "a wider rule for one person before it": change_to(WIDER),
    "another name": rename,
    "a deleted file": delete,
    "a deleted folder": lambda scene: shutil.rmtree(scene.folder / "policies"),
    "a second policy": add_policy,
}


@pytest.mark.parametrize("change", FEWER.values(), ids=FEWER)
def test_files_that_ask_for_fewer_people_accept_nobody(
    scene: HubWorkspace, change: Callable[[HubWorkspace], None]
) -> None:
    change(scene)
    mia = create_member(scene, "mia")
    for by in (OWNER, author_of(mia)):
        held = decide_as(scene, by)
        assert held.kind is OutcomeKind.REFUSED
        assert "hf-gate policy promote" in held.why or "put the file back" in held.why
    scene.turn()
    assert scene.status_on_hub("ada") == "pending"
    assert decide_as(scene, OWNER, "bo", REJECT).kind is OutcomeKind.DONE
    write_files(scene, TWO_REVIEWERS)
    (scene.folder / "policies" / "other.yaml").unlink(missing_ok=True)
    assert decide_as(scene, OWNER).why == "approval 1 of 2", "nothing was recorded under the other files"


def test_a_version_that_was_never_promoted_accepts_nobody(scene: HubWorkspace) -> None:
    write_files(scene, TWO_REVIEWERS.replace("Please ask again.", "Please ask once more."))
    held = decide_as(scene, OWNER)
    assert "this version of the policy wishes was not promoted" in held.why
    assert "hf-gate policy promote wishes" in held.why
    assert promote_as(scene, THIRD) == ""
    assert decide_as(scene, OWNER).why == "approval 1 of 2"


@pytest.mark.parametrize("policy", [POLICY, WIDER, TWO_REVIEWERS.replace("mode: enforce", "mode: shadow")])
def test_a_version_for_fewer_people_takes_two_promoters(scene: HubWorkspace, policy: str) -> None:
    mia = create_member(scene, "mia")
    write_files(scene, policy)
    for _ in range(2):
        assert "another member must run `hf-gate policy promote wishes`" in promote_as(scene, OWNER)
    assert not is_promoted(scene.store, scene.bundle.policies[0])
    assert decide_as(scene, OWNER).kind is OutcomeKind.REFUSED
    write_files(scene, TWO_REVIEWERS)
    assert decide_as(scene, OWNER).why == "approval 1 of 2", "until then the last promoted version counts"
    write_files(scene, policy)
    assert promote_as(scene, author_of(mia)) == ""
    assert is_promoted(scene.store, scene.bundle.policies[0])
    if policy is not WIDER:
        assert decide_as(scene, OWNER, "bo").kind is OutcomeKind.DONE
    write_files(scene, TWO_REVIEWERS)
    held = decide_as(scene, OWNER)
    assert "not promoted" in held.why, "an older copy of the files counts no more"
    assert verify_ledger(scene.store, with_tables=True).broken == []


def test_a_file_in_shadow_mode_that_two_promoted_may_be_deleted(scene: HubWorkspace) -> None:
    write_files(scene, TWO_REVIEWERS.replace("mode: enforce", "mode: shadow"))
    for by in (OWNER, author_of(create_member(scene, "mia"))):
        promote_as(scene, by)
    shutil.rmtree(scene.folder / "policies")
    assert decide_as(scene, OWNER).kind is OutcomeKind.DONE


def test_only_members_who_may_decide_there_let_one_person_accept(scene: HubWorkspace) -> None:
    viewer = create_member(scene, "vic", role=MemberRole.VIEWER)
    write_files(scene, POLICY)
    for by in (THIRD, author_of(viewer), RunAuthor()):
        with pytest.raises(NotAllowed, match="you are none of them"):
            promote_as(scene, by)
    assert "another member" in promote_as(scene, OWNER)


def test_repos_that_are_not_synced_yet_have_nobody_who_may_promote(scene: HubWorkspace) -> None:
    elsewhere = TWO_REVIEWERS.replace('["*/*", "datasets/*/*"]', "[acme/unread]")
    use_policy(scene, elsewhere)
    write_files(scene, elsewhere.replace("reviewers: 2", "reviewers: 2\n    until: 30d"))
    with pytest.raises(NotAllowed, match="none of its repos is synced yet"):
        promote_as(scene, OWNER)


def test_a_new_member_is_no_second_promoter_beside_whoever_added_them(scene: HubWorkspace) -> None:
    at = to_ms(scene.clock.now())
    second = Member(
        name="owner2",
        role=MemberRole.ADMIN,
        made_at=at,
        account="owner2",
        user_id="id-owner2",
        begun_at=at,
        begun_by="id-owner",
    )
    made = admit_member(scene.store, second, "owner", at)
    assert made is not None
    write_files(scene, POLICY)
    promote_as(scene, OWNER)
    assert "owner2 (member since 0 s, added by owner) and owner count as two people only" in promote_as(
        scene, author_of(made)
    )
    assert promote_as(scene, author_of(create_member(scene, "mia"))) == ""


def test_a_promotion_between_two_of_another_version_starts_anew(scene: HubWorkspace) -> None:
    mia = create_member(scene, "mia")
    write_files(scene, POLICY)
    promote_as(scene, OWNER)
    write_files(scene, WIDER)
    assert "another member" in promote_as(scene, author_of(mia))
    write_files(scene, POLICY)
    assert "another member" in promote_as(scene, author_of(mia)), "the owner promoted it before another version"


def test_a_policy_for_one_person_at_a_repo_for_two_takes_two_promoters(scene: HubWorkspace) -> None:
    (scene.folder / "policies" / "other.yaml").write_text(OTHER.replace('"*/*"', "lumen-labs/*"))
    assert "hf-gate policy promote other" in decide_as(scene, OWNER).why
    assert "another member must run `hf-gate policy promote other`" in promote_as(scene, OWNER)
    assert promote_as(scene, author_of(create_member(scene, "mia"))) == ""
    third = create_member(scene, "kim")
    assert decide_as(scene, author_of(third)).why == "approval 1 of 2"


INLINE = TWO_REVIEWERS.replace(
    "rules:", 'tables: {vip: ["@mit.edu"]}\nrules:\n  - {id: vip, when: tables.vip, then: accept}'
)
CHANGED = {
    "a row of an own table": (INLINE, INLINE.replace("@mit.edu", "@ethz.ch")),
    "the requests that it judges": (TWO_REVIEWERS, TWO_REVIEWERS.replace("rules:", "judges: [accepted]\nrules:")),
    "fewer days": (TWO_REVIEWERS, TWO_REVIEWERS.replace("reviewers: 2", "reviewers: 2\n    until: 30d")),
}


@pytest.mark.parametrize(("before", "after"), CHANGED.values(), ids=CHANGED)
def test_each_change_but_of_texts_takes_two_promoters(scene: HubWorkspace, before: str, after: str) -> None:
    use_policy(scene, before)
    write_files(scene, after)
    assert "another member must run `hf-gate policy promote wishes`" in promote_as(scene, OWNER)
    assert decide_as(scene, OWNER).kind is OutcomeKind.REFUSED


def test_two_members_who_promoted_a_version_are_two_approvers(scene: HubWorkspace) -> None:
    mia = create_member(scene, "mia")
    write_files(scene, TWO_REVIEWERS.replace("reviewers: 2", "reviewers: 2\n    until: 30d"))
    for by in (OWNER, author_of(mia)):
        promote_as(scene, by)
    assert decide_as(scene, OWNER).why == "approval 1 of 2"
    assert decide_as(scene, author_of(mia)).kind is OutcomeKind.DONE


def test_a_second_member_can_promote_an_active_version_so_that_both_count(scene: HubWorkspace) -> None:
    promote_as(scene, OWNER)
    assert "you alone promoted" in decide_as(scene, OWNER).why
    promote_as(scene, RunAuthor(account="id-stranger"))
    assert "you alone promoted" in decide_as(scene, OWNER).why, "a stranger is no second person"
    promote_as(scene, author_of(create_member(scene, "mia")))
    assert decide_as(scene, OWNER).why == "approval 1 of 2"


def test_an_author_stays_one_when_only_texts_change(scene: HubWorkspace) -> None:
    promote_as(scene, OWNER)
    write_files(scene, TWO_REVIEWERS.replace("Please ask again.", "Please ask once more."))
    assert promote_as(scene, RunAuthor(account="id-stranger")) == ""
    assert "you alone promoted" in decide_as(scene, OWNER).why


def test_another_policy_for_two_people_takes_two_promoters_to_decide_there(scene: HubWorkspace) -> None:
    first = TWO_REVIEWERS.replace('["*/*", "datasets/*/*"]', f"[{scene.repos[0]}]")
    other = first.replace(str(scene.repos[0]), str(scene.repos[1])).replace("policy: wishes", "policy: other")
    (scene.folder / "policies" / "other.yaml").write_text(other)
    use_policy(scene, first)
    (scene.folder / "policies" / "other.yaml").write_text(other.replace(str(scene.repos[1]), '"*/*"'))
    assert "another member must run `hf-gate policy promote other`" in promote_as(scene, OWNER)


def test_a_policy_that_was_gone_when_two_people_were_asked_for_does_not_come_back_alone(scene: HubWorkspace) -> None:
    with scene.store.writing() as write:
        write.write_setting(PROMOTED_SETTING, "{}")
    away = scene.folder / "away.yaml"
    write_files(scene, OTHER)
    assert promote_as(scene, THIRD) == ""
    (scene.folder / "policies" / "wishes.yaml").rename(away)
    write_files(scene, TWO_REVIEWERS)
    assert promote_as(scene, THIRD) == ""
    away.rename(scene.folder / "policies" / "other.yaml")
    assert "this version of the policy other was not promoted" in decide_as(scene, OWNER).why


def move_repo(scene: HubWorkspace) -> Repo:
    """The Hub has the repo of the policy under another name; its policies name only the old one."""
    old = scene.repos[0]
    hub_repo = scene.local_hub.app.world.find_repo(old)
    assert hub_repo is not None
    scene.local_hub.app.world.rename_repo(hub_repo, "moved")
    return hub_repo.repo


def test_a_repo_for_two_people_that_was_renamed_is_not_one_for_one_person(scene: HubWorkspace) -> None:
    use_policy(scene, TWO_REVIEWERS.replace('"*/*"', scene.repos[0].id))
    assert decide_as(scene, OWNER).why == "approval 1 of 2"
    old, new = scene.repos[0], move_repo(scene)
    scene.repos[0] = new
    unread = decide_as(scene, OWNER)
    assert (unread.kind, f"hf-gate sync {new}" in unread.why) == (OutcomeKind.REFUSED, True)
    scene.sync()
    for who in ("ada", "bo"):
        held = decide_as(scene, OWNER, who)
        assert held.kind is OutcomeKind.REFUSED
        assert f"two people decide at {old}" in held.why
    assert scene.status_on_hub("ada") == "pending"
    assert decide_as(scene, OWNER, "bo", REJECT).kind is OutcomeKind.DONE
    use_policy(scene, TWO_REVIEWERS.replace('"*/*"', new.id))
    assert decide_as(scene, OWNER).why == "approval 1 of 2"


def test_another_repo_that_got_the_old_name_does_not_free_the_renamed_one(scene: HubWorkspace) -> None:
    use_policy(scene, TWO_REVIEWERS.replace('"*/*"', scene.repos[0].id))
    old, new = scene.repos[0], move_repo(scene)
    world = scene.local_hub.app.world
    other = world.find_repo(scene.repos[1])
    assert other is not None
    world.remove_repo(other)
    other.repo = old
    world.add_repo(other)
    scene.sync()
    scene.repos[0] = new
    scene.sync()
    assert f"two people decide at {old}" in decide_as(scene, OWNER).why
    assert scene.status_on_hub("ada") == "pending"


def test_one_person_accepts_at_a_repo_of_which_no_policy_asks_for_two(scene: HubWorkspace) -> None:
    use_policy(scene, TWO_REVIEWERS.replace('"*/*"', scene.repos[1].id))
    assert decide_as(scene, OWNER).kind is OutcomeKind.DONE
