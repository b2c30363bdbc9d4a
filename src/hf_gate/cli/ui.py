"""ui: the desk in the browser, served from here; the terminal prints the link that signs in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import UsageError
from .framework import Run, command
from .output import Format
from .workspace import actor_of, open_workspace, select_repos

if TYPE_CHECKING:
    from ..application.workspace import Workspace
    from ..domain.ids import Repo
    from ..web.server import Server

HOLD_MOST = 3600.0
_NOTEBOOK: Final = ("JPY_PARENT_PID", "JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")


@command(
    "ui",
    examples=(
        "hf-gate ui",
        "hf-gate ui --no-open --port 8080 --hold 30s",
        "hf-gate ui --public-url https://desk.example.org",
        "hf-gate ui link",
        "hf-gate ui invite mia --role reviewer --repo datasets/acme/eeg-*",
        "hf-gate ui invite mia --account mia-schmidt",
        "hf-gate ui revoke mia",
        "hf-gate ui prove 'https://desk.example.org/settings#prove=...'",
    ),
)
@click.argument(
    "what", required=False, type=click.Choice(["link", "invite", "revoke", "members", "prove"]), metavar="[WHAT]"
)
@click.argument("name", required=False, metavar="[NAME]")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Other machines reach the desk at another address."
)
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0: one that is free.")
@click.option(
    "--public-url",
    metavar="URL",
    help="https://HOST under which browsers reach the desk where a proxy ends TLS before it.",
)
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@click.option("--hold", metavar="TIME", default="10s", show_default=True, help="How long a decision can be taken back.")
@click.option(
    "--role",
    type=click.Choice(["viewer", "reviewer", "admin"]),
    default="reviewer",
    show_default=True,
    help="With invite.",
)
@click.option("--repo", "repos", multiple=True, metavar="GLOB", help="With invite: these repos of the workspace alone.")
@click.option("--account", metavar="USER", help="With invite: their account on the Hub, where it has another name.")
@click.option("-y", "--yes", is_flag=True, help="With prove: do not ask.")
def ui(
    run: Run,
    *,
    what: str | None,
    name: str | None,
    role: str,
    repos: tuple[str, ...],
    account: str | None,
    yes: bool,
    **serving: Any,  # noqa: ANN401 - click's own values
) -> int:
    """Open the desk in the browser: a queue with verdicts and reasons, single keys, and time to undo each decision.

    Other commands work beside it: each waits until the other has written. Ctrl-C ends it; what is in the tray stays
    there. With --json the first line tells url, login_url and pid.

    WHAT asks the desk that runs: `link` for another link to sign in, `invite NAME` for a personal one, `revoke NAME` to
    end that, `members` for who has one.

    `prove LINK` shows a desk, also on another machine, that your Hub account is yours: until then you are no second person
    there. LINK is on its settings page. The desk asks the Hub whose your token is, and does not keep it.
    """
    if what == "prove":
        from .ui_prove import prove  # noqa: PLC0415 - who serves needs none of it

        return prove(run, name, yes=yes)
    from ..web.terminal import find_running_desk  # noqa: PLC0415 - help needs none of it

    known = find_running_desk(run.settings, run.location)
    if what is not None:
        return _ask(run, known, {"do": what, "name": name, "role": role, "repos": list(repos), "account": account})
    if known is not None:
        return _again(run, known, opens=not serving["no_open"])
    if in_notebook(os.environ, sys.modules):
        raise UsageError(
            "this is a notebook: the desk would keep the cell busy, and your browser may not reach it.",
            hint="Run `hf-gate ui --no-open` in a terminal (JupyterLab: File > New > Terminal). Here, `!hf-gate ls REPO` works.",
        )
    return _serve(run, **serving)


def in_notebook(environ: Mapping[str, str], modules: Container[str]) -> bool:
    """Whether the process is a Jupyter kernel, or was started by a cell with `!` (a kernel's children inherit its variables)."""
    return "ipykernel" in modules or any(name in environ for name in _NOTEBOOK)


def _serve(run: Run, *, host: str, port: int, public_url: str | None, no_open: bool, hold: str) -> int:
    from ..config import parse_seconds  # noqa: PLC0415 - help needs none of it
    from ..web.app_state import AppState  # noqa: PLC0415 - as above
    from ..web.server import Server, parse_public_url  # noqa: PLC0415 - as above

    public = None if public_url is None else parse_public_url(public_url)
    seconds = parse_seconds(hold, "--hold")
    if not 0 <= seconds <= HOLD_MOST:
        raise UsageError(f"--hold {hold}: a decision is held for at most an hour.")
    workspace = open_workspace(run, writes=True, lends=True)
    owner = run.account
    app_state = AppState(
        workspace,
        actor_of(run),
        seconds,
        owner_id=owner.id if owner else None,
        token_role=owner.token_role if owner else None,
    )
    try:
        server = Server(app_state, _repos(run, workspace), host, port, public)
    except OSError as problem:
        raise UsageError(
            f"{host}:{port} cannot be served: {problem.strerror}.", hint="--port 0 takes one that is free."
        ) from None
    server.run(lambda: _tell(run, server, opens=not no_open))
    return 0


# ---- a desk that runs already --------------------------------------------------------------------------------------------


def _again(run: Run, desk: Mapping[str, Any], *, opens: bool) -> int:
    """Another link to a desk that is there already."""
    from ..web.terminal import send_command  # noqa: PLC0415 - as above

    link = str(send_command(desk, {"do": "link"})["login_url"])
    if run.out.format in {Format.JSON, Format.JSONL}:
        sys.stdout.write(json.dumps({"url": desk["url"], "login_url": link, "pid": desk["pid"]}) + "\n")
    else:
        run.out.line(f"The desk runs already, at {desk['url']} (pid {desk['pid']}).")
        run.out.line(f"Sign in, once, within 15 minutes: {link}")
    if opens:
        open_browser(link)
    return 0


def _ask(run: Run, desk: Mapping[str, Any] | None, wish: Mapping[str, Any]) -> int:
    from ..web.terminal import send_command  # noqa: PLC0415 - as above

    if desk is None:
        raise UsageError("no desk runs at this store on this machine.", hint="Start it: hf-gate ui")
    if wish["do"] in {"invite", "revoke"} and not wish["name"]:
        raise UsageError(f"whom? hf-gate ui {wish['do']} NAME")
    told = send_command(desk, wish)
    document = {"schema_version": 1, **told}
    run.out.document(document, lambda: _lines(told), quiet=[str(told.get("link") or told.get("login_url") or "")])
    return 0


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    if "login_url" in told:
        yield f"Sign in, once, within 15 minutes: {told['login_url']}"
    elif "link" in told:
        yield f"{told['name']} may come in as {told['role']}, as often as this link is opened, until it is revoked:"
        yield str(told["link"])
        if told["account_id"]:
            yield f"Hub account: {told['account']}, not proven until they run the command on the settings page."
        else:
            yield f"No Hub account is known for {told['name']}: name it with --account, or let them prove it."
    elif "members" in told:
        for one in told["members"]:
            where = ", ".join(one["repos"]) or "all repos"
            account = f"  {one['account'] or 'account unknown'}{', proven' if one['proven'] else ', not proven'}"
            yield f"{one['name']}  {one['role']}  {where}{account if one['link'] else '  (revoked)'}"
        if not told["members"]:
            yield "Nobody but the owner of the token."
    else:
        yield f"{told['name']} is out: the link is void, and every session has ended."


def _repos(run: Run, workspace: Workspace) -> Callable[[], Sequence[Repo]]:
    """Which repos are read: those of the workspace, or without one those that the store has."""

    def repos() -> Sequence[Repo]:
        if workspace.location.folder is None:
            return [row.repo for row in workspace.store.repos()]
        return select_repos(run, (), None)

    return repos


def _tell(run: Run, server: Server, *, opens: bool) -> None:
    link = server.login_url()
    if run.out.format in {Format.JSON, Format.JSONL}:
        sys.stdout.write(json.dumps({"url": server.url, "login_url": link, "pid": os.getpid()}) + "\n")
    else:
        behind = (
            "" if server.url == server.local_url else f", behind what ends TLS and passes on to {server.local_url},"
        )
        run.out.line(f"The desk is at {server.url}{behind} until Ctrl-C.")
        run.out.line(f"Sign in, once, within 15 minutes: {link}")
    sys.stdout.flush()
    if server.is_open_to_others:
        run.out.warn(
            "this address is reached from other machines, and cookies travel readable. A proxy with TLS: --public-url."
        )
    if opens and not open_browser(link):
        run.out.say("No browser was found here: open the link yourself.")


def open_browser(link: str) -> bool:
    """Whether a window was opened for it; a browser within the terminal would take it away from us."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    import webbrowser  # noqa: PLC0415 - only who wants one

    try:
        return webbrowser.open(link)
    except (OSError, webbrowser.Error):
        return False
