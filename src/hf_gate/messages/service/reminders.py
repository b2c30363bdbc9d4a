"""Tells when a wait ends: from the policies if its reminder is sent now, and in words for a request on hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import format_minute, from_ms
from hf_gate.core.letters.letters import LetterCase, LetterKind
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.policy_model import Action, Policy, PolicyMode, Rule, WaitEnd
from hf_gate.core.stored_rows import RequestRow
from hf_gate.errors import UsageError
from hf_gate.messages.rows.letters import reminders_since
from hf_gate.policies.drivers.workspace_folder import read_folder
from hf_gate.policies.words.explanations import describe_wait_end
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store


class ReminderTimes(NamedTuple):
    """The times of a reminder that is due."""

    ends_at: datetime  # of the wait, if the reminder is sent now
    last_at: datetime  # a reminder that is accepted later does not count
    after: Action  # what follows after the wait


def read_reminder_times(
    workspace: Workspace, cases: Iterable[LetterCase], rows: Mapping[int, RequestRow], now: datetime
) -> dict[str, ReminderTimes]:
    """Return the times of the reminders among these letters, by letter; without those whose rule does not wait now.

    Raises an HfGateError if a policy cannot be read.
    """
    reminders = [case for case in cases if case.kind is LetterKind.REMINDER and case.request in rows]
    if not reminders or workspace.location.folder is None:
        return {}
    parsed = read_folder(workspace.location.folder).files
    policies = [one.policy for _, one in sorted(parsed.items()) if one.policy is not None]
    if len(policies) != len(parsed):
        raise UsageError("a policy cannot be read.", hint="`hf-gate policy check` shows every error with its line.")
    times = {}
    for case in reminders:
        row = rows[case.request]
        rule = find_wait_rule(policies, row.repo, case.letter.key)
        if rule is not None and rule.at_most is not None and rule.after is not None:
            last_at = rule.at_most.after(from_ms(row.state.asked_at))
            times[case.letter.id] = ReminderTimes(rule.at_most.after(now), last_at, rule.after)
    return times


def find_wait_rule(policies: Sequence[Policy], repo: Repo, rule_id: str | None) -> Rule | None:
    """Return the waiting rule with this id in an enforced policy of the repo; None if there is none."""
    for policy in sorted(policies, key=lambda one: one.name):
        if policy.mode is PolicyMode.ENFORCE and matches_any(policy.applies_to, repo):
            for rule in policy.rules:
                if rule.id == rule_id and rule.then is Action.WAIT:
                    return rule
    return None


def describe_wait(store: Store, row: RequestRow, end: WaitEnd, now: datetime, zone: tzinfo) -> str:
    """Return when the wait of a request is over, what it counts from, and that somebody who asked too early gets no
    reminder.
    """
    since = reminders_since(store)
    if not end.lacks_reminder or (since is not None and row.state.asked_at >= since):
        return describe_wait_end(end, now, zone)
    began = (
        "begin with the next turn of hf-gate run" if since is None else f"began {format_minute(from_ms(since), zone)}"
    )
    follows = "A person decides." if end.at <= now else f"From {format_minute(end.at, zone)} on, a person decides."
    return f"Reminders {began}. People who asked earlier get none. {follows}"
