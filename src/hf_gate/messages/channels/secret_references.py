"""Reads secrets that hf-gate.yaml only refers to: `env:NAME` or `file:PATH`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hf_gate.base.private_files import read_regular_file
from hf_gate.errors import UsageError

_MAX_BYTES = 10_000


def resolve_secret(reference: str, key: str, folder: Path) -> str:
    """Return the secret. `key` is the key of hf-gate.yaml, for messages; `folder` is where relative paths begin.

    Raises UsageError if there is none, or if others can read the file. Messages never contain the secret.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        text = os.environ.get(name, "").strip()
        if not text:
            raise UsageError(
                f"{key}: the environment variable {name} is not set.", hint=f"Set {name} for this process."
            )
        return text
    path = folder / Path(name).expanduser()
    try:
        is_open = hasattr(os, "geteuid") and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
        text = read_regular_file(path)[:_MAX_BYTES].decode("utf-8-sig").strip()
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is not text"
        raise UsageError(f"{key}: {path} cannot be read: {why}.", hint="Write the value into that file.") from None
    if is_open:
        raise UsageError(f"{key}: others can read {path}.", hint=f"chmod 600 {path}")
    if not text:
        raise UsageError(f"{key}: {path} is empty.", hint="Write the value into that file.")
    return text
