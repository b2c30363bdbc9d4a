"""Notices to the staff: which events are told, to whom, and the text of a message.

Messages in the outbox hold counts and numbers of requests only. Names are read from the store when a message is sent,
so an erasure reaches them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Final, Literal, NamedTuple

import msgspec

from hf_gate.base.batches import group_pairs
from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import DAY_MS, from_ms, to_iso
from hf_gate.core.events import events as e
from hf_gate.core.lifecycle import Status
from hf_gate.core.records import EventRecord
from hf_gate.core.runs import FINISHED, ChangeState

MAILBOX: Final = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?\Z")
"""What a message can be addressed to: no list, no name, no comment, no line break."""


class NoticeEvent(StrEnum):
    """What a notice is about."""

    NEW_REQUESTS = "new_requests"
    AGEING = "ageing"
    SECOND_APPROVAL = "second_approval"
    RUN_RESULT = "run_result"
    ENDS_SOON = "ends_soon"
    TOKEN = "token"  # noqa: S105 - a kind of notice
    STUCK = "stuck"
    FAILED_TURN = "failed_turn"
    LOOP_ENDED = "loop_ended"
    LEDGER_BROKEN = "ledger_broken"
    UNATTENDED = "unattended"  # stopped, started
    AUDIT_LOG = "audit_log"  # each entry, for programs

    @property
    def is_alarm(self) -> bool:
        """Whether a delivery of it is tried at least every five minutes."""
        return self in _ALARMS


_ALARMS: Final = frozenset(
    {
        NoticeEvent.TOKEN,
        NoticeEvent.STUCK,
        NoticeEvent.FAILED_TURN,
        NoticeEvent.LOOP_ENDED,
        NoticeEvent.LEDGER_BROKEN,
        NoticeEvent.UNATTENDED,
    }
)


class NoticeMode(StrEnum):
    """When a notice is sent: at once, with others in a digest, or never."""

    IMMEDIATE = "immediate"
    DIGEST = "digest"
    OFF = "off"


DEFAULT_MODES: Final[Mapping[NoticeEvent, NoticeMode]] = {
    event: NoticeMode.IMMEDIATE if event.is_alarm or event is NoticeEvent.SECOND_APPROVAL else NoticeMode.DIGEST
    for event in NoticeEvent
} | {NoticeEvent.AUDIT_LOG: NoticeMode.OFF}

FAILURES: Final = frozenset({NoticeEvent.FAILED_TURN, NoticeEvent.TOKEN})
"""Events of turns that failed. Only a turn that did not fail whole shows that one is over."""

LASTING: Final = (
    NoticeEvent.AGEING,
    NoticeEvent.FAILED_TURN,
    NoticeEvent.TOKEN,
    NoticeEvent.STUCK,
)
"""Events of conditions: states that last for some turns."""

MAX_AFTER: Final = 100
DEFAULT_AFTER: Final[Mapping[NoticeEvent, int]] = {
    event: 2 if event is NoticeEvent.FAILED_TURN else 1 for event in LASTING
}
"""For how many turns in a row a condition holds before it is told. Most failed turns are followed by a good one."""


class ChannelKind(StrEnum):
    """How a destination is reached."""

    WEBHOOK = "webhook"
    SMTP = "smtp"
    APPRISE = "apprise"


CHANNEL_KEYS: Final[Mapping[ChannelKind, tuple[str, ...]]] = {
    ChannelKind.WEBHOOK: ("key",),
    ChannelKind.SMTP: ("from", "to", "user", "password"),
    ChannelKind.APPRISE: (),
}
"""The keys that a destination of each kind may have in hf-gate.yaml, beside the kind and the keys of all kinds."""


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """A mail server and the addresses of a destination. `password` is a reference to a secret."""

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    user: str | None = None
    password: str | None = None


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A destination as hf-gate.yaml names it. `address` and `key` are references to secrets."""

    name: str
    kind: ChannelKind
    modes: Mapping[NoticeEvent, NoticeMode]
    after: Mapping[NoticeEvent, int] = msgspec.field(default_factory=lambda: dict(DEFAULT_AFTER))
    digest_at: time = time(8)
    has_personal: bool = False
    address: str | None = None
    key: str | None = None
    mail: MailServer | None = None


# ---- what is told ----------------------------------------------------------------------------------------------------

MAX_REQUESTS: Final = 20
"""How many requests a message names at most."""


class NoticeItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a message. `requests` are numbers of rows; `facts` hold no personal data."""

    event: NoticeEvent
    repo: str | None = None  # as `str(Repo)` spells it
    count: int = 1
    requests: tuple[int, ...] = ()
    facts: Mapping[str, str | int] = {}


def merge_items(items: Iterable[NoticeItem]) -> list[NoticeItem]:
    """Add up the items about the same thing, in the order of their first appearance. Each run stays an item."""
    found: dict[object, NoticeItem] = {}
    for item in items:
        key = (item.event, item.repo, str(item.facts) if item.event.is_alarm else item.facts.get("run"))
        known = found.get(key)
        found[key] = item if known is None else _add(known, item)
    return list(found.values())


def _add(item: NoticeItem, other: NoticeItem) -> NoticeItem:
    is_state = item.event is NoticeEvent.AGEING  # the last count holds, not the sum
    if is_state or item.event.is_alarm or item.event is NoticeEvent.RUN_RESULT:
        return other
    requests = tuple(dict.fromkeys((*item.requests, *other.requests)))[:MAX_REQUESTS]
    facts = dict(other.facts)
    for name, value in item.facts.items():
        known = facts.get(name)
        if known is None:
            facts[name] = value
        elif isinstance(value, int) and isinstance(known, int):
            facts[name] = value + known
    return msgspec.structs.replace(item, count=item.count + other.count, requests=requests, facts=facts)


_LEFT: Final = (ChangeState.PLANNED, ChangeState.STARTED)
"""Changes that a run has left. A later run may have made them, so they are not added to its changes."""


def sum_runs(items: Sequence[NoticeItem]) -> list[NoticeItem]:
    """Return the items with the results of all runs as one line, in the place of the first."""
    runs = [item for item in items if item.event is NoticeEvent.RUN_RESULT]
    if len(runs) < 2:
        return list(items)
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update({kind: n for kind, n in run.facts.items() if isinstance(n, int) and kind not in _LEFT})
        counts["unended"] += run.facts.get("state") not in FINISHED
    total = NoticeItem(event=NoticeEvent.RUN_RESULT, count=sum(run.count for run in runs), facts=dict(+counts))
    return [total if item is runs[0] else item for item in items if item is runs[0] or item not in runs]


def item_of(event: e.AnyEvent, repo: Repo | None, request: int | None) -> NoticeItem | None:
    """Return the item that an entry of the ledger causes; None for most entries."""
    place = None if repo is None else str(repo)
    about = () if request is None else (request,)
    match event:
        case e.RequestSeen(status=Status.PENDING):
            return NoticeItem(event=NoticeEvent.NEW_REQUESTS, repo=place, requests=about)
        case e.ApprovalGiven():
            return NoticeItem(event=NoticeEvent.SECOND_APPROVAL, repo=place, requests=about)
        case e.GrantNoticed(until=until):
            return NoticeItem(
                event=NoticeEvent.ENDS_SOON, repo=place, requests=about, facts={"until": to_iso(from_ms(until))}
            )
        case e.RunEnded(run=run, state=state, counts=counts):
            return NoticeItem(
                event=NoticeEvent.RUN_RESULT,
                repo=place,
                facts={"run": run, "state": state, **dict(sorted(counts.items()))},
            )
        case e.UnattendedStopped(cause=None):
            return NoticeItem(event=NoticeEvent.UNATTENDED, facts={"state": "stopped"})
        case e.UnattendedStarted(cause=None):
            return NoticeItem(event=NoticeEvent.UNATTENDED, facts={"state": "started"})
        case _:
            return None


class Condition(NamedTuple):
    """A state that lasts, such as a failing turn. It is told when it begins and once a day, and alarms also when it
    ends.

    `key` names it among the conditions of the same event. Another cause of a failure is another key.
    """

    key: str
    item: NoticeItem


REMIND_MS: Final = DAY_MS
"""How often a condition that lasts is told again."""


class HeldCondition(NoticeItem, frozen=True, kw_only=True, omit_defaults=True):
    """A condition as it is stored: its item, for how many turns it has held, and when (ms) and with which count it was
    told.

    `told` is by destination. `by` has when (ms) the loop, and the desk, last met it: it is over when neither does.
    """

    turns: int = 0
    told: Mapping[str, tuple[int, int]] = {}
    by: Mapping[str, int] = {}

    @property
    def item(self) -> NoticeItem:
        """The condition as a line of a message."""
        return NoticeItem(**{name: getattr(self, name) for name in NoticeItem.__struct_fields__})


_NAMED_REPOS: Final = 3


def join_failures(items: Iterable[NoticeItem]) -> list[NoticeItem]:
    """Return the items with one line for each failure that several repos have in common."""
    groups = group_pairs((_failure_of(item), item) for item in items)
    return [_join(group) for group in groups.values()]


def _failure_of(item: NoticeItem) -> object:
    """Return what is equal for the same failure at several repos."""
    return (item.event, str(item.facts)) if item.event is NoticeEvent.FAILED_TURN and item.repo else id(item)


def _join(items: Sequence[NoticeItem]) -> NoticeItem:
    first = items[0]
    repos = sorted(item.repo or "" for item in items)
    if len(items) == 1:
        return first
    more = f" and {len(repos) - _NAMED_REPOS:,} more" if len(repos) > _NAMED_REPOS else ""
    named = f"{', '.join(repos[:_NAMED_REPOS])}{more}"
    return msgspec.structs.replace(first, repo=None, count=len(items), facts={**first.facts, "repos": named})


# ---- when ------------------------------------------------------------------------------------------------------------


def next_digest(after: datetime, at: time, zone: tzinfo) -> datetime:
    """Return when the next digest is due: the first moment after `after` with this time of day."""
    local = after.astimezone(zone)
    due = datetime.combine(local.date(), at, zone)
    return due if due > local else datetime.combine(local.date() + timedelta(days=1), at, zone)


# ---- text ------------------------------------------------------------------------------------------------------------


class NamedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as a message names it. Erased people have no name and no id."""

    user: str | None
    user_id: str | None


class OutgoingItem(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a message as receivers see it. `requests` is null unless the destination may have personal data."""

    event: NoticeEvent
    text: str
    repo: str | None
    repo_type: str | None
    count: int
    facts: Mapping[str, str | int]
    requests: tuple[NamedRequest, ...] | None = None


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as webhooks get it. `sequence` grows with each message to the same destination.

    A message of `audit_log` has the events between two cursors of the event feed; they are null in others.
    """

    schema_version: Literal[1]
    id: str
    sequence: int
    event: str
    is_alarm: bool
    made_at: str
    hub: str
    workspace: str | None
    subject: str
    items: tuple[OutgoingItem, ...]
    after: str | None = None
    next: str | None = None
    events: tuple[EventRecord, ...] | None = None

    @property
    def lines(self) -> list[str]:
        """The text of the message."""
        return [_with_names(item) for item in self.items]


def _with_names(item: OutgoingItem) -> str:
    names = [request.user or request.user_id or "an erased person" for request in item.requests or ()]
    more = ", ..." if names and item.count > len(names) else ""
    return f"{item.text} ({', '.join(names)}{more})" if names else item.text


def describe_item(item: NoticeItem) -> str:
    """Return a sentence about an item, with the next step. It names no person."""
    return _SENTENCES[item.event](item, item.repo or "the workspace")


def _describe_ageing(item: NoticeItem, where: str) -> str:
    days = item.facts.get("days", 0)
    waits = "waits" if item.count == 1 else "wait"
    words = f"{_describe_requests(item, where)} older than {days} days and {waits} for a decision"
    return f"{words}: hf-gate ls {where} --query 'age:>{days}d -verdict:wait'"


def _describe_requests(item: NoticeItem, where: str) -> str:
    return f"{pluralize(item.count, 'request')} at {where} {'is' if item.count == 1 else 'are'}"


_LEFT_WORDS: Final[Mapping[str, str]] = {
    ChangeState.PLANNED: "not sent",
    ChangeState.STARTED: "not known yet",
    ChangeState.UNSENT: "not sent",
}


def _describe_runs(item: NoticeItem, _where: str) -> str:
    """Return what a run did and left, or what several runs did, and where to see runs that have not ended."""
    counts: Counter[str] = Counter()
    for kind, number in item.facts.items():
        if isinstance(number, int) and kind != "unended":
            counts[_LEFT_WORDS.get(kind, kind)] += number
    numbers = ", ".join(f"{number:,} {kind}" for kind, number in counts.items()) or "no change"
    if item.count > 1:
        unended = item.facts.get("unended")
        return f"{item.count:,} runs: {numbers}." + (f" {unended} not ended: hf-gate runs ls" if unended else "")
    run = item.facts.get("run")
    state = item.facts.get("state")
    return f"Run {run} {state}: {numbers}" + ("." if state in FINISHED else f": hf-gate runs show {run}")


def _describe_alarm(item: NoticeItem, _where: str) -> str:
    """Return what is wrong and the next step; for one that is over, what else lasts."""
    facts = item.facts
    text = str(facts.get("text", ""))
    hint = facts.get("hint", "")
    if item.event is NoticeEvent.FAILED_TURN:
        places = facts.get("repos") or item.repo
        text = f"A turn of hf-gate run failed{f' at {places}' if places else ''}: {text.rstrip('.')}."
    if facts.get("state") != "over":
        return f"{text} {hint}".rstrip()
    lasting = facts.get("lasting", 0)
    if not lasting:
        return f"Solved: {text} {NOTHING_TO_DO}"
    rest = pluralize(int(lasting), "other problem remains", "other problems remain")
    return f"Solved: {text} {rest}: hf-gate status --check"


NOTHING_TO_DO: Final = "There is nothing to do."
_UNATTENDED: Final[Mapping[str, str]] = {
    "stopped": "All unattended work is stopped. An admin can start it again: hf-gate start",
    "started": "Unattended work may run again.",
    "test": "This is a test. hf-gate can reach you.",
}
_SENTENCES: Final[Mapping[NoticeEvent, Callable[[NoticeItem, str], str]]] = {
    NoticeEvent.NEW_REQUESTS: lambda item, where: f"{pluralize(item.count, 'new request')} at {where}.",
    NoticeEvent.AGEING: _describe_ageing,
    NoticeEvent.SECOND_APPROVAL: lambda item, where: (
        f"{pluralize(item.count, 'request')} at {where} {'needs' if item.count == 1 else 'need'} a second approval."
    ),
    NoticeEvent.RUN_RESULT: _describe_runs,
    NoticeEvent.ENDS_SOON: lambda item, where: (
        f"The access of {pluralize(item.count, 'person', 'people')} at {where} ends soon: hf-gate ends ls"
    ),
    NoticeEvent.AUDIT_LOG: lambda item, _where: (
        f"{pluralize(item.count, 'new entry', 'new entries')} of the audit log: hf-gate audit ls"
    ),
    NoticeEvent.UNATTENDED: lambda item, _where: _UNATTENDED.get(str(item.facts.get("state")), ""),
    NoticeEvent.TOKEN: _describe_alarm,
    NoticeEvent.STUCK: _describe_alarm,
    NoticeEvent.FAILED_TURN: _describe_alarm,
    NoticeEvent.LOOP_ENDED: _describe_alarm,
    NoticeEvent.LEDGER_BROKEN: _describe_alarm,
}
_SUBJECTS: Final[Mapping[NoticeEvent, str]] = {
    NoticeEvent.NEW_REQUESTS: "new requests",
    NoticeEvent.AGEING: "old requests",
    NoticeEvent.SECOND_APPROVAL: "a second approval is needed",
    NoticeEvent.RUN_RESULT: "run ended",
    NoticeEvent.ENDS_SOON: "access ends soon",
    NoticeEvent.TOKEN: "the token does not work",
    NoticeEvent.STUCK: "a problem needs a person",
    NoticeEvent.LEDGER_BROKEN: "the audit log does not verify",
    NoticeEvent.LOOP_ENDED: "hf-gate run has ended",
    NoticeEvent.FAILED_TURN: "a turn of hf-gate run failed",
    NoticeEvent.UNATTENDED: "unattended work",
    NoticeEvent.AUDIT_LOG: "new entries of the audit log",
}


def subject_of(items: Sequence[NoticeItem]) -> str:
    """Return the subject of a message, without names."""
    kinds = dict.fromkeys(item.event for item in items)
    if items and items[0].facts.get("state") == "test":
        return "hf-gate: test"
    if items and all(item.facts.get("state") == "over" for item in items):
        has_rest = any(item.facts.get("lasting") for item in items)
        return "hf-gate: one problem is solved, others remain" if has_rest else "hf-gate: works again"
    if len(kinds) == 1:
        return f"hf-gate: {_SUBJECTS[next(iter(kinds))]}"
    alarms = {item.event for item in items if item.event.is_alarm and item.facts.get("state") != "over"}
    alarm = next((event for event in _SUBJECTS if event in alarms), None)
    return "hf-gate: digest" if alarm is None else f"hf-gate: {_SUBJECTS[alarm]}, and more"
