"""Files that commands write are readable by this user only, atomic, and never written through a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.base.private_files import open_private_file
from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console, request_access
from tests.kits.store_workspace import own_files
from tests.kits.stores import mode_of

COMMANDS = (
    ("plan",),
    ("undo",),
    ("audit", "export"),
    ("audit", "export", "--with-personal"),
    ("audit", "checkpoint"),
)
READERS = (
    ("accept", MODEL, "--from", "PIPE"),
    ("apply", "PIPE"),
    ("ask", MODEL, "--answers", "PIPE"),
    ("audit", "verify", "--file", "PIPE"),
    ("audit", "verify", "--checkpoint", "PIPE"),
    ("form", "check", "--card", "PIPE"),
    ("ls", "--token-file", "PIPE"),
    ("policy", "check", "PIPE"),
    ("table", "import", "partners", "PIPE"),
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, Path]]:
    """A workspace in which one person was accepted."""
    place = tmp_path_factory.mktemp("desk")
    with LocalHub(requests=0, repos=1) as hub, pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        console = Console(hub)
        request_access(hub, ["ada"])
        assert console.run("init").code == 0
        with (place / "hf-gate.yaml").open("a") as config:
            config.write("tables: {partners: {file: partners.csv, key: username}}\n")
        (place / "partners.csv").write_text("username\nada\n")
        assert console.run("accept", f"ada@{MODEL}").code == 0
        yield console, place


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_file_that_others_could_read_is_for_this_user_alone_afterwards(
    desk: tuple[Console, Path], words: tuple[str, ...]
) -> None:
    console, place = desk
    file = place / "out.json"
    file.write_text("old")
    file.chmod(0o644)
    ended = console.run(*words, "--out", str(file))
    assert ended.code == 0, ended.err
    assert file.read_text() != "old"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_link_is_not_followed(desk: tuple[Console, Path], words: tuple[str, ...]) -> None:
    console, place = desk
    target, link = place / "target", place / "link.json"
    target.write_text("somebody else's")
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    ended = console.run(*words, "--out", str(link))
    assert ended.code == 1
    assert f"{link}: it is a link, a folder or a device; nothing was written." in ended.err
    assert (target.read_text(), link.is_symlink()) == ("somebody else's", True)


def test_what_ends_in_the_middle_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"old")
    parts = map(str.encode, ["new", "\ud800"])
    with pytest.raises(UnicodeEncodeError), open_private_file(path) as file:
        file.writelines(parts)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", [".", "/dev/null"])
def test_a_folder_or_a_device_is_not_replaced(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileExistsError), open_private_file(tmp_path / name):
        pass
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["hf-gate.yaml", ".gitignore", "policies", "policies/starter.yaml"])
@pytest.mark.parametrize("is_there", [True, False])
def test_init_writes_through_no_link(
    fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, is_there: bool
) -> None:
    place, elsewhere = tmp_path / "desk", tmp_path / "elsewhere"
    (place / name).parent.mkdir(parents=True)
    monkeypatch.chdir(place)
    (place / name).symlink_to(elsewhere)
    if is_there:
        elsewhere.mkdir() if name == "policies" else elsewhere.write_text("somebody else's")
    ended = Console(fresh).run("init", MODEL)
    assert (ended.code, "nothing was written" in ended.err) == (2, True)
    assert elsewhere.exists() is is_there
    assert not (place / "desk.db").exists()
    if is_there and name != "policies":
        assert elsewhere.read_text() == "somebody else's"


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_command_reads_no_pipe_that_it_would_wait_for(desk: tuple[Console, Path], words: tuple[str, ...]) -> None:
    console, place = desk
    pipe = place / "pipe"
    if not pipe.exists():
        os.mkfifo(pipe)
    ended = console.run(*(str(pipe) if word == "PIPE" else word for word in words))
    assert (ended.code, "not a regular file" in ended.err) == (2, True), ended.err


def test_a_policy_that_is_a_pipe_keeps_no_decision_waiting(desk: tuple[Console, Path]) -> None:
    console, place = desk
    pipe = place / "policies" / "pipe.yaml"
    os.mkfifo(pipe)
    try:
        request_access(console.hub, ["bob"])
        ended = console.run("accept", f"bob@{MODEL}", "--until", "none")
        assert ended.code == 0, ended.err
    finally:
        pipe.unlink()


def test_a_gitignore_that_is_a_pipe_ends_init(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / ".gitignore")
    ended = Console(fresh).run("init", MODEL)
    assert (ended.code, ".gitignore" in ended.error) == (2, True), ended.err
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


def test_without_a_umask_folders_and_files_are_for_this_user_alone(
    fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request_access(fresh, ["ada-l"])
    before = os.umask(0)
    try:
        console = Console(fresh)
        assert console.run("init", MODEL, "--workspace", "desks/acme").code == 0
        at = ("--workspace", "desks/acme")
        assert console.run("accept", f"ada-l@{MODEL}", *at).code == 0
        assert console.run("store", "export", "exports/new/all", *at).code == 0
        assert console.run("plan", "--out", "plans/new/plan.json", *at).code == 0
        assert console.run("accept", f"ada-l@{MODEL}").code == 0, "in the user's own store"
    finally:
        os.umask(before)
    made = [*tmp_path.rglob("*"), *own_files(Path.home())]
    assert [path for path in made if path.is_dir() and mode_of(path) != 0o700] == []
    assert [path for path in made if path.is_file() and mode_of(path) & 0o022] == []
    named = [path for path in made if path.suffix in {".db", ".jsonl", ".json", ".yaml"} or ".db-" in path.name]
    assert named
    assert [path for path in named if mode_of(path) != 0o600] == []
