"""Runs where huggingface_hub is and hf-gate is not: plays the life of a gated repo with the official client, and prints what it saw.

Stdin: `{url, tokens, repo_type, repo, open_repo}`. Stdout: `{version, steps}`, each step what came back or what was raised.
"""

from __future__ import annotations

import http.client
import inspect
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

CARD = b"""---
license: mit
extra_gated_fields:
  Affiliation: text
  I agree: checkbox
---
# Invented
"""
LISTS = ("pending", "accepted", "rejected")
KNOWS_REQUEST_ID = "request_id" in inspect.signature(HfApi.accept_access_request).parameters


class Story:
    """One gated repo, its owner and its strangers, as the official client tells them."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.url, self.tokens, self.repo_type = told["url"], told["tokens"], told["repo_type"]
        self.repo, self.open_repo = told["repo"], told["open_repo"]
        self.api = HfApi(token=self.tokens["owner"])
        self.steps: dict[str, Any] = {}

    def note(self, name: str, act: Callable[[], Any]) -> None:
        """What an act gave, or how it failed: with the name of each documented class that the error is."""
        try:
            self.steps[name] = act()
        except HfHubHTTPError as error:
            kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "huggingface_hub.errors"]
            self.steps[name] = {"status": error.response.status_code, "kinds": kinds, "said": error.server_message}
        except Exception as error:  # noqa: BLE001 - told to the test, which knows what was promised
            self.steps[name] = {"status": None, "kinds": [type(error).__name__], "said": str(error)}

    def ask(self, who: str, answers: dict[str, str]) -> int:
        """The official client has no function for it: what the form of the page sends."""
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        prefix = "" if self.repo_type == "model" else "/datasets"
        headers = {"authorization": f"Bearer {self.tokens[who]}", "content-type": "application/json"}
        connection.request("POST", f"{prefix}/{self.repo}/ask-access", json.dumps(answers), headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def download(self, token: Any, name: str = "weights.bin") -> str:
        """Into a cache of its own, so that a copy from before proves nothing."""
        with tempfile.TemporaryDirectory() as cache:
            got = hf_hub_download(self.repo, name, repo_type=self.repo_type, token=token, cache_dir=cache)
            return Path(got).read_text("utf-8")

    def listed(self, status: str, **where: Any) -> list[dict[str, Any]]:
        rows = getattr(self.api, f"list_{status}_access_requests")(
            **{"repo_id": self.repo, "repo_type": self.repo_type} | where
        )
        return [
            {
                "user": row.username, "fullname": row.fullname, "email": row.email, "status": row.status,
                "asked_at": row.timestamp.isoformat(), "fields": row.fields, "request_id": getattr(row, "request_id", None),
            }
            for row in rows
        ]  # fmt: skip

    def verb(self, name: str, *who: Any, at: str = "", **more: Any) -> None:
        getattr(self.api, name)(at or self.repo, *who, repo_type=self.repo_type, **more)


def play(story: Story) -> None:
    """The good life."""
    note, api = story.note, story.api
    where: dict[str, Any] = {"repo_id": story.repo, "repo_type": story.repo_type}
    note("create", lambda: str(api.create_repo(**where)))
    note("gate", lambda: api.update_repo_settings(**where, gated="manual"))
    files = {"README.md": CARD, "weights.bin": b"invented weights"}
    for name, content in files.items():
        sent: dict[str, Any] = {"path_or_fileobj": content, "path_in_repo": name}
        note(f"upload {name}", lambda sent=sent: bool(api.upload_file(**sent, **where)))  # type: ignore[misc]
    note("info", lambda: api.repo_info(story.repo, repo_type=story.repo_type).gated)
    note("files", lambda: sorted(set(files) & set(api.list_repo_files(**where))))
    note("owner downloads", lambda: story.download(story.tokens["owner"]))
    note("anonymous downloads", lambda: story.download(False))
    note("card is open", lambda: story.download(story.tokens["ann"], "README.md").startswith("---"))
    note("ann downloads uninvited", lambda: story.download(story.tokens["ann"]))
    note("ann checks", lambda: api.auth_check(**where, token=story.tokens["ann"]))
    for who in ("ann", "bob", "cleo"):
        note(f"{who} asks", lambda w=who: story.ask(w, {"Affiliation": f"House of {w}", "I agree": "on"}))  # type: ignore[misc]
    note("ann downloads while pending", lambda: story.download(story.tokens["ann"]))
    note("pending", lambda: story.listed("pending"))
    note("accept ann", lambda: story.verb("accept_access_request", "ann"))
    note("ann downloads", lambda: story.download(story.tokens["ann"]))
    note("reject bob", lambda: story.verb("reject_access_request", "bob", rejection_reason="not this time"))
    note("bob downloads rejected", lambda: story.download(story.tokens["bob"]))
    note("bob asks again", lambda: story.ask("bob", {}))
    note("grant dora", lambda: api.grant_access(story.repo, "dora", repo_type=story.repo_type))
    note("dora downloads", lambda: story.download(story.tokens["dora"]))
    note("cancel ann", lambda: story.verb("cancel_access_request", "ann"))
    note("ann downloads cancelled", lambda: story.download(story.tokens["ann"]))
    for status in LISTS:
        note(f"middle {status}", lambda s=status: [row["user"] for row in story.listed(s)])  # type: ignore[misc]


def err(story: Story) -> None:
    """What its documentation says it raises."""
    note, api = story.note, story.api
    reader = HfApi(token=story.tokens["owner_read"])
    where: dict[str, Any] = {"repo_id": story.repo, "repo_type": story.repo_type}
    note("accept dora twice", lambda: story.verb("accept_access_request", "dora"))
    note("reject bob twice", lambda: story.verb("reject_access_request", "bob", rejection_reason=None))
    note("cancel cleo pending", lambda: story.verb("cancel_access_request", "cleo"))
    note("grant dora twice", lambda: api.grant_access(story.repo, "dora", repo_type=story.repo_type))
    note("accept nobody", lambda: story.verb("accept_access_request", "no-such-person"))
    note("grant nobody", lambda: api.grant_access(story.repo, "no-such-person", repo_type=story.repo_type))
    note("accept who never asked", lambda: story.verb("accept_access_request", "eve"))
    note("reason too long", lambda: story.verb("reject_access_request", "cleo", rejection_reason="x" * 201))
    note("read token lists", lambda: list(reader.list_pending_access_requests(**where)))
    note("read token accepts", lambda: reader.accept_access_request(story.repo, "cleo", repo_type=story.repo_type))
    note("read token grants", lambda: reader.grant_access(story.repo, "cleo", repo_type=story.repo_type))
    note("stranger lists", lambda: list(api.list_pending_access_requests(**where, token=story.tokens["ann"])))
    note("anonymous lists", lambda: list(api.list_pending_access_requests(**where, token=False)))
    note("missing repo", lambda: story.listed("pending", repo_id="nobody/nothing"))
    note("missing repo checked", lambda: api.auth_check("nobody/nothing", repo_type=story.repo_type))
    note("space", lambda: story.listed("pending", repo_type="space"))
    api.create_repo(story.open_repo, repo_type=story.repo_type)
    note("not gated accept", lambda: story.verb("accept_access_request", "ann", at=story.open_repo))
    note("not gated grant", lambda: api.grant_access(story.open_repo, "ann", repo_type=story.repo_type))
    note("not gated list", lambda: story.listed("pending", repo_id=story.open_repo))
    note("missing file", lambda: story.download(story.tokens["owner"], "nothing.bin"))
    note("create twice", lambda: str(api.create_repo(**where)))
    note("delete", lambda: api.delete_repo(story.open_repo, repo_type=story.repo_type))


def end(story: Story) -> None:
    """One more decision by request id, where the client knows them; then the lists as they stand."""
    row = next(row for row in story.listed("pending") if row["user"] == "cleo")
    who: dict[str, Any] = {"request_id": row["request_id"]} if KNOWS_REQUEST_ID else {"user": "cleo"}
    story.note("accept cleo", lambda: story.verb("accept_access_request", **who))
    story.note("cancel bob", lambda: story.verb("cancel_access_request", "bob"))
    story.note("reject ann", lambda: story.verb("reject_access_request", "ann", rejection_reason=None))
    for status in LISTS:
        story.note(f"end {status}", lambda s=status: story.listed(s))  # type: ignore[misc]


if __name__ == "__main__":
    tale = Story(json.load(sys.stdin))
    for part in (play, err, end):
        part(tale)
    json.dump({"version": huggingface_hub.__version__, "steps": tale.steps}, sys.stdout)
