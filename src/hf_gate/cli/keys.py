"""Single keys from a terminal, without Enter; the terminal is put back as it was, whatever happens."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Self


class Keys:
    """While the `with` lasts, `read` gives one key at a time. Ctrl-C stays Ctrl-C."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._fd)

    def __enter__(self) -> Self:
        tty.setcbreak(self._fd, termios.TCSADRAIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def read(self) -> str:
        """The next key; an arrow or another key that sends several bytes is read whole and given as `esc`."""
        byte = os.read(self._fd, 1)
        if byte in {b"", b"\x04"}:
            raise KeyboardInterrupt  # the terminal is gone, or Ctrl-D: nobody decides any more
        if byte == b"\x1b":
            while select.select([self._fd], [], [], 0.02)[0] and os.read(self._fd, 1):
                pass
            return "esc"
        return byte.decode("latin-1")

    def line(self) -> str:
        """A line that is typed, can be corrected, and is ended by Enter."""
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
        try:
            raw = os.read(self._fd, 8192)
        finally:
            tty.setcbreak(self._fd, termios.TCSADRAIN)
        if not raw:
            raise KeyboardInterrupt
        return raw.decode("utf-8", "replace")
