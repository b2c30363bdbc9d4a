"""Each fault of the local Hub, and the syntax of its SPEC."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from itertools import permutations
from typing import Any
from urllib.parse import urlsplit

import pytest

from hf_gate.localhub.faults import BAD_RECORDS, FAULT_KINDS, FaultSet, parse_spec
from hf_gate.localhub.handlers.dispatch import find_call
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import ACCESS, LocalHubKit

HANDLE, PENDING, ACCEPT = f"{ACCESS}/handle", f"{ACCESS}/pending", {"user": "bea", "status": "accepted"}


@pytest.fixture
def kit() -> LocalHubKit:
    """A world with one request of bea."""
    kit = LocalHubKit()
    kit.ask("bea", {"Purpose": "sleep"})
    return kit


def _status(kit: LocalHubKit) -> str:
    return kit.gated.people[kit.world.names["bea"].id].status.value


def _rows(kit: LocalHubKit, spec: str, path: str = PENDING) -> list[Any]:
    rows: list[Any] = json.loads(kit.call_with_faults(FaultSet([spec]), "GET", path).body)
    return rows


# ---- combinations --------------------------------------------------------------------------------------------------------

BODIES = [
    "truncate",
    "empty_200",
    "deep_json:n=9",
    "deep_json",
    "huge_body:mb=0",
    "fail_after",
    "dup_rows",
    "no_link",
    "shuffle",
]
RECORDS = ["drop_user", *(f"bad_record:kind={kind}" for kind in BAD_RECORDS)]


@pytest.mark.parametrize(("first", "second"), list(permutations(BODIES + RECORDS, 2)))
def test_a_fault_ignores_answers_that_another_fault_has_broken(kit: LocalHubKit, first: str, second: str) -> None:
    alone = kit.call_with_faults(FaultSet([first]), "GET", PENDING)
    both = kit.call_with_faults(FaultSet([first, second]), "GET", PENDING)
    assert both.status in {200, 500}
    if first in {"truncate", "empty_200", "deep_json", "fail_after"} and second in RECORDS:
        assert both.body == alone.body


# ---- before and after the change ----------------------------------------------------------------------------------------


def test_hidden_limit_allows_so_many_decisions_a_second(kit: LocalHubKit) -> None:
    faults = FaultSet(["hidden_limit:rate=2"])

    def burst() -> list[int]:
        kit.now_ms += 1000
        asked = kit.build_request("POST", f"{ACCESS}/batch", {})
        plans = [faults.plan_call(asked, find_call(asked), kit.world) for _ in range(4)]
        return [429 if plan.replacement else 200 for plan in plans]

    assert burst() == burst() == [200, 200, 429, 429]


def test_fail_before_leaves_the_request_as_it_was(kit: LocalHubKit) -> None:
    answered = kit.call_with_faults(FaultSet(["fail_before:status=503:on=handle"]), "POST", HANDLE, ACCEPT)
    assert (answered.status, _status(kit)) == (503, "pending")


def test_fail_after_makes_the_change(kit: LocalHubKit) -> None:
    answered = kit.call_with_faults(FaultSet(["fail_after"]), "POST", HANDLE, ACCEPT)
    assert (answered.status, _status(kit)) == (500, "accepted")


def test_delay_before_and_delay_after_are_told_to_the_server(kit: LocalHubKit) -> None:
    asked = kit.build_request("POST", HANDLE, ACCEPT)
    plan = FaultSet(["delay_before:s=0.5", "delay_after:s=2"]).plan_call(asked, find_call(asked), kit.world)
    assert (plan.delay_before, plan.delay_after) == (0.5, 2.0)


def test_truncate_cuts_the_body_in_half(kit: LocalHubKit) -> None:
    whole = kit.call("GET", PENDING).body
    assert kit.call_with_faults(FaultSet(["truncate"]), "GET", PENDING).body == whole[: len(whole) // 2]


def test_html_200_answers_in_place_of_the_hub(kit: LocalHubKit) -> None:
    answered = kit.call_with_faults(FaultSet(["html_200"]), "POST", HANDLE, ACCEPT)
    assert (answered.status, _status(kit)) == (200, "pending")
    assert answered.headers["Content-Type"].startswith("text/html")


def test_empty_200_makes_the_change_and_sends_no_body(kit: LocalHubKit) -> None:
    answered = kit.call_with_faults(FaultSet(["empty_200"]), "POST", HANDLE, ACCEPT)
    assert (answered.status, answered.body, _status(kit)) == (200, b"", "accepted")


def test_huge_body_is_valid_and_too_long(kit: LocalHubKit) -> None:
    answered = kit.call_with_faults(FaultSet(["huge_body:mb=2"]), "GET", PENDING)
    assert len(answered.body) > 2 << 20
    assert len(json.loads(answered.body)) == 1


def test_deep_json_is_brackets(kit: LocalHubKit) -> None:
    assert kit.call_with_faults(FaultSet(["deep_json:n=3"]), "GET", PENDING).body == b"[[[]]]"


def test_redirect_evil_points_elsewhere_and_does_nothing(kit: LocalHubKit) -> None:
    answered = kit.call_with_faults(FaultSet(["redirect_evil:url=http://127.0.0.1:9/x"]), "POST", HANDLE, ACCEPT)
    assert (answered.status, answered.headers["Location"], _status(kit)) == (307, "http://127.0.0.1:9/x", "pending")


def test_no_batch_has_no_such_page_but_handles(kit: LocalHubKit) -> None:
    faults = FaultSet(["no_batch"])
    body = {"status": "accepted", "requests": [{"user": "bea"}]}
    assert kit.call_with_faults(faults, "POST", f"{ACCESS}/batch", body).status == 404
    assert kit.call_with_faults(faults, "POST", HANDLE, ACCEPT).status == 200


# ---- lists --------------------------------------------------------------------------------------------------------------


def test_dup_rows_repeats_the_first_of_a_page(kit: LocalHubKit) -> None:
    kit.add_pending(5)
    ids = [row["requestId"] for row in _rows(kit, "dup_rows:n=2")]
    assert ids[6:] == ids[:2]


def test_no_link_leaves_a_full_page_without_a_next(kit: LocalHubKit) -> None:
    kit.add_pending(20)
    path = f"{PENDING}?limit=10"
    assert "Link" in kit.call("GET", path).headers
    assert "Link" not in kit.call_with_faults(FaultSet(["no_link"]), "GET", path).headers


def test_link_loop_links_the_page_itself(kit: LocalHubKit) -> None:
    answered = kit.call_with_faults(FaultSet(["link_loop"]), "GET", f"{PENDING}?limit=10")
    assert answered.headers["Link"] == f'<http://hub.test{PENDING}?limit=10>; rel="next"'


def test_link_evil_links_another_host(kit: LocalHubKit) -> None:
    answered = kit.call_with_faults(FaultSet(["link_evil:url=https://evil.invalid/a?b=c"]), "GET", PENDING)
    assert answered.headers["Link"] == '<https://evil.invalid/a?b=c>; rel="next"'


def test_lag_shows_lists_and_gate_as_they_were(kit: LocalHubKit) -> None:
    kit.now_ms += 60_000
    kit.decide("bea", "accepted")
    assert [row["status"] for row in _rows(kit, "lag:s=30")] == ["pending"]
    assert _rows(kit, "lag:s=30", f"{ACCESS}/accepted") == []
    check = "/api/models/acme/model/auth-check"
    assert kit.call_with_faults(FaultSet(["lag:s=30"]), "GET", check, by="bea").status == 403
    report = kit.call_with_faults(FaultSet(["lag:s=30"]), "GET", "/acme/model/user-access-report")
    assert json.loads(report.body)[0]["status"] == "pending"
    kit.now_ms += 30_000
    assert [row["status"] for row in _rows(kit, "lag:s=30", f"{ACCESS}/accepted")] == ["accepted"]


def test_lag_hides_who_asked_just_now(kit: LocalHubKit) -> None:
    kit.now_ms += 60_000
    kit.ask("dan")
    assert [row["user"]["user"] for row in _rows(kit, "lag:s=30")] == ["bea"]


def test_bad_record_can_be_half_a_surrogate_pair(kit: LocalHubKit) -> None:
    assert b"\\ud800" in kit.call_with_faults(FaultSet(["bad_record:kind=surrogate"]), "GET", PENDING).body


def test_drop_user_leaves_rows_without_a_person(kit: LocalHubKit) -> None:
    kit.add_pending(3)
    assert ["user" in row for row in _rows(kit, "drop_user:every=2")] == [False, True, False, True]


# ---- the world changes --------------------------------------------------------------------------------------------------


def test_revoke_token_revokes_it(kit: LocalHubKit) -> None:
    faults = FaultSet(["revoke_token:token=ona"])
    assert kit.call_with_faults(faults, "GET", PENDING).status == 401
    assert kit.call("GET", PENDING, by="ada").status == 200


# ---- the connection -----------------------------------------------------------------------------------------------------


@contextmanager
def _get(hub: LocalHub, path: str) -> Iterator[HTTPResponse]:
    with closing(HTTPConnection(urlsplit(hub.url).netloc, timeout=20)) as connection:
        connection.request("GET", path, headers={"authorization": f"Bearer {hub.tokens['owner']}"})
        with connection.getresponse() as response:
            yield response


def test_slow_body_arrives_complete_in_many_pieces(hf_local_hub: LocalHub) -> None:
    with _get(hf_local_hub, "/api/whoami-v2") as response:
        whole = response.read()
    hf_local_hub.set_faults(["slow_body:bps=300"])
    host = urlsplit(hf_local_hub.url)
    token = hf_local_hub.tokens["owner"]
    with socket.create_connection((str(host.hostname), int(host.port or 0)), 20) as raw:
        raw.sendall(
            f"GET /api/whoami-v2 HTTP/1.1\r\nhost: {host.netloc}\r\nauthorization: Bearer {token}\r\n\r\n".encode()
        )
        came, lengths = b"", []
        while not came.endswith(whole[-20:]):
            came += raw.recv(1 << 16)
            lengths.append(len(came.partition(b"\r\n\r\n")[2]))
    assert came.endswith(whole)
    # The head is one piece; the first pieces of the body arrive long before the last are sent.
    assert any(0 < length < len(whole) for length in lengths)


# ---- triggers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("explode", "unknown fault 'explode'; known faults: limit_bare, hidden_limit, fail_before"),
        ("lag:ms=3", "lag has no key 'ms'; its keys: s, p, call, on, times"),
        ("lag:s=soon", "s=soon is not a number"),
        ("reset_at:byte=x", "byte=x is not a count"),
        ("truncate:p=2", "p=2 is not a probability"),
        ("truncate:call=0", "call=0 is not a call number"),
        ("truncate:on=everything", "on=everything is not an endpoint; known endpoints: handle, batch"),
        ("truncate:times=0", "times=0 is not a count"),
        ("bad_record:kind=odd", "bad_record has no kind 'odd'; its kinds: time, user"),
        ("answer:words=x", "answer has no key 'words'; its keys: status, text, code, p, call, on, times"),
        ("answer:status=200", "status=200 is not the status of an error: write 400 to 599"),
        ("fail_after:status=99999", "status=99999 is not the status of an error: write 400 to 599"),
        ("answer:text=100 % sure", "text='100 % sure' has a % without two hex digits: write % as %25"),
        ("answer:text=%FF", "text='%FF' is not UTF-8"),
        ("answer:text=\udcff", r"text='\\udcff' is not UTF-8"),
        ("answer:code=Gated\nRepo", r"code='Gated\\nRepo' is not an error code: write letters and digits"),
        ("answer:code=A%0AX", "code='A%0AX' is not an error code"),
        ("drop_auth:text=x", "drop_auth has no key 'text'; its keys: p, call, on, times"),
    ],
)
def test_an_invalid_spec_lists_the_choices(spec: str, words: str) -> None:
    with pytest.raises(ValueError, match="^" + words.replace("(", r"\(")) as told:
        parse_spec(spec)
    assert "\n" not in str(told.value)


def test_every_documented_fault_exists() -> None:
    contract = [
        "limit_bare",
        "hidden_limit",
        "answer",
        "drop_auth",
        "foreign",
        "fail_before",
        "fail_after",
        "delay_before",
        "delay_after",
        "reset_at",
        "truncate",
        "html_200",
        "empty_200",
        "dup_rows",
        "no_link",
        "link_loop",
        "link_evil",
        "redirect_evil",
        "lag",
        "shuffle",
        "ungate",
        "revoke_token",
        "rename_repo",
        "down",
        "huge_body",
        "deep_json",
        "bad_record",
        "slow_body",
        "no_batch",
        "drop_user",
        "bad_sign_in",
    ]
    assert set(FAULT_KINDS) == set(contract)


def test_reset_at_ends_the_connection_in_the_middle_of_the_body(hf_local_hub: LocalHub) -> None:
    hf_local_hub.set_faults(["reset_at:byte=40"])
    with _get(hf_local_hub, "/api/whoami-v2") as response, pytest.raises(IncompleteRead) as cut:
        response.read()
    assert len(cut.value.partial) == 40
