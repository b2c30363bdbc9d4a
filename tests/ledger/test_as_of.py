"""An earlier moment is shown as it was: folded from the ledger, it equals what the rows were then, whatever happened since."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms
from hf_gate.core.events import events as e
from hf_gate.core.events.ledger import chain_of
from hf_gate.core.events.request_state import RequestState
from hf_gate.core.lifecycle import Status
from hf_gate.errors import UsageError
from hf_gate.ledger.service.access_report import AccessView, read_access
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.requests.rows.past_requests import (
    find_moment,
    iterate_past_pages,
    read_past_requests,
)
from hf_gate.store.store import Store
from tests.kits.person_history import fold_history, read_person_events
from tests.kits.store_machine import StoreMachine
from tests.kits.stores import EEG, MED, ON_BOTH, new_store, record, store, store_records
from tests.kits.stores import sqlite_place as place
from tests.kits.synced_stores import SyncedStore, open_synced_store

__all__ = ["place", "store"]

Snapshot = Mapping[int, tuple[Repo, RequestState, bool, Any]]


class PastMachine(StoreMachine):
    """The store's machine with a clock that never stands still; the rows of every moment are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 0
        self.snapshots: dict[int, Snapshot] = {}

    def moment(self, drawn: int) -> int:
        self.clock += 1 + drawn % 7
        return self.clock

    def rows_now(self) -> Snapshot:
        return {row.id: (row.repo, row.state, row.is_current, row.request) for row in self._rows()}

    @invariant()
    def now_is_what_the_rows_are(self) -> None:
        self.snapshots[self.clock] = self.rows_now()
        assert self.fold(self.clock) == self.snapshots[self.clock]

    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        at = data.draw(st.sampled_from(sorted(self.snapshots)))
        assert self.fold(at) == self.snapshots[at]

    @invariant()
    def history_is_what_the_store_counts(self) -> None:
        for repo in (EEG, MED):
            row = self.store.repo(repo)
            people = sorted({person for _, where, person in self._requests() if where == repo})
            for person, stored in self.store.history(repo, people).items():
                assert row is not None
                assert fold_history(read_person_events(self.store, person), row.id) == stored

    def fold(self, at: int) -> Snapshot:
        found: dict[int, tuple[Repo, RequestState, bool, Any]] = {}
        for repo in (EEG, MED):
            moment = find_moment(self.store, repo, at)
            if moment is None:
                continue
            every = read_past_requests(self.store, moment, [ident for ident, *_ in self._requests()])
            here = {ident: past.row for ident, past in every.items() if past.row.state.attempt}
            own = {ident for ident, where, _ in self._requests() if where == repo}
            found |= {n: (repo, row.state, row.is_current, row.request) for n, row in here.items() if n in own}
            listed = [past.row.id for page in iterate_past_pages(self.store, moment) for past in page]
            assert sorted(listed) == sorted(n for n, row in here.items() if row.is_current and n in own)
            small = [past.row.id for page in iterate_past_pages(self.store, moment, size=2) for past in page]
            assert small == listed
            for past in every.values():
                assert past.row.first_seen_at is None
                assert (past.then.grant is not None) == (past.row.state.status == Status.ACCEPTED)
        return found


def _settings(examples: int) -> settings:
    return settings(max_examples=examples, stateful_step_count=min(25, settings().stateful_step_count))


def test_every_moment_folds_into_the_rows_of_that_moment() -> None:
    with tempfile.TemporaryDirectory() as folder:

        class OnFiles(PastMachine):
            def __init__(self) -> None:
                super().__init__()
                self.place = str(Path(tempfile.mkdtemp(dir=folder)) / "desk.db")

        run_state_machine_as_test(OnFiles, settings=_settings(max(10, settings().max_examples // 4)))


def test_every_moment_folds_into_the_rows_of_that_moment_on_postgresql(postgres_uri: str) -> None:
    class OnServer(PastMachine):
        def __init__(self) -> None:
            super().__init__()
            self.place = new_store(postgres_uri)

    run_state_machine_as_test(OnServer, settings=_settings(max(4, settings().max_examples // 25)))


# ---- who had access ----------------------------------------------------------------------------------------------------


def _view(store: Store, at: int) -> AccessView:
    return read_access(store, [EEG], from_ms(at))


def test_a_later_attempt_hides_the_earlier_one_only_after_it_came(store: Store) -> None:
    store_records(store, EEG, [record(1, "accepted", day=1, name="old-name")], 1_000)
    store_records(store, EEG, [record(1, "pending", day=2, name="new-name")], 2_000)
    assert [row.user for row in _view(store, 1_500).records()] == ["old-name"]
    assert list(_view(store, 2_500).records()) == []


def test_an_erased_private_part_leaves_an_access_without_a_name(store: Store) -> None:
    (ident,) = store_records(store, EEG, [record(1, "accepted")], 1_000)
    with store.writing() as write:
        write.db.run("DELETE FROM private")
    (row,) = _view(store, 1_500).records()
    assert (row.user, row.email, row.user_id) == (None, None, None)
    assert row.person
    assert ident


@ON_BOTH
def test_a_time_before_the_ledger_is_refused_with_its_beginning(store: Store) -> None:
    store_records(store, EEG, [record(1)], 86_400_000)
    with pytest.raises(
        UsageError, match=r"nothing is known about 1970-01-01 00:00 UTC: the audit log begins 1970-01-02 00:00 UTC"
    ):
        _view(store, 1_000)
    with pytest.raises(UsageError, match="no entry about these repos"):
        read_access(store, [MED], from_ms(1_000))


# ---- what the syncs prove ------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncedStore]:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    with open_synced_store(tmp_path) as made:
        yield made


def _now(desk: SyncedStore) -> int:
    return round(desk.local.clock.now() * 1000)


def _pass(desk: SyncedStore, hours: int = 2) -> int:
    """Lets time pass; returns a moment in the middle of it."""
    desk.local.clock.advance(f"{hours // 2}h")
    at = _now(desk)
    desk.local.clock.advance(f"{hours // 2}h")
    return at


def test_a_later_sync_that_finds_no_earlier_change_confirms_a_moment(desk: SyncedStore) -> None:
    desk.ask("ada", "bob")
    desk.hub.accept(desk.repo, "ada")
    desk.full()
    between = _pass(desk)
    (open_end,) = read_access(desk.store, [desk.repo], from_ms(between)).certainties
    assert open_end.proved_at is not None
    assert open_end.confirmed_at is None
    assert "unknown" in " ".join(open_end.describe(UTC))
    _pass(desk, 26)
    desk.full()
    (closed,) = read_access(desk.store, [desk.repo], from_ms(between)).certainties
    assert closed.confirmed_at is not None
    assert not closed.found_later
    assert "found no earlier change" in " ".join(closed.describe(UTC))
    tokyo = " ".join(closed.describe(ZoneInfo("Asia/Tokyo")))
    assert (tokyo.count(" JST"), tokyo.count("UTC")) == (2, 0)


def test_a_change_on_the_hub_that_a_later_sync_reveals_is_marked(desk: SyncedStore) -> None:
    desk.ask("ada", "bob")
    desk.hub.accept(desk.repo, "ada")
    desk.full()
    _pass(desk)
    desk.hub.cancel(desk.repo, "ada")
    desk.hub.reject(desk.repo, "ada", reason="left")
    moment = _pass(desk)
    desk.full()
    view = read_access(desk.store, [desk.repo], from_ms(moment))
    assert [(row.user, row.found_later) for row in view.records()] == [("ada", True)]
    assert "1 request had changed on the Hub before this moment" in " ".join(view.describe())


CARD = """\
---
extra_gated_prompt: {prompt}
extra_gated_fields:
  Purpose: text
---
# Data
"""


def test_a_change_of_only_the_prompt_is_recorded_and_both_texts_are_kept(desk: SyncedStore) -> None:
    prompts = ["You agree not to identify anybody.", "You agree not to identify anybody, and to delete it in 2030."]
    seen = []
    for name, prompt in zip(("ada", "bob"), prompts, strict=True):
        desk.local.set_card(desk.repo.id, CARD.format(prompt=prompt), desk.repo.type.value)
        desk.full()
        seen.append(list(desk.store.links(chain_of(desk.repo)))[-1])
        desk.ask(name)
        desk.hub.accept(desk.repo, name)
        _pass(desk)
        desk.full()
    events = [e.decode_event(each.body) for each in seen]
    assert [isinstance(each, e.SyncEnded) for each in events] == [True, True]
    forms = {each.form for each in events if isinstance(each, e.SyncEnded)}
    digests = [each.prompt or "" for each in events if isinstance(each, e.SyncEnded)]
    assert (len(forms), len(set(digests))) == (1, 2)
    kept = desk.store.reads.rows("SELECT digest, kind, text FROM gate_texts WHERE digest <> ?", ("",))
    assert {row for row in kept if row[1] == "prompt"} >= {
        (digest, "prompt", prompt) for digest, prompt in zip(digests, prompts, strict=True)
    }
    assert (forms.pop(), "form", '[["Purpose","text",[]]]') in kept
    rows = read_access(desk.store, [desk.repo], from_ms(_now(desk))).records()
    assert {row.user: row.prompt for row in rows} == {"ada": digests[0], "bob": digests[1]}
    assert verify_ledger(desk.store, with_tables=True).broken == []
    with desk.store.writing() as write:
        write.db.run("UPDATE gate_texts SET text = 'other' WHERE digest = ?", (digests[0],))
    assert [digests[0][:12] in one.what for one in verify_ledger(desk.store, with_tables=True).broken] == [True]
