"""Forgetting a person from the desk: who may, the typed name, what is gone, and the export before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate import Hub
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.ledger.service.ledger_verification import verify_ledger
from tests.kits.desk import GOOD, Desk, open_desk
from tests.kits.word_search import find_words_in_files

NAME, MAIL, FULL = "quokka-zzyx", "vjqxh@kxqjz.example", "Quokka <b>Yxwvut"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, policy=None) as made:
        made.ask([{"username": NAME, "email": MAIL, "fullname": FULL}, {"username": "bob"}], {"Purpose": GOOD})
        yield made


def _href(desk: Desk) -> str:
    return f"/people/{desk.row(NAME).person.pseudonym}"


def test_an_admin_erases_a_person_by_typing_the_name(desk: Desk, tmp_path: Path) -> None:
    lena, path = desk.visitor(), _href(desk)
    assert f"{path}/erase" in lena.get(path).body
    page = lena.get(f"{path}/erase").body
    assert "Type <b>" in page
    assert NAME in page
    assert "<b>Yxwvut" not in page
    words = [NAME, MAIL, FULL, desk.row(NAME).person.identity.user_id or ""]
    assert find_words_in_files(tmp_path, words)
    assert lena.post(f"{path}/erase", {"name": "bob"}).status == 422
    assert lena.post(f"{path}/erase", {}).status == 422
    assert desk.row(NAME).request is not None, "nothing was erased"
    done = lena.post(f"{path}/erase", {"name": NAME})
    assert (done.status, "Erased:" in done.body) == (200, True), done.body
    assert NAME not in done.body
    assert find_words_in_files(tmp_path, words) == []
    assert verify_ledger(desk.app_state.workspace.store, with_tables=True).ok
    desk.read()
    assert find_words_in_files(tmp_path, words) == []
    assert lena.get(path).status == 200, "the page of the pseudonym stays"
    assert lena.get("/queue").status == lena.get("/people").status == 200


def test_only_admins_of_every_repo_may(desk: Desk) -> None:
    path = _href(desk)
    mia, vic = desk.reviewer("mia"), desk.viewer("vic")
    limited = desk.visitor(Member(name="ann", role=MemberRole.ADMIN, repos=(str(desk.repo),)))
    for visitor, status in ((mia, 404), (vic, 404), (limited, 403)):
        assert visitor.get(f"{path}/erase").status == status
        assert visitor.get(f"{path}/export?as=json").status == status
        assert visitor.post(f"{path}/erase", {"name": NAME}).status == 403
        assert "Erase this person" not in visitor.get(path).body
    assert desk.row(NAME).request is not None


def test_access_that_still_runs_is_ended_first(desk: Desk) -> None:
    lena, path = desk.visitor(), _href(desk)
    with Hub(desk.local.tokens["admin"], desk.local.url) as hub:
        hub.accept(desk.repo, NAME)
    desk.read()
    page = lena.get(f"{path}/erase").body
    assert f"hf-gate revoke &#39;{NAME}@*&#39;" in page
    assert '<button class="btn btn-reject">' not in page
    refused = lena.post(f"{path}/erase", {"name": NAME})
    assert refused.status >= 400
    assert desk.row(NAME).request is not None


def test_all_that_is_held_can_be_downloaded(desk: Desk) -> None:
    lena, path = desk.visitor(), _href(desk)
    data = lena.get(f"{path}/export?as=json")
    assert MAIL in data.body
    page = lena.get(f"{path}/export")
    assert MAIL in page.body
    assert "&lt;b&gt;Yxwvut" in page.body
    assert not re.search("<script|<b>", page.body)
    assert page.headers["content-disposition"].startswith("attachment")
    assert lena.get(f"{path}/export?as=csv").status == 404
