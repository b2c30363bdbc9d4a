"""The local Hub as a server: headers, rate limit, clock, start and stop, and the official client."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

from hf_gate.localhub.hub_state import LocalHubClock, RateLimiter, parse_local_hub_time, parse_quota
from hf_gate.localhub.server import build_local_hub_app
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import fetch


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub(requests=300, clock="x60") as hub:
        yield hub


# ---- the official client ------------------------------------------------------------------------------------------------


def test_the_official_client_works_with_the_local_hub(hf_local_hub: LocalHub, tmp_path: Path) -> None:
    hub = hf_local_hub
    api, kit = HfApi(endpoint=hub.url, token=hub.tokens["owner"]), HfApi(endpoint=hub.url, token=hub.tokens["stranger"])
    repo = f"{api.whoami()['name']}/thing"
    api.create_repo(repo)
    api.create_repo(repo, exist_ok=True)
    api.update_repo_settings(repo, gated="manual")
    api.upload_file(path_or_fileobj=b"---\nlicense: mit\n---\n", path_in_repo="README.md", repo_id=repo)
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repo)
    assert api.model_info(repo).gated == "manual"

    def download() -> str:
        return hf_hub_download(repo, "config.json", token=hub.tokens["stranger"], endpoint=hub.url, cache_dir=tmp_path)

    with pytest.raises(GatedRepoError):
        download()
    with pytest.raises(GatedRepoError):
        kit.auth_check(repo)
    assert fetch(hub, "POST", f"/{repo}/ask-access", {}, authorization=f"Bearer {hub.tokens['stranger']}").status == 303
    (request,) = api.list_pending_access_requests(repo)
    assert (request.username, request.status) == ("sam-stranger", "pending")
    api.accept_access_request(repo, "sam-stranger")
    assert Path(download()).read_bytes() == b"{}"
    api.reject_access_request(repo, "sam-stranger", rejection_reason="no")
    api.cancel_access_request(repo, "sam-stranger")
    with pytest.raises(HfHubHTTPError, match="No access request found"):
        api.cancel_access_request(repo, "sam-stranger")
    api.grant_access(repo, "ada-admin")
    assert [r.username for r in api.list_accepted_access_requests(repo)] == ["ada-admin"]
    steps = [(line["from"], line["to"], line["route"]) for line in hub.journal()]
    assert steps == [
        (None, "pending", "ask"),
        ("pending", "accepted", "handle"),
        ("accepted", "rejected", "handle"),
        ("rejected", "pending", "handle"),
        (None, "accepted", "grant"),
    ]
    api.delete_repo(repo)


# ---- headers, quota, clock ----------------------------------------------------------------------------------------------


def test_a_used_up_quota_is_429_until_the_window_ends() -> None:
    with LocalHub(requests=0, repos=1, quota="3/3600") as hub:
        hub.clock.advance(f"{3600 - hub.clock.now() % 3600}s")
        replies = [fetch(hub, "GET", "/api/whoami-v2") for _ in range(4)]
        assert [got.status for got in replies] == [200, 200, 200, 429]
        assert [re.sub(r"t=\d+", "t", got.headers["ratelimit"]) for got in replies] == [
            f'"api";r={n};t' for n in (2, 1, 0, 0)
        ]
        assert 3000 < int(replies[3].headers["retry-after"]) <= 3600
        other = fetch(hub, "GET", "/api/whoami-v2", authorization=f"Bearer {hub.tokens['reader']}")
        assert other.status == 200
        hub.clock.advance("1h")
        assert fetch(hub, "GET", "/api/whoami-v2").status == 200
        assert hub.stats() == {
            "calls": {"GET whoami": 6},
            "replies": {"200": 5, "429": 1},
            "world_id": hub.stats()["world_id"],
        }


def test_the_time_left_is_rounded_up() -> None:
    headers, refused = RateLimiter(parse_quota("5/3")).count_call("t", "api", 3001.2)
    assert headers == {"ratelimit": '"api";r=4;t=2', "ratelimit-policy": '"fixed window";"api";q=5;w=3'}
    assert refused is None


def test_unknown_tokens_share_one_budget_and_old_windows_are_dropped() -> None:
    with LocalHub(requests=0, repos=1, quota="100/3600") as hub:
        hub.clock.advance(f"{3600 - hub.clock.now() % 3600}s")
        said = [fetch(hub, "GET", "/api/whoami-v2", authorization=f"Bearer nobody-{n}").headers for n in range(20)]
        assert [re.search(r"r=(\d+)", headers["ratelimit"])[1] for headers in said] == [str(99 - n) for n in range(20)]  # type: ignore[index]
        for name in ("owner", "reader", "stranger"):
            fetch(hub, "GET", "/api/whoami-v2", authorization=f"Bearer {hub.tokens[name]}")
        assert hub._serving is not None
        limiter = hub._serving.app.limiter
        assert len(limiter._used) == 4
        hub.clock.advance("1h")
        fetch(hub, "GET", "/api/whoami-v2")
        assert len(limiter._used) == 1


def test_calls_without_changes_use_no_memory() -> None:
    with LocalHub(requests=40, repos=1) as hub:
        repo = hub.repos[0]["repo"]
        path = f"/api/models/{repo}/user-access-request"
        assert hub._serving is not None
        world = hub._serving.app.world
        accounts = len(world.accounts)
        for n in range(50):
            fetch(hub, "GET", f"{path}/pending?q={n}&limit={10 + n}")
            fetch(hub, "POST", f"{path}/handle", {"user": f"nobody-{n}", "status": "accepted"})
            fetch(hub, "GET", f"/{repo}/resolve/main/none-{n}", authorization=f"Bearer nobody-{n}")
            fetch(hub, "GET", f"/api/unknown/{n}")
        assert (len(world.journal), len(world.outbox), len(world.past_rows), len(world.accounts)) == (0, 0, 0, accounts)
        assert len(hub.stats()["calls"]) < 8


@pytest.mark.parametrize("text", ["", "5", "0/3", "5/0", "x/y"])
def test_an_invalid_quota_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quota: write CALLS/SECONDS"):
        parse_quota(text)


def test_durations_are_parsed() -> None:
    assert [parse_local_hub_time(text) for text in ("48h", "90s", "50ms", "2", "30d")] == [172800, 90, 0.05, 2, 2592000]
    for text in ("", "h", "-3s", "3y"):
        with pytest.raises(ValueError, match="not a duration"):
            parse_local_hub_time(text)
    with pytest.raises(ValueError, match="is not a clock"):
        LocalHubClock("x0")


def test_the_clock_can_be_advanced_and_requests_get_older(hub: LocalHub) -> None:
    before = hub.clock.now()
    hub.clock.advance("48h")
    assert hub.clock.now() - before >= 172800


# ---- starting, stopping, saving -----------------------------------------------------------------------------------------


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with LocalHub(requests=0, repos=1):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_invalid_options_are_refused_in_one_line() -> None:
    for wrong in ({"protocol": "2025"}, {"page_size": 5}, {"preset": "none"}, {"clock": "fast"}, {"faults": ["x"]}):
        with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
            build_local_hub_app(**{"requests": 0, "repos": 1, **wrong})  # type: ignore[arg-type] # wrong on purpose


SERVE = """
import msgspec, os
from hf_gate.localhub.server import build_local_hub_app, serve
app = build_local_hub_app(requests=50, repos=2)
serve(app, ready=lambda url: print(msgspec.json.encode(app.describe_start(url, os.getpid())).decode(), flush=True))
"""


def test_a_served_hub_answers_and_ends_on_a_signal() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first: dict[str, Any] = json.loads(process.stdout.readline())
        assert list(first) == ["url", "pid", "tokens", "repos", "control"]
        assert (first["pid"], first["control"]) == (process.pid, f"{first['url']}/_hf_gate")
        hub = LocalHub()
        hub.url, hub.tokens = first["url"], first["tokens"]
        assert len(hub.repos) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_plugin_loads_nothing_heavy_until_used() -> None:
    code = "import hf_gate.testing, sys; print([m for m in ('uvicorn', 'asyncio', 'msgspec', 'httpx2') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "uvicorn" not in shown
    assert "msgspec" not in shown


def test_a_body_that_is_too_large_is_refused(hub: LocalHub) -> None:
    assert fetch(hub, "POST", "/api/repos/create", {"name": "x" * (33 << 20)}).status == 413
