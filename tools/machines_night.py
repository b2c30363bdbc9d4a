"""Plays a night of two machines on one PostgreSQL, and writes into docs/more-machines.md what their loops say.

    python tools/machines_night.py          # or: make night

After each failure three people ask. tests/automation/test_machines_night.py compares the page.
"""

from __future__ import annotations

import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from hf_gate.testing import LocalHub  # noqa: E402 - the path is set above
from tests.kits.machines import (  # noqa: E402
    Machine,
    Machines,
    Proxy,
    ask,
    count_moves,
    opened_proxy,
    own_server,
    restart_server,
)
from tools.night import renew  # noqa: E402

PAGE: Final = ROOT / "docs" / "more-machines.md"
_WAIT_S: Final = 90.0
_TOLD: Final = ("Standing by", "leads now")


@dataclass
class MachinesNight:
    """The state of the night. `rows`: what happened, what the loops said about the lead, and how many people have access."""

    machines: Machines
    server: Any
    proxy: Proxy
    asked: int = 0
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def play(self) -> None:
        """Play one failure after the other."""
        self.machines.make("gate-1")
        self.machines.make("gate-2")
        self.machines.make("gate-3", url=self.proxy.url)
        one = self._start("gate-1", "Synced")
        self._note("`gate-1` starts", [("gate-1", one, 0)])
        two = self._start("gate-2", "Standing by")
        self._note("`gate-2` starts", [("gate-2", two, 0)])
        self._hit("`gate-1` is killed", lambda: one.send(signal.SIGKILL), [("gate-2", two)])
        three = self._start("gate-3", "Standing by")
        self._note("`gate-3` starts", [("gate-3", three, 0)])
        self._hit("`gate-2` is ended with SIGTERM", lambda: two.send(signal.SIGTERM), [("gate-3", three)])
        one = self._start("gate-1", "Standing by")
        self._note("`gate-1` starts again", [("gate-1", one, 0)])
        self._hit("`gate-3` loses the database", self.proxy.cut, [("gate-1", one)])
        self._hit("`gate-3` reaches the database again", self.proxy.heal, [("gate-3", three)])
        self._hit("`gate-1` stands still", lambda: one.send(signal.SIGSTOP), [("gate-3", three)])
        self._hit("`gate-1` goes on", lambda: one.send(signal.SIGCONT), [("gate-1", one)])
        self._hit("the database is restarted", partial(restart_server, self.server), [])

    def _start(self, name: str, until: str) -> Machine:
        machine = self.machines.start(name, "run", "--every", "1m")
        self.names[machine.process.pid] = name
        machine.wait_for(until, _WAIT_S)
        return machine

    def _hit(self, what: str, cause: Callable[[], None], speakers: list[tuple[str, Machine]]) -> None:
        """Cause a failure; wait until each of these loops has said what follows from it."""
        heard = [(name, machine, len(machine.lines)) for name, machine in speakers]
        cause()
        for _, machine, before in heard:
            self._wait(partial(_has_told, machine, before))
        self._note(what, heard)

    def _note(self, what: str, speakers: list[tuple[str, Machine, int]]) -> None:
        """Let three people ask, and wait until they have access."""
        ask(self.machines.hub, [f"person-{self.asked + n}" for n in range(3)])
        self.asked += 3
        self._wait(lambda: len(count_moves(self.machines.hub)) == self.asked)
        moves = count_moves(self.machines.hub)
        told = [
            f"{name}: {self._clean(line)}"
            for name, machine, before in speakers
            for line in machine.lines[before:]
            if any(word in line for word in _TOLD)
        ]
        self.rows.append(
            (what, "<br>".join(told), f"{len(moves)} of {self.asked}, {sum(moves.values()) - len(moves)} twice")
        )

    def _clean(self, line: str) -> str:
        return re.sub(r"pid (\d+) on \S+", lambda found: f"pid ... on {self.names[int(found[1])]}", line)

    @staticmethod
    def _wait(is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + _WAIT_S
        while not is_so():
            if time.monotonic() > end:
                raise RuntimeError("the night stands still")
            time.sleep(0.05)


def _has_told(machine: Machine, before: int) -> bool:
    """Whether a loop has said since a line who leads."""
    return any(word in line for line in machine.lines[before:] for word in _TOLD)


@contextmanager
def _night(folder: Path) -> Iterator[MachinesNight]:
    with own_server(folder / "database") as server:
        address = server.get_uri()
        with LocalHub(requests=0, repos=1, clock="x60") as hub, opened_proxy(address) as proxy:
            machines = Machines(hub, folder, address)
            try:
                yield MachinesNight(machines, server, proxy)
            finally:
                machines.close()


def make_table() -> str:
    """Play the night; return its table in Markdown."""
    with tempfile.TemporaryDirectory() as folder, _night(Path(folder)) as night:
        night.play()
        lines = [f"| {what} | {told} | {accepted} |" for what, told, accepted in night.rows]
    return "\n".join(["| what happens | what the loops say | accepted on the Hub |", "|---|---|---|", *lines]) + "\n"


def main() -> int:
    """Write the page."""
    PAGE.write_text(renew(PAGE.read_text("utf-8"), make_table()), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
