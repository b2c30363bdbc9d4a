"""person erase: deletes everything that hf-gate holds about one person, after the typed name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ..application.owner_files import list_owner_files
from ..domain.display_text import pluralize, to_one_line
from ..errors import Guarded
from .framework import Run, command
from .workspace import actor_of, open_workspace

if TYPE_CHECKING:
    from ..application.erasure import ErasurePreview
    from ..application.records import ErasureRecord

_SHOWN = 20  # the most places in files that are printed


@command(
    "erase",
    examples=("hf-gate person erase bob99 --dry-run", "hf-gate person erase bob99 --yes"),
)
@click.argument("user", metavar="USER")
@click.option("--dry-run", is_flag=True, help="Show what would be erased; erase nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation. USER must be the exact name.")
def person_erase(run: Run, *, user: str, dry_run: bool, yes: bool) -> int:
    """Erase one person: names, e-mail address, answers, notes and everything derived from them.

    The audit log keeps statuses, times and decisions under a pseudonym, and stays verifiable. Nothing changes on the Hub.
    Your own files are listed, not edited.
    """
    from .. import bootstrap
    from ..application import erasure

    workspace = open_workspace(run, writes=not dry_run, is_preview=dry_run)
    url, owned = bootstrap.store_url(run.settings, run.location), list_owner_files(run.location)
    person = erasure.find_person(workspace, user)
    preview = erasure.preview_erasure(workspace, person, url, owned)
    if dry_run:
        _print(run, preview.record(), preview.name)
    erasure.check_erasable(preview)
    if yes or not dry_run:
        _confirm(run, preview, user, yes=yes)
    if dry_run:
        return 0
    done = erasure.erase(workspace, person, url, actor_of(run), owned)
    _print(run, done, preview.name)
    return 5 if any(copy.problem for copy in done.copies) else 0


def _confirm(run: Run, preview: ErasurePreview, user: str, *, yes: bool) -> None:
    name = preview.name
    if yes:
        if user != name:
            raise Guarded("--yes needs the exact name; nothing was erased.", hint=f"hf-gate person erase {name} --yes")
        return
    if not run.may_ask:
        raise Guarded(
            "cannot ask for confirmation here; nothing was erased.", hint=f"hf-gate person erase {name} --yes"
        )
    for line in _lines(preview.record(), name):
        run.out.say(line)
    answer = click.prompt(f"Type {to_one_line(name)} to erase", default="", show_default=False, err=True)
    if answer.strip() != name:
        raise Guarded("not confirmed; nothing was erased.")


def _print(run: Run, record: ErasureRecord, name: str) -> None:
    run.out.record(record, lambda: _lines(record, name), quiet=[record.person])


def _lines(record: ErasureRecord, name: str) -> Iterator[str]:
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
        (record.views, "saved view", "saved views"),
    ):
        if count:
            yield f"  {pluralize(count, one, many)}"
    for copy in record.copies:
        yield f"  in the copy {copy.file}" if copy.problem is None else f"  not in {copy.file}: {copy.problem}"
    yield "Kept: statuses, times and decisions under the pseudonym, and keyed hashes that stop the old requests from coming back."
    for backup in record.backups:
        age = "moved or deleted" if backup.days is None else f"{pluralize(backup.days, 'day')} old"
        yield f"Kept: the backup {backup.file} ({age}). Delete it, or restore it: a restore repeats the erasure."
    if record.member:
        yield f"Kept: the member {record.member} of the desk, who is the same account."
    if record.places:
        yield "Your files that name the person; edit them yourself:"
    for place in record.places[:_SHOWN]:
        where = place.file if place.line is None else f"{place.file}:{place.line}"
        yield f"  {where}{f' ({place.problem})' if place.problem else ''}"
    if len(record.places) > _SHOWN:
        yield f"  and {len(record.places) - _SHOWN} more: --json"
    if not record.erased:
        yield "Nothing changes on the Hub."
