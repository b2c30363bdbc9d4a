"""The Hub's own report of a repo: read whole, however large a real one is, and never without a limit."""

from __future__ import annotations

import json

from hf_gate.base.ids import Repo, RepoType
from hf_gate.errors import UnexpectedAnswer, to_command_hint
from hf_gate.hub.protocol.flows.calls import FlowContext
from hf_gate.hub.protocol.flows.repos import fetch_report
from hf_gate.hub.protocol.messages import FailureReason, NoReply
from tests.kits.flow_player import reply, run_flow

EEG = Repo(RepoType.DATASET, "acme", "eeg")
ROW = {
    "fullname": "F" * 40,
    "user": "u" * 42,
    "email": "e" * 50,
    "time": "2026-01-01T10:00:00.000Z",
    "reviewedAt": "2026-01-02T10:00:00.000Z",
    "status": "accepted",
    "grantedBy": {"fullname": "G" * 40, "user": "g" * 42},
}


def test_a_report_of_a_million_long_rows_fits_and_a_gigabyte_does_not() -> None:
    played = run_flow(fetch_report(EEG, FlowContext("https://hub.test")), lambda _: reply([ROW]))
    assert played.result == [ROW]
    (sent,) = played.sent
    assert len(json.dumps(ROW, separators=(",", ":"))) * 1_000_000 < sent.max_bytes < 1 << 29


def test_a_report_that_is_too_large_says_how_to_read_the_same() -> None:
    answer = NoReply(FailureReason.TOO_LARGE, False, "the answer is larger than 384 MiB")
    error = run_flow(fetch_report(EEG, FlowContext("https://hub.test")), lambda _: answer).error
    assert isinstance(error, UnexpectedAnswer)
    assert "larger than 384 MiB" in str(error)
    assert "hub.list(repo, status)" in error.hint
    assert "hf-gate ls REPO --status all --live" in to_command_hint(error.hint)
