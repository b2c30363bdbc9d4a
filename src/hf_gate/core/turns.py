"""What is stored about each turn of `hf-gate run`, and the health that follows from it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

KEPT_TURNS: Final = 1000
"""How many turns the store keeps."""


class TurnEnd(StrEnum):
    """How a turn ended. `partial`: some repos or changes failed. `interrupted`: a person or a signal ended the process.

    `loop_ended`: no turn; an error ended the loop for good.
    """

    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    LOOP_ENDED = "loop_ended"


class TurnRow(msgspec.Struct, frozen=True, kw_only=True):
    """One turn. Times are in ms. `ended_at` and `end` are None while it runs, or if its process died.

    `interval_s` is the pause that the loop of the turn had planned; None for `run --once`.
    """

    id: int
    started_at: int
    interval_s: int | None = None
    ended_at: int | None = None
    end: TurnEnd | None = None
    problem: str | None = None
    repos: int = 0  # repos that were synced
    news: int = 0  # changes found
    done: int = 0  # changes made
    deferred: int = 0  # changes left for a later turn because of a guard


class HoldKind(StrEnum):
    """What keeps changes from being sent unattended; the status names such a problem with the same word.

    `held_policy`: a version that is not promoted. `run`: a run that a person halted. `refused`: a repo where the Hub
    refused decisions.
    """

    HELD_POLICY = "held_policy"
    RUN = "run"
    REFUSED = "refused"


class Hold(msgspec.Struct, frozen=True):
    """What kept changes from being sent in a turn, in a sentence with the next step.

    `subject` is the policy, the run or the repo; `version` the digest of the policy. The `count` of changes is None if
    it is not known.
    """

    kind: HoldKind
    subject: str
    sentence: str
    count: int | None = None
    version: str = ""


class HealthState(StrEnum):
    """The health of unattended work. `idle`: `hf-gate run` was never started."""

    FINE = "fine"
    IDLE = "idle"
    LATE = "late"
    FAILED = "failed"
    STUCK = "stuck"
    STOPPED = "stopped"

    @property
    def is_good(self) -> bool:
        """Whether nobody needs to do anything."""
        return self in (HealthState.FINE, HealthState.IDLE)
