"""Lists the files of a workspace that its owner wrote, which hf-gate never deletes."""

from __future__ import annotations

from pathlib import Path

from .workspace import CONFIG_FILE, WorkspaceLocation


def list_owner_files(location: WorkspaceLocation) -> list[Path]:
    """Return the files of a workspace that its owner wrote: hf-gate.yaml, policies and tables."""
    folder = location.folder
    if folder is None:
        return []
    found = [folder / CONFIG_FILE, *(path for glob in location.config.policies for path in sorted(folder.glob(glob)))]
    found += [folder / table.file for table in location.config.tables if table.file]
    return [path for path in dict.fromkeys(found) if path.is_file()]
