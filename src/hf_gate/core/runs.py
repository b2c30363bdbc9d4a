"""The kinds and states of runs and of their changes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from .outcomes import OutcomeKind

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
FINISHED: Final = (RunState.ENDED, RunState.STOPPED, RunState.ABANDONED)
"""States in which no change is left to send."""


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


class ChangeOrigin(StrEnum):
    """The origin of a change that no policy rule made. It is stored in place of the rule's name."""

    DIRECT = "direct"  # a person decided
    GRANT = "grant"  # a person granted access without a request; each grant needs its own call
    UNDO = "undo"
    UNTIL = "until"  # the end of an expired grant
