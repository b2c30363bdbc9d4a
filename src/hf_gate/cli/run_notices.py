"""Sends notices and letters between and after the turns of `hf-gate run`, and alarms directly while the store cannot be written."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..domain.notices import NoticeEvent, NoticeItem, NoticeMode
from ..errors import HfGateError, StoreBusy, StoreDamaged, StoreUnavailable
from ..private_files import make_private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from .framework import Run

_DIRECT_EVERY_S: Final = 3600.0
_SHORTEST_WAIT_S: Final = 1.0


class NoticeSender:
    """Sends the notices of one workspace. A failure is a warning: it never ends a turn."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.next_at: float | None = None  # epoch seconds; when the next notice is due
        self._direct_at = float("-inf")
        self._last_problems: dict[str, str] = {}

    def send(self) -> None:
        """Send what is due. Other processes can use the store meanwhile."""
        from .. import bootstrap
        from ..application.letters import send_letters
        from ..application.notifications import drain_workspace, store_destinations

        run = self.run
        self.next_at = None
        try:
            config = run.location.config
            if not (config.notify or config.letters.kinds) or not bootstrap.has_store(run.settings, run.location):
                return
            self._touch_stamp()
            with bootstrap.open_workspace(run.connection, run.location, lends=True, command="hf-gate run") as workspace:
                store_destinations(workspace)
                result = drain_workspace(workspace)
                letters = send_letters(workspace)
        except StoreBusy:  # the process that holds the store may send them
            self.next_at = run.now().timestamp() + 60.0
        except (HfGateError, OSError) as problem:
            run.out.warn(f"Notices were not sent: {problem}")
        except Exception as problem:  # noqa: BLE001 - no notice may end the loop; an unexpected text may name people
            run.out.warn(f"Notices were not sent: {type(problem).__name__}")
        else:
            self.next_at = None if result.next_at is None else result.next_at / 1000
            self._warn(result.problems)
            if letters.problem:
                run.out.warn(f"A letter to an applicant was not sent: {letters.problem}. See hf-gate letters preview")

    def _warn(self, problems: dict[str, str]) -> None:
        """Warn about each destination whose problem is new."""
        for name, problem in problems.items():
            if self._last_problems.get(name) != problem:
                self.run.out.warn(f"A notice to {name} was not delivered: {problem}")
        self._last_problems = problems

    def wait_until(self, until: float) -> None:
        """Wait, and send the notices whose time comes meanwhile."""
        clock = self.run.connection.clock
        while (left := until - clock.now().timestamp()) > 0:
            if self.next_at is None or self.next_at >= until:
                clock.sleep(left)
                return
            clock.sleep(max(_SHORTEST_WAIT_S, self.next_at - clock.now().timestamp()))
            self.send()

    # ---- without a store -----------------------------------------------------------------------------------------------

    def send_without_store(self, problem: Exception) -> None:
        """Send an alarm past the outbox if the store cannot be written; at most once an hour."""
        if isinstance(problem, StoreBusy) or not isinstance(problem, StoreUnavailable | StoreDamaged):
            return
        from .. import bootstrap
        from ..application.notifications import channel_opener, name_of, send_directly

        run = self.run
        with suppress(HfGateError):
            wanted = [
                one for one in run.location.config.notify if one.modes[NoticeEvent.FAILED_TURN] is not NoticeMode.OFF
            ]
            if not wanted or not self._take_turn():
                return
            item = NoticeItem(event=NoticeEvent.FAILED_TURN, facts={"text": f"A turn failed: {problem}"})
            for one in wanted:
                done = send_directly(
                    one,
                    [item],
                    channel_opener(run.location),
                    run.now(),
                    hub=bootstrap.endpoint_of(run.settings),
                    workspace_name=name_of(run.location),
                )
                if done.problem:
                    run.out.warn(f"An alarm to {one.name} was not delivered: {done.problem}")

    def _take_turn(self) -> bool:
        """Tell whether the last direct alarm is an hour old, also that of an earlier process; note this one."""
        now, stamp = self.run.now().timestamp(), self._stamp()
        last = self._direct_at
        with suppress(OSError):
            last = max(last, stamp.stat().st_mtime)
        if 0 <= now - last < _DIRECT_EVERY_S:
            return False
        self._direct_at = now
        self._touch_stamp()
        with suppress(OSError):
            os.utime(stamp, (now, now))  # needs no space on the disk
        return True

    def _touch_stamp(self) -> None:
        """Make the stamp in good times, because later the disk may be full."""
        stamp = self._stamp()
        with suppress(OSError):
            if not stamp.exists():
                make_private_folder(stamp.parent)
                stamp.touch(mode=0o600)
                os.utime(stamp, (0, 0))

    def _stamp(self) -> Path:
        folder = hashlib.sha256(str(self.run.location.folder).encode()).hexdigest()[:16]
        return self.run.settings.paths.state / "alarms" / folder
