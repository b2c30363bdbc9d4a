"""Lists notices and letters that did not reach their receivers, for `status` and the health of unattended work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta
from msgspec.structs import replace

from ..domain.display_text import pluralize
from ..domain.letters import LetterState
from ..domain.timestamps import format_span, ms_to_iso, to_ms
from ..store import letters, outbox
from .records import Count, Record, Time
from .workspace import Workspace

PATIENCE: Final = timedelta(hours=1)
"""After this time, a message that waits is a problem for people: greylisting and short outages end earlier."""

_LATELY: Final = timedelta(days=30)
"""After this time, nobody sends a letter again."""

_NEVER_TRIED: Final = "hf-gate run did not send it"
_CUT: Final = 200  # characters of a problem


class UndeliveredRecord(Record, frozen=True, kw_only=True):
    """The notices to one destination, or the letters to applicants, that did not arrive."""

    kind: Literal["notices", "letters"]
    destination: Annotated[str | None, Meta(description="of notices; null for letters")]
    waiting: Annotated[Count, Meta(description="that are sent again automatically")]
    since: Annotated[Time | None, Meta(description="since when the oldest of them waits")]
    problem: Annotated[str | None, Meta(description="of the last attempt")]
    ended: Annotated[Count, Meta(description="that a person must send again: dead letters, failed and unknown letters")]
    ended_lately: Annotated[Count, Meta(description="the letters among them of the last 30 days; 0 for notices")] = 0

    def waited_for(self, now: datetime) -> timedelta:
        """Return how long the oldest message waits; zero if none waits."""
        return timedelta() if self.since is None else now - datetime.fromisoformat(self.since)


def list_undelivered(workspace: Workspace) -> list[UndeliveredRecord]:
    """Return what did not arrive, for each destination of hf-gate.yaml and for letters; nothing where all is well."""
    return [*_list_notices(workspace), *_list_letters(workspace)]


def describe_undelivered(found: UndeliveredRecord, now: datetime) -> Iterator[str]:
    """Yield a sentence about what waits, and one about what a person must send again."""
    whom = "to applicants" if found.destination is None else f"to {found.destination}"
    where = "hf-gate messages preview" if found.kind == "letters" else "hf-gate messages ls"
    word = "letter" if found.kind == "letters" else "notice"
    if found.waiting:
        verb = "waits" if found.waiting == 1 else "wait"
        ago = format_span(found.waited_for(now))
        number = pluralize(found.waiting, word)
        yield f"{number} {whom} {verb}, the oldest for {ago}: {found.problem or _NEVER_TRIED}. List: {where}"
    if found.ended:
        has, was = ("has", "was") if found.ended == 1 else ("have", "were")
        end = f"failed or {has} an unknown outcome" if found.kind == "letters" else f"{was} given up"
        yield f"{pluralize(found.ended, word)} {whom} {end}. List: {where}"


def list_lasting(found: Sequence[UndeliveredRecord], now: datetime) -> list[tuple[str, str]]:
    """Return what waits for longer than `PATIENCE`, and letters that did not arrive lately: a name that stays the same, and
    a sentence.

    Notices that were given up are left out: the alarm about them would end as they did.
    """
    late = [
        (f"{one.kind} {one.destination or ''}".rstrip(), next(describe_undelivered(one, now)))
        for one in found
        if one.waiting and one.waited_for(now) > PATIENCE
    ]
    bounced = [replace(one, waiting=0, ended=one.ended_lately) for one in found if one.ended_lately]
    return late + [(f"{one.kind} ended", next(describe_undelivered(one, now))) for one in bounced]


def _list_notices(workspace: Workspace) -> Iterator[UndeliveredRecord]:
    known = {one.name for one in workspace.location.config.notify}
    failed = outbox.find_failed_heads(workspace.store)
    for lane in outbox.count_lanes(workspace.store):
        since, problem = failed.get(lane.destination, (None, None))
        waiting = 0 if since is None else lane.waiting
        if lane.destination in known and (waiting or lane.dead):
            yield UndeliveredRecord(
                kind="notices", destination=lane.destination, waiting=waiting, since=ms_to_iso(since),
                problem=None if problem is None else problem[:_CUT], ended=lane.dead,
            )  # fmt: skip


def _list_letters(workspace: Workspace) -> Iterator[UndeliveredRecord]:
    config = workspace.location.config.letters
    if not config.kinds or config.mail is None:
        return
    late = letters.count_late(workspace.store, to_ms(workspace.now() - PATIENCE))
    states = (LetterState.FAILED, LetterState.UNKNOWN)
    ended = letters.count_letters(workspace.store, states)
    lately = letters.count_letters(workspace.store, states, to_ms(workspace.now() - _LATELY))
    if late.number or ended:
        yield UndeliveredRecord(
            kind="letters", destination=None, waiting=late.number, since=ms_to_iso(late.since),
            problem=None if late.problem is None else late.problem[:_CUT], ended=ended,
            ended_lately=lately,
        )  # fmt: skip
