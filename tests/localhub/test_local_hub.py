"""Decisions on the local Hub: recorded exchanges, the transition table, and errors for invalid bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hf_gate.localhub.http_messages import json_response
from tests.kits.local_hubs import ACCESS, LocalHubKit, read_error

NOT_FOUND = (404, "No access request found matching your criteria", None)
BAD_LOGIN = (401, "Invalid username or password.", None)


@pytest.fixture
def kit() -> LocalHubKit:
    return LocalHubKit()


# ---- recorded vectors ---------------------------------------------------------------------------------------------------


def test_bodies_carry_the_etags_that_were_recorded(kit: LocalHubKit) -> None:
    assert json_response({}).headers["ETag"] == 'W/"2-vyGp6PvFo4RvsFtPoIWeCReyIC8"'
    assert json_response([]).headers["ETag"] == 'W/"2-l9Fw4VUO7kr8CvBlt4zaMCqXZ0w"'
    kit.ask("bea")
    kit.decide("bea", "accepted")
    again = kit.decide("bea", "accepted")
    assert len(again.body) == 58
    assert again.headers["ETag"] == 'W/"3a-lRayqK6BTL+ovmtG7oHR+hkUoeE"'


def test_a_listed_request_shows_its_person_its_times_and_who_granted(kit: LocalHubKit) -> None:
    kit.ask("bea", {"Purpose": "sleep"})
    (row,) = kit.list_rows("pending")
    assert list(row) == ["requestId", "user", "timestamp", "status", "fields"]
    assert list(row["user"]) == ["_id", "avatarUrl", "isPro", "fullname", "user", "type", "verifiedOrgNames", "email"]
    assert (row["user"]["user"], row["user"]["type"], row["fields"]) == ("bea", "user", {"Purpose": "sleep"})
    kit.decide("BEA", "accepted")
    (accepted,) = kit.list_rows("accepted")
    assert accepted["timestamp"] == row["timestamp"]
    assert accepted["reviewedAt"] > row["timestamp"]
    assert list(accepted["grantedBy"]) == ["_id", "avatarUrl", "isPro", "fullname", "user", "type"]
    assert accepted["grantedBy"]["user"] == "ona"


def test_a_status_that_does_not_exist_is_refused_in_the_validators_words(kit: LocalHubKit) -> None:
    refused = kit.decide("bea", "maybe")
    wanted = '✖ Invalid option: expected one of "accepted"|"rejected"|"pending"|"reset"\n  → at status'
    assert read_error(refused) == (400, wanted, None)
    copy = '* Invalid option: expected one of "accepted"|"rejected"|"pending"|"reset" * at status'
    assert refused.headers["X-Error-Message"] == copy


def test_a_batch_answers_in_order_and_echoes_what_was_sent(kit: LocalHubKit) -> None:
    kit.ask("bea")
    body = {"status": "pending", "requests": [{"user": "Bea"}, {"user": "nope"}, {"user": "dan"}]}
    answered = kit.call("POST", f"{ACCESS}/batch", body)
    assert json.loads(answered.body) == [
        {"user": "Bea", "ok": True},
        {"user": "nope", "ok": False, "error": "user_not_found"},
        {"user": "dan", "ok": False, "error": "request_not_found"},
    ]


def test_a_second_grant_is_refused(kit: LocalHubKit) -> None:
    assert kit.call("POST", f"{ACCESS}/grant", {"user": "bea"}).body == b"{}"
    again = kit.call("POST", f"{ACCESS}/grant", {"user": "bea"})
    assert read_error(again) == (400, "That user already has access to the repo", None)


def test_an_ungated_repo_still_lists_but_decides_nothing(kit: LocalHubKit) -> None:
    kit.ask("bea")
    answered = kit.call("PUT", "/api/models/acme/model/settings", {"gated": False})
    assert answered.body == b'{"gated":false}'
    not_gated = (400, "model acme/model is not gated", "RepoNotGated")
    assert read_error(kit.call("POST", f"{ACCESS}/grant", {"user": "nobody"})) == not_gated
    assert read_error(kit.decide("bea", "accepted")) == not_gated
    assert read_error(kit.call("POST", f"{ACCESS}/batch", {})) == not_gated
    assert len(kit.list_rows("pending")) == 1


def test_a_pending_request_can_be_taken_back_once(kit: LocalHubKit) -> None:
    kit.ask("bea")
    assert kit.call("POST", f"{ACCESS}/cancel", by="bea").body == b'{"ok":true}'
    refused = (404, "No pending access request found for this repo and this user", None)
    assert read_error(kit.call("POST", f"{ACCESS}/cancel", by="bea")) == refused
    assert kit.list_rows("pending") == []
    assert json.loads(kit.call("GET", "/acme/model/user-access-report").body) == []


def test_the_report_has_its_own_names_and_no_etag(kit: LocalHubKit) -> None:
    kit.ask("bea", {"Purpose": "sleep"})
    kit.decide("bea", "accepted")
    answered = kit.call("GET", "/acme/model/user-access-report")
    (line,) = json.loads(answered.body)
    assert list(line) == ["fullname", "user", "email", "time", "reviewedAt", "status", "grantedBy"]
    assert line["grantedBy"] == {"fullname": "Ona", "user": "ona"}
    assert answered.headers == {
        "Content-Type": "application/json",
        "Content-Disposition": "attachment; filename=user-access-report-acme-model.json",
    }


def test_a_bad_token_is_401_with_a_challenge(kit: LocalHubKit) -> None:
    answered = kit.call("GET", "/api/whoami-v2", by="nobody")
    assert read_error(answered) == BAD_LOGIN
    assert answered.headers["WWW-Authenticate"] == 'Bearer realm="Authentication required", charset="UTF-8"'


def test_info_shows_the_gate_and_the_card(kit: LocalHubKit) -> None:
    answered = kit.call("GET", "/api/models/acme/model?expand[]=gated&expand[]=cardData", by=None)
    shown = json.loads(answered.body)
    assert list(shown) == ["_id", "id", "gated", "cardData"]
    assert (shown["gated"], shown["cardData"]) == ("manual", {"license": "mit"})


# ---- the transition table -----------------------------------------------------------------------------------------------


WALKS = {"pending": [], "accepted": ["accepted"], "rejected": ["rejected"], "reset": ["reset"]}


@pytest.mark.parametrize("before", WALKS)
@pytest.mark.parametrize("after", WALKS)
def test_handle_sets_every_other_status_and_answers_404_for_the_same(kit: LocalHubKit, before: str, after: str) -> None:
    kit.ask("bea")
    for step in WALKS[before]:
        kit.decide("bea", step)
    (old,) = kit.list_rows(before)
    answered = kit.decide("bea", after)
    if before == after:
        assert read_error(answered) == NOT_FOUND
        assert kit.list_rows(before) == [old]
        return
    assert (answered.status, answered.body) == (200, b"{}")
    (new,) = kit.list_rows(after)
    assert kit.list_rows(before) == []
    assert (new["timestamp"], new["requestId"]) == (old["timestamp"], old["requestId"])
    assert ("reviewedAt" in new) == (after != "pending")
    assert ("grantedBy" in new) == (after == "accepted")


@pytest.mark.parametrize("after", WALKS)
def test_handle_without_a_request_or_a_person(kit: LocalHubKit, after: str) -> None:
    assert read_error(kit.decide("dan", after)) == NOT_FOUND
    assert read_error(kit.decide("nope", after)) == (404, "User not found", None)
    assert read_error(kit.decide("acme", after)) == (404, "User not found", None)


def test_batch_leaves_a_request_of_that_status_as_it_was(kit: LocalHubKit) -> None:
    kit.ask("bea")
    kit.decide("bea", "accepted")
    before = kit.list_rows("accepted")
    body = {"status": "accepted", "requests": [{"userId": kit.world.names["bea"].id.upper()}]}
    assert json.loads(kit.call("POST", f"{ACCESS}/batch", body, by="ada").body)[0]["ok"] is True
    assert kit.list_rows("accepted") == before


def test_a_grant_without_a_request_has_no_email_and_one_with_keeps_the_answers(kit: LocalHubKit) -> None:
    kit.ask("bea", {"Purpose": "sleep"})
    for name in ("bea", "dan"):
        kit.call("POST", f"{ACCESS}/grant", {"user": name})
    dan, bea = kit.list_rows("accepted")
    assert "email" not in dan["user"]
    assert dan["timestamp"] == dan["reviewedAt"]
    assert bea["user"]["email"] == "bea@example.org"
    assert bea["fields"] == {"Purpose": "sleep"}


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


def test_auto_mode_accepts_at_once_and_leaves_pending_requests(kit: LocalHubKit) -> None:
    kit.ask("bea")
    kit.call("PUT", "/api/models/acme/model/settings", {"gated": "auto"})
    kit.ask("dan", {})
    (dan,) = kit.list_rows("accepted")
    assert dan["reviewedAt"] == dan["timestamp"]
    assert "grantedBy" not in dan
    assert [row["user"]["user"] for row in kit.list_rows("pending")] == ["bea"]


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
