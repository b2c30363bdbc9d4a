"""Every refusal that a person meets at a gate can be played on the local Hub, and huggingface_hub raises for it what it does on the Hub."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

from hf_gate import Hub, NotAllowed, UnexpectedAnswer
from hf_gate.hub.protocol.access_refusals import REFUSALS, AccessRefusal, RefusalCause, find_refusal, get_refusals
from hf_gate.testing import LocalHub
from tests.kits.local_hubs import FetchedAnswer, accept, fetch, repo_of
from tests.kits.paths import KITS
from tests.kits.refusal_script import observe

SCRIPT: Final = KITS / "refusal_script.py"
FILE = "config.json"
REGION = get_refusals(RefusalCause.REGION)[0].text.format(type="model")
VALUES = {"type": "model", "token": "laptop: x=1", "user": "mia"}


def download(hub: LocalHub, token: str | bool, folder: Path, repo: str | None = None) -> str:
    return Path(
        hf_hub_download(repo or repo_of(hub), FILE, endpoint=hub.url, token=token, cache_dir=folder / "cache")
    ).read_text("utf-8")


def check(hub: LocalHub, token: str | bool) -> None:
    HfApi(endpoint=hub.url, token=token).auth_check(repo_of(hub))


def look(hub: LocalHub, path: str, token: str | None, method: str = "GET") -> FetchedAnswer:
    return fetch(hub, method, path, authorization=f"Bearer {token}" if token else "")


def answer_spec(refusal: AccessRefusal, hub: LocalHub) -> str:
    values = VALUES | {"what": f"model {repo_of(hub)}", "page": f"https://huggingface.co/{repo_of(hub)}"}
    text = quote(refusal.text.format_map(values))
    return f"answer:status={refusal.status}:text={text}" + (f":code={refusal.code}" if refusal.code else "")


def list_errors(error: BaseException | None) -> list[BaseException]:
    """Return an error and its causes."""
    return [] if error is None else [error, *list_errors(error.__cause__)]


# ---- answers with words of your choice -----------------------------------------------------------------------------------


def expect_kind(refusal: AccessRefusal, call: str) -> str:
    """Return the class that huggingface_hub documents or is known to raise."""
    if call == "whoami" and refusal.status == 401:
        return "HfHubHTTPError"
    if call == "download" and refusal.status == 403 and refusal.code is None:
        return "LocalEntryNotFoundError"  # "check your connection": the refusal is in its cause
    if refusal.cause is RefusalCause.DISABLED:
        return "DisabledRepoError"
    return {"GatedRepo": "GatedRepoError", "RepoNotFound": "RepositoryNotFoundError"}.get(
        refusal.code or "", "HfHubHTTPError"
    )


def observe_apart(python: Path, home: Path, told: dict[str, Any]) -> list[dict[str, list[dict[str, Any]]]]:
    """Play the refusals in another Python, which knows another huggingface_hub."""
    run = subprocess.run(
        [python, SCRIPT], input=json.dumps(told), capture_output=True, text=True, timeout=120, check=False,
        env={"HF_ENDPOINT": told["url"], "HF_HOME": str(home), "HOME": str(home), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    seen: list[dict[str, list[dict[str, Any]]]] = json.loads(run.stdout)
    return seen


def check_observed(seen: list[dict[str, list[dict[str, Any]]]]) -> None:
    for refusal, calls in zip(REFUSALS, seen, strict=True):
        for call, errors in calls.items():
            assert expect_kind(refusal, call) in errors[0]["kinds"], (refusal, call, errors)
            answered = next(error for error in errors if error["status"] is not None)
            headers = {name.lower(): value for name, value in answered["headers"].items()}
            found = find_refusal(answered["status"], headers.get("x-error-code"), headers["x-error-message"])
            assert found is not None
            assert found.cause is refusal.cause
            quotes = [headers["x-error-message"] in error["words"] for error in errors]
            assert any(quotes) or refusal.cause is RefusalCause.NOT_FOUND_OR_PRIVATE, (refusal, call, errors)


def build_cases(hub: LocalHub) -> list[dict[str, Any]]:
    """Return a case for each text, and then one for each state of NETWORKS."""
    texts = [{"faults": [answer_spec(refusal, hub)], "token": hub.tokens["mia"]} for refusal in REFUSALS]
    accept(hub, "mia")
    tokens = {
        "good": hub.tokens["mia"], "fine-grained": hub.add_token("mia", "fineGrained"),
        "old": hub.add_token("mia", expired=True), "bad": "hf_bad_credentials",
    }  # fmt: skip
    return texts + [{"faults": faults, "token": tokens[token]} for faults, token, _ in NETWORKS]


# Faults, a token of an accepted person, and the classes that a download, auth_check and whoami raise.
NETWORKS: Final = (
    ((), "good", (None, None, None)),
    ((), "fine-grained", ("LocalEntryNotFoundError", "HfHubHTTPError", None)),
    ((), "old", ("HfHubHTTPError", "HfHubHTTPError", "HfHubHTTPError")),
    ((), "bad", ("HfHubHTTPError", "HfHubHTTPError", "HfHubHTTPError")),
    ((f"answer:text={REGION}:on=resolve",), "good", ("LocalEntryNotFoundError", None, None)),
    (("html_200:on=resolve|auth-check",), "good", ("LocalEntryNotFoundError", None, None)),
    (("drop_auth",), "good", ("GatedRepoError", "GatedRepoError", "HfHubHTTPError")),
    (("foreign",), "good", ("LocalEntryNotFoundError", None, None)),
)


def check_networks(seen: list[dict[str, list[dict[str, Any]]]]) -> None:
    for (faults, token, kinds), calls in zip(NETWORKS, seen, strict=True):
        for kind, (call, errors) in zip(kinds, calls.items(), strict=True):
            assert (kind is None) == (not errors), (faults, token, call, errors)
            assert kind is None or kind in errors[0]["kinds"], (faults, token, call, errors)


def test_every_refusal_reaches_huggingface_hub(hub: LocalHub) -> None:
    seen = observe(hub.url, repo_of(hub), build_cases(hub))
    check_observed(seen[: len(REFUSALS)])
    check_networks(seen[len(REFUSALS) :])


@pytest.mark.witness
def test_every_refusal_reaches_other_huggingface_hubs(witness_python: Path, hub: LocalHub, private_home: Path) -> None:
    told = {"url": hub.url, "repo": repo_of(hub), "cases": build_cases(hub)}
    seen = observe_apart(witness_python, private_home, told)
    check_observed(seen[: len(REFUSALS)])
    check_networks(seen[len(REFUSALS) :])


def test_a_text_adds_no_header_and_ends_no_answer(hub: LocalHub) -> None:
    text = "a\r\nX-Evil: 1\r\n\r\n<html>\0\x1b[2J\u2028\x85\u202e"
    hub.set_faults([f"answer:text={quote(text)}"])
    shown = look(hub, f"/api/models/{repo_of(hub)}", None)
    assert "x-evil" not in shown.headers
    assert shown.body == {"error": text}
    assert shown.headers["x-error-message"] == "a X-Evil: 1 <html>**[2J *"
    host = urlsplit(hub.url)
    with socket.create_connection((str(host.hostname), int(host.port or 0)), 20) as raw:
        raw.sendall(b"HEAD /acme/x/resolve/main/f HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        received = b"".join(iter(lambda: raw.recv(1 << 16), b""))
    assert received.count(b"\r\n\r\n") == 1
    assert b"\r\nx-evil" not in received.lower()


def test_files_are_refused_in_a_region_while_the_check_says_ok(hub: LocalHub, tmp_path: Path) -> None:
    accept(hub, "mia")
    hub.set_faults([f"answer:text={REGION}:on=resolve"])
    check(hub, hub.tokens["mia"])
    with pytest.raises(LocalEntryNotFoundError) as raised:
        download(hub, hub.tokens["mia"], tmp_path)
    assert any(REGION in str(error) for error in list_errors(raised.value))
    with Hub(hub.tokens["mia"], hub.url) as client, pytest.raises(NotAllowed, match="region"):
        client.check_access(repo_of(hub))


# ---- mirrors and proxies ----------------------------------------------------------------------------------------------------


def test_a_mirror_that_drops_the_token_makes_every_call_anonymous(hub: LocalHub, tmp_path: Path) -> None:
    accept(hub, "mia")
    hub.set_faults(["drop_auth"])
    for token in (hub.tokens["mia"], hub.tokens["owner"], "hf_nobody"):
        assert look(hub, "/api/whoami-v2", token).status == 401
        with pytest.raises(GatedRepoError) as raised:
            download(hub, token, tmp_path)
        assert raised.value.response.status_code == 401
    assert HfApi(endpoint=hub.url, token=hub.tokens["mia"]).model_info(repo_of(hub)).gated == "manual"
    hub.set_faults(["drop_auth:on=whoami"])
    assert download(hub, hub.tokens["mia"], tmp_path)


def test_a_foreign_answer_has_no_header_of_the_hub(hub: LocalHub, tmp_path: Path) -> None:
    accept(hub, "mia")
    file, token = f"/{repo_of(hub)}/resolve/main/{FILE}", hub.tokens["mia"]
    paths = ("/api/whoami-v2", f"/api/models/{repo_of(hub)}/auth-check", file)
    own = {path: look(hub, path, token) for path in paths}
    hub.set_faults(["foreign"])
    for path, before in own.items():
        shown = look(hub, path, token)
        assert (shown.status, shown.body) == (before.status, before.body)
        assert [name for name in shown.headers if name.startswith(("x-", "ratelimit", "access-control"))] == []
        assert shown.headers["content-type"] == before.headers["content-type"]
    refused = look(hub, file, hub.tokens["stranger"])
    assert (refused.status, refused.headers.get("x-error-code")) == (403, None)
    with pytest.raises(LocalEntryNotFoundError):
        download(hub, token, tmp_path)
    with Hub(token, hub.url) as client, pytest.raises(UnexpectedAnswer):
        client.check_access(repo_of(hub))
    hub.set_faults(["html_200", "foreign"])
    assert [name for name in look(hub, file, token).headers if name.startswith("x-")] == []
    hub.set_faults([f"answer:text={REGION}:code=GatedRepo", "foreign"])
    shown = look(hub, file, token)
    assert (shown.status, shown.body, "x-error-message" in shown.headers) == (403, REGION.encode(), False)
