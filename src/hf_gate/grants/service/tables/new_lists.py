"""Makes a table from a pasted list or a file: its name, the meaning of its columns, its rows, and its entry in
hf-gate.yaml.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from hf_gate.base.private_files import read_regular_file
from hf_gate.core.parsing.node_reader import NAME
from hf_gate.core.policy_model import TableSpec
from hf_gate.errors import UsageError
from hf_gate.policies.drivers.workspace_folder import (
    CONFIG_NAME,
    WorkspaceFolder,
    collect_table_specs,
    read_folder,
)
from hf_gate.policies.facts.tables import KEYS, build_table
from hf_gate.policies.parsing.config_edits import add_table, describe_table
from hf_gate.policies.parsing.table_text import (
    KEY_COLUMN,
    KNOWN_COLUMNS,
    ParsedFile,
    has_key_column,
    parse_file,
)
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.drivers.policy_files import digest_of_file, replace_file

from .own_tables import OwnTable, save_table_draft
from .people_lists import EntryKind, parse_pasted_list
from .table_imports import TableImport, has_column_names, prepare_import, recognise_email_column

MEANINGS: Final[Mapping[str, str]] = {
    "": "kept as text",
    "username": "username",
    "email": "e-mail address",
    "user_id": "account id",
    "from": "first day",
    "expires": "last day",
}
"""What a column of a list can mean, with its words."""
_SYNONYMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("user", "login", "account", "hf_user", "hf_username", "hub_username"), "username"),
    **dict.fromkeys(("hugging_face", "huggingface", "hugging_face_username", "huggingface_username"), "username"),
    **dict.fromkeys(("e_mail_address", "email_address", "e_mail_adresse", "address"), "email"),
    **dict.fromkeys(("start", "start_date", "valid_from"), "from"),
    **dict.fromkeys(("until", "end", "end_date", "valid_until", "expiry"), "expires"),
}


class ListColumns(Struct, frozen=True):
    """The text of a list as CSV. `meanings` has each of its columns with one of `MEANINGS`.

    `left_out` says which entries could not be read. `has_choice`: a person can choose other meanings.
    """

    content: bytes
    meanings: Mapping[str, str]
    left_out: Sequence[str] = ()
    has_choice: bool = True

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that can identify people."""
        known = {*self.meanings.values()}
        has_key = has_key_column([*self.meanings], KEYS) and not known & {"user_id", "username"}
        return tuple(name for name in KEYS if name in known or (has_key and name != "email"))


def read_columns(text: str, chosen: Mapping[str, str]) -> ListColumns:
    """Read a CSV text with a first line of column names, or else names, e-mail addresses and ids.

    `chosen` has the meanings that a person chose for columns; columns that the text does not have are ignored. Raises
    UsageError if there is nothing to read.
    """
    text = text.removeprefix("\ufeff")
    content = text.encode("utf-8", "surrogateescape")
    read = parse_file(content, KEYS, is_json=False)
    if not text.strip() or (read.refused and "UTF-" in read.refused):
        raise UsageError(f"{read.refused[:1].upper()}{read.refused[1:]}.", hint="Paste a list, or choose a file.")
    guessed = _guess_meanings(read)
    has_key = bool({*guessed.values()} & {*KEYS}) or KEY_COLUMN in guessed
    if not has_key and not guessed.keys() & chosen.keys() and not _has_columns(read):
        if _is_even(read) and not (has_column_names(read) or all("@" in name for name in read.header)):
            raise UsageError(
                "The first line does not name the columns.", hint="Write one above it, such as name,email."
            )
        return _read_names(text)
    meanings = {name: chosen.get(name, meaning) for name, meaning in guessed.items()}
    given = [meaning for meaning in meanings.values() if meaning]
    if twice := next((meaning for meaning in given if given.count(meaning) > 1), ""):
        raise UsageError(f"Two columns mean {MEANINGS[twice]}.", hint="Choose another meaning for one of them.")
    return ListColumns(content, meanings)


def _has_columns(read: ParsedFile) -> bool:
    """Tell whether every line has as many cells as the first one, which names no address."""
    return _is_even(read) and has_column_names(read)


def _is_even(read: ParsedFile) -> bool:
    """Tell whether there are columns: every line has as many cells as the first one."""
    return not (read.problems or read.refused) and len(read.header) > 1 and bool(read.records)


def _guess_meanings(read: ParsedFile) -> dict[str, str]:
    """Return what each column seems to mean, by its name or its content."""
    recognised = recognise_email_column(read)
    found: dict[str, str] = {}
    for name in filter(None, read.header):
        plain = re.sub(r"[\W_]+", "_", name.strip().lower())
        meaning = name if name in KNOWN_COLUMNS else recognised.get(name, _SYNONYMS.get(plain, ""))
        found[name] = "" if meaning in found.values() else meaning
    return found


def _read_names(text: str) -> ListColumns:
    """Return names, addresses and ids as CSV.

    A word among others may be a part of a person's name, so it is left out.
    """
    entries = parse_pasted_list(text)
    unread = [
        f"{entry.text} is not a username, e-mail address or id." for entry in entries if not _is_readable(entry.kind)
    ]
    among = [
        f"{entry.text} stands among other words. Write one name a line."
        for entry in entries
        if _is_readable(entry.kind) and not entry.is_alone
    ]
    rows = [(entry.kind.value, entry.key) for entry in entries if _is_readable(entry.kind) and entry.is_alone]
    header = [name for name in KEYS if name != "user_id" or any(kind == name for kind, _ in rows)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([key if name == kind else "" for name in header] for kind, key in rows)
    return ListColumns(out.getvalue().encode(), {name: name for name in header}, [*unread, *among], has_choice=False)


def _is_readable(kind: EntryKind) -> bool:
    return kind is not EntryKind.UNREADABLE


# ---- the new table ---------------------------------------------------------------------------------------------------


def draft_new_list(workspace: Workspace, name: str, columns: ListColumns) -> TableImport:
    """Draft the import that makes a table of this name; nothing is written. Raises UsageError if that is impossible."""
    if workspace.location.folder is None:
        raise UsageError("There is no workspace here.", hint="Make one: hf-gate init")
    folder = read_folder(workspace.location.folder)
    if not NAME.match(name):
        raise UsageError("This is not a name of a list.", hint="Use a-z, 0-9 and _, and begin with a letter.")
    if name in collect_table_specs(folder, folder.policies):
        raise UsageError(f"There is a list {name} already.", hint=f"Open it, or choose another name: /tables/{name}")
    if not columns.key:
        raise UsageError("No column names people.", hint="Choose which one has usernames or e-mail addresses.")
    own = _new_table(folder, name, columns.key)
    names = {column: meaning for column, meaning in columns.meanings.items() if meaning and meaning != column}
    found = prepare_import(
        workspace,
        own,
        columns.content,
        is_json=False,
        replaces=False,
        columns=names,
        more_columns=("expires",),
        leaves_out=True,
    )
    if own.exists and found.draft.content != own.read_file():
        raise UsageError(f"There is a file {own.spec.file} with other rows.", hint="Choose another name.")
    return found


def _new_table(folder: WorkspaceFolder, name: str, key: tuple[str, ...]) -> OwnTable:
    spec = TableSpec(name, key, file=f"tables/{name}.csv")
    config = dataclasses.replace(folder.config, tables=(*folder.config.tables, spec))
    return OwnTable(
        WorkspaceFolder(folder.path, config, folder.zone, folder.files), spec, build_table(name, key, (), "")
    )


def save_new_list(workspace: Workspace, found: TableImport, actor: str) -> None:
    """Write the file of a new table, then its entry in hf-gate.yaml. Repeating it after a failure finishes it."""
    own = found.draft.own
    content = read_regular_file(own.folder.path / CONFIG_NAME)
    entry = describe_table(own.name, own.spec.file or "", own.spec.key)
    new = add_table(content.decode("utf-8-sig", "replace"), CONFIG_NAME, own.name, entry)
    if not own.exists:
        save_table_draft(workspace, found.draft, actor)
    replace_file(
        own.folder.path,
        CONFIG_NAME,
        new.encode(),
        base=digest_of_file(content),
        record=lambda _, __: None,
        withdraw=lambda: None,
        hint="Try again.",
    )
