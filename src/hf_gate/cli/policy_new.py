"""policy new: creates a policy from a shipped example, with a new name and for the workspace's repos."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..errors import UsageError
from ..private_files import write_private_file
from .framework import Run, command
from .policy_files import print_errors, read_policies
from .policy_tables import relative_name

if TYPE_CHECKING:
    from ..policy.workspace_config import WorkspaceConfig

EXAMPLES: Final = ("consumer", "academic", "medical", "class", "deny")


@command("new", examples=("hf-gate policy new eeg --like academic", "hf-gate policy new course --like class --dry-run"))
@click.argument("name")
@click.option("--like", type=click.Choice(EXAMPLES), required=True, help="The example to copy.")
@click.option("--dry-run", is_flag=True, help="Print the policy; write nothing.")
def policy_new(run: Run, *, name: str, like: str, dry_run: bool) -> int:
    """Create a policy in the workspace from a shipped example, in shadow mode, for the workspace's repos.

    consumer accepts everybody who states a purpose, for an open model. academic accepts university e-mail addresses.
    medical needs a signed agreement, and class a roster. deny rejects the people on a list. Each example contains tests.
    """
    found = read_policies(run, needs_workspace=True)
    if found.folder is None or found.config is None:
        return print_errors(run, found)
    if not re.fullmatch(r"[a-z0-9-]{1,64}", name):
        raise UsageError(f"{name!r} is not a policy name.", hint="Use lower-case letters, digits and -.")
    if any(policy.name == name for _, _, policy in found.without_errors()):
        raise UsageError(f"there is already a policy {name}.", hint="Choose another name.")
    text = _example_text(like, name, found.config)
    if dry_run:
        sys.stdout.write(text)
        return 0
    path = _new_path(found.folder, found.config, name)
    if os.path.lexists(path):
        raise UsageError(f"{path} already exists; nothing was written.", hint="Choose another name.")
    write_private_file(path, text.encode())
    written = relative_name(found.folder, str(path.relative_to(found.folder)))
    missing = [file for file in _table_files(text) if not (found.folder / file).exists()]
    doc = {"schema_version": 1, "policy": name, "like": like, "file": written, "missing": missing}
    run.out.document(doc, lambda: _lines(written, missing), quiet=[written])
    return 0


def _lines(path: str, missing: list[str]) -> Iterator[str]:
    yield f"Wrote {path} in shadow mode: it changes nothing."
    for file in missing:
        yield f"The policy uses a table that does not exist yet: {file}. Create it as the top of the policy file describes."
    yield "Next: review the file, then hf-gate policy check"


def _table_files(text: str) -> list[str]:
    from ..policy.policy_parser import parse_policy

    policy = parse_policy(text).policy
    return [table.file for table in policy.tables if table.file] if policy else []


def _example_text(like: str, name: str, config: WorkspaceConfig) -> str:
    """Return the example with the new name and the repos of the workspace."""
    text = files("hf_gate").joinpath("examples", f"{like}.yaml").read_text("utf-8")
    repos = ", ".join(f'"{glob}"' if re.search(r"[*?]", glob[:1]) else glob for glob in config.repos)
    text = re.sub(r"(?m)^policy: .*$", f"policy: {name}", text, count=1)
    return re.sub(r"(?m)^applies_to: .*$", f"applies_to: [{repos}]", text, count=1)


def _new_path(folder: Path, config: WorkspaceConfig, name: str) -> Path:
    """Return the path of a new file that the workspace's `policies` globs match."""
    for glob in config.policies:
        base, _, last = glob.rpartition("/")
        if "*" not in base and last in ("*.yaml", "*.yml", "*"):
            return folder / base / f"{name}{'.yml' if last == '*.yml' else '.yaml'}"
    raise UsageError(
        f"the workspace reads only {', '.join(config.policies)}, which matches no new file.",
        hint="Use --dry-run to print the policy instead.",
    )
