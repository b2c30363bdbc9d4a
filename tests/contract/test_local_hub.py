"""The decisions of the local Hub: the recorded vectors, the transition table, the words for a wrong body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hf_gate.localhub.wire import json_response
from tests.contract.local_hub_kit import ACCESS, Bench, error

NOT_FOUND = (404, "No access request found matching your criteria", None)
BAD_LOGIN = (401, "Invalid username or password.", None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ---- recorded vectors ---------------------------------------------------------------------------------------------------


def test_bodies_carry_the_etags_that_were_recorded(bench: Bench) -> None:
    assert json_response({}).headers["ETag"] == 'W/"2-vyGp6PvFo4RvsFtPoIWeCReyIC8"'
    assert json_response([]).headers["ETag"] == 'W/"2-l9Fw4VUO7kr8CvBlt4zaMCqXZ0w"'
    bench.ask("bea")
    bench.decide("bea", "accepted")
    again = bench.decide("bea", "accepted")
    assert len(again.body) == 58
    assert again.headers["ETag"] == 'W/"3a-lRayqK6BTL+ovmtG7oHR+hkUoeE"'


def test_a_listed_request_shows_its_person_its_times_and_who_granted(bench: Bench) -> None:
    bench.ask("bea", {"Purpose": "sleep"})
    (row,) = bench.listed("pending")
    assert list(row) == ["requestId", "user", "timestamp", "status", "fields"]
    assert list(row["user"]) == ["_id", "avatarUrl", "isPro", "fullname", "user", "type", "verifiedOrgNames", "email"]
    assert (row["user"]["user"], row["user"]["type"], row["fields"]) == ("bea", "user", {"Purpose": "sleep"})
    bench.decide("BEA", "accepted")
    (accepted,) = bench.listed("accepted")
    assert accepted["timestamp"] == row["timestamp"]
    assert accepted["reviewedAt"] > row["timestamp"]
    assert list(accepted["grantedBy"]) == ["_id", "avatarUrl", "isPro", "fullname", "user", "type"]
    assert accepted["grantedBy"]["user"] == "ona"


def test_a_status_that_does_not_exist_is_refused_in_the_validators_words(bench: Bench) -> None:
    refused = bench.decide("bea", "maybe")
    wanted = '✖ Invalid option: expected one of "accepted"|"rejected"|"pending"|"reset"\n  → at status'
    assert error(refused) == (400, wanted, None)
    copy = '* Invalid option: expected one of "accepted"|"rejected"|"pending"|"reset" * at status'
    assert refused.headers["X-Error-Message"] == copy


def test_a_batch_answers_in_order_and_echoes_what_was_sent(bench: Bench) -> None:
    bench.ask("bea")
    body = {"status": "pending", "requests": [{"user": "Bea"}, {"user": "nope"}, {"user": "dan"}]}
    answered = bench.call("POST", f"{ACCESS}/batch", body)
    assert json.loads(answered.body) == [
        {"user": "Bea", "ok": True},
        {"user": "nope", "ok": False, "error": "user_not_found"},
        {"user": "dan", "ok": False, "error": "request_not_found"},
    ]


def test_a_second_grant_is_refused(bench: Bench) -> None:
    assert bench.call("POST", f"{ACCESS}/grant", {"user": "bea"}).body == b"{}"
    again = bench.call("POST", f"{ACCESS}/grant", {"user": "bea"})
    assert error(again) == (400, "That user already has access to the repo", None)


def test_an_ungated_repo_still_lists_but_decides_nothing(bench: Bench) -> None:
    bench.ask("bea")
    answered = bench.call("PUT", "/api/models/acme/model/settings", {"gated": False})
    assert answered.body == b'{"gated":false}'
    not_gated = (400, "model acme/model is not gated", "RepoNotGated")
    assert error(bench.call("POST", f"{ACCESS}/grant", {"user": "nobody"})) == not_gated
    assert error(bench.decide("bea", "accepted")) == not_gated
    assert error(bench.call("POST", f"{ACCESS}/batch", {})) == not_gated
    assert len(bench.listed("pending")) == 1


def test_a_pending_request_can_be_taken_back_once(bench: Bench) -> None:
    bench.ask("bea")
    assert bench.call("POST", f"{ACCESS}/cancel", by="bea").body == b'{"ok":true}'
    refused = (404, "No pending access request found for this repo and this user", None)
    assert error(bench.call("POST", f"{ACCESS}/cancel", by="bea")) == refused
    assert bench.listed("pending") == []
    assert json.loads(bench.call("GET", "/acme/model/user-access-report").body) == []


def test_the_report_has_its_own_names_and_no_etag(bench: Bench) -> None:
    bench.ask("bea", {"Purpose": "sleep"})
    bench.decide("bea", "accepted")
    answered = bench.call("GET", "/acme/model/user-access-report")
    (line,) = json.loads(answered.body)
    assert list(line) == ["fullname", "user", "email", "time", "reviewedAt", "status", "grantedBy"]
    assert line["grantedBy"] == {"fullname": "Ona", "user": "ona"}
    assert answered.headers == {
        "Content-Type": "application/json",
        "Content-Disposition": "attachment; filename=user-access-report-acme-model.json",
    }


def test_a_bad_token_is_401_with_a_challenge(bench: Bench) -> None:
    answered = bench.call("GET", "/api/whoami-v2", by="nobody")
    assert error(answered) == BAD_LOGIN
    assert answered.headers["WWW-Authenticate"] == 'Bearer realm="Authentication required", charset="UTF-8"'


def test_info_shows_the_gate_and_the_card(bench: Bench) -> None:
    answered = bench.call("GET", "/api/models/acme/model?expand[]=gated&expand[]=cardData", by=None)
    shown = json.loads(answered.body)
    assert list(shown) == ["_id", "id", "gated", "cardData"]
    assert (shown["gated"], shown["cardData"]) == ("manual", {"license": "mit"})


# ---- the transition table -----------------------------------------------------------------------------------------------


WALKS = {"pending": [], "accepted": ["accepted"], "rejected": ["rejected"], "reset": ["reset"]}


@pytest.mark.parametrize("before", WALKS)
@pytest.mark.parametrize("after", WALKS)
def test_handle_moves_to_every_other_status_and_takes_staying_for_missing(
    bench: Bench, before: str, after: str
) -> None:
    bench.ask("bea")
    for step in WALKS[before]:
        bench.decide("bea", step)
    (old,) = bench.listed(before)
    answered = bench.decide("bea", after)
    if before == after:
        assert error(answered) == NOT_FOUND
        assert bench.listed(before) == [old]
        return
    assert (answered.status, answered.body) == (200, b"{}")
    (new,) = bench.listed(after)
    assert bench.listed(before) == []
    assert (new["timestamp"], new["requestId"]) == (old["timestamp"], old["requestId"])
    assert ("reviewedAt" in new) == (after != "pending")
    assert ("grantedBy" in new) == (after == "accepted")


@pytest.mark.parametrize("after", WALKS)
def test_handle_without_a_request_or_a_person(bench: Bench, after: str) -> None:
    assert error(bench.decide("dan", after)) == NOT_FOUND
    assert error(bench.decide("nope", after)) == (404, "User not found", None)
    assert error(bench.decide("acme", after)) == (404, "User not found", None)


def test_batch_leaves_a_request_of_that_status_as_it_was(bench: Bench) -> None:
    bench.ask("bea")
    bench.decide("bea", "accepted")
    before = bench.listed("accepted")
    body = {"status": "accepted", "requests": [{"userId": bench.world.names["bea"].id.upper()}]}
    assert json.loads(bench.call("POST", f"{ACCESS}/batch", body, by="ada").body)[0]["ok"] is True
    assert bench.listed("accepted") == before


def test_a_grant_without_a_request_has_no_email_and_one_with_keeps_the_answers(bench: Bench) -> None:
    bench.ask("bea", {"Purpose": "sleep"})
    for name in ("bea", "dan"):
        bench.call("POST", f"{ACCESS}/grant", {"user": name})
    dan, bea = bench.listed("accepted")
    assert "email" not in dan["user"]
    assert dan["timestamp"] == dan["reviewedAt"]
    assert bea["user"]["email"] == "bea@example.org"
    assert bea["fields"] == {"Purpose": "sleep"}


def test_asking_again_changes_nothing_until_it_was_reset(bench: Bench) -> None:
    bench.ask("bea", {"Purpose": "first"})
    (row,) = bench.listed("pending")
    for status in ("accepted", "rejected"):
        bench.decide("bea", status)
        answered = bench.ask("bea", {"Purpose": "second"})
        assert (answered.status, answered.headers["Location"]) == (303, "http://hub.test/acme/model")
        (row,) = bench.listed(status)
        assert row["fields"] == {"Purpose": "first"}
    bench.decide("bea", "reset", resetReason="say more")
    bench.ask("bea", {"Purpose": "second"})
    (new,) = bench.listed("pending")
    assert new["fields"] == {"Purpose": "second"}
    assert new["timestamp"] > row["timestamp"]
    assert "reviewedAt" not in new
    assert [mail["kind"] for mail in bench.world.outbox] == ["new_request", "reset", "new_request"]


def test_auto_mode_lets_people_in_at_once_and_moves_nobody_who_waits(bench: Bench) -> None:
    bench.ask("bea")
    bench.call("PUT", "/api/models/acme/model/settings", {"gated": "auto"})
    bench.ask("dan", {})
    (dan,) = bench.listed("accepted")
    assert dan["reviewedAt"] == dan["timestamp"]
    assert "grantedBy" not in dan
    assert [row["user"]["user"] for row in bench.listed("pending")] == ["bea"]


def test_a_form_may_be_sent_as_a_form(bench: Bench) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    bench.call("POST", "/acme/model/ask-access", b"Purpose=to+sleep&csrf=x&I+agree=on", by="bea", headers=headers)
    assert bench.listed("pending")[0]["fields"] == {"Purpose": "to sleep", "I agree": "on"}


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
def test_a_wrong_body_is_named(bench: Bench, body: Any, message: str) -> None:
    assert error(bench.call("POST", f"{ACCESS}/handle", body)) == (400, message, None)


def test_a_batch_takes_one_to_a_hundred(bench: Bench) -> None:
    for size, word in (
        (0, "Too small: expected array to have >=1 items"),
        (101, "Too big: expected array to have <=100 items"),
    ):
        body = {"status": "accepted", "requests": [{"user": "bea"}] * size}
        assert error(bench.call("POST", f"{ACCESS}/batch", body)) == (400, f"✖ {word}\n  → at requests", None)
