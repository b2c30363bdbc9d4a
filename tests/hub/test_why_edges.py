"""Situations at the edge of `why`: odd settings, short tokens, repos that name others, and what a report may show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_gate
from hf_gate.hub.why.failures import parse_url
from hf_gate.testing import LocalHub
from tests.kits.command_line import Console
from tests.kits.download_failures import DownloadHub
from tests.kits.public_hub import open_public_hub

TOKEN = "hf_" + "AbCdEfGh" * 4


@pytest.fixture(scope="module")
def asker_hub() -> Iterator[DownloadHub]:
    with LocalHub(requests=0, repos=3) as local:
        yield DownloadHub(local)


@pytest.fixture
def account(asker_hub: DownloadHub, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a person who has access."""
    monkeypatch.setenv("HF_ENDPOINT", asker_hub.hub.url)
    monkeypatch.setenv("HF_TOKEN", asker_hub.tokens["accepted"])
    return monkeypatch


@pytest.mark.parametrize("length", range(150, 240, 5))
def test_no_part_of_a_token_is_shown_where_a_text_is_cut(length: int) -> None:
    found = hf_gate.explain(f"a failure with {TOKEN} {'x' * length}")
    assert not any(TOKEN[at : at + 4] in str(found) for at in range(3, len(TOKEN) - 3))


@pytest.mark.parametrize("token", ["token", "t", "repo"])
def test_a_token_that_is_a_word_hides_no_words(asker_hub: DownloadHub, account: pytest.MonkeyPatch, token: str) -> None:
    account.setenv("HF_TOKEN", token)
    found = hf_gate.why(asker_hub.gated)
    assert (found.code, "HF_TOKEN" in found.sentence) == ("token_invalid", True)


@pytest.mark.usefixtures("account")
def test_a_revision_that_is_not_there_is_named(asker_hub: DownloadHub) -> None:
    for file in (None, "config.json"):
        found = hf_gate.why(asker_hub.gated, file, revision="nope")
        assert (found.code, found.headline) == ("not_found_or_private", "no such revision")
        assert "nope" in found.sentence


def test_certificates_that_are_not_there_are_a_matter_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/certificates.pem")
    found = hf_gate.why("acme/med-7b", token="hf_local_canary", endpoint="https://127.0.0.1:9")
    assert (found.code, found.exit_code) == ("network", 75)


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_TOKEN_PATH", "HF_HUB_CACHE"])
def test_the_home_of_nobody_is_no_error(
    asker_hub: DownloadHub, account: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    account.chdir(tmp_path)
    account.setenv(variable, "~nobody-of-this-name/x")
    assert hf_gate.why(asker_hub.gated)
    account.setenv("HF_HUB_OFFLINE", "1")
    assert hf_gate.why(asker_hub.gated).code == "offline"


def test_a_token_that_a_ci_exchanges_is_not_judged(asker_hub: DownloadHub, account: pytest.MonkeyPatch) -> None:
    account.setenv("HF_OIDC_RESOURCE", "me/repo")
    found = hf_gate.why(asker_hub.gated)
    assert (found.code, found.certain, found.account) == ("no_token", False, None)
    assert "HF_OIDC_RESOURCE" in found.sentence


def test_a_token_that_may_not_read_gated_repos_works_and_is_told_so(
    asker_hub: DownloadHub, account: pytest.MonkeyPatch
) -> None:
    account.setenv("HF_TOKEN", asker_hub.tokens["fine-grained"])
    found = hf_gate.why()
    assert (found.code, "may not read gated repos" in found.sentence, len(found.next)) == ("ok", True, 1)


def test_a_saved_token_that_opens_the_repo_is_named_for_a_token_that_may_not(
    asker_hub: DownloadHub, account: pytest.MonkeyPatch, private_home: Path
) -> None:
    folder = private_home / ".cache" / "huggingface"
    folder.mkdir(parents=True)
    (folder / "stored_tokens").write_text(f"[big laptop]\nhf_token = {asker_hub.tokens['accepted']}\n", "utf-8")
    with open_public_hub(asker_hub.hub.url, private_home) as variables:
        for variable, value in variables.items():
            account.setenv(variable, value)
        for state in ("fine-grained", "pending", "not asked"):
            account.setenv("HF_TOKEN", asker_hub.tokens[state])
            found = hf_gate.why(asker_hub.gated, all_tokens=True)
            assert found.next[0].command == "hf auth switch --token-name 'big laptop'", state
        account.setenv("HF_TOKEN", asker_hub.tokens["rejected"])
        assert "switch" not in str(hf_gate.why(asker_hub.gated, all_tokens=True))


def test_an_address_of_many_parts_is_read_at_once() -> None:
    assert parse_url("http://hub.example/" + "models/" * 200_000) is None


def test_a_report_shows_no_names_of_files_and_the_versions(asker_hub: DownloadHub, private_home: Path) -> None:
    console = Console(asker_hub.hub, "nobody")
    environment = {"HF_TOKEN": "", "HOME": str(private_home)}
    ended = console.run("why", asker_hub.gated, "secret/plan-e.bin", "--report", env=environment)
    assert str(private_home) not in ended.out
    assert "plan-e" not in ended.out
    assert f"{asker_hub.hub.url}/{asker_hub.gated}" in ended.out
    assert "huggingface_hub" in ended.out


@pytest.mark.parametrize(
    "more", [("config.json",), ("--wait",), ("--revision", "v1"), ("--type", "dataset")], ids=" ".join
)
def test_a_log_takes_nothing_beside_it(asker_hub: DownloadHub, more: tuple[str, ...]) -> None:
    ended = Console(asker_hub.hub, "nobody").run("why", "-", *more, stdin="gibberish")
    assert ended.code == 2, ended.out
    assert "hf-gate why -" in ended.hint


def test_a_wait_of_ages_can_be_asked_for(asker_hub: DownloadHub) -> None:
    ended = Console(asker_hub.hub, "rejected").run("why", asker_hub.gated, "--wait", "99999999999d")
    assert (ended.code, "rejected" in ended.out) == (1, True)
