"""Whatever is entered, the store's rows are what its ledger folds into, its counts are counts, and its chains hold."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import (
    run_state_machine_as_test,
)

from hf_gate.core.events.events import canonical_json
from hf_gate.core.events.ledger import GENESIS
from tests.kits.store_machine import StoreMachine
from tests.kits.stores import new_store


def _settings(examples: int) -> settings:
    """At most 50 steps: the invariants read the whole ledger at every step."""
    return settings(max_examples=examples, stateful_step_count=min(50, settings().stateful_step_count))


def test_on_sqlite() -> None:
    with tempfile.TemporaryDirectory() as folder:

        class OnFiles(StoreMachine):
            def __init__(self) -> None:
                super().__init__()
                self.place = str(Path(tempfile.mkdtemp(dir=folder)) / "desk.db")

        run_state_machine_as_test(OnFiles, settings=_settings(settings().max_examples))


def test_on_postgresql(postgres_uri: str) -> None:
    class OnServer(StoreMachine):
        def __init__(self) -> None:
            super().__init__()
            self.place = new_store(postgres_uri)

    # A server answers each query several times slower than a file does.
    run_state_machine_as_test(OnServer, settings=_settings(max(10, settings().max_examples // 10)))


def test_a_chain_begins_where_the_house_says() -> None:
    assert hashlib.sha256(b"hf-gate ledger 1").digest() == GENESIS
    assert canonical_json({}) == b"{}"
