"""Under which names the application keep their small things in the store's settings: each is spelt here and nowhere else."""

from __future__ import annotations

from typing import Final

from ..domain.ids import Repo
from ..domain.members import TEAM

MADE: Final = "made"
"""The digests of plans that were made here, each with the moment (ms) from which on it may not be applied."""

HALTED: Final = "halted"
"""What runs were about that somebody paused or stopped."""

RESTORED: Final = "restored"
"""When the store was restored from a backup (ms), until every repo was read whole again."""

HELD: Final = "held"
"""How many changes of which version of each policy the last turn held back, for nobody let it act yet."""


OWNER: Final = "desk owner"
"""The account whose token the desk in the browser used last: name and id, as JSON."""

TEAM_UNTIL: Final = TEAM
"""Until when (ms) the store counts as one of several admins, though the others were put out."""


def about(digest: str) -> str:
    """What is said of a plan where it is not read whole: who made it, who agreed to it."""
    return f"plan {digest}"


def promoted(policy: str) -> str:
    """The digest of the version of a policy that may act unattended, whatever it begins with."""
    return f"promoted {policy}"


def acted(digest: str, repo: Repo | str) -> str:
    """Whether a version of a policy may go on at a repo, for its first cycle there is over."""
    return f"acted {digest} {repo}"


def counted(repo: Repo) -> str:
    """When the Hub's own report of a repo was counted last (ms)."""
    return f"counted {repo}"


def refused(repo: Repo) -> str:
    """When decisions of a turn were refused at a repo, for all of it, and why."""
    return f"refused {repo}"


def full(repo: Repo) -> str:
    """How the last full reading of a repo ended."""
    return f"full {repo}"


def rows(table: str) -> str:
    """How many rows a table of the owner had when it was read last."""
    return f"rows {table}"
