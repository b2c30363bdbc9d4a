"""Pins the command line: the help of every command, and the schema of every document."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import pytest

from hf_gate.command_line.framework import LazyGroup
from hf_gate.command_line.main import root
from hf_gate.testing import LocalHub
from tests.kits.command_line import Console
from tests.kits.golden_files import check_golden, describe_schema


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    with LocalHub(requests=0) as hub:
        yield Console(hub)


def _list_commands(group: LazyGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name in group.table:
        command = group.get_command(click.Context(group), name)
        if isinstance(command, LazyGroup):
            yield from _list_commands(command, (*path, name))
        else:
            yield (*path, name)


def test_the_help_of_every_command(console: Console) -> None:
    lines = list[str]()
    for path in sorted(_list_commands(root)):
        ended = console.run(*path, "--help", env={"COLUMNS": "100"})
        assert ended.code == 0, path
        lines += [f"## hf-gate {' '.join(path)}".rstrip(), *ended.out.splitlines(), ""]
    check_golden("help.txt", lines)


def test_the_schema_of_every_document(console: Console) -> None:
    lines = list[str]()
    for name in console.run("schema").out.split():
        schema = json.loads(console.run("schema", name).out)
        lines += [f"## {name}", *describe_schema(schema), ""]
    check_golden("schemas.txt", lines)
