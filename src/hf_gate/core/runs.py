"""The kinds and states of runs and of their changes, and what may happen to them.

A run sends changes that were decided before it began. One plan begins at most one run. A queued run is not begun: lists
and commands do not show it. In `decisions/service/runs/`, `run_executor.py` sends changes and `settling.py` finds their
outcomes.

1. A change is planned, then started, then has an outcome. It is stored as started before its call is sent.
2. Before that, its request is compared with the Hub. If the request changed since the plan, or there is a new attempt,
   nothing is sent.
3. It is stored as done only if the Hub confirmed it or a later read showed it.
4. An unknown outcome is open, never a guess. The request is read before the change is sent again.
5. A process that dies leaves started changes. The next one waits until a late call must have arrived, then reads, then
   sends.
6. A started change that did not reach the Hub is planned again.
7. A pause or a stop takes effect between batches. The outcomes of calls that were sent are still stored.
8. An error about one repo does not keep the changes at others. An error about the token or the Hub interrupts the run.
9. A paused or interrupted run can go on. A stopped run sends nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from .outcomes import OutcomeKind
from .state_table import StateTable

ALL_RUNS: Final = "*"
"""Stands for all unattended runs in the table of stop requests."""


class RunKind(StrEnum):
    """What started a run."""

    PLAN = "plan"
    AUTO = "auto"  # one turn of `hf-gate run`
    DIRECT = "direct"  # a few decisions by a person
    BULK = "bulk"  # a person's decision about a selection
    UNDO = "undo"


KIND_LABELS: Final[Mapping[str, str]] = {
    RunKind.PLAN: "plan applied",
    RunKind.AUTO: "hf-gate run",
    RunKind.DIRECT: "by hand",
    RunKind.BULK: "selection",
    RunKind.UNDO: "undone",
}
"""The labels of the kinds."""


class RunState(StrEnum):
    """The state of a run. A queued run is a decision of a member that is not sent yet. Ready and interrupted runs have
    changes that no process is sending.

    A person stopped a stopped run. An abandoned run ended early by itself: its process died or an error ended it, and
    nobody continues it. `hf-gate run` plans the rest of its own runs again.
    """

    QUEUED = "queued"
    READY = "ready"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    STOPPED = "stopped"
    ABANDONED = "abandoned"
    ENDED = "ended"


UNFINISHED: Final = (RunState.READY, RunState.INTERRUPTED)
_OPEN: Final = (*UNFINISHED, RunState.PAUSED)
FINISHED: Final = (RunState.ENDED, RunState.STOPPED, RunState.ABANDONED)
"""States in which no change is left to send."""


class RunEvent(StrEnum):
    """What happens to a run. `pause` and `stop` are also what a person can request."""

    STORE = "store"  # the last part of a selection is stored; until then the run counts as stopped
    BEGIN = "begin"  # a process sends the planned changes
    SETTLE = "settle"  # a process reads unknown outcomes and sends nothing
    END = "end"  # no change is left, or a decision that waits is refused
    BREAK_OFF = "break off"  # an error, or an unknown outcome: another process goes on
    GIVE_UP = "give up"  # the rest is planned or decided anew
    PAUSE = "pause"
    STOP = "stop"


RUN_STATES: Final = StateTable[RunState, RunEvent](
    "run",
    {
        RunEvent.STORE: {RunState.STOPPED: RunState.READY},
        RunEvent.BEGIN: {state: state for state in _OPEN},
        RunEvent.SETTLE: {state: state for state in (*_OPEN, *FINISHED)},
        RunEvent.END: dict.fromkeys((RunState.QUEUED, *_OPEN), RunState.ENDED),
        RunEvent.BREAK_OFF: dict.fromkeys(_OPEN, RunState.INTERRUPTED),
        RunEvent.GIVE_UP: dict.fromkeys(_OPEN, RunState.ABANDONED),
        RunEvent.PAUSE: dict.fromkeys(_OPEN, RunState.PAUSED),
        RunEvent.STOP: dict.fromkeys(_OPEN, RunState.STOPPED),
    },
)


class ChangeState(StrEnum):
    """The state of a change: on its way, or the kind of its outcome."""

    PLANNED = "planned"
    STARTED = "started"
    UNSENT = "unsent"  # refused or open before anything was sent; the ledger has no outcome for it
    DONE = OutcomeKind.DONE.value
    ALREADY = OutcomeKind.ALREADY.value
    STALE = OutcomeKind.STALE.value
    GONE = OutcomeKind.GONE.value
    REFUSED = OutcomeKind.REFUSED.value
    DEFERRED = OutcomeKind.DEFERRED.value
    OPEN = OutcomeKind.OPEN.value


FAILED: Final = (ChangeState.UNSENT, ChangeState.STALE, ChangeState.GONE, ChangeState.REFUSED)
"""States of a change that did not take effect and is not tried again."""

UNSETTLED: Final = (ChangeState.STARTED, ChangeState.OPEN)
"""States in which the outcome is unknown."""


_UNKNOWN: Final = (ChangeState.PLANNED, *UNSETTLED)
CHANGE_STATES: Final = StateTable[ChangeState, ChangeState](
    "change",
    {
        ChangeState.PLANNED: dict.fromkeys(_UNKNOWN, ChangeState.PLANNED),  # it did not reach the Hub
        ChangeState.STARTED: {ChangeState.PLANNED: ChangeState.STARTED},
        ChangeState.DONE: dict.fromkeys(UNSETTLED, ChangeState.DONE),
        ChangeState.OPEN: dict.fromkeys(UNSETTLED, ChangeState.OPEN),
        ChangeState.ALREADY: dict.fromkeys(_UNKNOWN, ChangeState.ALREADY),
        ChangeState.STALE: dict.fromkeys(_UNKNOWN, ChangeState.STALE),
        ChangeState.GONE: dict.fromkeys(_UNKNOWN, ChangeState.GONE),
        ChangeState.REFUSED: dict.fromkeys(_UNKNOWN, ChangeState.REFUSED),
        ChangeState.DEFERRED: dict.fromkeys(_UNKNOWN, ChangeState.DEFERRED),
    },
)
"""The event is the outcome, which is also the state after it."""


END_GUARD: Final = "end"
"""The guard of ends of access that count towards a limit; see `RequestState.is_sudden_end`."""


class ChangeOrigin(StrEnum):
    """The origin of a change that no policy rule made. It is stored in place of the rule's name."""

    DIRECT = "direct"  # a person decided
    GRANT = "grant"  # a person granted access without a request; each grant needs its own call
    UNDO = "undo"
    UNTIL = "until"  # the end of an expired grant
