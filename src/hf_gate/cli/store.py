"""store: what lies on the disk, taken out, copied, put back, checked and removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..errors import Guarded, StoreBusy, StoreDamaged, UsageError
from ..private_files import make_private_folder
from .framework import CommandEntry, GateGroup, Run, command
from .output import count_of
from .workspace import local_user, open_workspace, waiting_notice

if TYPE_CHECKING:
    from ..application.workspace import Workspace, WorkspaceLocation

store = GateGroup(
    "store",
    {
        "check": CommandEntry("store:store_check", "Look for damage: the file, the ledger, the rights of the files."),
        "export": CommandEntry("store:store_export", "Write everything into a folder, in open formats."),
        "backup": CommandEntry("store:store_backup", "Copy the store into one file, also while the desk runs."),
        "restore": CommandEntry("store:store_restore", "Put a backup in the place of the store."),
        "remove": CommandEntry(
            "store_remove:store_remove", "Delete the store and all that hf-gate left on this machine."
        ),
    },
    help="The store: names, answers, decisions and the ledger, on this machine or a PostgreSQL server.",
)
_MOST: Final = 4 << 20  # bytes of a file of the workspace that an export takes along


# ---- which store is meant -----------------------------------------------------------------------------------------------


def store_path(run: Run) -> Path | None:
    """The file of the store that is meant; None if it lies on a server."""
    from .. import bootstrap  # noqa: PLC0415 - help needs none of it
    from ..application.store_maintenance import file_of_store  # noqa: PLC0415 - as above

    return file_of_store(bootstrap.store_url(run.settings, run.location))


def open_store(run: Run) -> Workspace:
    """The store, open for reading. Whose token it is does not matter here, so the Hub is not asked."""
    from .. import bootstrap  # noqa: PLC0415 - as above

    if not run.is_announced:
        run.is_announced = True
        run.out.say(f"{bootstrap.name_of_hub(run.settings)}, store {_command_name(run)}", "dim")
    return open_workspace(run)


def check_no_desk(run: Run) -> None:
    """Refuse while the desk of this store runs: it would go on with a file that is gone."""
    from ..web.terminal import find_running_desk  # noqa: PLC0415 - as above

    desk = find_running_desk(run.settings, run.location)
    if desk is not None:
        raise StoreBusy(
            f"the desk at {desk['url']} (pid {desk['pid']}) has the store open.",
            hint="Press Ctrl-C in its terminal, then repeat this command.",
        )


def _file_of(run: Run, server_command: str) -> Path:
    path = store_path(run)
    if path is None:
        raise UsageError("the store lies on a PostgreSQL server.", hint=f"Use its own tools: {server_command}")
    return path


def owned_files(location: WorkspaceLocation) -> list[Path]:
    """The files of a workspace that its owner wrote: hf-gate.yaml, policies and tables."""
    from ..application.workspace import CONFIG_FILE  # noqa: PLC0415 - as above

    folder = location.folder
    if folder is None:
        return []
    found = [folder / CONFIG_FILE]
    for glob in location.config.policies:
        found += sorted(folder.glob(glob))
    found += [folder / table.file for table in location.config.tables if table.file]
    return [path for path in dict.fromkeys(found) if path.is_file()]


# ---- check --------------------------------------------------------------------------------------------------------------


@command("check", examples=("hf-gate store check", "hf-gate store check --json"))
def store_check(run: Run) -> int:
    """Check the whole store: the file, the ledger, derived tables and file permissions. Changes nothing.

    Exit code 1 if anything was found.
    """
    path = store_path(run)
    findings: list[str] = []
    if path is not None:
        from ..application.store_maintenance import find_mode_faults  # noqa: PLC0415 - as above

        findings += find_mode_faults(path)  # first: to open a store closes its file to others
    entries = 0
    try:
        from ..application.store_maintenance import check_store  # noqa: PLC0415 - as above

        damage, entries = check_store(open_store(run))
        findings += damage
    except StoreDamaged as problem:
        findings.append(str(problem))
    findings = list(dict.fromkeys(findings))
    doc = {
        "schema_version": 1,
        "store": _command_name(run),
        "ok": not findings,
        "entries": entries,
        "findings": findings,
    }
    run.out.document(doc, lambda: findings or [f"Nothing found: {count_of(entries, 'entry', 'entries')} proved."])
    return 1 if findings else 0


def _command_name(run: Run) -> str:
    path = store_path(run)
    return str(path) if path else "postgresql"


# ---- export -------------------------------------------------------------------------------------------------------------


@command("export", examples=("hf-gate store export my-data", "hf-gate store export my-data --json"))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def store_export(run: Run, *, folder: Path) -> int:
    """Write everything into DIR: requests, people, the ledger with its proofs, policies, runs and settings.

    One JSON object a line. DIR must not exist or be empty; nobody else can read it. README.txt says what each file holds.
    """
    from ..application.store_maintenance import export_store  # noqa: PLC0415 - as above

    lines = export_store(open_store(run), folder, _owned_content(run.location))
    doc = {"schema_version": 1, "folder": str(folder.absolute()), "files": lines}
    run.out.document(doc, lambda: _describe_export(folder, lines), quiet=[str(folder)])
    return 0


def _owned_content(location: WorkspaceLocation) -> dict[str, bytes]:
    found = {}
    for path in owned_files(location):
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
        if len(content) > _MOST:
            raise UsageError(f"{path} is larger than {_MOST >> 20} MB.", hint="Copy it yourself.")
        inside = location.folder is not None and path.resolve().is_relative_to(location.folder.resolve())
        name = path.relative_to(location.folder).as_posix() if inside and location.folder else f"elsewhere/{path.name}"
        found[name if ".." not in name else f"elsewhere/{path.name}"] = content
    return found


def _describe_export(folder: Path, lines: dict[str, int]) -> Iterator[str]:
    for name, count in lines.items():
        if name.endswith(".jsonl") and count:
            yield f"{name:20} {count_of(count, 'line')}"
    yield f"Written to {folder}. It holds personal data; nobody else can read it."


# ---- backup and restore -------------------------------------------------------------------------------------------------


@command(
    "backup", examples=("hf-gate store backup backup-2026-11-26.db", "hf-gate store backup /mnt/usb/eeg.db --json")
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def store_backup(run: Run, *, file: Path) -> int:
    """Copy the store into FILE as it is now. A desk can run meanwhile.

    FILE must not exist; nobody else can read it. It holds personal data, and everything but your own files: keep
    hf-gate.yaml, policies and tables elsewhere.
    """
    from ..application.store_maintenance import write_backup  # noqa: PLC0415 - as above

    path = _file_of(run, "pg_dump --format=custom --file=FILE, and pg_restore to put it back")
    open_store(run)  # refuses what is no store of this Hub
    size = write_backup(path, file)
    doc = {"schema_version": 1, "store": str(path), "file": str(file.absolute()), "bytes": size}
    run.out.document(doc, lambda: [f"Copied to {file} ({size:,} bytes). It holds personal data."], quiet=[str(file)])
    return 0


@command(
    "restore",
    examples=("hf-gate store restore backup-2026-11-26.db", "hf-gate store restore backup-2026-11-26.db --yes"),
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a store is replaced.")
def store_restore(run: Run, *, file: Path, yes: bool) -> int:
    """Replace the store by a backup. The present store is kept beside it, as desk.db.before-restore.

    Everybody is signed out and every sign-in link ends: invite people again. Decisions that were not sent stay until somebody sends them. Nothing
    is sent to a repo before it was read whole: hf-gate sync --full.
    """
    from .. import bootstrap  # noqa: PLC0415 - as above
    from ..application.store_maintenance import restore_backup  # noqa: PLC0415 - as above

    path = _file_of(run, "pg_restore --clean --dbname=URL FILE, with every hf-gate stopped")
    check_no_desk(run)
    if not os.path.lexists(file):
        raise UsageError(
            f"there is no file {file}; nothing was restored.", hint="`hf-gate store backup FILE` makes a backup."
        )
    if path.is_file() and not yes:
        _confirm_replacing(run, path)
    if run.location.folder is None:
        make_private_folder(path.parent)
    replaced = restore_backup(
        file,
        path,
        endpoint=bootstrap.endpoint_of(run.settings),
        actor=local_user(),
        now=bootstrap.utc_now(),
        command=click.get_current_context().command_path,
        wait=bootstrap.store_wait(run.settings),
        on_wait=waiting_notice(run),
    )
    repos = [str(row.repo) for row in open_store(run).store.repos()]
    doc = {
        "schema_version": 1,
        "store": str(path),
        "file": str(file.absolute()),
        "replaced": None if replaced is None else str(replaced),
        "repos": repos,
    }
    run.out.document(doc, lambda: _describe_restore(file, replaced, repos), quiet=[str(path)])
    return 0


def _confirm_replacing(run: Run, path: Path) -> None:
    if not run.may_ask:
        raise Guarded(f"{path} exists, and nobody was asked; nothing was changed.", hint="Add --yes to replace it.")
    if not click.confirm(f"Replace {path}? It is kept beside the new one.", err=True):
        raise Guarded("not confirmed; nothing was changed.")


def _describe_restore(file: Path, replaced: Path | None, repos: list[str]) -> Iterator[str]:
    yield f"Restored from {file}. Everybody is signed out, and no decision leaves by itself."
    if replaced:
        yield f"The store that was there: {replaced}"
    yield "Nothing is sent to a repo before it was read whole. Next:"
    yield from (f"  hf-gate sync {repo} --full" for repo in repos)
