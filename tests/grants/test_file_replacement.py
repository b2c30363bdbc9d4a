"""A file of the workspace is replaced whole, through no link, and only if it is as its author saw it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_gate.errors import HfGateError, Stale, UsageError
from hf_gate.grants.drivers.file_replacement import LOCK_NAME, digest_of_file, replace_file

NAME = "tables/partners.csv"
OLD = b"email\nada@x.example\n"
NEW = b"email\r\nbo@x.example\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "workspace"
    (made / "tables").mkdir(parents=True)
    (made / NAME).write_bytes(OLD)
    return made


class Calls:
    """Records in which order a replacement was recorded and withdrawn."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.made = list[str]()
        self._then = then

    def record(self, digest: str) -> None:
        self.made.append(digest)
        self._then()

    def withdraw(self) -> None:
        self.made.append("withdraw")


def _replace(folder: Path, calls: Calls, *, name: str = NAME, base: bytes = OLD) -> None:
    replace_file(
        folder,
        name,
        NEW,
        base=digest_of_file(base),
        record=calls.record,
        withdraw=calls.withdraw,
        is_new=False,
        is_dry_run=False,
    )


def _changed(folder: Path) -> None:
    (folder / NAME).write_bytes(OLD + b"x@x.example\n")


def _linked(folder: Path) -> None:
    (folder / "elsewhere.csv").write_bytes(OLD)
    (folder / NAME).unlink()
    (folder / NAME).symlink_to(folder / "elsewhere.csv")


def _linked_folder(folder: Path) -> None:
    (folder / "tables").rename(folder / "real")
    (folder / "tables").symlink_to(folder / "real")


def _fifo(folder: Path) -> None:
    (folder / NAME).unlink()
    os.mkfifo(folder / NAME)


@pytest.mark.parametrize(
    ("prepare", "error"),
    [(_changed, Stale), (_linked, UsageError), (_linked_folder, UsageError), (_fifo, UsageError)],
    ids=lambda each: each.__name__,
)
def test_a_replacement_that_must_not_be_writes_and_records_nothing(
    folder: Path, prepare: Callable[[Path], None], error: type[HfGateError]
) -> None:
    prepare(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.csv") if path.is_file()}
    calls = Calls()
    with pytest.raises(error):
        _replace(folder, calls)
    assert {path: path.read_bytes() for path in folder.rglob("*.csv") if path.is_file()} == before
    assert calls.made == []
    assert not list(folder.rglob("*.tmp"))


def test_a_file_outside_the_workspace_is_not_written(folder: Path) -> None:
    (folder.parent / "far.csv").write_bytes(OLD)
    with pytest.raises(UsageError, match="outside the workspace"):
        _replace(folder, Calls(), name="../far.csv")
    assert (folder.parent / "far.csv").read_bytes() == OLD


def test_a_replacement_that_fails_at_last_is_withdrawn(folder: Path) -> None:
    calls = Calls(then=lambda: (folder / NAME).write_bytes(OLD + b"# somebody else\n"))
    with pytest.raises(Stale):
        _replace(folder, calls)
    assert calls.made[1:] == ["withdraw"]
    assert (folder / NAME).read_bytes() == OLD + b"# somebody else\n"
    assert (folder / LOCK_NAME).exists()


def test_a_replacement_keeps_the_mode_and_the_byte_order_mark(folder: Path) -> None:
    path, calls = folder / NAME, Calls()
    path.write_bytes(b"\xef\xbb\xbf" + OLD)
    path.chmod(0o640)
    _replace(folder, calls, base=b"\xef\xbb\xbf" + OLD)
    assert path.read_bytes() == b"\xef\xbb\xbf" + NEW
    assert calls.made == [digest_of_file(path.read_bytes())]
    assert path.stat().st_mode & 0o777 == 0o640
    assert {each.name for each in path.parent.iterdir()} == {"partners.csv"}
