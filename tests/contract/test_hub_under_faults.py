"""A Hub that is silent, slow, lying, truncated or failing: no hang, no loss, nothing twice, an honest outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from hf_gate import Decision, Hub
from hf_gate.domain.outcomes import OutcomeKind
from hf_gate.errors import (
    ForeignOrigin,
    HfGateError,
    HubUnavailable,
    NotAllowed,
    NotGated,
    OutcomeUnknown,
    RepoMoved,
    RepoNotFound,
    UnexpectedAnswer,
)
from hf_gate.testing import LocalHub

NAMES = [f"p{n:03}" for n in range(230)]


def asks(repo: str) -> list[dict[str, object]]:
    """Everybody asks, a second apart."""
    return [
        {"repo": repo, "user": n, "answers": {}, "asked_at": f"2026-10-01T00:{i // 60:02}:{i % 60:02}.000Z"}
        for i, n in enumerate(NAMES)
    ]


class Ward:
    """230 people ask at one repo of a Hub that is about to misbehave; its clock runs sixty times as fast."""

    def __init__(self, local: LocalHub, hub: Hub) -> None:
        self.local, self.hub, self.repo = local, hub, local.repos[0]["repo"]

    def moves(self) -> Counter[str]:
        return Counter(m["user"] for m in self.local.journal() if m["from"] is not None)

    def accepted(self) -> set[str]:
        self.local.set_faults([])
        return {str(r.username) for r in self.hub.list_accepted(self.repo)}


@pytest.fixture
def ward(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    with LocalHub(requests=0, repos=1, people=[{"username": n} for n in NAMES], clock="x60", page_size=100) as local:
        local.add_requests(asks(local.repos[0]["repo"]))
        with Hub(local.tokens["owner"], local.url, timeout=0.4) as hub:
            yield Ward(local, hub)


# A passing fault on the write: whatever happened, everybody ends decided exactly once, and the outcome says done.
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
def test_a_passing_fault_loses_nobody_and_decides_nobody_twice(ward: Ward, fault: str) -> None:
    ward.local.set_faults([fault])
    outcomes = list(ward.hub.decide_many(ward.repo, [Decision.accept(name) for name in NAMES]))
    assert Counter(o.kind for o in outcomes) in (
        Counter({OutcomeKind.DONE: 230}),
        Counter({OutcomeKind.DONE: 230 - 1, OutcomeKind.ALREADY: 1}),
    )
    assert ward.moves() == Counter(NAMES)
    assert ward.accepted() == set(NAMES)


@pytest.mark.parametrize(
    "fault", [f.replace("on=batch", "on=handle") for f in PASSING if "batch" not in f or "on=batch" in f]
)
def test_and_so_does_a_single_verb(ward: Ward, fault: str) -> None:
    ward.local.set_faults([fault])
    assert ward.hub.accept(ward.repo, "p007").kind is OutcomeKind.DONE
    assert ward.moves() == Counter(["p007"])


def test_a_change_that_arrives_late_is_found_by_reading(ward: Ward) -> None:
    ward.local.set_faults(["delay_before:s=1:call=1:on=batch"])
    outcomes = list(ward.hub.decide_many(ward.repo, [Decision.accept(name) for name in NAMES[:50]]))
    assert {o.kind for o in outcomes} == {OutcomeKind.DONE}
    assert ward.moves() == Counter(NAMES[:50])


# The run stops, what was not reached is open, and the error says why.
STOPPING: list[tuple[str, type[HfGateError]]] = [
    ("ungate:call=2:on=batch", NotGated),
    ("revoke_token:token=owner:call=2:on=batch", NotAllowed),
    ("down:s=999999:call=2:on=batch", HubUnavailable),
]


@pytest.mark.parametrize(("fault", "error"), STOPPING)
def test_what_ends_a_run_leaves_the_rest_open_and_nothing_half_told(
    ward: Ward, fault: str, error: type[HfGateError]
) -> None:
    ward.local.set_faults([fault])
    kinds: list[OutcomeKind] = []
    with pytest.raises(error) as raised:
        kinds.extend(o.kind for o in ward.hub.decide_many(ward.repo, [Decision.accept(name) for name in NAMES]))
    assert raised.value.hint


@pytest.mark.parametrize(("fault", "error"), STOPPING)
def test_each_decision_is_told_exactly_once_even_when_the_run_ends(
    ward: Ward, fault: str, error: type[HfGateError]
) -> None:
    ward.local.set_faults([fault])
    told: Counter[str | None] = Counter()
    kinds: Counter[OutcomeKind] = Counter()
    try:
        for outcome in ward.hub.decide_many(ward.repo, [Decision.accept(name) for name in NAMES]):
            told[outcome.user] += 1
            kinds[outcome.kind] += 1
    except error:
        pass
    assert told == Counter(NAMES)
    assert kinds == {OutcomeKind.DONE: len(ward.moves()), OutcomeKind.OPEN: 230 - len(ward.moves())}


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
def test_a_list_that_cannot_be_read_ends_in_words_and_is_not_proved(
    ward: Ward, fault: str, error: type[HfGateError]
) -> None:
    ward.local.set_faults([fault])
    listing = ward.hub.list_pending(ward.repo)
    with pytest.raises(error) as raised:
        list(listing)
    assert raised.value.hint
    assert not listing.completeness.proved
    assert "error" in listing.completeness.why


def test_a_renamed_repo_is_not_followed_by_itself(ward: Ward) -> None:
    ward.local.set_faults(["rename_repo"])
    with pytest.raises((RepoMoved, RepoNotFound)):
        ward.hub.accept(ward.repo, "p001")
    assert ward.moves() == Counter()


LISTS: list[tuple[str, bool, Callable[[str], bool]]] = [
    ("no_link", True, lambda why: why == ""),
    ("no_link:p=0.5", True, lambda _: True),
    ("dup_rows", True, lambda why: "twice" in why),
    ("link_loop", False, lambda why: "back" in why),
    ("shuffle", True, lambda _: True),
    ("bad_record:p=1:times=1", False, lambda why: "could not be read" in why),
    ("drop_user:p=1", True, lambda _: True),
    ("fail_before:status=500:p=0.3", True, lambda why: why == ""),
    ("reset_at:byte=100:call=2", True, lambda why: why == ""),
    ("truncate:call=1", True, lambda why: why == ""),
]


@pytest.mark.parametrize(("fault", "is_whole", "why"), LISTS)
def test_a_list_under_faults_is_whole_or_says_why_not(
    ward: Ward, fault: str, is_whole: bool, why: Callable[[str], bool]
) -> None:
    ward.local.set_faults([fault])
    listing = ward.hub.list_pending(ward.repo)
    rows = list(listing)
    assert len({r.key for r in rows}) == len(rows)
    assert not listing.completeness.proved or len(rows) == 230
    if is_whole:
        assert len(rows) == 230
    assert why(listing.completeness.why), listing.completeness.why


def test_shuffled_pages_without_links_are_never_called_whole(ward: Ward) -> None:
    ward.local.set_faults(["shuffle", "no_link"])
    listing = ward.hub.list_pending(ward.repo)
    rows = list(listing)
    assert not listing.completeness.proved or len(rows) == 230


def test_a_change_nobody_can_read_back_is_unknown_and_not_called_done(ward: Ward) -> None:
    ward.local.set_faults(["fail_after:status=500:on=handle", "fail_before:status=500:on=list"])
    with pytest.raises(OutcomeUnknown) as raised:
        ward.hub.accept(ward.repo, "p001")
    assert raised.value.exit_code == 5


def test_the_window_is_kept_without_a_single_429(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_wait_longer_than_max_wait_is_told_and_nothing_of_it_is_sent() -> None:
    with LocalHub(requests=0, repos=1, people=[{"username": "ada"}], quota="2/3000") as local:
        repo = local.repos[0]["repo"]
        with Hub(local.tokens["owner"], local.url, max_wait=1.0) as hub:
            hub.gate(repo)
            hub.gate(repo)
            with pytest.raises(HubUnavailable) as raised:
                hub.grant_access(repo, "ada")
        assert raised.value.exit_code == 75
        assert local.stats()["calls"].get("POST grant", 0) == 0
