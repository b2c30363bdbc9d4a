"""Makes keys of other systems: their names, verbs and repos."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import VERBS
from hf_gate.core.people.members import EVENTS, MEMBER_NAME, TABLE
from hf_gate.errors import UsageError
from hf_gate.members.rows.api_keys import list_api_keys, make_key
from hf_gate.members.sessions import KEY_OVERLAP, ApiKey, digest_secret
from hf_gate.settings.service.workspace import Workspace

from .members import require_few_globs

KEY_PREFIX: Final = "gate_"
"""The start of each secret of a key, by which scanners of secrets can find one."""


def add_key(
    workspace: Workspace, name: str, verbs: Sequence[str], repos: Sequence[str], by: str, *, ends_earlier: bool
) -> tuple[str, int | None]:
    """Make a key, or a new secret for one that exists. Return the secret, and until when an earlier one works (ms).

    Raises UsageError if the key is not valid, or would change one that exists.
    """
    at = to_ms(workspace.now())
    secret = f"{KEY_PREFIX}{secrets.token_urlsafe(32)}"
    key = _check_key(name, verbs, repos, list_api_keys(workspace.store, at), digest_secret(secret), at)
    end = at - 1 if ends_earlier else at + KEY_OVERLAP
    return secret, make_key(workspace.store, key, by, old_until=end)


def _check_key(
    name: str, verbs: Sequence[str], repos: Sequence[str], known: Sequence[ApiKey], digest: str, at: int
) -> ApiKey:
    """Return the key to store."""
    if not MEMBER_NAME.match(name):
        raise UsageError(f"{name[:100]!r} is not a valid name of a key.", hint="Write billing, for example.")
    verbs = tuple(dict.fromkeys(verbs))
    globs = tuple(repos) or None
    require_few_globs(repos, "a key")
    earlier = next((one for one in known if one.name == name), None)
    if earlier is not None:
        if (verbs and set(verbs) != set(earlier.verbs)) or (globs and globs != earlier.repos):
            raise UsageError(
                f"the key {name} exists with other verbs or repos.",
                hint=f"Leave --verbs and --repo out to get a new secret; or first: hf-gate keys remove {name}",
            )
        return ApiKey(digest=digest, name=name, verbs=earlier.verbs, repos=earlier.repos, made_at=at)
    wrong = next((verb for verb in verbs if verb not in {*VERBS, EVENTS, TABLE}), None)
    if wrong is not None or not verbs:
        raise UsageError(
            f"a new key needs --verbs: there is no key {name} yet." if wrong is None else f"{wrong!r} is not a verb.",
            hint=f"--verbs takes some of {','.join((*VERBS, EVENTS, TABLE))}, separated by commas.",
        )
    if globs is None and verbs != (EVENTS,):
        raise UsageError(
            "a key that decides or changes rows needs repos.", hint="--repo acme/model, or --repo 'datasets/acme/*'."
        )
    return ApiKey(digest=digest, name=name, verbs=verbs, repos=globs, made_at=at)
