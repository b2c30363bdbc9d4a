"""The workspace that all interfaces share: settings, location, store, Hub and clock. `bootstrap` opens it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from zoneinfo import ZoneInfo

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from hf_gate.config import Settings
    from hf_gate.core.ports import ClockPort
    from hf_gate.hub.client import Hub
    from hf_gate.settings.workspace_config import WorkspaceConfig
    from hf_gate.store.store import Store

CONFIG_FILE: Final = "hf-gate.yaml"
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(letter: str = "r") -> str:
    """Return an id: a letter, `_` and 12 random characters that do not look alike."""
    return f"{letter}_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))


class WorkspaceLocation(Struct, frozen=True):
    """The folder and configuration of a workspace.

    If `folder` is None, there is no workspace, only this user's store for one Hub.
    """

    folder: Path | None
    config: WorkspaceConfig

    @property
    def title(self) -> str:
        """The path of the folder, with ~ for the home folder."""
        if self.folder is None:
            return "no workspace"
        home = Path.home()
        is_inside = self.folder != home and self.folder.is_relative_to(home)
        return f"~/{self.folder.relative_to(home)}" if is_inside else str(self.folder)

    @property
    def zone(self) -> tzinfo:
        """The time zone in which days end."""
        return ZoneInfo(self.config.timezone)


class Workspace:
    """A location with its open store and its Hub. The Hub client is loaded at its first use.

    The actor and the policies are arguments of functions, so that threads can share a workspace. `reopen` opens the
    same workspace read-only in another process.
    """

    def __init__(
        self,
        settings: Settings,
        location: WorkspaceLocation,
        store: Store,
        *,
        clock: ClockPort,
        open_hub: Callable[[], Hub],
        is_hub_open: Callable[[], bool] = lambda: True,
        reopen: Callable[[], Workspace] | None = None,
    ) -> None:
        self.settings = settings
        self.location = location
        self.store = store
        self.clock = clock
        self.reopen = reopen
        self._open_hub = open_hub
        self._is_hub_open = is_hub_open

    @cached_property
    def hub(self) -> Hub:
        """The Hub client."""
        return self._open_hub()

    @property
    def measured_skew(self) -> float | None:
        """Seconds that the Hub's clock is ahead, if a call has measured it; this does not load the Hub client."""
        return self.hub.skew if self._is_hub_open() else None

    @cached_property
    def zone(self) -> tzinfo:
        """The time zone in which days end."""
        return self.location.zone

    def use_settings(self, settings: Settings) -> None:
        """Use these settings, and a new Hub client, from now on."""
        self.settings = settings
        vars(self).pop("hub", None)

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return self.clock.now()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
