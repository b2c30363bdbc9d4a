"""Tokens in reports: no form in which a token was seen leaves a part of it, and other text stays as it is."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.hub.credentials import Secret
from hf_gate.hub.hidden_tokens import hide_tokens

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
BODY = "QmZx7LpTr2VbNs9KdWc4HyGf6JtEa8UoRi"
LONG = b64encode(f"somebody:{BODY}{BODY}".encode()).decode()
TOKENS = st.sampled_from(["hf_", "api_org_"]).flatmap(
    lambda prefix: st.text(LETTERS, min_size=34, max_size=34).map(lambda body: prefix + body)
) | st.text(f"{LETTERS}-_", min_size=43, max_size=43).map(lambda body: f"gate_{body}")

WAYS = (
    lambda char: char,
    lambda char: f"%{ord(char):02x}",
    lambda char: quote(f"%{ord(char):02X}"),
    lambda char: f"\\u{ord(char):04x}",
    lambda char: f"&#{ord(char)};",
    lambda char: f"{char}\u200d",
    lambda char: f"\x1b[1;31m{char}",
)


@pytest.mark.parametrize(
    "text",
    [
        f"hf_{BODY}",
        f"TOKEN_hf_{BODY}",
        f"mytokenhf_{BODY}",
        "HF_TOKEN=hf_local_owner_7",
        f"https://user:hf_{BODY}@huggingface.co/a/b",
        f"https%3A%2F%2Fuser%3A{BODY}%40huggingface.co",
        f"?token%3Dhf_{BODY}&x",
        f"%253Dhf%255F{BODY}",
        rf"{{\"token\": \"hf\u005f{BODY}\"}}",
        rf"hf\\u005f{BODY}",
        rf"hf\x5f{BODY}",
        f"hf&#95;{BODY}",
        f"hf&#x5f;{BODY}",
        f"hf&lowbar;{BODY}",
        f"hf_{BODY[:9]}\u200b{BODY[9:]}",
        f"h\u2060f_{BODY[:9]}\xad{BODY[9:]}",
        f"hf_{BODY[:9]}\x1b[31m{BODY[9:]}\x1b[0m",
        f"\x1b[0 hf_{BODY}",
        f"\x1b[0hf_{BODY}",
        f"hf_{BODY[:9]}\n{BODY[9:]} and more",
        f"hf_{BODY[:9]}\r\n    {BODY[9:20]}\\\n  {BODY[20:]}",
        f"> hf_{BODY[:9]}\n> {BODY[9:]}",
        rf"hf_{BODY[:9]}\n{BODY[9:]}",
        f"gate_{BODY}{BODY[:9]}",
        f"Authorization: Bearer {BODY}",
        f"authorization:bearer\n{BODY}",
        f"Authorization: Basic {b64encode(f'user:hf_{BODY}'.encode()).decode()}",
        f"basic {b64encode(f'user:{BODY}'.encode()).decode().rstrip('=')}",
        f"Basic {LONG[:50]}\n{LONG[50:]}",
        f"eyJhbGciOiJSUzI1NiJ9.{BODY}.{BODY}",
        f"JWT_eyJhbGciOiJSUzI1NiJ9.{BODY}.{BODY}",
        f"eyJhbGciOiJSUzI1NiJ9.{BODY}\n{BODY}",
    ],
)
def test_no_form_of_a_token_leaves_a_part_of_it(text: str) -> None:
    hidden = hide_tokens(f"before {text}")
    assert hidden.startswith("before ")
    assert "(token)" in hidden
    plain = "".join(char for char in hidden if char in LETTERS)
    encoded = b64encode(BODY.encode()).decode()
    for start in range(len(BODY) - 6):
        assert BODY[start : start + 6] not in plain
        assert encoded[start : start + 6] not in plain
    assert "local_owner" not in hidden


@given(TOKENS, st.data())
def test_a_token_is_found_however_its_characters_are_written(token: str, data: st.DataObject) -> None:
    ways = data.draw(st.lists(st.integers(0, len(WAYS) - 1), min_size=len(token), max_size=len(token)))
    written = "".join(WAYS[way](char) for way, char in zip(ways, token, strict=True))
    assert hide_tokens(f"a {written}").rstrip("\u200d").replace("\x1b[1;31m", "") == "a (token)"


@given(TOKENS, st.integers(2, 30), st.sampled_from(["\n", "\r\n", "\n    ", "\n> ", "\\\n  ", "\n\t| "]))
def test_a_token_broken_over_lines_is_hidden_to_its_end(token: str, width: int, line_break: str) -> None:
    written = line_break.join(token[at : at + width] for at in range(0, len(token), width))
    assert hide_tokens(f"HF_TOKEN={written} x") == "HF_TOKEN=(token) x"


@given(st.text())
def test_a_given_token_goes_whatever_it_looks_like(rest: str) -> None:
    token = "s3cret+value/of=something"
    shown = hide_tokens(f"{rest}{token}{rest}{token[:5]}\n{token[5:]}{rest}", [Secret(token)])
    assert token not in shown
    assert token[5:] not in shown


@pytest.mark.parametrize(
    "text",
    [
        "Basic authentication failed for hf-gate at hf_gate.members\n403 Client Error",
        "huggingface_hub.errors.GatedRepoError: 401 Client Error.\n\n  Cannot access gated repo",
        "https://huggingface.co/meta-llama/Llama-2-7b/resolve/main/config.json?a=%20b",
        "bigshelf_something_long and the bearer of news",
        json.dumps({"extra_gated_prompt": "é"}),
        html.escape("<a href='x'>&</a>"),
        "eyJ is how a signed token begins",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert hide_tokens(text) == text


@pytest.mark.parametrize(
    "piece", ["eyJ-", "hf_", "%25", "\\", "&#", "://", "Basic ", "hf_a\n", "eyJaaaaa" * 6 + "\n", "\n ", "\x1b[0"]
)
def test_hostile_text_is_read_once(piece: str) -> None:
    hidden = hide_tokens(f"{piece * ((1 << 20) // len(piece))} hf_{BODY}")  # what is not linear meets the time limit
    assert hidden.endswith("(token)")
    assert BODY not in hidden
