"""ui: serves the desk, and prints its sign-in link."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from hf_gate.base.display_text import to_json
from hf_gate.command_line.framework import CommandContext, command
from hf_gate.command_line.output import Format
from hf_gate.command_line.workspace_opening import find_actor, open_workspace, select_repos
from hf_gate.config import parse_seconds
from hf_gate.errors import NotAllowed, UsageError
from hf_gate.members.records import DeskRecord

if TYPE_CHECKING:
    from hf_gate.base.ids import Repo
    from hf_gate.desk.app_state import AppState
    from hf_gate.desk.server import Server
    from hf_gate.settings.service.workspace import Workspace


_MAX_HOLD = 3600.0
_NOTEBOOK: Final = ("JPY_PARENT_PID", "JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")


@command(
    "ui",
    examples=(
        "hf-gate ui",
        "hf-gate ui --no-open --port 8080 --hold 30s",
        "hf-gate ui --public-url https://desk.example.org",
    ),
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; use another address to allow access from other machines.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0 picks a free one.")
@click.option(
    "--public-url",
    metavar="URL",
    help="https://HOST by which browsers reach the desk behind a TLS proxy; on a Space, its own address.",
)
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@click.option(
    "--hold",
    metavar="TIME",
    help="How long a decision can be undone; default: 10s, or 30s if other machines can reach the desk.",
)
def ui(
    context: CommandContext,
    **serving: Any,  # noqa: ANN401 - click's own values
) -> int:
    """Open the desk in the browser: a queue with verdicts and reasons, single keys, and time to undo each decision.

    You sign in with the link that this prints, and members with their Hub account. While the desk runs, another
    `hf-gate ui` prints a new link. Other commands can run at the same time; each waits while another one writes.
    Ctrl-C stops the desk; unsent decisions wait until somebody sends them. With --json, the first line has url,
    login_url and pid.
    """
    from hf_gate.desk.members.terminal import find_running_desk

    known = find_running_desk(context.settings, context.location)
    if known is not None:
        _require_owner(context, known)
        return _print_new_link(context, known, opens=not serving["no_open"])
    if in_notebook(os.environ, sys.modules):
        raise UsageError(
            "this is a notebook: the desk would block the cell, and your browser may not reach it.",
            hint=(
                "Run `hf-gate ui --no-open` in a terminal (JupyterLab: File > New > Terminal). `!hf-gate ls "
                "REPO` works here."
            ),
        )
    return _serve(context, **serving)


def in_notebook(environ: Mapping[str, str], modules: Container[str]) -> bool:
    """Return whether this process is a Jupyter kernel, or was started from a cell with `!` and
    inherited its variables.
    """
    return "ipykernel" in modules or any(name in environ for name in _NOTEBOOK)


def _serve(
    context: CommandContext, *, host: str, port: int, public_url: str | None, no_open: bool, hold: str | None
) -> int:
    from hf_gate.desk.app_state import AppState
    from hf_gate.desk.server import Server, default_hold, resolve_public_url

    public = resolve_public_url(public_url, os.environ)
    seconds = default_hold(host, public) if hold is None else parse_seconds(hold, "--hold")
    if not 0 <= seconds <= _MAX_HOLD:
        raise UsageError(f"--hold {hold} is too long.", hint="The maximum is 1h.")
    workspace = open_workspace(context, writes=True, lends=True)
    context.follow_token()
    owner = context.connection.read_account()  # the owner counts as a person, so the cache is not enough
    app_state = AppState(
        workspace,
        find_actor(context) if owner is None else owner.name,
        seconds,
        owner_id=owner.id if owner else None,
        token_role=owner.token_role if owner else None,
    )
    try:
        repos = _repos_to_sync(context, workspace)
        server = Server(app_state, repos, host, port, public, os.environ, partial(_follow_token, context, app_state))
    except OSError as problem:
        raise UsageError(
            f"cannot listen on {host}:{port}: {problem.strerror}.", hint="--port 0 picks a free port."
        ) from None
    server.run(lambda: _print_start(context, server, opens=not no_open))
    return 0


def _follow_token(context: CommandContext, app_state: AppState) -> None:
    """Use the token that its source holds now. Raises UsageError if it cannot be read or used."""
    context.follow_token()
    if app_state.workspace.settings is not context.settings:
        app_state.workspace.use_settings(context.settings)
        app_state.request_sync()


# ---- calls of a running desk -----------------------------------------------------------------------------------------


def _require_owner(context: CommandContext, desk: Mapping[str, Any]) -> None:
    """Raise NotAllowed if the token is not that of the owner of a running desk: a link signs in as the owner."""
    account = context.account
    if account is not None and desk["owner"] != account.id:
        raise NotAllowed(
            f"The desk is already running at {desk['url']}, and its links are for its owner, not for {account.name}.",
            hint="Sign in there with your Hub account, or use the token of the owner.",
        )


def _print_new_link(context: CommandContext, desk: Mapping[str, Any], *, opens: bool) -> int:
    """Print another sign-in link of a running desk."""
    from hf_gate.desk.members.terminal import ask_for_link

    link = ask_for_link(desk)
    if context.out.format in {Format.JSON, Format.JSONL}:
        _print_desk(desk["url"], link, desk["pid"])
    else:
        context.out.line(f"The desk is already running at {desk['url']} (pid {desk['pid']}).")
        context.out.line(f"Sign in once, within 15 minutes: {link}")
    if opens:
        open_browser(link)
    return 0


def _repos_to_sync(context: CommandContext, workspace: Workspace) -> Callable[[], Sequence[Repo]]:
    """Return a function that returns the repos to sync: the workspace's repos, else the repos in the store."""

    def repos() -> Sequence[Repo]:
        if workspace.location.folder is None:
            return [row.repo for row in workspace.store.repos()]
        return select_repos(context, (), None)

    return repos


def _print_desk(url: str, link: str, pid: int) -> None:
    sys.stdout.write(to_json(DeskRecord(url=url, login_url=link, pid=pid)) + "\n")


def _print_start(context: CommandContext, server: Server, *, opens: bool) -> None:
    link = server.login_url()
    if context.out.format in {Format.JSON, Format.JSONL}:
        _print_desk(server.url, link, os.getpid())
    else:
        behind = "" if server.url == server.local_url else f", behind a proxy that forwards to {server.local_url},"
        context.out.line(f"The desk runs at {server.url}{behind} until Ctrl-C.")
        context.out.line(f"Sign in once, within 15 minutes: {link}")
    sys.stdout.flush()
    if server.is_open_to_others:
        context.out.warn(
            "other machines can reach this address, and cookies are sent unencrypted. Use a TLS proxy and --public-url."
        )
    sign_in = server.app_state.hub_sign_in
    if sign_in.client is None and context.location.config.sign_in.client_id is not None:
        context.out.warn(f"sign-in with the Hub is off: {sign_in.problem}")
    elif sign_in.client is None:
        context.out.say(f"Only you can sign in. {sign_in.problem}", "dim")
    if opens and not open_browser(link):
        context.out.say("No browser was found. Open the link by hand.")


def open_browser(link: str) -> bool:
    """Open a link in a browser window; return whether that worked. Text browsers are not started."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        return webbrowser.open(link)
    except (OSError, webbrowser.Error):
        return False
