"""Changes of plans as values."""

from __future__ import annotations

import msgspec

from hf_gate.core.changes import Change, ChangeReason


def make_change(n: int = 1, **other: object) -> Change:
    plain = Change(
        repo="acme/med-7b",
        repo_type="model",
        request_id=f"{n:024x}",
        user_id=f"{n + 1000:024x}",
        user=f"user-{n}",
        asked_at=f"2026-11-{1 + n % 20:02d}T10:00:00.000Z",
        answers_digest="ab" * 32,
        before="pending",
        after="accepted",
        reason=None,
        rule="academic",
        policy="eeg",
        policy_digest="cd" * 32,
        because=[ChangeReason(expr="email.academic", value=True, facts={"email.academic": True})],
        row=n,
    )
    return msgspec.structs.replace(plain, **other)
