"""The control API of the local Hub: who can call it, and that each call is done completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hf_gate.testing import LocalHub
from tests.kits.local_hubs import fetch


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub(requests=300, clock="x60") as hub:
        yield hub


def test_people_and_requests_can_be_added(hf_local_hub: LocalHub) -> None:
    hub = hf_local_hub
    repo = hub.repos[0]["repo"]
    (mia,) = hub.add_people(
        [
            {
                "username": "mia",
                "fullname": "Mia Roth",
                "email": "mia@uni.example",
                "created_at": "2020-01-01T00:00:00.000Z",
            }
        ]
    )
    assert int(mia["id"][:8], 16) == 1577836800
    (made,) = hub.add_requests(
        [{"repo": repo, "user": "mia", "answers": {"Purpose": "to sleep"}, "asked_at": "2026-01-02T03:04:05.678Z"}]
    )
    (row,) = fetch(hub, "GET", f"/api/models/{repo}/user-access-request/pending").body
    assert (row["requestId"], row["timestamp"]) == (made["request_id"], "2026-01-02T03:04:05.678Z")
    assert (row["user"]["email"], row["fields"]) == ("mia@uni.example", {"Purpose": "to sleep"})
    assert fetch(hub, "GET", "/api/whoami-v2", authorization=f"Bearer {hub.tokens['mia']}").body["name"] == "mia"
    (line,) = hub.journal()
    assert (line["seq"], line["user"], line["from"], line["to"]) == (1, "mia", None, "pending")
    assert hub.journal(after=1) == []
    with pytest.raises(ValueError, match="has a request"):
        hub.add_requests([{"repo": repo, "user": "mia", "answers": {}}])
    with pytest.raises(ValueError, match="there is no person 'max'"):
        hub.add_requests([{"repo": repo, "user": "max"}])
    with pytest.raises(ValueError, match="unknown key 'name'; known keys: created_at"):
        hub.add_people([{"name": "mia"}])
    with pytest.raises(ValueError, match="'mia' is taken"):
        hub.add_people([{"username": "mia"}])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.invalid"}, 403),
        ({"host": "localhost.evil.invalid:80"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"host": "localhost:1", "sec_fetch_site": "same-origin"}, 200),
        ({"host": "[::1]:1"}, 200),
    ],
)
def test_the_control_api_answers_this_machine_but_no_web_page(
    hub: LocalHub, headers: dict[str, str], status: int
) -> None:
    assert fetch(hub, "POST", "/_hf_gate/faults", {"clear": True}, **headers).status == status


def test_an_unknown_fault_lists_the_known_ones(hub: LocalHub) -> None:
    with pytest.raises(ValueError, match="unknown fault 'explode'; known faults: limit_bare"):
        hub.set_faults(["truncate", "explode"])
    assert fetch(hub, "GET", "/_hf_gate/faults").body == []
    assert fetch(hub, "GET", "/_hf_gate/nothing").status == 404


def test_the_control_api_refuses_names_that_are_no_usernames(hf_local_hub: LocalHub) -> None:
    with pytest.raises(ValueError, match="is not a username"):
        hf_local_hub.add_people([{"username": "a/b"}])


# ---- all or nothing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"username": "mia"}, {"username": "MIA"}], "'MIA' appears twice in this call"),
        ([{"username": "mia"}, {"username": "b/c"}], "'b/c' is not a username"),
        ([{"username": "mia"}, {"username": "max", "created_at": "once"}], "'once' is not a time"),
        ([{"username": "mia"}, {"username": "max", "email": 7}], "email must be text"),
        ([{"username": "mia"}, {"username": "max", "fullname": ["Max"]}], "fullname must be text"),
        ([{"username": "mia"}, "max"], "send an object"),
        ([{"username": "mia"}, {"username": "ada-admin"}], "the username 'ada-admin' is taken"),
    ],
)
def test_all_people_of_a_call_are_added_or_none(hf_local_hub: LocalHub, lines: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        hf_local_hub.control("POST", "people", lines)
    assert fetch(hf_local_hub, "GET", "/api/users/mia/overview").status == 404


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"user": "Mia"}, "mia asks for .* twice in this call"),
        ({"user": "nobody"}, "there is no person 'nobody'"),
        ({"user": "max", "asked_at": "then"}, "'then' is not a time"),
        ({"user": "max", "answers": {"Purpose": True}}, "answers must be an object that maps labels to text"),
        ({"user": "max", "answers": ["sleep"]}, "answers must be an object that maps labels to text"),
        ({"user": "max", "repo": "no/where"}, "there is no model no/where here"),
    ],
)
def test_all_requests_of_a_call_are_added_or_none(hf_local_hub: LocalHub, second: dict[str, Any], words: str) -> None:
    hub, repo = hf_local_hub, hf_local_hub.repos[0]["repo"]
    hub.add_people([{"username": "mia"}, {"username": "max"}])
    with pytest.raises(ValueError, match=words):
        hub.add_requests([{"repo": repo, "user": "mia"}, {"repo": repo, **second}])
    assert hub.journal() == []
    assert hub.repos[0]["pending"] == 0


# ---- changes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "to", "words"),
    [
        ("nobody", "x", "there is no person 'nobody'"),
        ("mia", "max", "the username 'max' is taken"),
        ("mia", "../x", "'../x' is not a username"),
        ("mia", "", "must be non-empty text"),
    ],
)
def test_an_invalid_rename_changes_nothing(hf_local_hub: LocalHub, user: str, to: str, words: str) -> None:
    hf_local_hub.add_people([{"username": "mia"}, {"username": "max"}])
    with pytest.raises(ValueError, match=words):
        hf_local_hub.rename(user, to)
    assert fetch(hf_local_hub, "GET", "/api/users/mia/overview").status == 200


def test_owners_of_repos_cannot_be_renamed_but_capitals_can_change(hf_local_hub: LocalHub) -> None:
    hub = hf_local_hub
    hub.add_people([{"username": "mia"}])
    mine = {"authorization": f"Bearer {hub.tokens['mia']}"}
    hub.rename("mia", "Mia")
    assert fetch(hub, "GET", "/api/whoami-v2", **mine).body["name"] == "Mia"
    assert fetch(hub, "POST", "/api/repos/create", {"name": "thing"}, **mine).status == 200
    with pytest.raises(ValueError, match="Mia owns repos under that name"):
        hub.rename("mia", "nora")


def test_a_card_can_be_changed_and_requests_keep_their_labels(hf_local_hub: LocalHub) -> None:
    hub, repo = hf_local_hub, hf_local_hub.repos[0]["repo"]
    hub.add_people([{"username": "mia"}])
    hub.add_requests([{"repo": repo, "user": "mia", "answers": {"Purpose": "sleep"}}])
    card = "---\nextra_gated_fields:\n  Why: text\n---\n# Ü\n"
    hub.set_card(repo, card)
    assert fetch(hub, "GET", f"/{repo}/resolve/main/README.md").body.decode() == card
    shown = fetch(hub, "GET", f"/api/models/{repo}?expand[]=cardData").body
    assert shown["cardData"]["extra_gated_fields"] == {"Why": "text"}
    assert fetch(hub, "GET", f"/{repo}/resolve/main/config.json").status == 200
    assert fetch(hub, "GET", f"/api/models/{repo}/user-access-request/pending").body[0]["fields"] == {
        "Purpose": "sleep"
    }
    with pytest.raises(ValueError, match=f"there is no dataset {repo} here"):
        hub.set_card(repo, card, repo_type="dataset")


def test_added_people_and_reviewers_act_with_their_own_tokens(
    hf_local_hub: LocalHub,
) -> None:
    hub, repo = hf_local_hub, hf_local_hub.repos[0]["repo"]
    hub.add_people([{"username": "mia"}, {"username": "max"}])
    hub.add_requests([{"repo": repo, "user": "mia"}, {"repo": repo, "user": "max"}])
    path = f"/api/models/{repo}/user-access-request"
    assert fetch(hub, "POST", f"{path}/cancel", authorization=f"Bearer {hub.tokens['mia']}").status == 200
    body = {"user": "max", "status": "rejected"}
    assert fetch(hub, "POST", f"{path}/handle", body, authorization=f"Bearer {hub.tokens['admin']}").status == 200
    moves = [(line["user"], line["to"], line["token"]) for line in hub.journal()[-2:]]
    assert moves == [("mia", None, "mia"), ("max", "rejected", "admin")]
