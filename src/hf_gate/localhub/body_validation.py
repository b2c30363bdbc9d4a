"""Validates request bodies like the Hub: reports all problems at once, in the Hub's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .http_messages import HttpError

_KINDS = ((bool, "boolean"), (str, "string"), (int, "number"), (float, "number"), (list, "array"), (dict, "object"))


def get_json_type(value: object) -> str:
    """Return the JavaScript name of a JSON value's type."""
    return next((name for of, name in _KINDS if isinstance(value, of)), "null")


def get_utf16_length(text: str) -> int:
    """Return the length of a text in UTF-16 units, as JavaScript counts it."""
    return len(text) + sum(c > "\uffff" for c in text)


class BodyValidator:
    """Reads the parts of one JSON object and collects problems until `raise_problems`."""

    def __init__(self, raw: Mapping[str, Any] | bytes, where: str = "") -> None:
        self.problems: list[str] = []
        self.values: dict[str, Any] = {}
        self._where = where
        if isinstance(raw, bytes):
            try:
                parsed: object = msgspec.json.decode(raw) if raw.strip() else None
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise HttpError(400, "✖ Invalid JSON") from None
        else:
            parsed = raw
        if isinstance(parsed, dict):
            self.values = parsed
        else:
            self.add_problem(
                f"Invalid input: expected object, received {'undefined' if parsed is None else get_json_type(parsed)}"
            )
            self.raise_problems()

    def add_problem(self, problem: str, key: str = "") -> None:
        path = ".".join(part for part in (self._where, key) if part).replace(".[", "[")
        self.problems.append(f"✖ {problem}" + (f"\n  → at {path}" if path else ""))

    def raise_problems(self) -> None:
        """Raise a 400 that lists all problems, if there are any."""
        if self.problems:
            raise HttpError(400, "\n".join(self.problems))

    def get_text(self, key: str, *, most: int | None = None, needed: bool = False) -> str | None:
        value = self.values.get(key)
        if value is None and not (needed or key in self.values):
            return None
        if not isinstance(value, str):
            self.add_problem(f"Invalid input: expected string, received {self._describe_type(key)}", key)
            return None
        if most is not None and get_utf16_length(value) > most:
            self.add_problem(f"Too big: expected string to have <={most} characters", key)
        return value

    def get_option(self, key: str, options: Sequence[str]) -> str:
        value = self.values.get(key)
        if not (isinstance(value, str) and value in options):
            self.add_problem("Invalid option: expected one of " + "|".join(f'"{option}"' for option in options), key)
            return options[0]
        return value

    def get_flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        if value is None and key not in self.values:
            return None
        if not isinstance(value, bool):
            self.add_problem(f"Invalid input: expected boolean, received {self._describe_type(key)}", key)
            return None
        return value

    def get_items(self, key: str, most: int) -> list[Any]:
        value = self.values.get(key)
        if not isinstance(value, list):
            self.add_problem(f"Invalid input: expected array, received {self._describe_type(key)}", key)
            return []
        if not value:
            self.add_problem("Too small: expected array to have >=1 items", key)
        if len(value) > most:
            self.add_problem(f"Too big: expected array to have <={most} items", key)
        return value

    def _describe_type(self, key: str) -> str:
        return get_json_type(self.values[key]) if key in self.values else "undefined"


def parse_number(text: str | None, key: str, low: int, high: int, default: int) -> int:
    """Parse an integer in a query string."""
    if text is None:
        return default
    body = BodyValidator({key: text})
    value = int(text) if text.lstrip("-").isdecimal() and text.isascii() and len(text) < 15 else None
    if value is None:
        body.add_problem("Invalid input: expected number, received NaN", key)
    elif value < low:
        body.add_problem(f"Too small: expected number to be >={low}", key)
    elif value > high:
        body.add_problem(f"Too big: expected number to be <={high}", key)
    body.raise_problems()
    return default if value is None else value
