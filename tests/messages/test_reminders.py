"""The time of a `wait` counts from a reminder that the mail server took; without one, a person decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.base.timestamps import from_ms
from hf_gate.core.events import events as e
from hf_gate.core.letters.messages import DeliveryKind, MessageState
from hf_gate.decisions.service.runs.runs import check_plan_in_workspace
from hf_gate.errors import Guarded, StoreBusy
from hf_gate.messages.service.message_records import preview_letters
from hf_gate.messages.service.message_sending import MAX_REFUSED
from hf_gate.messages.service.reminders import describe_wait
from hf_gate.policies.words.explanations import explain_verdict
from hf_gate.privacy.rows.erasure import delete_expired
from hf_gate.verdicts.service.evaluation import evaluate_request, open_fact_sources
from hf_gate.workspace.rows.opening import open_store
from tests.kits.evaluations import EvaluatedWorkspace
from tests.kits.faulty_stores import KilledError
from tests.kits.outboxes import LetterServer, list_letters, list_open, mark_letters, send_letters
from tests.kits.reminders import SPAN, TODAY, WAIT, make_reminder_workspace, turn_reminders
from tests.kits.stores import EEG, ENDPOINT, MED, place

__all__ = ["place"]

SECOND = timedelta(seconds=1)
OTHER = parse_repo("datasets/acme/third", None)


Make: TypeAlias = Callable[..., EvaluatedWorkspace]


@pytest.fixture
def make(place: str, tmp_path: Path) -> Iterator[Make]:
    """Makes one workspace, and closes it."""
    made: list[EvaluatedWorkspace] = []

    def build(*rules: str, on: bool = True) -> EvaluatedWorkspace:
        made.append(make_reminder_workspace(place, tmp_path / "desk", *rules, on=on))
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def desk(make: Make) -> EvaluatedWorkspace:
    return make()


def take_turn(desk: EvaluatedWorkspace, post: LetterServer | None = None) -> LetterServer:
    """Evaluate, then send letters, as each turn does."""
    post = post or LetterServer()
    desk.evaluate()
    send_letters(desk.workspace, post)
    return post


def action(desk: EvaluatedWorkspace, number: int = 1, repo: Repo = EEG) -> str:
    """The recorded verdict, after an evaluation of what changed that is compared with a full one."""
    desk.evaluate()
    verdict = desk.row(number, repo).state.verdict
    assert verdict is not None
    return verdict[0]


def asked_at(desk: EvaluatedWorkspace, number: int = 1) -> datetime:
    return from_ms(desk.row(number).state.asked_at)


def why(desk: EvaluatedWorkspace, number: int = 1) -> tuple[str, str]:
    """The sentences about a request: why it has its verdict, and when its wait is over."""
    row, store = desk.row(number), desk.store
    repo = store.repo(row.repo)
    assert repo is not None
    policies = desk.bundle.for_repo(repo, open_fact_sources(desk.workspace))
    found = evaluate_request(store, policies, open_fact_sources(desk.workspace), row, desk.now)
    end = found.verdict.wait_end
    assert end is not None
    zone = desk.workspace.zone
    return str(explain_verdict(found.verdict, desk.now, zone).sentence), describe_wait(store, row, end, desk.now, zone)


def list_accepted(desk: EvaluatedWorkspace) -> list[e.LetterSent]:
    rows = desk.store.reads.rows("SELECT body FROM ledger ORDER BY id")
    events = [e.decode_event(body.encode()) for (body,) in rows]
    return [one for one in events if isinstance(one, e.LetterSent) and one.rule is not None]


def states(desk: EvaluatedWorkspace) -> list[str]:
    return sorted(one.state.value for one in list_letters(desk.store, list(MessageState), 1000))


def test_the_time_counts_from_the_moment_at_which_the_server_took_the_reminder(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, day=TODAY)
    desk.wait(days=2)
    post = take_turn(desk)
    assert post.to == ["user1@example.org"]
    assert "Sign it." in post.texts[0].body
    assert "before 2026-03-13" in post.texts[0].body
    taken = desk.now
    (event,) = list_accepted(desk)
    assert (event.rule, event.how) == ("r0", "server")
    desk.clock.at = asked_at(desk) + SPAN + SECOND
    assert action(desk) == "wait"
    assert why(desk)[1] == (
        "The wait ends 2026-03-13 13:00 CET, counted from the reminder that was accepted 2026-03-03 13:00 CET."
        " Then the request is sent back."
    )
    desk.clock.at = taken + SPAN - SECOND
    assert action(desk) == "wait"
    desk.clock.at = taken + SPAN
    assert action(desk) == "reset"
    assert take_turn(desk).to == []


def test_without_reminders_the_time_counts_from_the_request(make: Make) -> None:
    desk = make(on=False)
    desk.read(EEG, 1, day=TODAY)
    assert take_turn(desk).to == []
    desk.clock.at = asked_at(desk) + SPAN - SECOND
    assert action(desk) == "wait"
    assert "counted from the request 2026-03-01 11:00 CET. Then the request is sent back." in why(desk)[1]
    desk.wait(seconds=1)
    assert action(desk) == "reset"


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ((DeliveryKind.REFUSED, False), "bounced"),
        ((DeliveryKind.FAILED, False), "waiting"),
        ((DeliveryKind.UNKNOWN, True), "unknown"),
        ((None, True), "unknown"),
        ((None, False), "unknown"),
    ],
)
def test_a_reminder_that_was_not_surely_accepted_leaves_the_decision_to_a_person(
    desk: EvaluatedWorkspace, ending: tuple[DeliveryKind | None, bool], state: str
) -> None:
    desk.read(EEG, 1, day=TODAY)
    with suppress(KilledError):
        take_turn(desk, LetterServer([ending]))
    desk.clock.at = asked_at(desk) + SPAN - SECOND
    take_turn(desk, LetterServer([(DeliveryKind.FAILED, False)]))
    assert action(desk) == "wait"
    assert why(desk)[1] == "No reminder was accepted yet. Without one before 2026-03-11 11:00 CET, a person decides."
    desk.wait(seconds=1)
    assert states(desk) == [state]
    assert take_turn(desk).to == []
    assert action(desk) == "human"
    assert why(desk) == (
        "Needs review: no reminder reached this person; you decide.",
        "No reminder was accepted before 2026-03-11 11:00 CET, so a person decides.",
    )
    desk.wait(days=400)
    take_turn(desk)
    assert action(desk) == "human"
    assert list_accepted(desk) == []


def test_a_person_without_an_address_is_left_to_a_person(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, day=TODAY, email=None)
    assert take_turn(desk).to == []
    desk.clock.at = asked_at(desk) + SPAN
    assert action(desk) == "human"


def test_turning_reminders_on_removes_nobody_who_waited_before(make: Make) -> None:
    desk = make(on=False)
    desk.read(EEG, 1, 2, day=TODAY)
    desk.read(EEG, 3, day=TODAY - 20)
    desk.wait(days=5)
    take_turn(desk)
    assert [action(desk, number) for number in (1, 2, 3)] == ["wait", "wait", "reset"]
    desk.turn_reminders(on=True)
    desk.evaluate()
    assert why(desk)[1] == (
        "Reminders begin with the next turn of hf-gate run. People who asked earlier get none."
        " From 2026-03-11 11:00 CET on, a person decides."
    )
    turn_reminders(desk, on=True)
    assert take_turn(desk).to == [], "they asked before reminders were on"
    assert [action(desk, number) for number in (1, 2, 3)] == ["wait", "wait", "human"]
    began = "Reminders began 2026-03-06 13:00 CET. People who asked earlier get none."
    assert [why(desk, number)[1] for number in (1, 3)] == [
        f"{began} From 2026-03-11 11:00 CET on, a person decides.",
        f"{began} A person decides.",
    ]
    desk.wait(days=50)
    assert take_turn(desk).to == []
    assert [action(desk, number) for number in (1, 2, 3)] == ["human", "human", "human"]
    turn_reminders(desk, on=False)
    assert [action(desk, number) for number in (1, 2, 3)] == ["reset", "reset", "reset"]


def test_a_service_that_was_down_sends_no_reminder_after_the_time_and_removes_late(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, day=TODAY)
    take_turn(desk)
    desk.read(EEG, 2, day=TODAY)
    desk.evaluate()  # the process died before it sent the letter
    desk.wait(days=20)
    post = LetterServer()
    send_letters(desk.workspace, post)
    assert post.to == [], "the time is over, although no turn has evaluated the request yet"
    (letter,) = list_open(desk.workspace, 10)
    assert letter.problem == "the wait has ended, so a reminder no longer counts"
    assert [action(desk, number) for number in (1, 2)] == ["reset", "human"]


def test_reminders_that_come_too_late_are_no_refusals_of_the_server(desk: EvaluatedWorkspace) -> None:
    count = MAX_REFUSED + 2
    for number in range(1, count + 1):
        desk.read(EEG, number, day=TODAY)
    desk.evaluate()
    desk.wait(days=20)
    post = LetterServer([(DeliveryKind.REFUSED, False)] * count)
    assert send_letters(desk.workspace, post).counts == {}
    assert len(post.answers) == count, "the server was not asked"
    assert states(desk) == ["failed"] * count


def test_two_processes_send_one_reminder_and_record_it_once(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, 2, day=TODAY)
    desk.evaluate()
    post = LetterServer()

    def send_at_the_same_time() -> None:
        with suppress(StoreBusy):
            send_letters(desk.workspace, post)

    post.on_send = send_at_the_same_time
    send_letters(desk.workspace, post)
    assert sorted(post.arrived.values()) == [1, 1]
    assert len({one.letter for one in list_accepted(desk)}) == len(list_accepted(desk)) == 2


@pytest.mark.parametrize("before", ["waiting", "unknown"])
def test_a_person_who_says_that_a_reminder_was_sent_starts_the_time(desk: EvaluatedWorkspace, before: str) -> None:
    desk.read(EEG, 1, day=TODAY)
    desk.evaluate()
    if before == "unknown":
        send_letters(desk.workspace, LetterServer([(DeliveryKind.UNKNOWN, False)]))
        (letter,) = list_open(desk.workspace, 10)
    else:
        (letter,) = preview_letters(desk.workspace, 10)
        assert (letter.wait_ends_at, letter.counts_until) == ("2026-03-11T12:00:00.000Z", "2026-03-11T10:00:00.001Z")
    desk.wait(days=3)
    said = desk.now
    assert mark_letters(desk.workspace, [letter.id], MessageState.MARKED, "lena").messages == [letter.id]
    assert mark_letters(desk.workspace, [letter.id], MessageState.MARKED, "lena").messages == []
    (event,) = list_accepted(desk)
    assert event.how == "hand"
    assert desk.store.reads.rows("SELECT actor FROM ledger WHERE kind = 'LetterSent'") == [("lena",)]
    desk.clock.at = said + SPAN - SECOND
    assert action(desk) == "wait"
    desk.wait(seconds=1)
    assert action(desk) == "reset"


def test_a_reminder_that_comes_after_the_time_changes_nothing(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, day=TODAY)
    desk.evaluate()
    (letter,) = preview_letters(desk.workspace, 10)
    desk.clock.at = asked_at(desk) + SPAN
    assert mark_letters(desk.workspace, [letter.id], MessageState.MARKED, "lena").reminders == 1
    assert action(desk) == "human"
    desk.wait(days=11)
    assert action(desk) == "human"


def test_the_reminder_of_one_rule_does_not_count_for_another(make: Make) -> None:
    rules = f"  - {{id: r0, when: '!tables.dua', {WAIT}}}\n  - {{id: r1, {WAIT}}}\n"
    desk = make(rules)
    desk.read(EEG, 1, day=TODAY)
    assert take_turn(desk).to == ["user1@example.org"]
    desk.write_table(",user1@example.org,,,")
    assert action(desk) == "wait"
    assert "No reminder was accepted yet." in why(desk)[1]
    desk.wait(days=30)
    assert action(desk) == "human", "rule r1 has no text in `needs`, so nobody was reminded of it"
    desk.write_table()
    assert action(desk) == "reset"


def test_a_new_attempt_needs_a_new_reminder(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, day=TODAY)
    assert len(take_turn(desk).to) == 1
    desk.wait(days=9)
    desk.read(EEG, 1, day=TODAY + 8)
    assert action(desk) == "wait"
    assert "No reminder was accepted yet." in why(desk)[1]
    assert len(take_turn(desk).to) == 1
    assert "counted from the reminder" in why(desk)[1]


def test_a_limit_delays_a_reminder_and_after_the_time_a_person_decides(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, day=TODAY)
    take_turn(desk)
    desk.read(MED, 1, day=TODAY)
    desk.wait(days=6, hours=23)
    assert take_turn(desk).to == [], "one of a kind in 7 days"
    assert preview_letters(desk.workspace, 10) == []
    desk.wait(minutes=30)  # the oldest letter goes first
    desk.read(OTHER, 1, day=TODAY + 2)
    take_turn(desk)
    desk.wait(hours=2)
    assert len(take_turn(desk).to) == 1
    desk.clock.at = asked_at(desk) + SPAN
    assert action(desk, repo=MED) == "wait"
    desk.wait(days=30)
    assert take_turn(desk).to == []
    assert [action(desk, repo=repo) for repo in (EEG, MED, OTHER)] == ["reset", "reset", "human"]


def test_a_plan_of_before_reminders_were_on_is_refused(make: Make) -> None:
    desk = make(on=False)
    desk.read(EEG, 1, day=TODAY - 20)
    plan = desk.propose(desk.bundle).plan
    assert [change.after for change in plan.changes] == ["reset"]
    check_plan_in_workspace(desk.workspace, desk.bundle, plan)
    turn_reminders(desk, on=True)
    with pytest.raises(Guarded, match="the policies have changed"):
        check_plan_in_workspace(desk.workspace, desk.bundle, plan)
    assert desk.propose(desk.bundle).plan.changes == []


def test_a_broken_policy_delays_a_reminder_and_loses_none(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, day=TODAY)
    desk.evaluate()
    (desk.folder / "policies" / "main.yaml").write_text("rules: [")
    result = send_letters(desk.workspace, post := LetterServer())
    assert (post.to, result.problems.get("")) == (
        [],
        "a policy could not be read, so the date of the reminder is not known",
    )
    desk.write_policy(f"  - {{id: r0, {WAIT}}}\n")
    desk.wait(hours=1)
    assert take_turn(desk).to == ["user1@example.org"]


def test_the_ledger_says_what_a_verdict_read_of_reminders(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, day=TODAY)
    take_turn(desk)
    desk.wait(days=20)
    assert action(desk) == "reset"
    bodies = [body for (body,) in desk.store.reads.rows("SELECT body FROM ledger")]
    assert not any("user1" in body or "example.org" in body for body in bodies)
    facts = [
        one.private["facts"]
        for one in desk.store.entries(request=desk.row(1).id)
        if one.private and "facts" in one.private
    ]
    assert facts[0]["request.reminders"] == {"r0": "2026-03-01T12:00:00.000Z"}


def test_a_store_that_is_opened_again_knows_the_reminder(make: Make) -> None:
    desk = make()
    desk.read(EEG, 1, day=TODAY)
    take_turn(desk)
    known = desk.row(1).state.reminders
    desk.store.close()
    desk.store = open_store(desk.place, endpoint=ENDPOINT)
    desk.open_workspace()
    assert desk.row(1).state.reminders == known != ()


def test_erasure_of_old_requests_leaves_no_letter_of_a_reminder(desk: EvaluatedWorkspace) -> None:
    desk.read(EEG, 1, day=TODAY)
    take_turn(desk)
    desk.read(EEG, 1, day=TODAY, status="rejected")
    at = int(desk.now.timestamp() * 1000)
    assert delete_expired(desk.store, "rejected", at + 1, limit=10, at=at + 2, actor="lena") == 1
    assert states(desk) == []
