"""ui: serves the desk, prints its sign-in link, manages its members and proves their accounts."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from hf_gate.base.display_text import to_json
from hf_gate.cli.framework import CommandContext, command
from hf_gate.cli.output import Format
from hf_gate.cli.workspace import announce_target, find_actor, open_workspace, select_repos
from hf_gate.config import parse_seconds
from hf_gate.decisions.commands.confirmation import confirm
from hf_gate.errors import NO_TOKEN_HINT, NotAllowed, UsageError
from hf_gate.hub.credentials import resolve_token
from hf_gate.members.records import DeskRecord

if TYPE_CHECKING:
    from hf_gate.base.ids import Repo
    from hf_gate.settings.service.workspace import Workspace

    from .server import Server


_MAX_HOLD = 3600.0
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
        "hf-gate ui sessions",
        "hf-gate ui end 3f2a9c01b4d7",
        "hf-gate ui key billing --repo 'datasets/acme/*' --verbs accept,reset",
        "hf-gate ui key ls",
        "hf-gate ui key revoke billing",
    ),
)
@click.argument(
    "what",
    required=False,
    type=click.Choice(["link", "invite", "revoke", "members", "sessions", "end", "key", "prove"]),
    metavar="[WHAT]",
)
@click.argument("name", required=False, metavar="[NAME]")
@click.argument("key_name", required=False, metavar="[KEY]")
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
@click.option(
    "--role",
    type=click.Choice(["viewer", "reviewer", "admin"]),
    default="reviewer",
    show_default=True,
    help="With invite: the role.",
)
@click.option(
    "--repo", "--repos", "repos", multiple=True, metavar="GLOB", help="With invite and key: only these repos."
)
@click.option("--verbs", metavar="LIST", help="With key: what it may do, such as accept,reset,events.")
@click.option("--revoke-old", is_flag=True, help="With key: end the earlier secret now, not in 7 days.")
@click.option("--account", metavar="USER", help="With invite: the member's Hub account, if its name differs.")
@click.option("-y", "--yes", is_flag=True, hidden=True)
def ui(
    context: CommandContext,
    *,
    what: str | None,
    name: str | None,
    key_name: str | None,
    role: str,
    repos: tuple[str, ...],
    verbs: str | None,
    revoke_old: bool,
    account: str | None,
    yes: bool,
    **serving: Any,  # noqa: ANN401 - click's own values
) -> int:
    """Open the desk in the browser: a queue with verdicts and reasons, single keys, and time to undo each decision.

    Other commands can run at the same time; each waits while another one writes. Ctrl-C stops the desk; unsent
    decisions wait until somebody sends them. With --json, the first line has url, login_url and pid.

    WHAT is a command for the running desk: `link` prints another sign-in link, `invite NAME` makes a personal link,
    `revoke NAME` removes the member, `members` lists the members, `sessions` the open sessions, and `end SESSION` ends
    one. A personal link must be used within 7 days. It then works only in the browser that used it.

    `key NAME` makes a key for another system, or a new secret of one that exists: it is shown once. `key ls` lists the
    keys, and `key revoke NAME` ends one.
    """
    if what == "prove":
        return prove(context, name, yes=yes)
    from hf_gate.members.pages.terminal import find_running_desk

    known = find_running_desk(context.settings, context.location)
    if key_name is not None and (what, name) != ("key", "revoke"):
        raise UsageError(f"{key_name!r} is one word too many.", hint="hf-gate ui --help shows the commands.")
    if what == "key":
        return _call_desk(context, known, _key_call(name, key_name, repos, verbs, is_urgent=revoke_old))
    if what is not None:
        call = {"do": what, "name": name, "role": role, "repos": list(repos), "account": account}
        return _call_desk(context, known, call)
    if known is not None:
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


def _key_call(
    name: str | None, key_name: str | None, repos: Sequence[str], verbs: str | None, *, is_urgent: bool
) -> dict[str, Any]:
    """Return the call for `ui key NAME`, `ui key ls` or `ui key revoke NAME`."""
    if name == "ls":
        return {"do": "keys", "name": name}
    if name == "revoke":
        return {"do": "revoke key", "name": key_name}
    wanted = [verb.strip() for verb in (verbs or "").split(",") if verb.strip()]
    return {"do": "key", "name": name, "verbs": wanted, "repos": list(repos), "revoke_old": is_urgent}


def in_notebook(environ: Mapping[str, str], modules: Container[str]) -> bool:
    """Return whether this process is a Jupyter kernel, or was started from a cell with `!` and
    inherited its variables.
    """
    return "ipykernel" in modules or any(name in environ for name in _NOTEBOOK)


def _serve(
    context: CommandContext, *, host: str, port: int, public_url: str | None, no_open: bool, hold: str | None
) -> int:
    from .app_state import AppState
    from .server import Server, default_hold, resolve_public_url

    public = resolve_public_url(public_url, os.environ)
    seconds = default_hold(host, public) if hold is None else parse_seconds(hold, "--hold")
    if not 0 <= seconds <= _MAX_HOLD:
        raise UsageError(f"--hold {hold} is too long.", hint="The maximum is 1h.")
    workspace = open_workspace(context, writes=True, lends=True)
    owner = context.connection.read_account()  # the owner counts as a person, so the cache is not enough
    app_state = AppState(
        workspace,
        find_actor(context) if owner is None else owner.name,
        seconds,
        owner_id=owner.id if owner else None,
        token_role=owner.token_role if owner else None,
    )
    try:
        server = Server(app_state, _repos_to_sync(context, workspace), host, port, public, os.environ)
    except OSError as problem:
        raise UsageError(
            f"cannot listen on {host}:{port}: {problem.strerror}.", hint="--port 0 picks a free port."
        ) from None
    server.run(lambda: _print_start(context, server, opens=not no_open))
    return 0


# ---- calls of a running desk -----------------------------------------------------------------------------------------


def _print_new_link(context: CommandContext, desk: Mapping[str, Any], *, opens: bool) -> int:
    """Print another sign-in link of a running desk."""
    from hf_gate.members.pages.terminal import send_command

    link = str(send_command(desk, {"do": "link"})["login_url"])
    if context.out.format in {Format.JSON, Format.JSONL}:
        _print_desk(desk["url"], link, desk["pid"])
    else:
        context.out.line(f"The desk is already running at {desk['url']} (pid {desk['pid']}).")
        context.out.line(f"Sign in once, within 15 minutes: {link}")
    if opens:
        open_browser(link)
    return 0


def _call_desk(context: CommandContext, desk: Mapping[str, Any] | None, call: Mapping[str, Any]) -> int:
    from hf_gate.members.pages.terminal import send_command

    if desk is None:
        raise UsageError("no desk is running for this store on this machine.", hint="Start the desk: hf-gate ui")
    if call["do"] in {"invite", "revoke", "end", "key", "revoke key"} and not call["name"]:
        what = "SESSION" if call["do"] == "end" else "NAME"
        command = " ".join(reversed(call["do"].split()))
        raise UsageError(f"{what} is missing.", hint=f"hf-gate ui {command} {what}")
    announce_target(context, writes=True, works_offline=True)
    answer = send_command(desk, call)
    context.out.document(
        answer,
        lambda: _answer_lines(answer),
        quiet=[str(next(filter(None, map(answer.get, ("link", "login_url", "secret"))), ""))],
    )
    return 0


def _answer_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    if "login_url" in answer:
        yield f"Sign in once, within 15 minutes: {answer['login_url']}"
    elif "link" in answer:
        yield f"Send this link to {answer['name']} ({answer['role']}). It must be used within 7 days:"
        yield str(answer["link"])
        if answer["account_id"]:
            yield f"Hub account: {answer['account']}, not proven until they run the command on the settings page."
        else:
            yield (
                f"The Hub account of {answer['name']} is unknown. Name the account with --account, or let the "
                "member prove it."
            )
    elif "members" in answer:
        yield from _member_lines(answer["members"])
    elif "sessions" in answer:
        yield from _session_lines(answer["sessions"])
    elif "keys" in answer:
        yield from _key_lines(answer)
    elif "session" in answer:
        yield f"The session {answer['session']} has ended."
    else:
        yield f"{answer['name']} is removed: the link is invalid, and all sessions have ended."


def _member_lines(members: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for member in members:
        where = ", ".join(member["repos"]) or "all repos"
        account = f"  {member['account'] or 'account unknown'}{', proven' if member['proven'] else ', not proven'}"
        state = f"  link: {member['link_state']}{account}" if member["link"] else "  (revoked)"
        yield f"{member['name']}  {member['role']}  {where}{state}"
    if not members:
        yield "No members; only the owner of the token can sign in."


def _key_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    if answer["revoked"]:
        yield f"The key {answer['revoked']} is revoked, and its unsent decisions are undone."
    for key in answer["keys"]:
        where = ", ".join(key["repos"]) or "all repos"
        end = f"  until {key['until']}" if key["until"] else ""
        yield f"{key['name']}  {', '.join(key['verbs'])}  {where}  made {key['made_at']}{end}"
    if not answer["keys"]:
        yield "There are no keys."
    if answer["secret"]:
        yield f"The new secret is not shown again: {answer['secret']}"
    if answer["old_until"]:
        yield f"The earlier secret works until {answer['old_until']}."


def _session_lines(sessions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for session in sessions:
        times = f"since {session['began_at']}  seen {session['seen_at']}"
        yield f"{session['id']}  {session['member']}  {session['method']}  {session['browser']}  {times}"
    if not sessions:
        yield "Nobody is signed in."


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


# ---- ui prove --------------------------------------------------------------------------------------------------------


def prove(context: CommandContext, link: str | None, *, yes: bool) -> int:
    """Send this user's token once to the desk of a link, and print their new sign-in link."""
    from hf_gate.members.pages.account_proofs import parse_proof_link, send_proof

    if not link:
        raise UsageError("LINK is missing: hf-gate ui prove LINK", hint="The settings page of the desk shows it.")
    target = parse_proof_link(link)
    token = resolve_token(context.settings.token)
    if token is None:
        raise NotAllowed("no token was found, so the account cannot be proven.", hint=NO_TOKEN_HINT)
    _confirm(context, target.origin, yes=yes)
    answer = send_proof(target, token.reveal())
    context.out.document(answer, lambda: _lines(answer), quiet=[answer["link"]])
    return 0


def _confirm(context: CommandContext, origin: str, *, yes: bool) -> None:
    context.out.say(
        f"Your token is sent to the desk at {origin}. The desk asks its Hub once for the account, then "
        "discards the token."
    )
    context.out.say("A fine-grained token without permissions is enough. Do this only with a desk that you trust.")
    if not yes:
        confirm(context, "Send the token?", "nothing was sent")


def _lines(answer: Mapping[str, str]) -> Iterator[str]:
    yield f"{answer['name']} is proven: Hub account {answer['account']}."
    yield "Your earlier link and sessions have ended. Sign in with your new link, and keep the link private:"
    yield answer["link"]
