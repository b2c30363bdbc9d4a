"""The kinds of runs, and the states that a run and its changes pass through."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from .outcomes import OutcomeKind


class RunKind(StrEnum):
    """What a run was begun from."""

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
"""What kinds of runs are called."""


class RunState(StrEnum):
    """Where a run stands. Ready and interrupted runs have changes that no process sends now."""

    READY = "ready"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    STOPPED = "stopped"
    ENDED = "ended"


UNFINISHED: Final = (RunState.READY, RunState.INTERRUPTED)
FINISHED: Final = (RunState.ENDED, RunState.STOPPED)
"""Nothing of such a run is left to send."""


class ChangeState(StrEnum):
    """Where a change of a run stands: on its way, or the kind of its outcome."""

    PLANNED = "planned"
    STARTED = "started"
    UNSENT = "unsent"  # clear before anything was sent, and no outcome of the request
    DONE = OutcomeKind.DONE.value
    ALREADY = OutcomeKind.ALREADY.value
    STALE = OutcomeKind.STALE.value
    GONE = OutcomeKind.GONE.value
    REFUSED = OutcomeKind.REFUSED.value
    DEFERRED = OutcomeKind.DEFERRED.value
    OPEN = OutcomeKind.OPEN.value


UNSETTLED: Final = (ChangeState.STARTED, ChangeState.OPEN)
"""The outcome of such a change is not known."""


class ChangeOrigin(StrEnum):
    """Where a change comes from that no policy rule made; it stands where the rule's name would."""

    DIRECT = "direct"  # a person decided
    GRANT = "grant"  # the same about somebody of whom the Hub has no request: sent by another call, one for each
    UNDO = "undo"
    UNTIL = "until"  # the end of a grant whose time is over
