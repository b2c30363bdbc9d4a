"""A workspace that reminds requesters on hold."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hf_gate.messages.service.letters import store_subscription
from tests.kits.evaluations import START, EvaluatedWorkspace

WAIT = "then: wait, at_most: 10d, after: reset, reason: Please ask again."
TODAY = 56  # the day of a request that came two hours before START
SPAN = timedelta(days=10)


def make_reminder_workspace(
    place: str, folder: Path, rules: str = f"  - {{id: r0, {WAIT}}}\n", *, on: bool = True
) -> EvaluatedWorkspace:
    """A workspace with reminders since before the first request."""
    made = EvaluatedWorkspace(place, folder)
    made.write_policy(rules)
    made.clock.at = START - timedelta(hours=3)
    turn_reminders(made, on=on)
    made.clock.at = START
    return made


def turn_reminders(desk: EvaluatedWorkspace, *, on: bool) -> None:
    desk.turn_reminders(on=on)
    store_subscription(desk.workspace)
