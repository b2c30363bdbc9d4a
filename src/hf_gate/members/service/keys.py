"""Makes keys of other systems: their names, verbs and repos."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import VERBS
from hf_gate.core.people.members import EVENTS, MEMBER_NAME, METRICS, TABLE
from hf_gate.errors import UsageError
from hf_gate.members.rows.api_keys import make_key
from hf_gate.members.sessions import ApiKey, digest_secret
from hf_gate.settings.service.workspace import Workspace

from .members import require_few_globs

_KEY_VERBS: Final = (*VERBS, EVENTS, METRICS, TABLE)
KEY_PREFIX: Final = "gate_"
"""The start of each secret of a key, by which scanners of secrets can find one."""


def add_key(workspace: Workspace, name: str, verbs: Sequence[str], repos: Sequence[str], by: str) -> str:
    """Make a key; return its secret. Raises UsageError if the key is not valid, or exists."""
    secret = f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"
    key = _check_key(name, verbs, repos, digest_secret(secret), to_ms(workspace.now()))
    if not make_key(workspace.store, key, by):
        raise UsageError(f"the key {name} exists.", hint=f"Choose another name, or first: hf-gate keys remove {name}")
    return secret


def _check_key(name: str, verbs: Sequence[str], repos: Sequence[str], digest: str, at: int) -> ApiKey:
    """Return the key to store."""
    if not MEMBER_NAME.match(name):
        raise UsageError(f"{name[:100]!r} is not a valid name of a key.", hint="Write billing, for example.")
    verbs = tuple(dict.fromkeys(verbs))
    globs = tuple(repos) or None
    require_few_globs(repos, "a key")
    wrong = next((verb for verb in verbs if verb not in _KEY_VERBS), None)
    if wrong is not None or not verbs:
        raise UsageError(
            "a key needs --verbs." if wrong is None else f"{wrong!r} is not a verb.",
            hint=f"--verbs takes some of {','.join(_KEY_VERBS)}, separated by commas.",
        )
    if globs is None and not {*verbs} <= {EVENTS, METRICS}:
        raise UsageError(
            "a key that decides or changes rows needs repos.", hint="--repo acme/model, or --repo 'datasets/acme/*'."
        )
    return ApiKey(digest=digest, name=name, verbs=verbs, repos=globs, made_at=at)
