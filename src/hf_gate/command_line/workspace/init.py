"""init: creates a workspace for the gated repos of an account, with a starter policy that changes nothing, or with an
example policy, its table and a first plan.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import click
from msgspec import Struct

from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.private_files import write_private_file
from hf_gate.command_line.decisions.plan import describe_saved, make_plan_file, plan_lines
from hf_gate.command_line.framework import CommandContext, command, repo_type_option
from hf_gate.command_line.grants.ends import give_ends
from hf_gate.command_line.grants.tables import match_lines, read_named_list
from hf_gate.command_line.hub.token_rights import list_own_repos, read_rights, rights_warnings, summarize_rights
from hf_gate.command_line.output import StyledLine
from hf_gate.command_line.policies.policy import describe_missing_table
from hf_gate.command_line.requests.repos import read_gate_form
from hf_gate.command_line.requests.sync import SyncCommand
from hf_gate.command_line.workspace_opening import find_actor, open_workspace
from hf_gate.core.forms.roles import Role
from hf_gate.core.lifecycle import Status
from hf_gate.core.records import extend_record
from hf_gate.decisions.typed_input import parse_end
from hf_gate.errors import NotAllowed, UsageError
from hf_gate.grants.people_files import PeopleFile
from hf_gate.grants.service.ends.end_adoption import describe_kept_access
from hf_gate.grants.service.tables.own_tables import find_own_table, save_table_draft
from hf_gate.grants.service.tables.table_imports import check_list, prepare_import
from hf_gate.settings.setting_keys import INIT_ACCOUNT
from hf_gate.verdicts.service.example_policies import EXAMPLES, fit_example, list_policy_tables
from hf_gate.verdicts.service.policy_bundle import load_policies
from hf_gate.workspace.records import InitRecord

if TYPE_CHECKING:
    from hf_gate.core.forms.forms import GateForm
    from hf_gate.core.people.accounts import Account, TokenRights
    from hf_gate.settings.service.workspace import Workspace


PLAN_FILE: Final = "plan.json"
_SOME_REPO: Final = ("you/your-repo",)  # an example is only valid with a repo
_MAX_NAMED: Final = 5  # the most rows and people named in the report on a roster


class _Roster(Struct, frozen=True):
    """The rows of the table of an example policy."""

    table: str
    key: tuple[str, ...]
    people: PeopleFile


class _FirstPlan(Struct, frozen=True):
    """The first plan of an example policy, and how the rows of its table match the requests."""

    path: Path
    rows: int | None
    lines: Sequence[str | StyledLine]
    missing: Sequence[str]  # tables of the policy without a file
    has_changes: bool


@command(
    "init",
    examples=(
        "hf-gate init",
        "hf-gate init datasets/acme/eeg acme/med-7b --workspace workspaces/acme",
        "hf-gate init datasets/acme/corpus --like class --roster roster.csv --until 2027-06-30",
    ),
)
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
@click.option("--like", type=click.Choice(EXAMPLES), help="Start with this example policy, enforced, and a first plan.")
@click.option("--roster", metavar="FILE", help="With --like: the people of the example's table (CSV, .xlsx).")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="COLUMN=NAME",
    help="With --roster: a column of the table and its name in FILE.",
)
@click.option("--until", metavar="END", help="With --like: when access ends, such as 2027-06-30 or 1y.")
@click.option(
    "--include-accepted", is_flag=True, help="With --like: also give people who have access the end of the rules."
)
def init(
    context: CommandContext,
    *,
    repos: tuple[str, ...],
    repo_type: str | None,
    like: str | None,
    roster: str | None,
    columns: tuple[str, ...],
    until: str | None,
    include_accepted: bool,
) -> int:
    """Create a workspace in this folder (or --workspace DIR): hf-gate.yaml, a policy, and a store.

    Reads all requests of the named repos; by default, of all gated repos of the token's account and its organisations.
    Changes nothing on the Hub. The starter policy is in shadow mode, so the first plan is empty.

    With --like, the policy is an example that decides, and init saves the first plan for `apply`. --like class accepts
    the people on --roster until --until.
    """
    folder = Path(context.settings.workspace or ".").expanduser().absolute()
    _check_folder(context, folder, like)
    _check_example(context, like, until, has_options=bool(roster or columns or include_accepted))
    people = None if like is None or roster is None else _read_roster(like, roster, columns)
    found = [context.parse_repo(text, repo_type) for text in repos] or list_own_repos(context)
    if not found:
        raise UsageError(
            "this account and its organisations have no gated repo.",
            hint="Name a REPO, or gate one: hf repos settings REPO --gated manual",
        )
    reviewed, skipped = _split_reviewable(context, found, is_named=bool(repos))
    rights = _report_rights(context, reviewed)
    forms = [read_gate_form(context, repo) for repo in reviewed]
    _write_files(folder, reviewed, like, _policy_text(reviewed, forms, like, people, until))
    context.move_to(folder)
    workspace = open_workspace(context, writes=True)
    _store_creator(workspace, context.account)
    sync = SyncCommand(context, workspace, full=True)
    for repo in reviewed:
        sync.sync_repo(repo)
    differing = [line for repo in reviewed for line in _compare_with_report(context, sync, repo)]
    first = (
        None
        if like is None
        else _make_first_plan(context, sync.workspace, folder, people, ends_accepted=include_accepted)
    )
    record = extend_record(
        sync.record(),
        InitRecord,
        desk=str(folder),
        policy=_policy_file(like),
        rows=None if first is None else first.rows,
        plan=None if first is None else str(first.path),
        left_out=[str(repo) for repo in skipped],
        differing=differing,
        may_decide={str(repo): rights.can_decide(repo) for repo in reviewed},
    )
    context.out.document(
        record, lambda: _lines(folder, sync, skipped, differing, reviewed, like, first), quiet=[str(folder)]
    )
    return sync.exit_code(len(reviewed)) or (5 if differing else 0)


def _policy_file(like: str | None) -> str:
    return f"policies/{like or 'starter'}.yaml"


def _check_folder(context: CommandContext, folder: Path, like: str | None) -> None:
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
    for name in (CONFIG_FILE, _policy_file(like), "desk.db", *(() if like is None else (PLAN_FILE, "tables"))):
        if os.path.lexists(folder / name):
            what = "is already a workspace" if name == CONFIG_FILE else f"already has a {name}"
            use = f"Use this workspace ({context.command_line('status')}), add repos in hf-gate.yaml"
            if like is not None and os.path.lexists(folder / _policy_file(like)):
                steps = ("sync", "--full"), ("table", "import", "TABLE", "FILE"), ("plan",)
                use = f"Use this workspace: {', '.join(context.command_line(*words) for words in steps)}"
            raise UsageError(
                f"{folder} {what}; nothing was written.",
                hint=f"{use}, or use another folder: hf-gate init --workspace DIR",
            )


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


def _check_example(context: CommandContext, like: str | None, until: str | None, *, has_options: bool) -> None:
    """Raise UsageError for options that the example does not have, before anything is written."""
    if like is None:
        if has_options or until:
            raise UsageError(
                "--roster, --column, --until and --include-accepted need --like.", hint="For a course: --like class"
            )
        return
    if until is not None:
        from hf_gate.workspace.service.bootstrap import name_of_local_zone

        parse_end(until, context.now(), ZoneInfo(name_of_local_zone()), has_workspace=True)
        fit_example(like, like, _SOME_REPO, set(Role), until=until)


def _read_roster(like: str, file: str, columns: tuple[str, ...]) -> _Roster:
    """Read the people of the example's table. Raises UsageError with the place of a mistake."""
    tables = [table for table in list_policy_tables(fit_example(like, like, _SOME_REPO, set(Role))) if table.file]
    if not tables:
        raise UsageError(f"the example {like} has no table for --roster.", hint="Leave it out, or use --like class.")
    people = read_named_list(file, columns, None)
    key = people.keys or tables[0].key
    check_list(people, tables[0].name, key, UTC)
    return _Roster(tables[0].name, key, people)


def _policy_text(
    repos: Sequence[Repo],
    forms: Sequence[GateForm | None],
    like: str | None,
    people: _Roster | None,
    until: str | None,
) -> str:
    """Return the text of the first policy: the starter policy, or an example that decides."""
    from hf_gate.workspace.service import starter_workspace

    known = [form for form in forms if form is not None]
    if like is None:
        return starter_workspace.format_starter_policy(repos, known)
    roles = [{question.role for question in form.fields} for form in known]
    asked = set[Role]().union(*roles).intersection(*roles)
    key = () if people is None else people.key
    return fit_example(like, like, map(str, repos), asked, until=until, key=key, is_enforced=True)


def _store_creator(workspace: Workspace, account: Account | None) -> None:
    """Store whose desk this is. A workspace that joins a store later does not change that."""
    if account is not None and account.id is not None and workspace.store.setting(INIT_ACCOUNT) is None:
        with workspace.store.writing() as write:
            write.write_setting(INIT_ACCOUNT, account.id)


def _write_files(folder: Path, repos: Sequence[Repo], like: str | None, policy: str) -> None:
    from hf_gate.settings.service.workspace import CONFIG_FILE
    from hf_gate.workspace.service import bootstrap, starter_workspace

    write_private_file(folder / _policy_file(like), policy.encode())
    ignore = folder / ".gitignore"
    before = ignore.read_text("utf-8", "surrogateescape") if ignore.exists() else ""
    write_private_file(ignore, starter_workspace.merge_gitignore(before).encode("utf-8", "surrogateescape"))
    write_private_file(
        folder / CONFIG_FILE, starter_workspace.format_config(repos, bootstrap.name_of_local_zone()).encode()
    )


def _make_first_plan(
    context: CommandContext, workspace: Workspace, folder: Path, people: _Roster | None, *, ends_accepted: bool
) -> _FirstPlan:
    """Import the roster into the table of the example, and save the first plan."""
    lines: list[str | StyledLine] = []
    rows = None
    likely: set[str | None] = set()
    if people is not None:
        own = find_own_table(workspace, people.table)
        found = prepare_import(workspace, own, people.people, replaces=False)
        save_table_draft(workspace, found.draft, find_actor(context))
        rows = len(found.draft.after.rows)
        lines += [f"Wrote {own.spec.file} with {pluralize(rows, 'row')}.", *match_lines(found, _MAX_NAMED)]
        likely = {each.person.identity.user_id for each in found.likely} - {None}
    bundle = load_policies(workspace)
    files = [spec.file for policy in bundle.policies for spec in policy.tables if spec.file]
    missing = [file for file in files if not (folder / file).exists()]
    lines += map(describe_missing_table, missing)
    path = folder / PLAN_FILE
    made = make_plan_file(context, workspace, bundle, path)
    if ends_accepted:  # the plan has found the accounts of the usernames in the table
        lines.append(give_ends(context, workspace, bundle))
    sent_back = {change.user_id for change in made.changes if change.after == Status.RESET} & likely
    if sent_back:
        lines += [f"  {len(sent_back):,} of the likely people would be sent back by this plan; correct the file first."]
    lines += [*plan_lines(workspace, bundle, made), describe_saved(workspace, made, Path(os.path.relpath(path)))]
    return _FirstPlan(path, rows, lines, [Path(file).stem for file in missing], bool(made.changes))


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
    folder: Path,
    sync: SyncCommand,
    skipped: Sequence[Repo],
    differing: Sequence[str],
    repos: Sequence[Repo],
    like: str | None,
    first: _FirstPlan | None,
) -> Iterator[str | StyledLine]:
    yield from sync.lines()
    for line in differing:
        yield f"  in doubt: {line}"
    if skipped:
        yield f"Skipped, because this token cannot read their requests: {', '.join(map(str, skipped))}."
    yield f"Wrote hf-gate.yaml, {_policy_file(like)} and .gitignore in {folder} for {pluralize(len(repos), 'repo')}."
    if first is not None:
        yield from first.lines
    elif kept := describe_kept_access(sync.workspace, load_policies(sync.workspace)):
        yield kept
    yield "Nothing was changed on the Hub. Next steps:"
    yield from _next_steps(folder, sync, repos, first)


def _next_steps(folder: Path, sync: SyncCommand, repos: Sequence[Repo], first: _FirstPlan | None) -> Iterator[str]:
    """Return the commands to try next, in columns, with --workspace unless it is the working directory."""
    from hf_gate.workspace.service.starter_workspace import (
        suggest_next_steps,
        suggest_steps_of_plan,
        suggest_steps_of_tables,
    )

    pending = dict.fromkeys(repos, 0) | {done.repo: done.counts.get(Status.PENDING, 0) for done, _ in sync.done}
    if first is None:
        steps = suggest_next_steps(pending, _longest_waiting(sync, pending) or "USER@REPO")
    elif first.missing:
        steps = suggest_steps_of_tables(first.missing)
    else:
        steps = suggest_steps_of_plan(shlex.quote(os.path.relpath(first.path)) if first.has_changes else None)
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
