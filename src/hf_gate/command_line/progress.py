"""Shows the progress of long work on one line of stderr, if that is a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from hf_gate.base.timestamps import format_span

from .output import Output
from .text_layout import clip_text

_DELAY = 0.6  # seconds before the first line; most work is finished sooner
_INTERVAL = 0.15  # seconds between two updates


class Progress:
    """A progress line: `with Progress(out, "reject", total) as bar: bar.tick()`. Without a total, no ETA is shown."""

    def __init__(self, out: Output, what: str, total: int | None = None) -> None:
        self.out = out
        self.what = what
        self.total = total
        self.count = 0
        self.is_shown = out.is_human and sys.stderr.isatty()
        self.started_at = time.monotonic()
        self._next = self.started_at + _DELAY
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def tick(self, *, many: int = 1) -> None:
        """Count `many` more as done."""
        self.count += many
        moment = time.monotonic()
        if self.is_shown and moment >= self._next:
            self._next = moment + _INTERVAL
            self._write(self._line(moment - self.started_at))

    def _line(self, elapsed: float) -> str:
        rate = self.count / elapsed if elapsed else 0.0
        if self.total is None:
            return f"{self.what} {self.count:,} ({rate:.0f}/s)"
        left = (self.total - self.count) / rate if rate else 0.0
        share = 100 * self.count // max(1, self.total)
        return f"{self.what} {self.count:,} of {self.total:,}  {share} %  {rate:.0f}/s  about {format_span(left)} left"

    def _write(self, line: str) -> None:
        line = clip_text(line, 78)
        self.out.write_stderr("\r" + line.ljust(self._width))
        self._width = len(line)

    def clear(self) -> None:
        """Erase the line."""
        if self._width:
            self.out.write_stderr("\r" + " " * self._width + "\r")
            self._width = 0
