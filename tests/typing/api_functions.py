"""The functions by `huggingface_hub`'s names, and the local Hub for tests, as a type checker sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_type

from hf_gate import (
    AccessRequest,
    Person,
    accept_access_request,
    cancel_access_request,
    grant_access,
    list_accepted_access_requests,
    list_pending_access_requests,
    list_rejected_access_requests,
    list_reset_access_requests,
    reject_access_request,
    reset_access_request,
    revoke_access,
)
from hf_gate.testing import ClockControl, LocalHub, hf_local_hub


def lists() -> None:
    assert_type(list_pending_access_requests("acme/eeg", repo_type="dataset", token=None), Iterable[AccessRequest])
    assert_type(list_accepted_access_requests("acme/med-7b", token="hf_x"), Iterable[AccessRequest])
    assert_type(list_rejected_access_requests("acme/med-7b", token=False), Iterable[AccessRequest])
    assert_type(list_reset_access_requests("acme/med-7b"), Iterable[AccessRequest])
    list_pending_access_requests()  # type: ignore[call-arg]
    list_pending_access_requests("acme/eeg", "dataset")  # type: ignore[call-arg]
    list_pending_access_requests("acme/eeg", token=7)  # type: ignore[arg-type]


def decisions(person: Person) -> None:
    done: list[None] = []
    done.append(accept_access_request("acme/eeg", "mia", repo_type="dataset", token="hf_x"))  # type: ignore[func-returns-value]
    accept_access_request("acme/eeg", request_id="0" * 24)
    reject_access_request("acme/eeg", "mia", rejection_reason=None)
    reject_access_request("acme/eeg", request_id="0" * 24, repo_type="dataset", rejection_reason="No.")
    cancel_access_request("acme/eeg", "mia")
    reset_access_request("acme/eeg", "mia", reset_reason="Say more.")
    grant_access("acme/eeg", "mia", repo_type="dataset")
    revoke_access("acme/eeg", "mia", how="reject", reason="No.")
    reject_access_request("acme/eeg", "mia")  # type: ignore[call-arg]
    reject_access_request("acme/eeg", "mia", reason="No.")  # type: ignore[call-arg]
    accept_access_request("acme/eeg", person)  # type: ignore[arg-type]
    grant_access("acme/eeg")  # type: ignore[call-arg]
    revoke_access("acme/eeg", "mia", how="remove")  # type: ignore[arg-type]


def local_hub() -> None:
    with LocalHub(7, 200, 3, [{"username": "mia"}], ["truncate:p=0.1"], "50/3", "2026-08", "x60") as hub:
        assert_type(hub, LocalHub)
        assert_type(hub.url, str)
        assert_type(hub.tokens, dict[str, str])
        assert_type(hub.repos, list[dict[str, Any]])
        assert_type(hub.journal(), list[dict[str, Any]])
        assert_type(hub.journal(after=7), list[dict[str, Any]])
        assert_type(hub.stats(), dict[str, Any])
        assert_type(hub.clock, ClockControl)
        assert_type(hub.clock.now(), float)
        hub.clock.advance("48h")
        hub.set_faults(["fail_after:p=0.1"])
        assert_type(hub.add_people([{"username": "max"}]), list[dict[str, str]])
        assert_type(hub.add_requests([{"repo": "acme/eeg", "user": "max", "answers": {}}]), list[dict[str, str]])
        hub.rename("max", "moritz")
        hub.set_card("acme/eeg", "# EEG", repo_type="dataset")
        hub.set_role("acme", "mia", "write")
        scope = {"repo": "acme/eeg", "permissions": ["repo.content.read"]}
        assert_type(hub.add_token("mia", "fineGrained", name="laptop", can_read_gated=True, scopes=[scope]), str)
        assert_type(hub.add_token("mia", expired=True, restrictions=["sso"]), str)
        hub.add_token("mia", "read", "laptop")  # type: ignore[call-arg]
        hub.reset()
        hub.control("POST", "reset", {})
        hub.clock.advance(48)  # type: ignore[arg-type]
        hub.set_faults([7])  # type: ignore[list-item]
        hub.add_people([{"username": 7}])  # type: ignore[dict-item]
        hub.add_people({"username": "max"})  # type: ignore[arg-type]
        hub.rename("max")  # type: ignore[call-arg]
    LocalHub(preset="class", page_size=10, latency=0.05)
    LocalHub(7, 200, 3, None, (), None, "2026-08", "real", "class")  # type: ignore[call-arg]
    LocalHub(requests="200")  # type: ignore[arg-type]


def in_a_test(fixture: Iterator[LocalHub]) -> None:
    assert_type(next(fixture), LocalHub)
    hf_local_hub.undo()  # type: ignore[attr-defined]
