"""The shipped policies through a year on the Hub's clock: a turn a week and on each day on which something happens.

Nobody loses access early or because something is unknown, and nobody keeps it longer than one turn.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hf_gate.core.outcomes import OutcomeKind
from tests.kits.example_years import WEEK, approve, open_example_year, two_people


def _on(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


def test_a_course_lives_through_its_term(tmp_path: Path) -> None:
    students = [f"student-{n:02}" for n in range(20)]
    late, gone, stranger = "student-late", students[3], "somebody"
    with open_example_year(tmp_path, "class") as year:
        year.people(*students, late)
        year.people(stranger, host="mail.example")
        year.rows = {name: f"{name}@uio.no" for name in students}
        year.list()
        year.apply(*students, late, stranger)
        year.go_to(_on(2026, 9, 22))
        assert year.have_access() == {*students}
        assert (year.status_on_hub(late), year.status_on_hub(stranger)) == ("pending", "reset")
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
        assert year.status_on_hub(students[0]) == "reset"


def test_who_is_never_put_on_the_roster_is_told_after_two_weeks(tmp_path: Path) -> None:
    with open_example_year(tmp_path, "class") as year:
        year.people("early", "other")
        year.rows = {"early": "early@uio.no"}
        year.list()
        year.apply("early", "other")
        year.go_to(_on(2026, 9, 22))
        year.go_to(_on(2026, 10, 4))
        assert year.status_on_hub("other") == "pending"
        year.go_to(_on(2026, 10, 6))
        assert year.status_on_hub("other") == "reset"


def test_a_roster_that_cannot_be_read_for_a_month_takes_nothing_away(tmp_path: Path) -> None:
    with open_example_year(tmp_path, "class") as year:
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


def test_agreements_are_signed_approved_renewed_and_withdrawn(tmp_path: Path) -> None:
    with open_example_year(tmp_path, "medical") as year:
        owner, mia = two_people(year)
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
            assert approve(year, name, owner) is OutcomeKind.DEFERRED
            assert approve(year, name, mia) is OutcomeKind.DONE
        assert year.have_access() == {"ada", "bob", "cyd"}
        year.go_to(_on(2026, 10, 30))
        assert year.status_on_hub("dan") == "reset", "the paper never came"
        del year.rows["cyd"]
        year.list(header)
        year.go_to(_on(2026, 10, 31))
        assert "cyd" in year.have_access()
        year.go_to(_on(2026, 11, 4))
        assert year.have_access() == {"ada", "bob"}, "an agreement that was withdrawn"
        year.go_to(_on(2027, 8, 15))
        assert year.count_entries("GrantNoticed") == 1, "of the withdrawn agreement"
        year.go_to(_on(2027, 9, 2))
        assert year.count_entries("GrantNoticed") == 3
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
    with open_example_year(tmp_path, "consumer") as year:
        for week in range(26):
            good, poor = f"good-{week:02}", f"poor-{week:02}"
            year.people(good, poor, host="mail.example")
            year.apply(good)
            year.apply(poor, purpose="test")
            year.go_to(year.today + WEEK)
            assert (year.status_on_hub(good), year.status_on_hub(poor)) == ("accepted", "reset")
            if week % 2:
                year.apply(poor)
        year.go_to(year.today + WEEK)
        stand = Counter(year.status_on_hub(name) for name in year.names)
        assert (stand["accepted"], stand["reset"], stand["rejected"]) == (39, 13, 0)
