"""store: check, export, back up, restore and remove the store, and delete what is past its retention."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hf_gate.base.display_text import pluralize
from hf_gate.base.environment import require_writes
from hf_gate.base.private_files import make_private_folder, remove_empty_folders
from hf_gate.command_line.decisions.confirmation import confirm
from hf_gate.command_line.framework import CommandContext, CommandEntry, LazyGroup, command
from hf_gate.command_line.workspace_opening import find_actor, local_user, open_workspace, remember_file, waiting_notice
from hf_gate.errors import StoreBusy, StoreDamaged, UsageError
from hf_gate.grants.drivers.file_replacement import LOCK_NAME
from hf_gate.workspace.records import (
    DisarmRecord,
    RemovalRecord,
    RestoreRecord,
    RetentionRecord,
    StoreCheckRecord,
    StoreCopyRecord,
    StoreExportRecord,
)
from hf_gate.workspace.service.owner_files import list_owner_files

if TYPE_CHECKING:
    from hf_gate.settings.service.workspace import Workspace, WorkspaceLocation

store = LazyGroup(
    "store",
    {
        "check": CommandEntry(
            "hf_gate.command_line.workspace.store:store_check",
            "Check the file, the audit log and what is derived from it.",
        ),
        "export": CommandEntry(
            "hf_gate.command_line.workspace.store:store_export", "Export everything to a folder, in open formats."
        ),
        "backup": CommandEntry(
            "hf_gate.command_line.workspace.store:store_backup", "Copy the store to one file, even while the desk runs."
        ),
        "restore": CommandEntry(
            "hf_gate.command_line.workspace.store:store_restore", "Replace the store with a backup."
        ),
        "disarm": CommandEntry(
            "hf_gate.command_line.workspace.store:store_disarm",
            "After pg_restore: end all sessions and links, and hold letters.",
            is_hidden=True,
            has_effect=True,
        ),
        "retention": CommandEntry(
            "hf_gate.command_line.workspace.store:store_retention", "Delete the personal data of old requests."
        ),
        "remove": CommandEntry(
            "hf_gate.command_line.workspace.store:store_remove",
            "Delete the store, and other data of hf-gate on this machine.",
        ),
    },
    help="The store: requests, decisions and the audit log, on this machine or on a PostgreSQL server.",
)
_ERASURES: Final = "erasures.jsonl"
_MAX_BYTES: Final = 4 << 20  # the most bytes of a workspace file that an export includes


# ---- helpers ---------------------------------------------------------------------------------------------------------


def store_path(context: CommandContext) -> Path | None:
    """Return the file of the store; None if the store is on a server."""
    from hf_gate.workspace.service import bootstrap
    from hf_gate.workspace.service.store_maintenance import file_of_store

    return file_of_store(bootstrap.store_url(context.settings, context.location))


def open_store_to_read(context: CommandContext) -> Workspace:
    """Open the store for reading, without asking the Hub for the account."""
    from hf_gate.workspace.service import bootstrap

    if not context.is_announced:
        context.is_announced = True
        context.out.say(f"{bootstrap.name_of_hub(context.settings)}, store {_display_store(context)}", "dim")
    return open_workspace(context)


def check_no_desk(context: CommandContext) -> None:
    """Raise StoreBusy while the desk of this store runs, because the desk would continue with a removed file."""
    from hf_gate.desk.members.terminal import find_running_desk

    desk = find_running_desk(context.settings, context.location)
    if desk is not None:
        raise StoreBusy(
            f"the desk at {desk['url']} (pid {desk['pid']}) has the store open.",
            hint="Press Ctrl-C in its terminal, then repeat this command.",
        )


# ---- check -----------------------------------------------------------------------------------------------------------


@command("check", examples=("hf-gate store check", "hf-gate store check --json"))
def store_check(context: CommandContext) -> int:
    """Check the store: the file, the audit log and derived tables. Changes nothing.

    Exits with 1 if there are findings. If the store is damaged, restore a backup.
    """
    from hf_gate.workspace.service.store_maintenance import check_store

    try:
        findings, entries = check_store(open_store_to_read(context).store)
    except StoreDamaged as problem:
        findings, entries = [str(problem)], 0
    record = StoreCheckRecord(store=_display_store(context), ok=not findings, entries=entries, findings=findings)
    whole = f"No problems found; {pluralize(entries, 'entry', 'entries')} verified."
    context.out.document(record, lambda: findings or [whole])
    return 1 if findings else 0


def _display_store(context: CommandContext) -> str:
    path = store_path(context)
    return str(path) if path else "postgresql"


# ---- export ----------------------------------------------------------------------------------------------------------


@command("export", examples=("hf-gate store export my-data", "hf-gate store export my-data --json"))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def store_export(context: CommandContext, *, folder: Path) -> int:
    """Export everything to DIR: requests, people, the audit log with its proofs, policies, runs and settings.

    Files have one JSON object per line; README.txt describes them. DIR must be new or empty. Only you can read it.
    """
    from hf_gate.workspace.service.store_maintenance import export_store

    require_writes(f"the folder {folder}")
    left_out = find_other_files(store_path(context))
    owned = _owned_content(context.location, left_out)
    lines = export_store(open_store_to_read(context), folder, owned)
    remember_file(context, folder)
    record = StoreExportRecord(folder=str(folder.absolute()), files=lines, left_out=list(map(str, left_out)))
    context.out.document(record, lambda: _describe_export(folder, lines, left_out), quiet=[str(folder)])
    return 0


def find_other_files(store: Path | None) -> list[Path]:
    """Return the backups, exports and plans that were written of a store; [] for a store on a server."""
    from hf_gate.workspace.service.store_maintenance import find_written_files

    found = [] if store is None else [one.path for one in find_written_files(store) if one.made_at is not None]
    described = (path.with_name(f"{path.name}.json") for path in found)
    return [*found, *(path for path in described if path.is_file())]


def _owned_content(location: WorkspaceLocation, left_out: list[Path]) -> dict[str, bytes]:
    """Return the owner's files by their names in the export; add the large ones to `left_out`."""
    found = {}
    for path in list_owner_files(location):
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            left_out.append(path)
            continue
        inside = location.folder is not None and path.resolve().is_relative_to(location.folder.resolve())
        name = path.relative_to(location.folder).as_posix() if inside and location.folder else f"elsewhere/{path.name}"
        found[name if ".." not in name else f"elsewhere/{path.name}"] = content
    return found


def _describe_export(folder: Path, lines: dict[str, int], left_out: list[Path]) -> Iterator[str]:
    for name, count in lines.items():
        if name.endswith(".jsonl") and count:
            yield f"{name:20} {pluralize(count, 'line')}"
    yield from (f"Not in the export: {path}" for path in left_out)
    yield f"Written to {folder}. It contains personal data; only you can read it."


# ---- backup and restore ----------------------------------------------------------------------------------------------


@command(
    "backup", examples=("hf-gate store backup backup-2026-11-26.db", "hf-gate store backup /mnt/usb/eeg.db --json")
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def store_backup(context: CommandContext, *, file: Path) -> int:
    """Copy the store to FILE, even while the desk runs; a store on PostgreSQL with its program pg_dump.

    FILE must not exist. Only you can read it. It contains personal data, but not your own files: back up hf-gate.yaml,
    policies and tables separately. FILE.json beside it says what the backup holds, without personal data.
    """
    from hf_gate.workspace.service import bootstrap
    from hf_gate.workspace.service.store_maintenance import back_up

    require_writes(f"the file {file}")
    size = back_up(open_store_to_read(context), bootstrap.store_url(context.settings, context.location), file)
    record = StoreCopyRecord(store=_display_store(context), file=str(file.absolute()), bytes=size)
    context.out.document(
        record, lambda: [f"Copied to {file} ({size:,} bytes). It contains personal data."], quiet=[str(file)]
    )
    return 0


@command(
    "restore",
    examples=("hf-gate store restore backup-2026-11-26.db", "hf-gate store restore backup-2026-11-26.db --yes"),
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a store is replaced.")
def store_restore(context: CommandContext, *, file: Path, yes: bool) -> int:
    """Replace the store with a backup. The old store is kept as desk.db.before-restore.

    Everybody is signed out, and all members and keys end: add them again. Unsent decisions stay until
    somebody sends them. Nothing is sent to a repo before a full sync: hf-gate sync --full.
    """
    from hf_gate.workspace.service import bootstrap
    from hf_gate.workspace.service.store_maintenance import restore_backup, this_process

    path = store_path(context)
    if path is None:
        raise UsageError(
            "the store is on a PostgreSQL server, which pg_restore restores.",
            hint="While no hf-gate process runs: pg_restore --clean --dbname=URL FILE; then hf-gate store disarm",
        )
    require_writes("the store")
    check_no_desk(context)
    if not os.path.lexists(file):
        raise UsageError(
            f"there is no file {file}; nothing was restored.", hint="To make a backup: hf-gate store backup FILE"
        )
    if path.is_file() and not yes:
        confirm(context, f"Replace {path}? The old file is kept.", "nothing was changed")
    if context.location.folder is None:
        make_private_folder(path.parent)
    replaced = restore_backup(
        file,
        path,
        endpoint=bootstrap.endpoint_of(context.settings),
        actor=local_user(),
        now=bootstrap.utc_now(),
        who=this_process(click.get_current_context().command_path),
        wait=bootstrap.store_wait(context.settings),
        on_wait=waiting_notice(context),
    )
    repos = [str(row.repo) for row in open_store_to_read(context).store.repos()]
    record = RestoreRecord(
        store=str(path),
        file=str(file.absolute()),
        replaced=None if replaced is None else str(replaced),
        repos=repos,
    )
    context.out.document(record, lambda: _describe_restore(context, file, replaced, repos), quiet=[str(path)])
    return 0


@command("disarm", examples=("hf-gate store disarm", "hf-gate store disarm --yes"))
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def store_disarm(context: CommandContext, *, yes: bool) -> int:
    """Treat the store as restored. Run this first after pg_restore, or after you copied an older file back.

    Everybody is signed out, and all members and keys end: add them again. Letters that were due are not
    sent, and unsent decisions stay until somebody sends them. Nothing is sent to a repo before a full sync:
    hf-gate sync --full.
    """
    from hf_gate.workspace.service.store_maintenance import disarm_store

    check_no_desk(context)
    if not yes:
        confirm(context, "Sign everybody out, and hold what is waiting in this store?", "nothing was changed")
    context.is_announced = True  # the Hub is not asked
    workspace = open_workspace(context, writes=True)
    disarm_store(workspace, local_user())
    repos = [str(row.repo) for row in workspace.store.repos()]
    record = DisarmRecord(store=_display_store(context), repos=repos)
    context.out.document(record, lambda: _describe_disarmed(context, repos), quiet=repos)
    return 0


def _describe_disarmed(context: CommandContext, repos: list[str]) -> Iterator[str]:
    yield "Everybody is signed out, and unsent decisions are not sent automatically."
    yield "Nothing is sent to a repo before a full sync. Next:"
    yield from (f"  {context.command_line('sync', str(repo), '--full')}" for repo in repos)


def _describe_restore(context: CommandContext, file: Path, replaced: Path | None, repos: list[str]) -> Iterator[str]:
    yield f"Restored from {file}."
    if replaced:
        yield f"The old store: {replaced}"
    yield from _describe_disarmed(context, repos)


# ---- retention -------------------------------------------------------------------------------------------------------


_NO_LIMIT = 1 << 40


@command("retention", examples=("hf-gate store retention --dry-run", "hf-gate store retention --yes"))
@click.option("--dry-run", is_flag=True, help="Show how much would be deleted; delete nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def store_retention(context: CommandContext, *, dry_run: bool, yes: bool) -> int:
    """Delete names, e-mail addresses and answers of requests that were kept as long as `retention` in hf-gate.yaml
    says.

    `hf-gate run` does the same once a day. Account ids, statuses and times stay.
    """
    from hf_gate.privacy.service import retention

    workspace = open_workspace(context, needs_folder=True, writes=not dry_run, is_preview=dry_run)
    periods = workspace.location.config.retention
    if not periods:
        raise UsageError(
            "hf-gate.yaml has no retention, so nothing is deleted.", hint="For example: retention: {rejected: 180d}"
        )
    counts = retention.count_expired_by_status(workspace)
    total = sum(counts.values())
    if not dry_run and total:
        if not yes:
            question = f"Delete the personal data of {pluralize(total, 'request')}?"
            confirm(context, question, "nothing was deleted", "Add --yes, or try --dry-run.")
        counts = retention.apply_retention(workspace, find_actor(context), _NO_LIMIT)
    record = RetentionRecord(deleted=not dry_run, requests=counts, days=dict(sorted(periods.items())))
    context.out.document(record, lambda: _lines(counts, periods, is_done=not dry_run))
    return 0


def _lines(counts: Mapping[str, int], periods: Mapping[str, int], *, is_done: bool) -> list[str]:
    verb = "deleted" if is_done else "to delete"
    return [
        (
            f"{status}, older than {pluralize(days, 'day')}: personal data of "
            f"{pluralize(counts.get(status, 0), 'request')} {verb}."
        )
        for status, days in sorted(periods.items())
    ]


# ---- store remove ----------------------------------------------------------------------------------------------------


@command("remove", examples=("hf-gate store remove", "hf-gate store remove --yes"))
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
def store_remove(context: CommandContext, *, yes: bool) -> int:
    """Delete the store (requests, people, decisions, audit log, sessions), and lock files and caches of hf-gate.

    Changes nothing on the Hub: accepted people keep access, and grants no longer end automatically. Your own files
    stay. Refused while changes are unsettled. To save what you may need later, first run `hf-gate store export DIR`.
    """
    from hf_gate.workspace.service import bootstrap, store_maintenance

    require_writes("the store")
    check_no_desk(context)
    url = bootstrap.store_url(context.settings, context.location)
    path = store_maintenance.file_of_store(url)
    name = store_maintenance.name_of_server_store(url) if path is None else str(path)
    ends = store_maintenance.count_stored_ends(url)
    if ends != 0:
        count = "an unknown number of people" if ends is None else pluralize(ends, "person", "people")
        context.out.warn(f"nothing ends the access of {count} afterwards. `hf-gate ends ls` shows the dates.")
    if not yes:
        question = f"Delete all data of hf-gate in {name}? Nothing changes on the Hub."
        confirm(context, question, "nothing was removed", "Add --yes.")
    stays = [*_list_own_files(context, path), *find_other_files(path)]  # before the list of them is removed
    who = store_maintenance.this_process(click.get_current_context().command_path)
    wait = bootstrap.store_wait(context.settings)
    removed = store_maintenance.remove_store(url, who, wait=wait, on_wait=waiting_notice(context))
    removed += _remove_traces(context)
    record = RemovalRecord(store=name, removed=list(map(str, removed)), stays=list(map(str, stays)), ends=ends)
    context.out.document(record, lambda: _describe_removal(record), quiet=record.removed)
    return 0


def _list_own_files(context: CommandContext, store: Path | None) -> list[Path]:
    """Return the files that hf-gate reads and never deletes, wherever the user may have written them."""
    folder = context.location.folder
    beside = folder if store is None else store.parent
    found = [
        *([] if folder is None else [folder / ".gitignore"]),
        *([] if beside is None else [beside / _ERASURES]),
        context.settings.paths.config_file,
    ]
    return [*list_owner_files(context.location), *(path for path in found if path.is_file())]


def _remove_traces(context: CommandContext) -> list[Path]:
    """Delete the cache of accounts, the lock of saved files, the copy of hf-gate.yaml, and empty folders.

    Return the deleted files.
    """
    from hf_gate.workspace.service.bootstrap import path_of_config_copy

    paths = context.settings.paths
    folder = context.location.folder
    traces = [paths.accounts]
    if folder is not None:
        traces += [folder / LOCK_NAME, path_of_config_copy(context.settings, folder)]
    found = [path for path in traces if path.exists()]
    for path in found:
        path.unlink(missing_ok=True)
    remove_empty_folders([paths.stores, paths.data, paths.cache, paths.state / "configs", paths.state])
    return found


def _describe_removal(record: RemovalRecord) -> Iterator[str]:
    yield from (f"Removed {path}" for path in record.removed)
    yield f"No data is left in the store {record.store}."
    for path in record.stays:
        why = "because a restored backup needs it" if Path(path).name == _ERASURES else "because it is your file"
        yield f"Kept, {why}: {path}"
    yield "Nothing was changed on the Hub."
