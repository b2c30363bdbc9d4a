"""The permissions of a token are read from the Hub's answer; what it does not contain is unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hf_gate.base.ids import Repo, RepoType
from hf_gate.core.people.accounts import TokenRights
from hf_gate.hub.protocol.codec import read_whoami

EEG = Repo(RepoType.DATASET, "acme", "eeg")
MED = Repo(RepoType.MODEL, "acme", "med-7b")
LOOK = ["repo.content.read", "repo.access.read"]
DECIDE = [*LOOK, "repo.write"]


def rights(role: Any, *scoped: Any, **more: Any) -> TokenRights:
    token = {"displayName": "t", "role": role, **more}
    if scoped:
        token["fineGrained"] = {"scoped": list(scoped), "global": []}
    return read_whoami(json.dumps({"name": "lena", "auth": {"accessToken": token}}).encode()).rights


def at(kind: str, name: str | None, permissions: list[str]) -> dict[str, Any]:
    return {"entity": {"_id": "0" * 24, "type": kind} | ({"name": name} if name else {}), "permissions": permissions}


@pytest.mark.parametrize(
    ("given", "decide"),
    [
        (rights("write"), True),
        (rights("read"), False),
        (rights("god"), None),
        (rights(None), None),
        (rights(7), None),
        (rights("fineGrained"), None),
        (rights("fineGrained", fineGrained={"scoped": "all"}), None),
        (rights("fineGrained", fineGrained=["x"]), None),
        (rights("fineGrained", at("dataset", "acme/eeg", LOOK)), False),
        (rights("fineGrained", at("dataset", "ACME/EEG", DECIDE)), True),
        (rights("fineGrained", at("dataset", "acme/eeg", ["repo.content.read"])), False),
        (rights("fineGrained", at("model", "acme/eeg", DECIDE)), False),
        (rights("fineGrained", at("dataset", "acme/other", DECIDE)), False),
        (rights("fineGrained", at("org", "Acme", DECIDE)), True),
        (rights("fineGrained", at("user", "lena", DECIDE), at("org", "acme", LOOK)), False),
        (rights("fineGrained", at("collection", "acme/eeg", DECIDE)), False),
        # permissions with unknown names
        (rights("fineGrained", at("resource-group", "eeg", DECIDE)), None),
        (rights("fineGrained", at("dataset", None, DECIDE)), None),
        (rights("fineGrained", at("dataset", "eeg", DECIDE)), None),
        (rights("fineGrained", at("galaxy", "acme", DECIDE)), None),
        (rights("fineGrained", at("dataset", "acme/eeg", ["repo.access.read", "repo.access.write"])), None),
        (rights("fineGrained", "nonsense", at("dataset", "acme/eeg", LOOK)), False),
        (rights("fineGrained", {"entity": [], "permissions": DECIDE}), None),
        (rights("fineGrained", {"entity": {"type": 1, "name": 2}, "permissions": [3, "repo.write"]}), None),
    ],
)
def test_a_token_may_what_the_hub_tells_and_else_it_is_not_known(given: TokenRights, decide: bool | None) -> None:
    assert given.can_decide(EEG) == decide


@pytest.mark.parametrize(
    ("given", "beyond"),
    [
        (rights("write"), ("all repos of its account and organisations",)),
        (rights("read"), ()),
        (rights("fineGrained"), ()),
        (rights("fineGrained", at("dataset", "acme/eeg", DECIDE)), ()),
        (rights("fineGrained", at("dataset", "acme/eeg", DECIDE), at("model", "acme/eeg", LOOK)), ("acme/eeg",)),
        (rights("fineGrained", at("model", "acme/eeg", ["repo.content.read"])), ()),
        (rights("fineGrained", at("org", "acme", LOOK), at("org", "acme", DECIDE)), ("every repo of acme",)),
        (rights("fineGrained", at("user", None, DECIDE)), ("every repo of an owner",)),
        (rights("fineGrained", at("resource-group", None, DECIDE)), ("a resource-group",)),
    ],
)
def test_where_a_token_reaches_beside_the_named_repos_is_told_once(given: TokenRights, beyond: tuple[str, ...]) -> None:
    assert given.describe_excess_reach({EEG, MED}.__contains__) == beyond


def test_a_token_of_an_organisation_reaches_no_further_than_a_workspace_that_names_all_its_repos() -> None:
    assert (
        rights("fineGrained", at("org", "acme", DECIDE)).describe_excess_reach(lambda repo: repo.namespace == "acme")
        == ()
    )
