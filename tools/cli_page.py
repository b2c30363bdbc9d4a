"""Builds docs/cli.md from the program itself: every command with its options and examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from hf_gate.command_line.framework import COMMON, LazyGroup, ProgramCommand
from hf_gate.command_line.main import root
from hf_gate.command_line.program_info import TOPICS
from hf_gate.command_line.workspace.schemas import DOCUMENTS


def build_page() -> str:
    """Return all commands in the order of the help, then the topics of `hf-gate help`."""
    return "\n".join([*_format_group(root, "hf-gate"), *_format_common(), *_format_topics()])


def _format_group(group: LazyGroup, path: str) -> Iterator[str]:
    ctx = click.Context(group, info_name=path)
    for name, entry in group.table.items():
        if entry.is_hidden:
            continue
        command = group.get_command(ctx, name)
        if isinstance(command, LazyGroup):
            yield from _format_group(command, f"{path} {name}")
        elif isinstance(command, ProgramCommand):
            yield from _format_command(command, f"{path} {name}", entry.summary)


def _format_command(command: ProgramCommand, path: str, summary: str) -> Iterator[str]:
    ctx = click.Context(command, info_name=path)
    words = " ".join(param.make_metavar(ctx) for param in command.params if isinstance(param, click.Argument))
    yield f"## `{path}{' ' + words if words else ''}`\n"
    yield from (f"{_format_paragraph(text)}\n" for text in inspect.cleandoc(command.help or summary).split("\n\n"))
    yield from _format_table(param for param in command.params if isinstance(param, click.Option) and not param.hidden)
    yield "Examples:\n"
    yield from (f"- `{example}`" for example in command.examples)
    yield ""


def _format_paragraph(text: str) -> str:
    """Return a paragraph of a help text; one that click leaves unwrapped becomes a code block."""
    return f"```text\n{text[1:].strip()}\n```" if text.startswith("\b") else _fold_lines(text)


def _format_table(options: Iterator[click.Option] | tuple[click.Option, ...]) -> Iterator[str]:
    rows = [_format_row(option) for option in options]
    if rows:
        yield "| option | what it does |\n|---|---|"
        yield from rows
        yield ""


def _format_row(option: click.Option) -> str:
    record = option.get_help_record(click.Context(click.Command("hf-gate"))) or ("", "")
    return f"| `{_format_cell(record[0])}` | {_format_cell(record[1])} |"


def _format_cell(text: str) -> str:
    return _fold_lines(text).replace("|", "\\|")


def _fold_lines(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text.strip())


def _format_common() -> Iterator[str]:
    yield "## Options of every command\n"
    yield "You can write them before or after the command's name.\n"
    yield from _format_table(COMMON)


def _format_topics() -> Iterator[str]:
    for name, (about, text) in TOPICS.items():
        if name != "options":
            yield f"## {about[0].upper()}{about[1:]}\n"
            yield f"`hf-gate help {name}` prints:\n"
            yield f"```text\n{text().rstrip()}\n```\n"
    yield "## Documents\n"
    yield f"`hf-gate schema NAME` prints the JSON Schema of what `--json` prints: {', '.join(DOCUMENTS)}."
