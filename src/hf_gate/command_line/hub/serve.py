"""hub serve: runs the local Hub in the foreground, for demos, experiments and tests of other tools."""

from __future__ import annotations

import os
import re
import sys

import click

from hf_gate.base.display_text import pluralize, to_json
from hf_gate.command_line.framework import CommandContext, CommandEntry, LazyGroup, command
from hf_gate.command_line.output import Format
from hf_gate.config import parse_seconds
from hf_gate.errors import HfGateError, UsageError
from hf_gate.localhub.records import ServedHub

hub = LazyGroup(
    "hub",
    {
        "serve": CommandEntry(
            "hf_gate.command_line.hub.serve:serve", "Run a local Hub with invented people until Ctrl-C."
        )
    },
    help="The local Hub: behaves like the Hub, but on this machine, without accounts or network.",
)


@command(
    "serve",
    examples=(
        "hf-gate hub serve --port 8123",
        "hf-gate hub serve --json --requests 0 --repos 1",
        "hf-gate hub serve --quota 500/300 --clock x60 --faults fail_after:p=0.1:on=batch",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same people.")
@click.option(
    "--requests",
    type=click.IntRange(min=0),
    default=2000,
    show_default=True,
    help="Total number of requests in all repos.",
)
@click.option("--repos", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--preset", type=click.Choice(["consumer", "class", "medical"]), default="consumer", show_default=True)
@click.option("--quota", metavar="CALLS/SECONDS", help="Rate limit, announced as the Hub does.")
@click.option("--latency", metavar="TIME", default="0ms", help="Delay of each answer, e.g. 50ms.")
@click.option("--page-size", type=click.IntRange(10, 1000), default=1000, show_default=True)
@click.option(
    "--protocol",
    type=click.Choice(["2026-08", "2026-10-23"]),
    default="2026-10-23",
    show_default=True,
    help="2026-08 lacks reset, requestId and q.",
)
@click.option(
    "--faults",
    multiple=True,
    metavar="SPEC",
    help="Fault: NAME[:key=value]..., e.g. answer:status=403:text=No; can be repeated.",
)
@click.option("--clock", default="real", show_default=True, metavar="real|xN", help="x60: one hour passes in a minute.")
@click.option("--no-advice", is_flag=True, hidden=True)
def serve(context: CommandContext, *, host: str, port: int, latency: str, no_advice: bool, **world: object) -> int:
    """Run a local Hub with invented people. With --json, the first line has url, pid, tokens, repos and control.

    To use the Hub, paste the line printed at the start into another terminal. With --port 8123, it is:

    \b
      export HF_ENDPOINT=http://127.0.0.1:8123 HF_TOKEN=hf_local_owner_7

    HF_ENDPOINT selects the Hub; hf and huggingface_hub use it too. HF_TOKEN selects the account: hf_local_HOLDER_SEED,
    where HOLDER is owner, admin, writer, reader or stranger.
    """  # noqa: D301 - click needs the backspace character
    from hf_gate.localhub import server

    _check_clock(str(world["clock"]))
    try:
        app = server.build_local_hub_app(
            **world,  # type: ignore[arg-type]
            latency_s=parse_seconds(latency, "latency"),
        )
    except HfGateError:
        raise
    except ValueError as problem:
        raise UsageError(str(problem).rstrip(".") + ".") from None
    try:
        server.serve(
            app,
            host,
            port,
            lambda url: _print_start(context, app.describe_start(url, os.getpid()), prints_advice=not no_advice),
        )
    except OSError as problem:
        raise UsageError(
            f"cannot listen on {host}:{port}: {problem.strerror}.", hint="--port 0 picks a free port."
        ) from None
    return 0


def _check_clock(clock: str) -> None:
    if clock != "real" and not re.fullmatch(r"x\d+(\.\d+)?", clock):
        raise UsageError(
            f"--clock {clock!r} is not valid.", hint="Write real, or x60 for a clock that runs sixty times as fast."
        )


def _print_start(context: CommandContext, line: ServedHub, *, prints_advice: bool) -> None:
    if context.out.is_human:
        _print_start_lines(context, line)
    elif context.out.format in {Format.JSON, Format.JSONL}:
        sys.stdout.write(to_json(line) + "\n")
    else:
        context.out.print_object(line, lambda: (), quiet=[line.url])
    sys.stdout.flush()
    if prints_advice and not context.out.is_human:
        context.out.say(f"In another terminal: {_export_line(line)}", "dim")


def _export_line(line: ServedHub) -> str:
    """Return the shell command that selects this Hub and its owner's token."""
    return f"export HF_ENDPOINT={line.url} HF_TOKEN={line.tokens['owner']}"


def _print_start_lines(context: CommandContext, line: ServedHub) -> None:
    context.out.line(f"The local Hub runs at {line.url} until Ctrl-C.")
    for repo in line.repos:
        spelt = repo.repo if repo.repo_type == "model" else f"datasets/{repo.repo}"
        context.out.line(f"  {spelt}  gated {repo.gated}, {pluralize(repo.pending, 'request')} pending")
    context.out.line("In another terminal:")
    context.out.line(f"  {_export_line(line)}")
    context.out.line("  hf-gate ls")
