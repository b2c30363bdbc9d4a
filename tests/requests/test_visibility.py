"""A member of some repos learns nothing of the others: not by counts, not by names in policies."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from hf_gate.base.ids import Repo, parse_repo
from hf_gate.requests.sync_schedule import SyncKind
from tests.kits.desk import GOOD, Desk, Visitor, open_desk, text_of

POLICY = """\
version: 1
policy: house
applies_to: [{mine}, {other}]
mode: enforce
let:
  others: history.elsewhere
rules:
  - id: known
    when: history.elsewhere >= 1 && others < 9
    then: accept
  - id: rest
    then: human
"""
REST = "  - id: rest\n    then: human\n"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Repo, Repo]]:
    """Fay waits at one repo, and is in at the other."""
    with open_desk(tmp_path_factory.mktemp("two"), policy=None, repos=2) as desk:
        mine, other = (parse_repo(line["repo"], line["repo_type"]) for line in desk.local.repos)
        assert desk.app_state.workspace.location.folder is not None
        file = desk.app_state.workspace.location.folder / "policies" / "house.yaml"
        file.write_text(POLICY.format(mine=mine, other=other), "utf-8")
        for repo in (mine, other):
            desk.ask([{"username": "fay"}], {"Purpose": GOOD}, repo)
        desk.app_state.workspace.hub.accept(other, "fay")
        desk.read(SyncKind.FULL)
        yield desk, mine, other


def waiting(desk: Desk, repo: Repo) -> str:
    (row,) = desk.app_state.workspace.store.find_by_identity(repo, "fay")
    return row.state.hub_request or ""


@pytest.fixture
def rob(two: tuple[Desk, Repo, Repo]) -> Visitor:
    desk, mine, _ = two
    return desk.reviewer("rob", str(mine))


def test_a_request_shows_no_count_of_repos_that_one_does_not_see(two: tuple[Desk, Repo, Repo], rob: Visitor) -> None:
    desk, mine, _ = two
    key, lena = waiting(desk, mine), desk.visitor()
    whole = text_of(lena.get(f"/requests/{key}").body)
    assert "history.elsewhere = 1" in whole
    assert "accepted at 1 other repo" in whole
    for path in (f"/requests/{key}", f"/requests/{key}/why", "/queue"):
        said = text_of(rob.get(path).body)
        assert "elsewhere = 1" not in said
        assert "others = 1" not in said
        assert "accepted at 1 other" not in said
        assert "elsewhere 1" not in said
    assert "history.elsewhere unavailable: it counts repos that you do not see" in text_of(
        rob.get(f"/requests/{key}").body
    )


def test_the_facets_count_the_repos_that_one_sees(two: tuple[Desk, Repo, Repo], rob: Visitor) -> None:
    path = "/queue?q=quality:good"
    for visitor, number in ((two[0].visitor(), 2), (rob, 1)):
        answer = visitor.get(path)
        assert f"answered {number}" in text_of(answer.body)
        assert f"{number} of {number} requests" in text_of(answer.body)
    assert str(two[2]) not in rob.get(path).body


@pytest.mark.parametrize("times", [1, 2], ids=["held", "did not hold"])
def test_a_request_does_not_show_whether_a_rule_that_counts_other_repos_matched(
    two: tuple[Desk, Repo, Repo], rob: Visitor, times: int
) -> None:
    desk, mine, other = two
    assert desk.app_state.workspace.location.folder is not None
    file, key = desk.app_state.workspace.location.folder / "policies" / "house.yaml", waiting(desk, mine)
    before = file.read_text("utf-8")
    rules = f"    when: history.elsewhere == {times}\n    then: accept\n"
    try:
        file.write_text(POLICY.format(mine=mine, other=other).partition("    when")[0] + rules + REST, "utf-8")
        desk.app_state.policies.expire()
        whole = text_of(desk.visitor().get(f"/requests/{key}").body)
        assert ("known (accept) matches" in whole) == (times == 1)
        for path in (f"/requests/{key}", f"/requests/{key}/why"):
            said = text_of(rob.get(path).body)
            assert "known (accept) is unknown" in said
            assert f"unknown: history.elsewhere == {times}" in said
            assert "it matches if" not in said
            assert "no small change" not in said
        assert not re.search(r"no access to|access to \d|other repos(?! not known)", text_of(rob.get("/queue").body))
    finally:
        file.write_text(before, "utf-8")
        desk.app_state.policies.expire()


def test_the_page_of_a_repo_quotes_no_policy_that_one_may_not_read(two: tuple[Desk, Repo, Repo], rob: Visitor) -> None:
    desk, mine, other = two
    assert desk.app_state.workspace.location.folder is not None
    file, path = (
        desk.app_state.workspace.location.folder / "policies" / "house.yaml",
        f"/repos/{mine.type.value}s/{mine.id}",
    )
    before = file.read_text("utf-8")
    rules = f'    when: request.repo != "{other.id}"\n    then: human\n'
    try:
        file.write_text(POLICY.format(mine=mine, other=other).partition("    when")[0] + rules + REST, "utf-8")
        desk.app_state.policies.expire()
        assert other.name in desk.visitor().get(path).body
        assert other.name not in rob.get(path).body
    finally:
        file.write_text(before, "utf-8")
        desk.app_state.policies.expire()


def test_policies_name_only_repos_that_one_sees(two: tuple[Desk, Repo, Repo], rob: Visitor) -> None:
    desk, mine, other = two
    lena = desk.visitor()
    for path in ("/policies", "/policies.json", "/policies/house"):
        assert other.name in lena.get(path).body
        body = rob.get(path).body
        assert mine.name in body
        assert other.name not in body
        assert other.namespace not in body or other.namespace == mine.namespace
    assert rob.get("/policies.json").json[0]["applies_to"] == [str(mine)]
    assert "the file names repos that you cannot see" in rob.get("/policies/house").body


@pytest.mark.parametrize(
    ("name", "text"),
    [("policies/secret.yaml", "version: 1\npolicy: of-others\nrules: nothing\n"), ("hf-gate.yaml", "of-others: 1\n")],
)
def test_a_fault_in_a_file_is_not_told_to_a_member_of_some_repos(
    two: tuple[Desk, Repo, Repo], rob: Visitor, name: str, text: str
) -> None:
    desk, mine, _ = two
    folder, lena = desk.app_state.workspace.location.folder, desk.visitor()
    assert folder is not None
    file = folder / name
    before = file.read_bytes() if file.exists() else None
    file.write_text(text, "utf-8")
    desk.app_state.policies.expire()
    paths = ("/queue", "/repos", f"/repos/{mine.type.value}s/{mine.id}", "/policies")
    try:
        whole, parts = [[text_of(each.get(path).body) for path in paths] for each in (lena, rob)]
    finally:
        file.unlink() if before is None else file.write_bytes(before)
        desk.app_state.policies.expire()
    assert any("secret.yaml" in page or "of-others" in page for page in whole)
    assert not [page for page in parts if "secret" in page or "of-others" in page or "hf-gate.yaml:" in page]
    assert any("A file of the workspace has an error" in page for page in parts)
