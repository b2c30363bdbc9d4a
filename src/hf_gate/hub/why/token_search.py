"""Finds the token that `huggingface_hub` would send from this process, and what hides it. It only reads."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from msgspec import Struct

from hf_gate.base.environment import is_true
from hf_gate.base.private_files import open_regular_file
from hf_gate.hub.credentials import NO_IMPLICIT_TOKEN, Secret

_LARGEST_FILE: Final = 1 << 20
_LOOK_ALIKES: Final = (
    "HUGGINGFACE_TOKEN",
    "HUGGINGFACEHUB_API_TOKEN",
    "HUGGINGFACE_HUB_TOKEN",
    "HUGGINGFACE_API_KEY",
    "HF_API_TOKEN",
    "HF_API_KEY",
    "HF_ACCESS_TOKEN",
    "HF_AUTH_TOKEN",
    "HUGGING_FACE_TOKEN",
)
_EMPTY_WORDS: Final = frozenset({"none", "null", "undefined", "false", "true"})
ARGUMENT: Final = "token="


class TokenCandidate(Struct, frozen=True):
    """A token, and where this process has it from. `problem` says why it cannot be one; then `secret` is None."""

    source: str
    secret: Secret | None
    problem: str | None = None


class SavedToken(Struct, frozen=True):
    """A token that `hf auth login` saved. `expires_at` is in epoch seconds, for OAuth tokens only."""

    name: str
    secret: Secret
    expires_at: float | None = None


class TokenSearch(Struct, frozen=True):
    """The tokens of this process. `candidates` are in the order in which `huggingface_hub` takes the first one.

    `kept_back_by` names the setting or argument that keeps the token from being sent; None if it is sent.
    """

    candidates: list[TokenCandidate] = []
    saved: list[SavedToken] = []
    look_alikes: list[str] = []
    unread_file: str | None = (
        None  # has a token, but this process does not read it: `.env`, or a login in another folder
    )
    looked_at: list[str] = []
    kept_back_by: str | None = None
    has_exchange: bool = False  # a CI exchanges its own token for one of the Hub
    surroundings: list[str] = []
    settings: list[str] = []

    @property
    def active(self) -> TokenCandidate | None:
        """The token that is sent; None without one."""
        return None if self.kept_back_by is not None else next(iter(self.candidates), None)

    @property
    def secrets(self) -> list[Secret]:
        """All tokens, so that texts can be cleaned of them."""
        sent = [candidate.secret for candidate in self.candidates if candidate.secret is not None]
        return sent + [token.secret for token in self.saved]

    @property
    def active_login(self) -> SavedToken | None:
        """The saved login whose token is sent; None if it was not saved by a login."""
        secret = self.active.secret if self.active is not None else None
        known = secret.fingerprint if secret is not None else ""
        return next((one for one in self.saved if one.secret.fingerprint == known), None)


def search_tokens(
    token: str | bool | Secret | None, environ: Mapping[str, str], home: Path, *, source: str = ARGUMENT
) -> TokenSearch:
    """Look at the argument, the environment, the files and the Colab vault, in the order of `huggingface_hub`."""
    folder = _hub_folder(environ, home)
    token_path = _expand(environ.get("HF_TOKEN_PATH") or folder / "token")
    has_exchange = bool(environ.get("HF_OIDC_RESOURCE"))  # then `huggingface_hub` looks at nothing else
    given = _read_argument(token, source)
    found = [given] if given is not None else []
    if given is None and not has_exchange:
        found += _read_environment(environ, token_path)
    return TokenSearch(
        candidates=found,
        saved=_read_saved_tokens(token_path.parent / "stored_tokens"),
        look_alikes=[name for name in _LOOK_ALIKES if environ.get(name, "").strip()],
        unread_file=next(
            (
                str(path)
                for path in (Path(".env"), home / ".cache" / "huggingface" / "token", home / ".huggingface" / "token")
                if path != token_path and _has_token(path)
            ),
            None,
        ),
        looked_at=["HF_TOKEN", str(token_path)],
        kept_back_by=_find_setting(token, environ),
        has_exchange=has_exchange and given is None,
        surroundings=list(_describe_surroundings(environ)),
        settings=list(_describe_settings(environ)),
    )


def find_cached_file(repo_folder: str, file: str | None, environ: Mapping[str, str], home: Path) -> Path | None:
    """Return a file of the cache of `huggingface_hub`, or the folder of a repo's snapshots; None without one."""
    cache = _expand(environ.get("HF_HUB_CACHE") or _hub_folder(environ, home) / "hub")
    snapshots = cache / repo_folder / "snapshots"
    try:
        for snapshot in sorted(snapshots.iterdir(), reverse=True):
            path = snapshot / file if file is not None else snapshot
            if path.exists():
                return path
    except OSError:
        return None
    return None


def _hub_folder(environ: Mapping[str, str], home: Path) -> Path:
    default = Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "huggingface"
    return _expand(environ.get("HF_HOME") or default)


def _expand(path: str | Path) -> Path:
    """Return a path with the home of a user in place of `~`; unchanged if there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - `Path.expanduser` raises for an unknown user


def _find_setting(token: str | bool | Secret | None, environ: Mapping[str, str]) -> str | None:
    if token is False:
        return "token=False"
    return NO_IMPLICIT_TOKEN if token is None and is_true(environ.get(NO_IMPLICIT_TOKEN)) else None


def _read_argument(token: str | bool | Secret | None, source: str) -> TokenCandidate | None:
    """Return the token that a caller passes. `huggingface_hub` sends it as it is, so a line break is a problem here."""
    if isinstance(token, Secret):
        return TokenCandidate(source, token)
    if not isinstance(token, str):
        return None
    if not token.strip():
        return TokenCandidate(source, None, "an empty token")
    if token != token.strip() or not token.isprintable():
        return TokenCandidate(source, None, "a token with a line break or a space")
    return make_candidate(source, token)


def make_candidate(source: str, text: str) -> TokenCandidate:
    """Return a candidate for a text without line breaks at its ends."""
    if text.lower() in _EMPTY_WORDS:
        return TokenCandidate(source, None, "a word instead of a token")
    if text[0] in "\"'":
        return TokenCandidate(source, None, "a token in quotation marks")
    if text.lower().startswith("bearer"):
        return TokenCandidate(source, None, "a token after the word Bearer")
    if not text.isascii() or not text.isprintable() or " " in text:
        return TokenCandidate(source, None, "a token with characters that no token has")
    return TokenCandidate(source, Secret(text))


def _read_environment(environ: Mapping[str, str], token_path: Path) -> list[TokenCandidate]:
    name = next((name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if environ.get(name)), "")
    texts = {
        name: environ.get(name),
        str(token_path): _read_text(token_path),
        "the Colab secret HF_TOKEN": _read_colab_secret() if "google.colab" in sys.modules else None,
    }
    cleaned = {place: (text or "").replace("\r", "").replace("\n", "").strip() for place, text in texts.items()}
    return [make_candidate(place, text) for place, text in cleaned.items() if text]


def _read_colab_secret() -> str | None:
    """Return the secret of a Colab notebook, as `huggingface_hub` asks for it; None if it is missing or not allowed."""
    try:
        return str(import_module("google.colab.userdata").get("HF_TOKEN"))
    except Exception:  # noqa: BLE001 - Colab has many errors for this, and none of them is the answer
        return None


def _read_text(path: Path) -> str | None:
    try:
        with open_regular_file(path) as file:
            return file.read(_LARGEST_FILE).decode("utf-8", "replace")
    except OSError:
        return None


def _has_token(path: Path) -> bool:
    """Return whether a file has a token, or a `.env` file HF_TOKEN."""
    return ("HF_TOKEN=" if path.name == ".env" else "_") in (_read_text(path) or "").replace(" ", "")


def _read_saved_tokens(path: Path) -> list[SavedToken]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(_read_text(path) or "")
    except configparser.Error:
        return []
    return [
        SavedToken(name, candidate.secret, float(date) if (date := section.get("expires_at", "")).isdecimal() else None)
        for name, section in parser.items()
        if (text := section.get("hf_token", "").strip())
        and (candidate := make_candidate(name, text)).secret is not None
    ]


def _describe_surroundings(environ: Mapping[str, str]) -> list[str]:
    """Return where this process runs, if this decides how it gets a token."""
    is_container = any(Path(path).exists() for path in ("/.dockerenv", "/run/.containerenv"))
    known = {
        "a Space": environ.get("SPACE_ID"),
        "Colab": environ.get("COLAB_RELEASE_TAG"),
        "Kubernetes": environ.get("KUBERNETES_SERVICE_HOST"),
        "CI": environ.get("CI"),
        "a container": is_container,
        "sudo": environ.get("SUDO_USER"),
    }
    return [name for name, is_here in known.items() if is_here]


def _describe_settings(environ: Mapping[str, str]) -> list[str]:
    """Return settings that decide where calls go. A proxy's address may contain a password, so it is not shown."""
    names = [name for name in ("HF_ENDPOINT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE") if environ.get(name)]
    shown = [f"{name} is set" if "@" in environ[name] else f"{name}={environ[name]}" for name in names]
    proxies = [
        name for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") if environ.get(name) or environ.get(name.lower())
    ]
    return [*shown, *(f"{name} is set" for name in proxies)]
