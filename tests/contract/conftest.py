"""A small world for the tests of the library: an owner, a few people, a gated model and a gated dataset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import REQUESTERS, OneRepoHub


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    """A Hub with one gated model of an organisation, and mia, whom nobody has accepted yet."""
    with LocalHub(requests=0, repos=1) as local:
        local.add_people([{"username": "mia"}])
        yield local


@pytest.fixture
def world() -> Iterator[OneRepoHub]:
    with LocalHub(requests=0, repos=1, people=REQUESTERS) as local:
        repo = local.repos[0]["repo"]
        with Hub(local.tokens["owner"], local.url, timeout=2.0) as owner:
            yield OneRepoHub(local, repo, owner)
