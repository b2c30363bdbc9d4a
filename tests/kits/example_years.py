"""A workspace with one shipped example policy, in which a test or a benchmark lets a year pass."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.access_end import end_of_terms
from hf_gate.core.people.members import RunAuthor
from hf_gate.core.requests import Target
from hf_gate.decisions.service.decision_sender import DecisionSender
from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget
from hf_gate.grants.service.ends.terms_reader import TermsReader
from hf_gate.ledger.service.ledger_verification import verify_ledger
from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.settings import setting_keys
from hf_gate.verdicts.service.evaluation import open_fact_sources
from hf_gate.verdicts.service.policy_bundle import load_policies
from tests.kits.approvals import promote_files
from tests.kits.in_process_hub import InProcessHub
from tests.kits.members import store_member
from tests.kits.workspaces import HubWorkspace

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


class ExampleYear(HubWorkspace):
    """A workspace with one shipped policy, enforced at one repo, from 21 September 2026 on."""

    def __init__(self, folder: Path, example: str) -> None:
        self.example = example
        super().__init__(folder, InProcessHub(preset=example))
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
        self.local_hub.control("POST", "people", [{"username": name, "email": f"{name}@{host}"} for name in names])

    def apply(self, *names: str, **changed: str) -> None:
        """These people ask, with the answers of a careful person except for those that are named by their role."""
        answers = dict(ANSWERS[self.example])
        if "purpose" in changed:
            purpose = next(label for label in answers if "use" in label or "need" in label or "research:" in label)
            answers[purpose] = changed["purpose"]
        line = {"repo": self.repos[0].id, "repo_type": self.repos[0].type.value, "answers": answers}
        self.local_hub.control("POST", "requests", [{**line, "user": name} for name in names])

    @property
    def today(self) -> datetime:
        return self.clock.now()

    def go_to(self, day: datetime) -> None:
        """Weeks pass with a turn each, until this day and its turn."""
        while self.today + WEEK < day:
            self.wait(WEEK)
        self.wait(day - self.today)

    def wait(self, time: timedelta) -> None:
        self.local_hub.time.advance(time.total_seconds())
        self.join()
        self.turn()

    def have_access(self) -> set[str]:
        return {name for name in self.names if self.status_on_hub(name) == "accepted"}

    def count_entries(self, kind: str) -> int:
        """How many entries of a kind the ledger has."""
        return sum(row.link.kind == kind for row in self.store.entries(limit=10_000))


@contextmanager
def open_example_year(folder: Path, example: str) -> Iterator[ExampleYear]:
    made = ExampleYear(folder, example)
    try:
        yield made
        made.sync(SyncKind.FULL)
        assert verify_ledger(made.store, with_tables=True).broken == []
    finally:
        made.close()


def approve(year: ExampleYear, who: str, by: RunAuthor) -> OutcomeKind:
    year.count += 1
    actor = str(by.account)
    sender = DecisionSender(year.store, year.hub, year.clock, year.zone, actor, year.approvals, author=by)
    policies = {one.repo: one for one in year.bundle.for_repos(year.store, open_fact_sources(year.workspace))}
    row = year.row(who)
    terms = TermsReader(year.workspace, lambda repo: policies.get(repo.repo)).read_terms([row], year.today)[row.id]
    target = DecisionTarget(row.repo, Target(username=who), None, end_of_terms(terms))
    (outcome,) = sender.decide([target], Choice(Status.ACCEPTED), run_id=f"r_{year.count}").outcomes
    return outcome.kind


def two_people(year: ExampleYear) -> tuple[RunAuthor, RunAuthor]:
    """Make two people who may approve under the policies as they are now, which count as promoted."""
    with year.store.writing() as write:
        write.write_setting(setting_keys.OWNER, json.dumps({"name": "owner", "user_id": "id-owner"}))
    promote_files(year.workspace)
    mia = store_member(year.store, "mia")
    return RunAuthor(account="id-owner"), RunAuthor(member=mia.id, account="id-mia")
