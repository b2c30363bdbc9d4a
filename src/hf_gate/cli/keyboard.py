"""Single keys from a terminal, without Enter, on every operating system."""

from __future__ import annotations

import re
import sys
from typing import Final

import click

_SEQUENCE: Final = re.compile(r"\x1b(?:[\[O][^@-~]*[@-~]?|.)?|[\x00\xe0].", re.DOTALL)  # Esc, an arrow, Alt and a key
_ENDS: Final = frozenset("\x03\x04")  # Ctrl-C, Ctrl-D


class Keys:
    """Reads one key at a time. Between two reads the terminal is as it was, so that Ctrl-C stays Ctrl-C.

    Keys that are pressed while nothing is read are dropped: they were meant for an earlier screen.
    """

    def __init__(self) -> None:
        self._typed = ""  # several keys can come at once

    def read_key(self) -> str:
        """The next key; an arrow or another key that sends several characters is given as `esc`."""
        if not self._typed:
            try:
                self._typed = click.getchar()
            except EOFError:
                raise KeyboardInterrupt from None
        found = _SEQUENCE.match(self._typed)
        key = found[0] if found else self._typed[:1]
        self._typed = self._typed[len(key) :]
        if not key or key in _ENDS:
            raise KeyboardInterrupt  # the terminal is gone, or somebody ends it
        return "esc" if found else key

    def read_line(self) -> str:
        """A line that is typed, can be corrected, and is ended by Enter."""
        typed, self._typed = self._typed, ""
        begun, ends, rest = typed.replace("\r", "\n").partition("\n")
        if ends:
            self._typed = rest
            return begun
        line = sys.stdin.buffer.readline(8192)
        if not line:
            raise KeyboardInterrupt
        return begun + line.decode("utf-8", "replace")
