"""Whatever the mail server, the senders and the owner do, only a reminder that was accepted in time ends a wait."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from hf_gate.base.timestamps import from_ms
from hf_gate.core.letters.messages import DeliveryKind, MessageState
from hf_gate.workspace.rows.opening import open_store
from tests.kits.evaluations import START
from tests.kits.faulty_stores import KilledError
from tests.kits.outboxes import ENDINGS, LetterServer, list_letters, list_open, mark_letters, send_letters
from tests.kits.reminders import SPAN, TODAY, make_reminder_workspace, turn_reminders
from tests.kits.stores import EEG, ENDPOINT, new_store

SENT = (MessageState.SENT, MessageState.MARKED)


class ReminderMachine(RuleBasedStateMachine):
    """A workspace whose mail server does what it likes, whose senders are killed, and whose owner changes their mind."""

    uri: ClassVar[str] = ""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        where = Path(self.folder.name)
        self.place = new_store(self.uri) if self.uri else f"sqlite:///{where / 'desk.db'}"
        self.desk = make_reminder_workspace(self.place, where / "desk")
        self.is_on, self.people, self.post = True, 0, LetterServer()
        self.surely: dict[int, datetime] = {}  # when a reminder was accepted, by person

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.check()
            self.desk.close()
            self.folder.cleanup()

    @rule(count=st.integers(1, 2), has_address=st.booleans())
    def people_ask(self, count: int, has_address: bool) -> None:
        numbers = range(self.people, self.people + count)
        day = TODAY + (self.desk.now - START).days
        self.desk.read(EEG, *numbers, day=day, email="" if has_address else None)
        self.people += count

    @rule(endings=st.lists(ENDINGS, min_size=1, max_size=3), is_evaluated=st.booleans())
    def a_turn_sends(self, endings: list[tuple[DeliveryKind | None, bool]], is_evaluated: bool) -> None:
        if is_evaluated:
            self.desk.evaluate()
        before = {one.id for one in list_letters(self.desk.store, SENT, 1000)}
        self.post.answers = list(endings)
        with suppress(KilledError):
            send_letters(self.desk.workspace, self.post)
        self.note_sent(before)

    def note_sent(self, before: set[str]) -> None:
        for one in list_letters(self.desk.store, SENT, 1000):
            if one.id not in before:
                self.surely[one.request_id or 0] = self.desk.now

    @rule(state=st.sampled_from([MessageState.MARKED, MessageState.WAITING]))
    def a_person_says(self, state: MessageState) -> None:
        before = {one.id for one in list_letters(self.desk.store, SENT, 1000)}
        idents = [one.id for one in list_open(self.desk.workspace, 10)]
        mark_letters(self.desk.workspace, idents, state, "lena")
        self.note_sent(before)

    @rule(on=st.booleans())
    def turn_reminders(self, on: bool) -> None:
        turn_reminders(self.desk, on=on)
        self.is_on = on

    @rule(seconds=st.sampled_from([60, 700, 86_400, 5 * 86_400, 11 * 86_400]))
    def wait(self, seconds: int) -> None:
        self.desk.wait(seconds=seconds)

    @rule()
    def open_again(self) -> None:
        self.desk.store.close()
        self.desk.store = open_store(self.place, endpoint=ENDPOINT)
        self.desk.open_workspace()

    @rule()
    def check(self) -> None:
        """Evaluate, and compare each verdict with what follows from the times alone."""
        self.desk.evaluate()
        for row in self.desk.current():
            verdict = row.state.verdict
            assert verdict is not None
            assert verdict[0] == self.expect(row.id, from_ms(row.state.asked_at))

    def expect(self, request: int, asked: datetime) -> str:
        now, limit, taken = self.desk.now, asked + SPAN, self.surely.get(request)
        if not self.is_on:
            return "reset" if now >= limit else "wait"
        if taken is None or taken >= limit:
            return "human" if now >= limit else "wait"
        return "reset" if now >= taken + SPAN else "wait"


def _settings(examples: int) -> settings:
    return settings(max_examples=examples, stateful_step_count=min(25, settings().stateful_step_count), deadline=None)


def test_whatever_happens_only_a_reminder_that_was_accepted_in_time_ends_a_wait() -> None:
    run_state_machine_as_test(ReminderMachine, settings=_settings(max(8, settings().max_examples // 4)))


def test_whatever_happens_on_postgresql(postgres_uri: str) -> None:
    class OnServer(ReminderMachine):
        uri = postgres_uri

    run_state_machine_as_test(OnServer, settings=_settings(max(4, settings().max_examples // 10)))
