"""audit: list, show, verify and export the entries of the audit log."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click
from msgspec import to_builtins
from msgspec.structs import replace

from hf_gate.base.display_text import limit_lines, pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.private_files import open_private_file, open_regular_file, write_private_file
from hf_gate.base.timestamps import format_seconds
from hf_gate.command_line.framework import (
    CommandContext,
    CommandEntry,
    LazyGroup,
    command,
    limit_options,
    repo_type_option,
)
from hf_gate.command_line.output import FIRST_ROWS, safe_lines
from hf_gate.command_line.targets import parse_person_or_repo
from hf_gate.command_line.text_layout import Column
from hf_gate.command_line.workspace_opening import open_workspace, remember_file
from hf_gate.core.events.entry_records import audit_record
from hf_gate.core.records import AuditRecord, extend_record
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.errors import RequestNotFound, UsageError
from hf_gate.ledger.records import SealedEntryRecord, VerificationRecord
from hf_gate.ledger.service.ledger_entries import (
    complete_chains,
    parse_entry_name,
    read_entry,
)
from hf_gate.requests.service.targets import RequestTarget, find_attempts
from hf_gate.store.rows.ledger import iterate_entries

if TYPE_CHECKING:
    from datetime import tzinfo

    from hf_gate.core.events.ledger import Checkpoint, SealedEntry
    from hf_gate.ledger.service.ledger_verification import LedgerReport
    from hf_gate.settings.service.workspace import Workspace

audit = LazyGroup(
    "audit",
    {
        "ls": CommandEntry("hf_gate.command_line.reports.audit:audit_ls", "List entries, newest first."),
        "show": CommandEntry("hf_gate.command_line.reports.audit:audit_show", "Show one entry with its personal data."),
        "verify": CommandEntry(
            "hf_gate.command_line.reports.audit:audit_verify", "Verify that nothing was changed, cut off or inserted."
        ),
        "export": CommandEntry(
            "hf_gate.command_line.reports.audit:audit_export",
            "Export the audit log as JSON lines, to verify it elsewhere.",
        ),
        "checkpoint": CommandEntry(
            "hf_gate.command_line.reports.audit:audit_checkpoint",
            "Save the heads of all chains, for later verification.",
            is_hidden=True,
        ),
    },
    help="The audit log: one chain of entries for each repo, and one for the workspace.",
)


@command(
    "ls",
    examples=(
        "hf-gate audit ls",
        "hf-gate audit ls ada-l@datasets/acme/eeg",
        "hf-gate audit ls datasets/acme/eeg --kind ChangeSettled --json",
    ),
)
@click.argument("target", required=False, metavar="[REPO | USER@REPO]")
@repo_type_option
@click.option(
    "--request",
    type=int,
    metavar="N",
    help="Only entries about this request; N is its number, as shown in other entries.",
)
@click.option("--kind", metavar="KIND", help="Only entries of this kind, e.g. StatusMoved.")
@click.option("--actor", metavar="WHO", help="Only entries by this actor: a user, policy:NAME or outside.")
@limit_options
def audit_ls(
    context: CommandContext,
    *,
    target: str | None,
    repo_type: str | None,
    request: int | None,
    kind: str | None,
    actor: str | None,
    limit: int | None,
) -> int:
    """List entries of the audit log, newest first: all, those of a repo, or those about one person at a repo."""
    from hf_gate.decisions.typed_input import parse_event_kind

    workspace = open_workspace(context)
    known_kind = None if kind is None else parse_event_kind(kind)
    wanted = None if target is None else parse_person_or_repo(context, target, repo_type)
    requests = None if request is None else [request]
    if isinstance(wanted, RequestTarget):
        requests = [number for number in _find_requests(workspace, wanted) if request in {None, number}]
    repos = [wanted] if isinstance(wanted, Repo) else None
    entries = iterate_entries(workspace.store, TimelineFilter(repos, repos is None, known_kind, actor, requests))
    rows: Iterator[AuditRecord] = (audit_record(entry.link, zone=workspace.zone) for entry in entries)
    if context.out.is_human:
        rows = _add_names(workspace, rows)
    context.out.records(
        AuditRecord, rows, _COLUMNS, name=lambda row: row.id, limit=limit, empty="No entries.", part="the newest {}"
    )
    return 0


def _find_requests(workspace: Workspace, wanted: RequestTarget) -> list[int]:
    """Return the requests of a person at a repo. Raises RequestNotFound if there is none."""
    attempts = find_attempts(workspace.store, wanted)
    if not attempts:
        raise RequestNotFound(
            f"there is no request of {wanted.target.label} at {wanted.repo} in the store.",
            hint=f"`hf-gate ls {wanted.repo} --status all` lists all requests.",
        )
    return [attempt.id for attempt in attempts]


def _add_names(workspace: Workspace, rows: Iterator[AuditRecord]) -> Iterator[AuditRecord]:
    """Put the username before each sentence if it is in the store. The audit log itself contains no names."""
    while some := list(islice(rows, FIRST_ROWS + 1)):
        known = workspace.store.requests([row.request for row in some if row.request is not None])
        for row in some:
            request = known.get(-1 if row.request is None else row.request)
            user = request and request.person.identity.username
            yield replace(row, text=f"{user}: {row.text}") if user else row


@command("show", examples=("hf-gate audit show datasets/acme/eeg#12", "hf-gate audit show desk#1 --json"))
@click.argument("entry", metavar="ENTRY")
def audit_show(context: CommandContext, *, entry: str) -> int:
    """Show one entry: its public part and the personal data stored with it.

    ENTRY may be cut at its start, as in a narrow table: `…/eeg#12`.
    """
    name = parse_entry_name(entry)
    if name is None:
        raise UsageError(
            f"{entry!r} is not the name of an audit log entry.",
            hint="Write it as `hf-gate audit ls` prints it, e.g. desk#3.",
        )
    workspace = open_workspace(context)
    chains = complete_chains(workspace.store, name[0])
    if len(chains) > 1:
        raise UsageError(
            f"{entry} may be an entry of {' or '.join(sorted(chains))}.", hint="Write the whole name of the repo."
        )
    found = read_entry(workspace.store, chains[0], name[1]) if chains else None
    if found is None:
        raise UsageError(f"there is no entry {entry}.", hint="`hf-gate audit ls` lists the entries.")
    record = _sealed_entry_record(found, workspace.zone)
    context.out.document(record, lambda: _entry_lines(found, record), quiet=[record.id])
    return 0


@command(
    "verify",
    examples=(
        "hf-gate audit verify",
        "hf-gate audit verify --checkpoint heads.json --json",
        "hf-gate audit verify --file ledger.jsonl",
    ),
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="FILE",
    help="Also compare with this checkpoint; can be repeated.",
)
@click.option("--file", "file", metavar="FILE", help="Verify this export instead of the store.")
@click.option("--fold", is_flag=True, help="Also check the data derived from the log: requests, members, triggers.")
def audit_verify(context: CommandContext, *, checkpoints: tuple[str, ...], file: str | None, fold: bool) -> int:
    """Verify the audit log: every chain is unbroken, all personal data matches its seal, and all checkpoints agree.

    A chain alone cannot reveal that its end was cut off or that the whole chain was rewritten. A checkpoint that is
    stored elsewhere can.
    """
    from hf_gate.ledger.service.ledger_files import verify_exported_ledger
    from hf_gate.ledger.service.ledger_verification import verify_ledger

    known = [_read_checkpoint(name) for name in checkpoints]
    if file is not None:
        if fold:
            raise UsageError(
                "--fold compares with the store, and --file does not use it.", hint="Use only one of them."
            )
        with _open_file(file, "ledger", "hf-gate audit export --out ledger.jsonl") as lines:
            result = verify_exported_ledger(lines, file, known)
    else:
        result = verify_ledger(open_workspace(context).store, known, with_tables=fold)
    record = VerificationRecord(
        ok=result.ok,
        chains=len(result.chains),
        entries=result.entries,
        broken=result.broken,
        not_proved=list(result.not_proved),
    )
    context.out.document(
        record,
        lambda: _verification_lines(result, len(known), fold),
        quiet=[f"{each.chain}#{each.seq}" for each in result.broken],
    )
    if not result.ok and file is None and context.location.folder is not None:
        context.out.hint("`hf-gate run` finds this within a day and stops. To stop unattended work now: hf-gate stop")
    return 0 if result.ok else 1


@command("export", examples=("hf-gate audit export", "hf-gate audit export --out ledger.jsonl --with-personal"))
@click.option("--out", "target", metavar="FILE", help="Write to this file, readable only by you; default: stdout.")
@click.option("--with-personal", is_flag=True, help="Include names, answers, reasons and notes.")
def audit_export(context: CommandContext, *, target: str | None, with_personal: bool) -> int:
    """Write the audit log as JSON lines after a header, with personal data only if requested.

    `hf-gate audit verify --file FILE` verifies the export without the store.
    """
    from hf_gate.ledger.service.ledger_files import export_ledger

    workspace = open_workspace(context)
    count = -1
    with _open_output(target) as write:
        for line in export_ledger(workspace.store, workspace.now(), personal=with_personal):
            write(line)
            count += 1
    if target is not None:
        remember_file(context, Path(target))
    personal = ", with personal data" if with_personal else ", without personal data"
    context.out.say(f"{pluralize(count, 'entry', 'entries')} written{personal}.", "dim")
    return 0


@command("checkpoint", examples=("hf-gate audit checkpoint", "hf-gate audit checkpoint --out heads.json"))
@click.option(
    "--out", "target", metavar="FILE", help="Write to this file; keep it on a different machine than the store."
)
def audit_checkpoint(context: CommandContext, *, target: str | None) -> int:
    """Save the heads of all chains. They can prove later that no earlier entry was cut off or rewritten."""
    from hf_gate.ledger.service.ledger_files import checkpoint_record, store_checkpoint

    workspace = open_workspace(context, writes=True)
    checkpoint = store_checkpoint(workspace.store, workspace.now())
    record = checkpoint_record(checkpoint, workspace.store.endpoint)
    if target is None:
        context.out.document(record, lambda: _head_lines(checkpoint), quiet=[checkpoint.digest])
        return 0
    write_private_file(Path(target), f"{json.dumps(to_builtins(record), indent=1)}\n".encode())
    remember_file(context, Path(target))
    context.out.say(f"Saved the heads of {pluralize(len(checkpoint.heads), 'chain')} to {target} and to the store.")
    return 0


# ---- output ----------------------------------------------------------------------------------------------------------


_COLUMNS: Final[Sequence[Column[AuditRecord]]] = (
    Column("WHEN", lambda row: format_seconds(row.at)),
    Column("ENTRY", lambda row: row.id, is_flexible=True, min_width=24, is_tail_shown=True),
    Column("KIND", lambda row: row.kind),
    Column("BY", lambda row: row.actor, is_flexible=True, drop_rank=10, is_said_once=True),
    Column(
        "ABOUT",
        lambda row: row.text if row.request is None else f"#{row.request} {row.text}",
        is_flexible=True,
        min_width=16,
    ),
)


def _value_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _sealed_entry_record(entry: SealedEntry, zone: tzinfo) -> SealedEntryRecord:
    link = entry.link
    private = None if entry.private is None else json.loads(entry.private)
    return extend_record(
        audit_record(link, private, zone=zone),
        SealedEntryRecord,
        private=private,
        commitment=None if link.commitment is None else link.commitment.hex(),
        hash=link.hash.hex(),
    )


def _entry_lines(entry: SealedEntry, record: SealedEntryRecord) -> Iterator[str]:
    link = entry.link
    yield f"{record.id}  {link.kind}"
    yield f"  at       {record.at}"
    yield f"  by       {link.actor}"
    yield f"  what     {record.text}"
    if link.request is not None:
        yield f"  request  {link.request}"
    for key, value in record.body.items():
        yield f"  {key:8} {_value_text(value)}"
    if isinstance(record.private, Mapping):
        yield "  personal data, stored outside the chain:"
        for key, value in record.private.items():
            first, *more = safe_lines(_value_text(value))
            yield f"    {key:10} {first}"
            yield from (f"    {'':10} {line}" for line in more)
    elif link.commitment is not None:
        reason = "missing, although the person was not erased" if entry.salt is not None else "erased; the seal remains"
        yield f"  personal data: {reason}."
    yield f"  hash     {record.hash}"


def _verification_lines(result: LedgerReport, checkpoints: int, with_tables: bool) -> Iterator[str]:
    yield from limit_lines(result.broken, 50, lambda each: f"BROKEN  {each.chain}#{each.seq}  {each.what}")
    compared = [pluralize(checkpoints, "checkpoint")] if checkpoints else []
    compared += ["the data derived from them"] if with_tables else []
    comparison = f", compared with {' and '.join(compared)}" if compared else ""
    chains = pluralize(len(result.chains), "chain")
    if result.ok:
        yield f"Verified: {pluralize(result.entries, 'entry', 'entries')} in {chains}{comparison}."
    else:
        count = pluralize(len(result.broken), "problem")
        yield f"NOT VERIFIED: {count} in {pluralize(result.entries, 'entry', 'entries')} of {chains}."
    yield from (f"Not proved: {words}." for words in result.not_proved)


def _head_lines(checkpoint: Checkpoint) -> Iterator[str]:
    for chain, (length, last) in sorted(checkpoint.heads.items()):
        yield f"{chain}  {length:,}  {last}"
    yield f"digest  {checkpoint.digest}"


# ---- files -----------------------------------------------------------------------------------------------------------


def _read_checkpoint(name: str) -> Checkpoint:
    from hf_gate.ledger.service.ledger_files import read_checkpoint

    with _open_file(name, "checkpoint", "hf-gate audit checkpoint --out heads.json") as file:
        return read_checkpoint(file.read(), name)


def _open_file(name: str, what: str, command: str) -> BinaryIO:
    """Open a file that `command` writes. Raises UsageError if it cannot be opened."""
    try:
        return open_regular_file(Path(name))
    except OSError as problem:
        raise UsageError(
            f"the {what} {name} cannot be read: {problem.strerror}.", hint=f"Create one: {command}"
        ) from None


@contextmanager
def _open_output(target: str | None) -> Iterator[Callable[[bytes], object]]:
    """Return a function that writes to stdout, or to a file that only this user can read."""
    if target is None:
        yield lambda line: sys.stdout.write(line.decode())
        return
    with open_private_file(Path(target)) as file:
        yield file.write
