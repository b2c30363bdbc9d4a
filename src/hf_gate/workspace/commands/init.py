"""init: creates a workspace for the gated repos of an account, with a starter policy that changes nothing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.private_files import write_private_file
from hf_gate.cli.framework import CommandContext, command, repo_type_option
from hf_gate.cli.workspace import open_workspace
from hf_gate.core.lifecycle import Status
from hf_gate.errors import NotAllowed, UsageError
from hf_gate.hub.commands.token_rights import owners_of, read_rights, rights_warnings, summarize_rights
from hf_gate.requests.commands.repos import read_gate_form
from hf_gate.requests.commands.sync import SyncCommand

if TYPE_CHECKING:
    from hf_gate.core.forms.forms import GateForm
    from hf_gate.core.people.accounts import TokenRights


@command("init", examples=("hf-gate init", "hf-gate init datasets/acme/eeg acme/med-7b --workspace workspaces/acme"))
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
def init(context: CommandContext, *, repos: tuple[str, ...], repo_type: str | None) -> int:
    """Create a workspace in this folder (or --workspace DIR): hf-gate.yaml, a starter policy in shadow mode, and a
    store.

    Reads all requests of the named repos; by default, of all gated repos of the token's account and its organisations.
    Changes nothing on the Hub. The first plan is empty, because the policy is in shadow mode.
    """
    folder = Path(context.flag_text("workspace") or ".").expanduser().absolute()
    _check_folder(folder)
    found = [context.parse_repo(text, repo_type) for text in repos] or _own_repos(context)
    if not found:
        raise UsageError(
            "this account and its organisations have no gated repo.",
            hint="Name a REPO, or gate one: hf repos settings REPO --gated manual",
        )
    reviewed, skipped = _split_reviewable(context, found, is_named=bool(repos))
    rights = _report_rights(context, reviewed)
    _write_files(folder, reviewed, [form for repo in reviewed if (form := read_gate_form(context, repo)) is not None])
    context.move_to(folder)
    sync = SyncCommand(context, open_workspace(context, writes=True), full=True)
    for repo in reviewed:
        sync.sync_repo(repo)
    differing = [line for repo in reviewed for line in _compare_with_report(context, sync, repo)]
    doc = {
        **sync.document(),
        "desk": str(folder),
        "left_out": [str(repo) for repo in skipped],
        "differing": differing,
        "may_decide": {str(repo): rights.can_decide(repo) for repo in reviewed},
    }
    context.out.document(doc, lambda: _lines(folder, sync, skipped, differing, reviewed), quiet=[str(folder)])
    return sync.exit_code(len(reviewed)) or (5 if differing else 0)


def _check_folder(folder: Path) -> None:
    """Raise UsageError if init would overwrite a file or write through a symbolic link."""
    from hf_gate.settings.service.workspace import CONFIG_FILE

    for name in ("policies", ".gitignore"):
        if (folder / name).is_symlink():
            raise UsageError(
                f"{folder / name} is a symbolic link; nothing was written.",
                hint="Replace the link with a folder or a file, or use another folder: hf-gate init --workspace DIR",
            )
    if os.path.lexists(folder / ".gitignore") and not (folder / ".gitignore").is_file():
        raise UsageError(
            f"{folder / '.gitignore'} is not a regular file; nothing was written.", hint="Remove it, or rename it."
        )
    for name in (CONFIG_FILE, "policies/starter.yaml", "desk.db"):
        if os.path.lexists(folder / name):
            what = "is already a workspace" if name == CONFIG_FILE else f"already has a {name}"
            raise UsageError(
                f"{folder} {what}; nothing was written.",
                hint=(
                    "Use this workspace (`hf-gate status`), add repos in hf-gate.yaml, or use another folder: "
                    "hf-gate init --workspace DIR"
                ),
            )


def _own_repos(context: CommandContext) -> list[Repo]:
    return list(dict.fromkeys(gate.repo for owner in owners_of(context) for gate in context.hub.gated_repos(owner)))


def _split_reviewable(
    context: CommandContext, repos: Sequence[Repo], *, is_named: bool
) -> tuple[list[Repo], list[Repo]]:
    """Split repos by whether this token can read their requests.

    Raises NotAllowed if a named repo is not readable, or if none is left.
    """
    may: list[Repo] = []
    denied: list[Repo] = []
    for repo in repos:
        try:
            context.hub.head(repo, Status.PENDING)
        except NotAllowed:
            if is_named:
                raise
            denied.append(repo)
        else:
            may.append(repo)
    if not may:
        raise NotAllowed(f"this token cannot read the requests of {', '.join(map(str, denied))}.")
    return may, denied


def _report_rights(context: CommandContext, repos: Sequence[Repo]) -> TokenRights:
    """Report the token's rights before the first sync.

    Warns if the token cannot decide, or also reaches other repos.
    """
    rights = read_rights(context)
    if summary := summarize_rights(rights, repos):
        context.out.say(summary)
    for line in rights_warnings(rights, repos, set(repos).__contains__):
        context.out.warn(line)
    return rights


def _write_files(folder: Path, repos: Sequence[Repo], forms: Sequence[GateForm]) -> None:
    from hf_gate.settings.service.workspace import CONFIG_FILE
    from hf_gate.workspace.service import bootstrap, starter_workspace

    write_private_file(
        folder / "policies" / "starter.yaml", starter_workspace.format_starter_policy(repos, forms).encode()
    )
    ignore = folder / ".gitignore"
    before = ignore.read_text("utf-8", "surrogateescape") if ignore.exists() else ""
    write_private_file(ignore, starter_workspace.merge_gitignore(before).encode("utf-8", "surrogateescape"))
    write_private_file(
        folder / CONFIG_FILE, starter_workspace.format_config(repos, bootstrap.name_of_local_zone()).encode()
    )


def _compare_with_report(context: CommandContext, sync: SyncCommand, repo: Repo) -> list[str]:
    """Compare the Hub's own report with the lists that were read; return the differences."""
    from hf_gate.requests.service.sync import count_by_report
    from hf_gate.requests.sync_schedule import list_differences

    synced = next((one for one, _ in sync.done if one.repo == repo), None)
    if synced is None:
        return []
    return [
        f"{repo}: the report counts {theirs:,} {name}, the lists contained {ours:,}"
        for name, theirs, ours in list_differences(synced.counts, count_by_report(context.hub, repo))
    ]


def _lines(
    folder: Path, sync: SyncCommand, skipped: Sequence[Repo], differing: Sequence[str], repos: Sequence[Repo]
) -> Iterator[str]:
    yield from sync.lines()
    for line in differing:
        yield f"  in doubt: {line}"
    if skipped:
        yield f"Skipped, because this token cannot read their requests: {', '.join(map(str, skipped))}."
    yield f"Wrote hf-gate.yaml, policies/starter.yaml and .gitignore in {folder} for {pluralize(len(repos), 'repo')}."
    yield "Nothing was changed on the Hub. Next steps:"
    yield from _next_steps(folder, sync, repos)


def _next_steps(folder: Path, sync: SyncCommand, repos: Sequence[Repo]) -> Iterator[str]:
    """Return the commands to try next, in columns, with --workspace unless it is the working directory."""
    from hf_gate.workspace.service.starter_workspace import suggest_next_steps

    pending = dict.fromkeys(repos, 0) | {done.repo: done.counts.get(Status.PENDING, 0) for done, _ in sync.done}
    steps = suggest_next_steps(pending, _longest_waiting(sync, pending) or "USER@REPO")
    option = "" if folder == Path.cwd() else f"--workspace {shlex.quote(str(folder))} "
    width = max(len(words) for words, _ in steps)
    for words, purpose in steps:
        yield f"  hf-gate {option}{words:{width}}   {purpose}"


def _longest_waiting(sync: SyncCommand, pending: Mapping[Repo, int]) -> str | None:
    """Return USER@REPO of the oldest pending request in the repo with the most pending requests."""
    repo = max(pending, key=lambda each: pending[each])
    row = next(iter(sync.workspace.store.iterate_requests(repo, Status.PENDING)), None)
    name = row.request.username if row is not None and row.request is not None else None
    return f"{name}@{repo}" if name else None
