"""The second half of the demo: a workspace on the local Hub, with the commands that a steward types, each step checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HfGateError
from .demo_story import Story, start_command

if TYPE_CHECKING:
    from ..domain.ids import Repo

_SHOWN = 14  # lines of a command's answer that are shown


def play_workspace(story: Story, repos: Sequence[Repo], folder: Path) -> None:
    """From init to a ledger that proves itself."""
    desk = _DemoWorkspace(story, folder)
    _begin(desk, repos)
    plan = _plan(desk)
    _explain(desk, plan)
    _apply(desk, plan)
    _prove(desk)


@contextmanager
def serve_desk(story: Story, folder: Path) -> Iterator[Mapping[str, Any]]:
    """The desk in the browser at a port that is free; what `hf-gate ui --json` says of it."""
    words = ("ui", "--no-open", "--json", "--port", "0")
    hint, env, quiet = "`hf-gate --profile demo ui` says why.", _env(story, folder), subprocess.DEVNULL
    with start_command(words, hint=hint, cwd=folder, env=env, err=quiet) as (_, told):
        yield told


def _env(story: Story, folder: Path) -> dict[str, str]:
    """Where commands find the demo's Hub; whose token it is is nobody else's business."""
    return {"HF_ENDPOINT": story.url, "HF_TOKEN": story.tokens["owner"], "XDG_CACHE_HOME": str(folder / ".cache")}


class _DemoWorkspace:
    """Runs the program itself in the folder of the workspace, and shows what a person would see."""

    def __init__(self, story: Story, folder: Path) -> None:
        self.story, self.folder = story, folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_GATE_")}
        self._env = clean | _env(story, folder) | {"COLUMNS": "100"}

    def show(self, *words: str) -> None:
        """A command with what it prints."""
        if not self.story.run.out.is_human:
            return
        lines = self._run(*words).stdout.splitlines()
        for line in lines[:_SHOWN]:
            self.story.print(f"    {line}")
        if len(lines) > _SHOWN:
            self.story.print(f"    and {len(lines) - _SHOWN} more lines")

    def ask(self, *words: str) -> Any:  # noqa: ANN401 - a JSON document
        """A command's document."""
        return json.loads(self._run(*words, "--json").stdout)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hf_gate", "--no-input", *words]
        done = subprocess.run(  # noqa: S603 - ourselves
            command, cwd=self.folder, env=self._env, capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode != 0:
            raise HfGateError(
                f"`hf-gate {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()[-300:]}",
                hint="Please report this; nothing but the local Hub was touched.",
            )
        return done


def _begin(desk: _DemoWorkspace, repos: Sequence[Repo]) -> None:
    """A workspace is a folder; nothing on the Hub changes by making one."""
    story = desk.story
    story.print()
    story.print("6. Make a workspace   hf-gate init")
    desk.ask("init", *map(str, repos))
    empty = desk.ask("plan")
    story.check(
        "init",
        ok=(desk.folder / "hf-gate.yaml").is_file() and empty["changes"] == [] and empty["summary"]["judged"] > 0,
        detail=f"{empty['summary']['judged']:,} waiting requests judged in shadow mode; the plan right after init is empty",
    )
    story.print()


def _plan(desk: _DemoWorkspace) -> Mapping[str, Any]:
    story = desk.story
    story.print("7. Let the policy count (mode: enforce), and see what it would do   hf-gate plan --out plan.json")
    file = desk.folder / "policies" / "starter.yaml"
    file.write_text(file.read_text("utf-8").replace("mode: shadow", "mode: enforce"), "utf-8")
    plan: Mapping[str, Any] = desk.ask("plan", "--out", "plan.json")
    desk.show("plan")
    again = desk.ask("plan", "--now", plan["plan"]["made_at"])
    story.check(
        "plan",
        ok=bool(plan["changes"]) and again["plan"]["digest"] == plan["plan"]["digest"],
        detail=f"{len(plan['changes'])} changes, nothing sent; the same inputs give the same plan, byte for byte",
    )
    story.print()
    return plan


def _explain(desk: _DemoWorkspace, plan: Mapping[str, Any]) -> None:
    story, change = desk.story, plan["changes"][0]
    where = change["repo"] if change["repo_type"] == "model" else f"datasets/{change['repo']}"
    who = f"{change['user']}@{where}"
    story.print(f"8. Why?   hf-gate explain {who}")
    desk.show("explain", who)
    told = desk.ask("explain", who)
    story.check(
        "explain",
        ok=change["rule"] in json.dumps(told),
        detail=f"the explanation names the rule of the plan: {change['rule']}",
    )
    story.print()


def _apply(desk: _DemoWorkspace, plan: Mapping[str, Any]) -> None:
    story, count = desk.story, len(plan["changes"])
    story.print("9. Let it happen   hf-gate apply plan.json")
    words = ("apply", "plan.json", "--yes", "--max-changes", str(count))
    first = desk.ask(*words)
    before = _writes(story)
    second = desk.ask(*words)
    story.check("apply", ok=first["done"] == count, detail=f"{first['done']} of {count} done")
    story.check(
        "twice",
        ok=second["run"] == first["run"] and _writes(story) == before,
        detail="applying it once more sends nothing",
    )
    story.print()


def _writes(story: Story) -> int:
    calls: Mapping[str, int] = story.read_control("stats")["calls"]
    return sum(number for name, number in calls.items() if name.startswith("POST"))


def _prove(desk: _DemoWorkspace) -> None:
    story = desk.story
    story.print("10. Prove what happened   hf-gate audit verify")
    proof = desk.ask("audit", "verify")
    story.check(
        "audit",
        ok=proof["ok"] and proof["entries"] > 0,
        detail=f"{proof['entries']:,} entries in {proof['chains']} chains, and every one holds",
    )
