"""Builds the tables of docs/api.md: the public names by subject, with the first sentence about each.

The site (tools/site) shows the docstring of each name instead, with its parameters and types.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Final

import hf_gate

SUBJECTS: Final = {
    "Clients and lists": ("Hub", "AsyncHub", "Listing", "AsyncListing", "Head", "Found", "Completeness", "Quarantined", "Outlook"),
    "Requests and decisions": ("AccessRequest", "Decision", "Outcome", "OutcomeKind", "Status"),
    "Repos, people and accounts": (
        "Repo", "RepoType", "parse_repo", "Person", "Profile", "Account", "TokenRights", "Gate", "GateForm", "parse_gate_form",
    ),
    "Functions of huggingface_hub": tuple(
        name for name in hf_gate.__all__ if hf_gate._HOMES.get(name) == "hf_gate.hub.hf_functions"  # noqa: SLF001
    ),
    "Why access fails": ("why", "wait_for_access", "explain", "explaining", "load_ipython_extension", "Diagnosis"),
    "Errors": tuple(name for name in hf_gate.__all__ if hf_gate._HOMES.get(name) == "hf_gate.errors"),  # noqa: SLF001
    "Tests": ("hf_gate.testing.LocalHub", "hf_gate.testing.ClockControl"),
}  # fmt: skip


def build_page() -> str:
    """Return a table for each subject."""
    named = {name for names in SUBJECTS.values() for name in names if "." not in name}
    if missing := set(hf_gate.__all__) - named - {"__version__"}:
        message = f"tools/api_page.py: no subject has {', '.join(sorted(missing))}"
        raise LookupError(message)
    return "\n".join(line for subject, names in SUBJECTS.items() for line in _format_subject(subject, names)).rstrip()


def find_public(name: str) -> object:
    """Return what a public name stands for."""
    value: object = import_module("hf_gate.testing") if name.startswith("hf_gate.testing.") else hf_gate
    for part in name.removeprefix("hf_gate.testing.").split("."):
        value = getattr(value, part)
    return value


def _format_subject(subject: str, names: tuple[str, ...]) -> Iterator[str]:
    yield f"## {subject}\n"
    yield from _format_table(names)
    if "Hub" in names:
        yield "The methods of `Hub`:\n"
        yield from _format_table(tuple(f"Hub.{name}" for name in dir(hf_gate.Hub) if not name.startswith("_")))


def _format_table(names: tuple[str, ...]) -> Iterator[str]:
    yield "| name | what it is |\n|---|---|"
    yield from (f"| `{name}` | {_first_sentence(find_public(name))} |" for name in names)
    yield ""


def _first_sentence(value: object) -> str:
    text = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    return re.split(r"(?<=[^.]\.)\s", text, maxsplit=1)[0]
