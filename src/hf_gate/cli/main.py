"""Where `hf-gate` starts and ends: the tree of commands, signals, and every error as one line with the next step."""

from __future__ import annotations

import errno
import os
import signal
import sys
from types import FrameType

import click

from ..errors import HfGateError
from .framework import CommandEntry, GateGroup
from .output import Output, describe_write_error, silence

_READ, _DECIDE, _DESK, _HELP = "View", "Decide", "Workspace", "Help"
_TRY, _ASK = "Try it without a token", "Ask for access"

COMMANDS: dict[str, CommandEntry] = {
    "ls": CommandEntry("ls:ls", "List access requests.", _READ),
    "show": CommandEntry("show:show", "Show one request: answers, person, age.", _READ),
    "explain": CommandEntry("explain:explain", "Explain a verdict: every rule and every value.", _READ),
    "person": CommandEntry("person:person", "Show one account's requests at all your repos.", _READ),
    "repos": CommandEntry("repos:repos", "Gated repos: ls, show, report.", _READ),
    "form": CommandEntry("form:form", "Gate forms: check a card and show what it asks.", _READ),
    "status": CommandEntry("status:status", "Show pending counts, last syncs and problems.", _READ),
    "report": CommandEntry("report:report", "Reports: overview.", _READ),
    "ui": CommandEntry("ui:ui", "Open the desk in the browser.", _DECIDE),
    "review": CommandEntry("review:review", "Decide requests one by one with single keys.", _DECIDE),
    "accept": CommandEntry("decision_commands:accept", "Accept requests (also: approve).", _DECIDE, has_effect=True),
    "reset": CommandEntry(
        "decision_commands:reset", "Send requests back: no access, but they can ask again.", _DECIDE, has_effect=True
    ),
    "reject": CommandEntry(
        "decision_commands:reject",
        "Reject requests: no access, and they cannot ask again (also: deny, decline).",
        _DECIDE,
        has_effect=True,
    ),
    "cancel": CommandEntry(
        "decision_commands:cancel", "Return requests to pending; access ends.", _DECIDE, has_effect=True
    ),
    "grant": CommandEntry(
        "decision_commands:grant", "Grant access to people who have not asked.", _DECIDE, has_effect=True
    ),
    "revoke": CommandEntry("decision_commands:revoke", "End the access of accepted people.", _DECIDE, has_effect=True),
    "init": CommandEntry("init:init", "Create a workspace: hf-gate.yaml, a starter policy, a store.", _DESK),
    "sync": CommandEntry("sync:sync", "Read requests from the Hub into the store.", _DESK),
    "audit": CommandEntry("audit:audit", "Audit log: ls, show, verify, export, checkpoint.", _DESK),
    "store": CommandEntry("store:store", "Store: check, export, backup, restore, remove.", _DESK),
    "policy": CommandEntry("policy:policy", "Policies: check, test, lint, show, explain, new, promote.", _DESK),
    "plan": CommandEntry("plan:plan", "Show what the policies would change, and why.", _DESK),
    "apply": CommandEntry("plan:apply", "Apply a plan, once.", _DESK, has_effect=True),
    "runs": CommandEntry("runs:runs", "Runs: ls, show, pause, resume, stop, retry.", _DESK),
    "run": CommandEntry(
        "run:run_", "Sync, evaluate, apply within the guards and end grants, in a loop.", _DESK, has_effect=True
    ),
    "expire": CommandEntry("run:expire", "Grants with an end date: ls.", _DESK),
    "undo": CommandEntry("runs:undo", "Plan the undo of a run.", _DESK),
    "demo": CommandEntry("demo:demo", "Play a scenario on a local Hub with invented people.", _TRY),
    "hub": CommandEntry("hub_serve:hub", "Local Hub: serve.", _TRY),
    "ask": CommandEntry("requester:ask", "Ask for access to a gated repo.", _ASK, has_effect=True),
    "withdraw": CommandEntry("requester:withdraw", "Withdraw your own pending request.", _ASK, has_effect=True),
    "doctor": CommandEntry("doctor:doctor", "Check token, Hub, repos and this machine.", _HELP),
    "config": CommandEntry("program_info:config", "Configuration: path.", _HELP),
    "completion": CommandEntry("program_info:completion", "Print a completion script for bash, zsh or fish.", _HELP),
    "schema": CommandEntry("program_info:schema", "Print the JSON Schema of a --json document.", _HELP),
    "help": CommandEntry(
        "program_info:help_",
        "Topics: exit-codes, environment, formatting, targets, queries, policies, token, options.",
        _HELP,
    ),
    "version": CommandEntry("program_info:version", "Print the version.", _HELP),
}

root = GateGroup(
    "hf-gate",
    COMMANDS,
    aliases={"desk": "ui", "approve": "accept", "deny": "reject", "decline": "reject"},
    help="Access requests on gated Hugging Face repositories: list, decide and prove.\n\n"
    "A dataset is written datasets/ns/name; a bare ns/name is a model.",
    epilog="Start: `hf-gate demo` (no token), or `hf-gate ls datasets/you/your-data`.\n"
    "`hf-gate COMMAND --help` has examples. Not affiliated with Hugging Face.",
)

COMPLETE_VARIABLE = "_HF_GATE_COMPLETE"
_OF_WRITING = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run as Ctrl-C does: the state is settled first."""


def _terminate(_signum: int, _frame: FrameType | None) -> None:
    raise Terminated


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminate)
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def _open_what_is_closed() -> None:
    """A stream that the caller closed becomes one of nothing; else the next file or socket would take its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))


def run(args: list[str]) -> int:
    """One call of the program; its exit code."""
    if not args and "_HF_COMPLETE" in os.environ:
        return 0  # `hf gate <TAB>` starts extensions with nothing: be silent
    if args == ["--version"]:
        args = ["version"]
    if COMPLETE_VARIABLE in os.environ:
        root.main(args, prog_name="hf-gate", complete_var=COMPLETE_VARIABLE)
    try:
        code = _invoke(args)
    except BaseException as problem:  # noqa: BLE001 - the last line of defence: a sentence rather than a trace
        code = _code_of(problem)
    return _flush_output(code)


def _invoke(args: list[str]) -> int:
    with root.make_context("hf-gate", args) as ctx:
        code = root.invoke(ctx)
    return code if isinstance(code, int) else 0


def _flush_output(code: int) -> int:
    """The exit code, once all output is written; a reader who left changes nothing about it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
    except OSError as problem:
        silence(sys.stdout)
        return _tell(describe_write_error(problem), "", code or 1)
    return code


def _code_of(problem: BaseException) -> int:
    """The exit code of what ended the program, after its sentence was said."""
    if not isinstance(problem, click.exceptions.Exit) and _is_debugging():
        import traceback  # noqa: PLC0415 - only who debugs needs it

        for line in "".join(traceback.format_exception(problem)).rstrip().split("\n"):
            Output().say(line)
    match problem:
        case click.exceptions.Exit():
            return problem.exit_code
        case click.ClickException():
            return _tell(" ".join(problem.format_message().split()), _click_hint(problem), problem.exit_code)
        case HfGateError():
            general = (
                "`hf-gate help` and `hf-gate COMMAND --help` show what can be asked." if problem.exit_code == 2 else ""
            )
            return _tell(str(problem), problem.hint or general, problem.exit_code)
        case Terminated():
            return _tell("ended by SIGTERM.", "", 143)
        case KeyboardInterrupt() | click.Abort():
            return _tell("interrupted.", "", 130)
        case OSError():
            return _code_of_system(problem)
        case Exception():
            hint = "This is a fault of hf-gate. HF_GATE_DEBUG=1 shows where; please report it."
            return _tell(f"{type(problem).__name__}: {problem}", hint, _stated_code(problem))
        case _:
            raise problem


def _tell(message: str, hint: str, code: int) -> int:
    out = Output()
    out.say(f"Error: {message}", "red")
    if hint:
        out.hint(hint)
    return code


def _click_hint(problem: click.ClickException) -> str:
    ctx = getattr(problem, "ctx", None)
    if ctx is None:
        return ""
    examples = getattr(ctx.command, "examples", ()) if isinstance(problem, click.MissingParameter) else ()
    example = f"For example `{examples[0]}`; " if examples else ""
    return f"{example}`{ctx.command_path} --help` shows what it takes."


def _code_of_system(problem: OSError) -> int:
    """A file, which has a name, or our own output, which has none. A reader who has enough of it is no error."""
    is_output = problem.filename is None and problem.errno in _OF_WRITING
    if is_output:
        silence(sys.stdout)
    if isinstance(problem, BrokenPipeError) and is_output:
        return 0
    return _tell(describe_write_error(problem) if is_output else _in_short(problem), "", _stated_code(problem))


def _in_short(problem: OSError) -> str:
    name = f"{problem.filename}: " if problem.filename else ""
    return f"{name}{problem.strerror or problem}."


def _stated_code(problem: Exception) -> int:
    """The exit code of an error that nobody raised on purpose: 1, unless a run that it ended knows better."""
    code = getattr(problem, "exit_code", 1)
    return code if isinstance(code, int) else 1


def _is_debugging() -> bool:
    from ..config import is_true  # noqa: PLC0415 - `version` ends before this

    return is_true(os.environ.get("HF_GATE_DEBUG")) or is_true(os.environ.get("HF_DEBUG"))
