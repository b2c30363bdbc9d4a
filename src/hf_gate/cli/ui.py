"""ui: the desk in the browser, served from here; the terminal prints the link that signs in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .desk import OpenDesk, open_desk, wanted_repos
from .frame import Run, command
from .output import Format

if TYPE_CHECKING:
    from ..domain.ids import Repo
    from ..web.server import Server

HOLD_MOST = 3600.0


@command("ui", examples=("hf-gate ui", "hf-gate ui --no-open --port 8080", "hf-gate ui --hold 30s"))
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Other machines reach the desk at another address."
)
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0: one that is free.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@click.option("--hold", metavar="TIME", default="10s", show_default=True, help="How long a decision can be taken back.")
def ui(run: Run, *, host: str, port: int, no_open: bool, hold: str) -> int:
    """The desk in the browser: a queue with verdicts and reasons, decided by single keys, each decision with time to undo.

    It holds the store as long as it runs: other commands read meanwhile, and decide here. Ctrl-C ends it; what is in
    the tray stays there. With --json the first line tells url, login_url and pid.
    """
    from ..config import parse_seconds  # noqa: PLC0415 - help needs none of it
    from ..web.office import Office  # noqa: PLC0415 - as above
    from ..web.server import Server  # noqa: PLC0415 - as above

    seconds = parse_seconds(hold, "--hold")
    if not 0 <= seconds <= HOLD_MOST:
        raise UsageError(f"--hold {hold}: a decision is held for at most an hour.")
    opened = open_desk(run, writes=True)
    office = Office(run.settings, opened.place, run.hub, opened.store, opened.actor, seconds)
    try:
        server = Server(office, _repos(run, opened), host, port)
    except OSError as problem:
        raise UsageError(
            f"{host}:{port} cannot be served: {problem.strerror}.", hint="--port 0 takes one that is free."
        ) from None
    server.run(lambda: _tell(run, server, opens=not no_open))
    return 0


def _repos(run: Run, opened: OpenDesk) -> Callable[[], Sequence[Repo]]:
    """Which repos are read: those of the desk, or without one those that the store has."""

    def repos() -> Sequence[Repo]:
        if opened.place.folder is None:
            return [row.repo for row in opened.store.repos()]
        return wanted_repos(run, (), None)

    return repos


def _tell(run: Run, server: Server, *, opens: bool) -> None:
    link = server.login_url()
    if run.out.format in {Format.JSON, Format.JSONL}:
        sys.stdout.write(json.dumps({"url": server.url, "login_url": link, "pid": os.getpid()}) + "\n")
    else:
        run.out.line(f"The desk is at {server.url} until Ctrl-C.")
        run.out.line(f"Sign in, once, within 15 minutes: {link}")
    sys.stdout.flush()
    if opens and not _opened(link):
        run.out.say("No browser was found here: open the link yourself.")


def _opened(link: str) -> bool:
    import webbrowser  # noqa: PLC0415 - only who wants one

    try:
        return webbrowser.open(link)
    except (OSError, webbrowser.Error):
        return False
