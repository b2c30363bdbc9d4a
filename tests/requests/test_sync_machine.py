"""Whatever people and other deciders do between readings of either kind: a full reading agrees with the Hub, and the ledger holds."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hf_gate import HfGateError
from hf_gate.core.lifecycle import STATUSES
from hf_gate.ledger.service.ledger_verification import verify_ledger
from tests.kits.synced_stores import SyncedStore, open_synced_store

PEOPLE = tuple(f"person{n}" for n in range(6))
people = st.sampled_from(PEOPLE)


class Readings(RuleBasedStateMachine):
    """One repo, six people, somebody who decides elsewhere, and a desk that looks now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.desk: SyncedStore = self._stack.enter_context(open_synced_store(folder, page_size=10))
        self.desk.local.add_people([{"username": name} for name in PEOPLE])
        self.names = dict.fromkeys(PEOPLE, 0)
        self.is_fresh = False
        self.entries = 0

    def teardown(self) -> None:
        self._stack.close()

    def truth(self) -> dict[str, str]:
        """Where everybody stands on the Hub."""
        found = {status: self.desk.hub.list(self.desk.repo, status) for status in STATUSES}
        return {str(row.person.id): status for status, rows in found.items() for row in rows}

    # ---- what happens ------------------------------------------------------------------------------------------------

    @rule(name=people)
    def somebody_asks(self, name: str) -> None:
        try:
            self.desk.ask(self._now(name))
        except ValueError:
            return  # has a request already
        self.is_fresh = False

    @rule(name=people)
    def somebody_withdraws(self, name: str) -> None:
        try:
            self.desk.withdraw(self._now(name))
        except HfGateError:
            return  # nothing is pending
        self.is_fresh = False

    @rule(name=people, verb=st.sampled_from(["accept", "reset", "cancel"]))
    def somebody_decides_elsewhere(self, name: str, verb: str) -> None:
        try:
            getattr(self.desk.hub, verb)(self.desk.repo, self._now(name))
        except HfGateError:
            return
        self.is_fresh = False

    @rule(name=people)
    def somebody_is_renamed(self, name: str) -> None:
        before = self._now(name)
        self.is_fresh = False
        self.names[name] += 1
        self.desk.local.control("POST", "rename", {"user": before, "to": self._now(name)})
        self.desk.local.tokens[self._now(name)] = self.desk.local.tokens[before]

    def _now(self, name: str) -> str:
        return f"{name}-{self.names[name]}" if self.names[name] else name

    # ---- readings ----------------------------------------------------------------------------------------------------

    @rule()
    def a_quick_reading(self) -> None:
        synced = self.desk.quick()
        assert synced.withdrawn == 0
        assert synced.complete is None

    @rule()
    def a_full_reading(self) -> None:
        assert self.desk.full().complete
        self.is_fresh = True

    @precondition(lambda self: self.is_fresh)
    @rule()
    def nothing_happened_since(self) -> None:
        assert self.desk.full().change_count == 0

    # ---- what always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def a_full_reading_agrees_with_the_hub(self) -> None:
        if self.is_fresh:
            here = {row.person.identity.user_id: status for status in STATUSES for row in self.desk.rows(status)}
            assert here == self.truth()

    @invariant()
    def the_ledger_only_grows_and_the_rows_are_what_it_says(self) -> None:
        result = verify_ledger(self.desk.store, with_tables=True)
        assert result.ok, result.broken
        assert result.entries >= self.entries
        self.entries = result.entries

    @invariant()
    def attempts_of_one_person_follow_one_another(self) -> None:
        for row in (row for status in (*STATUSES, "withdrawn") for row in self.desk.rows(status)):
            attempts = self.desk.store.attempts(self.desk.repo, row.person.id)
            assert [each.state.attempt for each in attempts] == list(range(1, len(attempts) + 1))
            assert [each.state.after for each in attempts] == [None, *(each.id for each in attempts[:-1])]
            assert [each.is_current for each in attempts] == [False] * (len(attempts) - 1) + [True]


TestReadings = Readings.TestCase
TestReadings.settings = settings(max_examples=max(10, settings().max_examples // 5), stateful_step_count=20)
