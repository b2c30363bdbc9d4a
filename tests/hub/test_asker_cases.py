"""114 public reports of people who could not download: each is played, and `why` finds its cause or says that it cannot."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import hf_gate
from hf_gate.testing import LocalHub
from tests.kits.command_line import Console
from tests.kits.download_failures import (
    BAD_TOKEN,
    TEXTS,
    DownloadAttempt,
    DownloadCase,
    DownloadHub,
    list_cases,
    play_calls,
    read_cases,
)
from tests.kits.paths import KITS, ROOT

CASES: Final = read_cases()
SCRIPT: Final = KITS / "download_script.py"

# What `why` finds in each world.
WORLDS: Final = {
    "no token": "no_token", "in Kubernetes": "no_token", "in CI": "no_token", "in Colab": "no_token", "in a Space": "no_token",
    "look-alike": "token_elsewhere", "env file": "token_elsewhere", "a word": "token_malformed", "malformed": "token_malformed",
    "bad token": "token_invalid", "shadowed": "token_shadowed", "expired": "token_expired", "mirror": "endpoint_drops_token",
    "fine-grained": "token_no_gated_permission", "not asked": "not_asked", "pending": "pending", "rejected": "rejected",
    "accepted": "ok", "adapter": "other_repo_refused", "offline": "offline", "no network": "network", "dataset": "wrong_type",
    "missing": "not_found_or_private", "missing, no token": "not_found_or_private",
}  # fmt: skip
NOT_CERTAIN: Final = ("mirror", "missing, no token")
# Worlds in which huggingface_hub 2 fails in this process, and the calls that it lets pass there.
PASSING: Final[dict[str, tuple[str, ...]]] = {
    "no token": ("info", ), "bad token": (), "expired": (), "fine-grained": ("info",), "not asked": ("info",), "pending": ("info",),
    "rejected": ("info",), "missing": (), "missing, no token": (), "dataset": (), "no network": (), "malformed": (),
}  # fmt: skip


@pytest.fixture(scope="module")
def asker_hub() -> Iterator[DownloadHub]:
    with LocalHub(requests=0, repos=3) as local:
        yield DownloadHub(local)


@pytest.fixture
def enter(asker_hub: DownloadHub, private_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that brings this process into a world."""
    monkeypatch.chdir(tmp_path)
    worlds = []

    def enter(name: str) -> DownloadAttempt:
        world = asker_hub.enter(name, private_home)
        worlds.append(world)
        entered = world.__enter__()
        for variable, value in entered.variables.items():
            monkeypatch.setenv(variable, value)
        return entered

    yield enter
    for world in worlds:
        world.__exit__(None, None, None)


def show(found: hf_gate.Diagnosis) -> str:
    """Return a code, with a question mark if it is not certain."""
    return f"{found.code}{'' if found.certain else '?'}"


def assert_hides_tokens(asker_hub: DownloadHub, *texts: object) -> None:
    for token in (*asker_hub.tokens.values(), BAD_TOKEN, "hf_local_canary"):
        assert not any(token in str(text) for text in texts)


@pytest.mark.parametrize("name", WORLDS)
def test_why_finds_the_cause_in_each_world(enter: Any, asker_hub: DownloadHub, name: str) -> None:
    world = enter(name)
    found = hf_gate.why(world.repo, token=world.argument, insecure_http=True)
    assert show(found) == WORLDS[name] + ("?" if name in NOT_CERTAIN else ""), found
    assert found.calls <= (8 if name == "adapter" else 5)
    assert_hides_tokens(asker_hub, found, repr(found), found.to_document())


@pytest.mark.parametrize("call", ["download", "snapshot", "check", "info"])
@pytest.mark.parametrize("name", PASSING)
def test_an_error_of_huggingface_hub_is_explained(
    enter: Any, asker_hub: DownloadHub, tmp_path: Path, name: str, call: str
) -> None:
    world = enter(name)
    if call in PASSING[name]:
        play_calls(world, tmp_path)[call]()
        return
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each call has its own class
        play_calls(world, tmp_path)[call]()
    alone = hf_gate.explain(raised.value)
    assert alone.calls == 0
    assert alone.code == WORLDS[name] or not alone.certain, alone
    looked = hf_gate.explain(raised.value, look=True)
    assert looked.code == WORLDS[name] or (name == "malformed" and looked.code == "token_malformed"), looked
    assert looked.certain == (name not in NOT_CERTAIN), looked
    assert_hides_tokens(asker_hub, alone, looked, repr(looked), looked.to_document())


@pytest.mark.parametrize("name", ["accepted", "not asked"])
def test_a_request_without_a_token_is_told_from_a_refused_account(enter: Any, tmp_path: Path, name: str) -> None:
    world = enter(name)
    world.token = None
    with pytest.raises(Exception) as raised:  # noqa: PT011
        play_calls(world, tmp_path)["download"]()
    found = hf_gate.explain(raised.value, look=True)
    assert show(found) == ("library_sent_no_token" if name == "accepted" else "not_asked")
    assert "carried none" in str(found)


@pytest.mark.witness
@pytest.mark.parametrize("name", [*PASSING, "offline", "a word", "shadowed", "look-alike", "env file", "in Kubernetes"])
def test_a_log_of_huggingface_hub_1_is_explained(
    enter: Any, asker_hub: DownloadHub, private_home: Path, name: str
) -> None:
    python = ROOT / ".venv-witness" / "hf-1" / "bin" / "python"
    if not python.exists():
        pytest.skip("no huggingface_hub witness hf-1: make witness")
    world = enter(name)
    told = {"repo": world.repo, "token": world.argument}
    run = subprocess.run(
        [python, SCRIPT], input=json.dumps(told), capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(private_home), "HF_HOME": os.environ["HF_HOME"], **world.variables},
    )  # fmt: skip
    logs = json.loads(run.stdout)
    for call, log in logs.items():
        if not log:
            assert call in PASSING.get(name, ("info",))
            continue
        alone = hf_gate.explain(log)
        assert alone.code == WORLDS[name] or not alone.certain, (call, alone)
        printed = Console(asker_hub.hub, holder="").run("--json", "why", "-", stdin=log, env=world.variables)
        assert printed.json["code"] == WORLDS[name], (call, printed.out, log)
        assert_hides_tokens(asker_hub, alone, printed.out, printed.err)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_public_report_is_explained(enter: Any, asker_hub: DownloadHub, case: DownloadCase) -> None:
    """Its text alone gives the cause or says that it does not; in the world of the report, `why` finds it."""
    world = enter(case.world)
    if case.text == "-":
        assert show(hf_gate.why(world.repo, insecure_http=True)) == case.found
        return
    is_of_base_model = case.world == "adapter" and not case.alone.endswith("?")
    text = TEXTS[case.text](asker_hub.gated if is_of_base_model else world.repo)
    alone = hf_gate.explain(text)
    assert (show(alone), alone.calls) == (case.alone, 0), alone
    printed = Console(asker_hub.hub, holder="").run(
        "--json", "--insecure-http", "why", "-", stdin=text, env=world.variables
    )
    found = f"{printed.json['code']}{'' if printed.json['certain'] else '?'}"
    if alone.repo is None and case.world != "-" and found != case.found:
        assert found == case.alone  # the text names no repo, so the person names it
        found = show(hf_gate.why(world.repo, insecure_http=True, token=world.argument))
    assert found == ("not_asked" if is_of_base_model else case.alone if case.world == "-" else case.found), printed.out
    assert_hides_tokens(asker_hub, alone, printed.out, printed.err)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("bad credentials", "token_invalid?"), ("expired", "token_expired?"), ("fine-grained 403", "token_no_gated_permission?"),
        ("not asked 403", "ok?"), ("rejected 403", "ok?"), ("not found 401", "ok"), ("gated 401", "library_sent_no_token?"),
        ("inference 403", "token_no_inference_permission"), ("storage 403", "storage"), ("offline", "offline"),
        ("illegal header", "token_malformed"), ("proxy 403", "network"),
    ],
)  # fmt: skip
def test_a_refusal_of_another_token_is_not_denied_because_this_one_works(enter: Any, text: str, code: str) -> None:
    """The log may be from a CI, a node or a service account; this shell has a token that opens the repo."""
    world = enter("accepted")
    found = hf_gate.explain(TEXTS[text](world.repo), look=True)
    assert show(found) == code, found


@pytest.mark.parametrize(
    ("world", "text", "code"),
    [
        ("not asked", "bad credentials", "token_invalid?"), ("pending", "fine-grained 403", "token_no_gated_permission?"),
        ("no token", "bad credentials", "token_invalid?"), ("no token", "fine-grained 403", "token_no_gated_permission"),
        ("no token", "rejected 403", "rejected"), ("pending", "not asked 403", "pending"), ("rejected", "not asked 403", "rejected"),
        ("bad token", "not asked 403", "token_invalid"), ("no network", "not asked 403", "not_asked"), ("offline", "expired", "token_expired"),
        ("not asked", "gated 401", "not_asked"), ("missing", "bare 403", "not_found_or_private"),
        ("no token", "bare 403", "refused_unknown?"), ("no token", "bare 401", "no_token"), ("no network", "bare 403", "refused_unknown?"),
    ],
)  # fmt: skip
def test_a_text_and_a_world_that_differ_are_weighed(enter: Any, world: str, text: str, code: str) -> None:
    entered = enter(world)
    assert show(hf_gate.explain(TEXTS[text](entered.repo), look=True)) == code


def test_the_table_has_every_public_report() -> None:
    assert [case.id for case in CASES] == [f"c{number:03}" for number in range(1, 115)]
    assert list_cases()[-1].startswith("114 cases: 113 played")


def test_a_login_in_another_folder_is_named(
    enter: Any, asker_hub: DownloadHub, private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume or a cluster sets HF_HOME, and the login is where it was before."""
    world = enter("no token")
    folder = private_home / ".cache" / "huggingface"
    folder.mkdir(parents=True)
    (folder / "token").write_text(asker_hub.tokens["accepted"], "utf-8")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "volume"))
    found = hf_gate.why(world.repo)
    assert show(found) == "token_elsewhere"
    assert str(folder / "token") in found.sentence
    assert str(tmp_path / "volume" / "token") in found.sentence
    assert_hides_tokens(asker_hub, found, found.to_document())


@pytest.mark.parametrize(
    ("name", "command"), [("bad token", "unset HF_TOKEN && hf auth login"), ("in Colab", "hf auth login")]
)
def test_a_login_is_advised_so_that_it_has_an_effect(enter: Any, name: str, command: str) -> None:
    """While HF_TOKEN has a token, the token of a login is not used."""
    assert hf_gate.why(enter(name).repo).next[0].command == command


def test_a_failure_that_a_library_handled_is_not_the_cause(enter: Any, asker_hub: DownloadHub, tmp_path: Path) -> None:
    """Transformers looks for an optional file, handles its absence, and then is refused at another repo."""
    world = enter("not asked")
    world.repo = asker_hub.adapter
    with pytest.raises(Exception) as raised:  # noqa: PT011, PT012
        try:
            play_calls(world, tmp_path)["download"]()
        except Exception:  # noqa: BLE001
            world.repo = asker_hub.gated
            play_calls(world, tmp_path)["download"]()
    found = hf_gate.explain(raised.value)
    assert (found.code, found.repo) == ("not_asked", asker_hub.gated)
