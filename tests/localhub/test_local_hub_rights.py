"""Permissions on the local Hub: the order of checks, roles and tokens, and the gate before the files."""

from __future__ import annotations

import pytest

from hf_gate.localhub.http_messages import HttpResponse
from tests.kits.local_hubs import ACCESS, LocalHubKit, read_error

BAD_LOGIN = (401, "Invalid username or password.", None)


@pytest.fixture
def kit() -> LocalHubKit:
    return LocalHubKit()


# ---- permissions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holder", "role", "permissions", "may_list", "may_decide"),
    [
        ("wim", "write", [], True, True),
        ("wim", "read", [], False, False),
        ("kit", "write", [], False, False),
        ("rosa", "write", [], False, False),
        ("bea", "write", [], False, False),
        ("ona", "fineGrained", ["repo.write"], True, True),
        ("ona", "fineGrained", ["repo.access.read"], True, False),
        ("ona", "fineGrained", ["repo.content.read"], False, False),
    ],
)
def test_who_may_review(
    kit: LocalHubKit, holder: str, role: str, permissions: list[str], *, may_list: bool, may_decide: bool
) -> None:
    kit.ask("dan")
    kit.token(holder, role, *permissions, label="tried")
    for path in (f"{ACCESS}/pending", "/acme/model/user-access-report"):
        assert kit.call("GET", path, by="tried").status == (200 if may_list else 403)
    decided = kit.call("POST", f"{ACCESS}/handle", {"user": "dan", "status": "accepted"}, by="tried")
    assert decided.status == (200 if may_decide else 403)


def test_a_private_repo_is_missing_to_others(kit: LocalHubKit) -> None:
    kit.call("PUT", "/api/models/acme/model/settings", {"private": True})
    assert read_error(kit.call("GET", "/api/models/acme/model", by=None)) == BAD_LOGIN
    assert read_error(kit.call("GET", "/api/models/acme/model", by="bea"))[2] == "RepoNotFound"
    assert kit.call("GET", "/api/models/acme/model", by="rosa").status == 200


# ---- the gate -----------------------------------------------------------------------------------------------------------


def _gate(kit: LocalHubKit, by: str | None, path: str = "/acme/model/resolve/main/config.json") -> HttpResponse:
    return kit.call("GET", path, by=by)


def test_the_gate_asks_for_a_token_and_opens_for_who_was_accepted(kit: LocalHubKit) -> None:
    """What it says to others is recorded in tests/hub/test_vectors.py."""
    refused = _gate(kit, None)
    text = "Access to model acme/model is restricted. You must have access to it and be authenticated to access it. Please log in."
    assert (refused.status, refused.headers["X-Error-Code"]) == (401, "GatedRepo")
    assert refused.body.decode() == refused.headers["X-Error-Message"] == text
    kit.ask("bea")
    kit.decide("bea", "accepted")
    assert _gate(kit, "bea").body == b"{}"
    assert _gate(kit, "bea", "/api/models/acme/model/auth-check").body == b"OK"
