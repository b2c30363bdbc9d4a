"""The only place where concrete things are constructed and joined: the Hub of some settings, its account, the clock, profiles."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .config import Flags, Settings, read_settings
from .errors import HfGateError, HubUnavailable, NotAllowed, Offline

if TYPE_CHECKING:
    from .domain.accounts import Account
    from .hub.client import Hub

_ACCOUNT_LIVES: Final = 24 * 3600  # seconds: who a token belongs to never changes, its organisations may


def settings(flags: Flags) -> Settings:
    """The settings of this process."""
    return read_settings(flags, os.environ, Path.home())


def endpoint_of(settings: Settings) -> str:
    """Which Hub is meant."""
    from .hub.credentials import resolve_endpoint  # noqa: PLC0415 - as in open_hub

    return resolve_endpoint(settings.endpoint)


def is_special(settings: Settings) -> bool:
    """Whether this is another Hub or account than people expect without a word."""
    from .hub.credentials import PUBLIC_HUB  # noqa: PLC0415 - as in open_hub

    return endpoint_of(settings) != PUBLIC_HUB or settings.profile is not None or settings.token_from is not None


def hub_name(settings: Settings) -> str:
    """The Hub as people call it: its host, and the port of a local one."""
    return urlsplit(endpoint_of(settings)).netloc


def has_token(settings: Settings) -> bool:
    """Whether calls will carry a token."""
    from .hub.credentials import resolve_token  # noqa: PLC0415 - as in open_hub

    return resolve_token(settings.token) is not None


def open_hub(settings: Settings) -> Hub:
    """A Hub as configured; the caller closes it."""
    from .hub.client import Hub  # noqa: PLC0415 - costs what a Hub costs, and help needs none

    return Hub(
        token=settings.token,
        endpoint=settings.endpoint,
        timeout=settings.timeout,
        max_wait=settings.max_wait,
        insecure_http=settings.insecure_http,
    )


def now(hub: Hub | None = None) -> datetime:
    """This moment, in UTC; with a Hub, by the clock that its waits follow (a local Hub's, if HF_GATE_CLOCK says so)."""
    if hub is None:
        return datetime.now(UTC)  # noqa: TID251 - here is where the clock is handed out
    return datetime.fromtimestamp(hub._clock.now(), UTC)  # noqa: SLF001 - wiring joins what the Hub shows to nobody else


# ---- whose token it is ------------------------------------------------------------------------------------------------


def account(hub: Hub, settings: Settings) -> Account | None:
    """Whose token it is, asked once a day and kept under the token's hash; None without a token, or if nobody tells."""
    from .hub.credentials import resolve_token  # noqa: PLC0415 - as in open_hub

    token = resolve_token(settings.token)
    if token is None:
        return None
    key = hashlib.sha256(f"{endpoint_of(settings)}\n{token.fingerprint}".encode()).hexdigest()
    moment = now().timestamp()
    kept = _read_json(settings.paths.accounts)
    if (found := _kept_account(kept.get(key), moment)) is not None:
        return found
    try:
        asked = hub.whoami()
    except (NotAllowed, HubUnavailable, Offline):
        raise
    except HfGateError:  # a Hub that does not know whoami can still be worked with
        return None
    entry = {"name": asked.name, "id": asked.id, "orgs": list(asked.orgs), "role": asked.token_role, "at": moment}
    with suppress(OSError):  # a read-only home costs one call a run, and nothing else
        write_private(settings.paths.accounts, json.dumps({**_fresh(kept, moment), key: entry}).encode())
    return asked


def _kept_account(entry: object, moment: float) -> Account | None:
    from .domain.accounts import Account  # noqa: PLC0415 - only who needs an account

    if not isinstance(entry, dict) or not _is_fresh(entry, moment):
        return None
    name, ident, orgs, role = (entry.get(key) for key in ("name", "id", "orgs", "role"))
    if not isinstance(name, str) or not isinstance(orgs, list):
        return None
    return Account(name, ident, tuple(map(str, orgs)), role)


def _is_fresh(entry: object, moment: float) -> bool:
    at = entry.get("at") if isinstance(entry, dict) else None
    return isinstance(at, int | float) and 0 <= moment - at < _ACCOUNT_LIVES


def _fresh(kept: dict[str, object], moment: float) -> dict[str, object]:
    return {key: entry for key, entry in kept.items() if _is_fresh(entry, moment)}


def _read_json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# ---- files that are nobody else's business ----------------------------------------------------------------------------


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only this user may read, whole or not at all; so are the folders of ours that lead to it."""
    _make_private(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _make_private(folder: Path) -> None:
    """Makes a folder, with mode 0700 from the last `hf-gate` in its path down; what is above is the user's own."""
    names = folder.parts
    depth = len(names) - names[::-1].index("hf-gate") if "hf-gate" in names else len(names)
    for end in range(depth, len(names) + 1):  # `mode` of mkdir counts for the last folder alone
        Path(*names[:end]).mkdir(parents=True, exist_ok=True, mode=0o700)


@contextmanager
def running_profile(settings: Settings, name: str, endpoint: str, token: str) -> Iterator[Path]:
    """A profile that lives as long as this process: `--profile NAME` means this endpoint and token meanwhile."""
    path = settings.paths.profiles / f"{name}.json"
    write_private(path, json.dumps({"endpoint": endpoint, "token": token, "pid": os.getpid()}).encode())
    try:
        yield path
    finally:
        if _read_json(path).get("pid") == os.getpid():  # a later demo may have taken the name over
            path.unlink(missing_ok=True)
