"""Every code block of README and docs does what the page says: run here against a local Hub, as a reader would run it."""

from __future__ import annotations

import html
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import entry_points, version
from pathlib import Path

import click
import pytest

from hf_gate.cli.main import root
from hf_gate.errors import HfGateError
from hf_gate.testing import LocalHub
from tests.kits.doc_pages import LANGUAGES, PAGES, Block, Step, find_mismatch, normalize_line, read_blocks, read_steps
from tests.kits.paths import ROOT
from tests.kits.program_server import program_words

_PATIENCE = 240.0  # seconds: nothing here takes long, so whatever does hangs
_START = 180.0  # seconds until a program that goes on running must have said what the page shows
_COMMAND = re.compile(r"hf-gate ([a-z]+)( [a-z]+)?")
_SERVES = re.compile(r"hf-gate (hub serve\b|demo\b(?!.*--script))")  # runs until the page ends
_READERS_TOOLS = ("bash", "jq", "curl")  # what a page may ask of its reader beside hf-gate
_BASH = shutil.which("bash") or "bash"
_RUNNERS = {"python": (sys.executable,), "sh": (_BASH, "-eu", "-o", "pipefail"), "js": ("node",)}
_MARKER = "\x1e"  # stands between the outputs of two commands
_LOCAL = re.compile(r"http://127\.0\.0\.1:\d+")  # a Hub on this machine, at whatever port it found
_PEOPLE = (
    (
        "ada-l",
        "Ada Lindqvist",
        "example.edu",
        "I compare sleep stages in young and old adults and need the raw signals.",
        9,
    ),
    ("bob99", "Bob", "example.org", "test", 6),
    ("chen-w", "Chen Wei", "example.org", "Benchmarking seizure detection for a paper on transfer between clinics.", 2),
    (
        "dora-k",
        "Dora Kovač",
        "example.org",
        "Teaching a course on biosignals; thirty students will see the data in class.",
        1,
    ),
)
_CARD = """---
license: other
extra_gated_fields:
  Affiliation: text
  What will you study?: text
  I will not try to identify anybody: checkbox
---
"""

# ---- the world of the pages -------------------------------------------------------------------------------------------


@contextmanager
def example_world() -> Iterator[LocalHub]:
    """Two gated repos of the reader, `you`, and four people who asked at each."""
    from huggingface_hub import HfApi

    with LocalHub(requests=0, repos=1) as hub:
        hub.add_people([{"username": "you"}, {"username": "newcomer"}])
        hub.add_people(
            [
                {
                    "username": name,
                    "fullname": fullname,
                    "email": f"{name}@{domain}",
                    "created_at": "2024-02-29T12:00:00Z",
                }
                for name, fullname, domain, _, _ in _PEOPLE
            ]
        )
        api = HfApi(endpoint=hub.url, token=hub.tokens["you"])
        for repo, kind in (("you/your-data", "dataset"), ("you/your-model", "model")):
            api.create_repo(repo, repo_type=kind)
            api.upload_file(path_or_fileobj=_CARD.encode(), path_in_repo="README.md", repo_id=repo, repo_type=kind)
            api.update_repo_settings(repo, gated="manual", repo_type=kind)
            hub.add_requests(
                [_request(repo, kind, name, purpose, days, hub.clock.now()) for name, _, _, purpose, days in _PEOPLE]
            )
        yield hub


def _request(repo: str, kind: str, name: str, purpose: str, days: int, now: float) -> dict[str, object]:
    asked = datetime.fromtimestamp(now - days * 86400, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    answers = {
        "Affiliation": "University of Basel",
        "What will you study?": purpose,
        "I will not try to identify anybody": "on",
    }
    return {"repo": repo, "repo_type": kind, "user": name, "answers": answers, "asked_at": asked}


def _commands(text: str) -> list[str]:
    """The commands in a text, with the second word of groups: `ls`, `audit verify`."""
    context = click.Context(root)
    found = ((name, root.get_command(context, name), second) for name, second in _COMMAND.findall(text))
    return [name + second if isinstance(command, click.Group) else name for name, command, second in found]


@cache
def _first_steps() -> dict[str, tuple[str, int, str]]:
    """Where each command comes first on the pages: page, line of the block, and what is typed."""
    found: dict[str, tuple[str, int, str]] = {}
    for page in PAGES:
        for block in read_blocks(page):
            for step in read_steps(block.text) if block.language == "console" and not block.mark else ():
                for command in _commands(step.command):
                    found.setdefault(command, (page, block.line, step.command))
    return found


def _is_started(block: Block, step: Step) -> bool:
    """Whether the step starts programs: it is the first with a command, or leaves one running."""
    firsts = [_first_steps().get(command) for command in _commands(step.command)]
    return step.command.endswith("&") or (block.page, block.line, step.command) in firsts or None in firsts


class Reader:
    """Somebody who follows one page: a folder, a shell, a Hub, and the programs that they left running.

    Where a command comes first on the pages, and where it is left running, it is started as a reader does; where it comes
    again, it is run by `forked_program`.
    """

    def __init__(self, page: str, hub: LocalHub, folder: Path, stack: ExitStack, forked_program: list[str]) -> None:
        self.page, self.hub, self.folder, self._stack = page, hub, folder, stack
        self._forked = f'hf-gate() {{ {shlex.join(forked_program)} "$@"; }}\n'
        programs = folder / "bin"
        programs.mkdir()
        for name, start in (("hf-gate", "-m hf_gate"), ("python", ""), ("pytest", "-m pytest -p no:cacheprovider")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {start} "$@"\n')
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.environment = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.tokens["you"],
            "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "PYTHONWARNINGS": "error",
        }  # fmt: skip
        self.printed: list[str] = []
        self._served: tuple[str, str] | None = None  # a Hub's address as a page shows it, and as it is

    def follow(self, block: Block) -> None:
        """Do what one block says."""
        if block.mark in {"real Hub", "terminal"}:
            _check_tree(block)
        elif block.mark.startswith("file "):
            self._keep(block, block.mark.removeprefix("file "))
        elif block.mark == "output":
            assert not (why := find_mismatch(tuple(block.text.splitlines()), self.printed)), f"{block.place}\n{why}"
        elif block.language in {"console", "sh"} and (
            lacking := [name for name in _READERS_TOOLS if _is_lacking(name, block)]
        ):
            pytest.skip(f"{block.place} and what follows need {', '.join(lacking)}, which this machine has not")
        elif block.language == "console":
            todo = read_steps(block.text)
            if _SERVES.match(todo[0].command):
                self._leave_running(block, todo[0])
            else:
                self._run_steps(block, todo)
        elif block.language == "python" and "def test_" in block.text:
            known = any(entry.value == "hf_gate.testing" for entry in entry_points(group="pytest11"))
            plugin = [] if known else ["-p", "hf_gate.testing"]  # a checkout that is on the path and not installed
            self._run(
                [
                    sys.executable,
                    "-m",
                    "pytest",
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    *plugin,
                    self._file(block, "test_page.py"),
                ],
                block,
            )
        elif block.language in _RUNNERS and shutil.which(_RUNNERS[block.language][0]):
            name = {"python": "page.py", "sh": "page.sh", "js": "page.mjs"}[block.language]
            self._run([*_RUNNERS[block.language], self._file(block, name)], block)

    def _keep(self, block: Block, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text + "\n", "utf-8")

    def _file(self, block: Block, name: str) -> str:
        path = self.folder / name
        path.write_text(block.text + "\n", "utf-8")
        return str(path)

    def _run(self, command: list[str], block: Block) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        assert done.returncode == 0, f"{block.place} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        self.printed = done.stdout.splitlines()

    def _run_steps(self, block: Block, todo: list[Step]) -> None:
        script = "".join(
            f"{self._way(block, step)}{self._as_printed(step.command)}\ncode=$?; printf '{_MARKER}%s{_MARKER}' $code; (exit $code)\n"
            for step in todo
        )
        done = subprocess.run(
            [_BASH, "-c", script], cwd=self.folder, env=self.environment, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_PATIENCE,
        )  # fmt: skip
        parts = done.stdout.split(_MARKER)
        assert len(parts) == 2 * len(todo) + 1, f"{block.place} stopped early\n{done.stdout}"
        for number, step in enumerate(todo):
            self._judge(
                block, step, parts[2 * number].splitlines(), parts[2 * number + 1], todo[number + 1 : number + 2]
            )
            if re.fullmatch(r"export( \w+=\S+)+", step.command):  # later blocks are typed into the same shell
                self.environment |= dict(re.findall(r" (\w+)=(\S+)", self._as_printed(step.command)))

    def _way(self, block: Block, step: Step) -> str:
        if not _commands(step.command):
            return ""
        return "unset -f hf-gate\n" if _is_started(block, step) else self._forked

    def _judge(self, block: Block, step: Step, printed: list[str], code: str, after: list[Step]) -> None:
        text = "\n".join(printed)
        may_fail = after and after[0].command == "echo $?"
        assert code == "0" or may_fail, f"{block.place}: `{step.command}` ended with {code}\n{text}"
        why = find_mismatch(step.shown, printed) if step.shown else None
        assert not why, f"{block.place}: `{step.command}`\n{why}\n\nall of it:\n{text}"
        self.printed = printed

    def _leave_running(self, block: Block, step: Step) -> None:
        program = subprocess.Popen(
            [_BASH, "-c", f"exec {step.command}"], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._stack.callback(_end, program)
        watchdog = threading.Timer(_START, program.terminate)
        watchdog.start()
        self._stack.callback(watchdog.cancel)
        assert program.stdout is not None
        assert step.shown, f"{block.place}: show what it says first, so that its start can be seen"
        printed: list[str] = []
        while (why := find_mismatch(step.shown, printed)) and (line := program.stdout.readline()):
            printed.append(line.rstrip("\n"))
        watchdog.cancel()  # it has started: it may run as long as the page takes
        assert not why, f"{block.place}: `{step.command}`\n{why}\n\nall of it:\n" + "\n".join(printed)
        if (shown := _LOCAL.search("\n".join(step.shown))) and (real := _LOCAL.search("\n".join(printed))):
            self._served = shown[0], real[0]

    def _as_printed(self, command: str) -> str:
        """The command as a reader pastes it: with the address that their Hub has told, not the one on the page."""
        return command.replace(*self._served) if self._served else command


def _is_lacking(tool: str, block: Block) -> bool:
    is_used = tool == "bash" or re.search(rf"\b{tool}\b", block.text) is not None
    return is_used and shutil.which(tool) is None


def _end(program: subprocess.Popen[str]) -> None:
    program.send_signal(signal.SIGTERM)  # a shell that starts programs in the background has them ignore SIGINT
    program.communicate(timeout=_PATIENCE)


# ---- what is not run here: does the command exist, with these options? --------------------------------------------------

_OTHERS = re.compile(
    r"(uv tool install git\+URL|hf extensions install OWNER/hf-gate|hf auth login|export( \w+=\S+)+|unset( \w+)+|git clone \S+|cd \S+"
    r"|hf repos settings \S+ .*)\Z"
)


def _check_tree(block: Block) -> None:
    if block.language == "python":
        compile(block.text, block.place, "exec")
        return
    for step in read_steps(block.text):
        for part in re.split(r"\s+\|\s+", step.command.partition("  #")[0].strip()):
            _check_command(part, block.place)


def _check_command(text: str, place: str) -> None:
    words = shlex.split(text)
    if words[:4] == ["uvx", "--from", "git+URL", "hf-gate"]:
        words = words[3:]
    elif words[:2] == ["hf", "gate"]:
        words = ["hf-gate", *words[2:]]
    if words[0] == "make":
        assert re.search(rf"^{re.escape(words[1])}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), (
            f"{place}: {text}"
        )
    elif words[0] == "hf-gate":
        try:
            _parse(words[1:])
        except (click.ClickException, HfGateError) as problem:
            pytest.fail(f"{place}: `{text}`: {problem}")
        except click.exceptions.Exit:
            return  # --help
    else:
        assert _OTHERS.match(text), f"{place}: `{text}` is no command that this test knows"


def _parse(words: list[str]) -> None:
    """The words as the command line reads them, down to the last command; nothing is invoked."""
    command: click.Command = root
    context = root.make_context("hf-gate", list(words))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)


_FIRST_WITH_ENDPOINT = (2, 3)  # of huggingface_hub


def _read_hub_version() -> tuple[int, ...]:
    return tuple(map(int, version("huggingface_hub").split(".")[:2]))


# ---- the tests ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in (*PAGES, "src/hf_gate/__init__.py") if read_blocks(page)])
def test_every_block_of(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    if "HfApi(endpoint=" in text and _read_hub_version() < _FIRST_WITH_ENDPOINT:
        pytest.skip("this huggingface_hub ignores the endpoint of HfApi for access requests; the page says so")
    with tempfile.TemporaryDirectory() as folder, example_world() as hub, ExitStack() as stack:
        reader = Reader(page, hub, Path(folder), stack, program_words())
        for block in read_blocks(page):
            reader.follow(block)


def test_every_block_says_its_language() -> None:
    unknown = [block.place for page in PAGES for block in read_blocks(page) if block.language not in LANGUAGES]
    assert not unknown, f"blocks are one of {sorted(LANGUAGES)}: {unknown}"


def test_links_between_pages_lead_somewhere() -> None:
    dead = [
        f"{page}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", (ROOT / page).read_text("utf-8"))
        if not ((ROOT / page).parent / target).exists()
    ]
    assert not dead


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "index.md"]
    assert [path.name for path in pages if f"({path.name})" not in index] == []


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["terminal", "plan"])
def test_the_picture_shows_what_the_commands_print(name: str) -> None:
    made = subprocess.run(
        [sys.executable, "tools/terminal_picture.py", "--text", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    drawing = (ROOT / "docs" / "images" / f"{name}.svg").read_text("utf-8")
    shown = html.unescape(" ".join(re.findall(r"<text[^>]*hf-gate-line[^>]*>([^<]*)</text>", drawing))).replace(
        "\xa0", " "
    )
    words = set(normalize_line(shown).split())
    told = [normalize_line(line).split() for line in made.stdout.splitlines()]
    told = [line for line in told if not any("…" in word for word in line)]  # how much of those fits, their ages decide
    missing = {word for line in told for word in line} - words
    assert not missing, f"draw it anew with `python tools/terminal_picture.py`: it lacks {sorted(missing)}"
    assert not re.search(r"url\([^#]|href|src=|<image|@import", drawing), "a picture loads nothing from elsewhere"


# ---- and the runner itself can fail -------------------------------------------------------------------------------------


def test_a_page_that_shows_another_output_is_found_out() -> None:
    assert find_mismatch(("1 request",), ["2 requests"])
    assert find_mismatch(("a",), ["a", "b"])
    assert find_mismatch(("a", "b"), ["a"])
    assert find_mismatch(("...", "b"), ["a"])


def test_times_ids_and_ports_may_differ_and_dots_stand_for_anything() -> None:
    assert find_mismatch(("9d  ada-l  6925b8e04c1f2a3b4c5d6e7f",), ["12h ada-l   0123456789abcdef01234567"]) is None
    assert find_mismatch(("a", "...", "z"), ["a", "b", "c", "z"]) is None
    assert find_mismatch(("a ... z",), ["a b z"]) is None
    assert find_mismatch(("on http://127.0.0.1:8000",), ["on http://127.0.0.1:41129"]) is None


def test_a_command_that_does_not_exist_is_found_out() -> None:
    with pytest.raises(pytest.fail.Exception):
        _check_command("uvx --from git+URL hf-gate lss", "here")
    with pytest.raises(pytest.fail.Exception):
        _check_command("hf-gate ls --statuss all", "here")
    with pytest.raises(AssertionError):
        _check_command("make dance", "here")


def test_a_failing_command_is_found_out(tmp_path: Path) -> None:
    with example_world() as hub, ExitStack() as stack:
        reader = Reader("here", hub, tmp_path, stack, program_words())
        with pytest.raises(AssertionError, match="ended with 2"):
            reader.follow(Block("here", 1, "console", "$ hf-gate ls nonsense"))
        reader.follow(Block("here", 1, "console", "$ hf-gate ls nonsense\n$ echo $?\n2"))
