"""`python -m bench.launch`: simulates an unattended launch on a local Hub with a fast clock and writes docs/internals/launch.md.

Thousands of people an hour request access. The token has the rate window of a free account, and only
`hf-gate run --every 5m` is running. At the end, the Hub's own lists show how long each person waited.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

from hf_gate import Hub

ROOT = Path(__file__).resolve().parents[1]
GOOD = (
    "I compare how well chat models follow instructions in {language}, for my thesis",
    "We want to fine-tune it for a help desk that answers questions about {topic}",
    "Measuring how often the model repeats its training data about {topic}",
    "A course on language models for {language} speakers, with exercises on {topic}",
)
POOR = ("test", "asdf", "research", "???", "")
LANGUAGES = ("Swahili", "Finnish", "Tamil", "Quechua", "Basque", "Khmer", "Welsh", "Amharic")
TOPICS = ("soil", "tax forms", "railway signals", "chess endings", "bread", "old maps", "tides", "bees")
PLACES = ("University of Inkmoor", "Underfern Labs", "independent", "Institute of Tides", "Lowmere College")


@dataclass(frozen=True, slots=True)
class Launch:
    """Requests an hour, duration, speed of the Hub's clock, rate limit and interval of the loop."""

    an_hour: int = 20_000
    hours: float = 6.0
    speed: int = 60
    quota: str = "1000/300"
    every: str = "5m"


class ControlClient:
    """A client of the local Hub's control API."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc

    def post(self, path: str, body: object) -> Any:  # noqa: ANN401 - any JSON
        """Send a change and return the JSON answer."""
        return self._call("POST", path, json.dumps(body))

    def get(self, path: str) -> Any:  # noqa: ANN401 - as above
        """Return the JSON answer of a read."""
        return self._call("GET", path, None)

    def _call(self, method: str, path: str, body: str | None) -> Any:  # noqa: ANN401 - as above
        connection = HTTPConnection(self._host, timeout=60)
        try:
            connection.request(method, f"/_hf_gate/{path}", body, {"content-type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def _run_process(words: Sequence[str], env: Mapping[str, str], cwd: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run hf-gate in its own process within the block."""
    with log.open("w", encoding="utf-8") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "hf_gate", *words],
            env=env,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield child
        finally:
            child.terminate()
            child.wait(60)


def _run_hf_gate(words: Sequence[str], env: Mapping[str, str], cwd: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hf_gate", *words], env=env, cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"hf-gate {' '.join(words)}: {done.stderr[-500:]}")
    return done.stdout


def _draw_answers(labels: Sequence[tuple[str, str, str]], chance: random.Random, *, poor: bool) -> dict[str, str]:
    """Draw the answers of one person; `labels` are (label, type, role)."""
    good = chance.choice(GOOD).format(language=chance.choice(LANGUAGES), topic=chance.choice(TOPICS))
    words = {"purpose": chance.choice(POOR) if poor else good, "affiliation": chance.choice(PLACES), "country": "KE"}
    return {label: "true" if kind == "checkbox" else words.get(role, "Inkmoor") for label, kind, role in labels}


def add_requesters(
    door: ControlClient,
    repo: str,
    labels: Sequence[tuple[str, str, str]],
    first: int,
    count: int,
    chance: random.Random,
) -> int:
    """Let `count` people request access now; return how many of them gave almost empty answers."""
    names = [f"asker-{first + n}" for n in range(count)]
    door.post("people", [{"username": name, "email": f"{name}@inkmoor.example"} for name in names])
    poor = [chance.random() < 0.2 for _ in names]
    door.post(
        "requests",
        [
            {"repo": repo, "user": name, "answers": _draw_answers(labels, chance, poor=is_poor)}
            for name, is_poor in zip(names, poor, strict=True)
        ],
    )
    return sum(poor)


POLICY = """\
version: 1
policy: launch
applies_to: [{repo}]
mode: enforce
rules:
  - id: say-more
    when: answers.purpose.quality in ["empty", "junk", "thin"]
    then: reset
    reason: Please say in a sentence what you will use it for, then ask again.
  - id: welcome
    when: answers.consent.all_ticked
    then: accept
  - id: rest
    then: human
"""
DESK = """\
version: 1
repos: [{repo}]
guards: {{accept: 40000/h, reset: 10000/h}}
"""


def run_launch(launch: Launch) -> dict[str, Any]:
    """Run the launch and return its figures."""
    chance = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="hf-gate-launch-") as folder:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_GATE_", "XDG_"))}
        env |= {"HOME": folder, "HF_HUB_DISABLE_TELEMETRY": "1"}
        serve = ("hub", "serve", "--json", "--no-advice", "--requests", "60", "--repos", "1", "--quota", launch.quota)
        with _run_process((*serve, "--clock", f"x{launch.speed}"), env, folder, Path(folder, "hub.log")) as hub:
            said = json.loads(hub.stdout.readline() if hub.stdout else "")
            repo = said["repos"][0]["repo"]
            env |= {"HF_ENDPOINT": said["url"], "HF_TOKEN": said["tokens"]["owner"], "HF_GATE_CLOCK": "hub"}
            return _run_desk(launch, chance, env, folder, said, repo)


def _run_desk(
    launch: Launch, chance: random.Random, env: dict[str, str], folder: str, said: Mapping[str, Any], repo: str
) -> dict[str, Any]:
    desk = Path(folder, "desk")
    (desk / "policies").mkdir(parents=True)
    (desk / "hf-gate.yaml").write_text(DESK.format(repo=repo), "utf-8")
    (desk / "policies" / "launch.yaml").write_text(POLICY.format(repo=repo), "utf-8")
    with Hub(token=said["tokens"]["owner"], endpoint=said["url"]) as hub:
        form = hub.gate_form(repo)
        before = {request.request_id for request in hub.list_pending(repo)}
    labels = [(item.label, item.type, str(item.role)) for item in form.fields]
    _run_hf_gate(("sync",), env, str(desk))
    _run_hf_gate(("policy", "promote", "launch", "--yes"), env, str(desk))
    door, asked, poor = ControlClient(said["url"]), 0, 0
    minutes = round(launch.hours * 60)
    each = launch.an_hour // 60
    began = door.get("clock")["now"]
    with _run_process(("run", "--every", launch.every, "--json"), env, str(desk), Path(folder, "run.log")) as run:
        for minute in range(minutes):
            poor += add_requesters(door, repo, labels, asked, each, chance)
            asked += each
            _wait_until(door, began + 60 * (minute + 1), launch.speed)
        _wait_until(door, door.get("clock")["now"] + 2 * 300 + 60, launch.speed)
        run.terminate()
        turns = [json.loads(line) for line in (run.stdout or ()) if line.startswith("{")]
        trouble = Path(folder, "run.log").read_text("utf-8").splitlines()
    found = _measure_waits(said, repo, before)
    proof = json.loads(_run_hf_gate(("audit", "verify", "--json"), env, str(desk)))
    stats = door.get("stats")
    return {
        **found,
        "asked": asked,
        "poor": poor,
        "turns": len(turns),
        "failed_turns": sum(bool(turn["failed"]) for turn in turns),
        "calls": dict(Counter(stats["calls"])),
        "refused_429": stats["replies"].get("429", 0),
        "ledger": {"ok": proof["ok"], "entries": proof["entries"]},
        "store_mb": round(Path(desk, "desk.db").stat().st_size / 1e6),
        "trouble": [line for line in trouble if "as " not in line][-5:],
    }


def _wait_until(door: ControlClient, moment: float, speed: int) -> None:
    while (left := moment - door.get("clock")["now"]) > 0:
        time.sleep(min(0.5, left / speed))


def _measure_waits(said: Mapping[str, Any], repo: str, before: set[str | None]) -> dict[str, Any]:
    """Measure how long each person waited, from the Hub's own lists."""
    waits: list[float] = []
    count: Counter[str] = Counter()
    with Hub(token=said["tokens"]["owner"], endpoint=said["url"], reserve=0) as hub:
        for status in ("accepted", "reset", "rejected", "pending"):
            for request in hub.list(repo, status):
                if (
                    request.username is None
                    or not request.username.startswith("asker-")
                    or request.request_id in before
                ):
                    continue
                count[status] += 1
                if request.reviewed_at is not None:
                    waits.append(_count_minutes(request.asked_at, request.reviewed_at))
    cut = quantiles(waits, n=100) if len(waits) > 2 else [0.0] * 99
    return {
        "accepted": count["accepted"],
        "reset": count["reset"],
        "pending": count["pending"],
        "median_min": round(median(waits), 2) if waits else None,
        "p95_min": round(cut[94], 2),
        "longest_min": round(max(waits, default=0.0), 2),
    }


def _count_minutes(asked: datetime, reviewed: datetime) -> float:
    return (reviewed - asked).total_seconds() / 60


PAGE = """\
# A launch without a reviewer

Use this page to see whether hf-gate can handle many requests at once while nobody watches. `python -m bench.launch --speed {speed} --write` wrote this page on {day}.
For {hours:g} hours of its clock, {an_hour:,} people an hour request access on a local Hub. Its clock runs {speed} times as fast as real time. The token has a limit of {quota}
(calls/seconds), and only `hf-gate run --every {every}` is running.

| what | measured |
|---|---|
| requests | {asked:,}, of which {poor:,} have almost empty answers |
| accepted / sent back with a reason / still waiting | {accepted:,} / {reset:,} / {pending:,} |
| wait, median / 95 % / longest | {median_min} / {p95_min} / {longest_min} minutes |
| turns / failed turns | {turns} / {failed_turns} |
| calls refused by the rate limit (429) | {refused_429} |
| calls | {asked_for} |
| ledger | {entries:,} entries, {proof} |
| store | {store_mb} MB |

Only the Hub's clock is faster, so the program's own time counts {speed}-fold here. So the figures are those of a machine that is {speed} times slower.
"""


def _build_page(launch: Launch, found: Mapping[str, Any]) -> str:
    values = {name: getattr(launch, name) for name in ("an_hour", "hours", "speed", "quota", "every")}
    ledger = found["ledger"]
    return PAGE.format(
        **values,
        **found,
        day=date.today().isoformat(),  # noqa: DTZ011, TID251 - the day of this machine
        asked_for=", ".join(f"{what} {count:,}" for what, count in sorted(found["calls"].items())),
        entries=ledger["entries"],
        proof="all verified" if ledger["ok"] else "**not verified**",
    )


def main() -> int:
    """Run the launch, print the figures, and write the page if requested."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--an-hour", type=int, default=20_000)
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--speed", type=int, default=12)
    parser.add_argument("--write", action="store_true", help="write docs/internals/launch.md")
    said = parser.parse_args()
    launch = Launch(an_hour=said.an_hour, hours=said.hours, speed=said.speed)
    found = run_launch(launch)
    print(json.dumps(found, indent=1))
    if said.write:
        (ROOT / "docs" / "internals" / "launch.md").write_text(_build_page(launch, found), "utf-8")
    is_fine = found["pending"] == 0 and found["median_min"] is not None and found["median_min"] <= 5
    return 0 if is_fine and found["ledger"]["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
