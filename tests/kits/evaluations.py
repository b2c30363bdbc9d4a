"""A store whose requests are evaluated as far as something changed, and the comparison with a full evaluation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, settings

from hf_gate.automation.service.turn_permissions import TurnFilter
from hf_gate.base.ids import Person, Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.config import Paths, Settings
from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.core.events.evaluations import EVALUATE_NOW
from hf_gate.core.events.events import LedgerEntry
from hf_gate.core.forms.forms import form_to_json, parse_gate_form
from hf_gate.core.people.accounts import Profile
from hf_gate.core.people.grants import GrantCondition, GrantTerms
from hf_gate.core.stored_rows import RequestRow
from hf_gate.decisions.service.plans.planning import PlanResult, propose_plan
from hf_gate.errors import Offline
from hf_gate.grants.rows import write_terms
from hf_gate.grants.service.ends.end_reviews import ChangedEnds, EndReview
from hf_gate.grants.service.ends.grant_ends import refresh_ends
from hf_gate.hub.client import Hub
from hf_gate.policies.facts.fact_values import ProfileFact
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.drivers.profile import encode_profile
from hf_gate.verdicts.plan.guards import ChangeFilter, apply_budgets
from hf_gate.verdicts.plan.model import encode_plan
from hf_gate.verdicts.rows.table_rows import write_table_rows
from hf_gate.verdicts.service.evaluated_parts import EvaluatedPart, PlanBuffer, evaluate_part
from hf_gate.verdicts.service.evaluation import RepoPolicies, open_fact_sources
from hf_gate.verdicts.service.policy_bundle import PolicyBundle, load_policies
from hf_gate.workspace.rows.opening import open_store
from hf_gate.workspace.service.bootstrap import read_location
from tests.kits.manual_clock import ManualClock
from tests.kits.stores import EEG, ENDPOINT, MED, hub_id, record, store_records

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORKSPACE = """\
version: 1
repos: ["*/*", "datasets/*/*"]
policies: [policies/*.yaml]
tables: {dua: {file: dua.csv, key: [user_id, email, username]}, paid: {store: true}}
timezone: Europe/Zurich
guards: {protected: [user3]}
"""
HEADER = "user_id,email,username,expires,note,from\n"
CARD = """\
---
extra_gated_fields:
  What will you study: text
  Why: text
---
"""


def build_condition(expr: str, grace: str | None = None, **lets: str) -> GrantCondition:
    return GrantCondition(policy="main", rule="r0", expr=expr, lets=lets, grace=grace)


EXPIRES = "tables.dua.expires"
TERMS: tuple[GrantTerms, ...] = (
    GrantTerms(until=(EXPIRES,), notice=("7d", "1mo")),
    GrantTerms(until=(EXPIRES, "2026-05-01T00:00:00.000Z"), keep_while=(build_condition("tables.dua"),)),
    GrantTerms(until=(EXPIRES, "30d")),
    GrantTerms(keep_while=(build_condition('tables.dua.state == "valid"', "14d"),), notice=("2w", "2mo")),
    GrantTerms(
        keep_while=(
            build_condition('tables.dua.row["note"] == "a"', "7d"),
            build_condition("email.free || tables.dua", "1mo"),
        )
    ),
    GrantTerms(keep_while=(build_condition("request.age_days < 70"),)),
    GrantTerms(keep_while=(build_condition("person.account_days % 2 == 0 || history.rejected > 0", "1d"),)),
    GrantTerms(keep_while=(build_condition('now < timestamp("2026-03-20T00:00:00Z")', "2w"),), notice=("1d",)),
    GrantTerms(keep_while=(build_condition("person.models < 3", "30d"),)),
    GrantTerms(keep_while=(build_condition("history.elsewhere == 0 && history.days_since_last < 12", "3d"),)),
    GrantTerms(
        keep_while=(build_condition("fine", "1w", fine="listed || request.age_days < 62", listed="tables.dua"),)
    ),
    GrantTerms(keep_while=(build_condition("tables.paid", "3d"), build_condition("tables.paid || tables.dua"))),
    GrantTerms(until=("tables.gone.expires",), keep_while=(build_condition("tables.gone"),)),
)


class ClockOfHub:
    """All that an evaluation and a review read of the Hub: how far its clock is ahead; None: it does not answer."""

    skew: float | None = 0.0

    def gate(self, repo: Repo) -> None:
        raise Offline(f"{repo}: no answer")


@dataclass
class EvaluatedWorkspace:
    """A workspace with a store, without a Hub."""

    place: str
    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    hub: ClockOfHub = field(default_factory=ClockOfHub)

    def __post_init__(self) -> None:
        (self.folder / "policies").mkdir(parents=True)
        (self.folder / "hf-gate.yaml").write_text(WORKSPACE)
        self.write_table()
        self.store = open_store(self.place, endpoint=ENDPOINT)
        self.open_workspace()
        self.write_row(99, {})  # of the common key, so that the next row concerns one person only

    def open_workspace(self) -> None:
        """Read hf-gate.yaml, as each turn does."""
        paths = Paths(*(self.folder / name for name in "cdsk"))
        settings = Settings(paths, endpoint=ENDPOINT, workspace=self.folder)
        where = read_location(settings)
        self.workspace = Workspace(
            settings, where, self.store, clock=self.clock, open_hub=lambda: cast("Hub", self.hub)
        )

    def close(self) -> None:
        self.store.close()

    @property
    def now(self) -> datetime:
        return self.clock.at

    # ---- what happens ------------------------------------------------------------------------------------------------

    def write_policy(self, rules: str, name: str = "main", **more: str) -> None:
        """Write a policy with these rules, in flow style."""
        head = {"mode": "enforce", "applies_to": '["*/*", "datasets/*/*"]', **more}
        lines = ["version: 1", f"policy: {name}", *(f"{key}: {value}" for key, value in head.items()), "rules:"]
        (self.folder / "policies" / f"{name}.yaml").write_text("\n".join(lines) + "\n" + rules)

    def write_table(self, *rows: str) -> None:
        """Write the table; rows with each common key are always there, so that it is never refused."""
        always = [f"{hub_id(99)},,,,", ",nobody@example.org,,,"]
        (self.folder / "dua.csv").write_text(
            HEADER + "\n".join(row + "," * (HEADER.count(",") - row.count(",")) for row in [*always, *rows]) + "\n"
        )

    def read(self, repo: Repo, *numbers: int, status: str = "pending", **more: Any) -> list[int]:
        """Read the requests of these people, as a sync does."""
        return store_records(self.store, repo, [record(number, status, **more) for number in numbers], to_ms(self.now))

    def read_fully(self, repo: Repo) -> None:
        with self.store.writing() as write:
            write.update_repo(repo, {"full_at": to_ms(self.now)})

    def write_form(self, repo: Repo, card: str) -> None:
        form = parse_gate_form(card)
        assert form is not None
        with self.store.writing() as write:
            write.update_repo(repo, {"form_card": json.dumps(form_to_json(form))})

    def write_profile(self, number: int, *, models: int = 0, created_at: datetime | None = None) -> None:
        """Store the profile of a person, read now."""
        person = Person(hub_id(number), f"user{number}")
        profile = Profile(person, created_at, False, (), models, 0, 0)
        row = next(iter(self.store.find_by_identity(None, f"user{number}")), None)
        if row is not None:
            with self.store.writing() as write:
                document = encode_profile(ProfileFact(profile, self.now))
                write.write_profile(row.person.id, document, to_ms(self.now))

    def write_row(self, number: int, cells: Mapping[str, str] | None) -> None:
        """Write a row of the table in the store, as another system does; None deletes it."""
        rows = {f"user{number}@example.org": cells}
        write_table_rows(self.store, "paid", rows, actor="key:shop", at=to_ms(self.now))

    def append(self, row: RequestRow, *events: e.AnyEvent) -> None:
        with self.store.writing() as write:
            write.append(
                row.repo,
                [LedgerEntry(event=one, at=to_ms(self.now), actor="lena", request=row.id) for one in events],
            )

    def decide(self, row: RequestRow, *statuses: str) -> None:
        """Decisions of ours that the Hub confirmed."""
        for after in statuses:
            started = e.ChangeStarted(run="r1", before=row.state.status, after=after)
            self.append(row, started, e.ChangeSettled(run="r1", kind="done", after=after))

    def give_terms(
        self,
        terms: GrantTerms,
        *rows: RequestRow,
        days: int | None = None,
        lapses: Sequence[int | None] = (),
        cause: str | None = None,
    ) -> None:
        """Grants of these people end after so many days, or by these terms."""
        until, *soon = (None if n is None else to_ms(self.now + timedelta(days=n)) for n in (days, *lapses))
        event = e.GrantDated(until=until, at_end="reset", terms=terms.digest, lapses=tuple(soon), cause=cause)
        with self.store.writing() as write:
            write_terms(write, [terms])
            for row in rows:
                entry = LedgerEntry(event=event, at=to_ms(self.now), actor="lena", request=row.id)
                write.append(row.repo, [entry])

    def erase(self, person: int) -> None:
        """Delete the private parts of a person."""
        with self.store.writing() as write:
            write.db.run("DELETE FROM private WHERE person_id = ?", (person,))
            write.clear_classifications([row.id for row in self.store.attempts(None, person)])

    def current(self) -> list[RequestRow]:
        idents = [ident for (ident,) in self.store.reads.rows("SELECT id FROM requests WHERE is_current ORDER BY id")]
        return list(self.store.requests(idents).values())

    def row(self, number: int, repo: Repo = EEG) -> RequestRow:
        (found,) = self.store.find_by_identity(repo, f"user{number}")
        return found

    def wait(self, **span: float) -> None:
        self.clock.advance(timedelta(**span).total_seconds())

    # ---- evaluation ----------------------------------------------------------------------------------------------------

    @property
    def bundle(self) -> PolicyBundle:
        return load_policies(self.workspace)

    def policy_sets(self, bundle: PolicyBundle) -> Sequence[RepoPolicies]:
        return bundle.for_repos(self.store, open_fact_sources(self.workspace))

    def _list(self, policy_set: RepoPolicies, status: str, now: datetime, buffer: PlanBuffer) -> list[EvaluatedPart]:
        return list(
            evaluate_part(self.store, policy_set, open_fact_sources(self.workspace), status, now, buffer=buffer)
        )

    def propose(
        self,
        bundle: PolicyBundle,
        turn: ChangeFilter | None = None,
        *,
        is_full: bool = False,
        between: Callable[[], None] = lambda: None,
        room: Mapping[str, int] | None = None,
    ) -> PlanResult:
        """Make a plan: by a full evaluation that stores nothing, or as every turn does.

        `between` is called after a list was evaluated, before the results are stored.
        """

        def evaluate(*about: Any) -> Iterator[EvaluatedPart]:
            parts = self._list(*about)
            between()
            return iter(parts)

        return propose_plan(
            self.store,
            self.policy_sets(bundle),
            evaluate,
            now=self.now,
            policies=bundle.policies,
            protected=bundle.config.guards.protected,
            should_record=not is_full,
            change_filter=turn,
            sources=open_fact_sources(self.workspace),
            room=room,
        )

    def evaluate(self) -> int:
        """Evaluate what changed, compare with a full evaluation, and return how many requests were evaluated."""
        bundle = self.bundle
        turns = [TurnFilter(self.store) for _ in range(2)]
        full, full_turn = self.propose(bundle, is_full=True), self.propose(bundle, turns[0], is_full=True)
        done, turn = self.propose(bundle), self.propose(bundle, turns[1])
        assert turn.evaluated <= done.evaluated
        assert encode_plan(done.plan) == encode_plan(full.plan)
        assert encode_plan(turn.plan) == encode_plan(full_turn.plan)
        assert {one.id for one in done.missing_profiles} == {one.id for one in full.missing_profiles}
        assert turns[1].held_counts == turns[0].held_counts
        for room in ROOMS:
            self._check_room(bundle, room, full)
        self._check_stored(bundle)
        return done.evaluated

    def _check_room(self, bundle: PolicyBundle, room: Mapping[str, int], whole: PlanResult) -> None:
        """With room for few changes, a plan has those of the whole plan that the guards allow, and counts the others."""
        allowed, deferred = apply_budgets(whole.plan.changes, room)
        for found in (self.propose(bundle, room=room), self.propose(bundle, is_full=True, room=room)):
            assert sorted(found.plan.changes, key=_order) == sorted(allowed, key=_order)
            assert +Counter(found.left_out) == Counter(change.guard for change in deferred)
            assert found.plan.summary == whole.plan.summary

    def _check_stored(self, bundle: PolicyBundle) -> None:
        """What is stored is what a full evaluation stores."""
        for policy_set in self.policy_sets(bundle):
            for status in policy_set.statuses:
                for part in self._list(policy_set, status, self.now, PlanBuffer()):
                    assert part.entries == []
                    assert part.results == []
        rows = self.store.reads.rows(
            "SELECT repo_id, status, outcome, verdict_id, count(*) FROM requests WHERE is_current AND outcome <> 'ignore'"
            " GROUP BY repo_id, status, outcome, verdict_id"
        )
        build_condition = self.store.reads.rows(
            "SELECT repo_id, status, outcome, verdict_id, n FROM evaluation_counts WHERE n <> 0"
        )
        assert sorted(build_condition) == sorted(rows)

    # ---- ends ----------------------------------------------------------------------------------------------------------

    def review(self) -> int:
        """Review the ends that changed, compare with a review of all, move the ends; return how many were reviewed."""
        bundle, rows = self.bundle, {row.id: row for row in self.current()}
        every = ChangedEnds(self.workspace, bundle, self.now, is_full=True)
        full = every.review()
        changed = ChangedEnds(self.workspace, bundle, self.now)
        assert _summary(changed.review()) == _summary(full)
        done = refresh_ends(self.workspace, bundle, self.now)
        if self.hub.skew == 0:
            assert done.undecided == full.undecided
        again = ChangedEnds(self.workspace, bundle, self.now, is_full=True)
        again.review()
        if done.counts or done.noticed or done.reviewed:
            rows = {row.id: row for row in self.current()}
        differing = {one.request for reviews in again.lists for one in reviews.results}
        if self.hub.skew != SKEWED:
            assert {rows[ident].evaluation.review_at for ident in differing} <= {EVALUATE_NOW}
        return done.reviewed


def _order(change: Change) -> int:
    return change.row


ROOMS: tuple[Mapping[str, int], ...] = ({"accept": 1, "reset": 0, "reject": 2, "remove": 1}, {"reset": 3})


def _summary(review: EndReview) -> tuple[object, ...]:
    moves = sorted((move.row.id, move.kinds, move.event.until or 0, str(move.event.lapses)) for move in review.moves)
    return moves, sorted((row.id, event.until, event.step) for row, event in review.notices), review.undecided


SKEWED = 4_000.0
"""A clock of the Hub by which no end moves."""
REPOS = (EEG, MED)


def machine_settings(examples: int) -> settings:
    """The settings of a state machine that evaluates at each step."""
    return settings(
        max_examples=examples, stateful_step_count=min(25, settings().stateful_step_count),
        suppress_health_check=[HealthCheck.too_slow], deadline=None,
    )  # fmt: skip
