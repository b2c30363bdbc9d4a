"""Approvals in the desk: what acceptances do where two people must approve, taking back one's own, and alarms."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct, field
from starlette.responses import Response

from hf_gate.approvals.service.approval_alarms import close_alarm, describe_alarms, list_open_alarms
from hf_gate.approvals.service.approval_status import read_approval_status
from hf_gate.approvals.service.approvals import as_approver
from hf_gate.approvals.service.quorum_rules import read_quorum_rules
from hf_gate.base.ids import parse_repo
from hf_gate.decisions.service.tray import withdraw_approval
from hf_gate.desk.http_context import HttpContext
from hf_gate.desk.requests.request_lines import request_key
from hf_gate.desk.requests.selection import SelectionSummary, iterate_decided_rows


def withdraw(context: HttpContext) -> Response:
    """Take back the member's own approval, also from the tray; nothing is sent."""
    row = context.find_request(context.params["id"])
    withdraw_approval(context.workspace, row, as_approver(context.member))
    return context.redirect_back(f"/requests/{request_key(row)}#decide")


def acknowledge(context: HttpContext) -> Response:
    """Close the alarm of a request; nothing is sent."""
    row = context.find_request(context.params["id"])
    close_alarm(context.workspace, row, context.member)
    return context.redirect_back(f"/requests/{request_key(row)}#decide")


def describe_open_alarms(context: HttpContext) -> str:
    """Return one sentence about the alarms at the repos that the member sees; "" without an alarm."""
    alarms = list_open_alarms(context.workspace.store)
    return describe_alarms(row.repo for _, row in alarms if context.can_see(row.repo))


# ---- acceptances of a selection --------------------------------------------------------------------------------------


class ApprovalSummary(Struct):
    """How many acceptances only get an approval, by their number (`1 of 2`), and how many none, with the reason.

    All others get access. With `is_unread`, some may need two people, but there are too many to evaluate for a page.
    """

    first: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    is_unread: bool = False
    total: int = 0

    @property
    def access_count(self) -> int:
        """The number of those that get access."""
        return self.total - self.first.total() - self.refused.total()

    @property
    def is_mixed(self) -> bool:
        """Whether the acceptances do not all have the same effect."""
        return self.total not in {self.access_count, self.first.total()} or len(self.first) > 1

    @property
    def only_step(self) -> str:
        """The number of the approval if all get the same one, and nobody gets access; else ""."""
        return next(iter(self.first), "") if self.first and not self.is_mixed else ""


def summarize_approvals(context: HttpContext, weighed: SelectionSummary) -> ApprovalSummary:
    """Return what the acceptances of a selection would do now."""
    summary = ApprovalSummary(total=weighed.count)
    if weighed.verb != "accept":
        return summary
    workspace = context.workspace
    policies = context.app_state.policies
    rules = read_quorum_rules(workspace, lambda: policies.current)
    if not any(rules.is_two_person_repo(parse_repo(repo)) for repo in weighed.by_repo):
        return summary
    if weighed.are_terms_stored:
        summary.is_unread = True
        return summary
    rows = [row for part in iterate_decided_rows(context, weighed) for row in part]
    statuses = read_approval_status(workspace, rows, as_approver(context.member), lambda: policies.current)
    for status in statuses.values():
        if status.why_not:
            summary.refused[status.why_not] += 1
        elif status.next_number < status.needed:
            summary.first[f"{status.next_number} of {status.needed}"] += 1
    return summary
