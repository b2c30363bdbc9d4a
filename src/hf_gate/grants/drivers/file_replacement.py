"""Replaces one table file of a workspace: atomically, through no link, and only if it is as its author saw it."""

from __future__ import annotations

import codecs
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath
from typing import Final

from hf_gate.base.environment import require_writes
from hf_gate.base.locks import ProcessLock
from hf_gate.errors import Stale, StoreUnavailable, UsageError
from hf_gate.policies.drivers.table_files import MAX_BYTES

LOCK_NAME: Final = ".hf-gate-tables.lock"
CHANGED_HINT: Final = "Run the command again to work on the file as it is now."
_WAIT: Final = 10.0  # seconds to wait for another save
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK


def digest_of_file(content: bytes) -> str:
    """Return the digest by which a save recognises the file that its author saw."""
    return hashlib.sha256(content).hexdigest()


def replace_file(
    folder: Path,
    name: str,
    content: bytes,
    *,
    base: str,
    record: Callable[[str], None],
    withdraw: Callable[[], None],
    is_new: bool,
    is_dry_run: bool,
) -> None:
    """Replace the file `name` of a folder if its content still has the digest `base`.

    A dry run makes the same checks and writes nothing. With `is_new`, a file that does not exist is made; `base` is the
    digest of nothing then.

    `record` gets the new digest when everything is ready, before the file is replaced; `withdraw` is called if that
    fails afterwards. A byte order mark stays. Raises Stale if the file changed, UsageError for a link or another kind
    of file, StoreUnavailable if it cannot be written.
    """
    require_writes(f"the file {name}")
    if not _NO_LINK or os.open not in os.supports_dir_fd:
        raise UsageError("On this system hf-gate cannot replace files safely.", hint="Change the file yourself.")
    try:
        if is_new and not is_dry_run:
            _make_parents(folder, name)
        with nullcontext() if is_dry_run else _lock(folder), _open_parent(folder, name) as (parent, leaf):
            found, mode = _read_unchanged(parent, leaf, name, base, is_new=is_new)
            if is_dry_run:
                return
            data = codecs.BOM_UTF8 + content if found.startswith(codecs.BOM_UTF8) else content
            with _temporary(parent, leaf, data, mode) as made:
                record(digest_of_file(data))
                try:
                    _read_unchanged(parent, leaf, name, base, is_new=is_new)
                    os.replace(made, leaf, src_dir_fd=parent, dst_dir_fd=parent)
                except BaseException:
                    withdraw()
                    raise
            os.fsync(parent)
    except OSError as problem:
        if is_new and is_dry_run and isinstance(problem, FileNotFoundError):
            return  # the folder would be made
        raise StoreUnavailable(f"{name} cannot be written: {problem.strerror}.") from None


def _make_parents(folder: Path, name: str) -> None:
    """Make the folder of a new file, if its own folder exists."""
    parent = (folder / name).parent
    with suppress(FileExistsError):
        if parent.resolve().is_relative_to(folder.resolve()):
            parent.mkdir(mode=0o700)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    lock = ProcessLock(folder / LOCK_NAME)
    if not lock.acquire(_WAIT):
        raise StoreUnavailable("Somebody else is saving a file right now.", hint="Try again in a moment.")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _open_parent(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    """Yield a descriptor of the file's folder and the file's name in it. No part of the path may be a link."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise UsageError(f"{name} is outside the workspace, so hf-gate does not write it.")
    with ExitStack() as opened:
        parent = os.open(folder, _FOLDER & ~_NO_LINK)
        opened.callback(os.close, parent)
        for part in parts[:-1]:
            try:
                parent = os.open(part, _FOLDER, dir_fd=parent)
            except NotADirectoryError:
                raise _link_error(name) from None
            except OSError as problem:
                if part and _is_link(parent, part):
                    raise _link_error(name) from None
                raise problem from None
            opened.callback(os.close, parent)
        yield parent, parts[-1]


def _is_link(parent: int, name: str) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _link_error(name: str) -> UsageError:
    return UsageError(
        f"{name} is a link, a folder or a device, so hf-gate does not write it.",
        hint="Replace it with the file itself.",
    )


def _read_unchanged(parent: int, leaf: str, name: str, base: str, *, is_new: bool) -> tuple[bytes, int]:
    """Return the content and the mode of a file. Raises Stale if the content does not have the digest `base`."""
    content, mode = _read_file(parent, leaf, name, is_new=is_new)
    if digest_of_file(content) != base:
        raise Stale(f"{name} changed since you opened it, so nothing was saved.", hint=CHANGED_HINT)
    return content, mode


def _read_file(parent: int, leaf: str, name: str, *, is_new: bool) -> tuple[bytes, int]:
    """Return the content and the mode of a regular file. A file that is to be made is empty."""
    try:
        before = os.stat(leaf, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if is_new:
            return b"", 0o600
        raise
    if not stat.S_ISREG(before.st_mode):
        raise _link_error(name)
    handle = os.open(leaf, os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0), dir_fd=parent)
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise _link_error(name)
        return file.read(MAX_BYTES + 1), stat.S_IMODE(mode)


@contextmanager
def _temporary(parent: int, leaf: str, data: bytes, mode: int) -> Iterator[str]:
    """Yield the name of a new file beside the other one, complete and on the disk."""
    made = f".{leaf}.{secrets.token_hex(8)}.tmp"
    handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600, dir_fd=parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.chmod(handle, mode)  # noqa: PTH101 - by the descriptor, which no link can change
            file.flush()
            os.fsync(handle)
        yield made
    finally:
        with suppress(FileNotFoundError):
            os.unlink(made, dir_fd=parent)
