"""Approvals in the desk: taking back one's own, and the alarms of acceptances outside that lacked approvals."""

from __future__ import annotations

from starlette.responses import Response

from ..application.approval_alarms import close_alarm, describe_alarms, list_open_alarms
from ..application.approvals import as_approver, withdraw_approval
from ..domain.approvals import ApprovalAlarm
from ..domain.rows import RequestRow
from .request_context import RequestContext
from .request_lines import request_key


def withdraw(context: RequestContext) -> Response:
    """Take back the member's own approval; nothing is sent."""
    row = context.find_request(context.params["id"])
    withdraw_approval(context.workspace, row, as_approver(context.member))
    return context.redirect_back(f"/requests/{request_key(row)}#decide")


def acknowledge(context: RequestContext) -> Response:
    """Close the alarm of a request; nothing is sent."""
    row = context.find_request(context.params["id"])
    close_alarm(context.workspace, row, context.member)
    return context.redirect_back(f"/requests/{request_key(row)}#decide")


def describe_open_alarms(context: RequestContext) -> str:
    """Return one sentence about the alarms at the repos that the member sees; "" without an alarm."""
    alarms = list_open_alarms(context.workspace.store)
    return describe_alarms(row.repo for _, row in alarms if context.can_see(row.repo))


def find_alarm(context: RequestContext, row: RequestRow) -> ApprovalAlarm | None:
    """Return the alarm of a request, if it is open."""
    return next((one for one, about in list_open_alarms(context.workspace.store) if about.id == row.id), None)
