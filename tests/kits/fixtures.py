"""Fixtures for all tests: local Hubs, desks and a browser. tests/conftest.py loads this module as a plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import REQUESTERS, OneRepoHub

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.kits.desk import Desk

_FLAGS = ("--no-sandbox", "--disable-gpu", "--js-flags=--no-opt --no-maglev --no-flush-bytecode")
"""Each page runs its scripts once or twice: to optimise them takes longer than to run them as they are."""


# ---- local Hubs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh() -> Iterator[LocalHub]:
    """A Hub with three repos and no requests."""
    with LocalHub(requests=0) as hub:
        yield hub


@pytest.fixture(scope="module")
def crowded_hub() -> Iterator[LocalHub]:
    """A Hub with 300 requests; the tests of a module share it and change nothing in it."""
    with LocalHub(requests=300) as hub:
        yield hub


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """A Hub with one gated model of an organisation, and mia, who has not asked."""
    with LocalHub(requests=0, repos=1) as local:
        local.add_people([{"username": "mia"}])
        yield local


@pytest.fixture
def world() -> Iterator[OneRepoHub]:
    """A Hub with one gated repo, five people who have not asked, and a client of the owner."""
    with LocalHub(requests=0, repos=1, people=REQUESTERS) as local:
        repo = local.repos[0]["repo"]
        with Hub(local.tokens["owner"], local.url, timeout=2.0) as owner:
            yield OneRepoHub(local, repo, owner)


# ---- desks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk at one repo where nobody has asked yet."""
    from tests.kits.desk import open_desk

    with open_desk(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk at three repos with 300 requests; the tests of a module share it and change nothing in it."""
    from tests.kits.desk import open_desk

    with open_desk(tmp_path_factory.mktemp("desk"), requests=300, repos=3) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium without a window; its driver keeps an event loop in this thread, so it does not outlive the module."""
    from playwright.sync_api import sync_playwright

    from tests.kits.desk import find_chromium

    path = find_chromium()
    if path is None:
        pytest.skip("there is no Chromium here and none can be installed: the pages are not looked at in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield started
        started.close()
