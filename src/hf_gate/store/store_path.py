"""Reads the address of a store: whether it is on a server, and the file of a SQLite store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from hf_gate.errors import UsageError


def is_on_server(where: str | Path) -> bool:
    """Return whether a store's address is that of a PostgreSQL server."""
    return str(where).startswith(("postgresql://", "postgres://"))


def parse_path(where: str | Path) -> Path:
    """Return the file of a store's address; `sqlite:///desk.db` is relative, `sqlite:////srv/desk.db` absolute."""
    text = str(where)
    if text.startswith("sqlite:///"):
        return Path(unquote(text.removeprefix("sqlite:///").partition("?")[0]))
    if "://" in text:
        raise UsageError(f"a store address is sqlite:///PATH or postgresql://..., not {text.partition('://')[0]}://.")
    return Path(where)


def file_of_store(url: str) -> Path | None:
    """Return the file of a store; None if the store is on a server."""
    return None if is_on_server(url) else parse_path(url).absolute()
