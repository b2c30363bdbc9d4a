"""Conditions that last are told when they begin, once a day, and when they are over."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hf_gate.automation.service.turn_log import TurnFailure, condition_of_failure, queue_turn_notices
from hf_gate.base.ids import Repo, RepoType
from hf_gate.core.letters.messages import MessageState
from hf_gate.core.letters.notices import Condition, NoticeEvent, NoticeItem, describe_item
from hf_gate.core.turns import TurnEnd, TurnRow
from hf_gate.errors import HfGateError, HubUnavailable, InvalidQuery, NotAllowed, RepoNotFound
from hf_gate.messages.rows import notices, outbox
from hf_gate.store.store import Store
from hf_gate.store.writing.notice_queue import read_subscriptions
from tests.kits.outboxes import EVERYTHING, T0, append_notice_event, list_notice_items, turn_on_destinations
from tests.kits.stores import EEG as REPO
from tests.kits.stores import ON_BOTH, store
from tests.kits.stores import sqlite_place as place

__all__ = ["place", "store"]

OTHER = Repo(RepoType.MODEL, "acme", "other")


_STUCK = Condition("table x", NoticeItem(event=NoticeEvent.STUCK, facts={"text": "Table x is refused."}))


def compare(store: Store, at: int, *conditions: Condition) -> list[str]:
    """The texts that a comparison queues."""
    known = {row.id for row in outbox.read_messages(store, list(MessageState), 1000)}
    events = (NoticeEvent.STUCK, NoticeEvent.AGEING)
    with store.writing() as write:
        notices.compare_conditions(write, events, conditions, at)
    rows = [row for row in outbox.read_messages(store, list(MessageState), 1000) if row.id not in known]
    return [f"{item.facts.get('text', item.count)}{item.facts.get('state', '')}" for row in rows for item in row.items]


@ON_BOTH
def test_a_condition_is_told_when_it_begins_once_a_day_and_when_it_is_over(store: Store) -> None:
    hour = 3_600_000
    turn_on_destinations(store)
    assert compare(store, T0 + 1) == []
    assert compare(store, T0 + hour, _STUCK) == ["Table x is refused."]
    assert compare(store, T0 + 2 * hour, _STUCK) == []
    assert compare(store, T0 + 25 * hour, _STUCK) == ["Table x is refused."]
    assert compare(store, T0 + 26 * hour) == ["Table x is refused.over"]
    assert compare(store, T0 + 27 * hour) == []


def test_what_a_destination_was_not_told_is_never_over_for_it(store: Store) -> None:
    assert compare(store, T0, _STUCK) == []
    turn_on_destinations(store, at=T0 + 1)
    assert compare(store, T0 + 2) == []


def test_a_destination_that_is_named_again_is_told_again(store: Store) -> None:
    turn_on_destinations(store, at=T0)
    assert compare(store, T0 + 1, _STUCK) == ["Table x is refused."]
    turn_on_destinations(store, [], at=T0 + 2)
    turn_on_destinations(store, at=T0 + 3)
    assert compare(store, T0 + 4, _STUCK) == ["Table x is refused."]


def test_a_destination_of_a_clock_that_was_ahead_misses_nothing(store: Store) -> None:
    year = 365 * 24 * 3_600_000
    turn_on_destinations(store, at=T0 + year)
    assert compare(store, T0 + year, _STUCK) == ["Table x is refused."]
    turn_on_destinations(store, at=T0)
    append_notice_event(store, T0 + 1)
    assert len(list_notice_items(store)) == 2
    assert compare(store, T0 + 2) == ["Table x is refused.over"]


def test_a_count_that_grows_is_told_again_after_an_hour(store: Store) -> None:
    def old(count: int) -> Condition:
        return Condition("r", NoticeItem(event=NoticeEvent.AGEING, repo=str(REPO), count=count))

    turn_on_destinations(store)
    assert compare(store, T0 + 1) == []
    assert compare(store, T0 + 2, old(1)) == ["1"]
    assert compare(store, T0 + 3, old(2)) == []
    assert compare(store, T0 + 3_600_003, old(3)) == ["3"]
    assert compare(store, T0 + 7_300_000, old(2)) == []
    assert compare(store, T0 + 7_400_000) == [], "only alarms are told when they are over"


@ON_BOTH
def test_an_incident_of_several_processes_is_one_and_ends_with_the_last_of_them(store: Store) -> None:
    token = Condition("token", NoticeItem(event=NoticeEvent.TOKEN, facts={"text": "The token is refused."}))
    turn_on_destinations(store)
    hour = 3_600_000

    def meet(by: str, at: int, *conditions: Condition) -> None:
        with store.writing() as write:
            notices.compare_conditions(write, [NoticeEvent.TOKEN], conditions, T0 + at, by=by)

    meet("loop", hour, token)
    meet("desk", hour, token)
    meet("loop", 2 * hour)
    meet("loop", 3 * hour)
    assert [item.facts for item in list_notice_items(store)] == [token.item.facts]
    meet("desk", 4 * hour)
    assert [item.facts.get("state") for item in list_notice_items(store)] == [None, "over"]
    meet("desk", 5 * hour, token)
    meet("loop", 30 * hour)
    assert [item.facts.get("state") for item in list_notice_items(store)] == [None, "over"] * 2, "the desk is gone"


@ON_BOTH
def test_loops_that_lost_the_store_together_tell_one_end(store: Store) -> None:
    item = NoticeItem(event=NoticeEvent.FAILED_TURN, facts={"text": "the store could not be used"})
    turn_on_destinations(store)
    (name,) = {row.name for row in read_subscriptions(store.reads)}
    notices.queue_recovery(store, item, {name: T0 + 1}, T0 + 10)
    notices.queue_recovery(store, item, {name: T0 + 2}, T0 + 11)
    assert len(list_notice_items(store)) == 1
    notices.queue_recovery(store, item, {name: T0 + 20}, T0 + 30)
    assert len(list_notice_items(store)) == 2


# ---- failures ----------------------------------------------------------------------------------------------------------

MINUTE = 60_000
_OUTAGE = TurnFailure(HubUnavailable("the Hub answered 503", status=503))
_NO_RIGHT = [
    TurnFailure(NotAllowed(f"{repo} refused this token (403): no permission.", status=403), repo)
    for repo in (REPO, OTHER)
]
_LOST = [TurnFailure(RepoNotFound(f"{repo}: no such repo", status=404), repo) for repo in (REPO, OTHER)]


class Turns:
    """Turns of one store, a minute apart."""

    def __init__(self, store: Store) -> None:
        self.store, self.at = store, T0
        turn_on_destinations(store, modes=EVERYTHING)

    def end(self, end: TurnEnd, *failures: TurnFailure) -> list[str]:
        """The lines that this turn queues."""
        self.at += MINUTE
        known = {row.id for row in outbox.read_messages(self.store, list(MessageState), 1000)}
        with self.store.writing() as write:
            queue_turn_notices(write, TurnRow(id=1, started_at=self.at, ended_at=self.at, end=end), failures)
        rows = [row for row in outbox.read_messages(self.store, list(MessageState), 1000) if row.id not in known]
        return [describe_item(item) for row in rows for item in row.items]


def test_the_same_cause_in_other_words_is_told_once(store: Store) -> None:
    turns = Turns(store)
    assert turns.end(TurnEnd.FAILED, _OUTAGE) == []
    assert len(turns.end(TurnEnd.FAILED, TurnFailure(HubUnavailable("no answer for 31 s", status=None)))) == 1
    assert turns.end(TurnEnd.FAILED, _OUTAGE) == []
    assert len(turns.end(TurnEnd.OK)) == 1


def test_a_new_cause_at_another_repo_is_told_while_the_first_one_lasts(store: Store) -> None:
    turns, (first, second) = Turns(store), _LOST
    turns.end(TurnEnd.PARTIAL, first)
    assert turns.end(TurnEnd.PARTIAL, first)[0].startswith(
        f"A turn of hf-gate run failed at {REPO}: no such repo. Check the spelling."
    )
    assert turns.end(TurnEnd.PARTIAL, first, second) == []
    assert turns.end(TurnEnd.PARTIAL, first, second)[0].startswith(
        f"A turn of hf-gate run failed at {OTHER}: no such repo."
    )
    assert turns.end(TurnEnd.PARTIAL, second)[0].endswith(" 1 other problem remains: hf-gate status --check")
    assert turns.end(TurnEnd.OK)[0].endswith(" There is nothing to do.")


def test_a_turn_that_fails_whole_shows_nothing_to_be_over(store: Store) -> None:
    turns, (first, _) = Turns(store), _LOST
    turns.end(TurnEnd.PARTIAL, first)
    turns.end(TurnEnd.PARTIAL, first)
    assert turns.end(TurnEnd.FAILED, _OUTAGE) == [], "one bad turn for the others"
    assert turns.end(TurnEnd.PARTIAL, first) == []
    assert len(turns.end(TurnEnd.OK)) == 1


def test_repos_that_refuse_the_token_are_one_line_that_names_no_other_source_of_tokens(store: Store) -> None:
    turns = Turns(store)
    turns.end(TurnEnd.FAILED, *_NO_RIGHT)
    (line,) = turns.end(TurnEnd.FAILED, *_NO_RIGHT)
    assert line.startswith(
        f"A turn of hf-gate run failed at {OTHER}, {REPO}: the repo refused this token (403): no permission."
    )
    assert "Replace the token of hf-gate run." in line
    assert "hf auth login" not in line


def _problems() -> Iterator[BaseException | str]:
    """An error of each kind, an unexpected one, and a sentence."""
    kinds = [HfGateError]
    while kinds:
        kind = kinds.pop()
        kinds += [below for below in kind.__subclasses__() if below.__module__ != "hf_gate"]  # no joined ones
        if not issubclass(kind, InvalidQuery):
            yield kind("it went wrong")
    yield from (ZeroDivisionError("ada@example.org"), "decisions were refused", NotAllowed("no token", status=401))


def test_each_failure_says_what_to_do_or_that_there_is_nothing_to_do() -> None:
    for problem in _problems():
        facts = condition_of_failure(TurnFailure(problem)).item.facts
        hint = str(facts["hint"])
        assert hint[:1].isupper(), problem
        assert re.search(r"[.)]$", hint), hint
        assert hint != "The next turn tries again.", "this alone does not say whether somebody must act"
        assert "example.org" not in str(facts)
