"""Whoever is erased stays erased: through syncs, decisions, undos, exports, backups and restores, until they ask again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms
from hf_gate.core.events import events as e
from hf_gate.core.letters.letters import LetterConfig, LetterKind
from hf_gate.core.letters.messages import Delivery, DeliveryKind
from hf_gate.core.letters.notices import MailServer
from hf_gate.core.stored_rows import RequestRow
from hf_gate.ledger.service.ledger_files import export_ledger, verify_exported_ledger
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.messages.rows import letters, outbox
from hf_gate.privacy.rows.erasure import delete_expired
from hf_gate.privacy.rows.erasure_file import append_record, make_record
from hf_gate.privacy.rows.erasure_repetition import repeat_erasures
from hf_gate.privacy.rows.written_files import find_written_files
from hf_gate.store.write_lock import Holder
from hf_gate.workspace.rows.backups import Restore, restore, write_backup
from hf_gate.workspace.rows.opening import open_store
from hf_gate.workspace.service.store_maintenance import refuse_damage
from tests.kits.stores import EEG, ENDPOINT, MED, country_of, hub_id, load_classifier, new_store, record, store_records
from tests.kits.word_search import find_words_in_files, find_words_on_server

_people = st.integers(0, 4)
_repos = st.sampled_from([EEG, MED])
_decided = st.sampled_from(["rejected", "reset", "accepted"])
_NAMES = ("quokka-zzyx", "wzkqj-vjqxh", "kxqjz-yxwvu", "jvqkx-zwxqy", "xqvjz-kzwyj")
LETTERS = LetterConfig(
    kinds=tuple(LetterKind),
    needs={"agreement": "Sign."},
    mail=MailServer(host="127.0.0.1", port=2525, sender="access@example.org", to=()),
)
_AGAIN: dict[str, str] = {"accepted": "pending", "rejected": "pending", "reset": "pending"}


def _words(person: int) -> list[str]:
    name = _NAMES[person]
    return [name, f"{name}@example.org", f"Full {name.upper()}", f"study of {name[::-1]}", hub_id(person)]


class ErasureMachine(RuleBasedStateMachine):
    """A Hub as a table of records, and a store that follows it."""

    folder: Path
    server: str | None = None

    @initialize()
    def begin(self) -> None:
        self.place = self.server or str(self.folder / "desk.db")
        self.hub: dict[tuple[Repo, int], dict[str, Any]] = {}
        self.forgotten: set[int] = set()
        self.asked, self.runs, self.backups = 0, 0, 0
        self.open()

        letters.write_subscription(self.store, LETTERS, 0)

    def open(self) -> None:
        self.store = open_store(
            self.place,
            endpoint=ENDPOINT,
            country_of=country_of,
            load_classifier=load_classifier,
            erasures=self.folder / "erasures.jsonl",
        )

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder)

    # ---- the Hub -------------------------------------------------------------------------------------------------------

    @rule(repo=_repos, person=_people)
    def ask(self, repo: Repo, person: int) -> None:
        """Somebody asks, or asks again after being sent back; that is a new request, also of an erased person."""
        known = self.hub.get((repo, person))
        if known is not None and known["status"] != "reset":
            return
        self.asked += 1
        self.hub[repo, person] = record(
            person,
            day=self.asked,
            name=_NAMES[person],
            fullname=f"Full {_NAMES[person].upper()}",
            answers={"Purpose": f"study of {_NAMES[person][::-1]}"},
            request=1000 + self.asked,
        )
        self.forgotten.discard(person)

    @precondition(lambda self: self.hub)
    @rule(data=st.data(), status=_decided)
    def decide_outside(self, data: st.DataObject, status: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.hub)))
        self.hub[key]["status"] = status

    @precondition(lambda self: self.hub)
    @rule(data=st.data(), suffix=st.sampled_from(["", " jr", " PhD"]))
    def change_full_name(self, data: st.DataObject, suffix: str) -> None:
        """Somebody changes their full name on the Hub; all of their records show it."""
        person = data.draw(st.sampled_from(sorted({who for _, who in self.hub})))
        for (_, who), one in self.hub.items():
            if who == person:
                one["user"]["fullname"] = f"Full {_NAMES[person].upper()}{suffix}"

    @rule()
    def sync(self) -> None:
        for repo in (EEG, MED):
            if page := [one for (where, _), one in self.hub.items() if where == repo]:
                store_records(self.store, repo, page, at=1_000 + self.asked)
        for record_ in self.hub.values():
            row = self.store.find_by_hub_id(record_["requestId"])
            assert row is not None
            assert row.state.status == record_["status"], "statuses follow the Hub, also without the person"

    # ---- what people do here -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.hub)
    @rule(data=st.data(), after=_decided)
    def decide(self, data: st.DataObject, after: str) -> None:
        repo, person = data.draw(st.sampled_from(sorted(self.hub)))
        row = self._row(repo, person)
        if row is not None and row.state.status != after:
            self._move(repo, row, after, f"because of {_NAMES[person]}")
            self.hub[repo, person]["status"] = after

    @precondition(lambda self: self.hub)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        repo, person = data.draw(st.sampled_from(sorted(self.hub)))
        row = self._row(repo, person)
        if row is not None and row.state.status in _AGAIN:
            self._move(repo, row, _AGAIN[row.state.status], None)
            self.hub[repo, person]["status"] = _AGAIN[row.state.status]

    def _move(self, repo: Repo, row: RequestRow, after: str, reason: str | None) -> None:
        self.runs += 1
        run = f"r{self.runs}"
        private = {"reason": reason} if reason else None
        common: dict[str, Any] = {"at": 2_000 + self.runs, "actor": "lena", "request": row.id, "person": row.person.id}
        started = e.ChangeStarted(run=run, before=row.state.status, after=after, has_reason=reason is not None)
        settled = e.ChangeSettled(run=run, kind="done", after=after)
        with self.store.writing() as write:
            write.append(repo, [e.LedgerEntry(event=started, private=private, **common)])
            write.append(repo, [e.LedgerEntry(event=settled, **common)])

    @precondition(lambda self: self.hub)
    @rule(data=st.data())
    def note(self, data: st.DataObject) -> None:
        repo, person = data.draw(st.sampled_from(sorted(self.hub)))
        row = self._row(repo, person)
        if row is not None:
            private = {"note": f"met {_NAMES[person]}"}
            entry = e.LedgerEntry(
                event=e.NoteWritten(), at=3, actor="mia", request=row.id, person=row.person.id, private=private
            )
            with self.store.writing() as write:
                write.append(repo, [entry])

    @precondition(lambda self: self.hub)
    @rule(data=st.data())
    def put_on_hold(self, data: st.DataObject) -> None:
        """A rule puts a request on hold, which queues a letter."""
        repo, person = data.draw(st.sampled_from(sorted(self.hub)))
        row = self._row(repo, person)
        if row is not None:
            event = e.VerdictReached(action="wait", rule="agreement", policy="main", digest="d")
            entry = e.LedgerEntry(event=event, at=4_000, actor="main", request=row.id, person=row.person.id)
            with self.store.writing() as write:
                write.append(repo, [entry])

    @rule(kind=st.sampled_from([*DeliveryKind, None]))
    def write_to_somebody(self, kind: DeliveryKind | None) -> None:
        """Send a letter; the server's answer names the recipient, or the process dies."""
        claims = (
            letters.claim_letter(self.store, due.letter.id, LETTERS, "w", 5_000_000)
            for due in letters.find_due_letters(self.store, 5_000_000, 100)
        )
        case = next(filter(None, claims), None)
        if case is not None and kind is not None:
            result = Delivery(kind, f"no such user: {case.email}")
            outbox.settle_message(self.store, case.letter, "w", result, 5_000_001)

    @precondition(lambda self: self.hub)
    @rule(data=st.data(), is_fresh=st.booleans())
    def erase(self, data: st.DataObject, is_fresh: bool) -> None:
        person = data.draw(st.sampled_from(sorted({who for _, who in self.hub})))
        if is_fresh:  # otherwise the Hub may list a request that the store has not read
            self.sync()
        found = {row.person.id for row in self.store.find_by_identity(None, _NAMES[person])}
        for ident in found:
            erasures = self.folder / "erasures.jsonl"
            append_record(erasures, make_record(self.store, ident, 7))
            assert repeat_erasures(self.store, erasures, "lena")
        stored = {where for (where, who) in self.hub if who == person and self._is_stored(where, person)}
        if found and stored == {where for (where, who) in self.hub if who == person}:
            self.forgotten.add(person)

    def _is_stored(self, repo: Repo, person: int) -> bool:
        """Whether the store has read the request that the Hub lists now."""
        request = self.hub[repo, person]["requestId"]
        row = self.store.find_by_hub_id(request)
        return row is not None

    @rule(status=_decided)
    def delete_old(self, status: str) -> None:
        delete_expired(self.store, status, 1 << 60, limit=3, at=8, actor="run")

    # ---- copies --------------------------------------------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @precondition(lambda self: self.server is None)
    @rule()
    def back_up(self) -> None:
        self.backups += 1
        write_backup(Path(self.place), self.folder / f"backup-{self.backups}.db")

    @precondition(lambda self: self.server is None and self.backups)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, self.backups))
        self.store.close()
        job = Restore(
            self.folder / f"backup-{number}.db", Path(self.place), ENDPOINT, None, {}, refuse_damage, "lena", 9
        )
        restore(job, Holder(1), wait=0)
        self.nobody_erased_is_left()
        self.open()
        named = {one.path for one in find_written_files(Path(self.place))}
        assert self._copies() <= named

    @rule()
    def export(self) -> None:
        lines = list(export_ledger(self.store, from_ms(1), personal=True))
        assert verify_exported_ledger(lines, "export").ok
        lines = list(export_ledger(self.store, from_ms(1)))
        assert verify_exported_ledger(lines, "export").ok

    # ---- what always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def nobody_erased_is_left(self) -> None:
        words = [word for person in getattr(self, "forgotten", ()) for word in _words(person)]
        if words:
            found = find_words_in_files(self.folder, words, but=self._copies())
            assert found + ([] if self.server is None else find_words_on_server(self.server, words)) == []

    def _copies(self) -> set[Path]:
        """The copies of the store that an erasure only names."""
        return {*self.folder.glob("backup-*.db"), *self.folder.glob("desk.db.before-restore*")}

    @invariant()
    def every_chain_holds(self) -> None:
        if hasattr(self, "store"):
            assert verify_ledger(self.store, with_tables=True).broken == []

    def _row(self, repo: Repo, person: int) -> RequestRow | None:
        key = (repo, person)
        if key not in self.hub or not self._is_stored(repo, person):
            return None
        row = self.store.find_by_hub_id(self.hub[key]["requestId"])
        return row if row is not None and row.request is not None else None


def _settings(most: int) -> settings:
    return settings(max_examples=max(5, most), stateful_step_count=25)


class OnFiles(ErasureMachine):
    """The machine with a store of its own in a folder of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="erasure-"))


class _Drawn:
    """Gives what a history drew."""

    def __init__(self, *values: object) -> None:
        self._values = list(values)

    def draw(self, _: object) -> Any:
        return self._values.pop(0)


def test_a_copy_that_knows_the_person_under_another_pseudonym_is_erased_too() -> None:
    """The restore put the only record of the person aside, and the next sync made a new one."""
    state = OnFiles()
    try:
        state.begin()
        state.back_up()
        state.ask(EEG, 0)
        state.sync()
        state.restore(cast("st.DataObject", _Drawn(1)))
        state.erase(cast("st.DataObject", _Drawn(0)), is_fresh=True)
        assert state.forgotten == {0}
        state.nobody_erased_is_left()
    finally:
        state.teardown()


@pytest.mark.parametrize("kind", [*DeliveryKind, None])
def test_letters_to_an_erased_person_leave_nothing_of_what_the_mail_server_said(kind: DeliveryKind | None) -> None:
    state = OnFiles()
    try:
        state.begin()
        state.ask(EEG, 0)
        state.sync()
        state.put_on_hold(cast("st.DataObject", _Drawn((EEG, 0))))
        for _ in range(2):
            state.write_to_somebody(kind)
        found = outbox.read_letters_to(state.store, 1)
        assert {one.kind for one in found} == {LetterKind.RECEIVED, LetterKind.NEEDED}
        assert {one.attempts for one in found} == {1}
        state.erase(cast("st.DataObject", _Drawn(0)), is_fresh=True)
        assert state.forgotten == {0}
        state.nobody_erased_is_left()
        assert outbox.read_letters_to(state.store, 1) == []
    finally:
        state.teardown()


def test_an_erased_request_is_recognized_after_its_repo_was_renamed_on_the_hub() -> None:
    state = OnFiles()
    try:
        state.begin()
        state.ask(EEG, 0)
        state.erase(cast("st.DataObject", _Drawn(0)), is_fresh=True)
        assert state.forgotten == {0}
        state.hub[MED, 0] = state.hub.pop((EEG, 0))
        state.sync()
        state.nobody_erased_is_left()
    finally:
        state.teardown()


def test_an_erased_request_keeps_its_status_at_a_repo_that_a_restored_store_does_not_know() -> None:
    state = OnFiles()
    try:
        state.begin()
        state.back_up()
        state.ask(EEG, 0)
        state.erase(cast("st.DataObject", _Drawn(0)), is_fresh=True)
        state.restore(cast("st.DataObject", _Drawn(1)))
        state.sync()
        row = state.store.find_by_hub_id(state.hub[EEG, 0]["requestId"])
        assert row is not None
        assert (row.state.status, row.person.identity.username) == ("pending", None)
        state.nobody_erased_is_left()
    finally:
        state.teardown()


@pytest.mark.slow
def test_on_sqlite() -> None:
    run_state_machine_as_test(OnFiles, settings=_settings(settings().max_examples // 3))


@pytest.mark.slow
def test_on_postgresql(postgres_uri: str) -> None:
    class OnServer(ErasureMachine):
        def __init__(self) -> None:
            super().__init__()
            self.folder = Path(tempfile.mkdtemp(prefix="erasure-"))
            self.server = new_store(postgres_uri)

    run_state_machine_as_test(OnServer, settings=_settings(settings().max_examples // 10))
