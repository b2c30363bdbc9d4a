"""A model of when grants must end, to compare with a workspace turn by turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hf_gate.base.timestamps import from_ms
from tests.kits.grant_workspaces import GONE, KEPT, OTHERS, SIGNED, GrantWorkspace

PEOPLE = ("ada", "bo", "cy")
STOOD = timedelta(days=7)  # a date that a table has not moved for so long ends access without a limit
GRACES = {"dua": timedelta(days=5), "training": timedelta(days=3)}


TRAINING = """\
version: 1
policy: training
applies_to: ["*/*", "datasets/*/*"]
mode: enforce
tables: {training: {file: tables/training.csv, key: user_id}}
rules:
  - {id: trained, when: tables.training, then: accept, keep_while: tables.training, grace: 3d}
"""


LEEWAY = timedelta(minutes=10)  # what the calls of a turn take


@dataclass
class Agreement:
    """What is true about one person: the last known end, when a table moved it to an earlier time, and since when each
    condition is false.
    """

    end: datetime
    shortened_at: datetime | None = None
    false_since: dict[str, datetime | None] = field(default_factory=dict)


@dataclass
class GrantModel:
    """One workspace, and what should be true about its people."""

    workspace: GrantWorkspace
    rows: dict[str, int | str | None] = field(default_factory=dict)
    people: dict[str, Agreement] = field(default_factory=dict)
    dates: dict[str, datetime | None] = field(default_factory=dict)
    untrained: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)  # tables that cannot be read

    def start(self, days: dict[str, int], guards: str) -> None:
        self.rows = dict(days)
        (self.workspace.folder / "policies").mkdir(exist_ok=True)
        (self.workspace.folder / "policies" / "training.yaml").write_text(TRAINING)
        self.write_training()
        self.workspace.let_in(self.rows, SIGNED, f"{KEPT}\ngrace: 5d", guards=guards)
        for name in PEOPLE:
            end = self.workspace.row(name).state.until
            assert end is not None
            self.people[name] = Agreement(from_ms(end))
        self.read()

    def change(self, name: str, days: int | str | None) -> None:
        """Somebody edits the table."""
        self.rows[name] = days
        self.lost.discard("dua")
        self.workspace.set_rows(self.rows)

    def train(self, name: str) -> None:
        """Somebody enters a person into the second table, or removes the person."""
        self.untrained ^= {name}
        self.lost.discard("training")
        self.write_training()

    def write_training(self) -> None:
        trained = [f"{self.workspace.id_of(name)}\n" for name in PEOPLE if name not in self.untrained]
        others = [f"{n:024x}\n" for n in range(OTHERS)]
        table = self.workspace.folder / "tables" / "training.csv"
        table.parent.mkdir(exist_ok=True)
        table.write_text("user_id\n" + "".join([*others, *trained]))

    def lose(self, table: str) -> None:
        self.lost.add(table)
        (self.workspace.folder / "tables" / f"{table}.csv").write_text("nothing that is a table")

    def read(self) -> None:
        """What this turn knows: a table that cannot be read leaves the last known dates as they are."""
        if "dua" in self.lost:
            return
        table = {row.user_id: row.expires for row in self.workspace.bundle.tables["dua"].rows}
        self.dates = {name: table.get(self.workspace.id_of(name)) for name in self.people}

    def is_kept(self, name: str, table: str) -> bool | None:
        """A condition: whether a row of the table counts now; None if the table is lost."""
        if table in self.lost:
            return None
        if name in self.untrained if table == "training" else self.rows[name] == GONE:
            return False
        if table == "training":
            return True
        date = self.dates[name]
        return date is None or date > self.workspace.now  # a row without a date does not expire

    def expect(self) -> None:
        """What this turn reads moves the end that it should have."""
        now = self.workspace.now
        self.read()
        for name, agreement in self.people.items():
            date = self.dates[name]
            if date is not None and date != agreement.end:
                agreement.shortened_at = now if date < agreement.end else agreement.shortened_at
                agreement.end = date
            for table in GRACES:
                kept = self.is_kept(name, table)
                if kept is not None:
                    agreement.false_since[table] = None if kept else agreement.false_since.get(table) or now

    def must_have_ended(self, name: str, now: datetime) -> bool:
        """Whether access is over at a time: by a known date, or by a condition that is known to be false."""
        agreement = self.people[name]
        return agreement.end <= now or any(
            since is not None and self.is_kept(name, table) is False and since + GRACES[table] <= now
            for table, since in agreement.false_since.items()
        )

    def is_sudden(self, name: str, now: datetime) -> bool:
        """Whether an end counts towards the guard: by a condition, or by a date that was moved to an earlier time."""
        one = self.people[name]
        return one.end > now or (one.shortened_at is not None and one.shortened_at > now - STOOD)

    def turn(self, rate: int) -> None:
        self.expect()
        now = self.workspace.now
        before = {name: self.workspace.status_on_hub(name) for name in self.people}
        self.workspace.turn()
        ended = [
            name
            for name in self.people
            if before[name] == "accepted" and self.workspace.status_on_hub(name) != "accepted"
        ]
        assert sum(self.is_sudden(name, now) and self.is_sudden(name, now + LEEWAY) for name in ended) <= rate
        sudden = sum(self.is_sudden(name, now) for name in ended)
        for name in ended:
            assert self.must_have_ended(name, now + LEEWAY), f"{name} lost access too early, or on unknown"
            del self.people[name]
        left = [name for name in self.people if self.must_have_ended(name, now)]
        assert all(self.is_sudden(name, now) for name in left), f"{left} keep access after their end"
        assert not left or sudden >= rate, f"{left} keep access though the guard has room"
