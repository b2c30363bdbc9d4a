"""Errors as somebody meets them who is stuck: each says what is wrong and what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """In an empty folder, with no store yet."""
    monkeypatch.chdir(tmp_path)
    return Console(fresh)


@pytest.mark.parametrize("words", ["runs ls", "runs show r_0123456789ab", "undo", "ends ls", "audit ls"])
def test_before_anything_was_read_a_command_says_so_and_makes_no_store(
    console: Console, private_home: Path, words: str
) -> None:
    ended = console.run(*words.split())
    assert ended.code == 2
    assert "no store yet" in ended.error
    assert "hf-gate sync REPO" in ended.hint
    assert list(private_home.rglob("*.db")) == []


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ("schema lss", "there is no schema 'lss'", "Did you mean ls?"),
        ("help polices", "there is no topic or command 'polices'", "Did you mean `hf-gate help policies`?"),
        ("explain ada@example.org", "'ada@example.org' names no repo", "USER@acme/eeg"),
        ("audit verify --checkpoint heads.json", "heads.json cannot be read", "hf-gate audit checkpoint --out"),
        ("audit verify --file ledger.jsonl", "ledger.jsonl cannot be read", "hf-gate audit export --out"),
        ("audit verify --file .", "the ledger . cannot be read", "hf-gate audit export --out"),
    ],
)
def test_a_slip_is_met_with_what_was_probably_meant(console: Console, words: str, error: str, hint: str) -> None:
    assert console.run("init", MODEL).code == 0
    ended = console.run(*words.split())
    assert ended.code == 2
    assert error in ended.error
    assert hint in ended.hint


def test_a_repo_that_is_not_there_is_named_once_in_the_warning(console: Console) -> None:
    ended = console.run("sync", "nope/nope")
    assert (ended.code, "Warning: nope/nope: no such repo" in ended.err) == (1, True)


@pytest.mark.parametrize(
    ("token", "error"), [("", "no token was sent"), ("hf_local_wrong", "does not know this token (401")]
)
def test_no_token_and_an_unknown_token_are_told_apart(console: Console, token: str, error: str) -> None:
    ended = console.run("ls", MODEL, env={"HF_TOKEN": token})
    assert ended.code == 4
    assert error in ended.error
    assert "HF_TOKEN" in ended.hint
    assert ("token not accepted" in ended.err) == bool(token)
    checked = console.run("doctor", env={"HF_TOKEN": token})
    assert checked.code == 4
    assert "or none was sent" not in checked.out
    assert "this call" not in checked.out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--token-file", "work.token"), "Replace the token of --token-file work.token."),
        (("--token", "hf_local_wrong"), "Replace the token of --token."),
        (("--profile", "work"), "Replace the token of profile work."),
        ((), "Set HF_TOKEN to another token."),
    ],
)
def test_a_hint_about_a_refused_token_names_where_the_token_is_from(
    console: Console, private_home: Path, tmp_path: Path, words: tuple[str, ...], hint: str
) -> None:
    folder = private_home / ".config" / "hf-gate"
    folder.mkdir(parents=True)
    for place in (folder, tmp_path):
        (place / "work.token").write_text("hf_local_wrong")
    (folder / "config.toml").write_text('[profiles.work]\ntoken_file = "work.token"\n')
    used = {"HF_TOKEN": "hf_local_wrong" if not words else console.hub.tokens["owner"]}
    ended = console.run("ls", MODEL, *words, env=used)
    assert (ended.code, ended.hint.startswith(f"Hint: {hint}")) == (4, True), ended.hint
    assert "hf auth login" not in ended.hint
    assert hint in console.run("doctor", *words, env=used).out


def test_a_token_file_without_the_permission_is_named_too(console: Console, tmp_path: Path) -> None:
    (tmp_path / "work.token").write_text(console.hub.tokens["owner_read"])
    ended = console.run("init", "--token-file", "work.token")
    assert (ended.code, "cannot read the requests" in ended.error) == (4, True), ended.err
    assert "Replace the token of --token-file work.token." in ended.hint


def test_where_only_named_tokens_are_used_the_hint_names_an_option(console: Console) -> None:
    only_named = {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    for words in (("ls", MODEL), ("repos", "ls")):
        ended = console.run(*words, env=only_named)
        assert (ended.code, "Use --token-file FILE, because HF_HUB_DISABLE_IMPLICIT_TOKEN is set." in ended.hint) == (
            4,
            True,
        )
    assert "Use --token-file FILE" in console.run("doctor", env=only_named).out


@pytest.mark.parametrize("words", ["ls", "sync", "init", "repos ls", "person show ada"])
def test_without_a_token_each_command_names_the_page_about_tokens(console: Console, words: str) -> None:
    ended = console.run(*words.split(), env={"HF_TOKEN": ""})
    assert ended.code == 4
    assert "hf-gate help token" in ended.hint
    assert "docs/token.md" in ended.hint
