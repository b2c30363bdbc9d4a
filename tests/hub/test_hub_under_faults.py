"""A silent, slow, wrong or failing Hub: nothing hangs, is lost or is done twice, and outcomes are true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from hf_gate import Decision, Hub
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.errors import (
    ForeignOrigin,
    HfGateError,
    HubUnavailable,
    NotAllowed,
    NotGated,
    OutcomeUnknown,
    RepoMoved,
    UnexpectedAnswer,
)
from hf_gate.testing import LocalHub

NAMES = [f"p{n:03}" for n in range(230)]


def asks(repo: str) -> list[dict[str, object]]:
    """Make requests of all people, a second apart."""
    return [
        {"repo": repo, "user": n, "answers": {}, "asked_at": f"2026-10-01T00:{i // 60:02}:{i % 60:02}.000Z"}
        for i, n in enumerate(NAMES)
    ]


class LocalWorld:
    """A local Hub with 230 pending requests for one repo and a clock that runs sixty times as fast."""

    def __init__(self, local: LocalHub, hub: Hub) -> None:
        self.local, self.hub, self.repo = local, hub, local.repos[0]["repo"]

    def moves(self) -> Counter[str]:
        return Counter(m["user"] for m in self.local.journal() if m["from"] is not None)

    def accepted(self) -> set[str]:
        self.local.set_faults([])
        return {str(r.username) for r in self.hub.list_accepted(self.repo)}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalWorld]:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    with LocalHub(requests=0, repos=1, people=[{"username": n} for n in NAMES], clock="x60", page_size=100) as local:
        local.add_requests(asks(local.repos[0]["repo"]))
        with Hub(local.tokens["owner"], local.url, timeout=0.4) as hub:
            yield LocalWorld(local, hub)


# Transient faults of writes: each person is decided exactly once, and the outcome is done.
PASSING = [
    "fail_before:status=502:p=0.3",
    "fail_before:status=503:call=1-2:on=batch",
    "fail_after:status=500:p=0.3",
    "fail_after:status=504:call=1:on=batch",
    "html_200:call=1:on=batch",
    "empty_200:call=1-2:on=batch",
    "delay_after:s=1:call=1:on=batch",
    "reset_at:byte=0:call=1:on=batch",
    "reset_at:byte=40:call=1:on=batch",
    "truncate:call=1:on=batch",
    "limit_bare:call=1-2",
    "no_batch",
    "lag:s=1",
    "dup_rows:p=0.5",
    "drop_user:p=0.3",
]


@pytest.mark.parametrize("fault", PASSING)
def test_a_transient_fault_loses_no_decision_and_repeats_none(world: LocalWorld, fault: str) -> None:
    world.local.set_faults([fault])
    outcomes = list(world.hub.decide_many(world.repo, [Decision.accept(name) for name in NAMES]))
    assert Counter(o.kind for o in outcomes) in (
        Counter({OutcomeKind.DONE: 230}),
        Counter({OutcomeKind.DONE: 230 - 1, OutcomeKind.ALREADY: 1}),
    )
    assert world.moves() == Counter(NAMES)
    assert world.accepted() == set(NAMES)


@pytest.mark.parametrize(
    "fault", [f.replace("on=batch", "on=handle") for f in PASSING if "batch" not in f or "on=batch" in f]
)
def test_a_transient_fault_does_not_repeat_a_single_decision(world: LocalWorld, fault: str) -> None:
    world.local.set_faults([fault])
    assert world.hub.accept(world.repo, "p007").kind is OutcomeKind.DONE
    assert world.moves() == Counter(["p007"])


def test_a_late_change_is_found_by_reading(world: LocalWorld) -> None:
    world.local.set_faults(["delay_before:s=1:call=1:on=batch"])
    outcomes = list(world.hub.decide_many(world.repo, [Decision.accept(name) for name in NAMES[:50]]))
    assert {o.kind for o in outcomes} == {OutcomeKind.DONE}
    assert world.moves() == Counter(NAMES[:50])


# The run stops, the remaining decisions are open, and the error tells why.
STOPPING: list[tuple[str, type[HfGateError]]] = [
    ("ungate:call=2:on=batch", NotGated),
    ("revoke_token:token=owner:call=2:on=batch", NotAllowed),
    ("down:s=999999:call=2:on=batch", HubUnavailable),
]


@pytest.mark.parametrize(("fault", "error"), STOPPING)
def test_each_decision_has_exactly_one_outcome_even_when_the_run_ends(
    world: LocalWorld, fault: str, error: type[HfGateError]
) -> None:
    world.local.set_faults([fault])
    told: Counter[str | None] = Counter()
    kinds: Counter[OutcomeKind] = Counter()
    with pytest.raises(error) as raised:  # noqa: PT012 - the outcomes until then count
        for outcome in world.hub.decide_many(world.repo, [Decision.accept(name) for name in NAMES]):
            told[outcome.user] += 1
            kinds[outcome.kind] += 1
    assert raised.value.hint
    assert told == Counter(NAMES)
    assert kinds == {OutcomeKind.DONE: len(world.moves()), OutcomeKind.OPEN: 230 - len(world.moves())}


LYING: list[tuple[str, type[HfGateError]]] = [
    ("link_evil:url=http://127.0.0.1:1/x", ForeignOrigin),
    ("redirect_evil:url=http://127.0.0.1:1/x", ForeignOrigin),
    ("html_200", UnexpectedAnswer),
    ("empty_200", UnexpectedAnswer),
    ("truncate", HfGateError),
    ("huge_body", UnexpectedAnswer),
    ("deep_json", UnexpectedAnswer),
    ("down:s=999999", HubUnavailable),
    ("slow_body:bps=100", HubUnavailable),
    ("revoke_token:token=owner", NotAllowed),
]


@pytest.mark.parametrize(("fault", "error"), LYING)
def test_an_unreadable_list_ends_with_a_reason_and_is_not_proved(
    world: LocalWorld, fault: str, error: type[HfGateError]
) -> None:
    world.local.set_faults([fault])
    listing = world.hub.list_pending(world.repo)
    with pytest.raises(error) as raised:
        list(listing)
    assert raised.value.hint
    assert not listing.completeness.proved
    assert "error" in listing.completeness.why


def test_a_renamed_repo_is_not_followed_automatically(world: LocalWorld) -> None:
    world.local.set_faults(["rename_repo"])
    with pytest.raises(RepoMoved) as raised:
        world.hub.accept(world.repo, "p001")
    assert raised.value.message.startswith(f"{world.repo} was moved: the Hub points to {world.repo}")
    assert world.moves() == Counter()


LISTS: list[tuple[str, bool, Callable[[str], bool]]] = [
    ("no_link", True, lambda why: why == ""),
    ("no_link:p=0.5", True, lambda _: True),
    ("dup_rows", True, lambda why: "twice" in why),
    ("link_loop", False, lambda why: "back" in why),
    ("shuffle", True, lambda _: True),
    ("bad_record:p=1:times=1", False, lambda why: "could not be read" in why),
    ("bad_record:kind=status:times=1", False, lambda why: "does not know" in why),
    ("drop_user:p=1", True, lambda _: True),
    ("fail_before:status=500:p=0.3", True, lambda why: why == ""),
    ("reset_at:byte=100:call=2", True, lambda why: why == ""),
    ("truncate:call=1", True, lambda why: why == ""),
]


@pytest.mark.parametrize(("fault", "is_whole", "why"), LISTS)
def test_a_list_under_faults_is_complete_or_tells_why_not(
    world: LocalWorld, fault: str, is_whole: bool, why: Callable[[str], bool]
) -> None:
    world.local.set_faults([fault])
    listing = world.hub.list_pending(world.repo)
    rows = list(listing)
    assert len({r.key for r in rows}) == len(rows)
    assert not listing.completeness.proved or len(rows) == 230
    if is_whole:
        assert len(rows) == 230
    assert why(listing.completeness.why), listing.completeness.why


def test_shuffled_pages_without_links_are_never_proved_complete(world: LocalWorld) -> None:
    world.local.set_faults(["shuffle", "no_link"])
    listing = world.hub.list_pending(world.repo)
    rows = list(listing)
    assert not listing.completeness.proved or len(rows) == 230


def test_a_change_that_cannot_be_read_back_is_unknown(world: LocalWorld) -> None:
    world.local.set_faults(["fail_after:status=500:on=handle", "fail_before:status=500:on=list"])
    with pytest.raises(OutcomeUnknown) as raised:
        world.hub.accept(world.repo, "p001")
    assert raised.value.exit_code == 5


def test_the_rate_limit_is_kept_without_a_429(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    people = [{"username": n} for n in NAMES]
    with LocalHub(requests=0, repos=1, people=people, quota="10/60", clock="x60", page_size=10) as local:
        repo = local.repos[0]["repo"]
        local.add_requests(asks(repo))
        with Hub(local.tokens["owner"], local.url) as hub:
            listing = hub.list_pending(repo)
            assert len(list(listing)) == 230
            assert listing.completeness.proved
        assert "429" not in local.stats()["replies"]


def test_a_wait_longer_than_max_wait_raises_and_nothing_is_sent() -> None:
    with LocalHub(requests=0, repos=1, people=[{"username": "ada"}], quota="2/3000") as local:
        repo = local.repos[0]["repo"]
        with Hub(local.tokens["owner"], local.url, max_wait=1.0) as hub:
            hub.gate(repo)
            hub.gate(repo)
            with pytest.raises(HubUnavailable) as raised:
                hub.grant_access(repo, "ada")
        assert raised.value.exit_code == 75
        assert local.stats()["calls"].get("POST grant", 0) == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("fail_before:status=502", r"the Hub answers with errors, or not at all; the next attempt would be in \d+ s"),
        ("limit_bare", r"the rate limit would delay this by \d+ s"),
    ],
)
def test_a_wait_longer_than_max_wait_says_what_it_waits_for(fault: str, words: str) -> None:
    with LocalHub(requests=10, repos=1, faults=[fault]) as local:
        url, token, repo = local.url, local.tokens["owner"], local.repos[0]["repo"]
        with Hub(token, url, max_wait=2) as hub, pytest.raises(HubUnavailable, match=words):
            list(hub.list_pending(repo))
