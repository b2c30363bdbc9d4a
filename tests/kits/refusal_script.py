"""Runs where huggingface_hub is and hf-gate need not be: plays refusals of the local Hub, and prints what the official client raised.

Stdin: `{url, repo, cases}`, each case with faults and a token. Stdout: for each case, the errors of a download, of auth_check
and of whoami.
"""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from typing import Any

from huggingface_hub import HfApi, hf_hub_download


def observe(url: str, repo: str, cases: list[dict[str, Any]]) -> list[dict[str, list[dict[str, Any]]]]:
    """Return for each case the error of each call and its causes, the outer error first."""
    return [observe_case(url, repo, case["faults"], case["token"]) for case in cases]


def observe_case(url: str, repo: str, faults: list[str], token: str) -> dict[str, list[dict[str, Any]]]:
    api = HfApi(endpoint=url, token=token)
    set_faults(url, faults)
    with tempfile.TemporaryDirectory() as cache:
        calls: dict[str, Callable[[], object]] = {
            "download": lambda: hf_hub_download(repo, "config.json", endpoint=url, token=token, cache_dir=cache),
            "check": lambda: api.auth_check(repo),
            "whoami": api.whoami,
        }
        return {name: list_errors(call) for name, call in calls.items()}


def set_faults(url: str, faults: list[str]) -> None:
    body = json.dumps({"set": faults}).encode()
    request = urllib.request.Request(f"{url}/_hf_gate/faults", body, {"content-type": "application/json"})  # noqa: S310
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - the local Hub


def list_errors(call: Callable[[], object]) -> list[dict[str, Any]]:
    """Return the error of a call and its causes; nothing if it succeeds."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - the test compares it
        raised: BaseException | None = error
    else:
        raised = None
    errors = []
    while raised is not None:
        response = getattr(raised, "response", None)
        errors.append({
            "kinds": [kind.__name__ for kind in type(raised).__mro__],
            "words": str(raised),
            "status": getattr(response, "status_code", None),
            "headers": {} if response is None else dict(response.headers),
        })  # fmt: skip
        raised = raised.__cause__
    return errors


if __name__ == "__main__":
    json.dump(observe(**json.load(sys.stdin)), sys.stdout)
