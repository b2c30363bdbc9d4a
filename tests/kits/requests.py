"""Requests for access as values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hf_gate.base.ids import Person, Repo, RepoType
from hf_gate.core.lifecycle import Status
from hf_gate.core.requests import AccessRequest

REPO = Repo(RepoType.DATASET, "acme", "eeg")
AT = datetime(2026, 10, 1, tzinfo=UTC)


def make_request(name: str | None, answers: dict[str, str] | None = None, **more: Any) -> AccessRequest:
    return AccessRequest(
        repo=REPO,
        status=Status.PENDING,
        asked_at=AT,
        person=Person("a" * 24 if name else None, name),
        request_id="b" * 24,
        answers=answers or {},
        has_form=answers is not None,
        **more,
    )
