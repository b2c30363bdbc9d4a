"""huggingface_hub itself, unmodified, three versions of it, lives the life of a gated repo on the local Hub; then hf-gate reads the same."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from hf_gate import AccessRequest, Hub
from hf_gate.testing import LocalHub
from tests.kits.paths import KITS

SCRIPT: Final = KITS / "witness_script.py"
PEOPLE: Final = ("ann", "bob", "cleo", "dora", "eve")
QUIET: Final = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_UPDATE_CHECK")  # fmt: skip


class Raised(NamedTuple):
    """The status of the answer and the class that its documentation names."""

    status: int
    kind: str


WEIGHTS = "invented weights"
NOT_IN, SIGN_IN = Raised(403, "GatedRepoError"), Raised(401, "GatedRepoError")
NOT_FOUND, FORBIDDEN, REFUSED = (
    Raised(404, "HfHubHTTPError"),
    Raised(403, "HfHubHTTPError"),
    Raised(400, "BadRequestError"),
)
NO_REPO = Raised(404, "RepositoryNotFoundError")

# What each step gives or raises; `None` is what a verb without result gives.
# Its documentation promises a 400 for a list of a repo that is not gated; the Hub was recorded to answer with the list.
GOOD_LIFE: Final[dict[str, object]] = {
    "gate": None,
    "upload README.md": True,
    "upload weights.bin": True,
    "info": "manual",
    "files": ["README.md", "weights.bin"],
    "owner downloads": WEIGHTS,
    "anonymous downloads": SIGN_IN,
    "card is open": True,
    "ann downloads uninvited": NOT_IN,
    "ann checks": NOT_IN,
    "ann asks": 303,
    "bob asks": 303,
    "cleo asks": 303,
    "ann downloads while pending": NOT_IN,
    "accept ann": None,
    "ann downloads": WEIGHTS,
    "reject bob": None,
    "bob downloads rejected": NOT_IN,
    "bob asks again": 303,
    "grant dora": {},
    "dora downloads": WEIGHTS,
    "cancel ann": None,
    "ann downloads cancelled": NOT_IN,
    "middle pending": ["cleo", "ann"],
    "middle accepted": ["dora"],
    "middle rejected": ["bob"],
    "accept cleo": None,
    "cancel bob": None,
    "reject ann": None,
    "delete": None,
}
ERRORS: Final[dict[str, object]] = {
    "accept dora twice": NOT_FOUND,
    "reject bob twice": NOT_FOUND,
    "cancel cleo pending": NOT_FOUND,
    "grant dora twice": REFUSED,
    "accept nobody": NOT_FOUND,
    "grant nobody": NOT_FOUND,
    "accept who never asked": NOT_FOUND,
    "reason too long": REFUSED,
    "read token lists": FORBIDDEN,
    "read token accepts": FORBIDDEN,
    "read token grants": FORBIDDEN,
    "stranger lists": FORBIDDEN,
    "anonymous lists": Raised(401, "HfHubHTTPError"),
    "missing repo": NO_REPO,
    "missing repo checked": NO_REPO,
    "space": NOT_FOUND,
    "not gated accept": REFUSED,
    "not gated grant": REFUSED,
    "not gated list": [],
    "missing file": Raised(404, "EntryNotFoundError"),
    "create twice": Raised(409, "HfHubHTTPError"),
}
LISTED_IN_FULL: Final = {"create", "pending", "end pending", "end accepted", "end rejected"}
MOVES: Final = [
    ("ann", None, "pending", "ask"),
    ("bob", None, "pending", "ask"),
    ("cleo", None, "pending", "ask"),
    ("ann", "pending", "accepted", "handle"),
    ("bob", "pending", "rejected", "handle"),
    ("dora", None, "accepted", "grant"),
    ("ann", "accepted", "pending", "handle"),
    ("cleo", "pending", "accepted", "handle"),
    ("bob", "rejected", "pending", "handle"),
    ("ann", "pending", "rejected", "handle"),
]


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with LocalHub(requests=0, repos=1) as local:
        local.add_people([{"username": name, "fullname": name.title()} for name in PEOPLE])
        yield local


def _played(python: Path, hub: LocalHub, home: Path, repo: str, repo_type: str) -> dict[str, Any]:
    """The steps as the official client saw them. Up to 2.2 it reads its endpoint when it is imported."""
    told = {"url": hub.url, "tokens": hub.tokens, "repo_type": repo_type, "repo": repo, "open_repo": f"{repo}-open"}
    environment = dict.fromkeys(QUIET, "1") | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HOME": str(home)}
    run = subprocess.run(
        [python, SCRIPT], input=json.dumps(told), capture_output=True, text=True, timeout=120, check=False,
        env=environment | {"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    steps: dict[str, Any] = json.loads(run.stdout)["steps"]
    return steps


def _agrees(saw: object, promised: object) -> bool:
    if isinstance(promised, Raised):
        return isinstance(saw, dict) and saw.get("status") == promised.status and promised.kind in saw.get("kinds", ())
    return saw == promised


def _as_told(row: AccessRequest, *, knows_request_id: bool) -> dict[str, object]:
    return {
        "user": row.username, "fullname": row.fullname, "email": row.email, "status": row.status,
        "asked_at": row.timestamp.isoformat(), "fields": row.fields, "request_id": row.request_id if knows_request_id else None,
    }  # fmt: skip


@pytest.mark.witness
@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_the_official_client_lives_its_life_on_the_local_hub_and_both_clients_see_the_same(
    witness_python: Path, hub: LocalHub, private_home: Path, repo_type: str
) -> None:
    with Hub(hub.tokens["owner"], hub.url) as owner:
        repo = f"{owner.whoami().name}/witness"
        steps = _played(witness_python, hub, private_home, repo, repo_type)

        promised = GOOD_LIFE | ERRORS
        assert set(steps) == set(promised) | LISTED_IN_FULL
        astray = {name: steps[name] for name, wish in promised.items() if not _agrees(steps[name], wish)}
        assert not astray
        assert str(steps["create"]).endswith(repo)

        first = {row["user"]: row for row in steps["pending"]}
        assert {name: row["email"] for name, row in first.items()} == {
            n: f"{n}@example.org" for n in ("ann", "bob", "cleo")
        }
        assert first["ann"]["fields"] == {"Affiliation": "House of ann", "I agree": "on"}

        knows = first["ann"]["request_id"] is not None
        for status in ("pending", "accepted", "rejected"):
            ours = [_as_told(row, knows_request_id=knows) for row in owner.list(repo, status, repo_type=repo_type)]
            assert ours == steps[f"end {status}"]
    assert [(m["user"], m["from"], m["to"], m["route"]) for m in hub.journal()] == MOVES
