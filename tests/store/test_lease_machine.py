"""Whatever processes do with leases, and whenever these lapse: one holds each, and no other one writes under it."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Any, Final

import psycopg
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

from hf_gate.errors import StoreBusy
from hf_gate.store.leases import LeaseKeeper, read_lease
from hf_gate.store.sql import Postgres
from hf_gate.store.write_lock import Holder, Work
from tests.kits.evaluations import machine_settings
from tests.kits.stores import new_store

KEEPERS: Final = 3
keepers = st.integers(0, KEEPERS - 1)
works = st.sampled_from((Work.STORE, Work.LOOP))


class LeaseMachine(RuleBasedStateMachine):
    """Three processes. `held` is what each was given and has not given back; `rows` is the table as it must be.

    `lost` is what each knows to have lost.
    """

    place: str

    def __init__(self) -> None:
        super().__init__()
        self.opened = ExitStack()
        self.held: list[dict[Work, int]] = [{} for _ in range(KEEPERS)]
        self.lost: list[set[Work]] = [set() for _ in range(KEEPERS)]
        self.rows: dict[Work, tuple[int | None, int, bool]] = {}  # holder, epoch, whether it has lapsed
        self.writes = 0

    @initialize()
    def begin(self) -> None:
        with psycopg.connect(self.place, autocommit=True) as connection:
            connection.execute("UPDATE leases SET holder = '', about = '', epoch = 0, expires_at = 0")
        self.rows = dict.fromkeys(Work, (None, 0, True))
        self.keepers = [self.opened.enter_context(closing(LeaseKeeper(self.place, Holder(n)))) for n in range(KEEPERS)]
        self.writers = [
            self.opened.enter_context(closing(Postgres(self.place, writes=True, name="test"))) for _ in range(KEEPERS)
        ]
        for keeper in self.keepers:
            keeper._stop.set()  # the machine says when a lease is renewed

    def teardown(self) -> None:
        self.opened.close()

    # ---- what processes do -----------------------------------------------------------------------------------------

    @rule(n=keepers, work=works)
    def take(self, n: int, work: Work) -> None:
        holder, epoch, is_lapsed = self.rows[work]
        is_unused = work not in self.held[n] or work in self.lost[n]
        can_take = holder is None or is_lapsed or (holder == n and is_unused)
        assert self.keepers[n].try_acquire(work) == can_take
        if can_take:
            self.rows[work] = (n, epoch + 1, False)
            self.held[n][work] = epoch + 1
            self.lost[n].discard(work)

    @rule(n=keepers, work=works)
    def take_without_an_answer(self, n: int, work: Work) -> None:
        """The database gives the lease, and the connection breaks before the process knows."""
        holder, epoch, is_lapsed = self.rows[work]
        if holder is None or is_lapsed:
            with psycopg.connect(self.place, autocommit=True) as connection:
                sql = "UPDATE leases SET holder = %s, epoch = epoch + 1, expires_at = 1e15 WHERE name = %s"
                connection.execute(sql, (self.keepers[n].id, work))
            self.rows[work] = (n, epoch + 1, False)

    @rule(n=keepers, work=works)
    def give_back(self, n: int, work: Work) -> None:
        self.keepers[n].release(work)
        self.lost[n].discard(work)
        if self.held[n].pop(work, None) == self.rows[work][1] and self.rows[work][0] == n:
            self.rows[work] = (None, self.rows[work][1], self.rows[work][2])

    @rule(work=works)
    def lapse(self, work: Work) -> None:
        """Its holder stood still, or was cut off."""
        with psycopg.connect(self.place, autocommit=True) as connection:
            connection.execute("UPDATE leases SET expires_at = 0 WHERE name = %s", (work,))
        self.rows[work] = (*self.rows[work][:2], True)

    @rule(n=keepers)
    def renew(self, n: int) -> None:
        self.keepers[n].renew()
        for work in self.held[n]:
            if self.rows[work][0] == n:
                self.rows[work] = (*self.rows[work][:2], False)
        self.lost[n] = {work for work, epoch in self.held[n].items() if self.rows[work][:2] != (n, epoch)}

    @rule(n=keepers)
    def die(self, n: int) -> None:
        """It is killed: nothing is given back. Another process starts in its place."""
        self.keepers[n] = self.opened.enter_context(closing(LeaseKeeper(self.place, Holder(n))))
        self.keepers[n]._stop.set()
        self.held[n] = {}
        self.lost[n] = set()
        for work, (holder, epoch, is_lapsed) in self.rows.items():
            if holder == n:
                self.rows[work] = (-1, epoch, is_lapsed)

    @rule(n=keepers, commits=st.booleans())
    @precondition(lambda self: any(self.held))
    def write(self, n: int, commits: bool) -> None:
        db = self.writers[n]
        is_allowed = all(self.rows[work][:2] == (n, epoch) for work, epoch in self.held[n].items())
        try:
            self.keepers[n].begin(db, f"{n:016x}", tuple(self.held[n]))
        except StoreBusy:
            assert not is_allowed
            self.lost[n].add(next(w for w, epoch in self.held[n].items() if self.rows[w][:2] != (n, epoch)))
            db.rollback()
            return
        assert is_allowed, "a process wrote under a lease that another one took"
        if commits:
            db.commit()
            self.writes += 1
        else:
            db.rollback()

    # ---- what holds always -----------------------------------------------------------------------------------------

    @invariant()
    def the_table_is_as_the_model(self) -> None:
        with psycopg.connect(self.place, autocommit=True) as connection:
            found: dict[str, Any] = {
                name: (holder, epoch)
                for name, holder, epoch in connection.execute("SELECT name, holder, epoch FROM leases")
            }
        for work, (holder, epoch, _) in self.rows.items():
            if work in found:
                assert found[work][1] == epoch
                assert (found[work][0] == "") == (holder is None)
        assert found["transaction"][1] == self.writes, "each transaction that wrote has a number"

    @invariant()
    def one_process_holds_each(self) -> None:
        with closing(Postgres(self.place, writes=False, name="test")) as db:
            for work in (Work.STORE, Work.LOOP):
                state = read_lease(db, work)
                holder, epoch, _ = self.rows[work]
                assert (state is None) == (holder is None)
                if state is not None and holder is not None and holder >= 0:
                    assert (state.holder, state.epoch) == (self.keepers[holder].id, epoch)


def test_whatever_happens_one_process_holds_a_lease_and_writes_under_it(postgres_uri: str) -> None:
    class OnServer(LeaseMachine):
        place = new_store(postgres_uri)

    run_state_machine_as_test(OnServer, settings=machine_settings(max(6, settings().max_examples // 5)))
