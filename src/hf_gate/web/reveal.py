"""Shows a viewer the personal data of one request, once, with a reason that is recorded in the audit log."""

from __future__ import annotations

from starlette.responses import Response

from ..application.reveals import record_reveal
from .request_context import Refused, RequestContext
from .request_lines import request_key


def reveal(context: RequestContext) -> Response:
    """Record the reason, then show name, e-mail address and answers in this answer only."""
    row = context.find_request(context.params["id"])
    if not context.is_masked:
        raise Refused("You see this data without a reason.", hint="Open the request.")
    reason = record_reveal(context.workspace, row, context.form_value("reason"), context.member, context.now)
    return context.render(
        "revealed.html",
        title="Personal data",
        row=row,
        key=request_key(row),
        reason=reason,
        answers=[] if row.request is None else list(row.request.answers.items()),
        headers={"cache-control": "no-store"},
    )
