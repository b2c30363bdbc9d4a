"""Bad input and faults at the command line: one line, the next step, the exit code of the contract, and nothing changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, MODEL, Console, request_access

LONG = "x" * 201
BAD = [
    # arguments, exit code, a word of the error, a word of the hint
    (["ls", "lumen-labs/nothing-here"], 1, "no such repo", "spelling"),
    (["ls", "tidewater-audio/harbour-voices"], 2, "a dataset with that name", DATASET),
    (["ls", "datasets/" + MODEL], 2, "a model with that name", MODEL),
    (["ls", "spaces/lumen-labs/show"], 2, "Spaces", "model or the dataset"),
    (["ls", MODEL, "--type", "space"], 2, "Spaces", "model or the dataset"),
    (["ls", MODEL, "--type", "dataste"], 2, "unknown repo type", "model or dataset"),
    (["ls", DATASET, "--type", "model"], 2, "is a dataset", "only one of them"),
    (["ls", "just-a-name"], 2, "not a repo id", "ns/name"),
    (["ls", MODEL, "--status", "pendign"], 2, "unknown status", "Did you mean pending"),
    (["ls", MODEL, "--json", "-q"], 2, "more than one format", "one of them"),
    (["ls", MODEL, "--format", "table"], 2, "table", "--help"),
    (["ls", MODEL, "--max-wait", "soon"], 2, "not a duration", "30s"),
    (["ls", MODEL, "--endpoint", "ftp://x"], 2, "not the endpoint", "https"),
    (["ls", MODEL, "--token-file", "/does/not/exist"], 2, "cannot be read", ""),
    (["--profile", "nobody", "ls", MODEL], 2, "does not exist", "config.toml"),
    (["--profile", "demo", "ls"], 2, "does not exist", "hf-gate demo"),
    (["--profile", "demo", "ls"], 2, "does not exist", "unset HF_GATE_PROFILE"),
    (["lss"], 2, "no command", "hf-gate ls"),
    (["promote", "eeg"], 2, "no command", "Did you mean `hf-gate policy promote`?"),
    (["judge"], 2, "no command", "`hf-gate help all`"),
    (["runs", "retry"], 2, "RUN", "For example `hf-gate runs retry"),
    (["repos", "shwo"], 2, "no command", "repos show"),
    (["ls", "--staus", "pending"], 2, "--staus", "--help"),
    (["accept"], 2, "no target is given", "USER@REPO"),
    (["accept", MODEL], 2, "no person is given", "USER@REPO"),
    (["accept", "a b@" + MODEL], 2, "not a repo id", "ns/name"),
    (["accept", f"nobody-of-that-name@{MODEL}"], 1, "no account", "spelling"),
    (["accept", f"rosa-reader@{MODEL}"], 1, "no request", "hf-gate grant"),
    (["accept", "--repo", MODEL, "0123456789abcdef01234567"], 1, "no request", "grant"),
    (["accept", f"waitin@{MODEL}"], 1, "no account named waitin", "Did you mean waiting? "),
    (["grant", f"waitin@{MODEL}"], 1, "no account", "Did you mean waiting? "),
    (["accept", "waiting", MODEL], 2, "'waiting' is not a repo id", f"Hint: hf-gate accept {MODEL} waiting"),
    (["reset", "bob99", "waiting", DATASET, "--reason", "Say more.", "-y"], 2, "the repo must come first",
     f"Hint: hf-gate reset {DATASET} bob99 waiting --yes --reason 'Say more.'"),
    (["revoke", "waiting", MODEL, "--how", "reject"], 2, "not a repo id", f"revoke {MODEL} waiting --how reject"),
    (["show", "waiting", MODEL], 2, "the repo must come first", f"Hint: hf-gate show {MODEL} waiting"),
    (["accept", "waiting"], 2, "no repo is given", "hf-gate accept REPO waiting"),
    (["ls", f"waiting@{MODEL}"], 2, "is not a repo id", f"`hf-gate show waiting@{MODEL}`"),
    (["review", "lumen-labs"], 2, "is not a repo id", "`hf-gate repos ls lumen-labs`"),
    (["show", MODEL], 2, "no person is given", f"`hf-gate ls {MODEL}` lists the requests"),
    (["accept", MODEL, "waiting@example.org"], 2, "an e-mail address is not a target", "profile page"),
    (["accept", MODEL, "waiting", "--from", "names.txt"], 2, "both as arguments and with --from", "`hf-gate accept --help`"),
    (["accept", f"waiting@{MODEL}", "--from", "names.txt"], 2, "both as arguments and with --from", "`hf-gate accept --help`"),
    (["cancel", f"rosa-reader@{MODEL}"], 1, "no request", f"`hf-gate ls {MODEL} --status all`"),
    (["accept", f"rosa-reader@{MODEL}"], 1, "no request", f"`hf-gate grant rosa-reader@{MODEL}`"),
    (["completion"], 2, "Choose from: bash, zsh, fish", "--help"),
    (["accept", MODEL, "@waiting"], 2, "not a username", "without @"),
    (["reject", f"waiting@{MODEL}", "--reason", LONG], 2, "201", "by 1"),
    (["reject", f"waiting@{MODEL}", "--reason", "", "--yes"], 2, "--reason is empty; nothing was sent", "--no-reason"),
    (["reset", f"waiting@{MODEL}", "--reason", "  "], 2, "--reason is empty; nothing was sent", "--no-reason"),
    (["reset", f"waiting@{MODEL}", "--reason", "😀" * 101], 2, "202", "by 2"),
    (["revoke", f"waiting@{MODEL}", "--how", "cancel", "--reason", "why"], 2, "no reason", "--how"),
    (["show", f"nobody-of-that-name@{MODEL}"], 1, "no request of nobody-of-that-name", f"`hf-gate ls {MODEL} "),
    (["show", f"waitin@{MODEL}"], 1, "no request of waitin at", "Did you mean waiting? `hf-gate ls"),
    (["show", "--repo", MODEL, "0123456789abcdef01234567"], 1, "no request 0123456789", "hf-gate ls"),
    (["withdraw", MODEL], 1, "no pending request", ""),
    (["ask", MODEL, "-a", "Favourite colour=blue"], 2, "has no field", "Its fields"),
    (["form", "check"], 2, "either REPO or --card", ""),
    (["form", "check", "--card", "/does/not/exist"], 2, "cannot be read", ""),
    (["schema", "cellar"], 2, "no schema", "hf-gate schema"),
    (["help", "cellar"], 2, "no topic", "exit-codes"),
    (["review", MODEL], 2, "terminal", "ls --format jsonl"),
    (["hub", "serve", "--clock", "fast"], 2, "is not valid", "x60"),
    (["hub", "serve", "--faults", "gremlins"], 2, "gremlins", ""),
]  # fmt: skip


@pytest.fixture(scope="module")
def waiting(crowded_hub: LocalHub) -> LocalHub:
    request_access(crowded_hub, ["waiting"])
    return crowded_hub


@pytest.mark.parametrize(("args", "code", "error", "hint"), BAD, ids=[" ".join(args)[:60] for args, *_ in BAD])
def test_bad_input_gives_one_line_the_next_step_and_changes_nothing(
    waiting: LocalHub, args: list[str], code: int, error: str, hint: str
) -> None:
    before = waiting.journal()
    ended = Console(waiting).run(*args)
    assert ended.code == code, ended.err
    assert error.lower() in ended.error.lower()
    assert hint in ended.hint
    assert ended.out == ""
    assert waiting.journal() == before


def test_no_token_at_all_is_exit_4(waiting: LocalHub) -> None:
    console = Console(waiting)
    ended = console.run("accept", f"waiting@{MODEL}", env={"HF_TOKEN": ""})
    assert (ended.code, "hf auth login" in ended.hint) == (4, True)
    assert console.run("ls", env={"HF_TOKEN": ""}).code == 4


def test_a_repo_that_is_not_gated_says_so(fresh: LocalHub) -> None:
    request_access(fresh, ["waiting"])
    console = Console(fresh)
    with Hub(fresh.tokens["owner"], fresh.url) as hub:
        hub.set_gate(MODEL, False)
    before = fresh.journal()
    for args in (
        ["accept", f"waiting@{MODEL}"],
        ["grant", f"rosa-reader@{MODEL}"],
        ["ask", MODEL],
        ["ls", MODEL, "--status", "accepted"],
    ):
        ended = console.run(*args)
        assert (ended.code, "not gated" in ended.error) == (1, True), args
    assert fresh.journal() == before


def test_a_hub_that_is_away_is_exit_75_and_repeatable(fresh: LocalHub) -> None:
    request_access(fresh, ["waiting"])
    fresh.set_faults(["down:s=3600"])
    before = fresh.journal()
    ended = Console(fresh).run("accept", f"waiting@{MODEL}", "--max-wait", "200ms")
    assert ended.code == 75
    assert ended.hint
    assert fresh.journal() == before


def test_a_port_where_nobody_listens_is_exit_75(waiting: LocalHub) -> None:
    ended = Console(waiting).run("ls", MODEL, "--endpoint", "http://127.0.0.1:9", "--max-wait", "100ms")
    assert ended.code == 75


def test_offline_is_exit_75(waiting: LocalHub) -> None:
    ended = Console(waiting).run("ls", MODEL, env={"HF_HUB_OFFLINE": "1"})
    assert (ended.code, "HF_HUB_OFFLINE" in ended.hint) == (75, True)


def test_a_token_over_plain_http_beyond_this_machine_is_refused(waiting: LocalHub) -> None:
    ended = Console(waiting).run("ls", MODEL, "--endpoint", "http://hub.example.org")
    assert (ended.code, "--insecure-http" in ended.hint) == (2, True)


def test_a_broken_configuration_names_its_file(waiting: LocalHub, private_home: Path) -> None:
    file = private_home / ".config" / "hf-gate" / "config.toml"
    file.parent.mkdir(parents=True)
    for text, word in (
        ("endpoint = [", "config.toml"),
        ("colour = 1", "unknown key 'colour'"),
        ("endpoint = 3", "must be text"),
    ):
        file.write_text(text)
        ended = Console(waiting).run("ls", MODEL)
        assert (ended.code, word in ended.error) == (2, True), ended.err


def test_the_token_is_never_shown(waiting: LocalHub) -> None:
    console, secret = Console(waiting), waiting.tokens["owner"]
    for args in (
        ["ls", MODEL],
        ["doctor"],
        ["accept", f"nobody-of-that-name@{MODEL}"],
        ["--token", secret, "ls", MODEL, "-q"],
    ):
        ended = console.run(*args, env={"HF_GATE_DEBUG": "1"})
        assert secret not in ended.out + ended.err
        assert ("process list" in ended.err) == ("--token" in args)


@pytest.mark.parametrize("variable", ["JPY_PARENT_PID", "COLAB_RELEASE_TAG"])
def test_in_a_notebook_ui_says_in_one_line_what_to_do_instead(fresh: LocalHub, variable: str) -> None:
    ended = Console(fresh).run("ui", "--no-open", env={variable: "1"})
    assert (ended.code, ended.out) == (2, "")
    assert "this is a notebook" in ended.error
    assert "in a terminal" in ended.hint
