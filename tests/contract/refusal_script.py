"""Runs where huggingface_hub is and hf-gate need not be: plays refusals of the local Hub, and prints what the official client raised.

Stdin: `{url, repo, token, specs}`. Stdout: for each spec of a fault, the errors of a download, of auth_check and of whoami.
"""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from typing import Any

from huggingface_hub import HfApi, hf_hub_download


def observe(url: str, repo: str, token: str, specs: list[str]) -> list[dict[str, list[dict[str, Any]]]]:
    """Return for each fault the error of each call and its causes, the outer error first."""
    api = HfApi(endpoint=url, token=token)
    seen = []
    for spec in specs:
        set_fault(url, spec)
        with tempfile.TemporaryDirectory() as cache:

            def download(cache: str = cache) -> object:
                return hf_hub_download(repo, "config.json", endpoint=url, token=token, cache_dir=cache)

            calls: dict[str, Callable[[], object]] = {
                "download": download, "check": lambda: api.auth_check(repo), "whoami": api.whoami,
            }  # fmt: skip
            seen.append({name: list_errors(call) for name, call in calls.items()})
    return seen


def set_fault(url: str, spec: str) -> None:
    body = json.dumps({"set": [spec]}).encode()
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
