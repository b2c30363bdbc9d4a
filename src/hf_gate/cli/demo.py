"""demo: starts a local Hub with invented people, plays a full round of decisions on it, and serves a desk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click

from ..application.records import RequestRecord
from ..application.request_record_builders import rate_answers, request_record
from ..domain.display_text import pluralize
from ..domain.ids import Repo, parse_repo
from ..domain.lifecycle import Status
from ..domain.outcomes import OutcomeKind
from ..domain.requests import Decision
from .demo_workspace import Story, play_workspace, serve_desk, start_command
from .framework import Run, command
from .output import Format
from .request_table import ls_columns, request_lines
from .text_layout import terminal_width
from .ui import open_browser

_NEWCOMER: Final = {"username": "mara-okello", "fullname": "Mara Okello", "email": "mara.okello@example.edu"}
_REASON: Final = "Please say in one or two sentences what you will do with it, then ask again."


@command("demo", examples=("hf-gate demo", "hf-gate demo --script"))
@click.option("--script", is_flag=True, help="Play the scenario, check each step, and exit.")
@click.option(
    "--requests",
    type=click.IntRange(min=60),
    default=2000,
    show_default=True,
    help="Number of requests from invented people.",
)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the local Hub; 0 picks a free one.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
def demo(run: Run, *, script: bool, requests: int, seed: int, port: int, no_open: bool) -> int:
    """Try everything without a token or network: a local Hub, invented people, decisions, policies, a plan and the desk.

    Afterwards the Hub and the desk run until Ctrl-C. The demo prints a sign-in link for the desk and, in a terminal,
    opens it. `hf-gate --profile demo ls` and all other commands work on the same Hub.
    """
    from .. import bootstrap

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_GATE_CLOCK"):
        os.environ.pop(name, None)  # the local Hub is on this machine, so offline mode must not block it
    with _temporary_folder(run) as folder, _serve_hub(requests, seed, port) as (child, first):
        story = Story(run, first["url"], first["tokens"])
        repos = [parse_repo(line["repo"], line["repo_type"]) for line in first["repos"]]
        with bootstrap.publish_profile(run.settings, "demo", story.url, story.tokens["owner"], folder):
            _play_decisions(story, repos)
            play_workspace(story, repos, folder)
            with nullcontext() if script else serve_desk(story, folder) as desk:
                links = dict(desk or {})
                if run.out.format in {Format.JSON, Format.JSONL}:
                    about = {"url": story.url, "desk_url": links.get("url"), "login_url": links.get("login_url")}
                    run.out.document({"ok": True, **about, "steps": story.steps}, lambda: ())
                if not script:
                    _serve_until_interrupted(story, child, links["login_url"], repos[0], opens=not no_open)
    return 0


@contextmanager
def _temporary_folder(run: Run) -> Iterator[Path]:
    """Yield a folder for the workspace. At the end, delete it, and those folders of this user that the demo left empty."""
    from ..application.store_maintenance import remove_empty_folders

    state, profiles = run.settings.paths.state, run.settings.paths.profiles
    missing = [folder for folder in state.parents if not folder.exists()]
    try:
        with TemporaryDirectory(prefix="hf-gate-demo-") as folder:
            yield Path(folder)
    finally:
        remove_empty_folders([state / "ui", profiles, state, *missing])


def _serve_until_interrupted(story: Story, hub: subprocess.Popen[str], link: str, repo: Repo, *, opens: bool) -> None:
    """Keep the Hub and the desk running until Ctrl-C."""
    _print_next_commands(story, link, repo)
    sys.stdout.flush()
    if opens and sys.stdout.isatty():
        open_browser(link)
    try:
        hub.wait()
    except KeyboardInterrupt:
        story.run.out.say("The demo has ended; its data is deleted.")


@contextmanager
def _serve_hub(requests: int, seed: int, port: int) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a local Hub in a child process; yield the process and the first line that it prints."""
    options = ("--requests", str(requests), "--seed", str(seed), "--port", str(port))
    words = ["hub", "serve", "--json", "--no-advice", *options]
    with start_command(words, hint="`hf-gate hub serve` shows the reason.") as (child, first):
        yield child, first


def _play_decisions(story: Story, repos: list[Repo]) -> None:
    repo = repos[0]
    story.print(f"A Hub on this machine, {story.url}, with {pluralize(len(repos), 'gated repo')} and invented people")
    story.print()
    token = _ask_access(story, repo)
    _list_pending(story, repo)
    _accept_newcomer(story, repo, token)
    _send_back_poor_answers(story, repo)
    _compare_lists(story, repo)


def _ask_access(story: Story, repo: Repo) -> str:
    """Ask for access as a new user, as a requester's script would."""
    name = _NEWCOMER["username"]
    story.print(f"1. {name} asks for {repo}")
    token = str(story.post_control("people", [_NEWCOMER])[0]["token"])
    with story.hub(token) as hub:
        form = hub.gate_form(repo)
        fields = [item for item in form.fields if item.type != "ip_location"]  # the Hub fills this in
        answers = {
            item.label: _example_answer(item.type, [o.value for o in item.options], item.role) for item in fields
        }
        status = hub.ask_access(repo, answers)
    story.check("ask", ok=status == Status.PENDING, detail=f"{name} has asked; the request is {status}")
    story.print()
    return token


def _example_answer(kind: str, options: list[str], role: str) -> str:
    if kind == "checkbox":
        return "true"
    if options:
        return options[0]
    words = {
        "affiliation": "Institute of Phonetics, Makerere University",
        "purpose": "I compare how well small models follow instructions in Luganda and Swahili.",
        "country": "UG",
        "email": _NEWCOMER["email"],
        "name": _NEWCOMER["fullname"],
        "job": "Researcher",
        "birth_date": "1991-04-12",
    }
    return words.get(role, "For research")


def _list_pending(story: Story, repo: Repo) -> None:
    story.print(f"2. List pending requests   hf-gate ls {repo}")
    with story.hub("owner") as hub:
        listing = hub.list_pending(repo)
        rows = [request_record(request) for request in listing]
    if story.run.out.is_human:
        story.run.out.records(RequestRecord, rows, ls_columns(rows, story.run.now()), name=str, limit=8)
    proved = listing.completeness.proved
    story.check(
        "list",
        ok=proved and len(rows) > 8,
        detail=f"{pluralize(len(rows), 'pending request')}; the list is proved complete",
    )
    story.print()


def _accept_newcomer(story: Story, repo: Repo, token: str) -> None:
    name = _NEWCOMER["username"]
    story.print(f"3. Accept her   hf-gate accept {name}@{repo}")
    with story.hub("owner") as hub:
        request = next(request for request in hub.list_pending(repo) if request.username == name)
        if story.run.out.is_human:
            columns = terminal_width(sys.stdout)
            for line in request_lines(request, story.run.now(), None, columns and columns - 4):
                story.print(f"    {line}")
        first, second = hub.accept(repo, request), hub.accept(repo, name)
    with story.hub(token) as hub:
        access = hub.check_access(repo)
    story.check(
        "accept",
        ok=first.kind is OutcomeKind.DONE and access == "granted",
        detail=f"{name} can download; the Hub answers {access} to her own token",
    )
    story.check(
        "again", ok=second.kind is OutcomeKind.ALREADY, detail=f"accepting her again changes nothing: {second.kind}"
    )
    story.print()


def _send_back_poor_answers(story: Story, repo: Repo) -> None:
    """Send requests with junk or empty answers back in one batch, with a reason."""
    with story.hub("owner") as hub:
        poor = [
            request
            for request in hub.list_pending(repo)
            if set((rate_answers(request) or {}).values()) & {"junk", "empty"}
        ][:40]
        story.print(f"4. Send back {len(poor)} requests with empty or junk answers   hf-gate reset - --reason ...")
        outcomes = list(hub.decide_many(repo, [Decision.reset(request, reason=_REASON) for request in poor]))
    done = sum(outcome.kind is OutcomeKind.DONE for outcome in outcomes)
    story.check(
        "reset",
        ok=bool(poor) and done == len(poor),
        detail=f"{done} of {len(poor)} sent back with a reason; they can ask again",
    )
    story.print()


def _compare_lists(story: Story, repo: Repo) -> None:
    story.print(f"5. Read the lists again   hf-gate ls {repo} --status all")
    name = _NEWCOMER["username"]
    with story.hub("owner") as hub:
        accepted = {request.username for request in hub.list_accepted(repo)}
        pending = {request.username for request in hub.list_pending(repo)}
        reset = sum(1 for _ in hub.list_reset(repo))
    ok = name in accepted and name not in pending and reset > 0
    story.check(
        "re-read",
        ok=ok,
        detail=f"the Hub's lists agree: {name} is accepted, {reset} are sent back, {len(pending)} are pending",
    )


def _print_next_commands(story: Story, link: str, repo: Repo) -> None:
    if not story.run.out.is_human:
        return
    story.print()
    story.print("Open the desk in the browser; this link signs in once:")
    story.print(f"  {link}")
    story.print()
    story.print("The Hub and the desk run until Ctrl-C. Commands to try in another terminal:")
    for words, about in (
        ("ls", "list pending requests of all repos"),
        (f"review {repo}", "decide one by one with single keys"),
        (f"ls {repo} --format csv", "export for a spreadsheet; no cell is a formula"),
        (f"form check {repo}", "show what the gate asks"),
        (f"policy show {repo}", "show the policy as sentences"),
        ("plan", "show what the policy would do next"),
        ("runs ls", "list runs; `undo` plans their undo"),
        ("audit ls", "show the audit log"),
        ("doctor", "check what the token can do"),
        ("ui link", "print another sign-in link for the desk"),
    ):
        story.print(f"  hf-gate --profile demo {words:45} {about}")
    story.print("In a git clone, use .venv/bin/hf-gate instead of hf-gate.")
    story.print()
    story.print("With your own repo and token: hf-gate ls datasets/you/your-data")
