"""The files of this folder, which only mypy reads, leave out no public name, no method and no field."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import hf_gate
from hf_gate import testing

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("api*.py"))
CLIENTS = {"api.py": hf_gate.Hub, "api_async.py": hf_gate.AsyncHub}
VALUES = {
    "person": hf_gate.Person,
    "profile": hf_gate.Profile,
    "account": hf_gate.Account,
    "repo": hf_gate.Repo,
    "outcome": hf_gate.Outcome,
    "completeness": hf_gate.Completeness,
    "outlook": hf_gate.Outlook,
    "gate": hf_gate.Gate,
}
FORM_PARTS_READ_BELOW = {"written_as"}  # told for linting, no part of the contract


def _tree(name: str) -> ast.Module:
    return ast.parse((HERE / name).read_text("utf-8"))


def _used_of(tree: ast.Module, variable: str) -> set[str]:
    """What is taken from a variable of that name."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == variable
    }


def _public(of: type) -> Iterator[str]:
    """Methods, properties and fields, also those of a base class of ours."""
    ours = [base for base in of.__mro__ if base.__module__.startswith("hf_gate")]
    yield from (name for base in ours for name in vars(base) if not name.startswith("_"))
    if is_dataclass(of):
        yield from (field.name for field in fields(of))


def test_every_public_name_is_used() -> None:
    used = {node.id for path in FILES for node in ast.walk(_tree(path.name)) if isinstance(node, ast.Name)}
    assert sorted(set(hf_gate.__all__) - used - {"__version__"}) == []


@pytest.mark.parametrize("name", CLIENTS)
def test_every_method_of_a_client_is_used(name: str) -> None:
    assert sorted(set(_public(CLIENTS[name])) - _used_of(_tree(name), "hub")) == []


def test_every_method_of_the_local_hub_is_used() -> None:
    tree = _tree("api_functions.py")
    assert sorted(set(_public(testing.LocalHub)) - _used_of(tree, "hub")) == []
    asked = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "hub.clock"}
    assert sorted(set(_public(testing.ClockControl)) - asked) == []


@pytest.mark.parametrize("variable", VALUES)
def test_every_field_of_a_value_is_used(variable: str) -> None:
    assert sorted(set(_public(VALUES[variable])) - _used_of(_tree("api_values.py"), variable)) == []


def test_every_field_of_a_request_and_of_a_form_is_used() -> None:
    tree = _tree("api_values.py")
    wire_only = {"raw_json", "read_at"}
    fields_of_a_request = set(hf_gate.AccessRequest.__struct_fields__) - wire_only
    assert sorted(fields_of_a_request - _used_of(tree, "request")) == []
    assert sorted(set(_public(hf_gate.GateForm)) - _used_of(tree, "form") - FORM_PARTS_READ_BELOW) == []
