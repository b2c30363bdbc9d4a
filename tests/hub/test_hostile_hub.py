"""A dishonest Hub: its answers are believed only as far as they can be checked."""

from __future__ import annotations

from typing import Any

import pytest

from hf_gate import Decision
from hf_gate.base.ids import Repo, RepoType
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.errors import BadRequest, HubUnavailable, NotAllowed, OutcomeUnknown
from hf_gate.hub.protocol.endpoints import build_list_call
from hf_gate.hub.protocol.flows import bulk, repos, single_decision
from hf_gate.hub.protocol.flows.calls import FlowContext, RetryPolicy, send_call
from hf_gate.hub.protocol.flows.listing import list_requests
from hf_gate.hub.protocol.messages import Answer, FailureReason, HubCall, NoReply, Reply
from hf_gate.hub.protocol.replies import build_error
from tests.kits.flow_player import FlowResult, reply, row, run_flow

REPO = Repo(RepoType.MODEL, "acme", "m")
SETTING = FlowContext("https://hub.test", RetryPolicy(max_tries=2), started_at=0.5)


class Lists:
    """A Hub with readable lists and any answer to a write."""

    def __init__(self, write: Any, **people: str) -> None:
        self.write, self.people = write, people

    def __call__(self, send: HubCall) -> Answer:
        if send.is_change:
            answer: Answer = self.write(send)
            return answer
        if send.endpoint != "list":
            return reply({"error": "no"}, status=404)
        status = send.path.split("?")[0].rsplit("/", 1)[1]
        named = [
            row(n, s) | {"user": {"_id": f"{n:024x}", "user": name}} for n, (name, s) in enumerate(self.people.items())
        ]
        return reply([r for r in named if r["status"] == status])


def decided(write: Any, *names: str, **people: str) -> tuple[dict[str | None, OutcomeKind], FlowResult]:
    played = run_flow(bulk.decide_many(REPO, SETTING), Lists(write, **people), [Decision.accept(n) for n in names])
    return {o.user: o.kind for o in played.emitted}, played


def test_a_batch_answer_in_another_order_is_not_matched_by_position() -> None:
    swapped = [{"user": "bad", "ok": False, "error": "user_not_found"}, {"user": "good", "ok": True}]
    kinds, _ = decided(lambda _: reply(swapped), "good", "bad", good="accepted", bad="pending")
    assert kinds["good"] is OutcomeKind.DONE
    assert kinds["bad"] is not OutcomeKind.DONE


def test_a_batch_answer_about_other_people_is_settled_by_reading() -> None:
    kinds, _ = decided(lambda _: reply([{"user": "mallory", "ok": True}]), "ada", ada="pending")
    assert kinds == {"ada": OutcomeKind.OPEN}


def test_a_refusal_after_a_lost_answer_does_not_prove_that_nothing_happened() -> None:
    answers = iter([reply(status=500), *[reply({"error": "no"}, status=403)] * 9])
    kinds, played = decided(lambda _: next(answers), "ada", ada="pending")
    assert kinds == {"ada": OutcomeKind.OPEN}
    assert isinstance(played.emitted[0].error, OutcomeUnknown)
    assert isinstance(played.error, NotAllowed)


def test_a_refusal_of_a_single_decision_after_a_lost_answer_proves_nothing() -> None:
    answers = iter([reply(status=500), *[reply({"error": "no"}, status=403)] * 9])
    flow = single_decision.decide_one(REPO, Decision.accept("ada"), SETTING)
    played = run_flow(flow, Lists(lambda _: next(answers), ada="pending"))
    assert isinstance(played.result.error, OutcomeUnknown)


@pytest.mark.parametrize(
    "lost",
    [reply(status=502), NoReply(FailureReason.BROKEN, is_sent=True), NoReply(FailureReason.TIMEOUT, is_sent=True)],
)
def test_lost_settings_are_unknown_unless_the_gate_shows_them(lost: Answer) -> None:
    def hub(mode: Any) -> Any:
        return lambda send: lost if send.is_change else reply({"gated": mode})

    assert run_flow(repos.set_gate(REPO, {"gated": "auto"}, SETTING), hub("auto")).result.mode == "auto"
    assert isinstance(run_flow(repos.set_gate(REPO, {"gated": "auto"}, SETTING), hub("manual")).error, OutcomeUnknown)
    assert isinstance(run_flow(repos.ask_access(REPO, {}, SETTING), lambda s: lost if s.is_change else reply({"error": "you are not in the authorized list"}, status=403)).error, OutcomeUnknown)  # fmt: skip


def test_after_any_stop_each_decision_has_an_outcome() -> None:
    def hub(send: HubCall) -> Answer:
        return Reply(307, {"location": "https://evil.test/"}, b"", 1.0) if send.is_change else reply([])

    played = run_flow(bulk.decide_many(REPO, SETTING), hub, [Decision.accept(n) for n in ("ada", "bob")])
    assert [(o.user, o.kind) for o in played.emitted] == [("ada", OutcomeKind.OPEN), ("bob", OutcomeKind.OPEN)]
    assert played.error is not None


def test_endless_refusals_end_with_max_wait() -> None:
    def busy(_: HubCall) -> Answer:
        return Reply(429, {"retry-after": "0"}, b"", elapsed=1.0)

    played = run_flow(
        send_call(build_list_call(REPO, "pending"), FlowContext("https://hub.test", RetryPolicy(max_wait=3.0))), busy
    )
    assert isinstance(played.result, NoReply)
    assert isinstance(build_error(played.result, REPO), HubUnavailable)
    assert len(played.sent) < 6


def test_empty_pages_with_endless_links_end() -> None:
    numbers = iter(range(10_000))

    def hub(_: HubCall) -> Answer:
        return reply([], link=f'</api/models/acme/m/user-access-request/pending?cursor={next(numbers)}>; rel="next"')

    played = run_flow(list_requests(REPO, "pending", SETTING), hub)
    assert not played.result.proved
    assert len(played.sent) < 30


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999-14:00", "yesterday", 7, None])
def test_a_time_outside_the_calendar_quarantines_its_record_and_no_other(time: Any) -> None:
    played = run_flow(list_requests(REPO, "pending", SETTING), lambda _: reply([row(1) | {"timestamp": time}, row(2)]))
    assert [r.request_id for page in played.emitted for r in page.rows] == [f"{2:024x}"]
    assert "1 record of a page" in played.result.why


def test_times_at_the_end_of_the_calendar_do_not_crash() -> None:
    rows = [row(n) | {"timestamp": "9999-12-31T23:59:59.999Z"} for n in range(10)]
    assert not run_flow(list_requests(REPO, "pending", SETTING), lambda _: reply(rows)).result.proved


def test_a_number_with_thousands_of_digits_does_not_break_the_page() -> None:
    body = b'[{"requestId":"000000000000000000000001","timestamp":"2026-10-01T00:00:00.000Z","status":"pending","fields":{"n":' + b"9" * 5000 + b"}}]"  # fmt: skip
    played = run_flow(list_requests(REPO, "pending", SETTING), lambda _: Reply(200, {}, body, 1.0))
    assert len(played.emitted[0].rows) == 1


def test_an_error_with_a_lone_surrogate_is_readable() -> None:
    error = build_error(Reply(422, {}, b'{"error":"\\ud800"}', 1.0), REPO)
    assert isinstance(error, BadRequest)
    str(error).encode()
