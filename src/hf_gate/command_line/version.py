"""version: prints the version. It is a module of its own, because it imports only what every command needs."""

from __future__ import annotations

import sys

from msgspec import Struct

from hf_gate import __version__

from .framework import CommandContext, command


class VersionRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """The versions of hf-gate and Python."""

    version: str
    python: str


@command("version", examples=("hf-gate version", "hf-gate version --json"))
def version(context: CommandContext) -> int:
    """Print the version of hf-gate."""
    python = ".".join(map(str, sys.version_info[:3]))
    context.out.document(VersionRecord(__version__, python), lambda: [f"hf-gate {__version__}"], quiet=[__version__])
    return 0
