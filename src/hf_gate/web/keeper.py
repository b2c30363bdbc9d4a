"""What goes on behind the pages: decisions leave the tray at their time, and the Hub is read so that the queue is fresh."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from ..application.cadence import SHARE, due_kind, next_pause, note_of
from ..application.policy_bundle import PolicyBundle
from ..application.propose import propose
from ..application.sync import sync
from ..domain.ids import Repo
from ..domain.moments import ms
from ..errors import HfGateError
from .office import Office

_log = logging.getLogger("hf_gate.web")
_SOON, _LATER = 15.0, 60.0  # seconds between two looks while somebody watches
_TICK: Final = 0.25  # seconds between two looks into the tray
_UNKNOWN: Final = 30.0  # seconds until what a crash left unknown is asked again


@dataclass
class Keeper:
    """Two threads of one desk, which end when they are told to. `repos`: which to read; asked anew each time."""

    office: Office
    repos: Callable[[], Sequence[Repo]]
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _read_now: threading.Event = field(default_factory=threading.Event)
    _judged: PolicyBundle | None = None

    def start(self) -> None:
        for name, work in (("hf-gate-tray", self._send), ("hf-gate-reader", self._read)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, wait: float = 10.0) -> None:
        """Lets what is under way come to its end; what is in the tray stays there."""
        self._stop.set()
        self._read_now.set()
        self.office.wake.set()
        end = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.1, end - time.monotonic()))

    def read_now(self) -> None:
        """Somebody wishes to see the Hub as it is now."""
        self._read_now.set()

    # ---- the tray ----------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        recovered_at = -_UNKNOWN
        while not self._stop.is_set():
            try:
                if time.monotonic() - recovered_at >= _UNKNOWN:
                    self._recover()
                    recovered_at = time.monotonic()
                self._send_due()
            except HfGateError as problem:
                self.office.clearing.problem = str(problem)
            except OSError as problem:
                _log.warning("sending from the tray failed: %s", problem.strerror)
                self.office.clearing.problem = f"this machine: {problem.strerror}"
            except Exception:  # noqa: BLE001 - a thread that dies would leave the tray lying
                _log.exception("sending from the tray failed")
                self.office.clearing.problem = "a fault of hf-gate; the log has it"
            self.office.wake.wait(_TICK)
            self.office.wake.clear()

    def _recover(self) -> None:
        office = self.office
        if any(item.run is not None for item in office.tray.waiting()):
            with office.store.working():
                office.clearing.recover(office.now())

    def _send_due(self) -> None:
        office = self.office
        if office.tray.due(ms(office.now())):
            with office.store.working():
                office.clearing.send_due(office.now())

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        pause = _SOON
        while not self._stop.is_set():
            self.office.pulse.is_reading = True
            try:
                pause = self._pause(pause, found=self._read_all())
            except HfGateError as problem:
                self.office.pulse.problem = str(problem)
            except OSError as problem:  # such as no free file descriptor, while others hold all connections
                _log.warning("reading the Hub failed: %s", problem.strerror)
                self.office.pulse.problem = f"this machine: {problem.strerror}"
            except Exception:  # noqa: BLE001 - a thread that dies would never read again
                _log.exception("reading the Hub failed")
                self.office.pulse.problem = "a fault of hf-gate; the log has it"
            self.office.pulse.is_reading = False
            self.office.pulse.next_at = self.office.now() + timedelta(seconds=pause)
            if self._read_now.wait(pause):
                self._read_now.clear()
                pause = _SOON

    def _pause(self, before: float, *, found: bool) -> float:
        """Seconds until the next look: short while somebody is there to see, and never more than a share of the calls."""
        outlook, repos = self.office.hub.outlook(), max(1, len(self.office.store.repos()))
        calls, quota, window = 4 * repos, outlook.quota, outlook.window_s
        if not self.office.is_watched:
            return next_pause(before, found=found, calls=calls, quota=quota, window=window)
        floor = calls * window / (SHARE * quota) if quota and window else 0.0
        return max(floor, _SOON, min(_LATER, before / 2 if found else before * 1.5))

    def _read_all(self) -> bool:
        office, found, problem = self.office, False, None
        for repo in self.repos():
            if self._stop.is_set():
                return found
            try:
                with office.store.working():
                    due = due_kind(office.store.repo(repo), ms(office.now()), note_of(office.store, repo))
                    found |= bool(sync(office.hub, office.store, office.clock, repo, due.kind, actor=office.owner).news)
            except HfGateError as trouble:
                problem = f"{repo}: {trouble}"
        office.pulse.problem = problem
        if problem is None:
            office.pulse.read_at = office.now()
        self._judge(found=found)
        return found

    def _judge(self, *, found: bool) -> None:
        """Enters the verdicts that are new, so that the queue can be asked for them. Plans nothing, sends nothing."""
        bundle = self.office.policies
        if bundle is None or (not found and self._judged is bundle):
            return
        self._judged, workspace = bundle, self.office.workspace
        with workspace.store.working():
            courts = bundle.for_repos(workspace.store, workspace.sources)
            propose(
                workspace.store,
                courts,
                self.office.pool(bundle).evaluate,
                now=workspace.now(),
                policies=bundle.policies,
            )
