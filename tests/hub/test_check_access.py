"""`check_access` says granted only if the Hub itself confirms it, and names what else is in the way."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_gate
from hf_gate import AsyncHub, Hub, NotAllowed
from hf_gate.errors import HfGateError, HubUnavailable, UnexpectedAnswer, UsageError
from hf_gate.hub.credentials import Secret
from hf_gate.testing import LocalHub
from tests.kits.command_line import Console
from tests.kits.raw_hub import RawHub, Say, answer, open_raw_hub

TOKEN = "hf_local_canary_token"
ID = b"x-request-id: Root=1-0"


def check(url: str, token: str | bool = TOKEN) -> str:
    with Hub(token, url, timeout=2.0, max_wait=0.5) as hub:
        return hub.check_access("acme/m")


def refuse(status: str, text: str, *headers: bytes) -> Say:
    def say(_hub: RawHub, caller: socket.socket, _line: str) -> None:
        answer(caller, status, json.dumps({"error": text}).encode(), ID, *headers)

    return say


def admit(file_status: str, body: bytes, *headers: bytes) -> Say:
    """The Hub grants the repo, and answers so for a file."""

    def say(_hub: RawHub, caller: socket.socket, line: str) -> None:
        if "/auth-check" in line:
            answer(caller, "200 OK", b"OK", ID, b"content-type: text/plain")
        else:
            answer(caller, file_status, body, ID, *headers)

    return say


def show_page(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    answer(caller, "200 OK", b"<html>Please sign in to the network</html>", b"content-type: text/html")


def say_ok(_hub: RawHub, caller: socket.socket, _line: str) -> None:
    answer(caller, "200 OK", b"OK", b"content-type: text/plain")


@pytest.mark.parametrize("say", [show_page, say_ok])
def test_a_page_of_the_network_grants_nothing(say: Say) -> None:
    with open_raw_hub(say) as hub, pytest.raises(UnexpectedAnswer):
        check(hub.url)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 OK", ()),
        ("302 Found", (b"location: https://cdn.example/x",)),
        ("404 Not Found", (b"x-error-code: EntryNotFound",)),
    ],
)
def test_an_access_that_the_hub_confirms_is_granted(status: str, headers: tuple[bytes, ...]) -> None:
    with open_raw_hub(admit(status, b"{}", *headers)) as hub:
        assert check(hub.url) == "granted"
        assert len(hub.lines) == 2


REFUSED = [
    ("401 Unauthorized", "Invalid credentials in Authorization header", "revoked or mistyped", "docs/token.md"),
    ("401 Unauthorized", "Invalid username or password.", "revoked or mistyped", "docs/token.md"),
    ("401 Unauthorized", 'User Access Token "laptop" is expired', "expired", "new token"),
    (
        "403 Forbidden",
        "Please enable access to public gated repositories in your fine-grained token settings to view this repository.",
        "may not read gated repos",
        "huggingface.co/settings/tokens",
    ),
    (
        "403 Forbidden",
        "Due to the organization token policy, your token needs to be approved by the organization before you can access this resource.",
        "organisation",
        "administrator",
    ),
    ("403 Forbidden", "Access to this resource is disabled.", "disabled", "owner"),
]


@pytest.mark.parametrize(("status", "text", "words", "hint"), REFUSED)
def test_a_refused_token_is_named_with_the_remedy(status: str, text: str, words: str, hint: str) -> None:
    with open_raw_hub(refuse(status, text)) as hub, pytest.raises(NotAllowed) as raised:
        check(hub.url)
    assert words in str(raised.value)
    assert hint in raised.value.hint
    assert "--" not in raised.value.hint
    assert "hf-gate" not in raised.value.hint


def test_words_of_a_state_without_its_code_decide_nothing() -> None:
    with open_raw_hub(refuse("403 Forbidden", "Your request has been rejected")) as hub:
        assert check(hub.url) == "unknown"


def test_a_mistyped_token_is_refused_by_the_local_hub_too() -> None:
    with LocalHub(requests=0, repos=1) as local, Hub("hf_local_mistyped", local.url) as hub:
        line = local.repos[0]
        with pytest.raises(NotAllowed, match="does not accept the token"):
            hub.check_access(line["repo"], repo_type=line["repo_type"])


# ---- tokens with a line break ------------------------------------------------------------------------------------------

BROKEN = "hf_local_first\nhf_local_second"
PARTS = BROKEN.split("\n")


def _shows_token(text: str) -> bool:
    return any(part in text for part in PARTS)


@pytest.mark.parametrize(
    "make", [Hub, AsyncHub, Secret, lambda token: hf_gate.list_pending_access_requests("a/b", token=token)]
)
@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\t", "\0", "\x7f", "\u2028"])
def test_an_error_about_a_token_with_a_line_break_shows_none_of_it(
    make: Callable[[str], object], breaks: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = breaks.join(PARTS)
    with caplog.at_level(logging.DEBUG), pytest.raises(UsageError) as raised:
        for _ in make(token):  # type: ignore[attr-defined]
            pass
    shown = f"{raised.value} {raised.value!r} {raised.value.hint} {raised.value.args}"
    assert not _shows_token(shown + "".join(traceback.format_exception(raised.value)) + caplog.text)


def test_a_token_of_the_environment_with_a_line_break_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", BROKEN)
    with pytest.raises(UsageError) as raised:
        Hub(endpoint="http://127.0.0.1:9")
    assert not _shows_token("".join(traceback.format_exception(raised.value)))
    with LocalHub(requests=0, repos=1) as local:
        file = tmp_path / "token"
        file.write_text(BROKEN, encoding="utf-8")
        for words in (("--token", BROKEN), ("--token-file", str(file)), ()):
            ended = Console(local).run("ls", local.repos[0]["repo"], "--live", *words, env={"HF_TOKEN": BROKEN})
            assert ended.code == 2
            assert not _shows_token(ended.out + ended.err)


def test_a_request_that_fails_shows_no_token_anywhere(caplog: pytest.LogCaptureFixture) -> None:
    def hang_up(_hub: RawHub, caller: socket.socket, _line: str) -> None:
        caller.shutdown(socket.SHUT_RDWR)

    with caplog.at_level(logging.DEBUG), open_raw_hub(hang_up) as raw, Hub(TOKEN, raw.url, max_wait=0.2) as hub:
        with pytest.raises(HubUnavailable) as raised:
            hub.check_access("acme/m")
        shown = f"{raised.value!r} {vars(raised.value)} {hub!r} {vars(hub)}"
        lines = traceback.format_exception(raised.value)
    assert isinstance(raised.value, HfGateError)
    assert TOKEN not in shown + "".join(lines) + caplog.text
