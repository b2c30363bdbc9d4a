"""Shows a viewer the personal data of one request, after the reason is in the audit log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from ..domain.events import EventKind
from ..domain.members import Member
from ..domain.rows import RequestRow
from ..domain.timestamps import to_ms
from ..errors import Guarded
from ..store.ledger import count_entries
from .decisions import reveal_entry
from .inputs import parse_note
from .workspace import Workspace

MAX_REVEALS: Final = 50  # requests that one viewer can look at within `WINDOW`
WINDOW: Final = timedelta(hours=24)


def may_reveal(workspace: Workspace) -> bool:
    """Tell whether hf-gate.yaml lets viewers look at personal data with a reason."""
    return workspace.location.config.may_reveal


def record_reveal(workspace: Workspace, row: RequestRow, reason: str, member: Member, now: datetime) -> str:
    """Record that a viewer looks at a request, and return the reason. Nothing may be shown if this raises.

    Raises Guarded if hf-gate.yaml does not allow it, or above the limit; UsageError without a reason.
    """
    if not may_reveal(workspace):
        hint = "Ask a reviewer. The owner can allow it in hf-gate.yaml: desk: {may_reveal: true}"
        raise Guarded("Viewers of this desk cannot look at personal data.", hint=hint)
    text = parse_note(reason)
    with workspace.store.writing() as write:
        since = to_ms(now - WINDOW)
        if count_entries(workspace.store, EventKind.DATA_REVEALED, member.name, since) >= MAX_REVEALS:
            raise Guarded(f"You looked at {MAX_REVEALS} requests within 24 hours.", hint="Ask a reviewer.")
        write.append(row.repo, [reveal_entry(row, text, member, to_ms(now))])
    return text
