"""Finds files with personal data in a workspace that git tracks, so that the next push would publish them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def list_tracked_personal_files(folder: Path) -> list[str]:
    """Return the names of these files relative to the folder; none without git or outside a git repository."""
    from ..application.starter_workspace import GITIGNORE

    git = shutil.which("git")
    if git is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - git itself, with our own file names
            [git, "-C", str(folder), "ls-files", "-z", "--", *GITIGNORE], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = done.stdout.decode("utf-8", "replace").split("\0") if done.returncode == 0 else []
    return sorted(filter(None, names))
