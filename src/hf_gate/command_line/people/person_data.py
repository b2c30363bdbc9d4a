"""person export and erase: everything that is held about one person, as a file, or deleted after showing what goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hf_gate.base.display_text import limit_lines, pluralize, to_one_line
from hf_gate.command_line.decisions.confirmation import require_typed
from hf_gate.command_line.framework import CommandContext, command
from hf_gate.command_line.workspace.store import store_path
from hf_gate.command_line.workspace_opening import find_actor, open_workspace, remember_file
from hf_gate.errors import Guarded, UsageError
from hf_gate.workspace.service.owner_files import list_owner_files

if TYPE_CHECKING:
    from hf_gate.core.records import ErasureRecord, PlaceRecord
    from hf_gate.privacy.service.erasure import ErasurePreview


@command("export", examples=("hf-gate person export ada-l ada-l.json", "hf-gate person export ada-l --json"))
@click.argument("user", metavar="USER")
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
def person_export(context: CommandContext, *, user: str, file: Path | None) -> int:
    """Export all that is held about one person: requests, answers, audit log, runs, profile, and files that name them.

    Writes FILE as JSON and a page with the same name and .html; only you can read them. Without FILE, prints the JSON.
    """
    from hf_gate.privacy.service import erasure, person_export
    from hf_gate.workspace.service.store_maintenance import files_of

    workspace = open_workspace(context)
    if file is not None and file.suffix != ".json":
        raise UsageError(f"{file} does not end in .json.", hint="For example: hf-gate person export ada-l ada-l.json")
    for path in [] if file is None else [file, file.with_suffix(".html")]:
        if os.path.lexists(path):
            raise UsageError(f"{path} exists; nothing was written.", hint="Name a file that does not exist yet.")
    store = store_path(context)
    own = [] if store is None else files_of(store)
    record = person_export.export_person(workspace, erasure.find_person(workspace, user), own)
    if file is None:
        context.out.document(record, lambda: person_export.json_document(record).decode().splitlines())
        return 0
    written = person_export.write_person_files(record, file)
    for each in written:
        remember_file(context, each)
    context.out.document(
        record,
        lambda: [
            (
                f"{pluralize(len(record.requests), 'request')}, "
                f"{pluralize(len(record.entries), 'audit log entry', 'audit log entries')}."
            ),
            f"Written to {' and '.join(map(str, written))}. They contain personal data; only you can read them.",
        ],
        quiet=[str(each) for each in written],
    )
    return 0


# ---- person erase ----------------------------------------------------------------------------------------------------


_MAX_PLACES = 20  # the most places in files that are printed


@command(
    "erase",
    examples=("hf-gate person erase bob99 --dry-run", "hf-gate person erase bob99 --yes"),
)
@click.argument("user", metavar="USER")
@click.option("--dry-run", is_flag=True, help="Show what would be erased; erase nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation. USER must be the exact name.")
def person_erase(context: CommandContext, *, user: str, dry_run: bool, yes: bool) -> int:
    """Erase one person: names, e-mail address, answers, notes and everything derived from them.

    The audit log keeps statuses, times and decisions under a pseudonym, and stays verifiable. Nothing changes on the
    Hub. Your own files are listed, not edited.
    """
    from hf_gate.privacy.service import erasure
    from hf_gate.workspace.service import bootstrap

    workspace = open_workspace(context, writes=not dry_run, is_preview=dry_run)
    url = bootstrap.store_url(context.settings, context.location)
    owned = list_owner_files(context.location)
    person = erasure.find_person(workspace, user)
    preview = erasure.preview_erasure(workspace, person, url, owned)
    if dry_run:
        _print_erasure(context, preview.record(), preview.name)
    erasure.check_erasable(preview)
    if yes or not dry_run:
        _confirm_erasure(context, preview, user, yes=yes)
    if dry_run:
        return 0
    done = erasure.erase(workspace, person, url, find_actor(context), owned)
    _print_erasure(context, done, preview.name)
    return 0


def _confirm_erasure(context: CommandContext, preview: ErasurePreview, user: str, *, yes: bool) -> None:
    name = preview.name
    if yes:
        if user != name:
            raise Guarded("--yes needs the exact name; nothing was erased.", hint=f"hf-gate person erase {name} --yes")
        return
    if not context.may_ask:
        raise Guarded(
            "cannot ask for confirmation here; nothing was erased.", hint=f"hf-gate person erase {name} --yes"
        )
    for line in _erasure_lines(preview.record(), name):
        context.out.say(line)
    require_typed(f"Type {to_one_line(name)} to erase", name, "nothing was erased")


def _print_erasure(context: CommandContext, record: ErasureRecord, name: str) -> None:
    context.out.document(record, lambda: _erasure_lines(record, name), quiet=[record.person])


def _erasure_lines(record: ErasureRecord, name: str) -> Iterator[str]:
    yield (
        f"Erased {name}, now {record.person}:" if record.erased else f"An erasure of {name} ({record.person}) deletes:"
    )
    yield f"  the names, answers and search texts of {pluralize(record.requests, 'request')}"
    yield f"  the personal data of {pluralize(record.entries, 'audit log entry', 'audit log entries')}"
    for count, one, many in (
        (record.notes, "note about other people", "notes about other people"),
        (record.changes, "change of a run", "changes of runs"),
        (record.profiles, "profile", "profiles"),
        (record.bindings, "match with a table", "matches with tables"),
    ):
        if count:
            yield f"  {pluralize(count, one, many)}"
    yield (
        "Kept: statuses, times and decisions under the pseudonym, and keyed hashes that stop the old requests "
        "from coming back."
    )
    for written in record.files:
        age = "moved or deleted" if written.days is None else f"{pluralize(written.days, 'day')} old"
        yield f"Kept: {written.file} ({age}). Delete it; if it is a backup, a restore repeats the erasure."
    if record.member:
        yield f"Kept: the member {record.member} of the desk, who is the same account."
    if record.places:
        yield "Your files that name the person; edit them yourself:"
    yield from limit_lines(record.places, _MAX_PLACES, _place_line, "  and {:,} more: --json")
    if not record.erased:
        yield "Nothing changes on the Hub."


def _place_line(place: PlaceRecord) -> str:
    where = place.file if place.line is None else f"{place.file}:{place.line}"
    return f"  {where}{f' ({place.problem})' if place.problem else ''}"
