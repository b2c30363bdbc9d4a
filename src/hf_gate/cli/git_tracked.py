"""Which files of a workspace that hold people's names and answers git keeps, and would hand on with the next push."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def list_tracked_personal_files(folder: Path) -> list[str]:
    """Their names below the folder; none where there is no git, or the folder is in no repository."""
    from ..application.starter_workspace import GITIGNORE  # noqa: PLC0415 - only who has a workspace

    git = shutil.which("git")
    if git is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - git itself, and names that are ours
            [git, "-C", str(folder), "ls-files", "-z", "--", *GITIGNORE], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = done.stdout.decode("utf-8", "replace").split("\0") if done.returncode == 0 else []
    return sorted(filter(None, names))
