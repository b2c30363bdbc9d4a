"""Reads the files of a workspace: hf-gate.yaml, its policies and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.base.private_files import open_regular_file
from hf_gate.base.time_zones import TimeZones
from hf_gate.core.policy_model import Policy, PolicyProblem, TableSpec
from hf_gate.errors import UsageError
from hf_gate.policies.facts.tables import Table
from hf_gate.policies.parsing.config_parser import parse_config
from hf_gate.policies.parsing.policy_parser import ParsedPolicy, parse_policy
from hf_gate.settings.workspace_config import WorkspaceConfig

from .table_files import StoredRows, inline_table, is_own_file, load_table, make_stored_table

CONFIG_NAME: Final = "hf-gate.yaml"
MAX_BYTES: Final = 4 << 20


class WorkspaceFolder(Struct, frozen=True):
    """The parsed files of a workspace. `files` are the policies by path within the folder."""

    path: Path
    config: WorkspaceConfig
    zone: tzinfo
    files: Mapping[str, ParsedPolicy] = field(default_factory=dict)

    @property
    def policies(self) -> list[Policy]:
        """The policies that could be parsed."""
        return [parsed.policy for parsed in self.files.values() if parsed.policy is not None]


_parse_policy: Final = lru_cache(maxsize=32)(parse_policy)


def read_folder(path: Path) -> WorkspaceFolder:
    """Read hf-gate.yaml and the policies. Texts that did not change are not parsed again.

    Raises UsageError for an invalid hf-gate.yaml; `load_policies` reports policy problems.
    """
    parsed = parse_config(read_text(path / CONFIG_NAME), CONFIG_NAME, list_zones=TimeZones)
    if parsed.config is None:
        raise UsageError("\n".join(format_problem(problem) for problem in parsed.problems if problem.is_error))
    desk = parsed.config
    files: dict[str, ParsedPolicy] = {}
    for glob in desk.policies:
        for file in sorted(path.glob(glob)):
            name = file.relative_to(path).as_posix() if file.is_relative_to(path) else str(file)
            if name not in files and file.is_file():
                files[name] = _parse_policy(read_text(file), name)
    return WorkspaceFolder(path, desk, ZoneInfo(desk.timezone), files)


def format_problem(problem: PolicyProblem) -> str:
    """Format a problem as one line: position, message and hint."""
    hint = f" {problem.hint}" if problem.hint else ""
    return f"{problem.source}:{problem.position.line}:{problem.position.column}: {problem.message}{hint}"


def read_all_tables(
    folder: WorkspaceFolder,
    policies: Iterable[Policy],
    *,
    now: datetime,
    previous: Mapping[str, int],
    read_rows: Callable[[str], StoredRows] = lambda _: {},
) -> dict[str, Table]:
    """Read all tables of the workspace and of the policies by name.

    `previous` is the number of rows at the last read. `read_rows` returns the rows of a table in the store.
    """
    specs = collect_table_specs(folder, policies)
    return {
        name: make_stored_table(spec, read_rows(name), folder.zone, now)
        if spec.is_stored
        else _load(folder, spec, now, previous.get(name))
        for name, spec in specs.items()
    }


def collect_table_specs(folder: WorkspaceFolder, policies: Iterable[Policy]) -> dict[str, TableSpec]:
    """Return the tables of the workspace and of the policies by name. Raises UsageError if one is defined twice."""
    specs: dict[str, TableSpec] = {}
    for spec in (*folder.config.tables, *(spec for policy in policies for spec in policy.tables)):
        known = specs.setdefault(spec.name, spec)
        if replace(known, position=spec.position) != spec:
            raise UsageError(
                f"table {spec.name} is defined twice with different contents.",
                hint="Rename one of the two.",
            )
    return specs


def _load(folder: WorkspaceFolder, spec: TableSpec, now: datetime, previous: int | None) -> Table:
    if spec.file is None:
        return inline_table(spec.name, spec.rows, now)
    return load_table(folder.path / spec.file, spec.name, spec.key, zone=folder.zone, previous_rows=previous, now=now)


def read_text(path: Path, *, follows_links: bool = False) -> str:
    """Read a file of a workspace.

    Raises UsageError if it cannot be read, is too large or, unless it may be, is a link.
    """
    try:
        if not (follows_links or is_own_file(path)):
            raise UsageError(
                f"{path.name} is not a regular file, or links to a file of another type.",
                hint="Replace it with the file itself.",
            )
        with open_regular_file(path) as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}.") from None
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{path.name} is larger than {MAX_BYTES >> 20} MiB.")
    return raw.decode("utf-8-sig", "replace")
