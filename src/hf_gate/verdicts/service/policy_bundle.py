"""Loads the policies and tables of a workspace into an immutable bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.core.events.events import canonical_json
from hf_gate.core.forms.forms import GateForm, form_from_json
from hf_gate.core.policy_model import Policy, PolicyProblem
from hf_gate.core.stored_rows import RepoRow
from hf_gate.errors import HfGateError, UsageError
from hf_gate.policies.checks.policy_checker import check_policy, check_unique_names
from hf_gate.policies.drivers.workspace_folder import (
    WorkspaceFolder,
    collect_table_specs,
    format_problem,
    read_all_tables,
    read_folder,
)
from hf_gate.policies.evaluation.evaluator import CompiledPolicy
from hf_gate.policies.facts.tables import Table
from hf_gate.policies.parsing.policy_parser import ParsedPolicy, find_foreign_urls
from hf_gate.settings.service.workspace import Workspace
from hf_gate.settings.workspace_config import WorkspaceConfig
from hf_gate.store.store import Store
from hf_gate.verdicts.rows.table_rows import read_table_rows

from .evaluation import RepoPolicies, SourcesPort, compile_policies, fill_templates, policies_of_repo
from .table_store import read_row_counts

T = TypeVar("T")
FileState: TypeAlias = tuple[Path, tuple[int, ...]]
"""A file, and the times of its last changes (ns) and its size; no numbers if it cannot be read."""


class PolicyBundle(Struct, frozen=True):
    """Compiled policies with their tables. The bundle is immutable; changed files are loaded into a new one.

    `table_files` are the files of tables as they were before they were read.
    """

    folder: WorkspaceFolder
    policies: tuple[Policy, ...]
    compiled: Mapping[str, CompiledPolicy]
    tables: Mapping[str, Table]
    digest: str
    table_files: tuple[FileState, ...]

    @property
    def config(self) -> WorkspaceConfig:
        """The hf-gate.yaml that was read with the policies."""
        return self.folder.config

    @property
    def files_digest(self) -> str:
        """The digest of the policies, and of the versions of the tables that are files."""
        stored = {spec.name for spec in collect_table_specs(self.folder, self.policies).values() if spec.is_stored}
        tables = sorted((name, table.digest) for name, table in self.tables.items() if name not in stored)
        return hashlib.sha256(canonical_json([self.digest, *tables])).hexdigest()

    @property
    def zone(self) -> tzinfo:
        """The time zone in which days end."""
        return self.folder.zone

    def for_repo(self, row: RepoRow, sources: SourcesPort) -> RepoPolicies | None:
        """Return the policies of a repo; None if no policy applies to it."""
        return policies_of_repo(
            row,
            self.compiled,
            self.tables,
            sources,
            zone=self.zone,
        )

    def for_repos(self, store: Store, sources: SourcesPort) -> list[RepoPolicies]:
        """Return the policies of each workspace repo to which a policy applies, sorted by repo."""
        rows = sorted((row for row in store.repos() if self.is_governed(row.repo)), key=lambda row: row.repo)
        return [policy_set for row in rows if (policy_set := self.for_repo(row, sources)) is not None]

    def is_governed(self, repo: Repo) -> bool:
        """Tell whether a repo belongs to the workspace."""
        return self.config.includes(repo)


def load_policies(workspace: Workspace) -> PolicyBundle:
    """Read policies and tables. Raises UsageError with the first error in a policy file."""
    location = workspace.location
    store = workspace.store
    if location.folder is None:
        raise UsageError("there is no workspace here.", hint="Make one with hf-gate init, or give --workspace DIR.")
    folder = read_folder(location.folder)
    cards = tuple((str(row.repo), row.form_card) for row in store.repos() if row.form_card)
    files = tuple((name, _Identity(parsed)) for name, parsed in folder.files.items())
    for name, parsed in folder.files.items():
        if foreign := find_foreign_urls(parsed.repo_urls, name, store.endpoint):
            raise UsageError(format_problem(foreign[0]))
    policies = _check_policies(_Identity(folder.config), files, cards)
    specs = collect_table_specs(folder, policies).values()
    table_files = read_file_states(folder.path / spec.file for spec in specs if spec.file)
    tables = load_tables(folder, policies, store, workspace.now())
    digest = policies_digest(policies)
    compiled = _compile_policies(_Identity(policies), frozenset(tables))
    return PolicyBundle(folder, policies, compiled, tables, digest, table_files)


def read_file_states(files: Iterable[Path]) -> tuple[FileState, ...]:
    """Return the state of files, to detect changes."""
    return tuple((file, _read_file_state(file)) for file in files)


def _read_file_state(file: Path) -> tuple[int, ...]:
    try:
        info = file.stat()
    except OSError:
        return ()
    return (info.st_mtime_ns, info.st_ctime_ns, info.st_size)


class _Identity(Generic[T]):
    """A value as the key of a cache: it equals only itself. The cache keeps it, so no other value gets its id."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value: Final = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value


@lru_cache(maxsize=4)
def _check_policies(
    config: _Identity[WorkspaceConfig],
    files: tuple[tuple[str, _Identity[ParsedPolicy]], ...],
    cards: tuple[tuple[str, str], ...],
) -> tuple[Policy, ...]:
    """Check policies with the gate forms of the repos, and fill in the templates.

    Decisions check them again and again.
    """
    folder = WorkspaceFolder(Path(), config.value, UTC, {name: parsed.value for name, parsed in files})
    policies, problems = _check_folder(folder, {repo: form_from_json(card) for repo, card in cards})
    if wrong := [format_problem(problem) for problem in problems if problem.is_error]:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UsageError(f"{wrong[0]}{more}", hint="`hf-gate policy check` shows every error with its line.")
    return tuple(fill_templates(policy, config.value.templates) for policy in policies)


def _check_folder(
    folder: WorkspaceFolder, forms: Mapping[str, GateForm]
) -> tuple[tuple[Policy, ...], tuple[PolicyProblem, ...]]:
    """Check all policies; return those without errors, and all problems. `forms` are keyed by repo path.

    Past dates are no errors here: a policy keeps working when its date has come, and people decide.
    """
    each = [check_policy(parsed, config=folder.config, forms=forms) for parsed in folder.files.values()]
    problems = (*(problem for one in each for problem in one.problems), *check_unique_names(each))
    return tuple(one.policy for one in each if one.policy is not None), problems


@lru_cache(maxsize=4)
def _compile_policies(policies: _Identity[tuple[Policy, ...]], tables: frozenset[str]) -> Mapping[str, CompiledPolicy]:
    return compile_policies(policies.value, sorted(tables))


def load_tables(folder: WorkspaceFolder, policies: Iterable[Policy], store: Store, now: datetime) -> dict[str, Table]:
    """Read every table of the workspace."""
    all_policies = tuple(policies)
    return read_all_tables(
        folder,
        all_policies,
        now=now,
        previous=read_row_counts(store, collect_table_specs(folder, all_policies)),
        read_rows=lambda name: read_table_rows(store, name),
    )


def read_declared_tables(workspace: Workspace) -> dict[str, Table] | None:
    """Return the tables of a workspace, also if a policy has an error.

    Return None without a folder, or if its files cannot be read, because that is reported elsewhere.
    """
    if workspace.location.folder is None:
        return None
    try:
        folder = read_folder(workspace.location.folder)
        return load_tables(folder, folder.policies, workspace.store, workspace.now())
    except HfGateError:
        return None


def find_refused_tables(workspace: Workspace) -> list[Table]:
    """Return the tables whose files are refused; none if the files cannot be read."""
    return [table for _, table in sorted((read_declared_tables(workspace) or {}).items()) if table.refusal]


def read_current_policies(workspace: Workspace) -> list[Policy] | None:
    """Return the policies as the files are now, without checking their expressions; None if one cannot be read."""
    if workspace.location.folder is None:
        return None
    try:
        folder = read_folder(workspace.location.folder)
    except HfGateError:
        return None
    parsed = [file.policy for file in folder.files.values()]
    current = [fill_templates(each, folder.config.templates) for each in parsed if each is not None]
    return current if len(current) == len(parsed) else None


def policies_digest(policies: Iterable[Policy]) -> str:
    """Return the digest of all policies together. A plan becomes invalid when this digest changes."""
    return hashlib.sha256(canonical_json(sorted((policy.name, policy.digest) for policy in policies))).hexdigest()
