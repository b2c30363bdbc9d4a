"""Runs where huggingface_hub 1 is and hf-gate need not be: prints the tracebacks of calls for a repo as JSON.

Stdin: `{repo, token}`; the token is what a program passes. Stdout: `{call: traceback}`; an empty text if the call succeeds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Callable

from huggingface_hub import HfApi, hf_hub_download, snapshot_download


def main() -> None:
    told = json.load(sys.stdin)
    repo, token = told["repo"], told["token"]
    logs = {}
    with tempfile.TemporaryDirectory() as cache:
        calls: dict[str, Callable[[], object]] = {
            "download": lambda: hf_hub_download(repo, "config.json", cache_dir=cache, token=token),
            "snapshot": lambda: snapshot_download(repo, cache_dir=cache, token=token),
            "check": lambda: HfApi(token=token).auth_check(repo),
            "info": lambda: HfApi(token=token).model_info(repo),
        }
        for name, call in calls.items():
            logs[name] = ""
            try:
                call()
            except Exception:  # noqa: BLE001 - the test reads it
                logs[name] = traceback.format_exc()
    json.dump(logs, sys.stdout)


if __name__ == "__main__":
    main()
