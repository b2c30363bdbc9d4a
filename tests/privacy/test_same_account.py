"""Somebody whom one repo hid at first is stored twice; an erasure and an export cover both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.base.ids import Repo
from hf_gate.core.stored_rows import PersonRow
from hf_gate.errors import StoreUnavailable, UsageError
from hf_gate.privacy.service.erasure import check_erasable, erase, find_person, preview_erasure
from hf_gate.privacy.service.person_export import export_person
from tests.kits.in_process_hub import InProcessHub
from tests.kits.stores import EEG, MED, hub_id, record, store_records
from tests.kits.word_search import find_words_in_files
from tests.kits.workspaces import HubWorkspace

NAME, ANSWER = "quokka-zzyx", "study of kxqjz"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(repos=1))
    yield made
    made.close()


def show(scene: HubWorkspace, repo: Repo, status: str = "pending", *, is_hidden: bool = False, number: int = 1) -> None:
    """A sync reads the person's request at one repo."""
    seen = record(
        number, status, name=NAME, answers={"Why": ANSWER}, request=10 if repo == EEG else 20, is_hidden=is_hidden
    )
    store_records(scene.store, repo, [seen, record(7, name="bob")])


def store_twice(scene: HubWorkspace) -> list[PersonRow]:
    """One repo shows the person; the other one hides them first, and shows them later."""
    show(scene, EEG)
    show(scene, MED, is_hidden=True)
    show(scene, MED)
    people = {row.person.id: row.person for row in scene.store.find_by_identity(None, NAME)}
    assert [person.identity.user_id for person in people.values()] == [hub_id(1), None]
    return list(people.values())


def url(scene: HubWorkspace) -> str:
    return f"sqlite:///{scene.folder / 'desk.db'}"


@pytest.mark.parametrize("by", ["name", "account", "address", "pseudonym", "other pseudonym"])
def test_an_erasure_covers_both(scene: HubWorkspace, by: str) -> None:
    people = store_twice(scene)
    words = {"name": NAME, "account": hub_id(1), "address": f"{NAME}@example.org"}
    words |= {"pseudonym": people[0].pseudonym, "other pseudonym": people[1].pseudonym}
    person = find_person(scene.workspace, words[by])
    assert len(export_person(scene.workspace, person).requests) == 2
    assert preview_erasure(scene.workspace, person, url(scene)).parts.requests == 2
    assert erase(scene.workspace, person, url(scene), "lena").requests == 2
    for _ in range(2):
        assert find_words_in_files(scene.folder, [NAME, ANSWER, hub_id(1), f"{NAME}@example.org"]) == []
        show(scene, EEG)
        show(scene, MED)


def test_access_of_the_other_one_prevents_the_erasure(scene: HubWorkspace) -> None:
    store_twice(scene)
    show(scene, MED, "accepted")
    person = find_person(scene.workspace, hub_id(1))
    with pytest.raises(StoreUnavailable, match=f"has access to {MED}"):
        check_erasable(preview_erasure(scene.workspace, person, url(scene)))


def test_another_account_with_the_same_name_is_not_erased(scene: HubWorkspace) -> None:
    """The name passed to another account, whose repo hid them at first."""
    show(scene, EEG)
    store_records(scene.store, MED, [record(2, name="wzkqj", request=30)])
    show(scene, MED, is_hidden=True, number=2)
    show(scene, MED, number=2)
    with pytest.raises(UsageError, match="2 people match"):
        find_person(scene.workspace, NAME)
    person = find_person(scene.workspace, hub_id(1))
    assert preview_erasure(scene.workspace, person, url(scene)).parts.requests == 1


def test_an_entry_that_this_version_cannot_read_is_exported_like_the_others(scene: HubWorkspace) -> None:
    person = store_twice(scene)[0]
    with scene.store.writing() as write:
        write.db.run("DROP TRIGGER ledger_no_update")
        write.db.run("""UPDATE ledger SET body = '{"type":"OfALaterVersion"}' WHERE kind = 'RequestSeen'""")
    entries = export_person(scene.workspace, person).entries
    assert {entry.text for entry in entries if entry.kind == "RequestSeen"} == {"this version cannot read it"}
    assert {entry.id.partition("#")[0] for entry in entries} == {str(EEG), str(MED)}, "as commands name them"
