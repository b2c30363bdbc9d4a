"""Notices in the desk: the destinations, the messages that wait or died, and the button that sends them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from ..application.notice_records import DestinationRecord, MessageRecord, destination_record, message_record
from ..application.notifications import list_lanes, list_messages, requeue
from ..domain.notices import MessageState
from ..domain.timestamps import to_ms
from .request_context import Refused, RequestContext, require_all_repos

_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class NoticeSection:
    """What the settings page shows about notices."""

    destinations: Sequence[DestinationRecord]
    messages: Sequence[MessageRecord]

    @property
    def dead(self) -> int:
        """How many dead letters there are."""
        return sum(one.dead for one in self.destinations)


def read_section(context: RequestContext) -> NoticeSection:
    """Return the section for an admin of all repos."""
    workspace = context.workspace
    return NoticeSection(
        [destination_record(one, count) for one, count in list_lanes(workspace)],
        [message_record(row) for row in list_messages(workspace.store, _SHOWN)],
    )


def retry(context: RequestContext) -> Response:
    """Queue one dead letter again, or all of them."""
    require_all_repos(context, "Only an admin of all repos sends notices again.")
    ident = context.form_value("id")
    now = to_ms(context.now)
    if not requeue(context.workspace, [ident] if ident else None, now):
        states = (MessageState.WAITING.value, MessageState.SENDING.value)
        raise Refused(f"There is no such dead letter. It may be {' or '.join(states)}, or its destination is off.")
    return context.redirect_back("/settings")
