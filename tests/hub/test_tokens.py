"""Tokens for reading and for deciding on the local Hub; a refusal names the missing permission."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hf_gate import Decision, Hub, NotAllowed
from hf_gate.base.ids import Repo, RepoType
from hf_gate.testing import LocalHub

Act = Callable[[Hub, Repo], object]
LOOKING: dict[str, Act] = {
    "list": lambda hub, repo: list(hub.list_pending(repo)),
    "report": lambda hub, repo: hub.access_report(repo),
}
DECIDING: dict[str, Act] = {
    "accept": lambda hub, repo: hub.accept(repo, "ada"),
    "decide many": lambda hub, repo: list(hub.decide_many(repo, [Decision.accept("ada"), Decision.accept("bob")])),
    "grant": lambda hub, repo: hub.grant_access(repo, "ada"),
    "settings": lambda hub, repo: hub.set_gate(repo, "auto"),
}


@pytest.fixture(scope="module")
def local() -> Iterator[LocalHub]:
    with LocalHub(requests=0, repos=2, people=[{"username": "ada"}, {"username": "bob"}]) as hub:
        hub.add_requests([{**line, "user": name, "answers": {}} for line in places(hub) for name in ("ada", "bob")])
        yield hub


def places(hub: LocalHub) -> list[dict[str, str]]:
    return [{"repo": line["repo"], "repo_type": line["repo_type"]} for line in hub.repos]


def repo_of(hub: LocalHub, number: int) -> Repo:
    line = places(hub)[number]
    return Repo(RepoType(line["repo_type"]), *line["repo"].split("/"))


def refusal(hub: LocalHub, token: str, act: Act, repo: Repo) -> NotAllowed:
    before = hub.journal()
    with Hub(hub.tokens.get(token, token), hub.url) as client, pytest.raises(NotAllowed) as raised:
        act(client, repo)
    assert hub.journal() == before
    assert "docs/token.md" in raised.value.hint
    assert "hf-gate" not in raised.value.hint, "a hint in Python names no command"
    assert token not in raised.value.hint
    return raised.value


@pytest.mark.parametrize("act", LOOKING.values(), ids=LOOKING)
@pytest.mark.parametrize("token", ["fine_content", "owner_read", "stranger"])
def test_a_refused_read_names_the_permission_to_read(local: LocalHub, token: str, act: Act) -> None:
    told = refusal(local, token, act, repo_of(local, 0))
    assert (told.status, "repo.content.read and repo.access.read" in told.hint) == (403, True)


@pytest.mark.parametrize("act", DECIDING.values(), ids=DECIDING)
@pytest.mark.parametrize("token", ["fine_look", "fine_access", "owner_read", "stranger"])
def test_a_refused_decision_names_the_permission_to_decide(local: LocalHub, token: str, act: Act) -> None:
    told = refusal(local, token, act, repo_of(local, 0))
    assert (told.status, "Needed: repo.write (" in told.hint) == (403, True)


@pytest.mark.parametrize(
    ("act", "needed"),
    [(LOOKING["list"], "repo.access.read"), (DECIDING["accept"], "repo.write"), (lambda hub, _: hub.whoami(), "")],
)
def test_an_unknown_token_names_the_permissions_of_a_valid_one(local: LocalHub, act: Act, needed: str) -> None:
    told = refusal(local, "hf_local_nobodys", act, repo_of(local, 0))
    assert told.status == 401
    assert "HF_TOKEN" in told.hint
    assert needed in told.hint


def test_a_fine_grained_token_is_valid_for_its_repo_and_shows_it(local: LocalHub) -> None:
    first, second = repo_of(local, 0), repo_of(local, 1)
    for token, decides in (("fine_look", False), ("fine_decide", True)):
        with Hub(local.tokens[token], local.url) as hub:
            rights = hub.whoami().rights
            assert len(list(hub.list_pending(first))) == 2
        assert (rights.role, rights.can_decide(first)) == ("fineGrained", decides)
        assert rights.can_decide(second) is False
        assert rights.describe_excess_reach([first].__contains__) == ()
        assert "repo.access.read" in refusal(local, token, LOOKING["list"], second).hint
        assert "repo.write" in refusal(local, token, DECIDING["accept"], second).hint


def test_the_deciding_token_can_decide_at_its_repo() -> None:
    with LocalHub(requests=0, repos=1, people=[{"username": "ada"}]) as local:
        local.add_requests([{**places(local)[0], "user": "ada", "answers": {}}])
        with Hub(local.tokens["fine_decide"], local.url) as hub:
            assert str(hub.accept(repo_of(local, 0), "ada").kind) == "done"


@pytest.mark.parametrize(("token", "beyond"), [("owner", "all repos of its account"), ("fine_write", "every repo of ")])
def test_a_classic_token_shows_that_it_reaches_more_repos(local: LocalHub, token: str, beyond: str) -> None:
    with Hub(local.tokens[token], local.url) as hub:
        rights = hub.whoami().rights
    assert rights.can_decide(repo_of(local, 0)) is True
    assert beyond in rights.describe_excess_reach([repo_of(local, 0)].__contains__)[0]
