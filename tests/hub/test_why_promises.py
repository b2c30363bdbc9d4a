"""What `why` promises: it writes nothing, sends a token to its endpoint only, and makes few calls."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_gate
from hf_gate.testing import LocalHub
from tests.kits.command_line import Console
from tests.kits.download_failures import BAD_TOKEN, MIRROR, DownloadHub
from tests.kits.raw_hub import OK_ANSWERS, RawHub, answer, open_raw_hub, serve_answers

TOKEN = "hf_local_canary_token"


@pytest.fixture(scope="module")
def asker_hub() -> Iterator[DownloadHub]:
    with LocalHub(requests=0, repos=3) as local:
        yield DownloadHub(local)


# ---- files -----------------------------------------------------------------------------------------------------------------------


def snapshot(*folders: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return mode, time of change and content of everything in the folders."""
    found = {}
    for folder in folders:
        for path in (folder, *sorted(folder.rglob("*"))):
            state = path.lstat()
            found[str(path)] = (state.st_mode, state.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found


def fill(home: Path, secret: str) -> None:
    """Write what `hf auth login` and downloads leave, with a login that ended long ago and could be renewed."""
    folder = home / ".cache" / "huggingface"
    snapshots = folder / "hub" / "models--lumen-labs--lantern-7b-chat" / "snapshots" / "0a1b"
    snapshots.mkdir(parents=True)
    (snapshots / "config.json").write_text("{}", "utf-8")
    (folder / "token").write_text(secret, "utf-8")
    (folder / "stored_tokens").write_text(
        f"[laptop]\nhf_token = {secret}\nrefresh_token = hf_local_refresh\nexpires_at = 1000000000\n", "utf-8"
    )
    (folder / ".check_for_update_done").touch()


@pytest.mark.parametrize("is_filled", [False, True])
@pytest.mark.parametrize("word", ["accepted", "pending", "expired", "nobody"])
def test_no_file_is_written(
    asker_hub: DownloadHub,
    private_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_filled: bool,
    word: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = asker_hub.tokens.get(word, BAD_TOKEN)
    if is_filled:
        fill(private_home, secret)
    journal, variables = (
        asker_hub.hub.journal(),
        {"HF_ENDPOINT": asker_hub.hub.url, "HF_TOKEN": "" if is_filled else secret},
    )
    before = snapshot(private_home, tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    address = f"401 Client Error: Unauthorized for url: {asker_hub.hub.url}/{asker_hub.gated}/resolve/main/config.json"
    hf_gate.why(asker_hub.gated, all_tokens=True)
    hf_gate.why(asker_hub.gated, "config.json", offline=True)
    hf_gate.explain(address, look=True)
    console = Console(asker_hub.hub, holder="")
    console.run("why", asker_hub.gated, env=variables)
    console.run("why", "-", stdin=address, env=variables)
    console.spawn("why", asker_hub.gated, "--report", env=variables | {"PYTHONDONTWRITEBYTECODE": "1"})
    assert snapshot(private_home, tmp_path) == before
    assert asker_hub.hub.journal() == journal


def test_a_login_past_its_date_is_named_and_not_renewed(asker_hub: DownloadHub, private_home: Path) -> None:
    fill(private_home, BAD_TOKEN)
    found = hf_gate.why(asker_hub.gated, endpoint=asker_hub.hub.url)
    assert (found.code, found.certain) == ("token_expired", False)
    assert "laptop" in found.sentence
    assert "renew" in found.sentence


# ---- tokens ----------------------------------------------------------------------------------------------------------------------


def forbid(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    answer(caller, "200 OK", b'{"name":"evil","gated":false}', b"content-type: application/json", b"x-request-id: 1")


def test_a_small_file_at_another_address_of_the_hub_is_read() -> None:
    """The Hub redirects from a small file to its cache; the repos that it names are asked for."""

    def say(hub: RawHub, caller: socket.socket, line: str) -> None:
        if "resolve-cache" in line:
            answer(caller, "200 OK", b'{"base_model_name_or_path": "big/base"}', b"x-request-id: 1")
        elif "/resolve/" in line:
            answer(
                caller,
                "307 Moved",
                b"",
                b"x-request-id: 1",
                b"location: /api/resolve-cache/models/acme/m/0a/adapter_config.json",
            )
        elif "big/base" in line:
            words = b"Access to model big/base is restricted and you are not in the authorized list. Visit x to ask for access."
            answer(
                caller, "403 No", b"{}", b"x-request-id: 1", b"x-error-code: GatedRepo", b"x-error-message: " + words
            )
        else:
            listed = b'{"gated":false,"siblings":[{"rfilename":"adapter_config.json"}]}'
            serve_answers(OK_ANSWERS | {"/api/": ("200 OK", [(b"x-request-id", b"1")], listed)})(hub, caller, line)

    with open_raw_hub(say) as hub:
        found = hf_gate.why("acme/m", token=TOKEN, endpoint=hub.url)
        assert (found.code, found.also[0].repo, found.also[0].code) == ("other_repo_refused", "big/base", "not_asked")
        assert found.calls == len(hub.lines) == 7


def test_only_the_token_in_use_goes_to_another_hub(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the saved ones, not those of later sources, and nothing to the public Hub."""
    fill(private_home, "hf_local_saved")
    words = b"Invalid username or password."

    def refuse(_hub: RawHub, caller: socket.socket, _line: str) -> None:
        answer(caller, "401 No", b'{"error":"%s"}' % words, b"x-error-message: " + words)

    with open_raw_hub(refuse) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        found = hf_gate.why("acme/m", endpoint=MIRROR, all_tokens=True, insecure_http=True)
        assert (found.code, found.certain) == ("endpoint_drops_token", False)
        assert all(MIRROR in line for line in proxy.lines)
        sent = {header for header in proxy.headers if header.lower().startswith(b"authorization")}
    assert sent == {f"authorization: Bearer {TOKEN}\r\n".encode()}


@pytest.mark.parametrize("is_known", [True, False])
def test_a_server_on_this_machine_gets_no_second_token(
    private_home: Path, monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    """Whoever may listen on a port here would get the tokens of a person who only asked why."""
    fill(private_home, "hf_local_saved")
    waits = b"Your request to access model acme/m is awaiting a review from the repo authors."
    words = [(b"x-request-id", b"1"), (b"x-error-code", b"GatedRepo"), (b"x-error-message", waits)]
    answers = OK_ANSWERS | {"auth-check": ("403 No", words, b"{}")}
    if not is_known:
        answers["whoami"] = ("401 No", [(b"x-request-id", b"1")], b"{}")
    with open_raw_hub(serve_answers(answers)) as hub:
        port = hub.url.rpartition(":")[2]
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for endpoint in (hub.url, f"http://localhost:{port}"):
            found = hf_gate.why("acme/m", endpoint=endpoint, all_tokens=True)
            assert found.code == ("pending" if is_known else "token_invalid")
        sent = {header for header in hub.headers if header.lower().startswith(b"authorization")}
    assert sent == {f"authorization: Bearer {TOKEN}\r\n".encode()}


def test_a_token_does_not_go_to_another_machine_in_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_raw_hub(forbid) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        found = hf_gate.why("acme/m", token=TOKEN, endpoint=MIRROR)
        assert (found.code, found.calls, proxy.lines) == ("network", 0, [])


def test_the_token_of_a_failed_request_goes_to_no_other_port_of_its_host() -> None:
    from huggingface_hub import HfApi

    with open_raw_hub(
        serve_answers({**OK_ANSWERS, "/api/": ("401 No", [(b"x-error-code", b"GatedRepo")], b"{}")})
    ) as failed:
        with pytest.raises(Exception) as raised:  # noqa: PT011
            HfApi(endpoint=failed.url, token=TOKEN).model_info("a/b")
        with open_raw_hub(forbid) as other:
            hf_gate.explain(raised.value, look=True, endpoint=other.url)
            assert other.lines
            assert not any(TOKEN.encode() in header for header in other.headers)
        assert any(TOKEN.encode() in header for header in failed.headers)


# ---- calls -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_an_offline_process_makes_no_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_raw_hub(forbid) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv(name, "1")
        for found in (
            hf_gate.why("a/b"),
            hf_gate.explain(f"403 Forbidden for url {hub.url}/a/b/resolve/main/c", look=True),
        ):
            assert found.calls == 0
        monkeypatch.delenv(name)
        hf_gate.why("a/b", offline=True)
        assert hub.lines == []


def test_the_command_starts_without_the_store_and_the_official_client() -> None:
    """As `ls` does, which loads both of them only for a store."""
    code = (
        "import sys; from hf_gate.command_line.main import run; code = run(['why', '--offline', 'acme/m']);"
        "import json; print(json.dumps([code, sorted(sys.modules)]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, env=dict(os.environ)
    )
    code, modules = json.loads(run.stdout.splitlines()[-1])
    assert code == 75
    heavy = {"huggingface_hub", "yaml", "sqlite3", "asyncio", "celpy", "requests", "filelock"}
    assert {module for module in modules if module in heavy} == set()
