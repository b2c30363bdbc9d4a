"""Reads the code blocks of the documentation, and compares what a command printed with what a page shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import click
import pytest

from hf_gate.command_line.main import root
from hf_gate.errors import HfGateError
from hf_gate.testing import LocalHub
from tests.kits.paths import ROOT

PAGES: Final = tuple(
    page.relative_to(ROOT).as_posix()
    for page in (
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
)
LANGUAGES: Final = frozenset({"python", "console", "sh", "js", "text", "json", "yaml", "toml", "mermaid"})
_MARK: Final = re.compile(r"<!-- check: (.+?) -->\s*\Z")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it stands, its language, its text, and the mark in the comment above it.

    Marks: `real Hub` (not run here: the command tree is checked), `terminal` (needs a person at one: the same), `output`
    (what the block before it prints), `file NAME` (not run: what the reader writes into that file).
    """

    page: str
    line: int
    language: str
    text: str
    mark: str = ""

    @property
    def place(self) -> str:
        """Where to look when it fails."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a console block, and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]


def read_blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    lines = (ROOT / page).read_text("utf-8").splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].startswith("```"):
            at += 1
            continue
        end = lines.index("```", at + 1)
        mark = _MARK.match(lines[at - 1]) if at else None
        found.append(
            Block(page, at + 1, lines[at][3:].strip(), "\n".join(lines[at + 1 : end]), mark[1] if mark else "")
        )
        at = end + 1
    return found


def read_steps(text: str) -> list[Step]:
    """The commands of a console block: `$ ` begins one, a backslash at the end of a line goes on."""
    found: list[tuple[str, list[str]]] = []
    goes_on = False
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
            goes_on = line.endswith("\\")
        elif goes_on:
            command, shown = found[-1]
            found[-1] = (f"{command}\n{line}", shown)
            goes_on = line.endswith("\\")
        else:
            found[-1][1].append(line)
    return [Step(command, tuple(shown)) for command, shown in found]


# ---- what is shown and what was printed ---------------------------------------------------------------------------------

_ALIKE: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d([T ][\d:.]+Z?)?"), "TIME"),
    (re.compile(r"\b\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}\b"), "TIME"),
    (re.compile(r"\b[0-9a-f]{24}\b"), "ID"),
    (re.compile(r"(?:http://)?127\.0\.0\.1:\d+"), "HUB"),
    (re.compile(r"\br_[0-9a-z]{12}\b"), "RUN"),
    (re.compile(r"\b\d+[smhd](?= |\b)"), "AGE"),
    (re.compile(r'"pid": ?\d+'), '"pid": PID'),
    (re.compile(r'([:,]) (?=["{\[\d])'), r"\1"),
    (re.compile(r"\s+"), " "),
)


def normalize_line(line: str) -> str:
    """A line without what differs from run to run: times, ages, ids, the port of the Hub, blanks."""
    for pattern, word in _ALIKE:
        line = pattern.sub(word, line)
    return line.strip()


def find_mismatch(shown: tuple[str, ...], printed: list[str]) -> str | None:
    """Why what was printed is not what is shown; `...` alone in a line stands for any lines, within one for any text."""
    left = [normalize_line(line) for line in printed]
    may_skip = False
    for line in shown:
        if line.strip() == "...":
            may_skip = True
            continue
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in normalize_line(line).split("...")))
        at = next((n for n, one in enumerate(left) if pattern.fullmatch(one)), None)
        if at is None or (at and not may_skip):
            return f"shown:   {normalize_line(line)}\nprinted: {left[0] if left else '(nothing more)'}"
        left, may_skip = left[at + 1 :], False
    return None if may_skip or not left else f"printed, and not shown: {left[0]}"


_PATIENCE = 240.0  # seconds: nothing here takes long, so whatever does hangs
_START = 180.0  # seconds until a program that goes on running must have said what the page shows
_COMMAND = re.compile(r"hf-gate ([a-z]+)( [a-z]+)?")
_SERVES = re.compile(r"hf-gate (hub serve\b|ui --no-open\b|demo\b(?!.*--script))")  # runs until the page ends
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


@contextmanager
def open_example_hub() -> Iterator[LocalHub]:
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


class PageReader:
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


_OTHERS = re.compile(
    r"(uv tool install git\+URL|hf extensions install OWNER/hf-gate|hf auth login|export( \w+=\S+)+|unset( \w+)+|git clone \S+|git pull|cd \S+"
    r"|hf repos settings \S+ .*"
    r"|(useradd|umask|install|systemctl|kubectl|docker compose|mkdir|openssl|chmod|chown|cp|echo|python3 -m venv|/opt/hf-gate/bin/pip) .*)\Z"
)


def _check_tree(block: Block) -> None:
    if block.language == "python":
        compile(block.text, block.place, "exec")
        return
    for step in read_steps(block.text):
        for part in re.split(r"\s+\|\s+", step.command.partition("  #")[0].strip()):
            check_command(part, block.place)


def check_command(text: str, place: str) -> None:
    words = shlex.split(text)
    if words[:4] == ["uvx", "--from", ".", "hf-gate"]:
        words = words[3:]
    elif words[:2] == ["hf", "gate"]:
        words = ["hf-gate", *words[2:]]
    elif words[0] in {"sudo", "docker", "kubectl"}:  # the program within another command: as a user, in a container
        at = max((n for n, word in enumerate(words) if word.rpartition("/")[2] == "hf-gate"), default=0)
        words = ["hf-gate", *words[at + 1 :]] if {"ui", "status", "init", "plan"} & {*words} else words
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
