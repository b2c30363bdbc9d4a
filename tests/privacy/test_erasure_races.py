"""What was prepared before an erasure and is stored after it, such as a plan or a profile, brings nothing back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from hf_gate.approvals.rows.plans import save_plan
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.requests import Target
from hf_gate.core.stored_rows import RequestRow
from hf_gate.decisions.service.bulk_decisions import BulkDecision, create_bulk_run
from hf_gate.decisions.service.decision_sender import DecisionSender
from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget
from hf_gate.decisions.service.runs import runs
from hf_gate.errors import Guarded
from hf_gate.privacy.rows.erasure_file import append_record, make_record
from hf_gate.privacy.rows.erasure_repetition import repeat_erasures
from hf_gate.store.store import Store
from hf_gate.verdicts.service.evaluation import open_fact_sources
from hf_gate.verdicts.service.table_store import bind_tables
from tests.kits.acts import RESET, decide
from tests.kits.in_process_hub import InProcessHub
from tests.kits.word_search import find_words_in_files
from tests.kits.workspaces import HubWorkspace

NAME = "quokka-zzyx"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[HubWorkspace]:
    made = HubWorkspace(tmp_path, InProcessHub(repos=1))
    made.ask([NAME, "bo"])
    made.sync()
    yield made
    made.close()


def erase(scene: HubWorkspace) -> None:
    erasures = scene.folder / "erasures.jsonl"
    append_record(erasures, make_record(scene.store, scene.row(NAME).person.id, 5))
    assert repeat_erasures(scene.store, erasures)


class ErasedMeanwhile:
    """A store in which somebody is erased just before a transaction: the first, or the one after so many."""

    def __init__(self, scene: HubWorkspace, after: int = 0) -> None:
        self._scene, self._left = scene, after

    def __getattr__(self, name: str) -> Any:
        if name == "writing":
            self._left -= 1
            if self._left == -1:
                erase(self._scene)
        return getattr(self._scene.store, name)


def traces(scene: HubWorkspace, words: list[str]) -> list[str]:
    assert all(words)
    scene.store.close()
    return find_words_in_files(scene.folder, words)


def words_of(row: RequestRow) -> list[str]:
    return [NAME, str(row.person.identity.user_id)]


def prepare_plan(scene: HubWorkspace) -> Callable[[], object]:
    plan = scene.plan()
    assert {change.user for change in plan.changes} == {NAME, "bo"}
    erase(scene)
    return lambda: scene.approve(plan)


def prepare_page_of_a_plan(scene: HubWorkspace) -> Callable[[], object]:
    plan = scene.plan()
    erase(scene)
    rows, document = [change.row for change in plan.changes], msgspec.json.encode(plan)
    return lambda: save_plan(scene.store, plan.digest, document, 7, {}, rows)


def prepare_selection(scene: HubWorkspace) -> Callable[[], object]:
    decision = BulkDecision("r_bulk", "mia", "accepted", None, total=2)
    parts = [[scene.row(NAME).id, scene.row("bo").id]]
    store = cast("Store", ErasedMeanwhile(scene, after=1))
    return lambda: create_bulk_run(store, decision, parts, scene.clock.now())


def prepare_decision(scene: HubWorkspace) -> Callable[[], object]:
    store = cast("Store", ErasedMeanwhile(scene))
    sender = DecisionSender(store, scene.hub, scene.clock, scene.zone, "mia", scene.approvals)
    target = DecisionTarget(scene.repos[0], Target(username=NAME))
    return lambda: sender.decide([target], Choice(Status.ACCEPTED), run_id="r_1")


@pytest.mark.parametrize("prepare", [prepare_plan, prepare_page_of_a_plan, prepare_selection, prepare_decision])
def test_nothing_about_somebody_who_was_erased_meanwhile_is_stored_or_sent(
    scene: HubWorkspace, prepare: Callable[[HubWorkspace], Callable[[], object]]
) -> None:
    words = words_of(scene.row(NAME))
    store_it = prepare(scene)
    with pytest.raises(Guarded, match="was deleted in the meantime"):
        store_it()
    assert (scene.status_on_hub(NAME), scene.status_on_hub("bo")) == ("pending", "pending")
    assert traces(scene, words) == []


def test_a_decision_by_name_about_an_erased_request_stores_no_name(scene: HubWorkspace) -> None:
    words = words_of(scene.row(NAME))
    erase(scene)
    assert decide(scene, RESET, NAME).outcomes[0].kind is OutcomeKind.DONE
    assert scene.status_on_hub(NAME) == "reset"
    assert traces(scene, words) == []


def test_a_retry_leaves_out_somebody_who_was_erased(scene: HubWorkspace) -> None:
    words = words_of(scene.row(NAME))
    run = scene.approve(scene.plan())
    with scene.store.writing() as write:
        write.set_change_states(run.id, [(n, "refused", "") for n in (1, 2)])
    erase(scene)
    plan = runs.plan_retry(scene.store, scene.reload(run), now=scene.clock.now())
    assert [change.user for change in plan.changes] == ["bo"]
    scene.execute(scene.approve(plan))
    assert (scene.status_on_hub(NAME), scene.status_on_hub("bo")) == ("pending", "accepted")
    assert traces(scene, words) == []


def test_a_profile_that_arrives_after_an_erasure_is_not_stored(scene: HubWorkspace) -> None:
    row = scene.row(NAME)
    erase(scene)
    with scene.store.writing() as write:
        write.write_profile(row.person.id, b'{"fullname":"Zzyx"}', 7)
        write.write_profile(scene.row("bo").person.id, b'{"fullname":"Bo"}', 7)
    assert set(scene.store.profiles([row.person.id, scene.row("bo").person.id])) == {scene.row("bo").person.id}
    assert traces(scene, words_of(row)) == []


# ---- names in the owner's tables -----------------------------------------------------------------------------------------

LISTED = """\
version: 1
policy: wishes
applies_to: ["*/*"]
mode: enforce
rules:
  - id: listed
    when: tables.partners
    then: accept
  - id: rest
    then: human
"""


def accepted_names(scene: HubWorkspace) -> set[str | None]:
    """Whom the policy would accept, after the names of the table were looked up."""
    bind_tables(scene.store, open_fact_sources(scene.workspace), scene.bundle.tables, 10)
    return {change.user for change in scene.plan().changes}


def list_in_table(scene: HubWorkspace) -> None:
    """A table lists both people by username."""
    (scene.folder / "tables").mkdir()
    (scene.folder / "tables" / "partners.csv").write_text(f"username\n{NAME}\nbo\n")
    house = scene.folder / "hf-gate.yaml"
    house.write_text(house.read_text() + "tables: {partners: {file: tables/partners.csv, key: username}}\n")
    (scene.folder / "policies" / "wishes.yaml").write_text(LISTED)
    scene.join()


def test_a_name_in_a_table_matches_the_erased_account_again_after_it_asks_again(scene: HubWorkspace) -> None:
    """Otherwise a deny list would forget whom it denies."""
    list_in_table(scene)
    assert accepted_names(scene) == {NAME, "bo"}
    erase(scene)
    assert accepted_names(scene) == {"bo"}
    scene.local_hub.withdraw(NAME, scene.repos[0])
    scene.ask([NAME])
    scene.sync()
    assert accepted_names(scene) == {NAME, "bo"}


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_name_in_a_table_does_not_pass_to_another_account_after_an_erasure(scene: HubWorkspace, when: str) -> None:
    list_in_table(scene)
    assert accepted_names(scene) == {NAME, "bo"}
    words = words_of(scene.row(NAME))[1:]
    erase(scene)
    if when == "later":
        assert accepted_names(scene) == {"bo"}
    scene.local_hub.rename(NAME, "gone")
    scene.ask([NAME])
    scene.sync()
    assert accepted_names(scene) == {"bo"}
    assert traces(scene, words) == [], "the account is not looked up again"
