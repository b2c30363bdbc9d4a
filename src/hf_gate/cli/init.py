"""init: from the gated repos that are there to a workspace that knows them, with a first policy that changes nothing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..domain.ids import Repo, parse_repo
from ..domain.lifecycle import Status
from ..errors import HfGateError, NotAllowed, UsageError
from ..private_files import write_private_file
from .framework import Run, command, repo_type_option
from .output import count_of
from .sync import SyncCommand
from .token_rights import owners_of
from .workspace import open_workspace

if TYPE_CHECKING:
    from ..domain.accounts import TokenRights
    from ..domain.forms import GateForm


@command("init", examples=("hf-gate init", "hf-gate init datasets/acme/eeg acme/med-7b --workspace workspaces/acme"))
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
def init(run: Run, *, repos: tuple[str, ...], repo_type: str | None) -> int:
    """Create a workspace in this folder (or --workspace DIR): hf-gate.yaml, a starter policy in shadow mode, and a store.

    Reads all requests of the named repos, or of all gated repos of the token's account and its organisations. Nothing
    is changed on the Hub, and nothing would be: the plan right after it is empty.
    """
    folder = Path(run.flag_text("workspace") or ".").expanduser().absolute()
    _check(folder)
    found = [parse_repo(text, repo_type) for text in repos] or _own_repos(run)
    if not found:
        raise UsageError(
            "this account and its organisations have no gated repo.",
            hint="Name a REPO, or gate one: `hf repos settings REPO --gated manual`.",
        )
    reviewed, left_out = _reviewable(run, found, is_named=bool(repos))
    rights = _said_rights(run, reviewed)
    _write(folder, reviewed, [form for repo in reviewed if (form := _form(run, repo)) is not None])
    run.move_to(folder)
    reading = SyncCommand(run, open_workspace(run, writes=True), full=True)
    for repo in reviewed:
        reading.sync_repo(repo)
    differing = [line for repo in reviewed for line in _against_report(run, reading, repo)]
    doc = {
        **reading.document(),
        "desk": str(folder),
        "left_out": [str(repo) for repo in left_out],
        "differing": differing,
        "may_decide": {str(repo): rights.can_decide(repo) for repo in reviewed},
    }
    run.out.document(doc, lambda: _lines(folder, reading, left_out, differing, reviewed), quiet=[str(folder)])
    return reading.exit_code(len(reviewed)) or (5 if differing else 0)


def _check(folder: Path) -> None:
    """Refuses to write over anything."""
    from ..application.workspace import CONFIG_FILE  # noqa: PLC0415 - help needs none of it

    for name in ("policies", ".gitignore"):
        if (folder / name).is_symlink():
            raise UsageError(
                f"{folder / name} is a symbolic link, and init writes through none; nothing was written.",
                hint="Put a folder or a file in its place, or make another workspace: `hf-gate init --workspace DIR`.",
            )
    for name in (CONFIG_FILE, "policies/starter.yaml", "desk.db"):
        if os.path.lexists(folder / name):
            what = "is a workspace already" if name == CONFIG_FILE else f"has a {name} already"
            raise UsageError(
                f"{folder} {what}; nothing was written.",
                hint="Use it (`hf-gate status`), add repos in hf-gate.yaml, or make another: `hf-gate init --workspace DIR`.",
            )


def _own_repos(run: Run) -> list[Repo]:
    return list(dict.fromkeys(gate.repo for owner in owners_of(run) for gate in run.hub.gated_repos(owner)))


def _reviewable(run: Run, repos: Sequence[Repo], *, is_named: bool) -> tuple[list[Repo], list[Repo]]:
    """Those whose requests this token may read, asked before anything is written; a named one must be."""
    may: list[Repo] = []
    not_: list[Repo] = []
    for repo in repos:
        try:
            run.hub.head(repo, Status.PENDING)
        except NotAllowed:
            if is_named:
                raise
            not_.append(repo)
        else:
            may.append(repo)
    if not may:
        raise NotAllowed(f"this token may not read the requests of {', '.join(map(str, not_))}.")
    return may, not_


def _said_rights(run: Run, repos: Sequence[Repo]) -> TokenRights:
    """Says before anything is read what the token may do; warns if it cannot decide, or reaches more than is named."""
    from .token_rights import read_rights, rights_warnings, summarize_rights  # noqa: PLC0415 - as above

    rights = read_rights(run)
    if said := summarize_rights(rights, repos):
        run.out.say(said)
    for line in rights_warnings(rights, repos, set(repos).__contains__):
        run.out.warn(line)
    return rights


def _form(run: Run, repo: Repo) -> GateForm | None:
    try:
        return run.hub.gate_form(repo)
    except HfGateError:
        return None  # the starter policy then asks for nothing that a form would have to have


def _write(folder: Path, repos: Sequence[Repo], forms: Sequence[GateForm]) -> None:
    from .. import bootstrap  # noqa: PLC0415 - as above
    from ..application import starter_workspace  # noqa: PLC0415 - as above
    from ..application.workspace import CONFIG_FILE  # noqa: PLC0415 - as above

    write_private_file(
        folder / "policies" / "starter.yaml", starter_workspace.format_starter_policy(repos, forms).encode()
    )
    ignore = folder / ".gitignore"
    before = ignore.read_text("utf-8", "surrogateescape") if ignore.exists() else ""
    write_private_file(ignore, starter_workspace.merge_gitignore(before).encode("utf-8", "surrogateescape"))
    write_private_file(
        folder / CONFIG_FILE, starter_workspace.format_config(repos, bootstrap.name_of_local_zone()).encode()
    )


def _against_report(run: Run, reading: SyncCommand, repo: Repo) -> list[str]:
    """The Hub's own report, held against what the lists brought."""
    from ..application.starter_workspace import describe_count_differences  # noqa: PLC0415 - as above
    from ..application.sync import count_by_report  # noqa: PLC0415 - as above

    synced = next((one for one, _ in reading.done if one.repo == repo), None)
    if synced is None:
        return []
    return [
        f"{repo}: {line}" for line in describe_count_differences(count_by_report(run.hub, repo), dict(synced.counts))
    ]


def _lines(
    folder: Path, reading: SyncCommand, left_out: Sequence[Repo], differing: Sequence[str], repos: Sequence[Repo]
) -> Iterator[str]:
    yield from reading.lines()
    for line in differing:
        yield f"  in doubt: {line}"
    if left_out:
        yield f"Left out, since this token may not read their requests: {', '.join(map(str, left_out))}."
    yield f"Wrote hf-gate.yaml, policies/starter.yaml and .gitignore in {folder} for {count_of(len(repos), 'repo')}."
    yield "Nothing was changed on the Hub. Next steps:"
    yield from _next_steps(folder, reading, repos)


def _next_steps(folder: Path, reading: SyncCommand, repos: Sequence[Repo]) -> Iterator[str]:
    """The commands to try next, in columns; they name the workspace where it is not in the working directory."""
    from ..application.starter_workspace import suggest_next_steps  # noqa: PLC0415 - as above

    pending = dict.fromkeys(repos, 0) | {done.repo: done.counts.get(Status.PENDING, 0) for done, _ in reading.done}
    steps = suggest_next_steps(pending, _longest_waiting(reading, pending) or "USER@REPO")
    option = "" if folder == Path.cwd() else f"--workspace {shlex.quote(str(folder))} "
    width = max(len(words) for words, _ in steps)
    for words, purpose in steps:
        yield f"  hf-gate {option}{words:{width}}   {purpose}"


def _longest_waiting(reading: SyncCommand, pending: Mapping[Repo, int]) -> str | None:
    """USER@REPO of the request that has waited longest in the repo with the most of them."""
    repo = max(pending, key=lambda each: pending[each])
    row = next(iter(reading.workspace.store.iterate_requests(repo, Status.PENDING)), None)
    name = row.request.username if row is not None and row.request is not None else None
    return f"{name}@{repo}" if name else None
