"""Measures start-up times of commands and of the local Hub, and the size of the download."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from .hub_process import ROOT, build_environment, read_peak_mb, run_local_hub
from .results import DASH, Row, format_ratio, unmeasured_row
from .sizes import Sizes

OURS = "from hf_gate.__main__ import main; main()"  # same as the console script
PEER_LS = "import sys; from huggingface_hub import HfApi; [print(r.username) for r in HfApi().list_pending_access_requests(sys.argv[1], repo_type=sys.argv[2])]"
Command = Sequence[str]


def measure_cold_starts(sizes: Sizes) -> Iterator[Row]:
    with run_local_hub(100) as hub:
        repo = hub.largest
        spelt = f"{repo['repo_type']}:{repo['repo']}"
        python = (sys.executable, "-c")
        hf = str(Path(sys.executable).with_name("hf"))
        commands: dict[str, Command] = {
            "click": (*python, "import click"),
            "help": (*python, OURS, "--help"),
            "version": (*python, OURS, "version"),
            "ls": (*python, OURS, "ls", spelt, "--format", "quiet"),
            "hf help": (hf, "--help"),
            "hf version": (hf, "version"),
            "peer ls": (*python, PEER_LS, repo["repo"], repo["repo_type"]),
        }
        with tempfile.TemporaryDirectory() as home:
            private = {
                "HOME": home,
                "HF_HOME": home,
                "XDG_DATA_HOME": home,
                "XDG_CONFIG_HOME": home,
                "XDG_CACHE_HOME": home,
            }
            env = build_environment(HF_ENDPOINT=hub.url, HF_TOKEN=hub.tokens["owner"], **private)
            ms = _time_commands(commands, sizes.cold_starts, env)
    most, third = 1.5 * ms["click"], ms["hf version"] / 3
    aim = f"<= 1.5 x python + click ({most:.0f} ms), <= 1/3 of `hf version` ({third:.0f} ms)"
    yield _start_row(
        "start-help", "`--help`", ms["help"], ms["hf help"], aim, is_reached=ms["help"] <= min(most, third)
    )
    yield _start_row(
        "start-version", "`version`", ms["version"], ms["hf version"], aim, is_reached=ms["version"] <= min(most, third)
    )
    yield _start_row("start-ls", "`ls` of 70 people (huggingface_hub: one line of Python)", ms["ls"], ms["peer ls"])


def _start_row(
    key: str, what: str, ours: float, peer: float, aim: str = DASH, *, is_reached: bool | None = None
) -> Row:
    held = "Most of the time is Python itself, then click; the rest is our own modules."
    return Row(
        key, f"cold start, {what}", f"{ours:.0f} ms", f"{peer:.0f} ms", format_ratio(peer / ours), aim, is_reached, held
    )


def _time_commands(commands: Mapping[str, Command], rounds: int, env: Mapping[str, str]) -> dict[str, float]:
    """Return the median milliseconds of each command, run in turn. A first round fills caches and is not counted."""
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            run = subprocess.run(command, capture_output=True, cwd=ROOT, env=env, text=True, check=False)
            took[name].append((time.perf_counter() - start) * 1000)
            if run.returncode != 0:
                raise RuntimeError(f"{name} ended with {run.returncode}: {run.stderr.strip()[-200:]}")
    return {name: median(times_[1:]) for name, times_ in took.items()}


TARGETS = {2_000: (1.5, None), 100_000: (15.0, 600.0), 1_000_000: (90.0, 2_500.0)}  # requests of a world -> seconds, MB


def measure_local_hubs(sizes: Sizes) -> Iterator[Row]:
    for key, requests in zip(("serve-small", "serve-large", "serve-million"), sizes.served, strict=True):
        with run_local_hub(requests, 3) as hub:
            took, memory = hub.started_in, read_peak_mb(hub.pid)
        most_s, most_mb = TARGETS.get(requests, (None, None))
        aims = [f"<= {most_s:g} s" if most_s else "", f"<= {most_mb:g} MB" if most_mb else ""]
        reached = None if most_s is None else took <= most_s and (most_mb is None or memory <= most_mb)
        yield Row(
            key, f"local Hub with {requests:,} requests: start-up time, memory", f"{took:.2f} s, {memory:.0f} MB",
            target=", ".join(filter(None, aims)) or DASH, is_met=reached,
        )  # fmt: skip


def measure_download(sizes: Sizes) -> Iterator[Row]:
    what = "download of the basic install: size, packages"
    if not sizes.with_download:
        yield unmeasured_row("download", what, "only in the full form")
        return
    megabytes, packages = _download("run.txt")
    peer_mb, peer_packages = _download("witness-hf-2.txt")
    yield Row(
        "download", what, f"{megabytes:.1f} MB, {packages}", f"{peer_mb:.1f} MB, {peer_packages}", format_ratio(peer_mb / megabytes),
        "<= 60 MB", megabytes <= 60, "It includes huggingface_hub and its dependencies.",
    )  # fmt: skip


def _download(lock: str) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--dest", folder, "--requirement", str(ROOT / "requirements" / lock)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"pip download: {run.stderr.strip()[-200:]}")
        files = list(Path(folder).iterdir())
        return sum(file.stat().st_size for file in files) / 1e6, len(files)
