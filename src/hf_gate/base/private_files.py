"""Writes files that only this user can read, atomically and never through a link; reads only regular files."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hf_gate.errors import UsageError

from .environment import require_writes


@contextmanager
def open_private_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that replaces `path` with mode 0600 when the block ends without an error.

    Raises OSError if `path` is something other than a regular file, UsageError if nothing may be written.
    """
    require_writes(f"the file {path.name}")
    make_private_folder(path.parent)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise FileExistsError(errno.EEXIST, "it is a link, a folder or a device; nothing was written", str(path))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_private_file(path: Path, data: bytes) -> None:
    """Write `data` to a private file."""
    with open_private_file(path) as file:
        file.write(data)


def make_private_folder(folder: Path) -> None:
    """Create a folder and the missing folders above it with mode 0700."""
    for one in reversed((folder, *folder.parents)):
        one.mkdir(exist_ok=True, mode=0o700)


def open_regular_file(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError for a pipe or a device, because reading it might never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(handle, "rb")


def read_named_file(name: str | Path, *, most: int = 64 << 20, hint: str = "") -> bytes:
    """Return the content of a file that a person names; `-` is stdin.

    Raises UsageError if it cannot be read, changes while it is read, or has more than `most` bytes.
    """
    try:
        content = sys.stdin.buffer.read(most + 1) if str(name) == "-" else read_unchanged_file(Path(name), most)
    except OSError as problem:
        raise UsageError(f"{name} cannot be read: {problem.strerror}.", hint=hint) from None
    if content is None:
        raise UsageError(f"{name} changed while it was read.", hint="Run the command again when it is complete.")
    if len(content) > most:
        raise UsageError(f"{name} is larger than {most >> 20} MiB.", hint=hint)
    return content


def read_unchanged_file(path: Path, most: int) -> bytes | None:
    """Return the content of a file, at most one byte more than `most`; None if it changed while it was read."""
    with open_regular_file(path) as file:
        before = os.fstat(file.fileno())
        content = file.read(most + 1)
        after = os.fstat(file.fileno())
    is_whole = len(content) == after.st_size or len(content) > most
    return content if is_whole and before.st_mtime_ns == after.st_mtime_ns else None


def read_regular_file(path: Path) -> bytes:
    """Return the content of a file. Raises the errors of `open_regular_file`."""
    with open_regular_file(path) as file:
        return file.read()


def remove_empty_folders(folders: Iterable[Path]) -> None:
    """Remove those of these folders that are empty."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
