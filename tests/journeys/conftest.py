"""Local Hubs for journeys: one that is only read, and a fresh one for those who change something."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hf_gate.testing import LocalHub


@pytest.fixture(scope="module")
def crowded() -> Iterator[LocalHub]:
    """A Hub with 300 requests; tests of a module share it and change nothing in it."""
    with LocalHub(requests=300) as hub:
        yield hub


@pytest.fixture
def fresh() -> Iterator[LocalHub]:
    """A Hub with three repos and nobody asking."""
    with LocalHub(requests=0) as hub:
        yield hub
