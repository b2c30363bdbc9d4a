"""Random acts of reviewers and requesters: client and local Hub agree with the table of transitions after each."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from hf_gate import AccessRequest, AsyncHub, Decision, Hub, NotGated, Person, PersonNotFound, RequestNotFound, Stale
from hf_gate.core.lifecycle import MOVES, STATUS_AFTER_VERB, STATUSES, Actor, Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.errors import HfGateError
from hf_gate.testing import LocalHub

STRANGERS: Final = ("ada", "bob")
EVERYBODY: Final = (*STRANGERS, "dan", "nobody-here")  # dan has an account but no request; the last has no account
STEP: Final = {(m.before, m.verb): m for m in MOVES}
STARTS: Final = [(), ("ask",), ("ask", "accept"), ("ask", "reject"), ("ask", "reset")]  # initial states of requesters
# What the gate tells a person.
SEEN: Final[dict[Status | None, str]] = {
    None: "ask", Status.PENDING: "pending", Status.ACCEPTED: "granted", Status.REJECTED: "rejected", Status.RESET: "reset",
}  # fmt: skip
SIZES: Final = {"dev": (50, 20), "ci": (100, 25), "torture": (1200, 50)}

Way = Literal["name", "person", "user_id", "request_id", "request"]
WAYS: Final[tuple[Way, ...]] = ("name", "person", "user_id", "request_id", "request", "request", "request")
Expected = OutcomeKind | type[HfGateError]


class Scene:
    """One local Hub for all examples, and clients for its people."""

    def __init__(self, local: LocalHub) -> None:
        self.local = local
        made = local.add_people([{"username": name} for name in EVERYBODY[:-1]])
        self.ids = {person["username"]: person["id"] for person in made} | {"nobody-here": "f" * 24}
        self.owner = Hub(local.tokens["owner"], local.url)
        self.owner_name = self.owner.whoami().name
        self.people = {name: Hub(local.tokens[name], local.url) for name in STRANGERS}
        self.runner = asyncio.Runner()
        self.same_owner = self.runner.run(self._open())
        self.repos, self.seq = 0, 0

    async def _open(self) -> AsyncHub:
        return AsyncHub(self.local.tokens["owner"], self.local.url)

    def close(self) -> None:
        for hub in (self.owner, *self.people.values()):
            hub.close()
        self.runner.run(self.same_owner.close())
        self.runner.close()

    def new_repo(self, repo_type: str) -> str:
        self.repos += 1
        name = f"machine-{self.repos}"
        connection = HTTPConnection(urlsplit(self.local.url).netloc, timeout=30)
        headers = {"authorization": f"Bearer {self.local.tokens['owner']}", "content-type": "application/json"}
        connection.request("POST", "/api/repos/create", json.dumps({"type": repo_type, "name": name}), headers)
        assert connection.getresponse().status == 200
        connection.close()
        return f"{self.owner_name}/{name}"

    def act(self, verb: str, *given: Any, is_async: bool, **more: Any) -> Any:
        """Run an operation of the owner with either client."""
        if not is_async:
            return getattr(self.owner, verb)(*given, **more)
        return self.runner.run(getattr(self.same_owner, verb)(*given, **more))

    def act_many(
        self, repo: str, decisions: Sequence[Decision], took: list[Any], *, is_async: bool, **more: Any
    ) -> None:
        """Run many decisions; outcomes before an error stay in `took`."""
        if not is_async:
            took.extend(self.owner.decide_many(repo, decisions, **more))
            return

        async def run() -> None:
            async for outcome in self.same_owner.decide_many(repo, decisions, **more):
                took.append(outcome)  # noqa: PERF401 - a comprehension would lose them when it raises

        self.runner.run(run())


@dataclass(slots=True)
class Known:
    """The model of one person's request. `attempt` counts submissions, `life` requests with one id."""

    status: Status | None = None
    attempt: int = 0
    life: int = 0
    granter: bool = False
    mailed: bool = True


class Read(NamedTuple):
    """A request as it was read earlier, and the model's counters of that time."""

    row: AccessRequest
    attempt: int
    life: int


class Choice(NamedTuple):
    verb: str
    who: str
    way: Way
    reason: str | None


# One draw from all combinations covers more than four draws; requesters and request objects are drawn more often.
CHOICE: Final = st.sampled_from(
    [
        Choice(verb, who, way, reason)
        for verb, reason in (
            ("accept", None),
            ("reject", None),
            ("reject", "say more"),
            ("cancel", None),
            ("reset", "say more"),
        )
        for who in (*STRANGERS, *STRANGERS, *STRANGERS, "dan", "nobody-here")
        for way in WAYS
    ]
)


class LifecycleMachine(RuleBasedStateMachine):
    """The model is the table of transitions and the rules are people's acts; after each, everything readable must agree."""

    scene: Scene

    @initialize(
        repo_type=st.sampled_from(["model", "dataset"]),
        starts=st.lists(st.sampled_from(STARTS), min_size=2, max_size=2),
    )
    def begin(self, repo_type: str, starts: list[tuple[str, ...]]) -> None:
        self.where: dict[str, Any] = {"repo_type": repo_type}
        self.repo = self.scene.new_repo(repo_type)
        self.mode: str | bool = "manual"
        self.scene.owner.set_gate(self.repo, "manual", **self.where)
        self.known = {name: Known() for name in EVERYBODY}
        self.read: dict[str, Read] = {}
        self.times: dict[tuple[str, int, int], Any] = {}
        journal = self.scene.local.journal(self.scene.seq)
        self.seq = journal[-1]["seq"] if journal else self.scene.seq
        self.moved: Counter[tuple[str, str | None, str | None, str]] = Counter()
        for who, acts in zip(STRANGERS, starts, strict=True):
            for act in acts:
                self.ask(who, {}) if act == "ask" else self.single(Choice(act, who, "name", None), act, is_async=False)

    # ---- the model -----------------------------------------------------------------------------------------------

    def step(self, who: str, verb: str, call: str = "") -> None:
        """Apply an allowed transition to the model."""
        now, move = self.known[who], STEP[self.known[who].status, verb]
        after = Status.ACCEPTED if verb == "ask" and self.mode == "auto" else move.after
        route = {"ask-access": "ask"}.get(move.call, move.call)
        self.moved[who, now.status, after, call or route] += 1
        if now.status is None:
            now.life += 1
        if now.status is None or verb == "ask":
            now.attempt, now.mailed = now.attempt + 1, verb != "grant"
        now.status, now.granter = after, after is Status.ACCEPTED and move.actor is Actor.REVIEWER

    def stands(self, who: str, read: Read | None) -> bool:
        """Return whether a decision about that request is still valid."""
        now = self.known[who]
        return read is None or (read.row.status == now.status and (read.attempt, read.life) == (now.attempt, now.life))

    def by_request(self, choice: Choice) -> Expected | None:
        """Return the outcome of a decision about a request object before sending; None if it is sent."""
        read = self.read.get(choice.who) if choice.way == "request" else None
        if read is None:
            return None
        if read.row.status == STATUS_AFTER_VERB[choice.verb]:
            return OutcomeKind.ALREADY
        if self.known[choice.who].status is None:
            return RequestNotFound
        return None if self.stands(choice.who, read) else Stale

    def one(self, choice: Choice) -> Expected:
        """Return the expected outcome of a single operation."""
        if (early := self.by_request(choice)) is not None:
            return early
        if self.mode is False:
            return NotGated
        now, read, is_grant = self.known[choice.who], self.read.get(choice.who), choice.verb == "grant"
        if choice.who == "nobody-here" and (is_grant or choice.way in ("name", "person")):
            return PersonNotFound
        is_other = choice.way == "request_id" and (read is None or read.life != now.life)
        if not is_grant and (now.status is None or is_other):
            return RequestNotFound
        return OutcomeKind.ALREADY if now.status is STATUS_AFTER_VERB[choice.verb] else OutcomeKind.DONE

    def named(self, choice: Choice) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return how the caller names the person: positional and keyword arguments."""
        read, hub_id = self.read.get(choice.who), self.scene.ids[choice.who]
        match choice.way:
            case "request" if read:
                return (read.row,), {}
            case "request_id":
                return (), {"request_id": read.row.request_id if read else "e" * 24}
            case "user_id":
                return (), {"user_id": hub_id}
            case "person":
                return (Person(hub_id, choice.who),), {}
            case _:
                return (choice.who,), {}

    # ---- what people do -------------------------------------------------------------------------------------------

    @rule(choice=CHOICE, is_async=st.booleans())
    def decide(self, choice: Choice, is_async: bool) -> None:
        self.single(choice, choice.verb, is_async=is_async)

    @rule(choice=CHOICE, is_async=st.booleans())
    def grant(self, choice: Choice, is_async: bool) -> None:
        if choice.way != "request_id":  # a grant by request id is an accept
            self.single(choice._replace(verb="grant"), "grant_access", is_async=is_async)

    @rule(choice=CHOICE, how=st.sampled_from(["reset", "reject", "cancel"]), is_async=st.booleans())
    def revoke(self, choice: Choice, how: str, is_async: bool) -> None:
        self.single(choice._replace(verb=how), "revoke_access", is_async=is_async, how=how)

    def single(self, choice: Choice, verb: str, *, is_async: bool, **more: Any) -> None:
        if verb in ("reject", "reset"):
            more["reason"] = choice.reason
        if choice.way == "request" and choice.who not in self.read:
            choice = choice._replace(way="name")
        expected = self.one(choice)
        given, by = self.named(choice)
        act = partial(self.scene.act, verb, self.repo, *given, is_async=is_async, **by, **more, **self.where)
        if isinstance(expected, OutcomeKind):
            assert act().kind is expected
        else:
            with pytest.raises(expected):
                act()
        if expected is OutcomeKind.DONE:
            self.step(choice.who, choice.verb)

    @rule(choices=st.lists(CHOICE, max_size=8), is_async=st.booleans())
    def decide_many(self, choices: list[Choice], is_async: bool) -> None:
        taken = [c if c.way in ("name", "request") else c._replace(way="person") for c in choices]
        decisions = [_decision(c, self.named(c)[0][0]) for c in taken]
        expected, stops = self.many(taken)
        took: list[Any] = []
        if stops:
            with pytest.raises(NotGated):
                self.scene.act_many(self.repo, decisions, took, is_async=is_async, **self.where)
        else:
            self.scene.act_many(self.repo, decisions, took, is_async=is_async, **self.where)
        assert Counter((o.user, o.kind) for o in took) == expected

    def many(self, choices: list[Choice]) -> tuple[Counter[tuple[str | None, OutcomeKind]], bool]:
        """Return the expected outcomes of many decisions, and whether the run stops."""
        told: Counter[tuple[str | None, OutcomeKind]] = Counter()
        first: dict[str, Choice] = {}
        kinds: dict[str, OutcomeKind] = {}  # of the first decision about each person
        left: list[Choice] = []
        repeated: list[Choice] = []
        for choice in choices:
            before = first.get(choice.who)
            first.setdefault(choice.who, choice)
            if before is not None and (before.verb, before.reason) == (choice.verb, choice.reason):
                repeated.append(choice)
            elif before is not None:
                told[choice.who, OutcomeKind.REFUSED] += 1
            elif (kind := self.early(choice)) is None:
                left.append(choice)
            else:
                kinds[choice.who] = kind
        for choice in left:
            now = self.known[choice.who].status
            if self.mode is False:
                kinds[choice.who] = OutcomeKind.OPEN
            elif now is None:
                kinds[choice.who] = OutcomeKind.REFUSED
            else:
                kinds[choice.who] = OutcomeKind.DONE
                if now is not STATUS_AFTER_VERB[choice.verb]:
                    self.step(choice.who, choice.verb, "batch")
        told.update(kinds.items())
        for choice in repeated:
            kind = kinds[choice.who]
            told[choice.who, OutcomeKind.ALREADY if kind is OutcomeKind.DONE else kind] += 1
        return told, bool(left) and self.mode is False

    def early(self, choice: Choice) -> OutcomeKind | None:
        """Return the outcome of the first of many decisions about a person before sending; None if it is sent."""
        early = self.by_request(choice)
        if early is None or isinstance(early, OutcomeKind):
            return early
        return OutcomeKind.STALE if early is Stale else OutcomeKind.GONE

    @rule(who=st.sampled_from(STRANGERS), answers=st.sampled_from([{}, {"Why": "to learn"}]))
    def ask(self, who: str, answers: dict[str, str]) -> None:
        self.scene.local.clock.advance("1s")
        said = self.scene.people[who].ask_access(self.repo, answers, **self.where)
        if self.mode is not False and (self.known[who].status, "ask") in STEP:
            self.step(who, "ask")
        assert said == self.seen(who)

    @rule(who=st.sampled_from(STRANGERS))
    def withdraw(self, who: str) -> None:
        if (self.known[who].status, "withdraw") in STEP:
            assert self.scene.people[who].withdraw(self.repo, **self.where).kind is OutcomeKind.DONE
            self.step(who, "withdraw")
        else:
            with pytest.raises(RequestNotFound):
                self.scene.people[who].withdraw(self.repo, **self.where)

    @rule(mode=st.sampled_from(["manual", "manual", "auto", False]))
    def set_gate(self, mode: Literal["manual", "auto", False]) -> None:
        assert self.scene.owner.set_gate(self.repo, mode, **self.where).mode == mode
        self.mode = mode

    @rule(who=st.sampled_from(EVERYBODY))
    def look_again(self, who: str) -> None:
        """Read the requests again; otherwise decisions use the first reading."""
        self.read.pop(who, None)

    # ---- what must agree --------------------------------------------------------------------------------------------

    def seen(self, who: str) -> str:
        return "granted" if self.mode is False else SEEN[self.known[who].status]

    @invariant()
    def the_journal_tells_the_moves_and_no_others(self) -> None:
        lines = self.scene.local.journal(self.seq)
        self.seq = self.scene.seq = lines[-1]["seq"] if lines else self.seq
        assert Counter((line["user"], line["from"], line["to"], line["route"]) for line in lines) == self.moved
        self.moved.clear()

    @invariant()
    def the_lists_tell_the_model(self) -> None:
        rows = []
        for status in STATUSES:
            listing = self.scene.owner.list(self.repo, status, **self.where)
            rows += list(listing)
            assert listing.completeness.proved
        assert {r.username: r.status for r in rows} == {n: k.status for n, k in self.known.items() if k.status}
        assert len(rows) == len({row.username for row in rows})
        for row in rows:
            who, now = str(row.username), self.known[str(row.username)]
            self.agrees(row, now)
            self.read.setdefault(who, Read(row, now.attempt, now.life))

    def agrees(self, row: AccessRequest, now: Known) -> None:
        assert (row.reviewed_at is None) == (row.status == Status.PENDING)
        assert (row.granted_by.username if row.granted_by else None) == (self.scene.owner_name if now.granter else None)
        assert (row.email is not None) == now.mailed
        attempt = str(row.username), now.attempt, now.life
        assert self.times.setdefault(attempt, row.asked_at) == row.asked_at

    @invariant()
    def people_see_where_they_stand(self) -> None:
        for who, hub in self.scene.people.items():
            assert hub.check_access(self.repo, **self.where) == self.seen(who)


def _decision(choice: Choice, who: Any) -> Decision:
    make: Callable[..., Decision] = getattr(Decision, choice.verb)
    return make(who, reason=choice.reason) if choice.verb in ("reject", "reset") else make(who)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with LocalHub(requests=0, repos=1) as local:
        made = Scene(local)
        yield made
        made.close()


@pytest.mark.slow
def test_client_and_local_hub_follow_the_lifecycle_whatever_people_do(scene: Scene) -> None:
    class Here(LifecycleMachine):
        pass

    Here.scene = scene
    profile = os.environ.get("HF_GATE_TEST_PROFILE", "dev")
    examples, steps = SIZES[profile]
    phases = tuple(Phase) if profile == "dev" else (Phase.generate,)  # shrinking takes minutes: run it by hand
    run_state_machine_as_test(
        Here, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None, phases=phases)
    )
