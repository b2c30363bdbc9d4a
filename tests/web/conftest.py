"""Rooms and browsers for tests of the desk in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.kits.desk import Desk, find_chromium, open_desk

_FLAGS = ("--no-sandbox", "--disable-gpu", "--js-flags=--no-opt --no-maglev --no-flush-bytecode")
"""Each page runs its scripts once or twice: to optimise them takes longer than to run them as they are."""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Desk]:
    """A desk at one repo where nobody has asked yet."""
    with open_desk(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk at three repos with 300 requests; who changes something takes `room`."""
    with open_desk(tmp_path_factory.mktemp("desk"), requests=300, repos=3) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium without a window; its driver keeps an event loop in this thread, so it does not outlive the module."""
    path = find_chromium()
    if path is None:
        pytest.skip("there is no Chromium here and none can be installed: the pages are not looked at in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield started
        started.close()
