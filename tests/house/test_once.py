"""What is spelt or built in one place alone, so that whoever changes it finds all of it there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from hf_gate.domain.lifecycle import WITHDRAWN, Status
from hf_gate.domain.outcomes import OutcomeKind
from hf_gate.domain.runs import ChangeState, RunKind, RunState
from tests.kits.paths import PACKAGE
from tests.kits.source_files import list_modules

_SETTING = re.compile(r"\.setting\(\s*f?[\"']")
_STORE_FUNCTIONS = r"\.(?:ledger|members|plans|queue_queries|selections|sessions|tray) import (?:\(\s+)?[a-z]"
_STORE_IMPORT = re.compile(
    rf"^\s*(?:from|import) (?:\.\.|hf_gate\.)store\b(?!{_STORE_FUNCTIONS})"
    r"|^\s*from (?:\.\.|hf_gate) import .*\bstore\b",
    re.MULTILINE,
)
_TYPED_DECODING = re.compile(
    r"msgspec\.(?:json|msgpack)\.Decoder\(|msgspec\.convert\(|msgspec\.(?:json|msgpack)\.decode\([^\n]*,\s*type="
)
_CHANGE = re.compile(r"(?<!class )\bChange\(")


def test_no_use_case_or_command_spells_the_name_of_a_setting_by_itself() -> None:
    files = [*(PACKAGE / "application").glob("*.py"), *(PACKAGE / "cli").glob("*.py")]
    assert [file.name for file in files if _SETTING.search(file.read_text("utf-8"))] == []


def test_cli_and_web_import_functions_of_the_store_and_neither_types_nor_sql() -> None:
    files = [*(PACKAGE / "cli").glob("*.py"), *(PACKAGE / "web").glob("*.py")]
    assert [file.name for file in files if _STORE_IMPORT.search(file.read_text("utf-8"))] == []
    assert _STORE_IMPORT.search("if TYPE_CHECKING:\n    from ..store.reading import Store")
    assert _STORE_IMPORT.search("from ..store.tray import (\n    UNSENT,\n    list_due_decisions,\n)")
    assert _STORE_IMPORT.search("from ..store.sql import decode_row")
    assert not _STORE_IMPORT.search("from ..store.tray import (\n    list_due_decisions,\n)")


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
        if file.parent.name != "store" and (connections := _connections(file.read_text("utf-8")))
    }
    assert found == {}
    assert _connections("read_list(write.db, 1)") == ["write.db"]


def test_the_change_of_a_plan_is_built_in_one_module() -> None:
    built = [file.relative_to(PACKAGE).as_posix() for file in list_modules() if _CHANGE.search(file.read_text("utf-8"))]
    assert built == ["plan/changes.py"]


def test_typed_values_are_decoded_in_the_module_that_is_safe_in_threads() -> None:
    files = [
        file.relative_to(PACKAGE).as_posix()
        for file in list_modules()
        if _TYPED_DECODING.search(file.read_text("utf-8"))
    ]
    assert files == ["decoding.py"]
    assert not any("from msgspec.json import" in file.read_text("utf-8") for file in list_modules())


def test_text_is_normalised_in_one_module_that_limits_its_marks_first() -> None:
    files = [
        file
        for file in list_modules()
        if re.search(r"unicodedata(\.| import .*)normalize|\bnormalize.*unicodedata", file.read_text("utf-8"))
    ]
    assert [file.relative_to(PACKAGE).as_posix() for file in files] == ["domain/normalization.py"]


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
        if path.relative_to(PACKAGE).parts[0] not in {"localhub", "hub", "protocol"}  # they speak the Hub's words
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
