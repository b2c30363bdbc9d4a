"""Decisions on the local Hub: the transition table, and errors for invalid bodies. Recorded exchanges: tests/hub/test_vectors.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kits.local_hubs import ACCESS, LocalHubKit, read_error

NOT_FOUND = (404, "No access request found matching your criteria", None)


@pytest.fixture
def kit() -> LocalHubKit:
    return LocalHubKit()


# ---- the transition table -----------------------------------------------------------------------------------------------


WALKS = {"pending": [], "accepted": ["accepted"], "rejected": ["rejected"], "reset": ["reset"]}


@pytest.mark.parametrize("after", WALKS)
def test_handle_without_a_request_or_a_person(kit: LocalHubKit, after: str) -> None:
    assert read_error(kit.decide("dan", after)) == NOT_FOUND
    assert read_error(kit.decide("nope", after)) == (404, "User not found", None)
    assert read_error(kit.decide("acme", after)) == (404, "User not found", None)


def test_asking_again_changes_nothing_until_it_was_reset(kit: LocalHubKit) -> None:
    kit.ask("bea", {"Purpose": "first"})
    (row,) = kit.list_rows("pending")
    for status in ("accepted", "rejected"):
        kit.decide("bea", status)
        answered = kit.ask("bea", {"Purpose": "second"})
        assert (answered.status, answered.headers["Location"]) == (303, "http://hub.test/acme/model")
        (row,) = kit.list_rows(status)
        assert row["fields"] == {"Purpose": "first"}
    kit.decide("bea", "reset", resetReason="say more")
    kit.ask("bea", {"Purpose": "second"})
    (new,) = kit.list_rows("pending")
    assert new["fields"] == {"Purpose": "second"}
    assert new["timestamp"] > row["timestamp"]
    assert "reviewedAt" not in new
    assert [mail["kind"] for mail in kit.world.outbox] == ["new_request", "reset", "new_request"]


def test_a_form_may_be_sent_as_a_form(kit: LocalHubKit) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    kit.call("POST", "/acme/model/ask-access", b"Purpose=to+sleep&csrf=x&I+agree=on", by="bea", headers=headers)
    assert kit.list_rows("pending")[0]["fields"] == {"Purpose": "to sleep", "I agree": "on"}


# ---- wrong bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "✖ Invalid JSON"),
        (b"", "✖ Invalid input: expected object, received undefined"),
        ({"status": "accepted"}, "✖ Either userId or user must be provided, but not both"),
        (
            {"status": "accepted", "user": "a", "userId": "a" * 24},
            "✖ Either userId or user must be provided, but not both",
        ),
        ({"status": "accepted", "user": 7}, "✖ Invalid input: expected string, received number\n  → at user"),
        (
            {"status": "rejected", "user": "bea", "rejectionReason": "x" * 201},
            "✖ Too big: expected string to have <=200 characters\n  → at rejectionReason",
        ),
        (
            {"status": "rejected", "user": "bea", "rejectionReason": "😀" * 101},
            "✖ Too big: expected string to have <=200 characters\n  → at rejectionReason",
        ),
    ],
)
def test_an_invalid_body_lists_its_problems(kit: LocalHubKit, body: Any, message: str) -> None:
    assert read_error(kit.call("POST", f"{ACCESS}/handle", body)) == (400, message, None)


def test_a_batch_takes_one_to_a_hundred(kit: LocalHubKit) -> None:
    for size, word in (
        (0, "Too small: expected array to have >=1 items"),
        (101, "Too big: expected array to have <=100 items"),
    ):
        body = {"status": "accepted", "requests": [{"user": "bea"}] * size}
        assert read_error(kit.call("POST", f"{ACCESS}/batch", body)) == (400, f"✖ {word}\n  → at requests", None)
