"""The public names of hf-gate, nothing else; each is loaded when it is first asked for, so that `hf-gate version` stays cheap."""

from __future__ import annotations

from importlib import import_module
from typing import Final

__version__: Final[str] = "0.1.0"  # the same as in pyproject.toml: a house test holds them together

# A public name stands three times: here with its module, under `if TYPE_CHECKING:` for type checkers, and in `__all__`.
# tests/house/test_exports.py holds the three together.
_HOMES: dict[str, str] = {}

__all__ = ["__version__"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
