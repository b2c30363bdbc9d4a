"""What puts a request back to where it stood before the desk's last act about it, and what no act takes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..application.hearing import last_transition
from ..domain.events import ChangeStarted, event_of
from ..domain.lifecycle import VERB_TO, Status
from ..domain.moments import from_ms
from ..domain.rows import RequestRow
from .lines import verbs_for
from .request_context import RequestContext

_STAYS: Final = {
    "accepted": "What they downloaded meanwhile stays with them.",
    "rejected": "They may have read the reason; only this page forgets it.",
    "reset": "The Hub has mailed them that they may ask again, and that mail cannot be taken back.",
    "pending": "",
}
_THEN: Final = {
    "cancel": "They wait for a review again",
    "accept": "They may download again, at once",
    "reset": "The request is cleared, and they may ask again",
    "reject": "They cannot ask again",
}
_WITHOUT: Final = {"accepted": "; their access ends", "rejected": "", "reset": "", "pending": ""}


@dataclass(frozen=True, slots=True)
class Reversal:
    """The verb that leads back. `what` was done `ago` by `actor`; `then` says what follows, `stays` what is not undone."""

    verb: str
    what: str
    ago: str
    actor: str
    then: str
    stays: str


def reversal_of(context: RequestContext, row: RequestRow) -> Reversal | None:
    """Of the act of this desk that brought a request to where it stands; None: it was moved elsewhere, or not yet."""
    if context.masks or not row.is_current:
        return None
    how = last_transition(context.workspace.store, row)
    if how is None or how.run is None or how.is_first:
        return None
    before = _before(context, row, how.run)
    if before is None or before == row.state.status:
        return None
    verb = VERB_TO[before]
    if verb not in verbs_for(row.state.status):
        return None
    return Reversal(
        verb,
        row.state.status if row.state.status != Status.PENDING else "put back to pending",
        context.ago(from_ms(how.at)),
        "you" if how.actor == context.member.name else how.actor,
        f"{_THEN[verb]}{_WITHOUT[row.state.status]}.",
        _STAYS[row.state.status],
    )


def _before(context: RequestContext, row: RequestRow, run: str) -> str | None:
    """Where it stood when that run moved it; who had no request goes back to one that is cleared."""
    for entry in context.workspace.store.entries(request=row.id, run=run, limit=10):
        event = event_of(entry.link.body)
        if isinstance(event, ChangeStarted):
            return event.before if event.before in VERB_TO else "reset"
    return None
