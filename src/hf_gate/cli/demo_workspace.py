"""Plays the demo: its steps, and the workspace on the local Hub with each command a maintainer would run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct, field

from ..errors import HfGateError
from ..localhub.openid_client import CLIENT_ID, CLIENT_SECRET
from ..private_files import write_private_file
from .framework import Run

if TYPE_CHECKING:
    from ..domain.ids import Repo
    from ..hub.client import Hub


_SHOWN = 14  # the most lines of a command's output that are shown


def play_workspace(story: Story, repos: Sequence[Repo], folder: Path) -> None:
    """Play the steps from `init` to the verified audit log."""
    desk = _DemoWorkspace(story, folder)
    _create_workspace(desk, repos)
    plan = _make_plan(desk)
    _explain_change(desk, plan)
    _apply_plan(desk, plan)
    _verify_audit_log(desk)


@contextmanager
def serve_desk(story: Story, folder: Path) -> Iterator[Mapping[str, Any]]:
    """Serve the desk on a free port; yield the first document that `hf-gate ui --json` prints."""
    _allow_sign_in(story, folder)
    words = ("ui", "--no-open", "--json", "--port", "0")
    hint, env = "`hf-gate --profile demo ui` shows the reason.", _hub_variables(story, folder)
    with start_command(words, hint=hint, cwd=folder, env=env, err=subprocess.DEVNULL) as (_, start):
        yield start


def _allow_sign_in(story: Story, folder: Path) -> None:
    """Let the members of the organisations sign in to the desk with the local Hub."""
    orgs = dict.fromkeys(str(line["repo"]).partition("/")[0] for line in story.read_control("repos"))
    lines = ["sign_in:", "  client_id: file:sign-in-client", "  client_secret: file:sign-in-secret"]
    write_private_file(folder / "sign-in-client", CLIENT_ID.encode())
    write_private_file(folder / "sign-in-secret", CLIENT_SECRET.encode())
    roles = ["  roles:", *(f"    {org}: {{admin: admin, write: reviewer, read: viewer}}" for org in orgs)]
    with (folder / "hf-gate.yaml").open("a", encoding="utf-8") as file:
        file.write("\n".join(["", *lines, *roles, ""]))


def _hub_variables(story: Story, folder: Path) -> dict[str, str]:
    """Return the variables with which commands find the demo's Hub. Its cached accounts stay in the demo's folder."""
    return {"HF_ENDPOINT": story.url, "HF_TOKEN": story.tokens["owner"], "XDG_CACHE_HOME": str(folder / ".cache")}


class _DemoWorkspace:
    """Runs hf-gate in the folder of the workspace and shows its output."""

    def __init__(self, story: Story, folder: Path) -> None:
        self.story, self.folder = story, folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_GATE_")}
        self._env = clean | _hub_variables(story, folder) | {"COLUMNS": "100"}

    def show(self, *words: str) -> None:
        """Run a command and print the start of its output."""
        if not self.story.run.out.is_human:
            return
        lines = self._run(*words).stdout.splitlines()
        for line in lines[:_SHOWN]:
            self.story.print(f"    {line}")
        if len(lines) > _SHOWN:
            self.story.print(f"    and {len(lines) - _SHOWN} more lines")

    def read_json(self, *words: str) -> Any:  # noqa: ANN401 - a JSON document
        """Run a command with --json and return its document."""
        return json.loads(self._run(*words, "--json").stdout)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hf_gate", "--no-input", *words]
        done = subprocess.run(  # noqa: S603 - ourselves
            command, cwd=self.folder, env=self._env, capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode != 0:
            raise HfGateError(
                f"`hf-gate {' '.join(words)}` failed with exit code {done.returncode}: {done.stderr.strip()[-300:]}",
                hint="Please report this. Only the local Hub was used.",
            )
        return done


def _create_workspace(desk: _DemoWorkspace, repos: Sequence[Repo]) -> None:
    """Create the workspace. This changes nothing on the Hub."""
    story = desk.story
    story.print()
    story.print("6. Create a workspace   hf-gate init")
    desk.read_json("init", *map(str, repos))
    empty = desk.read_json("plan")
    story.check(
        "init",
        ok=(desk.folder / "hf-gate.yaml").is_file() and empty["changes"] == [] and empty["summary"]["judged"] > 0,
        detail=f"{empty['summary']['judged']:,} pending requests evaluated in shadow mode; the plan after init is empty",
    )
    story.print()


def _make_plan(desk: _DemoWorkspace) -> Mapping[str, Any]:
    story = desk.story
    story.print("7. Enforce the policy (mode: enforce) and see what it would do   hf-gate plan --out plan.json")
    file = desk.folder / "policies" / "starter.yaml"
    file.write_text(file.read_text("utf-8").replace("mode: shadow", "mode: enforce"), "utf-8")
    plan: Mapping[str, Any] = desk.read_json("plan", "--out", "plan.json")
    desk.show("plan")
    again = desk.read_json("plan", "--now", plan["plan"]["made_at"])
    story.check(
        "plan",
        ok=bool(plan["changes"]) and again["plan"]["digest"] == plan["plan"]["digest"],
        detail=f"{len(plan['changes'])} changes, nothing sent; the same input gives the same plan, byte for byte",
    )
    story.print()
    return plan


def _explain_change(desk: _DemoWorkspace, plan: Mapping[str, Any]) -> None:
    story, change = desk.story, plan["changes"][0]
    where = change["repo"] if change["repo_type"] == "model" else f"datasets/{change['repo']}"
    who = f"{change['user']}@{where}"
    story.print(f"8. Explain a change   hf-gate explain {who}")
    desk.show("explain", who)
    explanation = desk.read_json("explain", who)
    story.check(
        "explain",
        ok=change["rule"] in json.dumps(explanation),
        detail=f"the explanation names the rule of the plan: {change['rule']}",
    )
    story.print()


def _apply_plan(desk: _DemoWorkspace, plan: Mapping[str, Any]) -> None:
    story, count = desk.story, len(plan["changes"])
    story.print("9. Apply the plan   hf-gate apply plan.json")
    words = ("apply", "plan.json", "--yes", "--max-changes", str(count))
    first = desk.read_json(*words)
    before = _count_posts(story)
    second = desk.read_json(*words)
    story.check("apply", ok=first["done"] == count, detail=f"{first['done']} of {count} done")
    story.check(
        "twice",
        ok=second["run"] == first["run"] and _count_posts(story) == before,
        detail="applying it again sends nothing",
    )
    story.print()


def _count_posts(story: Story) -> int:
    calls: Mapping[str, int] = story.read_control("stats")["calls"]
    return sum(number for name, number in calls.items() if name.startswith("POST"))


def _verify_audit_log(desk: _DemoWorkspace) -> None:
    story = desk.story
    story.print("10. Verify the audit log   hf-gate audit verify")
    proof = desk.read_json("audit", "verify")
    story.check(
        "audit",
        ok=proof["ok"] and proof["entries"] > 0,
        detail=f"{proof['entries']:,} entries in {proof['chains']} chains verified",
    )


# ---- story -----------------------------------------------------------------------------------------------------------


class Story(Struct):
    """The steps of the demo so far."""

    run: Run
    url: str
    tokens: Mapping[str, str]
    steps: list[dict[str, object]] = field(default_factory=list)

    def print(self, text: str = "") -> None:
        """Print a line in the human format; other formats print only the document at the end."""
        if self.run.out.is_human:
            self.run.out.line(text)

    def check(self, name: str, *, ok: bool, detail: str) -> None:
        """Record a checked step. Raises HfGateError if it failed."""
        self.steps.append({"step": name, "ok": ok, "detail": detail})
        self.print(f"  {'✓' if ok else '✗'} {detail}")
        if not ok:
            raise HfGateError(
                f"a step of the demo failed: {detail}.",
                hint="Please report this. Only the local Hub was used.",
            )

    @contextmanager
    def hub(self, token: str) -> Iterator[Hub]:
        """Open a client of the local Hub with a token, given by its value or its holder."""
        from ..hub.client import Hub

        with Hub(self.tokens.get(token, token), self.url) as hub:
            yield hub

    def post_control(self, path: str, body: object) -> Any:  # noqa: ANN401 - whatever JSON it answers
        """Send a request to the local Hub's control API and return its answer."""
        return self._control_request("POST", path, json.dumps(body))

    def read_control(self, path: str) -> Any:  # noqa: ANN401 - as above
        """Read from the local Hub's control API."""
        return self._control_request("GET", path, None)

    def _control_request(self, method: str, path: str, body: str | None) -> Any:  # noqa: ANN401 - as above
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request(method, f"/_hf_gate/{path}", body, {"content-type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def start_command(
    words: Sequence[str],
    *,
    hint: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    err: int | None = None,
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a long-running hf-gate command; yield the process and the JSON of its first line. Terminates it at the end.

    The child process gets `env`, but none of this process's HF_GATE_ variables. `err` is the target of its stderr; by
    default, it is inherited.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_GATE_")} | dict(env or {})
    command = [sys.executable, "-m", "hf_gate", *words]
    child = subprocess.Popen(  # noqa: S603 - ourselves
        command, stdout=subprocess.PIPE, stderr=err, text=True, env=clean, cwd=cwd
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
