"""A listing is complete, or tells why it may not be."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.base.ids import Repo, RepoType
from hf_gate.errors import BadRequest, ForeignOrigin, NotAllowed, NotGated, UnexpectedAnswer
from hf_gate.hub.protocol.flows.calls import FlowContext, RetryPolicy
from hf_gate.hub.protocol.flows.listing import Head, list_requests, read_head
from hf_gate.hub.protocol.messages import Answer, FailureReason, HubCall, NoReply, Reply
from tests.kits.flow_player import FlowResult, reply, row, run_flow

REPO = Repo(RepoType.MODEL, "acme", "m")
SETTING = FlowContext("https://hub.test", RetryPolicy(max_tries=3))
LIST = "/api/models/acme/m/user-access-request/pending"


def keys(played: FlowResult) -> list[str]:
    return [r.request_id for page in played.emitted for r in page.rows]


class Pages:
    """A list of records, served in pages; `links=False` omits the Link header."""

    def __init__(self, rows: list[dict[str, Any]], size: int, *, links: bool = True, report: int | None = None) -> None:
        self.rows, self.size, self.links, self.report = rows, size, links, report

    def __call__(self, send: HubCall) -> Answer:
        if send.endpoint == "report":
            count = len(self.rows) if self.report is None else self.report
            return reply([{"status": "pending"}] * count)
        query = parse_qs(urlsplit(send.path).query)
        rows = self.rows
        if "before" in query:
            rows = [r for r in rows if r["timestamp"] < query["before"][0]]
        start = int(query.get("cursor", ["0"])[0])
        page = rows[start : start + self.size]
        if self.links and start + self.size < len(rows):
            return reply(page, link=f'<https://hub.test{LIST}?cursor={start + self.size}>; rel="next"')
        return reply(page)


def by_time(count: int) -> list[dict[str, Any]]:
    return [
        row(n) | {"timestamp": f"2026-10-01T{23 - n // 3600:02d}:{59 - n // 60 % 60:02d}:{59 - n % 60:02d}.000Z"}
        for n in range(count)
    ]


def listed(hub: Any, **more: Any) -> FlowResult:
    return run_flow(list_requests(REPO, "pending", SETTING, **more), hub)


@given(count=st.integers(0, 60), size=st.integers(1, 13))
def test_links_are_followed_to_the_end_and_each_request_is_listed_once(count: int, size: int) -> None:
    rows = by_time(count)
    played = listed(Pages(rows, size), limit=1000)
    assert keys(played) == [r["requestId"] for r in rows]
    assert played.result.proved, played.result.why


@given(count=st.integers(0, 90), size=st.sampled_from([10, 20]))
def test_after_a_full_page_without_link_pages_are_requested_by_before(count: int, size: int) -> None:
    rows = by_time(count)
    played = listed(Pages(rows, size, links=False), limit=size)
    assert keys(played) == [r["requestId"] for r in rows]
    assert played.result.proved, played.result.why


def test_a_list_that_the_report_contradicts_is_not_proved() -> None:
    played = listed(Pages(by_time(45), 10, links=False, report=46), limit=10)
    assert not played.result.proved
    assert "report counts 46" in played.result.why


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 302, 500])
def test_a_list_whose_report_is_refused_ends_unproved_with_the_reason(status: int) -> None:
    pages = Pages(by_time(45), 10, links=False)
    played = listed(lambda send: reply(status=status) if send.endpoint == "report" else pages(send), limit=10)
    assert (played.error, len(keys(played))) == (None, 45)
    assert not played.result.proved
    assert f"report could not be read (the Hub answered {status})" in played.result.why


def test_an_unordered_list_without_links_is_not_proved() -> None:
    rows = by_time(40)
    played = listed(Pages(rows[::2][::-1] + rows[1::2], 20, links=False), limit=20)
    assert not played.result.proved
    assert "order" in played.result.why


def test_more_requests_in_one_millisecond_than_a_page_holds_are_not_proved() -> None:
    rows = [row(n) | {"timestamp": "2026-10-01T00:00:00.000Z"} for n in range(25)]
    played = listed(Pages(rows, 10, links=False), limit=10)
    assert not played.result.proved


def test_a_page_of_a_common_size_without_link_is_not_taken_as_the_end() -> None:
    played = listed(Pages(by_time(250), 100, links=False))
    assert len(keys(played)) == 250


def test_a_repeated_request_is_listed_once_and_leaves_a_doubt() -> None:
    rows = by_time(12)
    played = listed(Pages([*rows[:5], rows[2], *rows[5:]], 6))
    assert keys(played) == [r["requestId"] for r in rows]
    assert not played.result.proved
    assert "twice" in played.result.why


def test_a_link_that_loops_ends_the_listing_with_a_doubt() -> None:
    def hub(send: HubCall) -> Answer:
        return reply(
            [row(1)] if "cursor=1" not in send.path else [row(2)], link=f'<https://hub.test{LIST}?cursor=1>; rel="next"'
        )

    played = listed(hub)
    assert len(keys(played)) == 2
    assert "back" in played.result.why


def test_a_link_to_another_list_is_not_followed_and_leaves_a_doubt() -> None:
    link = f'<https://hub.test{LIST.replace("pending", "accepted")}?cursor=1>; rel="next"'
    played = listed(lambda _: reply([row(1)], link=link))
    assert len(played.sent) == 1
    assert "another list" in played.result.why


@pytest.mark.parametrize("link", ["https://evil.test/api/x", "http://hub.test/api/x", "https://hub.test:8443/x", "//evil.test/x", "https://a@hub.test/x", "https://hub.test\\@evil.test/x"])  # fmt: skip
def test_a_link_to_another_origin_is_refused_before_anything_is_sent_there(link: str) -> None:
    played = listed(lambda _: reply([row(1)], link=f'<{link}>; rel="next"'))
    assert isinstance(played.error, ForeignOrigin)
    assert len(played.sent) == 1


def test_an_unreadable_record_is_quarantined_and_the_page_continues() -> None:
    bad = [{"status": "pending"}, 7, {"timestamp": "2026-10-01T00:00:00Z", "status": "pending"}]
    played = listed(lambda _: reply([row(1), *bad, row(2)]))
    assert len(keys(played)) == 2
    assert len([q for page in played.emitted for q in page.quarantined]) == 3
    assert "3 records" in played.result.why
    played = listed(lambda _: reply([row(1), 7]))
    assert "1 record of a page" in played.result.why


def test_unexpected_types_are_read_and_unknown_statuses_stay() -> None:
    odd = row(1, status="on-hold", fields={"Agree": True, "Age": 7, "Note": None}, user=None)
    half = row(2, user={"user": "bob", "fullname": 5}, fields=None, newKey={"a": 1})
    played = listed(lambda _: reply([odd, half]))
    first, second = (r for page in played.emitted for r in page.rows)
    assert (first.status, first.answers, first.person.username) == (
        "on-hold",
        {"Agree": "true", "Age": "7", "Note": ""},
        None,
    )
    assert (second.person.username, second.person.fullname, second.answers, second.has_form) == ("bob", None, {}, False)
    assert second.raw["newKey"] == {"a": 1}


def test_an_unreadable_page_is_requested_again_then_raises_with_a_reason() -> None:
    answers = iter([Reply(200, {}, b"<html>sign in</html>", 1.0), Reply(200, {}, b"", 1.0), reply([row(1)])])
    assert len(keys(listed(lambda _: next(answers)))) == 1
    assert isinstance(listed(lambda _: Reply(200, {}, b"<html>", 1.0)).error, UnexpectedAnswer)


def test_a_refused_token_is_not_tried_again() -> None:
    played = listed(lambda _: reply({"error": "no"}, status=403))
    assert isinstance(played.error, NotAllowed)
    assert len(played.sent) == 1


OLD_HUB = reply({"error": "✖ Invalid option"}, status=400)


@pytest.mark.parametrize(
    ("status", "hub"),
    [
        ("reset", lambda _: OLD_HUB),  # it refuses every list
        ("pending", lambda send: OLD_HUB if "/pending" in send.path else reply([])),
        ("reset", lambda send: reply(status=400, x_error_code="RepoNotGated") if "/reset" in send.path else reply([])),
        ("reset", lambda send: reply(status=422) if "/reset" in send.path else reply([])),
    ],
)
def test_other_refusals_are_not_taken_as_an_empty_list(status: str, hub: Any) -> None:
    assert isinstance(run_flow(list_requests(REPO, status, SETTING), hub).error, BadRequest | NotGated)


# ---- the head of a list -------------------------------------------------------------------------------------------------


@given(count=st.integers(0, 30), size=st.integers(1, 9))
def test_the_head_of_a_list_takes_one_call_and_tells_whether_there_is_more(count: int, size: int) -> None:
    played = run_flow(read_head(REPO, "pending", SETTING), Pages(by_time(count), size))
    assert len(played.sent) == 1
    assert [r.request_id for r in played.result.requests] == [r["requestId"] for r in by_time(count)[:size]]
    assert played.result.has_more == (count > size)


def test_a_full_head_without_a_link_may_have_more() -> None:
    played = run_flow(read_head(REPO, "pending", SETTING, limit=5), Pages(by_time(5), 5, links=False))
    assert played.result.has_more


def test_an_unreadable_record_of_a_head_is_reported() -> None:
    played = run_flow(read_head(REPO, "pending", SETTING), lambda _: reply([row(1), {"status": "pending"}]))
    assert len(played.result.requests) == len(played.result.quarantined) == 1


def test_a_hub_without_reset_has_an_empty_head() -> None:
    played = run_flow(read_head(REPO, "reset", SETTING), lambda send: OLD_HUB if "/reset" in send.path else reply([]))
    assert played.result == Head()


class Endless:
    """A list whose every page has one new request and links to another page."""

    def __init__(self, report: Answer) -> None:
        self.report, self.count = report, 0

    def __call__(self, send: HubCall) -> Answer:
        if send.endpoint == "report":
            return self.report
        self.count += 1
        return reply([row(self.count)], link=f'<https://hub.test{LIST}?cursor={self.count}>; rel="next"')


def test_a_list_without_end_stops_when_it_is_longer_than_the_report() -> None:
    hub = Endless(reply([{"status": "pending"}] * 900))
    played = listed(hub)
    assert hub.count <= 1001
    assert not played.result.proved
    assert "goes on after 1,000 requests, the report counts 900 of all statuses" in played.result.why


def test_a_list_without_end_stops_at_the_limit_if_the_report_cannot_be_read() -> None:
    hub = Endless(NoReply(FailureReason.TOO_LARGE, False, "too large"))
    played = listed(hub)
    assert hub.count <= 10_001
    assert not played.result.proved
    assert "stopped after 10,000 pages" in played.result.why


def test_a_long_list_that_agrees_with_the_report_is_read_to_its_end() -> None:
    rows = by_time(2500)
    played = listed(Pages(rows, 1), limit=1000)
    assert len(keys(played)) == 2500
    assert played.result.proved, played.result.why
