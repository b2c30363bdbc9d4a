"""person export: writes everything that is held about one person to two private files."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..domain.display_text import pluralize
from ..errors import UsageError
from .framework import Run, command
from .store import store_path
from .workspace import open_workspace


@command("export", examples=("hf-gate person export ada-l ada-l.json", "hf-gate person export ada-l --json"))
@click.argument("user", metavar="USER")
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
def person_export(run: Run, *, user: str, file: Path | None) -> int:
    """Export all that is held about one person: requests, answers, audit log, runs, profile, and files that name them.

    Writes FILE as JSON and a page with the same name and .html; only you can read them. Without FILE, prints the JSON.
    """
    from ..application import erasure, person_export
    from ..application.store_maintenance import files_of

    workspace = open_workspace(run)
    if file is not None and file.suffix != ".json":
        raise UsageError(f"{file} does not end in .json.", hint="For example: hf-gate person export ada-l ada-l.json")
    for path in [] if file is None else [file, file.with_suffix(".html")]:
        if os.path.lexists(path):
            raise UsageError(f"{path} exists; nothing was written.", hint="Name a file that does not exist yet.")
    store = store_path(run)
    own = [] if store is None else files_of(store)
    record = person_export.export_person(workspace, erasure.find_person(workspace, user), own)
    if file is None:
        run.out.record(record, lambda: person_export.json_document(record).decode().splitlines())
        return 0
    written = person_export.write_person_files(record, file)
    run.out.record(
        record,
        lambda: [
            f"{pluralize(len(record.requests), 'request')}, {pluralize(len(record.entries), 'audit log entry', 'audit log entries')}.",
            f"Written to {' and '.join(map(str, written))}. They contain personal data; only you can read them.",
        ],
        quiet=[str(each) for each in written],
    )
    return 0
