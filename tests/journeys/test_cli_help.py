"""Help, examples, suggestions, completion and the tree of commands; and that asking for help loads nothing dear."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from hf_gate import __version__
from hf_gate.command_line.framework import LazyGroup, ProgramCommand
from hf_gate.command_line.main import root
from hf_gate.command_line.program_info import TOPICS
from hf_gate.command_line.workspace.schemas import ALIASES, DOCUMENTS
from tests.kits.command_line import PROGRAM


def _commands(group: LazyGroup, path: str = "hf-gate") -> Iterator[tuple[str, str, click.Command]]:
    for name, entry in group.table.items():
        if entry.is_hidden:
            continue
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"{path} {name}", entry.summary, command
        if isinstance(command, LazyGroup):
            yield from _commands(command, f"{path} {name}")


LEAVES = [(path, command) for path, _, command in _commands(root) if isinstance(command, ProgramCommand)]


def _run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *args], capture_output=True, text=True, env={**os.environ, **env}, check=False)


def test_bare_is_help_at_once() -> None:
    bare = _run()
    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout == _run("--help").stdout
    assert "hf-gate demo" in bare.stdout


def test_the_hf_completion_trap_is_silent() -> None:
    trapped = _run(_HF_COMPLETE="bash_complete", COMP_WORDS="hf gate ", COMP_CWORD="2")
    assert (trapped.returncode, trapped.stdout, trapped.stderr) == (0, "", "")


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_each_command_has_help_and_two_examples_that_it_accepts(path: str, command: ProgramCommand) -> None:
    assert command.help
    assert len(command.examples) >= 2
    for example in command.examples:
        for part in _calls(example):
            assert part[0] == "hf-gate", example
            _parse(root, part[1:])
    with click.Context(command, info_name=path) as ctx:
        assert "Examples:" in command.get_help(ctx)


def _calls(example: str) -> list[list[str]]:
    """The calls of hf-gate in a line of shell: parts of a pipe, or what stands in $( )."""
    inner = example.partition('"$(')[2].partition(')"')[0] or example
    return [shlex.split(part) for part in inner.split(" | ")]


def _parse(group: LazyGroup, args: list[str]) -> None:
    command = group.get_command(click.Context(group), args[0])
    assert command is not None, args
    if isinstance(command, LazyGroup):
        _parse(command, args[1:])
    else:
        command.make_context("hf-gate", args[1:])


def test_the_summary_of_a_group_names_its_commands() -> None:
    groups = [(path, summary, group) for path, summary, group in _commands(root) if isinstance(group, LazyGroup)]
    assert len(groups) > 10
    for path, summary, group in groups:
        named = re.sub(r"[.]$", "", summary.partition(": ")[2]).split(", ")
        assert named == [name for name, entry in group.table.items() if not entry.is_hidden], path


def test_each_line_of_the_overview_is_a_command_of_that_name() -> None:
    for path, summary, command in _commands(root):
        assert path.split()[-1] == command.name
        assert summary.endswith(".")


def test_options_are_understood_before_and_after_the_command() -> None:
    assert _run("--json", "version").stdout == _run("version", "--json").stdout
    assert _run("version", "-q").stdout.strip() == _run("--version").stdout.split()[-1] == __version__


@pytest.mark.parametrize("words", [["version"], ["--help"], ["ls", "--help"], ["help", "exit-codes"]], ids=" ".join)
def test_help_and_version_load_neither_the_hub_nor_a_network(words: list[str]) -> None:
    ask = (
        "import sys; from hf_gate.command_line.main import run; code = run(sys.argv[1:]); "
        "dear = {'httpx2', 'huggingface_hub', 'ruamel', 'uvicorn', 'rich', 'asyncio', 'ssl'} & set(sys.modules); "
        "print('LOADED', code, sorted(dear))"
    )
    ended = subprocess.run([sys.executable, "-c", ask, *words], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "LOADED 0 []"


def test_help_topics_and_help_of_commands() -> None:
    for name in TOPICS:
        assert _run("help", name).stdout.strip()
    assert (
        _run("help", "form", "check").stdout.splitlines()[3:] == _run("form", "check", "--help").stdout.splitlines()[3:]
    )


def test_the_overview_has_a_line_for_each_section_and_help_all_lists_every_command() -> None:
    overview = _run("--help").stdout
    assert len(overview.splitlines()) <= 26
    assert re.search(r"^  decide +ui review accept reset reject$", overview, re.MULTILINE)
    listed = {line.split()[0] for line in _run("help", "all").stdout.splitlines() if line.startswith("  ")}
    assert set(root.table) <= listed


def test_the_exit_codes_of_the_contract_are_explained() -> None:
    shown = _run("help", "exit-codes").stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["0", "1", "2", "3", "4", "5", "6", "75", "130"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str) -> None:
    ended = _run("completion", shell)
    assert ended.returncode == 0
    assert "_HF_GATE_COMPLETE" in ended.stdout


def test_completion_knows_commands_and_options_and_needs_no_hub() -> None:
    shown = _run(_HF_GATE_COMPLETE="bash_complete", COMP_WORDS="hf-gate re", COMP_CWORD="1").stdout
    assert {line.partition(",")[2] for line in shown.splitlines()} == {
        "repos",
        "report",
        "review",
        "reset",
        "reject",
        "revoke",
    }
    shown = _run(_HF_GATE_COMPLETE="bash_complete", COMP_WORDS="hf-gate repos s", COMP_CWORD="2").stdout
    assert shown.splitlines() == ["plain,show"]
    shown = _run(_HF_GATE_COMPLETE="bash_complete", COMP_WORDS="hf-gate ls --allow", COMP_CWORD="2").stdout
    assert shown.splitlines() == ["plain,--allow-incomplete"]


def test_every_document_has_a_schema_of_its_name() -> None:
    listed = _run("schema").stdout.split()
    assert listed == list(DOCUMENTS)
    assert set(ALIASES.values()) <= set(listed)
    assert _run("schema", "accept").stdout.count('"outcomes"') == 2


def test_an_unexpected_fault_is_one_line_and_a_trace_only_for_who_asks() -> None:
    quiet = _run("store", "nothing")
    loud = _run("store", "nothing", HF_GATE_DEBUG="1")
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
    assert "Traceback" in _run("store", "nothing", HF_DEBUG="1").stderr


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("acept", "accept"),
        ("accpet", "accept"),
        ("aprove", "accept"),
        ("rejct", "reject"),
        ("erase", "person erase"),
        ("rest", "reset"),
        ("resett", "reset"),
        ("refuse", None),
        ("grand", "grant"),
        ("garnet", None),
        ("cancle", "cancel"),
        ("withdrawal", None),
        ("statis", "status"),
        ("explian", "explain"),
        ("doctors", "doctor"),
    ],
)
def test_a_misspelt_command_suggests_one_that_changes_something_only_one_letter_away(
    typed: str, suggested: str | None
) -> None:
    ended = _run(typed)
    hint = next(line for line in ended.stderr.splitlines() if line.startswith("Hint: "))
    assert ended.returncode == 2
    assert hint.partition("`hf-gate help all`")[0] == (
        f"Hint: Did you mean `hf-gate {suggested}`? " if suggested else "Hint: "
    )


def test_below_a_group_a_misspelt_change_is_suggested_only_one_letter_away() -> None:
    assert "Did you mean `hf-gate runs stop`?" in _run("runs", "stp").stderr
    assert "Did you mean" not in _run("runs", "stages").stderr


@pytest.mark.parametrize(("alias", "command"), [("approve", "accept"), ("deny", "reject"), ("decline", "reject")])
def test_an_alias_is_the_command(alias: str, command: str) -> None:
    about = _run(command, "--help").stdout.partition("\n")[2]
    assert _run(alias, "--help").stdout.partition("\n")[2] == about
    assert _run("help", alias).stdout.partition("\n")[2] == about
    assert alias in about
