"""`wait_for_access` polls with one call, ends at the first change, and says which state it left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hf_gate import Hub, wait_for_access
from hf_gate.hub.protocol.access_refusals import RefusalCause, get_refusals
from hf_gate.hub.why.diagnosis import Diagnosis, DiagnosisCode
from hf_gate.testing import LocalHub

HOUR = 3600.0
ORGANISATION = get_refusals(RefusalCause.TOKEN_ORG_POLICY)[0].text


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A Hub with one gated model, on which an hour takes a second; mia has asked for it."""
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    with LocalHub(requests=0, repos=1, people=[{"username": "mia"}], clock="x3600") as local:
        local.add_requests([{"repo": repo_of(local), "user": "mia"}])
        yield local


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def repo_of(hub: LocalHub) -> str:
    return str(hub.repos[0]["repo"])


def wait(hub: LocalHub, timeout: float | None = 24 * HOUR, token: str | None = None) -> Diagnosis:
    return wait_for_access(repo_of(hub), timeout, token or hub.tokens["mia"], hub.url)


def calls_of(hub: LocalHub, name: str) -> int:
    return int(hub.stats()["calls"].get(name, 0))


def until(ready: Callable[[], bool]) -> None:
    """Ask until it is so; the watchdog of the suite ends a test in which it never is."""
    while not ready():
        pass


def decide(hub: LocalHub, verb: str) -> None:
    with Hub(hub.tokens["owner"], hub.url) as owner:
        if verb == "accept":
            owner.accept(repo_of(hub), "mia")
        elif verb == "reject":
            owner.reject(repo_of(hub), "mia", reason=None)
        else:
            owner.reset(repo_of(hub), "mia")


def seen(found: Diagnosis, what: str) -> list[str]:
    return [one.value for one in found.evidence if one.what == what]


@pytest.mark.parametrize(
    ("verb", "code", "exit_code"),
    [("accept", DiagnosisCode.OK, 0), ("reject", DiagnosisCode.REJECTED, 1), ("reset", DiagnosisCode.RESET, 1)],
)
def test_a_decision_ends_the_wait_and_the_state_before_is_named(
    hub: LocalHub, threads: ThreadPoolExecutor, verb: str, code: DiagnosisCode, exit_code: int
) -> None:
    waiting = threads.submit(wait, hub)
    until(lambda: calls_of(hub, "GET auth-check") >= 2)
    decide(hub, verb)
    found = waiting.result()
    assert (found.code, found.exit_code, seen(found, "before")) == (code, exit_code, ["pending"])


def test_a_day_takes_four_checks_an_hour(hub: LocalHub) -> None:
    wait(hub, 6 * HOUR)
    assert 22 <= calls_of(hub, "GET auth-check") <= 34


@pytest.mark.parametrize(
    "faults",
    [
        ["limit_bare:on=auth-check:call=2-4"],
        ["fail_before:status=503:on=auth-check:call=2-4"],
        ["html_200:on=auth-check:call=2-4"],
        ["foreign:on=auth-check:call=2-4"],
        ["reset_at:byte=1:on=auth-check:call=2-3"],
        ["fail_before:status=503:on=whoami:call=2"],
    ],
    ids=lambda faults: faults[0],
)
def test_a_hub_that_cannot_be_asked_ends_no_wait(hub: LocalHub, threads: ThreadPoolExecutor, faults: list[str]) -> None:
    hub.set_faults(faults)
    waiting = threads.submit(wait, hub)
    until(lambda: calls_of(hub, "GET auth-check") >= 3 or waiting.done())
    decide(hub, "accept")
    found = waiting.result()
    assert (found.code, seen(found, "before")) == (DiagnosisCode.OK, ["pending"])


def test_a_limit_of_calls_is_waited_for_as_long_as_the_hub_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    people = [{"username": "mia"}]
    with LocalHub(requests=0, repos=1, people=people, clock="x3600", quota="4/20000") as local:
        local.add_requests([{"repo": repo_of(local), "user": "mia"}])
        found = wait(local, 5 * HOUR)
        assert found.code is DiagnosisCode.PENDING
        assert local.stats()["replies"].get("429", 0) <= 3


def test_a_token_that_expires_meanwhile_ends_the_wait(hub: LocalHub, threads: ThreadPoolExecutor) -> None:
    waiting = threads.submit(wait, hub)
    until(lambda: calls_of(hub, "GET auth-check") >= 2)
    hub.set_faults(["revoke_token:token=mia"])
    found = waiting.result()
    assert (found.code, found.exit_code) == (DiagnosisCode.TOKEN_INVALID, 4)


def test_a_token_that_an_organisation_has_to_approve_is_waited_for(hub: LocalHub, threads: ThreadPoolExecutor) -> None:
    hub.set_faults([f"answer:status=403:text={ORGANISATION}:on=auth-check"])
    waiting = threads.submit(wait, hub)
    until(lambda: calls_of(hub, "GET auth-check") >= 3)
    assert not waiting.done()
    hub.set_faults([])
    found = waiting.result()
    assert (found.code, seen(found, "before")) == (DiagnosisCode.PENDING, ["token_org_policy"])


@pytest.mark.parametrize("verb", ["reject", "reset"])
def test_a_state_that_time_does_not_change_is_returned_at_once(hub: LocalHub, verb: str) -> None:
    decide(hub, verb)
    found = wait(hub)
    assert seen(found, "wait") == ["not started: time alone changes nothing here"]
    assert calls_of(hub, "GET auth-check") == 1


def test_access_that_is_there_is_returned_at_once_without_a_word_about_waiting(hub: LocalHub) -> None:
    decide(hub, "accept")
    assert seen(wait(hub), "wait") == []
