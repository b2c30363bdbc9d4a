"""A workspace with a table of agreements, whose rows and dates a test changes to end grants."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events import events as e
from hf_gate.core.people.approvals import Approver
from hf_gate.grants.service.ends.approved_ends import EndChanger, HeldChange
from hf_gate.grants.service.ends.end_changes import change_end_by_hand
from hf_gate.verdicts.service.policy_bundle import load_policies
from tests.kits.approvals import promote_files
from tests.kits.in_process_hub import InProcessHub
from tests.kits.workspaces import WORKSPACE_FILE, HubWorkspace, write_workspace

DAY = 86_400
SIGNED = "until: tables.dua.expires"
KEPT = 'keep_while: tables.dua.state == "valid"'
LENA = Approver("lena", None, "id-lena")
GONE = "gone"
"""In place of days: the person has no row."""
OTHERS = 40  # rows of people who never ask, because a table that lost half its rows is refused


def policy(*terms: str, when: str = "tables.dua") -> str:
    """The policy whose first rule accepts people in the table on these terms."""
    lines = "".join(f"    {line}\n" for term in terms for line in term.split("\n"))
    return (
        'version: 1\npolicy: wishes\napplies_to: ["*/*", "datasets/*/*"]\nmode: enforce\n'
        "tables: {dua: {file: tables/dua.csv, key: user_id}}\nrules:\n"
        f"  - id: signed\n    when: {when}\n    then: accept\n{lines}  - id: rest\n    then: human\n"
    )


class GrantWorkspace(HubWorkspace):
    """A workspace whose policy and table a test writes."""

    def set_policy(self, text: str, guards: str = "") -> None:
        write_workspace(self.folder, text)
        (self.folder / "hf-gate.yaml").write_text(WORKSPACE_FILE + (f"guards: {guards}\n" if guards else ""))
        self.load()
        if "reviewers" in text:
            promote_files(self.workspace)

    def load(self) -> None:
        """Read the files as a new turn does."""
        self.join()
        self.bundle = load_policies(self.workspace)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.local_hub.time.now(), UTC)

    def set_rows(self, days: Mapping[str, int | str | None]) -> None:
        """Write the table: each person's agreement expires in so many days; None: it has no date; GONE: no row."""
        lines = ["user_id,expires", *(f"{n:024x},2099-12-31" for n in range(OTHERS))]
        for name, after in days.items():
            if after != GONE:
                day = "" if after is None else f"{self.now + timedelta(days=int(after)):%Y-%m-%d}"
                lines.append(f"{self.id_of(name)},{day}")
        table = self.folder / "tables" / "dua.csv"
        table.parent.mkdir(exist_ok=True)
        table.write_text("\n".join(lines) + "\n")
        self.load()

    def lose_table(self) -> None:
        """The table cannot be read any more."""
        (self.folder / "tables" / "dua.csv").write_text("nothing that is a table")
        self.load()

    def id_of(self, name: str) -> str:
        if name not in self.local_hub.tokens:
            self.local_hub.add_people(name)
        found = self.local_hub.app.world.find_user(name)
        assert found is not None
        return found.id

    def let_in(self, days: Mapping[str, int | str | None], *terms: str, guards: str = "") -> None:
        """People ask and are accepted on these terms."""
        self.set_rows(days)
        self.set_policy(policy(*terms), guards)
        self.ask(list(days))
        self.turn()
        assert {self.status_on_hub(name) for name in days} == {"accepted"}

    def wait(self, days: float) -> None:
        self.local_hub.time.advance(round(days * DAY))

    def days_left(self, name: str) -> float | None:
        """How many days a person's access lasts from now, as the store has it."""
        end = self.row(name).state.ends_at
        return None if end is None else (from_ms(end) - self.now) / timedelta(days=1)

    def events_of(self, name: str) -> list[e.AnyEvent]:
        """The events about a person, the oldest first."""
        rows = self.store.entries(request=self.row(name).id, limit=1000)
        return [e.decode_event(row.link.body) for row in reversed(rows)]

    def change_end(self, name: str, written: str | None, by: Approver = LENA) -> list[HeldChange]:
        """A person chooses another end of access, or none; what lacks approvals is returned."""
        row, now = self.row(name), self.clock.now()
        change = change_end_by_hand(self.store, row, written, now, self.zone)
        return EndChanger(self.approvals, by).record([change], to_ms(now))

    def notices(self, name: str) -> list[str]:
        return [event.step for event in self.events_of(name) if isinstance(event, e.GrantNoticed)]


def make_grant_workspace(folder: Path) -> GrantWorkspace:
    return GrantWorkspace(folder, InProcessHub(repos=1))
