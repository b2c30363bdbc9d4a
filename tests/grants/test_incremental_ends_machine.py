"""Over random histories of grants, reviewing the ends that changed moves and announces what a review of all ends would."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events import events as e
from hf_gate.core.events.evaluations import EVALUATE_NOW
from hf_gate.core.people.grants import GrantTerms
from tests.kits.evaluations import CARD, SKEWED, START, TERMS, EvaluatedWorkspace, machine_settings
from tests.kits.stores import EEG, MED, hub_id, new_store

_repos = st.sampled_from([EEG, EEG, MED])
_people = st.integers(1, 4)
_terms = st.sampled_from(TERMS)
_days = st.none() | st.sampled_from([1, 5, 8, 20, 45, 70])
_CROWD = range(10, 33)  # more than one turn may move to an earlier end
_ROWS = (hub_id(1) + ",,", ",user2@example.org,", ",u3@mit.edu,", ",,user4", ",@example.org,", ",@gmail.com,")
_POLICY = "  - {id: listed, when: 'tables.dua && !email.free', then: human}\n  - {id: rest, then: human}\n"


class _Machine(RuleBasedStateMachine):
    """A workspace where everybody has access that ends."""

    places: ClassVar[list[str]]
    uri: ClassVar[str] = ""

    @initialize(terms=st.lists(_terms, min_size=4, max_size=4), crowd=_terms, days=_days)
    def begin(self, terms: list[GrantTerms], crowd: GrantTerms, days: int | None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        where = Path(self.folder.name)
        self.desk = EvaluatedWorkspace(
            new_store(self.uri) if self.uri else f"sqlite:///{where / 'desk.db'}", where / "desk"
        )
        self.rows: dict[str, tuple[str, str]] = dict.fromkeys(_ROWS[:5], ("2026-05-20", "a"))
        self.write_table()
        self.desk.write_policy(_POLICY, judges="[pending, accepted]")
        self.desk.read(EEG, 1, 2, 3, 4, *_CROWD, status="accepted")
        self.desk.read(MED, 1, 2, status="accepted")
        for number, one in enumerate(terms, 1):
            self.desk.give_terms(one, self.desk.row(number), days=days)
        self.desk.give_terms(crowd, *map(self.desk.row, _CROWD), days=days)
        self.desk.review()

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.desk.hub.skew = 0.0
            self.desk.review()
            self.desk.close()
            self.folder.cleanup()

    @rule()
    def review(self) -> None:
        self.desk.review()
        due = [row for row in self.desk.current() if row.evaluation.review_at == EVALUATE_NOW]
        assert self.desk.review() <= len(due)

    @rule()
    def evaluate(self) -> None:
        self.desk.evaluate()

    # ---- grants ------------------------------------------------------------------------------------------------------

    @rule(number=_people, terms=_terms, days=_days, lapses=st.lists(st.none() | st.integers(1, 9), max_size=2))
    def grant(self, number: int, terms: GrantTerms, days: int | None, lapses: list[int | None]) -> None:
        row = self.desk.row(number)
        if row.state.status != "accepted":
            self.desk.decide(row, "accepted")
        self.desk.give_terms(terms, row, days=days, lapses=lapses)

    @rule(terms=_terms, days=_days)
    def grant_crowd(self, terms: GrantTerms, days: int | None) -> None:
        self.desk.give_terms(terms, *map(self.desk.row, _CROWD), days=days)

    @rule(number=_people, which=st.integers(0, 5))
    def append(self, number: int, which: int) -> None:
        row = self.desk.row(number)
        events: list[e.AnyEvent] = [
            e.ChangeStarted(run="r2", before=row.state.status, after="reset"),
            e.ChangeSettled(run="r2", kind="gone", after="reset"),
            e.RequestWithdrawn(before=row.state.status),
            e.GrantDated(until=to_ms(self.desk.now + timedelta(days=20)), terms=row.state.terms, at_end="reset"),
            e.GrantNoticed(until=to_ms(self.desk.now), step="7d"),
            e.GrantDated(until=None),
        ]
        self.desk.append(row, events[which])

    # ---- what ends depend on -----------------------------------------------------------------------------------------

    @rule(who=st.sampled_from(_ROWS), until=st.sampled_from(["", "2026-03-10", "2026-04-01", "2026-06-30"]), note=st.sampled_from(["a", "b"]))  # fmt: skip
    def edit_row(self, who: str, until: str, note: str) -> None:
        self.rows[who] = (until, note)
        self.write_table()

    @rule(who=st.sampled_from(_ROWS))
    def remove_row(self, who: str) -> None:
        self.rows.pop(who, None)
        self.write_table()

    @rule()
    def spoil_table(self) -> None:
        (self.desk.folder / "dua.csv").write_text("nothing that is a table")

    def write_table(self) -> None:
        self.desk.write_table(*(",".join((who, *more)) for who, more in self.rows.items()))

    @rule(repo=_repos, number=_people, status=st.sampled_from(["accepted", "accepted", "rejected"]), day=st.sampled_from([1, 1, 2]), email=st.sampled_from(["", "a@mit.edu", "b@gmail.com"]))  # fmt: skip
    def read(self, repo: Repo, number: int, status: str, day: int, email: str) -> None:
        self.desk.read(repo, number, status=status, day=day, email=email)

    @rule(repo=_repos)
    def read_fully(self, repo: Repo) -> None:
        self.desk.read_fully(repo)

    @rule()
    def write_form(self) -> None:
        self.desk.write_form(EEG, CARD)

    @rule(number=_people, models=st.sampled_from([0, 5]))
    def write_profile(self, number: int, models: int) -> None:
        self.desk.write_profile(number, models=models, created_at=START - timedelta(days=900))

    @rule(number=_people, cells=st.none() | st.sampled_from([{}, {"expires": "2026-03-20"}]))
    def write_row(self, number: int, cells: dict[str, str] | None) -> None:
        self.desk.write_row(number, cells)

    @rule(number=st.sampled_from([0, 3, 4]))
    def bind(self, number: int) -> None:
        with self.desk.store.writing() as write:
            write.write_binding("dua", "user4", hub_id(number) if number else "")

    @rule(number=_people)
    def erase(self, number: int) -> None:
        self.desk.erase(self.desk.row(number).person.id)

    @rule(
        span=st.sampled_from([1, 3_600, 86_400, 86_399, 3 * 86_400, 7 * 86_400 + 1, 16 * 86_400, -3_600, -5 * 86_400])
    )
    def wait(self, span: int) -> None:
        self.desk.wait(seconds=span)

    @rule(days=st.sampled_from([10, 15, 25, 40]))
    def wait_for_days(self, days: int) -> None:
        self.desk.review()
        self.desk.wait(days=days)

    @rule(skew=st.sampled_from([0.0, 0.0, 0.0, None, SKEWED]))
    def change_clock_of_hub(self, skew: float | None) -> None:
        self.desk.hub.skew = skew


def test_on_sqlite() -> None:
    run_state_machine_as_test(_Machine, settings=machine_settings(max(8, settings().max_examples // 4)))


def test_on_postgresql(postgres_uri: str) -> None:
    class OnServer(_Machine):
        uri = postgres_uri

    run_state_machine_as_test(OnServer, settings=machine_settings(max(4, settings().max_examples // 10)))
