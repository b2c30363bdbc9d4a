"""demo: starts a local Hub with invented people, plays a full round of decisions on it, and serves a desk."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct, field

from hf_gate.base.display_text import limit_lines, pluralize
from hf_gate.base.ids import Repo, parse_repo
from hf_gate.base.private_files import remove_empty_folders, write_private_file
from hf_gate.command_line.framework import CommandContext, command
from hf_gate.command_line.output import Format
from hf_gate.command_line.request_table import format_request_lines, ls_columns
from hf_gate.command_line.text_layout import terminal_width
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.records import RequestRecord
from hf_gate.core.requests import Decision
from hf_gate.errors import HfGateError
from hf_gate.localhub.openid_client import CLIENT_ID, CLIENT_SECRET
from hf_gate.requests.service.request_records import rate_answers, request_record
from hf_gate.workspace.records import DemoRecord, DemoStepRecord

from .ui import open_browser

if TYPE_CHECKING:
    from hf_gate.hub.client import Hub

_REASON: Final = "Please say in one or two sentences what you will do with it, then ask again."
_SHOWN: Final = 14  # the most lines of a command's output that are shown
_REPORT: Final = "Please report this. Only the local Hub was used."


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
def demo(context: CommandContext, *, script: bool, requests: int, seed: int, port: int, no_open: bool) -> int:
    """Try everything without a token or network: a local Hub, invented people, decisions, policies, a plan and the
    desk.

    Afterwards the Hub and the desk run until Ctrl-C. The demo prints a sign-in link for the desk and, in a terminal,
    opens it. `hf-gate --profile demo ls` and all other commands work on the same Hub.
    """
    from hf_gate.workspace.service import bootstrap

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_GATE_CLOCK"):
        os.environ.pop(name, None)  # the local Hub is on this machine, so offline mode must not block it
    hub = ("hub", "serve", "--json", "--no-advice")
    words = (*hub, "--requests", str(requests), "--seed", str(seed), "--port", str(port))
    with (
        _temporary_folder(context) as folder,
        _start_command(words, hint="`hf-gate hub serve` shows the reason.") as (child, first),
    ):
        story = _Story(context, first["url"], first["tokens"], folder)
        repos = [parse_repo(line["repo"], line["repo_type"]) for line in first["repos"]]
        with bootstrap.publish_profile(context.settings, "demo", story.url, story.tokens["owner"], folder):
            story.print(
                f"A Hub on this machine, {story.url}, with {pluralize(len(repos), 'gated repo')} and invented people"
            )
            _play_decisions(story, repos[0])
            _play_workspace(story, repos)
            with nullcontext() if script else _serve_desk(story, repos) as desk:
                links = dict(desk or {})
                if context.out.format in {Format.JSON, Format.JSONL}:
                    about = {"desk_url": links.get("url"), "login_url": links.get("login_url")}
                    record = DemoRecord(ok=True, url=story.url, steps=story.steps, **about)
                    context.out.document(record, lambda: ())
                if not script:
                    _serve_until_interrupted(story, child, links["login_url"], repos[0], opens=not no_open)
    return 0


@contextmanager
def _temporary_folder(context: CommandContext) -> Iterator[Path]:
    """Yield a folder for the workspace.

    At the end, delete it, and those folders of this user that the demo left empty.
    """
    from hf_gate.workspace.service import bootstrap

    state = context.settings.paths.state
    profiles = context.settings.paths.profiles
    missing = [folder for folder in state.parents if not folder.exists()]
    copy = None
    try:
        with TemporaryDirectory(prefix="hf-gate-demo-") as folder:
            copy = bootstrap.path_of_config_copy(context.settings, Path(folder))
            yield Path(folder)
    finally:
        if copy is not None:
            copy.unlink(missing_ok=True)
        remove_empty_folders([state / "configs", state / "ui", profiles, state, *missing])


def _serve_until_interrupted(story: _Story, hub: subprocess.Popen[str], link: str, repo: Repo, *, opens: bool) -> None:
    """Keep the Hub and the desk running until Ctrl-C."""
    _print_next_commands(story, link, repo)
    sys.stdout.flush()
    if opens and sys.stdout.isatty():
        open_browser(link)
    try:
        hub.wait()
    except KeyboardInterrupt:
        story.context.out.say("The demo has ended; its data is deleted.")


@contextmanager
def _serve_desk(story: _Story, repos: Sequence[Repo]) -> Iterator[Mapping[str, Any]]:
    """Serve the desk on a free port; yield the first document that `hf-gate ui --json` prints."""
    _allow_sign_in(story, repos)
    words = ("ui", "--no-open", "--json", "--port", "0")
    hint = "`hf-gate --profile demo ui` shows the reason."
    with _start_command(words, hint=hint, cwd=story.folder, env=story.hub_variables, err=subprocess.DEVNULL) as (
        _,
        start,
    ):
        yield start


def _allow_sign_in(story: _Story, repos: Sequence[Repo]) -> None:
    """Let the members of the organisations sign in to the desk with the local Hub."""
    orgs = dict.fromkeys(repo.namespace for repo in repos)
    lines = ["sign_in:", "  client_id: file:sign-in-client", "  client_secret: file:sign-in-secret"]
    write_private_file(story.folder / "sign-in-client", CLIENT_ID.encode())
    write_private_file(story.folder / "sign-in-secret", CLIENT_SECRET.encode())
    roles = ["  roles:", *(f"    {org}: {{admin: admin, write: reviewer, read: viewer}}" for org in orgs)]
    with (story.folder / "hf-gate.yaml").open("a", encoding="utf-8") as file:
        file.write("\n".join(["", *lines, *roles, ""]))


# ---- decisions -------------------------------------------------------------------------------------------------------


def _play_decisions(story: _Story, repo: Repo) -> None:
    """Play the steps of an owner without a workspace: list, accept, send back, read again."""
    with story.hub("owner") as hub:
        story.begin(f"1. List pending requests   hf-gate ls {repo}")
        listing = hub.list_pending(repo)
        requests = list(listing)
        rows = [request_record(request) for request in requests]
        if story.context.out.is_human:
            story.context.out.records(RequestRecord, rows, ls_columns(rows, story.context.now()), name=str, limit=8)
        detail = f"{pluralize(len(rows), 'pending request')}; the list is proved complete"
        story.check("list", ok=listing.completeness.proved and len(rows) > 8, detail=detail)
        good = next((one for one in requests if set((rate_answers(one) or {}).values()) == {"good"}), requests[0])
        story.begin(f"2. Accept a person   hf-gate accept {good.username}@{repo}")
        columns = terminal_width(sys.stdout)
        for line in format_request_lines(good, story.context.now(), None, None, columns and columns - 4):
            story.print(f"    {line}")
        accepted = hub.accept(repo, good)
        story.check("accept", ok=accepted.kind is OutcomeKind.DONE, detail=f"{good.username} can download")
        others = (one for one in requests if one is not good)
        poor = [one for one in others if set((rate_answers(one) or {}).values()) & {"junk", "empty"}][:40]
        story.begin(f"3. Send back {len(poor)} requests with empty or junk answers   hf-gate reset - --reason ...")
        outcomes = list(hub.decide_many(repo, [Decision.reset(request, reason=_REASON) for request in poor]))
        done = sum(outcome.kind is OutcomeKind.DONE for outcome in outcomes)
        detail = f"{done} of {len(poor)} sent back with a reason; they can ask again"
        story.check("reset", ok=bool(poor) and done == len(poor), detail=detail)
        story.begin(f"4. Read the lists again   hf-gate ls {repo} --status all")
        names = {request.username for request in hub.list_accepted(repo)}
        pending = sum(1 for _ in hub.list_pending(repo))
        reset = sum(1 for _ in hub.list_reset(repo))
    counts = f"{reset} are sent back ({reset - done} of them before the demo), {pending} are pending"
    detail = f"the Hub's lists agree: {good.username} is accepted, {counts}"
    is_right = good.username in names and reset >= done and pending == len(rows) - done - 1
    story.check("re-read", ok=is_right, detail=detail)


# ---- the workspace ---------------------------------------------------------------------------------------------------


def _play_workspace(story: _Story, repos: Sequence[Repo]) -> None:
    """Create a workspace with a policy in shadow mode, enforce the policy, make a plan and apply it."""
    story.begin("5. Create a workspace   hf-gate init")
    story.read_json("init", *map(str, repos))
    empty = story.read_json("plan")
    detail = f"{empty['summary']['judged']:,} pending requests evaluated in shadow mode; the plan after init is empty"
    story.check("init", ok=empty["changes"] == [] and empty["summary"]["judged"] > 0, detail=detail)
    story.begin("6. Enforce the policy (mode: enforce) and see what it would do   hf-gate plan --out plan.json")
    file = story.folder / "policies" / "starter.yaml"
    file.write_text(file.read_text("utf-8").replace("mode: shadow", "mode: enforce"), "utf-8")
    plan = story.read_json("plan", "--out", "plan.json")
    story.show("plan")
    count = len(plan["changes"])
    story.check("plan", ok=count > 0, detail=f"{count} changes, nothing sent")
    story.begin("7. Apply the plan   hf-gate apply plan.json")
    done = story.read_json("apply", "plan.json", "--yes", "--max-changes", str(count))["done"]
    story.check("apply", ok=done == count, detail=f"{done} of {count} done")


def _print_next_commands(story: _Story, link: str, repo: Repo) -> None:
    story.print("\nOpen the desk in the browser; this link signs in once:")
    story.print(f"  {link}")
    story.print("\nThe Hub and the desk run until Ctrl-C. Commands to try in another terminal:")
    program = _find_program()
    for words, about in (
        ("ls", "list pending requests of all repos"),
        (f"review {repo}", "decide one by one with single keys"),
        (f"policy show {repo}", "show the policy as sentences"),
        ("plan", "show what the policy would do"),
        ("audit ls", "show the audit log"),
        ("doctor", "check what the token can do"),
        ("ui", "print another sign-in link for the desk"),
    ):
        story.print(f"  {program} --profile demo {words:45} {about}")
    story.print(f"\nWith your own repo and token: {program} ls datasets/you/your-data")


def _find_program() -> str:
    """Return how another terminal starts this program: its name if that is on PATH, else the file that was started.

    The folder of this Python does not count: an activated environment and `uvx` add it to PATH for one terminal.
    """
    started = Path(sys.argv[0])
    own = Path(sys.executable).parent
    folders = (each for each in os.environ.get("PATH", "").split(os.pathsep) if Path(each) != own)
    is_there = shutil.which("hf-gate", path=os.pathsep.join(folders)) is not None
    return "hf-gate" if is_there or started.name != "hf-gate" else shlex.quote(str(started.absolute()))


# ---- story -----------------------------------------------------------------------------------------------------------


class _Story(Struct):
    """The steps of the demo so far, the local Hub on which they are played, and the folder of the workspace."""

    context: CommandContext
    url: str
    tokens: Mapping[str, str]
    folder: Path
    steps: list[DemoStepRecord] = field(default_factory=list)

    def print(self, text: str) -> None:
        """Print a text in the human format; other formats print only the document at the end."""
        if self.context.out.is_human:
            for line in text.split("\n"):
                self.context.out.line(line)

    def begin(self, title: str) -> None:
        """Print the title of the next step."""
        self.print(f"\n{title}")

    def check(self, name: str, *, ok: bool, detail: str) -> None:
        """Record a checked step. Raises HfGateError if it failed."""
        self.steps.append(DemoStepRecord(step=name, ok=ok, detail=detail))
        self.print(f"  {'✓' if ok else '✗'} {detail}")
        if not ok:
            raise HfGateError(f"a step of the demo failed: {detail}.", hint=_REPORT)

    def hub(self, token: str) -> Hub:
        """Return a client of the local Hub with a token, given by its value or its holder."""
        from hf_gate.hub.client import Hub

        return Hub(self.tokens.get(token, token), self.url)

    @property
    def hub_variables(self) -> dict[str, str]:
        """The variables with which commands find the demo's Hub. Its cached accounts stay in the demo's folder."""
        cache = str(self.folder / ".cache")
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": self.tokens["owner"], "XDG_CACHE_HOME": cache}

    def show(self, *words: str) -> None:
        """Run a command in the workspace and print the start of its output."""
        if not self.context.out.is_human:
            return
        for line in limit_lines(self._run_command(*words).splitlines(), _SHOWN, rest="and {} more lines"):
            self.print(f"    {line}")

    def read_json(self, *words: str) -> Any:  # noqa: ANN401 - a JSON document
        """Run a command in the workspace with --json and return its document."""
        return json.loads(self._run_command(*words, "--json"))

    def _run_command(self, *words: str) -> str:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", "hf_gate", "--no-input", *words],
            cwd=self.folder,
            env=_clean_environment(self.hub_variables | {"COLUMNS": "100"}),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            what = f"failed with exit code {done.returncode}: {done.stderr.strip()[-300:]}"
            raise HfGateError(f"`hf-gate {' '.join(words)}` {what}", hint=_REPORT)
        return done.stdout


def _clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a command: those of this process without HF_GATE_ variables, and `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HF_GATE_")} | dict(more)


@contextmanager
def _start_command(
    words: Sequence[str],
    *,
    hint: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    err: int | None = None,
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a long-running hf-gate command; yield the process and the JSON of its first line. Terminates it at the end.

    `err` is the target of its stderr; by default, it is inherited.
    """
    child = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "hf_gate", *words],
        stdout=subprocess.PIPE,
        stderr=err,
        text=True,
        env=_clean_environment(env or {}),
        cwd=cwd,
    )
    try:
        line = child.stdout.readline() if child.stdout else ""
        if not line:
            raise HfGateError(f"`hf-gate {' '.join(words[:2])}` did not start.", hint=hint)
        yield child, json.loads(line)
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout:
            child.stdout.close()
