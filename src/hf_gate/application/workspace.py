"""The workspace that all front ends hold: settings, location, store, Hub and clock. `bootstrap` opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from ..config import Settings
    from ..hub.client import Hub
    from ..policy.workspace_config import WorkspaceConfig
    from ..sources.fact_sources import FactSources
    from ..store.reading import Store
    from .ports import ClockPort

CONFIG_FILE: Final = "hf-gate.yaml"


@dataclass(frozen=True, slots=True)
class WorkspaceLocation:
    """Where the workspace is and what its hf-gate.yaml says. `folder` None: no workspace, only this user's store for one Hub."""

    folder: Path | None
    config: WorkspaceConfig

    @property
    def title(self) -> str:
        """The folder as people write it, with ~ for their home."""
        if self.folder is None:
            return "no workspace"
        home = Path.home()
        is_inside = self.folder != home and self.folder.is_relative_to(home)
        return f"~/{self.folder.relative_to(home)}" if is_inside else str(self.folder)

    @property
    def zone(self) -> tzinfo:
        """The time zone in which its days end."""
        from zoneinfo import ZoneInfo  # noqa: PLC0415 - most commands name no day

        return ZoneInfo(self.config.timezone)


class Workspace:
    """One location with its open store and its Hub. The Hub client is loaded when it is first asked for.

    Who acts and the policies are arguments of what works with it, not a part of it: threads share a workspace.
    `reopen` opens the same workspace read-only in another process.
    """

    def __init__(
        self,
        settings: Settings,
        location: WorkspaceLocation,
        store: Store,
        *,
        clock: ClockPort,
        open_hub: Callable[[], Hub],
        reopen: Callable[[], Workspace] | None = None,
    ) -> None:
        self.settings, self.location, self.store, self.clock = settings, location, store, clock
        self.reopen, self._open_hub = reopen, open_hub

    @cached_property
    def hub(self) -> Hub:
        """The Hub client."""
        return self._open_hub()

    @cached_property
    def zone(self) -> tzinfo:
        """The time zone in which days end."""
        return self.location.zone

    @cached_property
    def sources(self) -> FactSources:
        """Facts from outside a request: lists, and profiles from the Hub."""
        from ..sources.fact_sources import FactSources  # noqa: PLC0415 - only evaluation needs facts

        return FactSources(lambda: self.hub)

    def now(self) -> datetime:
        """This moment, in UTC."""
        return self.clock.now()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
