"""Nothing that the Hub, a mirror, an error of another library or a file answers can break `why`, or shows more than escaped text."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hf_gate
from hf_gate import Diagnosis
from hf_gate.base.display_text import make_visible
from tests.kits.raw_hub import DRIPS, OK_ANSWERS, RawHub, open_raw_hub, serve_answers

TOKEN: Final = "hf_local_canary_token"
NASTY: Final = (
    f"\x1b[2J\x1b]0;x\x07{TOKEN} <script>alert(1)</script> {{0.__class__}} %s [x](javascript:alert(1)) `id` **b** \u202e\u2028\r\n\x00 "
    "| a | b |\n# h\n![x](https://evil.example/x.png)"
)
texts = st.one_of(
    st.just(NASTY), st.text(max_size=60), st.sampled_from(["", "None", "a/b", "../..", "datasets/a/b", "null", "OK"])
)
wrong_types = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
statuses = st.sampled_from(
    ["200 OK", "200 OK", "200 OK", "204 No", "307 Moved", "401 No", "403 No", "404 No", "429 Wait", "500 No", "999 x"]
)
header_texts = st.one_of(
    st.sampled_from([b"GatedRepo", b"RepoNotFound", b"-1", b"nan", b"1e999", b"9" * 400, b"/api/models/a/b", b"//evil.example/x", b"OK",
                     b"/api/models/%1b[31m/%0a", b"http://evil.example/api/models/a/b", b"Access to model a/b is restricted and you are "
                     b"not in the authorized list. <b>\xff\x80 " + TOKEN.encode()]),
    st.binary(max_size=30).map(lambda raw: bytes(byte for byte in raw if byte >= 32 and byte != 127)),
)  # fmt: skip
header_names = st.sampled_from([b"x-error-message", b"x-error-code", b"x-request-id", b"location", b"retry-after", b"ratelimit",
                                b"content-type", b"x-repo-commit"])  # fmt: skip
headers = st.lists(st.tuples(header_names, header_texts), max_size=5)


def bodies(known: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[bytes]:
    """Return bodies of the right form with wrong values, and bodies of a wrong form."""
    right = st.fixed_dictionaries({}, optional={key: st.one_of(value, wrong_types) for key, value in known.items()})
    dumped = st.one_of(right, right, wrong_types).map(lambda value: json.dumps(value).encode())
    return st.one_of(dumped, dumped, st.binary(max_size=20), st.just(b"OK"), st.just(b"[" * 5000))


WHOAMI = bodies({
    "name": texts, "fullname": texts, "type": st.just("user"), "id": texts, "orgs": st.lists(st.fixed_dictionaries(
        {"name": texts, "securityRestrictions": wrong_types}), max_size=3),
    "auth": st.fixed_dictionaries({"accessToken": st.fixed_dictionaries(
        {"displayName": wrong_types, "role": wrong_types, "fineGrained": wrong_types})}),
})  # fmt: skip
INFO = bodies({
    "gated": st.sampled_from([False, "auto", "manual"]), "disabled": st.booleans(), "private": st.booleans(),
    "siblings": st.lists(st.fixed_dictionaries({"rfilename": wrong_types}), max_size=3)
    | st.just([{"rfilename": "adapter_config.json"}]),
    "cardData": st.fixed_dictionaries({"base_model": wrong_types | st.just(["a/b", NASTY, 7] * 3000)}),
})  # fmt: skip
OTHERS = st.one_of(st.just(b"OK"), st.just(b'{"base_model_name_or_path": "x/y"}'), bodies({"error": texts}))
answers = st.fixed_dictionaries(
    {name: st.tuples(statuses, headers, body) for name, body in
     {"whoami": WHOAMI, "auth-check": OTHERS, "resolve": OTHERS, "/api/": INFO}.items()}
)  # fmt: skip


def assert_safe(found: Diagnosis, *secrets: str) -> None:
    """Every text is one visible line without a token, and stays text in a terminal and JSON."""
    lines = list(found.to_lines())
    assert [make_visible(line, one_line=True) for line in lines] == lines
    document = json.dumps(found.to_document(), allow_nan=False)
    for text in (str(found), repr(found), document):
        assert not any(secret in text for secret in (TOKEN, *secrets)), text
    assert found.exit_code in (0, 1, 2, 4, 5, 75)
    assert max(len(line) for line in lines) < 2500


@given(answers=answers, has_token=st.booleans())
def test_no_answer_of_the_hub_breaks_why(answers: Any, has_token: bool) -> None:
    with open_raw_hub(serve_answers(answers)) as hub:
        found = hf_gate.why("acme/m", token=TOKEN if has_token else False, endpoint=hub.url)
        assert found.calls == len(hub.lines) <= 8
        assert_safe(found)


@pytest.mark.parametrize("name", ["whoami", "/api/", "auth-check", "resolve"])
@pytest.mark.parametrize("head", [b"content-length: 1073741824\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"])
def test_an_endless_body_ends(name: str, head: bytes) -> None:
    def say(hub: RawHub, caller: socket.socket, line: str) -> None:
        if name not in line or "HEAD" in line or next(key for key in OK_ANSWERS if key in line) != name:
            serve_answers(OK_ANSWERS)(hub, caller, line)
            return
        chunk = b"x" * (1 << 20)
        piece = chunk if head.startswith(b"content") else b"%x\r\n%s\r\n" % (len(chunk), chunk)
        caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: 1\r\n" + head)
        while not hub.over.is_set():
            caller.sendall(piece)

    with open_raw_hub(say) as hub:
        start = time.monotonic()
        found = hf_gate.why("acme/m", token=TOKEN, endpoint=hub.url)
        assert time.monotonic() - start < 20
        assert_safe(found)
        assert found or name != "resolve"


def test_a_slow_hub_is_left_after_ten_seconds() -> None:
    with open_raw_hub(DRIPS["a body"]) as hub:
        start = time.monotonic()
        found = hf_gate.why("acme/m", token=TOKEN, endpoint=hub.url)
        assert time.monotonic() - start < 15
    assert (found.code, found.exit_code) == ("hub_unavailable", 75)


# ---- errors -------------------------------------------------------------------------------------------------------------------


class Broken(Exception):
    """An error of a library all of whose parts fail."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    @property
    def request(self) -> object:
        raise RuntimeError("The request instance has not been set.")

    @property
    def response(self) -> object:
        return Strange()


class Strange:
    """No response, but something in its place."""

    def __getattr__(self, name: str) -> object:
        if name == "headers":
            return {"X-Error-Message": NASTY, 3: self}
        if name == "status_code":
            return "403"
        raise KeyError(name)

    def __str__(self) -> str:
        raise ValueError(NASTY)

    def __bool__(self) -> bool:
        raise ValueError("neither")


def chain(*errors: BaseException) -> BaseException:
    for outer, inner in pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


def with_response(response: object) -> Exception:
    error = ValueError(NASTY)
    error.response = response  # type: ignore[attr-defined]
    return error


CIRCLE = chain(ValueError("a"), KeyError("b"))
CIRCLE.__cause__.__cause__ = CIRCLE  # type: ignore[union-attr]
LONG = chain(*(ValueError(f"https://huggingface.co/a/b{n}/resolve/main/c 403 Forbidden") for n in range(3000)))
STRANGE: Final = [
    Broken(), CIRCLE, LONG, ValueError(), ValueError(NASTY), chain(ValueError("x"), Broken(), CIRCLE), KeyboardInterrupt(),
    with_response(None), with_response(Strange()), with_response(7), with_response("text"), with_response(type), with_response(Broken()),
    ExceptionGroup("g", [ValueError(NASTY), Broken()]), UnicodeDecodeError("utf-8", b"\xff", 0, 1, NASTY), SystemExit(NASTY),
]  # fmt: skip


@pytest.mark.parametrize("error", STRANGE, ids=lambda error: type(error).__name__)
def test_no_error_of_another_library_breaks_explain(error: BaseException) -> None:
    assert_safe(hf_gate.explain(error))
    if isinstance(error, Exception):
        with pytest.raises(type(error)), hf_gate.explaining():
            raise error


@given(text=st.one_of(texts, st.lists(st.one_of(texts, st.sampled_from([
    "https://huggingface.co/", "a/b", "/resolve/main/c", " 403 ", "Forbidden", "'", "Access to model ", " is ", "[", "://", "\\n", "@", "%2f",
])), max_size=12).map("".join)))  # fmt: skip
def test_no_text_breaks_explain(text: str) -> None:
    assert_safe(hf_gate.explain(text))
    assert_safe(hf_gate.explain(ValueError(text)))


@pytest.mark.parametrize(
    "endpoint", ["hf-mirror.com", "https://user:pa55word@x.example", "https://repo.example/artifactory/hf", "::"]
)
def test_a_malformed_endpoint_hides_no_error(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    found = hf_gate.explain(
        "401 Client Error: Unauthorized for url: https://huggingface.co/a/b/resolve/main/c", look=True
    )
    assert (found.repo, found.calls) == ("a/b", 0)
    with pytest.raises(ZeroDivisionError), hf_gate.explaining():
        _ = 1 / 0


def test_a_cancelled_task_stays_cancelled() -> None:
    async def run() -> None:
        with hf_gate.explaining():
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError) as raised:
        asyncio.run(run())
    assert not hasattr(raised.value, "__notes__")


# ---- tokens --------------------------------------------------------------------------------------------------------------------


ODD: Final = "Zq7xW9-no-prefix-2f4"


def every_text(found: Diagnosis) -> str:
    return f"{found}{found!r}{found.to_document()}"


@pytest.mark.parametrize("token", ["hf_local_canary_token\n", "hf_local_x1\ncanary", f"{ODD}\n"])
def test_the_error_for_a_token_with_a_line_break_shows_no_token(token: str) -> None:
    from huggingface_hub import HfApi

    with open_raw_hub(serve_answers(OK_ANSWERS)) as hub:
        with pytest.raises(Exception) as raised, hf_gate.explaining():  # noqa: PT011
            HfApi(endpoint=hub.url, token=token).model_info("a/b")
        found = hf_gate.explain(raised.value, look=True, endpoint=hub.url)
    assert repr(token.strip())[1:-1] in str(raised.value)  # that is why nothing of it may be shown
    assert found.code == "token_malformed"
    notes = "".join(getattr(raised.value, "__notes__", []))
    assert not any(part in every_text(found) + notes for part in (ODD, "canary"))


@pytest.mark.parametrize("place", ["HF_TOKEN", "token", "stored_tokens"])
def test_a_token_of_an_odd_form_is_hidden_in_the_words_of_the_hub(
    private_home: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = private_home / ".cache" / "huggingface"
    folder.mkdir(parents=True)
    if place == "HF_TOKEN":
        monkeypatch.setenv("HF_TOKEN", ODD)
    else:
        (folder / place).write_text(ODD if place == "token" else f"[work]\nhf_token = {ODD}\n", "utf-8")
    words = f"Your key {ODD} is wrong".encode()
    said = {**OK_ANSWERS, "/api/": ("403 No", [(b"x-request-id", b"1"), (b"x-error-message", words)], b"{}")}
    with open_raw_hub(serve_answers(said)) as hub:
        assert ODD not in every_text(hf_gate.why("acme/m", endpoint=hub.url))
        log = f"HTTPError for {hub.url}/acme/m/resolve/main/config.json with {ODD}"
        assert ODD not in every_text(hf_gate.explain(log, look=True, endpoint=hub.url))


def test_the_files_of_a_home_may_hold_anything(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = private_home / ".cache" / "huggingface"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for content in (
        b"\xff\x00\n",
        b"[a\n]",
        b"[a]\nhf_token = x\n[a]\nhf_token = y",
        b"hf_token = 1",
        b"%(x)s",
        b"\x1b[31m" * 99,
    ):
        for path in (folder / "token", folder / "stored_tokens", tmp_path / ".env"):
            path.write_bytes(content)
        assert_safe(hf_gate.why("a/b", offline=True))
    for path in (folder / "token", folder / "stored_tokens", tmp_path / ".env"):
        path.unlink()
        path.mkdir()
    assert_safe(hf_gate.why("a/b", offline=True))
