"""Sends notices and letters between and after the turns of `hf-gate run`, and alarms directly while the store cannot be
written.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from hf_gate.base.private_files import make_private_folder
from hf_gate.core.letters.messages import APPLICANTS
from hf_gate.core.letters.notices import REMIND_MS, NoticeEvent, NoticeMode
from hf_gate.errors import HfGateError, StoreBusy, StoreDamaged, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from hf_gate.command_line.framework import CommandContext
    from hf_gate.core.letters.notices import Destination, NoticeItem
    from hf_gate.settings.service.workspace import Workspace

_SHORTEST_WAIT_S: Final = 1.0
_PATIENCE_S: Final = 3600.0  # after this time without a store, a loop that stood by tells it too
_END_EVERY_S: Final = 3600.0  # a service manager may start a loop that ends again and again


class NoticeSender:
    """Sends the notices of one workspace. A failure is a warning: it never ends a turn."""

    def __init__(self, context: CommandContext) -> None:
        self.context = context
        self.next_at: float | None = None  # epoch seconds; when the next notice is due
        self._stamps: dict[str, _AlarmStamp] = {}
        self.stands_by = False  # whether another loop led when the store could last be used
        self._lost_at: float | None = None  # epoch seconds; since when the store cannot be used
        self._last_problems: dict[str, str] = {}

    def follow_turn(self, problem: Exception | None = None) -> None:
        """Send what is due after a turn, which ended with this problem; an alarm directly if the store
        cannot be used.
        """
        is_lost = isinstance(problem, StoreUnavailable | StoreDamaged) and not isinstance(problem, StoreBusy)
        now = self.context.now().timestamp()
        self._lost_at = (self._lost_at or now) if is_lost else None
        has_patience = self.stands_by and self._lost_at is not None and now - self._lost_at < _PATIENCE_S
        if problem is not None and is_lost and not has_patience:  # the loop that leads tells it sooner
            self._alarm_directly(problem)
        self.send(has_store=not is_lost and not isinstance(problem, StoreBusy))

    def load_modules(self) -> None:
        """Load what the last notice of a loop needs: during an upgrade, the files of the package may be gone."""
        from hf_gate.automation.service import turn_log
        from hf_gate.messages.channels import channels
        from hf_gate.messages.service import message_sending, notifications

        self._modules = (message_sending, notifications, turn_log, channels)

    def send(self, *, has_store: bool = False) -> None:
        """Send what is due. Other processes can use the store meanwhile. `has_store`: a turn could use the store."""
        from hf_gate.messages.service.message_sending import drain_workspace
        from hf_gate.messages.service.notifications import store_destinations
        from hf_gate.workspace.service import bootstrap

        context = self.context
        self.next_at = None
        try:
            config = context.last_location.config
            if not (config.notify or config.letters.kinds) or not bootstrap.has_store(
                context.settings, context.last_location
            ):
                return
            with bootstrap.connect_workspace(
                context.connection, context.last_location, lends=True, command="hf-gate run"
            ) as workspace:
                store_destinations(workspace)
                if has_store:
                    self._report_recovery(workspace)
                result = drain_workspace(workspace, with_letters=True)
        except StoreBusy:  # the process that holds the store may send them
            self.next_at = context.now().timestamp() + 60.0
        except (HfGateError, OSError) as problem:
            context.out.warn(f"Notices were not sent: {problem}")
        except Exception as problem:  # noqa: BLE001 - no notice may end the loop; an unexpected text may name people
            context.out.warn(f"Notices were not sent: {type(problem).__name__}")
        else:
            self.next_at = None if result.next_at is None else result.next_at / 1000
            self._warn(result.problems)

    def _warn(self, problems: dict[str, str]) -> None:
        """Warn about each destination whose problem is new."""
        for name, problem in problems.items():
            if self._last_problems.get(name) != problem:
                what = (
                    "A letter to an applicant was not sent"
                    if name == APPLICANTS
                    else f"A notice to {name} was not delivered"
                )
                self.context.out.warn(f"{what}: {problem}. See hf-gate messages ls")
        self._last_problems = problems

    def wait_until(self, until: float) -> None:
        """Wait, and send the notices whose time comes meanwhile."""
        clock = self.context.connection.clock
        while (left := until - clock.now().timestamp()) > 0:
            if self.next_at is None or self.next_at >= until:
                clock.sleep(left)
                return
            clock.sleep(max(_SHORTEST_WAIT_S, self.next_at - clock.now().timestamp()))
            self.send()

    # ---- without a store ---------------------------------------------------------------------------------------------

    def _alarm_directly(self, problem: Exception) -> None:
        """Send an alarm past the outbox, to each destination once a day and after as many turns as it wants."""
        from hf_gate.automation.service.turn_log import TurnFailure, condition_of_failure

        context = self.context
        now = self.context.now().timestamp()
        with suppress(HfGateError):
            for one in context.last_location.config.notify:
                stamp = self._stamp(one.name)
                event = NoticeEvent.FAILED_TURN
                turns, told_at = stamp.load()
                is_told = 0 <= now - told_at < REMIND_MS / 1000
                if one.modes[event] is not NoticeMode.OFF and turns + 1 >= one.after[event] and not is_told:
                    item = condition_of_failure(TurnFailure(problem)).item
                    told_at = now if self._send_directly(one, item) else told_at  # else the next turn tries again
                stamp.store(turns + 1, told_at)

    def tell_end_directly(self, item: NoticeItem) -> None:
        """Send past the outbox that the loop has ended, to each destination at most once an hour."""
        now = self.context.now().timestamp()
        for one in self.context.last_location.config.notify:
            stamp = self._stamp(f"{one.name} {item.event}")
            is_told = 0 <= now - stamp.load().told_at < _END_EVERY_S
            if one.modes[item.event] is not NoticeMode.OFF and not is_told and self._send_directly(one, item):
                stamp.store(0, now)

    def _send_directly(self, destination: Destination, item: NoticeItem) -> bool:
        """Send an alarm past the outbox; return whether it was delivered."""
        from hf_gate.messages.service.notifications import channel_opener, name_workspace, send_directly
        from hf_gate.workspace.service import bootstrap

        context = self.context
        done = send_directly(
            destination,
            [item],
            channel_opener(context.last_location),
            context.now(),
            hub=bootstrap.endpoint_of(context.settings),
            workspace_name=name_workspace(context.last_location),
        )
        if done.problem:
            context.out.warn(f"An alarm to {destination.name} was not delivered: {done.problem}")
        return not done.problem

    def _report_recovery(self, workspace: Workspace) -> None:
        """Queue the end of alarms that were sent past the outbox, because the turn could use the store."""
        from hf_gate.messages.service.notifications import queue_store_recovery

        stamps = {one.name: self._stamp(one.name) for one in self.context.last_location.config.notify}
        states = {name: stamp.load() for name, stamp in stamps.items()}
        if told := {name: round(state.told_at * 1000) for name, state in states.items() if state.told_at}:
            queue_store_recovery(workspace, told)
        for name in (name for name, state in states.items() if any(state)):
            stamps[name].store(0, 0.0)

    def _stamp(self, destination: str) -> _AlarmStamp:
        known = self._stamps.get(destination)
        if known is None:
            name = hashlib.sha256(f"{self.context.last_location.folder}\n{destination}".encode()).hexdigest()[:16]
            known = _AlarmStamp(self.context.settings.paths.state / "alarms" / name)
            self._stamps[destination] = known
        return known


class _StampState(NamedTuple):
    """For how many turns in a row the store was not usable, and when a destination was told (epoch seconds; 0: not
    yet).
    """

    turns: int
    told_at: float


class _AlarmStamp:
    """Remembers alarms about a store that is not usable, also for later processes.

    The times of an empty file hold the state, because they can be set on a full disk. The file is made in good times.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = _StampState(0, 0.0)
        with suppress(OSError):
            if not path.exists():
                make_private_folder(path.parent)
                path.touch(mode=0o600)
                os.utime(path, (0, 0))

    def load(self) -> _StampState:
        """Return the state, of another process if that is newer."""
        with suppress(OSError):
            found = self._path.stat()
            return _StampState(round(found.st_atime), found.st_mtime)
        return self._state

    def store(self, turns: int, told_at: float) -> None:
        """Store the state; without the file, it lasts as long as this process."""
        self._state = _StampState(turns, told_at)
        with suppress(OSError):
            os.utime(self._path, (turns, told_at))
