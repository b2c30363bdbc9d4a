"""Runs one client of the comparison in its own process, so that the clients do not influence each other.

`python -m bench.clients NAME` reads its job as JSON from stdin and prints its result as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .hub_process import ROOT, RunningHub, build_environment, read_peak_mb

Job = dict[str, Any]
Result = tuple[int, str]  # number done, and why it stopped early, if it did


@dataclass(frozen=True, slots=True)
class ClientRun:
    """The result of one client. `seconds` exclude imports and first calls; `began` is in epoch seconds."""

    seconds: float
    count: int
    why: str
    peak_mb: float
    began: float

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


def run_client(name: str, hub: RunningHub, **job: object) -> ClientRun:
    """Run a client in a process, as the owner unless the job names another token. Raise RuntimeError if it fails."""
    said = json.dumps({"url": hub.url, "token": hub.tokens["owner"], "warm_token": hub.tokens["reader"], **job})
    command = [sys.executable, "-m", "bench.clients", name]
    env = build_environment(HF_GATE_CLOCK="hub" if job.get("follows_hub") else "")
    run = subprocess.run(command, input=said, capture_output=True, cwd=ROOT, env=env, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"{name}: {(run.stderr.strip().splitlines() or ['no output'])[-1]}")
    return ClientRun(**json.loads(run.stdout))


# Each function prepares a client and returns the function to time. A first call with another token, on a route that
# `Stats` does not count, ensures that nothing is loaded or resolved for the first time while the clock runs.

# ---- hf-gate ---------------------------------------------------------------------------------------------------------


def ours_list(job: Job) -> Callable[[], Result]:
    from hf_gate import Hub

    _warm_ours(job)

    def timed() -> Result:
        with Hub(job["token"], job["url"]) as hub:
            listing = hub.list_pending(job["repo"], repo_type=job["repo_type"])
            count = sum(1 for _ in listing)
            if not listing.completeness.proved:
                raise RuntimeError(f"the listing is not proved complete: {listing.completeness.why}")
            return count, ""

    return timed


def ours_many(job: Job) -> Callable[[], Result]:
    """Read all lists of all repos at once."""
    from hf_gate import AsyncHub

    async def warm() -> None:
        async with AsyncHub(job["warm_token"], job["url"]) as hub:
            await hub.whoami()

    async def all_lists() -> int:
        async with AsyncHub(job["token"], job["url"]) as hub:

            async def one(repo: dict[str, str], status: str) -> int:
                return sum([1 async for _ in hub.list(repo["repo"], status, repo_type=repo["repo_type"])])

            return sum(
                await asyncio.gather(*(one(repo, status) for repo in job["repos"] for status in job["statuses"]))
            )

    asyncio.run(warm())
    return lambda: (asyncio.run(all_lists()), "")


def ours_decide(job: Job) -> Callable[[], Result]:
    """Decide once for each person.

    With `window_s`, start `start_at` seconds into a rate window of that length; one of them started at `zero`.
    """
    from hf_gate import Decision, Hub

    decisions = [Decision.accept(name) for name in job["users"]]
    _warm_ours(job)

    def timed() -> Result:
        with Hub(job["token"], job["url"]) as hub:
            outcomes = Counter(o.kind for o in hub.decide_many(job["repo"], decisions, repo_type=job["repo_type"]))
        if set(outcomes) != {"done"}:
            raise RuntimeError(f"not all were done: {dict(outcomes)}")
        return outcomes.total(), ""

    if "window_s" in job:
        time.sleep((job["zero"] + job["start_at"] - time.time()) % job["window_s"])  # noqa: TID251 - the local Hub's real clock
    return timed


def ours_decide_for(job: Job) -> Callable[[], Result]:
    """Decide the same people again and again, accept and cancel in turn, for `for_s` seconds."""
    from hf_gate import Decision, Hub

    _warm_ours(job)

    def timed() -> Result:
        done, end = 0, time.perf_counter() + job["for_s"]
        with Hub(job["token"], job["url"]) as hub:
            while True:
                for decide in (Decision.accept, Decision.cancel):
                    decisions = map(decide, job["users"])
                    for outcome in hub.decide_many(job["repo"], decisions, repo_type=job["repo_type"]):
                        done += outcome.kind == "done"
                        if time.perf_counter() > end:
                            return done, ""

    return timed


def _warm_ours(job: Job) -> None:
    from hf_gate import Hub

    with Hub(job["warm_token"], job["url"]) as hub:
        hub.whoami()


# ---- huggingface_hub -------------------------------------------------------------------------------------------------


def peer_list(job: Job) -> Callable[[], Result]:
    from huggingface_hub import HfApi

    _warm_peer(job)

    def timed() -> Result:
        api = HfApi(token=job["token"], endpoint=job["url"])
        return sum(1 for _ in api.list_pending_access_requests(job["repo"], repo_type=job["repo_type"])), ""

    return timed


def peer_many(job: Job) -> Callable[[], Result]:
    """Read one list after the other, as the plain loop does."""
    from huggingface_hub import HfApi

    _warm_peer(job)

    def timed() -> Result:
        api = HfApi(token=job["token"], endpoint=job["url"])
        lists = {
            "pending": api.list_pending_access_requests,
            "accepted": api.list_accepted_access_requests,
            "rejected": api.list_rejected_access_requests,
        }
        count = 0
        for repo in job["repos"]:
            for status in job["statuses"]:
                count += sum(1 for _ in lists[status](repo["repo"], repo_type=repo["repo_type"]))
        return count, ""

    return timed


def peer_decide(job: Job) -> Callable[[], Result]:
    """Decide one person after the other; the first error ends the loop, as it would end a script."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    _warm_peer(job)

    def timed() -> Result:
        api = HfApi(token=job["token"], endpoint=job["url"])
        for done, user in enumerate(job["users"]):
            try:
                api.accept_access_request(job["repo"], user, repo_type=job["repo_type"])
            except HfHubHTTPError as error:
                return done, str(error.response.status_code)
        return len(job["users"]), ""

    return timed


def _warm_peer(job: Job) -> None:
    from huggingface_hub import HfApi

    HfApi(token=job["warm_token"], endpoint=job["url"]).whoami()


CLIENTS: dict[str, Callable[[Job], Callable[[], Result]]] = {
    player.__name__: player
    for player in (ours_list, ours_many, ours_decide, ours_decide_for, peer_list, peer_many, peer_decide)
}


def main() -> None:
    timed = CLIENTS[sys.argv[1]](json.load(sys.stdin))
    began, start = time.time(), time.perf_counter()  # noqa: TID251 - the local Hub's real clock
    count, why = timed()
    took = time.perf_counter() - start
    print(json.dumps(asdict(ClientRun(took, count, why, read_peak_mb(), began))))


if __name__ == "__main__":
    main()
