"""Lists the files of a workspace that its owner wrote, which hf-gate never deletes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hf_gate.core.policy_model import TableSpec
from hf_gate.errors import UsageError
from hf_gate.policies.drivers.workspace_folder import read_folder
from hf_gate.settings.service.workspace import CONFIG_FILE, WorkspaceLocation


def list_owner_files(location: WorkspaceLocation) -> list[Path]:
    """Return the files of a workspace that its owner wrote: hf-gate.yaml, policies and tables."""
    folder = location.folder
    if folder is None:
        return []
    found = [folder / CONFIG_FILE, *(path for glob in location.config.policies for path in sorted(folder.glob(glob)))]
    found += [folder / spec.file for spec in _read_table_specs(location) if spec.file]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def _read_table_specs(location: WorkspaceLocation) -> Iterator[TableSpec]:
    """Yield the tables of the workspace, and those of its policies as far as these can be read."""
    yield from location.config.tables
    if location.folder is None:
        return
    try:
        files = read_folder(location.folder).files
    except UsageError:
        return
    for parsed in files.values():
        yield from parsed.policy.tables if parsed.policy is not None else ()
