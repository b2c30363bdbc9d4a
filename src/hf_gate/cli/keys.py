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
            self._rest_of_sequence()
            return "esc"
        return byte.decode("latin-1")

    def _rest_of_sequence(self) -> None:
        """What follows an Esc at once: `[` or `O` and more up to a letter, or one key pressed with Alt."""
        following = self._at_once()
        if following in {b"[", b"O"}:
            while (following := self._at_once()) and not 0x40 <= following[0] <= 0x7E:
                pass

    def _at_once(self) -> bytes:
        return os.read(self._fd, 1) if select.select([self._fd], [], [], 0.02)[0] else b""

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
