"""demo: a local Hub with invented people, the whole round on it, from asking to a ledger that proves itself, and its desk in the browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click

from ..application.record_builders import rate_answers, request_record
from ..application.records import RequestRecord
from ..domain.ids import Repo, parse_repo
from ..domain.lifecycle import Status
from ..domain.outcomes import OutcomeKind
from ..domain.requests import Decision
from .demo_story import Story, start_command
from .demo_workspace import play_workspace, serve_desk
from .framework import Run, command
from .output import Format, count_of
from .request_details import request_lines
from .request_table import ls_columns
from .text_layout import terminal_width
from .ui import open_browser

_NEWCOMER: Final = {"username": "mara-okello", "fullname": "Mara Okello", "email": "mara.okello@example.edu"}
_REASON: Final = "Please say in one or two sentences what you will do with it, then ask again."


@command("demo", examples=("hf-gate demo", "hf-gate demo --script"))
@click.option("--script", is_flag=True, help="Play the story, check it, and end.")
@click.option(
    "--requests", type=click.IntRange(min=60), default=2000, show_default=True, help="How many invented people ask."
)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The Hub's; 0: one that is free.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
def demo(run: Run, *, script: bool, requests: int, seed: int, port: int, no_open: bool) -> int:
    """Try everything without a token or network: a local Hub, invented people, decisions, policies, a plan and the desk.

    Afterwards it serves until Ctrl-C: the desk in the browser, signed in by a link that is printed and, in a terminal,
    opened, and the Hub, on which `hf-gate --profile demo ls` and all other commands work beside the desk.
    """
    from .. import bootstrap  # noqa: PLC0415 - help needs none of it

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_GATE_CLOCK"):
        os.environ.pop(name, None)  # the local Hub is on this machine: staying offline is no reason to stay away
    with _serve_hub(requests, seed, port) as (child, first), TemporaryDirectory(prefix="hf-gate-demo-") as folder:
        story = Story(run, first["url"], first["tokens"])
        repos = [_repo(line) for line in first["repos"]]
        with bootstrap.publish_profile(run.settings, "demo", story.url, story.tokens["owner"], folder):
            _play(story, repos)
            play_workspace(story, repos, Path(folder))
            with nullcontext() if script else serve_desk(story, Path(folder)) as desk:
                links = dict(desk or {})
                if run.out.format in {Format.JSON, Format.JSONL}:
                    about = {"url": story.url, "desk_url": links.get("url"), "login_url": links.get("login_url")}
                    run.out.document({"schema_version": 1, "ok": True, **about, "steps": story.steps}, lambda: ())
                if not script:
                    _stay(story, child, links["login_url"], repos[0], opens=not no_open)
    return 0


def _stay(story: Story, hub: subprocess.Popen[str], link: str, repo: Repo, *, opens: bool) -> None:
    """Until somebody ends it."""
    _invite(story, link, repo)
    sys.stdout.flush()
    if opens and sys.stdout.isatty():
        open_browser(link)
    try:
        hub.wait()
    except KeyboardInterrupt:
        story.run.out.say("The demo ends; nothing of it is kept.")


def _repo(line: Mapping[str, str]) -> Repo:
    return parse_repo(line["repo"], line["repo_type"])


@contextmanager
def _serve_hub(requests: int, seed: int, port: int) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A local Hub in a process of its own, and the first line that it says."""
    words = [
        "hub",
        "serve",
        "--json",
        "--no-advice",
        "--requests",
        str(requests),
        "--seed",
        str(seed),
        "--port",
        str(port),
    ]
    with start_command(words, hint="`hf-gate hub serve` says why.") as (child, first):
        yield child, first


def _play(story: Story, repos: list[Repo]) -> None:
    repo = repos[0]
    story.print(f"A Hub on this machine, {story.url}, with {count_of(len(repos), 'gated repo')} and invented people.")
    story.print()
    token = _ask(story, repo)
    _list(story, repo)
    _accept(story, repo, token)
    _send_back(story, repo)
    _read_again(story, repo)


def _ask(story: Story, repo: Repo) -> str:
    """Somebody new asks, as a requester's script would."""
    name = _NEWCOMER["username"]
    story.print(f"1. {name} asks for {repo}")
    token = str(story.post_control("people", [_NEWCOMER])[0]["token"])
    with story.hub(token) as hub:
        form = hub.gate_form(repo)
        asked = [item for item in form.fields if item.type != "ip_location"]  # the Hub fills that in itself
        answers = {item.label: _answer(item.type, [o.value for o in item.options], item.role) for item in asked}
        status = hub.ask_access(repo, answers)
    story.check("ask", ok=status == Status.PENDING, detail=f"{name} has asked, and her request is {status}")
    story.print()
    return token


def _answer(kind: str, options: list[str], role: str) -> str:
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


def _list(story: Story, repo: Repo) -> None:
    story.print(f"2. Who waits?   hf-gate ls {repo}")
    with story.hub("owner") as hub:
        listing = hub.list_pending(repo)
        rows = [request_record(request) for request in listing]
    if story.run.out.is_human:
        story.run.out.records(RequestRecord, rows, ls_columns(rows, story.run.now()), name=str, limit=8)
    proved = listing.completeness.proved
    story.check(
        "list",
        ok=proved and len(rows) > 8,
        detail=f"{count_of(len(rows), 'request')} wait, and the list is proved whole",
    )
    story.print()


def _accept(story: Story, repo: Repo, token: str) -> None:
    name = _NEWCOMER["username"]
    story.print(f"3. Let her in   hf-gate accept {name}@{repo}")
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
        detail=f"{name} may download: her own token says {access}",
    )
    story.check(
        "again", ok=second.kind is OutcomeKind.ALREADY, detail=f"accepting her once more changes nothing: {second.kind}"
    )
    story.print()


def _send_back(story: Story, repo: Repo) -> None:
    """The thin and empty answers go back with a reason, many at once."""
    with story.hub("owner") as hub:
        poor = [
            request
            for request in hub.list_pending(repo)
            if set((rate_answers(request) or {}).values()) & {"junk", "empty"}
        ][:40]
        story.print(f"4. Send {len(poor)} back whose answers say nothing   hf-gate reset - --reason ...")
        outcomes = list(hub.decide_many(repo, [Decision.reset(request, reason=_REASON) for request in poor]))
    done = sum(outcome.kind is OutcomeKind.DONE for outcome in outcomes)
    story.check(
        "reset",
        ok=bool(poor) and done == len(poor),
        detail=f"{done} of {len(poor)} sent back with a reason; each may ask again",
    )
    story.print()


def _read_again(story: Story, repo: Repo) -> None:
    story.print(f"5. Read again   hf-gate ls {repo} --status all")
    name = _NEWCOMER["username"]
    with story.hub("owner") as hub:
        accepted = {request.username for request in hub.list_accepted(repo)}
        pending = {request.username for request in hub.list_pending(repo)}
        reset = sum(1 for _ in hub.list_reset(repo))
    ok = name in accepted and name not in pending and reset > 0
    story.check(
        "re-read", ok=ok, detail=f"the Hub's own lists agree: {name} is in, {reset} are sent back, {len(pending)} wait"
    )


def _invite(story: Story, link: str, repo: Repo) -> None:
    if not story.run.out.is_human:
        return
    story.print()
    story.print("The same desk in the browser; this link signs in, once:")
    story.print(f"  {link}")
    story.print()
    story.print("Hub and desk stay up until Ctrl-C. In another terminal, beside the browser:")
    for words, about in (
        ("ls", "all that waits, in every repo"),
        (f"review {repo}", "one after the other, by single keys"),
        (f"ls {repo} --format csv", "for a spreadsheet; no cell is a formula"),
        (f"form check {repo}", "what the gate asks"),
        (f"policy show {repo}", "the policy of the workspace in sentences"),
        ("plan", "what it would do next"),
        ("runs ls", "what was done, and how to take it back"),
        ("audit ls", "the ledger"),
        ("doctor", "what a token may do"),
        ("ui link", "another link to the desk in the browser"),
    ):
        story.print(f"  hf-gate --profile demo {words:45} {about}")
    story.print("In a clone, write .venv/bin/hf-gate instead of hf-gate.")
    story.print()
    story.print("With your own repo and token:   hf-gate ls datasets/you/your-data")
