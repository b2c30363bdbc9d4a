"""Checks a body as the Hub's validator does, and complains in its words: one line a problem, all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .wire import Refusal

_KINDS = ((bool, "boolean"), (str, "string"), (int, "number"), (float, "number"), (list, "array"), (dict, "object"))


def kind(value: object) -> str:
    """The JavaScript name of a JSON value's type."""
    return next((name for of, name in _KINDS if isinstance(value, of)), "null")


def utf16(text: str) -> int:
    """Length as JavaScript counts it."""
    return len(text) + sum(c > "\uffff" for c in text)


class Body:
    """The parts of one JSON object; problems gather until `settle`."""

    def __init__(self, raw: Mapping[str, Any] | bytes, where: str = "") -> None:
        self.problems: list[str] = []
        self.values: dict[str, Any] = {}
        self._where = where
        if isinstance(raw, bytes):
            try:
                parsed: object = msgspec.json.decode(raw) if raw.strip() else None
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise Refusal(400, "✖ Invalid JSON") from None
        else:
            parsed = raw
        if isinstance(parsed, dict):
            self.values = parsed
        else:
            self.say(f"Invalid input: expected object, received {'undefined' if parsed is None else kind(parsed)}")
            self.settle()

    def say(self, problem: str, key: str = "") -> None:
        path = ".".join(part for part in (self._where, key) if part).replace(".[", "[")
        self.problems.append(f"✖ {problem}" + (f"\n  → at {path}" if path else ""))

    def settle(self) -> None:
        """Raises the 400 that lists every problem, if there is one."""
        if self.problems:
            raise Refusal(400, "\n".join(self.problems))

    def text(self, key: str, *, most: int | None = None, needed: bool = False) -> str | None:
        value = self.values.get(key)
        if value is None and not (needed or key in self.values):
            return None
        if not isinstance(value, str):
            self.say(f"Invalid input: expected string, received {self._received(key)}", key)
            return None
        if most is not None and utf16(value) > most:
            self.say(f"Too big: expected string to have <={most} characters", key)
        return value

    def option(self, key: str, options: Sequence[str]) -> str:
        value = self.values.get(key)
        if not (isinstance(value, str) and value in options):
            self.say("Invalid option: expected one of " + "|".join(f'"{option}"' for option in options), key)
            return options[0]
        return value

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        if value is None and key not in self.values:
            return None
        if not isinstance(value, bool):
            self.say(f"Invalid input: expected boolean, received {self._received(key)}", key)
            return None
        return value

    def items(self, key: str, most: int) -> list[Any]:
        value = self.values.get(key)
        if not isinstance(value, list):
            self.say(f"Invalid input: expected array, received {self._received(key)}", key)
            return []
        if not value:
            self.say("Too small: expected array to have >=1 items", key)
        if len(value) > most:
            self.say(f"Too big: expected array to have <={most} items", key)
        return value

    def _received(self, key: str) -> str:
        return kind(self.values[key]) if key in self.values else "undefined"


def number(text: str | None, key: str, low: int, high: int, default: int) -> int:
    """A whole number of a query."""
    if text is None:
        return default
    body = Body({key: text})
    value = int(text) if text.lstrip("-").isdecimal() and text.isascii() and len(text) < 15 else None
    if value is None:
        body.say("Invalid input: expected number, received NaN", key)
    elif value < low:
        body.say(f"Too small: expected number to be >={low}", key)
    elif value > high:
        body.say(f"Too big: expected number to be <={high}", key)
    body.settle()
    return default if value is None else value
