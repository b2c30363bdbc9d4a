"""why: tells why an account cannot download from a repo, and what to do about it."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from platform import python_version
from typing import Any

import click

from hf_gate import __version__
from hf_gate.command_line.framework import CommandContext, command, repo_type_option
from hf_gate.command_line.output import StyledLine
from hf_gate.config import parse_seconds
from hf_gate.errors import UsageError
from hf_gate.hub.why.diagnosis import Diagnosis
from hf_gate.hub.why.failures import MAX_LOG, read_log
from hf_gate.hub.why.questions import explain_failure, wait_for_access, why

_WAITS = (
    "{found.title} The state is {found.code}. Checks again after 1, 3, 8 and 18 minutes, then every 15 minutes."
    " Press Ctrl-C to stop."
)
_TAIL = 4 * MAX_LOG  # bytes of a log that can be its last characters
_PATH = r"(?<![\w:/.~])~?/[\w.@+~-]+(?:/[\w.@+~-]+)+"  # of this machine, not of an address


@command(
    "why",
    examples=(
        "hf-gate why acme/med-7b",
        "hf-gate why datasets/acme/eeg data/train.parquet --json",
        "hf-gate why -",
        "hf-gate why acme/med-7b --wait 7d",
    ),
)
@click.argument("repo", metavar="[REPO]", required=False)
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--revision", metavar="NAME", default="main", help="Branch, tag or commit of the file; default: main.")
@click.option(
    "--wait",
    metavar="[TIME]",
    is_flag=False,
    flag_value="3650d",
    help="Wait until the state changes, or for this time: 1h, 7d.",
)
@click.option("--all-tokens", is_flag=True, help="Also try the tokens that `hf auth login` saved, at huggingface.co.")
@click.option("--offline", is_flag=True, help="Make no call; use only what this machine has stored.")
@click.option("--report", is_flag=True, help="Print a block for a support thread, without tokens and file names.")
@repo_type_option
def why_(
    context: CommandContext,
    *,
    repo: str | None,
    file: str | None,
    revision: str,
    wait: str | None,
    all_tokens: bool,
    offline: bool,
    report: bool,
    repo_type: str | None,
) -> int:
    """Tell why you cannot download from REPO, or that you can. Writes nothing and does not request access.

    With - in place of REPO, it reads a log from stdin. Without REPO, it checks the token alone.
    """
    settings = context.settings
    options: dict[str, Any] = {"insecure_http": settings.insecure_http, "all_tokens": all_tokens, "offline": offline}
    if settings.token is not None:
        options |= {"token": settings.token, "token_source": settings.token_from or "--token"}
    if repo == "-" and (file or wait or repo_type or revision != "main"):
        raise UsageError(
            "with -, the log names the repo and the file.", hint="Write hf-gate why - alone, or name the repo."
        )
    if repo == "-":
        found = explain_failure(read_log(_read_log()), endpoint=context.endpoint, look=not offline, **options)
    elif wait is None:
        found = why(repo, file, endpoint=context.endpoint, repo_type=repo_type, revision=revision, **options)
    elif repo is None:
        raise UsageError("--wait needs a repo.", hint="Write hf-gate why REPO --wait.")
    else:
        options |= {
            "file": file,
            "revision": revision,
            "on_wait": lambda found: context.out.say(_WAITS.format(found=found)),
        }
        found = wait_for_access(
            repo, parse_seconds(wait, "--wait"), endpoint=context.endpoint, repo_type=repo_type, **options
        )
    context.out.print_object(found.to_document(), lambda: _list_lines(found, report=report), quiet=[found.code])
    return found.exit_code


def _read_log() -> str:
    """Return the end of stdin."""
    tail = b""
    while chunk := sys.stdin.buffer.read(_TAIL):
        tail = (tail + chunk)[-_TAIL:]
    return tail.decode("utf-8", "replace")


def _hide_places(diagnosis: Diagnosis, lines: list[str]) -> list[str]:
    """Return lines without the names of the person's files."""
    name = rf"(?<![\w./-]){re.escape(diagnosis.file)}(?![\w./-])|" if diagnosis.file else ""
    return [re.sub(name + _PATH, "(file)", line) for line in lines]


def _list_lines(diagnosis: Diagnosis, *, report: bool) -> list[str | StyledLine]:
    lines = list(diagnosis.to_lines())
    if report:
        names = f"hf-gate {__version__}, huggingface_hub {version('huggingface_hub')}, Python {python_version()}"
        return [
            "```text",
            f"hf-gate why: {diagnosis.code}",
            *_hide_places(diagnosis, lines),
            f"  seen  versions: {names}",
            "```",
        ]
    return [StyledLine(lines[0], "title"), *lines[1:]]
