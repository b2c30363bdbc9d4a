"""Erases one person: shows what would go, checks that nothing is under way, deletes, and says what stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from hf_gate.base.display_text import join_words, pluralize
from hf_gate.base.timestamps import DAY_MS, to_ms
from hf_gate.core.records import ErasureRecord, PlaceRecord, WrittenFileRecord
from hf_gate.core.stored_rows import PersonRow
from hf_gate.errors import RequestNotFound, StoreBusy, StoreUnavailable, UsageError
from hf_gate.privacy.rows.erasure import ErasureObstacles, StoredParts, count_parts, find_obstacles
from hf_gate.privacy.rows.erasure_file import append_record, make_record
from hf_gate.privacy.rows.erasure_repetition import repeat_erasures
from hf_gate.privacy.rows.written_files import WrittenFile, find_written_files
from hf_gate.requests.rows.identity import find_same_account, read_full_identity
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.removal import files_of
from hf_gate.store.store_path import file_of_store

from .erasure_places import find_places


class ErasurePreview(Struct, frozen=True):
    """What an erasure would delete, and what stays."""

    person: PersonRow
    name: str  # to be typed as confirmation
    parts: StoredParts
    obstacles: ErasureObstacles
    others: Sequence[int]  # stored people who are the same account, and who are erased too
    files: Sequence[WrittenFileRecord]
    places: Sequence[PlaceRecord]
    member: str | None  # the person is also this member, who stays

    def record(self, *, is_erased: bool = False) -> ErasureRecord:
        """Return the preview as a record; with `is_erased`, as the record of the erasure."""
        return ErasureRecord(
            person=self.person.pseudonym,
            erased=is_erased,
            **self.parts._asdict(),
            files=list(self.files),
            places=list(self.places),
            member=self.member,
        )


def find_person(workspace: Workspace, text: str) -> PersonRow:
    """Return the one person with this username, account id, e-mail address or pseudonym."""
    found = {row.person.id: row.person for row in workspace.store.find_by_identity(None, text)}
    if not found:
        raise RequestNotFound(
            f"there is no request of {text} in the store.", hint="To search for part of a name: hf-gate ls --query WORD"
        )
    shown = next((person for person in found.values() if person.identity.user_id), None)
    if shown is not None and found.keys() <= {shown.id, *find_same_account(workspace.store, shown.id)}:
        return shown
    if len(found) > 1:
        names = join_words([person.pseudonym for person in found.values()], "and")
        raise UsageError(f"{len(found)} people match {text}.", hint=f"Use the account id or the pseudonym: {names}")
    return next(iter(found.values()))


def find_confirming_name(person: PersonRow) -> str:
    """Return the name that confirms an erasure: the username, else the pseudonym."""
    return person.identity.username or person.pseudonym


def preview_erasure(workspace: Workspace, person: PersonRow, url: str, owned: Sequence[Path] = ()) -> ErasurePreview:
    """Return what the erasure of a person would delete.

    `url` is the store's address, `owned` are files of the workspace.
    """
    store = workspace.store
    path = file_of_store(url)
    others = find_same_account(store, person.id)
    everybody = [person.id, *others]
    names = {name for ident in everybody for name in read_full_identity(store, ident).pattern.names}
    written = [] if path is None else find_written_files(path)
    own = [*([] if path is None else files_of(path)), *(one.path for one in written if one.is_copy)]
    if store.erasures is not None:
        own.append(store.erasures)
    return ErasurePreview(
        person=person,
        name=find_confirming_name(person),
        parts=StoredParts(*map(sum, zip(*(count_parts(store, ident) for ident in everybody), strict=True))),
        obstacles=_join_obstacles([find_obstacles(store, ident) for ident in everybody]),
        others=others,
        files=_describe_files(written, to_ms(workspace.now())),
        places=find_places(workspace.location.folder, [*owned, *_list_exports(written)], own, names),
        member=_find_member(workspace, person),
    )


def _list_exports(written: Sequence[WrittenFile]) -> list[Path]:
    return [one.path for one in written if not one.is_copy]


def _describe_files(written: Sequence[WrittenFile], now: int) -> list[WrittenFileRecord]:
    return [
        WrittenFileRecord(file=str(one.path), days=None if one.made_at is None else max(0, now - one.made_at) // DAY_MS)
        for one in written
        if one.is_copy or one.path.suffix != ".json"  # a plan is listed where it names the person
    ]


def _join_obstacles(obstacles: Sequence[ErasureObstacles]) -> ErasureObstacles:
    return ErasureObstacles(
        unsettled=sum(one.unsettled for one in obstacles),
        runs=list(dict.fromkeys(run for one in obstacles for run in one.runs)),
        unsent=sum(one.unsent for one in obstacles),
        accesses=list(dict.fromkeys(repo for one in obstacles for repo in one.accesses)),
    )


def _find_member(workspace: Workspace, person: PersonRow) -> str | None:
    known = person.identity
    names = {word.lower() for word in (known.username, known.user_id) if word}
    for member in workspace.store.members():
        if names & {word.lower() for word in (member.name, member.account, member.user_id) if word}:
            return member.name
    return None


def check_erasable(preview: ErasurePreview) -> None:
    """Raise StoreUnavailable while something under way needs the person's data, with the command that ends it."""
    found = preview.obstacles
    name = preview.name
    if found.unsettled or found.runs:
        run = found.runs[0] if found.runs else "RUN"
        raise StoreUnavailable(
            f"{name} is part of a run that has not ended; nothing was erased.",
            hint=f"Finish it with `hf-gate runs continue {run}`, or end it with `hf-gate runs stop {run} --for-good`.",
        )
    if found.unsent:
        raise StoreUnavailable(
            (
                f"{pluralize(found.unsent, 'decision')} about {name} {'is' if found.unsent == 1 else 'are'} not "
                "sent yet; nothing was erased."
            ),
            hint="Open Unsent in the desk, and send or undo it.",
        )
    if found.accesses:
        raise StoreUnavailable(
            f"{name} has access to {join_words([str(repo) for repo in found.accesses], 'and')}; nothing was erased.",
            hint=f"End the access first: hf-gate revoke '{name}@*'",
        )


def erase(workspace: Workspace, person: PersonRow, url: str, actor: str, owned: Sequence[Path] = ()) -> ErasureRecord:
    """Erase a person from the store; return what was deleted and what stays.

    The hashes are on disk before anything is deleted, so that the next opening finishes an interrupted erasure.
    """
    store = workspace.store
    with store.hold_write_lock():
        preview = preview_erasure(workspace, person, url, owned)
        check_erasable(preview)
        if store.erasures is None:
            raise UsageError("this store has no folder for the list of erasures.", hint="Use a workspace: hf-gate init")
        for ident in (person.id, *preview.others):
            append_record(store.erasures, make_record(store, ident, to_ms(workspace.now())))
        is_clean = repeat_erasures(store, store.erasures, actor)
    if not is_clean:
        raise StoreBusy(
            f"{preview.name} is erased, but another process still reads the old log of the database.",
            hint="Stop the desk; the next command that writes, e.g. hf-gate sync, removes the rest.",
        )
    return preview.record(is_erased=True)
