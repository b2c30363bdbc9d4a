"""Writes files that only this user can read: atomically, and never through a symbolic link."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_private_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that replaces `path` with mode 0600 when the block ends without an error.

    Raises OSError if `path` is something other than a regular file.
    """
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
    """Create a folder. New folders from the last `hf-gate` in its path downwards get mode 0700; those above do not."""
    names = folder.parts
    depth = len(names) - names[::-1].index("hf-gate") if "hf-gate" in names else len(names)
    for end in range(depth, len(names) + 1):  # mkdir applies `mode` to the last folder only
        Path(*names[:end]).mkdir(parents=True, exist_ok=True, mode=0o700)
