"""What is spelt or built in one place alone, so that whoever changes it finds all of it there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.core.lifecycle import WITHDRAWN, Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.runs import ChangeState, RunKind, RunState
from tests.kits.paths import PACKAGE
from tests.kits.source_files import list_modules

_SETTING = re.compile(r"\.setting\(\s*f?[\"']")
_TYPED_DECODING = re.compile(
    r"msgspec\.(?:json|msgpack)\.Decoder\(|msgspec\.convert\(|msgspec\.(?:json|msgpack)\.decode\([^\n]*,\s*type="
)
_CHANGE = re.compile(r"(?<!class )\bChange\(")


def _has_sql(path: Path) -> bool:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] == "store" or parts[1:2] in {("rows",), ("rows.py",)}


def test_no_service_or_command_spells_the_name_of_a_setting_by_itself() -> None:
    files = [path for path in list_modules() if {"service", "service.py", "command_line"} & {*path.parts}]
    assert len(files) > 100
    assert [file.name for file in files if _SETTING.search(file.read_text("utf-8"))] == []


def _names_of_sql(source: str) -> list[str]:
    """The names that a page or command imports from modules with SQL and that are no functions."""
    return [
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and re.match(r"hf_gate\.(store|\w+\.rows)\b", node.module or "")
        for alias in node.names
        if not alias.name[0].islower() or not re.search(r"\.rows\b", node.module or "")
    ]


def test_commands_and_pages_import_named_functions_of_sql_and_neither_types_nor_sql() -> None:
    fronts = [path for path in list_modules() if {"command_line", "desk"} & {*path.parts}]
    assert len(fronts) > 100
    assert {path.name: names for path in fronts if (names := _names_of_sql(path.read_text("utf-8")))} == {}
    assert _names_of_sql("from hf_gate.store.store import Store")
    assert _names_of_sql("from hf_gate.store.rows.tray import UNSENT")
    assert _names_of_sql("from hf_gate.store.sql import decode_row")
    assert not _names_of_sql("from hf_gate.store.rows.tray import list_due_decisions")


def _connections(source: str) -> list[str]:
    """The places where a module takes the connection of a store or of a transaction."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in {"reads", "db"}
    ]


def test_only_modules_with_sql_touch_the_connection_others_pass_the_store_or_the_transaction() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix(): connections
        for file in list_modules()
        if not _has_sql(file) and (connections := _connections(file.read_text("utf-8")))
    }
    assert found == {}
    assert _connections("read_list(write.db, 1)") == ["write.db"]


def test_the_change_of_a_plan_is_built_in_one_module() -> None:
    built = [file.relative_to(PACKAGE).as_posix() for file in list_modules() if _CHANGE.search(file.read_text("utf-8"))]
    assert built == ["verdicts/plan/change_builders.py"]


def test_typed_values_are_decoded_in_the_module_that_is_safe_in_threads() -> None:
    files = [
        file.relative_to(PACKAGE).as_posix()
        for file in list_modules()
        if _TYPED_DECODING.search(file.read_text("utf-8"))
    ]
    assert files == ["base/decoding.py"]
    assert not any("from msgspec.json import" in file.read_text("utf-8") for file in list_modules())


def test_text_is_normalised_in_one_module_that_limits_its_marks_first() -> None:
    files = [
        file
        for file in list_modules()
        if re.search(r"unicodedata(\.| import .*)normalize|\bnormalize.*unicodedata", file.read_text("utf-8"))
    ]
    assert [file.relative_to(PACKAGE).as_posix() for file in files] == ["base/normalization.py"]


_HOMONYMS = {"reset", "plan", "auto"}  # a verb, a command, a kind of gate
_STATES = {WITHDRAWN, *Status, *OutcomeKind, *ChangeState, *RunState, *RunKind} - _HOMONYMS
_NAMES = {"state", "status", "kind", "before", "after"}


def _state_literals(source: str) -> Iterator[str]:
    """States that are compared with, passed by name, looked up or quoted in SQL as a literal."""
    for node in ast.walk(ast.parse(source)):
        found: list[ast.expr] = []
        match node:
            case ast.Compare(left=left, comparators=others):
                sides = [left, *others]
                found = sides + [each for side in sides for each in getattr(side, "elts", [])]
            case ast.MatchValue(value=value):
                found = [value]
            case ast.Call(func=ast.Attribute(attr="get"), args=[key, *_]):
                found = [key]
            case ast.Call(keywords=keywords):
                found = [each.value for each in keywords if each.arg in _NAMES]
            case ast.Constant(value=str(text)) if "SELECT" in text or " IN (" in text or " = '" in text:
                yield from (state for state in _STATES if f"'{state}'" in text)
        yield from (str(each.value) for each in found if isinstance(each, ast.Constant) and each.value in _STATES)


def test_states_are_members_of_enums_and_no_literals() -> None:
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}: {state}"
        for path in list_modules()
        if path.relative_to(PACKAGE).parts[0] not in {"localhub", "hub"}  # they speak the Hub's words
        for state in _state_literals(path.read_text("utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        "run.state == 'paused'",
        "run.state in ('ended', 'x')",
        "match run.state:\n    case 'ended': pass",
        "Run(state='ready')",
        "counts.get('pending', 0)",
        "rows(\"SELECT 1 FROM runs WHERE state = 'ended'\")",
    ],
)
def test_a_state_literal_is_found(source: str) -> None:
    assert list(_state_literals(source))


def test_no_generic_class_is_a_frozen_dataclass_with_slots() -> None:
    """`Name[Type](...)` of such a class is a TypeError before Python 3.13; a Struct can be both."""
    wrong = [
        f"{path.name}: {node.name}"
        for path in list_modules()
        for node in _generic_slotted_dataclasses(path.read_text("utf-8"))
    ]
    assert wrong == []
    source = "@dataclass(frozen=True, slots=True)\nclass Column(Generic[R]): ...\n"
    assert [node.name for node in _generic_slotted_dataclasses(source)] == ["Column"]


def _generic_slotted_dataclasses(source: str) -> Iterator[ast.ClassDef]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).startswith("Generic[") for base in node.bases):
            decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
            if "slots=True" in decorators and "frozen=True" in decorators:
                yield node
