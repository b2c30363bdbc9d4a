"""What the store knows of one person's requests before this one: every attempt, every entry about it, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..domain.events import event_of
from ..domain.moments import iso_ms
from ..domain.story import sentence

if TYPE_CHECKING:
    from ..application.workspace import Workspace
    from ..domain.ids import Repo
    from ..domain.requests import Target
    from ..domain.rows import RequestRow
    from .output import Row

MOST = 200  # entries of one attempt


def attempts_of(workspace: Workspace, repo: Repo, target: Target) -> Sequence[RequestRow]:
    """All attempts of whoever is meant, the oldest first; () when the store does not know them."""
    for text in filter(None, (target.request_id, target.user_id, target.username)):
        found = workspace.store.find(repo, text)
        if found:
            return workspace.store.attempts(repo, found[-1].person.id)
    return ()


def history_rows(workspace: Workspace, attempts: Sequence[RequestRow]) -> list[dict[str, object]]:
    """The entries about these attempts, the oldest first. Texts of people are in it, as they wrote them."""
    found = [row for attempt in attempts for row in workspace.store.entries(request=attempt.id, limit=MOST)]
    return [
        {
            "at": iso_ms(row.link.at),
            "attempt": next(one.state.attempt for one in attempts if one.id == row.link.request),
            "kind": row.link.kind,
            "actor": row.link.actor,
            "text": sentence(event_of(row.link.body), row.private),
        }
        for row in sorted(found, key=lambda row: row.id)
    ]


def history_lines(history: Sequence[Row]) -> Iterator[str]:
    """For people, below a request."""
    for row in history:
        by = "" if row["actor"] == "outside" else f"  ({row['actor']})"
        yield f"    {str(row['at'])[:16].replace('T', ' ')}  {row['text']}{by}"
