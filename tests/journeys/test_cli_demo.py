"""The first ten minutes: demo, its profile, the local Hub as a process, doctor, and `hf gate`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema  # type: ignore[import-untyped]
import pytest

from hf_gate.command_line.workspace.schemas import schema_of
from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, PROGRAM, CommandResult, Console, request_access
from tests.kits.program_server import program_words
from tests.kits.store_workspace import own_files
from tests.kits.stores import new_schema


def _run(*args: str, **env: str) -> CommandResult:
    return _run_words([*PROGRAM, *args], env)


def _run_fork(*args: str) -> CommandResult:
    """A command beside a demo, whose own start is not what is tested."""
    return _run_words([*program_words(), *args], {})


def _run_words(words: list[str], env: Mapping[str, str]) -> CommandResult:
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **env}, check=False, timeout=90)
    return CommandResult(done.returncode, done.stdout, done.stderr)


def test_the_demo_by_itself_needs_no_token_checks_its_story_and_leaves_nothing(private_home: Path) -> None:
    ended = _run("demo", "--script", "--requests", "300", HF_HUB_OFFLINE="1")
    assert ended.code == 0, ended.err
    assert sum(line.startswith("  ✓") for line in ended.out.splitlines()) == 7
    assert "✗" not in ended.out
    assert own_files(private_home) == []
    assert not (private_home / ".local").exists(), "folders that the demo made for its state are gone too"


def test_the_demo_in_json_fits_its_schema() -> None:
    ended = _run("demo", "--script", "--requests", "300", "--json")
    jsonschema.validate(ended.json, schema_of("demo"))
    assert all(step["ok"] for step in ended.json["steps"])


@contextmanager
def _running(*args: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    child = subprocess.Popen([*PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stderr is not None
    shown: list[str] = []
    try:
        yield child, shown
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_serves_its_profile_until_it_ends_and_leaves_nothing(which: int, private_home: Path) -> None:
    with _running("demo", "--requests", "300") as (child, shown):
        assert child.stdout is not None
        while "With your own repo" not in "".join(shown):
            line = child.stdout.readline()
            assert line, child.stderr.read() if child.stderr else ""
            shown.append(line)
        told = next(line for line in shown if "--profile demo ls " in line)
        assert told.split()[0].rpartition("/")[2] == "hf-gate"
        assert told.split()[1:4] == ["--profile", "demo", "ls"]
        assert shutil.which(told.split()[0]), "another terminal cannot start it"
        profile = private_home / ".local" / "state" / "hf-gate" / "profiles" / "demo.json"
        assert stat.S_IMODE(profile.stat().st_mode) == 0o600
        state, cache = (private_home.joinpath(*path, "hf-gate") for path in ((".local", "state"), (".cache",)))
        for folder in (state / "profiles", state):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        listed = _run_fork("--profile", "demo", "ls", "--json")
        assert len(listed.json) > 30
        assert "(profile demo)" in listed.err
        assert not cache.exists(), "what commands cache is deleted with the demo"
        link = urlsplit(next(line for line in shown if "/sign-in?t=" in line).strip())
        assert [_asked(link.netloc, f"{link.path}?{link.query}") for _ in range(2)] == [303, 401]
        assert 'href="/sign-in/hub"' in _answer(link.netloc, "/sign-in")[1]
        status, _, provider = _answer(link.netloc, "/sign-in/hub")
        endpoint = json.loads(profile.read_text("utf-8"))["endpoint"]
        assert (status, provider.startswith(f"{endpoint}/oauth/authorize?")) == (303, True), provider
        beside = _run_fork(
            "--profile", "demo", "accept", f"{listed.json[0]['user']}@{_spelt(listed.json[0])}", "--json"
        )
        assert beside.code == 0, beside.err
        assert _run_fork("--profile", "demo", "ui", "--no-open", "--json").code == 0
        child.send_signal(which)
        assert child.wait(20) == 0
        assert own_files(private_home) == []
        with pytest.raises(ConnectionRefusedError):
            _asked(link.netloc, "/healthz")
    ended = _run_fork("--profile", "demo", "ls")
    assert (ended.code, "hf-gate demo" in ended.hint) == (2, True)


def _asked(netloc: str, path: str) -> int:
    return _answer(netloc, path)[0]


def _answer(netloc: str, path: str) -> tuple[int, str, str]:
    """The status, the page and where it leads."""
    connection = HTTPConnection(netloc, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers.get("location", "")
    finally:
        connection.close()


def _spelt(row: dict[str, Any]) -> str:
    return row["repo"] if row["repo_type"] == "model" else f"datasets/{row['repo']}"


def test_a_profile_of_a_demo_that_was_killed_never_falls_back_to_the_real_hub(private_home: Path) -> None:
    folder = private_home / ".local" / "state" / "hf-gate" / "profiles"
    folder.mkdir(parents=True)
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    (folder / "demo.json").write_text(
        json.dumps(
            {"endpoint": "http://127.0.0.1:9", "token": "x", "pid": int(gone.stdout), "lock": "demo.json.1.lock"}
        )
    )
    assert _run("--profile", "demo", "ls").code == 2


def test_a_profile_of_the_configuration_file_brings_endpoint_and_token(fresh: LocalHub, private_home: Path) -> None:
    request_access(fresh, ["ada-l"])
    folder = private_home / ".config" / "hf-gate"
    folder.mkdir(parents=True)
    (folder / "work.token").write_text(fresh.tokens["admin"] + "\n")
    (folder / "config.toml").write_text(f'[profiles.work]\nendpoint = "{fresh.url}"\ntoken_file = "work.token"\n')
    ended = _run(
        "accept", f"ada-l@{MODEL}", HF_GATE_PROFILE="work", HF_TOKEN="another", HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert (ended.code, "as ada-admin (profile work)" in ended.err) == (0, True), ended.err


def _serve(*args: str) -> Any:
    return _running("hub", "serve", "--requests", "60", *args)


def test_the_local_hub_tells_its_first_line_and_ends_on_sigterm() -> None:
    with _serve("--json") as (child, _):
        assert child.stdout is not None
        first = json.loads(child.stdout.readline())
        jsonschema.validate(first, schema_of("hub-serve"))
        assert first["pid"] == child.pid
        assert child.stderr is not None
        line = f"export HF_ENDPOINT={first['url']} HF_TOKEN={first['tokens']['owner']}\n"
        assert child.stderr.readline() == f"In another terminal: {line}"
        assert (
            sum(repo[status] for repo in first["repos"] for status in ("pending", "accepted", "rejected", "reset"))
            == 60
        )
        connection = HTTPConnection(urlsplit(first["url"]).netloc, timeout=10)
        connection.request("GET", "/_hf_gate/stats")
        assert connection.getresponse().status == 200
        connection.close()
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


def test_the_local_hub_tells_people_how_to_go_on() -> None:
    with _serve() as (child, _):
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(6)]
        assert "until Ctrl-C" in said[0]
        assert "HF_ENDPOINT=http://127.0.0.1:" in said[-1]
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0


def test_a_port_that_is_taken_is_one_line(fresh: LocalHub) -> None:
    ended = _run("hub", "serve", "--requests", "0", "--port", str(urlsplit(fresh.url).port))
    assert (ended.code, "--port 0" in ended.hint) == (2, True)


def test_doctor_finds_what_is_missing_and_says_what_to_do(fresh: LocalHub) -> None:
    well = Console(fresh).run("doctor", MODEL, "--json").json
    assert (well["ok"], [check["check"] for check in well["checks"] if check["ok"] is False]) == (True, [])
    none = Console(fresh, "").run("doctor", "--json")
    assert (none.code, none.json["ok"]) == (4, False)
    away = Console(fresh).run("doctor", "--json", "--endpoint", "http://127.0.0.1:9", "--max-wait", "100ms")
    assert away.code == 75
    assert Console(fresh).run("doctor", "lumen-labs/nothing-here").code == 1


def test_doctor_reads_the_store_of_the_workspace(
    fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_uri: str
) -> None:
    monkeypatch.chdir(tmp_path)
    console = Console(fresh)
    place = new_schema(postgres_uri)

    def check(store: str) -> tuple[int, bool | None, str]:
        Path("hf-gate.yaml").write_text(f"version: 1\nrepos: [{MODEL}]\nstore: {store}\n", "utf-8")
        ended = console.run("doctor", "--json")
        found = [check for check in ended.json["checks"] if check["check"] == "store"]
        return (ended.code, found[0]["ok"], found[0]["detail"]) if found else (ended.code, True, "")

    assert check(place)[:2] == (0, None), "a server without a store is none that fails"
    assert "there is no store in" in check(place)[2]
    console.run("sync", MODEL)
    assert check(place) == (0, True, "")
    code, is_ok, detail = check("postgresql://127.0.0.1:9/gate")
    assert (code, is_ok, "cannot be reached" in detail) == (75, False, True)
    assert check("sqlite:///desk.db") == (0, True, "")


def test_doctor_tells_that_the_clock_is_wrong(fresh: LocalHub) -> None:
    console = Console(fresh)
    assert "clock" not in console.run("doctor").out
    console.run("sync", MODEL)
    fresh.clock.advance("10830s")
    ended = console.run("doctor")
    assert (
        ended.code,
        "clock is 3 h behind the Hub's; no grant is ended until the clock is right" in ended.out,
    ) == (
        0,
        True,
    )
    follows = console.run("doctor", env={"HF_GATE_CLOCK": "hub"})
    assert "clock is" not in follows.out


@pytest.mark.parametrize(
    ("holder", "code", "told"),
    [
        ("owner", 0, "can list requests; it should also be able to decide: its role is write"),
        ("fine_write", 0, "can list requests; it should also be able to decide: the token has repo.write"),
        ("fine_access", 0, "can list requests but not decide: the token lacks repo.write"),
        ("fine_content", 4, "can neither list nor decide requests (403)"),
        ("owner_read", 4, "can neither list nor decide requests (403)"),
        ("hf_nobodys_token", 4, "401"),
    ],
)
def test_doctor_says_what_a_token_may_do_after_trying_it(fresh: LocalHub, holder: str, code: int, told: str) -> None:
    console, before = Console(fresh, holder), fresh.journal()
    own, ended = console.run("doctor"), console.run("doctor", MODEL)
    assert (own.code, told in own.out) == (code, True), own.out
    assert (ended.code, told in ended.out) == (code, True), ended.out
    assert ("repo.write) to it" in ended.out) == (holder not in {"owner", "fine_write", "hf_nobodys_token"})
    can_list = console.run("ls", MODEL).code == 0
    assert can_list == ("can list requests" in ended.out), "what doctor says of listing is so"
    assert fresh.journal() == before


def _as_extension(home: Path) -> None:
    """What `hf extensions install OWNER/hf-gate` leaves behind: a manifest that names the console script."""
    folder = home / ".local" / "share" / "hf" / "extensions" / "hf-gate"
    folder.mkdir(parents=True)
    script = folder / "hf-gate"
    script.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in PROGRAM) + ' "$@"\n')
    script.chmod(0o755)
    manifest = {
        "owner": "someone", "repo": "hf-gate", "repo_id": "someone/hf-gate", "short_name": "gate", "type": "python",
        "executable_path": str(script), "installed_at": "2026-11-25T10:00:00+00:00", "description": "Access requests",
        "commit_sha": "0" * 40,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True))


def test_it_works_as_hf_gate_with_arguments_and_exit_codes_passed_through(fresh: LocalHub, private_home: Path) -> None:
    hf = Path(sys.executable).with_name("hf")
    if not hf.exists():
        pytest.skip("no `hf` beside this Python: the extension is not tried here")
    _as_extension(private_home)
    request_access(fresh, ["ada-l"])

    def run(*args: str) -> CommandResult:
        done = subprocess.run(
            [hf, "gate", *args], capture_output=True, text=True, env=Console(fresh).environment(), check=False
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    assert run("version", "--json").json["schema_version"] == 1
    assert [row["user"] for row in run("ls", MODEL, "--json").json] == ["ada-l"]
    assert run("accept", f"ada-l@{MODEL}").code == 0
    assert run("ls", MODEL, "--status", "pendign").code == 2
    assert "Examples:" in run("ls", "--help").out
