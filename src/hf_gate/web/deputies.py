"""The forms of an absence: a member names a deputy, and says when they are back."""

from __future__ import annotations

from starlette.responses import Response

from ..application.deputies import end_absence, set_deputy
from .request_context import RequestContext


def leave(context: RequestContext) -> Response:
    """Store that the member is away, and who stands in."""
    membership, values = (
        context.app_state.membership,
        (context.form_value("deputy")[:100], context.form_value("until")[:40]),
    )
    set_deputy(membership, context.member, *values, by=context.member.name, now=context.now)
    return context.redirect_back("/settings#h-a")


def come_back(context: RequestContext) -> Response:
    """Store that the member is back."""
    end_absence(context.app_state.membership, context.member, by=context.member.name, now=context.now)
    return context.redirect_back("/settings#h-a")
