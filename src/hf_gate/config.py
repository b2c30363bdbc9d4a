"""Reads flags, environment variables and the configuration file into one frozen `Settings`.

Precedence: flag, profile, environment, file. A named profile that does not exist is an error: hf-gate never falls back
to the real Hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from hf_gate.base.environment import is_true
from hf_gate.base.locks import read_announcement
from hf_gate.base.private_files import read_regular_file

from .errors import NoToken, UsageError

PACKAGE: Final = Path(__file__).parent
"""The folder of this package, with its own data files."""

_FILE_KEYS: Final = frozenset({"endpoint", "max_wait", "timeout", "insecure_http", "profile", "profiles"})
_PROFILE_KEYS: Final = frozenset({"endpoint", "token", "token_file", "insecure_http", "workspace", "pid"})
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\Z")
_SECONDS: Final = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders for files, by the XDG standard. `hf-gate doctor` prints them."""

    config: Path
    data: Path
    state: Path
    cache: Path

    @property
    def config_file(self) -> Path:
        """The configuration file, which the user writes."""
        return self.config / "config.toml"

    @property
    def profiles(self) -> Path:
        """The folder of profiles that exist only while the process that made them runs."""
        return self.state / "profiles"

    @property
    def stores(self) -> Path:
        """The folder of stores used without a workspace: one file for each Hub."""
        return self.data / "stores"

    @property
    def accounts(self) -> Path:
        """The file that caches the account of each token, by the token's hash."""
        return self.cache / "accounts.json"


@dataclass(frozen=True, slots=True)
class Flags:
    """The connection options of the command line; None means not given."""

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    profile: str | None = None
    max_wait: str | None = None
    timeout: str | None = None
    insecure_http: bool | None = None
    workspace: str | None = None
    reserve: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective configuration; times are in seconds.

    Without a `token`, the client finds one as `huggingface_hub` does. Without a `workspace` folder, the
    nearest parent folder with an hf-gate.yaml is used, if there is one.
    """

    paths: Paths
    profile: str | None = None
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    token_from: str | None = None
    timeout: float = 10.0
    max_wait: float | None = None
    insecure_http: bool = False
    debug: bool = False
    workspace: Path | None = None
    reserve: float = 0.25  # the share of the token's calls that bulk work leaves free


def resolve_paths(environ: Mapping[str, str], home: Path) -> Paths:
    """Return the folders of this user. Relative XDG values are ignored, as the standard requires."""

    def folder(name: str, default: str) -> Path:
        value = environ.get(name, "")
        return (Path(value) if value.startswith("/") else home / default) / "hf-gate"

    return Paths(
        config=folder("XDG_CONFIG_HOME", ".config"),
        data=folder("XDG_DATA_HOME", ".local/share"),
        state=folder("XDG_STATE_HOME", ".local/state"),
        cache=folder("XDG_CACHE_HOME", ".cache"),
    )


def parse_seconds(text: str, name: str) -> float:
    """Parse `30`, `30s`, `5m`, `2h` or `500ms` into seconds."""
    match = _DURATION.match(text.strip())
    if not match:
        raise UsageError(f"{name}: {text!r} is not a duration.", hint="Write 30s, 5m or 2h.")
    return float(match[1]) * _SECONDS[match[2]]


def read_settings(flags: Flags, environ: Mapping[str, str], home: Path) -> Settings:
    """Combine all sources into one `Settings`; raise a `UsageError` that names the source of an invalid value."""
    paths = resolve_paths(environ, home)
    file = _read_file(paths.config_file)
    profile = flags.profile or environ.get("HF_GATE_PROFILE") or _get_text(file, "profile", paths.config_file)
    chosen = _load_profile(profile, file, paths) if profile else {}
    if cache := _get_text(chosen, "cache", f"profile {profile}"):
        paths = replace(paths, cache=Path(cache))
    token, token_from = _resolve_token(flags, chosen, profile, paths.config)
    written = _get_text(file, "endpoint", paths.config_file)
    max_wait = flags.max_wait or environ.get("HF_GATE_MAX_WAIT") or _get_duration(file, "max_wait")
    timeout = flags.timeout or environ.get("HF_GATE_TIMEOUT") or _get_duration(file, "timeout")
    workspace = (
        flags.workspace or _get_text(chosen, "workspace", f"profile {profile}") or environ.get("HF_GATE_WORKSPACE")
    )
    insecure = flags.insecure_http or chosen.get("insecure_http") or file.get("insecure_http")
    return Settings(
        paths=paths,
        profile=profile,
        endpoint=flags.endpoint
        or _get_text(chosen, "endpoint", f"profile {profile}")
        or environ.get("HF_ENDPOINT")
        or written,
        token=token,
        token_from=token_from,
        timeout=parse_seconds(timeout, "timeout") if timeout else 10.0,
        max_wait=parse_seconds(max_wait, "max-wait") if max_wait else None,
        insecure_http=insecure is True or is_true(environ.get("HF_GATE_INSECURE_HTTP")),
        debug=is_true(environ.get("HF_GATE_DEBUG")) or is_true(environ.get("HF_DEBUG")),
        workspace=Path(workspace).expanduser() if workspace else None,
        reserve=_parse_reserve(flags.reserve or environ.get("HF_GATE_RESERVE") or "25"),
    )


def _parse_reserve(text: str) -> float:
    """Parse `25` or `25%` into 0.25."""
    try:
        share = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise UsageError(f"reserve: {text!r} is not a percentage.", hint="Write a number from 0 to 99, such as 25.")
    return share


def _read_file(path: Path) -> dict[str, object]:
    try:
        raw = read_regular_file(path)
    except FileNotFoundError:
        return {}
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}.") from None
    import tomllib

    try:
        found = tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{path}: {problem}", hint="Correct that line, or remove the file.") from None
    _check_keys(found, _FILE_KEYS, str(path))
    return found


def _check_keys(values: Mapping[str, object], known: frozenset[str], place: str) -> None:
    for key in values:
        if key not in known:
            raise UsageError(f"{place}: unknown key {key!r}.", hint=f"Known keys: {', '.join(sorted(known))}.")


def _get_text(values: Mapping[str, object], key: str, place: object) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{place}: {key} must be text.", hint=f'Write {key} = "...".')
    return value


def _get_duration(values: Mapping[str, object], key: str) -> str | None:
    value = values.get(key)
    return None if value is None else str(value)


def _load_profile(name: str, file: Mapping[str, object], paths: Paths) -> Mapping[str, object]:
    """Return a profile: from the configuration file, or from a running process such as `demo`."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise UsageError(f"{name!r} is not a profile name.", hint="Use letters, digits, - and _ (at most 64).")
    table = file.get("profiles", {})
    if isinstance(table, dict) and name in table:
        chosen = table[name]
        if not isinstance(chosen, dict):
            raise UsageError(f"{paths.config_file}: profiles.{name} must be a table.", hint=f"Write [profiles.{name}].")
        _check_keys(chosen, _PROFILE_KEYS, f"{paths.config_file}: profiles.{name}")
        return chosen
    running = read_announcement(paths.profiles / f"{name}.json")
    if running is None:
        hint = (
            "Start it with `hf-gate demo` and keep that running. To use your own Hub, unset HF_GATE_PROFILE."
            if name == "demo"
            else None
        )
        raise UsageError(
            f"profile {name!r} does not exist; nothing was sent.",
            hint=hint or f"Add [profiles.{name}] with an endpoint to {paths.config_file}.",
        )
    return running


def _resolve_token(
    flags: Flags, chosen: Mapping[str, object], profile: str | None, base: Path
) -> tuple[str | None, str | None]:
    if flags.token is not None and flags.token_file is not None:
        raise UsageError("--token and --token-file exclude each other.", hint="Give one of the two.")
    if flags.token is not None:
        return _clean_token(flags.token, "--token"), "--token"
    if flags.token_file is not None:
        return _read_token_file(Path(flags.token_file)), f"--token-file {flags.token_file}"
    place = f"profile {profile}"
    if token := _get_text(chosen, "token", place):
        return _clean_token(token, place), place
    if token_file := _get_text(chosen, "token_file", place):
        return _read_token_file(base / Path(token_file).expanduser()), place
    return None, None


def _read_token_file(path: Path) -> str:
    try:
        text = read_regular_file(path).decode("utf-8-sig")
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "it is not text"
        raise NoToken(
            f"the token file {path} cannot be read: {why}.", hint="Check its path and its permissions."
        ) from None
    return _clean_token(text, str(path))


def _clean_token(text: str, place: str) -> str:
    token = text.strip()
    if not token:
        raise NoToken(f"{place} holds no token.", hint="Write the token there.")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise NoToken(f"the value of {place} is not a token.", hint="Copy the token again.")  # never shows the value
    return token
