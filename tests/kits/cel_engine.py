"""Google's engine of CEL, a witness for the values of expressions whose facts are all known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from cel_expr_python import cel  # type: ignore[import-untyped]  # it has stubs, but no py.typed

_FAILURES: Final = (RuntimeError, ValueError, TypeError, OverflowError)
_TYPES: Final = {
    "bool": cel.Type.BOOL, "int": cel.Type.INT, "double": cel.Type.DOUBLE, "string": cel.Type.STRING,
    "timestamp": cel.Type.TIMESTAMP, "duration": cel.Type.DURATION, "list": cel.Type.List(cel.Type.STRING),
    "map": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
}  # fmt: skip


@lru_cache(maxsize=16)
def _environment(types: tuple[tuple[str, str], ...]) -> cel.Env:
    env = cel.NewEnv(variables={name: _TYPES[kind] for name, kind in types})
    for name, kind in types:
        if kind in ("timestamp", "duration"):  # it takes such values only for names that it has compiled
            env.compile(name)
    return env


def evaluate_with_engine(source: str, types: Mapping[str, str], values: Mapping[str, object]) -> object:
    """Return the value of an expression; None if it fails."""
    env = _environment(tuple(sorted(types.items())))
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    try:
        found = env.compile(source).eval(env.Activation(plain))
        return None if found.type() == cel.Type.ERROR else found.plain_value()
    except _FAILURES:
        return None
