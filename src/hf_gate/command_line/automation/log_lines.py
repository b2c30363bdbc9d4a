"""Log lines of commands: long waits on stderr, and the JSON lines of `hf-gate run --log json`,
without personal data.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from hf_gate.base.timestamps import ms_to_iso, to_iso

if TYPE_CHECKING:
    from hf_gate.command_line.output import Output
    from hf_gate.core.turns import TurnRow

_LOGGER: Final = "hf_gate"
_ADDRESS: Final = re.compile(r"\S+@\S+")
_STYLES: Final = {"yellow": logging.WARNING, "red": logging.ERROR}


class LogLines(logging.Formatter):
    """Formats the records of hf-gate.

    `turn` is the number of the current turn, or of the last one between two turns.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self.turn: int | None = None

    def format(self, record: logging.LogRecord) -> str:
        """Return one line. Of an unexpected error, only the kind is kept: its text may hold personal data."""
        fields = {
            "time": to_iso(self._now()),
            "level": record.levelname.lower(),
            "turn": self.turn,
            "logger": record.name,
            "message": _ADDRESS.sub("(address)", record.getMessage()),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
        return json.dumps(fields)

    def write(self, text: str, style: str) -> None:
        """Write a message of a command, in place of a line of text."""
        logging.getLogger(f"{_LOGGER}.run").log(_STYLES.get(style, logging.INFO), "%s", text)

    def follow(self, turn: TurnRow) -> None:
        """Note the current turn, and write a line when it has ended."""
        self.turn = turn.id
        if turn.end is None:
            return
        fields = {
            "end": turn.end.value,
            "started_at": ms_to_iso(turn.started_at),
            "seconds": None if turn.ended_at is None else (turn.ended_at - turn.started_at) / 1000,
            "repos": turn.repos,
            "news": turn.news,
            "done": turn.done,
            "deferred": turn.deferred,
            "problem": None if turn.problem is None else _ADDRESS.sub("(address)", turn.problem),
        }
        logging.getLogger(f"{_LOGGER}.run").info("the turn ended", extra={"fields": fields})

    def install(self) -> Callable[[], None]:
        """Write the records of hf-gate to stderr; return the function that ends this."""
        logger = logging.getLogger(_LOGGER)
        handler = logging.StreamHandler(sys.stderr)
        before = logger.level, logger.propagate
        handler.setFormatter(self)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False

        def remove() -> None:
            logger.removeHandler(handler)
            logger.setLevel(before[0])
            logger.propagate = before[1]

        return remove


class WaitLines(logging.Handler):
    """Prints long waits for the Hub on stderr, unless they are written as JSON lines."""

    def __init__(self, out: Output) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of a wait."""
        if self._out.write_log is None:
            self._out.say(record.getMessage(), "dim")

    def install(self) -> Callable[[], None]:
        """Begin to print waits; return the function that ends this."""
        logger = logging.getLogger(f"{_LOGGER}.waits")
        logger.addHandler(self)
        return lambda: logger.removeHandler(self)
