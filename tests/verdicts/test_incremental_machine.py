"""Over random histories, work for what changed gives the plans, verdicts and ends of a full evaluation and review."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events import events as e
from hf_gate.core.events.evaluations import EVALUATE_NOW
from hf_gate.core.people.grants import GrantTerms
from hf_gate.core.stored_rows import RequestRow
from tests.kits.evaluations import CARD, START, TERMS, EvaluatedWorkspace, machine_settings
from tests.kits.stores import EEG, MED, hub_id, new_store

_repos = st.sampled_from([EEG, MED])
_people = st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True)
_statuses = st.sampled_from(["pending", "pending", "accepted", "rejected", "reset"])
_emails = st.sampled_from(["", "a@mit.edu", "b@gmail.com", None])
_RESET = "then: reset, reason: Please ask again."
RULES = (
    "when: 'form.exists(k, form[k] == \"yes\")', then: accept",
    "when: 'person.account_days < 930', then: human",
    "when: tables.dua, then: accept, until: 2026-04-10",
    f"when: 'tables.dua.state == \"expired\"', {_RESET}",
    "when: 'tables.dua.expires > timestamp(\"2026-03-20T00:00:00Z\")', then: accept, until: 30d",
    'when: \'tables.dua.row["note"] == "b"\', then: accept, reviewers: 2',
    f"when: 'history.elsewhere > 0', {_RESET}",
    "when: 'history.rejected > 0 || history.resets > 1', then: human",
    f"when: 'history.days_since_last > 10', {_RESET}",
    "when: 'person.models > 2', then: accept, until: 1y",
    "when: 'email.academic', then: wait, at_most: 70d, after: reset, reason: Please ask again.",
    f"when: 'request.age_days > 70', {_RESET}",
    "when: 'request.age_days in [60, 75] && person.account_days != 921', then: human",
    "when: 'person.account_days - request.age_days > 859 && person.account_days % 2 == 0', then: human",
    "when: tables.dua, then: accept, until: tables.dua.expires",
    "when: email.free, then: accept, until: 30d, keep_while: 'request.age_days < 65 && !email.disposable'",
    "when: 'request.attempt > 1', then: human",
    "when: '!tables.paid', then: human",
    "when: 'email.free || tables.paid', then: accept, keep_while: 'tables.paid || tables.dua'",
    "when: 'answers.purpose.quality == \"empty\"', then: reject, reason: No.",
    "when: 'now > timestamp(\"2026-03-15T00:00:00Z\")', then: human",
    "when: 'email.free && now > timestamp(\"2026-03-15T00:00:00Z\")', then: accept",
)
_rules = st.lists(st.sampled_from(RULES), min_size=1, max_size=3, unique=True)
_rows = st.tuples(
    st.sampled_from([f"{hub_id(1)},,", ",user2@example.org,", ",@mit.edu,", ",,user3", f"{hub_id(4)},,user5"]),
    st.sampled_from(["", "2026-03-10", "2026-04-01", "2026-02-01"]),
    st.sampled_from(["a", "b"]),
)


class _Machine(RuleBasedStateMachine):
    """A workspace to which anything happens between evaluations."""

    places: ClassVar[list[str]]
    uri: ClassVar[str] = ""

    @initialize(rules=_rules)
    def begin(self, rules: list[str]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        where = Path(self.folder.name)
        place = new_store(self.uri) if self.uri else f"sqlite:///{where / 'desk.db'}"
        self.desk = EvaluatedWorkspace(place, where / "desk")
        self.rows: list[tuple[str, str, str]] = []
        self.write_policy(rules, "[pending, accepted]", "enforce")
        self.crowds = 0

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.desk.review()
            self.desk.evaluate()
            self.desk.close()
            self.folder.cleanup()

    @rule()
    def evaluate(self) -> None:
        self.desk.evaluate()
        due = [row for row in self.desk.current() if row.evaluation.evaluate_at == EVALUATE_NOW]
        assert self.desk.evaluate() <= len(due)

    @rule()
    def review(self) -> None:
        self.desk.review()
        due = [row for row in self.desk.current() if row.evaluation.review_at == EVALUATE_NOW]
        assert self.desk.review() <= len(due)

    @rule(
        data=st.data(),
        terms=st.sampled_from(TERMS),
        days=st.none() | st.integers(1, 60),
        lapses=st.lists(st.none() | st.integers(1, 9), max_size=2),
    )
    def grant(self, data: st.DataObject, terms: GrantTerms, days: int | None, lapses: list[int | None]) -> None:
        if (row := self._any(data)) is not None:
            if row.state.status != "accepted":
                self.desk.decide(row, "accepted")
            self.desk.give_terms(terms, row, days=days, lapses=lapses)

    # ---- requests and people -----------------------------------------------------------------------------------------

    @rule(repo=_repos, people=_people, status=_statuses, day=st.integers(1, 3), word=st.sampled_from(["", "yes", "no"]), email=_emails)  # fmt: skip
    def read(self, repo: Repo, people: list[int], status: str, day: int, word: str, email: str | None) -> None:
        self.desk.read(repo, *people, status=status, day=day, answers={"Why": word}, email=email)

    @precondition(lambda self: self.crowds == 0)
    @rule(repo=_repos)
    def read_many(self, repo: Repo) -> None:
        self.crowds += 1
        self.desk.read(repo, *range(10, 65), answers={"Why": "yes"})

    @rule(repo=_repos)
    def read_fully(self, repo: Repo) -> None:
        if self.desk.store.repo(repo) is not None:
            self.desk.read_fully(repo)

    @rule(repo=_repos, known=st.booleans())
    def write_form(self, repo: Repo, known: bool) -> None:
        self.desk.write_form(repo, CARD if known else "---\nextra_gated_fields:\n  Why: text\n---\n")

    def _any(self, data: st.DataObject) -> RequestRow | None:
        rows = self.desk.current()
        return data.draw(st.sampled_from(rows)) if rows else None

    @rule(data=st.data(), after=_statuses)
    def decide(self, data: st.DataObject, after: str) -> None:
        if (row := self._any(data)) is not None:
            self.desk.decide(row, after)

    @rule(data=st.data(), which=st.integers(0, 6))
    def append(self, data: st.DataObject, which: int) -> None:
        if (row := self._any(data)) is not None:
            events: list[e.AnyEvent] = [
                e.ChangeStarted(run="r2", before=row.state.status, after="accepted"),
                e.RequestWithdrawn(before=row.state.status),
                e.NoteWritten(),
                e.GrantDated(until=to_ms(self.desk.now + timedelta(days=3)), at_end="reset"),
                e.GrantDated(until=None),
                e.GrantNoticed(until=to_ms(self.desk.now), step="7d"),
                e.LetterSent(letter="l_1", about="needed"),
            ]
            self.desk.append(row, events[which])

    @rule(number=st.integers(1, 6), models=st.sampled_from([0, 5]), young=st.booleans())
    def write_profile(self, number: int, models: int, young: bool) -> None:
        self.desk.write_profile(number, models=models, created_at=START - timedelta(days=900) if young else None)

    @rule(number=st.integers(1, 6), cells=st.none() | st.sampled_from([{}, {"expires": "2026-03-20"}]))
    def write_row(self, number: int, cells: dict[str, str] | None) -> None:
        self.desk.write_row(number, cells)

    @rule(name=st.sampled_from(["user3", "user5"]), number=st.sampled_from([0, 3, 6]))
    def bind(self, name: str, number: int) -> None:
        with self.desk.store.writing() as write:
            write.write_binding("dua", name, hub_id(number) if number else "")

    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        if (row := self._any(data)) is not None:
            self.desk.erase(row.person.id)

    # ---- the workspace -----------------------------------------------------------------------------------------------

    @rule(rules=_rules, judges=st.sampled_from(["[pending]", "[pending, accepted]"]), mode=st.sampled_from(["enforce", "shadow"]), name=st.sampled_from(["main", "second"]))  # fmt: skip
    def edit_policy(self, rules: list[str], judges: str, mode: str, name: str) -> None:
        self.write_policy(rules, judges, mode, name)

    def write_policy(self, rules: list[str], judges: str, mode: str, name: str = "main") -> None:
        lines = [f"  - {{id: r{n}, {text}}}\n" for n, text in enumerate(rules)]
        self.desk.write_policy("".join(lines) + "  - {id: rest, then: human}\n", name, judges=judges, mode=mode)

    @rule(row=_rows, is_added=st.booleans(), is_first=st.booleans())
    def edit_table(self, row: tuple[str, str, str], is_added: bool, is_first: bool) -> None:
        if is_added:
            self.rows.insert(0 if is_first else len(self.rows), row)
        elif self.rows:
            self.rows.pop(0 if is_first else -1)
        kept = {who: (who, *more) for who, *more in self.rows}  # two rows of one person are refused
        self.desk.write_table(*map(",".join, kept.values()))

    @rule(span=st.sampled_from([1, 3_600, 86_400, 7 * 86_400 + 1, 12 * 86_400, -3_600, 86_399]))
    def wait(self, span: int) -> None:
        self.desk.wait(seconds=span)


def test_on_sqlite() -> None:
    run_state_machine_as_test(_Machine, settings=machine_settings(max(8, settings().max_examples // 4)))


def test_on_postgresql(postgres_uri: str) -> None:
    class OnServer(_Machine):
        uri = postgres_uri

    run_state_machine_as_test(OnServer, settings=machine_settings(max(4, settings().max_examples // 10)))
