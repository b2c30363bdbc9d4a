"""The local Hub's answers about repos, files and accounts, as the official client needs them."""

from __future__ import annotations

import json

import pytest

from hf_gate.base.ids import RepoType
from hf_gate.localhub.http_messages import HttpResponse
from tests.kits.local_hubs import LocalHubKit


@pytest.fixture
def kit() -> LocalHubKit:
    return LocalHubKit()


def test_a_commit_on_a_parent_that_is_no_more_is_refused(kit: LocalHubKit) -> None:
    def commit(parent: str) -> HttpResponse:
        lines = [
            {"key": "header", "value": {"summary": "s", "parentCommit": parent}},
            {"key": "file", "value": {"path": "a.txt", "content": "aGk=", "encoding": "base64"}},
        ]
        body = "\n".join(map(json.dumps, lines)).encode()
        return kit.call("POST", "/api/models/acme/model/commit/main", body)

    parent = kit.gated.head.oid
    made = json.loads(commit(parent).body)
    assert made["commitOid"] == kit.gated.head.oid
    assert kit.call("GET", "/acme/model/resolve/main/a.txt").body == b"hi"
    assert commit(parent).status == 412
    assert kit.call("GET", f"/acme/model/resolve/{parent}/a.txt").status == 404


def test_a_file_can_be_fetched_from_the_middle(kit: LocalHubKit) -> None:
    answered = kit.call("GET", "/acme/model/resolve/main/sub/a.bin", headers={"range": "bytes=1-"})
    assert (answered.status, answered.body, answered.headers["Content-Range"]) == (206, b"23", "bytes 1-2/3")
    assert answered.headers["X-Repo-Commit"] == kit.gated.head.oid


def test_gated_repos_of_an_owner_are_listed(kit: LocalHubKit) -> None:
    kit.add_repo(RepoType.MODEL, "open").gated = False
    query = "author=ACME&gated=true&limit=1000&expand[]=gated"
    listed = json.loads(kit.call("GET", f"/api/models?{query}").body)
    assert [(repo["id"], repo["gated"]) for repo in listed] == [("acme/model", "manual")]


def test_a_repo_is_made_once_and_where_one_may(kit: LocalHubKit) -> None:
    assert kit.call("POST", "/api/repos/create", {"name": "new", "organization": "acme"}, by="wim").status == 200
    assert kit.call("POST", "/api/repos/create", {"name": "new", "organization": "acme"}, by="wim").status == 409
    assert kit.call("POST", "/api/repos/create", {"name": "x", "organization": "acme"}, by="rosa").status == 403
    assert kit.call("POST", "/api/repos/create", {"name": "x", "type": "space"}, by="bea").status == 400


def test_roles_are_shown_to_members_only(kit: LocalHubKit) -> None:
    roles = [
        line.get("role") for line in json.loads(kit.call("GET", "/api/organizations/acme/members", by="rosa").body)
    ]
    assert sorted(map(str, roles)) == ["admin", "admin", "contributor", "read", "write"]
    assert all(
        "role" not in line for line in json.loads(kit.call("GET", "/api/organizations/acme/members", by="bea").body)
    )


@pytest.mark.parametrize(
    "path", ["/api/agent-harnesses", "/api/spaces/acme/s/user-access-request/pending", "/acme/model"]
)
def test_other_paths_are_404(kit: LocalHubKit, path: str) -> None:
    assert kit.call("GET", path).status == 404


def test_a_name_that_cannot_be_one_is_refused(kit: LocalHubKit) -> None:
    for name in ("../x", "a/b", "", "x--y"):
        assert kit.call("POST", "/api/repos/create", {"name": name}).status == 400


def test_hostile_text_never_breaks_a_header(kit: LocalHubKit) -> None:
    answered = kit.call("GET", "/acme/model/resolve/%1b%5b2J%0d%0aX-Evil:%201%e2%80%ae/config.json", by="ona")
    assert answered.headers["X-Error-Message"] == "Invalid rev id: *[2J X-Evil: 1*"
