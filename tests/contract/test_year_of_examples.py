"""The shipped policies through a year on the Hub's clock: a turn a week and on each day on which something happens.

Nobody loses access early or because something is unknown, and nobody keeps it longer than one turn.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

from hf_gate.application import setting_keys
from hf_gate.application.decision_sender import DecisionSender
from hf_gate.application.decisions import Choice, DecisionTarget
from hf_gate.application.ledger_verification import verify_ledger
from hf_gate.application.policy_bundle import load_policies
from hf_gate.application.sync_schedule import SyncKind
from hf_gate.application.terms_reader import TermsReader
from hf_gate.domain.hand_terms import end_of_terms
from hf_gate.domain.lifecycle import Status
from hf_gate.domain.members import Member, MemberRole, RunAuthor
from hf_gate.domain.outcomes import OutcomeKind
from hf_gate.domain.requests import Target
from hf_gate.store.members import Members
from tests.torture.near import Near
from tests.torture.scene import Scene

GOOD = "We compare sleep stages of young and old adults across laboratories; the outcome is an open scoring model."
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
ANSWERS: Mapping[str, Mapping[str, str]] = {
    "consumer": {
        "Name": "Ada Lind",
        "Affiliation": "University of Oslo",
        "Country": "NO",
        "What will you use Lantern for?": GOOD,
        "I agree to the Lantern community licence and to the acceptable use policy": "true",
    },
    "class": {
        "Name": "Ada Lind",
        "Student number": "12345",
        "Exercise group": "Monday",
        "What do you need the data for?": "I need the corpus for exercise three of the autumn course on language processing.",
        "I will delete the data after the exam": "true",
    },
    "medical": {
        "Full name": "Ada Lind",
        "Institution (Lab/group/division)": "Sleep laboratory, University of Oslo",
        "PI/Advisor": "Bo Lund",
        "Country": "NO",
        "Please describe your research: question, method, expected outcome": GOOD,
        "I accept the data use agreement": "true",
        "I will use the recordings for non-commercial research only": "true",
    },
}


class Year(Scene):
    """A workspace with one shipped policy, enforced at one repo, from 21 September 2026 on."""

    def __init__(self, folder: Path, example: str) -> None:
        self.example = example
        super().__init__(folder, Near(preset=example))
        text = files("hf_gate").joinpath("examples", f"{example}.yaml").read_text("utf-8")
        for placeholder in ("datasets/my-org/my-patients", "datasets/my-org/my-course", "my-org/my-model"):
            text = text.replace(placeholder, str(self.repos[0]))
        (folder / "policies" / "wishes.yaml").write_text(text.replace("mode: shadow", "mode: enforce"), "utf-8")
        (folder / "tables").mkdir()
        self.rows: dict[str, str] = {}
        self.names: list[str] = []
        self.join()

    def join(self) -> None:
        """The policies and tables as they are written now."""
        super().join()
        self.bundle = load_policies(self.workspace)

    def list(self, header: str = "email") -> None:
        """Write the table."""
        name = {"class": "roster", "medical": "agreements"}[self.example]
        lines = "\n".join([header, *self.rows.values(), ""])
        (self.folder / "tables" / f"{name}.csv").write_text(lines, "utf-8")

    def people(self, *names: str, host: str = "uio.no") -> None:
        self.names += names
        self.near.door("POST", "people", [{"username": name, "email": f"{name}@{host}"} for name in names])

    def apply(self, *names: str, **changed: str) -> None:
        """These people ask, with the answers of a careful person except for those that are named by their role."""
        answers = dict(ANSWERS[self.example])
        if "purpose" in changed:
            purpose = next(label for label in answers if "use" in label or "need" in label or "research:" in label)
            answers[purpose] = changed["purpose"]
        line = {"repo": self.repos[0].id, "repo_type": self.repos[0].type.value, "answers": answers}
        self.near.door("POST", "requests", [{**line, "user": name} for name in names])

    @property
    def today(self) -> datetime:
        return self.clock.now()

    def go_to(self, day: datetime) -> None:
        """Weeks pass with a turn each, until this day and its turn."""
        while self.today + WEEK < day:
            self._pass(WEEK)
        self._pass(day - self.today)

    def _pass(self, time: timedelta) -> None:
        self.near.time.advance(time.total_seconds())
        self.join()
        self.turn()

    def have_access(self) -> set[str]:
        return {name for name in self.names if self.where(name) == "accepted"}

    def told(self, kind: str) -> int:
        """How many entries of a kind the ledger has."""
        return sum(row.link.kind == kind for row in self.store.entries(limit=10_000))


@contextmanager
def _year(folder: Path, example: str) -> Iterator[Year]:
    made = Year(folder, example)
    try:
        yield made
        made.sync(SyncKind.FULL)
        assert verify_ledger(made.store, with_tables=True).broken == []
    finally:
        made.close()


def _on(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


def test_a_course_lives_through_its_term(tmp_path: Path) -> None:
    students = [f"student-{n:02}" for n in range(20)]
    late, gone, stranger = "student-late", students[3], "somebody"
    with _year(tmp_path, "class") as year:
        year.people(*students, late)
        year.people(stranger, host="mail.example")
        year.rows = {name: f"{name}@uio.no" for name in students}
        year.list()
        year.apply(*students, late, stranger)
        year.go_to(_on(2026, 9, 22))
        assert year.have_access() == {*students}
        assert (year.where(late), year.where(stranger)) == ("pending", "reset")
        year.rows[late] = f"{late}@uio.no"
        year.list()
        year.go_to(_on(2026, 9, 30))
        assert year.have_access() == {*students, late}
        del year.rows[gone]
        year.list()
        year.go_to(_on(2026, 10, 1))
        year.go_to(_on(2026, 10, 3))
        assert year.have_access() == {*students, late}, "a line that was removed by mistake can be put back"
        year.go_to(_on(2026, 10, 5))
        assert year.have_access() == {*students, late} - {gone}
        year.go_to(_on(2027, 2, 28))
        assert year.have_access() == {*students, late} - {gone}, "the last day of the term belongs to it"
        year.go_to(_on(2027, 3, 1))
        assert year.have_access() == set()
        assert year.where(students[0]) == "reset"


def test_who_is_never_put_on_the_roster_is_told_after_two_weeks(tmp_path: Path) -> None:
    with _year(tmp_path, "class") as year:
        year.people("early", "other")
        year.rows = {"early": "early@uio.no"}
        year.list()
        year.apply("early", "other")
        year.go_to(_on(2026, 9, 22))
        year.go_to(_on(2026, 10, 4))
        assert year.where("other") == "pending"
        year.go_to(_on(2026, 10, 6))
        assert year.where("other") == "reset"


def test_a_roster_that_cannot_be_read_for_a_month_takes_nothing_away(tmp_path: Path) -> None:
    with _year(tmp_path, "class") as year:
        year.people("ada", "bob")
        year.rows = {name: f"{name}@uio.no" for name in ("ada", "bob")}
        year.list()
        year.apply("ada", "bob")
        year.go_to(_on(2026, 9, 22))
        (tmp_path / "tables" / "roster.csv").write_bytes(b"")
        year.go_to(_on(2026, 10, 22))
        assert year.have_access() == {"ada", "bob"}
        (tmp_path / "tables" / "roster.csv").unlink()
        year.go_to(_on(2026, 11, 22))
        assert year.have_access() == {"ada", "bob"}


def _approve(year: Year, who: str, by: RunAuthor) -> OutcomeKind:
    year.count += 1
    actor = str(by.account)
    sender = DecisionSender(year.store, year.hub, year.clock, year.zone, actor, year.approvals, author=by)
    policies = {one.repo: one for one in year.bundle.for_repos(year.store, year.workspace.sources)}
    row = year.row(who)
    terms = TermsReader(year.workspace, lambda repo: policies.get(repo.repo)).read_terms([row], year.today)[row.id]
    target = DecisionTarget(row.repo, Target(username=who), None, end_of_terms(terms))
    (outcome,) = sender.decide([target], Choice(Status.ACCEPTED), run_id=f"r_{year.count}").outcomes
    return outcome.kind


def _two_people(year: Year) -> tuple[RunAuthor, RunAuthor]:
    with year.store.writing() as write:
        write.write_setting(setting_keys.OWNER, json.dumps({"name": "owner", "user_id": "id-owner"}))
    members = Members(year.store)
    mia = members.invite(Member(name="mia", role=MemberRole.REVIEWER), "first", "owner", 1)
    members.prove_account(mia, "mia", "id-mia", "second", 2)
    return RunAuthor(account="id-owner"), RunAuthor(member=mia.id, account="id-mia")


def test_agreements_are_signed_approved_renewed_and_withdrawn(tmp_path: Path) -> None:
    with _year(tmp_path, "medical") as year:
        owner, mia = _two_people(year)
        names = ("ada", "bob", "cyd", "dan")
        year.people(*names)
        header = "email,expires"
        signed = ("ada", "bob", "cyd", *(f"colleague-{n}" for n in range(9)))  # of 3 rows, none may be lost at once
        year.rows = {name: f"{name}@uio.no,2027-09-30" for name in signed}
        year.list(header)
        year.apply(*names)
        year.go_to(_on(2026, 9, 22))
        assert year.have_access() == set(), "two people approve"
        for name in ("ada", "bob", "cyd"):
            assert _approve(year, name, owner) is OutcomeKind.DEFERRED
            assert _approve(year, name, mia) is OutcomeKind.DONE
        assert year.have_access() == {"ada", "bob", "cyd"}
        year.go_to(_on(2026, 10, 30))
        assert year.where("dan") == "reset", "the paper never came"
        del year.rows["cyd"]
        year.list(header)
        year.go_to(_on(2026, 10, 31))
        assert "cyd" in year.have_access()
        year.go_to(_on(2026, 11, 4))
        assert year.have_access() == {"ada", "bob"}, "an agreement that was withdrawn"
        year.go_to(_on(2027, 8, 15))
        assert year.told("GrantNoticed") == 1, "of the withdrawn agreement"
        year.go_to(_on(2027, 9, 2))
        assert year.told("GrantNoticed") == 3
        year.rows["bob"] = "bob@uio.no,2028-09-30"
        year.list(header)
        year.go_to(_on(2027, 9, 30))
        assert year.have_access() == {"ada", "bob"}, "the last day belongs to it"
        year.go_to(_on(2027, 10, 1) + timedelta(hours=1))
        assert year.have_access() == {"bob"}
        year.go_to(_on(2028, 9, 29))
        assert year.have_access() == {"bob"}
        year.go_to(_on(2028, 10, 2))
        assert year.have_access() == set()


def test_an_open_model_answers_everybody_each_week(tmp_path: Path) -> None:
    with _year(tmp_path, "consumer") as year:
        for week in range(26):
            good, poor = f"good-{week:02}", f"poor-{week:02}"
            year.people(good, poor, host="mail.example")
            year.apply(good)
            year.apply(poor, purpose="test")
            year.go_to(year.today + WEEK)
            assert (year.where(good), year.where(poor)) == ("accepted", "reset")
            if week % 2:
                year.apply(poor)
        year.go_to(year.today + WEEK)
        stand = Counter(year.where(name) for name in year.names)
        assert (stand["accepted"], stand["reset"], stand["rejected"]) == (39, 13, 0)
