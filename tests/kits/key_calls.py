"""Calls of other systems to a desk, with a key and without a session."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from hf_gate.base.timestamps import to_ms
from hf_gate.members.rows.api_keys import make_key
from hf_gate.members.sessions import ApiKey, digest_secret
from tests.kits.desk import Answer, Desk, Visitor

BARE = {"origin": "-", "sec-fetch-site": "-"}


def give_key(
    desk: Desk, name: str = "billing", *verbs: str, repos: tuple[str, ...] | None = ("*/*", "datasets/*/*")
) -> str:
    """The secret of a new key, by default one that may do everything everywhere."""
    secret = f"gate_{name}-{digest_secret(name + ''.join(verbs))[:40]}"
    at = to_ms(desk.app_state.now())
    able = verbs or ("accept", "reset", "reject", "cancel", "events")
    key = ApiKey(digest=digest_secret(secret), name=name, verbs=able, repos=repos, made_at=at)
    assert make_key(desk.app_state.workspace.store, key, "lena-brandt")
    return secret


def send(desk: Desk, secret: str, body: Any, idempotency: str | None = "pay-1", **headers: str) -> Answer:
    """A decision, as curl sends it."""
    sent = {"content-type": "application/json", "authorization": f"Bearer {secret}", **BARE}
    if idempotency is not None:
        sent["idempotency-key"] = idempotency
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Visitor(desk.app).ask("POST", "/api/v1/decisions", raw, {**sent, **more})


def settle(desk: Desk, secret: str, body: Any, idempotency: str = "pay-1") -> Answer:
    """A decision that the desk's thread sends, and the same call again."""
    first = send(desk, secret, body, idempotency)
    assert first.status == 202, first.body
    assert first.json["outcome"] is None
    desk.app_state.tray_service.send_due(desk.app_state.now() + timedelta(seconds=1))
    return send(desk, secret, body, idempotency)
