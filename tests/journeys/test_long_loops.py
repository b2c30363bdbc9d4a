"""A loop of `hf-gate run` that runs for long keeps nothing of its earlier turns."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from hf_gate.store.store import Store
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, Console, request_access
from tests.kits.message_servers import open_hook

TURNS = 20


def test_a_loop_keeps_no_store_of_earlier_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    token = tmp_path / "token"
    counts = list[int]()
    with LocalHub(requests=0, clock="x600") as hub, open_hook() as heartbeat:

        def count_stores() -> None:
            gc.collect()
            counts.append(sum(type(one) is Store for one in gc.get_objects()))
            if len(counts) == TURNS:
                token.write_text(hub.tokens["writer"])  # the loop ends, because it is another account

        heartbeat.on_call = count_stores
        token.write_text(hub.tokens["owner"])
        request_access(hub, ["ada-l"], DATASET)
        console = Console(hub)
        assert console.run("init", DATASET).code == 0
        with (tmp_path / "hf-gate.yaml").open("a", encoding="utf-8") as file:
            file.write("heartbeat_url: env:BEAT\n")
        environment = {"BEAT": heartbeat.url, "HF_GATE_CLOCK": "hub"}
        ended = console.run("run", "--every", "1m", "--token-file", str(token), env=environment)
    assert (ended.code, len(counts)) == (2, TURNS), ended.err
    assert max(counts) - counts[0] <= 1, counts
