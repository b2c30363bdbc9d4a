"""Runs a program in a pseudo-terminal: reads its screen and presses keys."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import pyte

_PATIENCE = 20.0  # seconds until a test gives up on a screen that does not come


class Terminal:
    """Runs a program on a pty; Ctrl-C reaches it as from a keyboard."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], columns: int = 120, lines: int = 50) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self.child = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env={**env, "TERM": "xterm"}, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - so that Ctrl-C is delivered
        )  # fmt: skip
        self._slave = slave

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self._slave)
        os.close(self._master)

    @property
    def display(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def until(self, text: str, times: int = 1) -> str:
        """The screen, once it shows this so many times."""
        end = time.monotonic() + _PATIENCE
        while self.display.count(text) < times:
            assert time.monotonic() < end, f"{text!r} never came:\n{self.display}"
            self._read(0.2)
        return self.display

    def press(self, keys: str) -> None:
        """Keys, all at once, when the program reads some: single keys are dropped before it does, as a line is not."""
        end = time.monotonic() + _PATIENCE
        while self._gathers_lines() and not keys.endswith(("\r", "\n")) and self.child.poll() is None:
            assert time.monotonic() < end, f"it never reads a key:\n{self.display}"
            self._read(0.01)
        os.write(self._master, keys.encode())

    def until_it_reads_lines(self) -> None:
        """Wait until the single key that was pressed has been read: a key after it could still be taken for it, or dropped."""
        end = time.monotonic() + _PATIENCE
        while not self._gathers_lines():
            assert time.monotonic() < end, f"it never reads a line:\n{self.display}"
            self._read(0.01)

    def end(self) -> int:
        """The exit code, and the rest of the screen."""
        end = time.monotonic() + _PATIENCE
        while self.child.poll() is None:
            assert time.monotonic() < end, f"it does not end:\n{self.display}"
            self._read(0.05)
        while self._read(0.0):
            pass
        return self.child.returncode

    def is_cooked(self) -> bool:
        """Whether the terminal echoes and gathers lines again, as a shell wants it."""
        flags = termios.tcgetattr(self._slave)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON)

    def _gathers_lines(self) -> bool:
        return bool(termios.tcgetattr(self._slave)[3] & termios.ICANON)

    def _read(self, wait: float) -> bool:
        if not select.select([self._master], [], [], wait)[0]:
            return False
        data = os.read(self._master, 65536)
        self.raw += data
        self._stream.feed(data)
        return bool(data)
