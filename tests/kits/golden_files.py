"""Golden files: what users can see, kept as text. A change of one is a change of behaviour, and its diff is reviewed.

`WRITE_GOLDEN=1 .venv/bin/python -m pytest tests/pins` writes them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tests.kits.paths import ROOT

FOLDER: Final = ROOT / "tests" / "pins" / "golden"
_IS_WRITING: Final = os.environ.get("WRITE_GOLDEN") == "1"


def check_golden(name: str, lines: Iterable[str]) -> None:
    """Compare lines with a golden file, or write it."""
    text = "".join(f"{line.rstrip()}\n" for line in lines)
    path = FOLDER / name
    if _IS_WRITING:
        path.write_text(text, "utf-8")
    assert text.splitlines() == path.read_text("utf-8").splitlines()


def describe_shape(value: Any, path: str = "") -> set[str]:
    """Return the keys and types of a JSON value, a line each: `.outcomes[].user: str`. Values do not count."""
    match value:
        case dict():
            return {f"{path or '.'}: object"}.union(
                *(describe_shape(part, f"{path}.{key}") for key, part in value.items())
            )
        case list():
            return {f"{path or '.'}: array"}.union(*(describe_shape(part, f"{path}[]") for part in value))
        case _:
            return {f"{path or '.'}: {'null' if value is None else type(value).__name__}"}


def describe_schema(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the keys and types of a JSON Schema, a line each, as `describe_shape` names them."""
    options = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    yield f"{path or '.'}: {' or '.join(dict.fromkeys(name for option in options for name in _name_types(option)))}"
    for option in options:
        required = set(option.get("required", ()))
        for name, part in option.get("properties", {}).items():
            yield from describe_schema(part, f"{path}.{name}{'' if name in required else '?'}")
        for keyword, mark in (("items", "[]"), ("additionalProperties", ".*")):
            if isinstance(option.get(keyword), dict):
                yield from describe_schema(option[keyword], path + mark)
    for name, part in schema.get("$defs", {}).items():
        yield from describe_schema(part, f"#{name}")


def _name_types(schema: Mapping[str, Any]) -> Iterator[str]:
    kinds = schema.get("type", ())
    yield from [kinds] if isinstance(kinds, str) else kinds
    if "$ref" in schema:
        yield str(schema["$ref"]).replace("#/$defs/", "#")
    if "const" in schema:
        yield json.dumps(schema["const"])
    if "enum" in schema:
        yield "|".join(map(str, schema["enum"]))
