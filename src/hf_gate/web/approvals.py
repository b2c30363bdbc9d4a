"""Takes back a member's own approval of a request that needs two people."""

from __future__ import annotations

from starlette.responses import Response

from ..application.approvals import as_approver, withdraw_approval
from .request_context import RequestContext
from .request_lines import request_key


def withdraw(context: RequestContext) -> Response:
    """Take back the member's own approval; nothing is sent."""
    row = context.find_request(context.params["id"])
    withdraw_approval(context.workspace, row, as_approver(context.member))
    return context.redirect_back(f"/requests/{request_key(row)}#decide")
