"""A state machine that enters random records and entries into a store, and checks rows, counts and chains."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from hf_gate.base.ids import Repo
from hf_gate.core.events import events as e
from hf_gate.core.events.activity import Activity, week_of, weekday_of
from hf_gate.core.events.events import LedgerEntry, commitment_of, decode_event
from hf_gate.core.events.ledger import LedgerLink, chain_of, verify_chain
from hf_gate.core.events.request_state import RequestState, apply_event
from hf_gate.core.lifecycle import STATUSES
from hf_gate.core.stored_rows import RequestRow
from hf_gate.workspace.rows.opening import open_store
from tests.kits.stores import EEG, ENDPOINT, MED, record, store_records

_repos = st.sampled_from([EEG, MED])
_statuses = st.sampled_from([status.value for status in STATUSES])
_times = st.integers(0, 5000)
_words = st.sampled_from(["", "sleep", "睡眠", "\x00", "a" * 300])


class StoreMachine(RuleBasedStateMachine):
    """Records and entries at random, on two repos; the store is closed and opened in between."""

    place: str

    @initialize()
    def begin(self) -> None:
        self.store = open_store(self.place, endpoint=ENDPOINT)
        self.entries = 0

    def teardown(self) -> None:
        self.store.close()

    # ---- what happens --------------------------------------------------------------------------------------------------

    @rule(
        repo=_repos,
        people=st.lists(st.integers(1, 6), min_size=1, max_size=5),
        status=_statuses,
        day=st.integers(1, 4),
        word=_words,
        hidden=st.booleans(),
    )
    def read(self, repo: Repo, people: list[int], status: str, day: int, word: str, hidden: bool) -> None:
        page = [record(n, status, day=day, answers={"Why": word}, is_hidden=hidden and n == 6) for n in people]
        store_records(self.store, repo, page, self.moment(1_000))

    def moment(self, drawn: int) -> int:
        """The time (ms) of what is entered next."""
        return drawn

    @precondition(lambda self: self._requests())
    @rule(data=st.data(), at=_times)
    def append(self, data: st.DataObject, at: int) -> None:
        repo = data.draw(st.sampled_from(sorted({row[1] for row in self._requests()})))
        idents, at = [row for row in self._requests() if row[1] == repo], self.moment(at)
        entries = [
            self._entry(data, *data.draw(st.sampled_from(idents)), at) for _ in range(data.draw(st.integers(1, 4)))
        ]
        with self.store.writing() as write:
            write.append(repo, entries)

    def _entry(self, data: st.DataObject, ident: int, _: Repo, person: int, at: int) -> LedgerEntry:
        event: e.AnyEvent = data.draw(
            st.one_of(
                st.builds(e.StatusMoved, before=_statuses, after=_statuses, reviewed_at=st.none() | _times),
                st.builds(e.RequestWithdrawn, before=_statuses),
                st.builds(
                    e.VerdictReached, action=st.sampled_from(["accept", "human"]), rule=st.sampled_from(["a", "b"]),
                    policy=st.none() | st.just("p"),
                    shadow=st.sampled_from([(), (("q", "r", "reset"),)]),
                ),
                st.builds(e.ChangeStarted, run=st.just("r1"), before=_statuses, after=_statuses),
                st.builds(e.ChangeSettled, run=st.just("r1"), kind=st.sampled_from(["done", "open", "refused", "already"]), after=_statuses),
                st.builds(
                    e.GrantDated, until=st.none() | _times, at_end=st.just("reset"), lapses=st.lists(st.none() | _times, max_size=2).map(tuple),
                    terms=st.none() | st.just("t"),
                ),
                st.builds(e.GrantNoticed, until=_times, step=st.just("7d")),
                st.builds(e.LetterSent, letter=st.just("l_1"), about=st.just("needed")),
                st.builds(e.NoteWritten),
            )
        )  # fmt: skip
        private = data.draw(st.none() | st.fixed_dictionaries({"note": _words, "tables": st.just(["dua"])}))
        return LedgerEntry(event=event, at=at, actor="lena", request=ident, person=person, private=private)

    @rule(at=_times)
    def promote(self, at: int) -> None:
        with self.store.writing() as write:
            write.append(None, [LedgerEntry(event=e.PolicyPromoted(policy="p", digest="d"), at=at, actor="lena")])

    @rule()
    def fail(self) -> None:
        before = self.store.chains()

        def half() -> None:
            with self.store.writing() as write:
                write.append(None, [LedgerEntry(event=e.PolicyPromoted(policy="p", digest="d"), at=1, actor="lena")])
                raise InterruptedError

        with pytest.raises(InterruptedError):
            half()
        assert self.store.chains() == before

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = open_store(self.place, endpoint=ENDPOINT)

    # ---- what holds ----------------------------------------------------------------------------------------------------

    def _requests(self) -> list[tuple[int, Repo, int]]:
        return [(row.id, row.repo, row.person.id) for row in self._rows()]

    def _rows(self) -> list[RequestRow]:
        idents = [ident for (ident,) in self.store.reads.rows("SELECT id FROM requests ORDER BY id")]
        return list(self.store.requests(idents).values())

    @invariant()
    def chains_hold_and_commitments_fit(self) -> None:
        for chain, (length, head) in self.store.chains().items():
            assert [
                (link.seq, link.hash) for link in verify_chain(self.store.links(chain)) if isinstance(link, LedgerLink)
            ] == [(length, head)]
            for link, salt, private in self.store.links_with_private_parts(chain):
                if private is not None:
                    assert salt is not None
                    assert link.commitment == commitment_of(salt, private)
                else:
                    assert link.commitment is None

    @invariant()
    def rows_are_what_the_ledger_folds_into(self) -> None:
        folded: dict[int, RequestState] = {}
        for repo in (EEG, MED):
            for link in self.store.links(chain_of(repo)):
                assert link.request is not None
                state = apply_event(folded.get(link.request), decode_event(link.body), link.at)
                assert state is not None
                folded[link.request] = state
        rows = self.store.requests(list(folded))
        assert {ident: row.state for ident, row in rows.items()} == folded
        assert len(self._requests()) == len(folded)
        latest = {(row.repo, row.person.id): row for row in sorted(rows.values(), key=lambda row: row.state.attempt)}
        assert {row.id for row in rows.values() if row.is_current} == {row.id for row in latest.values()}

    @invariant()
    def counts_are_counts(self) -> None:
        rows = self.store.reads.rows(
            "SELECT r.repo_id, r.status, v.action, v.rule FROM requests r LEFT JOIN verdicts v ON v.id = r.verdict_id"
            " WHERE r.is_current"
        )
        want: Counter[Any] = Counter()
        for repo, status, action, by in rows:
            cell = f"{status} {action or '-'} {by or '-'}"
            names = (("status", status), ("action", action), ("cell", cell))
            want.update((repo, kind, name) for kind, name in names if name)
        kept = self.store.reads.rows("SELECT repo_id, kind, name, n FROM counters WHERE n <> 0")
        assert {(repo, kind, name): n for repo, kind, name, n in kept} == dict(want)

    @invariant()
    def weekly_counts_are_counts(self) -> None:
        rows = self.store.reads.rows("SELECT repo_id, asked_at, status, is_current, ends_at FROM requests")
        kept = self.store.reads.rows("SELECT kind, week, repo_id, name, n FROM weekly WHERE n <> 0")
        counts = {kind: {tuple(key): n for each, *key, n in kept if each == kind} for kind in Activity}
        asked = Counter((week_of(at), repo, "") for repo, at, *_ in rows)
        waiting = [(at, repo) for repo, at, status, is_current, _ in rows if is_current and status == "pending"]
        assert counts[Activity.ASKED] == asked
        assert counts[Activity.OPEN] == Counter((week_of(at), repo, str(weekday_of(at))) for at, repo in waiting)
        ends = [(repo, until) for repo, _, _, is_current, until in rows if is_current and until is not None]
        assert counts[Activity.END] == Counter((week_of(until), repo, "") for repo, until in ends)
        assert sum(counts[Activity.WAIT].values()) == sum(counts[Activity.ANSWERED].values())

    @invariant()
    def every_request_is_found_by_its_text(self) -> None:
        for row in self._rows():
            assert row.request is not None
            if row.is_current and (name := row.person.identity.username):
                assert row.id in {one.id for one in self.store.find_by_identity(row.repo, name)}
