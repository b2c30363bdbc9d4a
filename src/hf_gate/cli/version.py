"""version: prints the version. It is a module of its own, because it imports only what every command needs."""

from __future__ import annotations

import sys

from hf_gate import __version__

from .framework import CommandContext, command


@command("version", examples=("hf-gate version", "hf-gate version --json"))
def version(context: CommandContext) -> int:
    """Print the version of hf-gate."""
    python = ".".join(map(str, sys.version_info[:3]))
    doc = {"version": __version__, "python": python}
    context.out.document(doc, lambda: [f"hf-gate {__version__}"], quiet=[__version__])
    return 0
