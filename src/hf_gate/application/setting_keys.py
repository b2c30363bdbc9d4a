"""Under which names the application keep their small things in the store's settings: each is spelt here and nowhere else."""

from __future__ import annotations

from typing import Final

from ..domain.members import TEAM_UNTIL_SETTING
from ..store import export

RESTORED: Final = "restored"
"""When the store was restored from a backup (ms), until every repo was read whole again."""

OWNER: Final = "desk owner"
"""The account whose token the desk in the browser used last: name and id, as JSON."""

PRIVATE_HOST: Final = export.PRIVATE_HOST
"""The desk's private host name; never exported."""

TEAM_UNTIL: Final = TEAM_UNTIL_SETTING
"""Until when (ms) the store counts as one of several admins, though the others were put out."""


def row_count_key(table: str) -> str:
    """How many rows a table of the owner had when it was read last."""
    return f"rows {table}"
