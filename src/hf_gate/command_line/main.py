"""The entry point of `hf-gate`: the tree of commands, signals, and errors printed as one line with a hint."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable
from types import FrameType

import click

from hf_gate.base.environment import has_sent_changes, is_true
from hf_gate.errors import HfGateError

from .framework import CommandContext, CommandEntry, RootGroup
from .output import Output, describe_write_error, silence

# The sections of `hf-gate --help`. `hf-gate help all` also shows the commands without a section.
_LOOK = "look"
_DECIDE = "decide"
_RULES = "rules"
_UNATTENDED = "unattended"
_ASK = "ask"
_START = "help"

COMMANDS: dict[str, CommandEntry] = {
    "ls": CommandEntry("hf_gate.command_line.requests.ls:ls", "List access requests.", _LOOK),
    "show": CommandEntry("hf_gate.command_line.requests.show:show", "Show one request: answers, person, age.", _LOOK),
    "explain": CommandEntry(
        "hf_gate.command_line.requests.explain:explain", "Explain a verdict: every rule and every value.", _LOOK
    ),
    "status": CommandEntry(
        "hf_gate.command_line.reports.status:status",
        "Show numbers of pending requests, last syncs and problems.",
        _LOOK,
    ),
    "report": CommandEntry("hf_gate.command_line.reports.report:report", "Reports: overview, access.", _LOOK),
    "ui": CommandEntry("hf_gate.command_line.workspace.ui:ui", "Open the desk in the browser.", _DECIDE),
    "review": CommandEntry(
        "hf_gate.command_line.requests.review:review", "Decide requests one by one with single keys.", _DECIDE
    ),
    "accept": CommandEntry(
        "hf_gate.command_line.decisions.decide:accept", "Accept requests (also: approve).", _DECIDE, has_effect=True
    ),
    "reset": CommandEntry(
        "hf_gate.command_line.decisions.decide:reset",
        "Send requests back: no access, but they can ask again.",
        _DECIDE,
        has_effect=True,
    ),
    "reject": CommandEntry(
        "hf_gate.command_line.decisions.decide:reject",
        "Reject requests: no access, and they cannot ask again (also: deny, decline).",
        _DECIDE,
        has_effect=True,
    ),
    "init": CommandEntry(
        "hf_gate.command_line.workspace.init:init",
        "Create a workspace: hf-gate.yaml, a starter policy, a store.",
        _RULES,
    ),
    "policy": CommandEntry(
        "hf_gate.command_line.policies.policy:policy", "Policies: check, test, show, new, promote.", _RULES
    ),
    "plan": CommandEntry(
        "hf_gate.command_line.decisions.plan:plan", "Show what the policies would change, and why.", _RULES
    ),
    "apply": CommandEntry("hf_gate.command_line.decisions.plan:apply", "Apply a plan, once.", _RULES, has_effect=True),
    "table": CommandEntry("hf_gate.command_line.grants.tables:table", "Tables: ls, show, add, remove, import.", _RULES),
    "run": CommandEntry(
        "hf_gate.command_line.automation.run:run_",
        "Sync, evaluate, apply within the guards and end grants, in a loop.",
        _UNATTENDED,
        has_effect=True,
    ),
    "runs": CommandEntry(
        "hf_gate.command_line.decisions.runs:runs", "Runs: ls, show, undo, retry, stop, continue.", _UNATTENDED
    ),
    "ends": CommandEntry("hf_gate.command_line.grants.ends:ends", "End dates of access: ls, set.", _UNATTENDED),
    "messages": CommandEntry(
        "hf_gate.command_line.automation.messages:messages",
        "Notices and letters: ls, preview, test, retry, mark-sent.",
        _UNATTENDED,
    ),
    "stop": CommandEntry(
        "hf_gate.command_line.automation.stop:stop",
        "Stop everything that works unattended.",
        _UNATTENDED,
        has_effect=True,
    ),
    "start": CommandEntry(
        "hf_gate.command_line.automation.stop:start",
        "Let unattended work continue after `stop`.",
        _UNATTENDED,
        has_effect=True,
    ),
    "why": CommandEntry(
        "hf_gate.command_line.hub.why:why_", "Tell why you cannot download from a repo, and what to do.", _ASK
    ),
    "ask": CommandEntry(
        "hf_gate.command_line.requests.requester:ask", "Ask for access to a gated repo.", _ASK, has_effect=True
    ),
    "withdraw": CommandEntry(
        "hf_gate.command_line.requests.requester:withdraw", "Withdraw your own pending request.", _ASK, has_effect=True
    ),
    "demo": CommandEntry(
        "hf_gate.command_line.workspace.demo:demo", "Play a scenario on a local Hub with invented people.", _START
    ),
    "doctor": CommandEntry(
        "hf_gate.command_line.workspace.doctor:doctor", "Check token, Hub, repos and this machine.", _START
    ),
    "help": CommandEntry(
        "hf_gate.command_line.program_info:help_",
        "Topics: all, exit-codes, environment, formatting, targets, queries, policies, token, options.",
        _START,
    ),
    "cancel": CommandEntry(
        "hf_gate.command_line.decisions.decide:cancel", "Return requests to pending; access ends.", has_effect=True
    ),
    "grant": CommandEntry(
        "hf_gate.command_line.decisions.decide:grant", "Grant access to people who have not asked.", has_effect=True
    ),
    "revoke": CommandEntry(
        "hf_gate.command_line.decisions.decide:revoke", "End the access of accepted people.", has_effect=True
    ),
    "undo": CommandEntry(
        "hf_gate.command_line.decisions.runs:undo", "Plan the undo of a run; the same as `runs undo`."
    ),
    "person": CommandEntry(
        "hf_gate.command_line.people.person:person", "One person at many repos: ls, show, export, erase."
    ),
    "members": CommandEntry(
        "hf_gate.command_line.people.members:members", "Members of the desk: ls, add, confirm, remove."
    ),
    "keys": CommandEntry("hf_gate.command_line.people.members:keys", "Keys of other systems: ls, add, remove."),
    "repos": CommandEntry("hf_gate.command_line.requests.repos:repos", "Gated repos: ls, show."),
    "form": CommandEntry("hf_gate.command_line.requests.form:form", "Gate forms: check."),
    "sync": CommandEntry("hf_gate.command_line.requests.sync:sync", "Read requests from the Hub into the store."),
    "audit": CommandEntry("hf_gate.command_line.reports.audit:audit", "Audit log: ls, show, verify, export."),
    "store": CommandEntry(
        "hf_gate.command_line.workspace.store:store", "Store: check, export, backup, restore, retention, remove."
    ),
    "hub": CommandEntry("hf_gate.command_line.hub.serve:hub", "Local Hub: serve."),
    "schema": CommandEntry("hf_gate.command_line.program_info:schema", "Print the JSON Schema of a --json document."),
    "completion": CommandEntry(
        "hf_gate.command_line.program_info:completion", "Print a completion script for bash, zsh or fish."
    ),
    "version": CommandEntry("hf_gate.command_line.version:version", "Print the version."),
}

root = RootGroup(
    "hf-gate",
    COMMANDS,
    aliases={"desk": "ui", "approve": "accept", "deny": "reject", "decline": "reject"},
    help="Access requests on gated Hugging Face repositories: list, decide and prove.\n\n"
    "A dataset is written datasets/ns/name; a bare ns/name is a model.",
    epilog="Start: `hf-gate demo` (no token), or `hf-gate ls datasets/you/your-data`.\n"
    "`hf-gate help all` lists every command; `hf-gate COMMAND --help` has examples.\n"
    "Not affiliated with Hugging Face.",
)

COMPLETE_VARIABLE = "_HF_GATE_COMPLETE"
_WRITE_ERRNOS = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


class Terminated(KeyboardInterrupt):
    """SIGTERM was received. Like Ctrl-C, it ends a run after settling its state."""


def _terminate(_signum: int, _frame: FrameType | None) -> None:
    raise Terminated


def main() -> None:
    """Run the console script."""
    # Modules and requests form few cycles, and looking for them takes a twelfth of a short command and of a long sync.
    gc.set_threshold(100_000, *gc.get_threshold()[1:])
    # After each statement, a thread that runs SQLite waits for Python's lock this long; by default, it would be 5 ms.
    sys.setswitchinterval(0.0005)
    signal.signal(signal.SIGTERM, _terminate)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    # at its exit, Python would search all loaded modules for garbage, which takes a sixth of a short command
    gc.freeze()
    sys.exit(code)


def _open_closed_streams() -> None:
    """Open those standard streams on /dev/null that the caller has closed.

    Otherwise, the next file or socket would get the number of a standard stream.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))


def run(args: list[str]) -> int:
    """Run one call of the program; return its exit code."""
    if not args and "_HF_COMPLETE" in os.environ:
        return 0  # `hf gate <TAB>` starts extensions without arguments: print nothing
    if args == ["--version"]:
        args = ["version"]
    if COMPLETE_VARIABLE in os.environ:
        root.main(args, prog_name="hf-gate", complete_var=COMPLETE_VARIABLE)
    try:
        code = _invoke(args)
    except BaseException as problem:  # noqa: BLE001 - last resort: print a sentence instead of a traceback
        code = _report_error(problem)
    return _flush_output(code)


def _invoke(args: list[str]) -> int:
    with root.make_context("hf-gate", args) as ctx:
        context = ctx.ensure_object(CommandContext)
        try:
            code = root.invoke(ctx)
        except BaseException as problem:  # noqa: BLE001 - reported while the log of `run --log json` is still open
            return _report_error(problem, context.out.write_log)
    return code if isinstance(code, int) else 0


def _flush_output(code: int) -> int:
    """Flush stdout; return the exit code. A closed pipe does not change it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
    except OSError as problem:
        silence(sys.stdout)
        return _print_error(Output(), describe_write_error(problem), "", code or 1)
    return code


def _report_error(problem: BaseException, write_log: Callable[[str, str], None] | None = None) -> int:
    """Print the error that ended the program, or write it to its log; return its exit code."""
    out = Output(write_log=write_log)
    if not isinstance(problem, click.exceptions.Exit) and _is_debugging():
        import traceback

        for line in "".join(traceback.format_exception(problem)).rstrip().split("\n"):
            out.say(line)
    match problem:
        case click.exceptions.Exit():
            return problem.exit_code
        case click.ClickException():
            return _print_error(
                out, " ".join(problem.format_message().split()), _click_hint(problem), problem.exit_code
            )
        case HfGateError():
            general = "See `hf-gate help` and `hf-gate COMMAND --help`." if problem.exit_code == 2 else ""
            return _print_error(out, str(problem), problem.hint or general, problem.exit_code, problem.details)
        case Terminated():
            out.say(f"Ended by SIGTERM{_say_unsent()}.")
            return 143
        case KeyboardInterrupt() | click.Abort():
            out.say(f"Interrupted{_say_unsent()}.")
            return 130
        case OSError():
            return _report_os_error(out, problem)
        case Exception():
            hint = "This is a bug in hf-gate. Please report it with the traceback that HF_GATE_DEBUG=1 prints."
            return _print_error(out, f"{type(problem).__name__}: {problem}", hint, _exit_code_of(problem))
        case _:
            raise problem


def _say_unsent() -> str:
    return "" if has_sent_changes() else "; nothing was sent to the Hub"


def _print_error(out: Output, message: str, hint: str, code: int, details: Iterable[str] = ()) -> int:
    out.say(f"Error: {message}", "red")
    for line in details:
        out.say(f"  {line}")
    if hint:
        out.hint(hint)
    return code


def _click_hint(problem: click.ClickException) -> str:
    ctx = getattr(problem, "ctx", None)
    if ctx is None:
        return ""
    examples = getattr(ctx.command, "examples", ()) if isinstance(problem, click.MissingParameter) else ()
    example = f"For example `{examples[0]}`; " if examples else ""
    return f"{example}`{ctx.command_path} --help` shows its arguments."


def _report_os_error(out: Output, problem: OSError) -> int:
    """Report an OSError: of a file, which has a name, or of our own output. A closed pipe is no error."""
    is_output = problem.filename is None and problem.errno in _WRITE_ERRNOS
    if is_output:
        silence(sys.stdout)
    if isinstance(problem, BrokenPipeError) and is_output:
        return 0
    said = describe_write_error(problem) if is_output else _describe_os_error(problem)
    return _print_error(out, said, "", _exit_code_of(problem))


def _describe_os_error(problem: OSError) -> str:
    name = f"{problem.filename}: " if problem.filename else ""
    return f"{name}{problem.strerror or problem}."


def _exit_code_of(problem: Exception) -> int:
    """Return the exit code of an unexpected error: 1, unless the run that it ended set another code."""
    code = getattr(problem, "exit_code", 1)
    return code if isinstance(code, int) else 1


def _is_debugging() -> bool:
    return is_true(os.environ.get("HF_GATE_DEBUG")) or is_true(os.environ.get("HF_DEBUG"))
