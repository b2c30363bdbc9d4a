"""A policy that was saved from the desk replaces exactly its file, and acts unattended only after it was promoted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import to_builtins

from hf_gate.automation.service.turn import turn_result_record
from hf_gate.automation.service.turn_permissions import is_promoted, promote
from hf_gate.core.events.events import PolicySaved, decode_event
from hf_gate.core.events.ledger import LedgerLink, chain_of
from hf_gate.errors import Guarded, HfGateError, Stale, UsageError
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.verdicts.drivers.policy_files import LOCK_NAME, digest_of_file
from hf_gate.verdicts.service.policy_saves import (
    PolicySave,
    read_active_holds,
    read_holds,
    read_workspace_holds,
    save_policy,
)
from tests.kits.in_process_hub import InProcessHub
from tests.kits.workspaces import POLICY, STRICT, WORKSPACE_FILE, HubWorkspace, write_workspace

FILE = "policies/wishes.yaml"
ALLOWED = WORKSPACE_FILE + "desk: {may_write_policies: true}\n"
OTHER = POLICY.replace("policy: wishes", "policy: other")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(repos=2))
    (tmp_path / "hf-gate.yaml").write_text(ALLOWED)
    yield made
    made.close()


def _save(scene: HubWorkspace, text: str, *, base: bytes | None = None, file: str = FILE) -> str:
    """Mia saves a text as the desk does it."""
    path = scene.folder / file
    seen = path.read_bytes() if base is None else base
    new = parse_policy(text, file).policy
    assert new is not None
    written = save_policy(scene.workspace, PolicySave(file, digest_of_file(seen), text, new), "mia", 7)
    scene.join()
    return written


def _saves(scene: HubWorkspace) -> list[tuple[LedgerLink, PolicySaved]]:
    """The entries of saves in the audit log."""
    found = [(link, decode_event(link.body)) for link in scene.store.links(chain_of(None))]
    return [(link, event) for link, event in found if isinstance(event, PolicySaved)]


def _write(scene: HubWorkspace, text: str) -> None:
    """The owner edits the file."""
    (scene.folder / FILE).write_text(text)
    scene.join()


def _promote(scene: HubWorkspace) -> None:
    promote(scene.store, scene.bundle.policies[0], "lena", 9)


# ---- acting --------------------------------------------------------------------------------------------------------------


def test_a_saved_version_acts_after_its_promotion_whatever_its_size(scene: HubWorkspace) -> None:
    _write(scene, STRICT)
    scene.ask(["ada"])
    scene.turn()
    assert scene.status_on_hub("ada") == "pending"
    _save(scene, POLICY)
    done = to_builtins(turn_result_record(scene.turn()))
    assert (done["run"], done["saved"], done["planned"], done["held"]) == (None, {"wishes": 1}, 1, {})
    assert scene.status_on_hub("ada") == "pending"
    (hold,) = read_workspace_holds(scene.workspace)
    assert hold.note == "Saved from the desk by mia; acts after `hf-gate policy promote wishes`."
    assert not is_promoted(scene.store, scene.bundle.policies[0])
    _promote(scene)
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"
    assert read_holds(scene.store) == {}
    scene.check_over()


def test_a_version_that_acted_before_is_held_too_when_the_desk_brings_it_back(scene: HubWorkspace) -> None:
    scene.ask(["ada"])
    scene.turn()
    _promote(scene)
    _save(scene, STRICT)
    _write(scene, POLICY.replace("welcome", "come-in"))
    scene.ask(["bo"])
    scene.turn()
    assert scene.status_on_hub("bo") == "pending"  # still what the desk saved, edited by hand
    _write(scene, POLICY)
    scene.turn()
    assert scene.status_on_hub("bo") == "accepted"  # as before the save


def test_saving_the_version_before_ends_the_hold(scene: HubWorkspace) -> None:
    _save(scene, STRICT)
    assert read_holds(scene.store)
    _save(scene, "# again\n" + POLICY)
    assert not read_holds(scene.store)
    scene.ask(["ada"])
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"


def test_a_comment_holds_nothing_and_a_later_edit_by_hand_acts(scene: HubWorkspace) -> None:
    _save(scene, "# why\n" + POLICY)
    assert not read_holds(scene.store)
    _write(scene, "# why\n" + POLICY.replace("welcome", "come-in"))
    scene.ask(["ada"])
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"


def test_repos_of_the_old_and_of_the_new_version_are_held_for_every_policy(scene: HubWorkspace) -> None:
    """What one policy leaves to another changes too when it stops to apply."""
    first, second = scene.repos
    narrow = STRICT.replace('["*/*", "datasets/*/*"]', f'["{second}"]')
    (scene.folder / "policies" / "other.yaml").write_text(OTHER)
    _write(scene, STRICT.replace('["*/*", "datasets/*/*"]', f'["{first}"]'))
    scene.ask(["ada"], first)
    scene.ask(["bo"], second)
    _save(scene, narrow)
    done = to_builtins(turn_result_record(scene.turn()))
    assert done["saved"] == {"wishes": 1}
    assert (scene.status_on_hub("ada", first), scene.status_on_hub("bo", second)) == ("pending", "pending")
    policy = next(each for each in scene.bundle.policies if each.name == "wishes")
    promote(scene.store, policy, "lena", 9)
    scene.turn()
    assert (scene.status_on_hub("ada", first), scene.status_on_hub("bo", second)) == ("accepted", "pending")


def test_of_two_saves_the_repos_of_all_versions_are_held(scene: HubWorkspace) -> None:
    first, second = scene.repos
    everywhere = '["*/*", "datasets/*/*"]'
    _write(scene, STRICT.replace(everywhere, f'["{first}"]'))
    (scene.folder / "policies" / "other.yaml").write_text(OTHER)
    _save(scene, STRICT.replace(everywhere, f'["{second}"]'))
    _save(scene, STRICT.replace(everywhere, '["nobody/nothing"]'))
    (hold,) = read_workspace_holds(scene.workspace)
    assert [hold.covers(repo) for repo in (first, second)] == [True, True]
    scene.ask(["ada"], first)
    assert to_builtins(turn_result_record(scene.turn()))["saved"] == {"wishes": 1}
    assert scene.status_on_hub("ada", first) == "pending"


def test_a_plan_that_a_person_applies_works_while_the_version_is_held(scene: HubWorkspace) -> None:
    _write(scene, STRICT)
    scene.ask(["ada"])
    scene.sync()
    _save(scene, POLICY)
    scene.execute(scene.approve(scene.plan()))
    assert scene.status_on_hub("ada") == "accepted"
    assert read_active_holds(scene.store, scene.bundle.policies)


def test_shadow_before_and_after_holds_nothing_until_somebody_enforces_it(scene: HubWorkspace) -> None:
    _write(scene, STRICT.replace("mode: enforce", "mode: shadow"))
    _save(scene, POLICY.replace("mode: enforce", "mode: shadow"))
    assert read_active_holds(scene.store, scene.bundle.policies) == []
    _write(scene, POLICY)
    scene.ask(["ada"])
    scene.turn()
    assert scene.status_on_hub("ada") == "pending"
    _promote(scene)
    scene.turn()
    assert scene.status_on_hub("ada") == "accepted"


def test_a_hold_outlives_the_process_and_a_broken_file(scene: HubWorkspace) -> None:
    _save(scene, STRICT)
    (scene.folder / FILE).write_text("rules: [")
    assert [hold.policy for hold in read_workspace_holds(scene.workspace)] == ["wishes"]
    (scene.folder / FILE).write_text(POLICY)
    scene.restart()
    assert read_workspace_holds(scene.workspace) == []


def test_roles_of_a_shadow_policy_count_for_all_policies_so_their_change_is_held(scene: HubWorkspace) -> None:
    shadow = OTHER.replace("mode: enforce", "mode: shadow")
    (scene.folder / "policies" / "other.yaml").write_text(shadow)
    scene.join()
    _save(scene, shadow.replace("rules:", "roles: {purpose: Affiliation}\nrules:"), file="policies/other.yaml")
    _write(scene, "# so that the scene reads all files again\n" + POLICY)
    scene.ask(["ada"])
    scene.turn()
    assert scene.status_on_hub("ada") == "pending"


def test_a_text_that_was_saved_is_sent_at_ends_after_its_promotion(scene: HubWorkspace) -> None:
    _write(scene, POLICY.replace("    until: 30d\n", "    until: 30d\n    end_reason: Please ask again.\n"))
    scene.ask({"ada": "while"})
    scene.turn()
    scene.local_hub.time.advance(40 * 86_400)
    assert [change.reason for change in scene.plan().changes] == ["Please ask again."]
    _save(scene, POLICY.replace("    until: 30d\n", "    until: 30d\n    end_reason: Pay here.\n"))
    assert [change.reason for change in scene.plan().changes] == ["Your access has ended. You may ask again."]
    _promote(scene)
    assert [change.reason for change in scene.plan().changes] == ["Pay here."]


def test_what_a_version_with_an_unreadable_file_guarded_is_held_everywhere(scene: HubWorkspace) -> None:
    (scene.folder / FILE).write_text("rules: [")
    (scene.folder / "policies" / "other.yaml").write_text(OTHER)
    _save(scene, POLICY.replace('["*/*", "datasets/*/*"]', '["nobody/nothing"]').replace("enforce", "shadow"))
    scene.ask(["ada"])
    scene.turn()
    assert scene.status_on_hub("ada") == "pending"


def test_killed_between_hold_and_file_the_version_that_is_there_stays_held(scene: HubWorkspace) -> None:
    _write(scene, STRICT)
    _save(scene, POLICY)
    replace = os.replace

    class Killed(BaseException):
        """The process ends here."""

    def die(event: str, args: tuple[object, ...]) -> None:
        if event == "os.rename" and str(args[1]) == "wishes.yaml" and dying:
            raise Killed

    dying = True
    sys.addaudithook(die)
    with pytest.raises(Killed):
        _save(scene, STRICT)
    dying = False
    assert replace is os.replace
    scene.ask(["ada"])
    scene.turn()
    assert scene.status_on_hub("ada") == "pending"
    assert read_active_holds(scene.store, scene.bundle.policies)


@pytest.mark.parametrize(
    ("more", "error"),
    [("tables: {t: [bo]}", "defined twice"), ("roles: {purpose: Affiliation}", "disagree about the role")],
)
def test_a_policy_that_no_turn_could_use_with_the_others_is_not_saved(
    scene: HubWorkspace, more: str, error: str
) -> None:
    known = OTHER.replace("rules:", "tables: {t: [ada]}\nroles: {purpose: Purpose}\nrules:")
    (scene.folder / "policies" / "other.yaml").write_text(known)
    scene.join()
    scene.ask(["ada"])
    scene.sync()
    with pytest.raises(UsageError, match=error):
        _save(scene, POLICY.replace("rules:", f"{more}\nrules:"))
    assert read_holds(scene.store) == {}


# ---- the file ------------------------------------------------------------------------------------------------------------


def test_a_save_replaces_the_bytes_keeps_the_mode_and_leaves_an_entry_without_names(scene: HubWorkspace) -> None:
    path = scene.folder / FILE
    path.write_bytes(b"\xef\xbb\xbf" + POLICY.encode())
    path.chmod(0o640)
    base = path.read_bytes()
    written = _save(scene, STRICT.replace("\n", "\r\n"), base=base)
    assert written == digest_of_file(path.read_bytes())
    assert path.read_bytes() == b"\xef\xbb\xbf" + STRICT.replace("\n", "\r\n").encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert {each.name for each in path.parent.iterdir()} == {"wishes.yaml"}
    ((link, event),) = _saves(scene)
    assert (link.actor, link.at) == ("mia", 7)
    assert (event.policy, event.file, event.before, event.after) == ("wishes", FILE, digest_of_file(base), written)
    scene.join()
    assert [policy.digest for policy in scene.bundle.policies] == [event.digest]


def _changed(scene: HubWorkspace) -> None:
    (scene.folder / FILE).write_text(POLICY + "# more\n")


def _linked(scene: HubWorkspace) -> None:
    (scene.folder / "elsewhere.yaml").write_text(POLICY)
    (scene.folder / FILE).unlink()
    (scene.folder / FILE).symlink_to(scene.folder / "elsewhere.yaml")


def _linked_folder(scene: HubWorkspace) -> None:
    (scene.folder / "policies").rename(scene.folder / "real")
    (scene.folder / "policies").symlink_to(scene.folder / "real")


def _fifo(scene: HubWorkspace) -> None:
    (scene.folder / FILE).unlink()
    os.mkfifo(scene.folder / FILE)


def _forbidden(scene: HubWorkspace) -> None:
    (scene.folder / "hf-gate.yaml").write_text(WORKSPACE_FILE)


def _said_no(scene: HubWorkspace) -> None:
    (scene.folder / "hf-gate.yaml").write_text(WORKSPACE_FILE + "desk: {may_write_policies: false}\n")


def _not_matched(scene: HubWorkspace) -> None:
    (scene.folder / "hf-gate.yaml").write_text(ALLOWED.replace("policies/*.yaml", "policies/no-*.yaml"))


@pytest.mark.parametrize(
    ("prepare", "error"),
    [
        (_changed, Stale), (_linked, UsageError), (_linked_folder, UsageError), (_fifo, UsageError),
        (_forbidden, Guarded), (_said_no, Guarded), (_not_matched, UsageError),
    ],
    ids=lambda each: each.__name__,
)  # fmt: skip
def test_a_save_that_must_not_be_writes_holds_and_records_nothing(
    scene: HubWorkspace, prepare: Callable[[HubWorkspace], None], error: type[HfGateError]
) -> None:
    base = (scene.folder / FILE).read_bytes()
    prepare(scene)
    before = {path: path.read_bytes() for path in scene.folder.rglob("*.yaml") if path.is_file()}
    with pytest.raises(error):
        _save(scene, STRICT, base=base)
    assert {path: path.read_bytes() for path in scene.folder.rglob("*.yaml") if path.is_file()} == before
    assert read_holds(scene.store) == {}
    assert _saves(scene) == []
    assert not list(scene.folder.rglob("*.tmp"))


def test_a_file_outside_the_workspace_is_not_written_even_if_policies_names_it(scene: HubWorkspace) -> None:
    outside = scene.folder.parent / f"{scene.folder.name}-outside"
    outside.mkdir()
    (outside / "far.yaml").write_text(OTHER)
    (scene.folder / "hf-gate.yaml").write_text(
        ALLOWED.replace("policies/*.yaml", f"policies/*.yaml, ../{outside.name}/*.yaml")
    )
    with pytest.raises(UsageError, match="outside the workspace"):
        _save(scene, OTHER.replace("welcome", "come-in"), file=f"../{outside.name}/far.yaml")
    assert (outside / "far.yaml").read_text() == OTHER


def test_a_policy_is_not_renamed_by_a_save(scene: HubWorkspace) -> None:
    with pytest.raises(UsageError, match="cannot be renamed"):
        _save(scene, OTHER)
    assert read_holds(scene.store) == {}


def test_a_write_that_fails_at_last_leaves_the_hold_as_it_was(scene: HubWorkspace) -> None:
    """The entry stays: it is written before the file, so that no version is there without one."""
    path, base = scene.folder / FILE, (scene.folder / FILE).read_bytes()
    append = scene.store.writing

    class Late:
        """A store; after its first write the file is edited by somebody else."""

        def __getattr__(self, name: str) -> object:
            return getattr(scene.store, name)

        def writing(self) -> object:
            if path.read_bytes() == base:
                path.write_bytes(base + b"# somebody else\n")
            return append()

    scene.workspace.store = Late()  # type: ignore[assignment]
    new = parse_policy(STRICT, FILE).policy
    assert new is not None
    with pytest.raises(Stale):
        save_policy(scene.workspace, PolicySave(FILE, digest_of_file(base), STRICT, new), "mia", 7)
    assert path.read_bytes() == base + b"# somebody else\n"
    assert read_holds(scene.store) == {}
    assert (scene.folder / LOCK_NAME).exists()
    write_workspace(scene.folder)
