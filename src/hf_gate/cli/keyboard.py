"""Reads single keys from a terminal, without Enter, on every operating system."""

from __future__ import annotations

import re
import sys
from typing import Final

import click

_SEQUENCE: Final = re.compile(
    r"\x1b(?:[\[O][^@-~]*[@-~]?|.)?|[\x00\xe0].", re.DOTALL
)  # Esc, an arrow key, or Alt with another key
_ENDS: Final = frozenset("\x03\x04")  # Ctrl-C, Ctrl-D


class Keys:
    """Reads one key at a time. Between reads the terminal is in its normal mode, so Ctrl-C works.

    Keys pressed between reads are dropped, because they were meant for an earlier screen.
    """

    def __init__(self) -> None:
        self._typed = ""  # one read can return several keys

    def read_key(self) -> str:
        """Return the next key; `esc` for an arrow key or another key that sends several characters."""
        if not self._typed:
            try:
                self._typed = click.getchar()
            except EOFError:
                raise KeyboardInterrupt from None
        found = _SEQUENCE.match(self._typed)
        key = found[0] if found else self._typed[:1]
        self._typed = self._typed[len(key) :]
        if not key or key in _ENDS:
            raise KeyboardInterrupt  # the terminal is gone, or the user pressed Ctrl-C or Ctrl-D
        return "esc" if found else key

    def read_line(self) -> str:
        """Return a line that the user can edit and submits with Enter."""
        typed, self._typed = self._typed, ""
        start, ends, rest = typed.replace("\r", "\n").partition("\n")
        if ends:
            self._typed = rest
            return start
        line = sys.stdin.buffer.readline(8192)
        if not line:
            raise KeyboardInterrupt
        return start + line.decode("utf-8", "replace")
