"""Saving a policy from the desk: who may, what is written, and that the version waits for the terminal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from hf_gate.automation.service.turn_permissions import promote
from hf_gate.core.people.members import Member, MemberRole
from tests.kits.desk import GOOD, POLICY, Answer, Desk, Visitor, open_desk, text_of

ALLOWED = "desk: {may_write_policies: true}\n"
CHANGED = POLICY.replace("when: email.academic", "when: email.free")
TESTS = "tests:\n  - {name: junk waits, facts: {answers.purpose.quality: junk}, want: {then: human}}\n"


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, config=ALLOWED) as desk:
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        yield desk


def _file(desk: Desk) -> Path:
    assert desk.app_state.workspace.location.folder is not None
    return desk.app_state.workspace.location.folder / "policies" / "house.yaml"


def _admin(desk: Desk, name: str = "mia", *repos: str) -> Visitor:
    return desk.visitor(Member(name=name, role=MemberRole.ADMIN, repos=repos or None))


def _base(visitor: Visitor) -> str:
    found = re.search(r'name="base" value="([0-9a-f]*)"', visitor.get("/policies/house").body)
    assert found
    return found[1]


def _save(visitor: Visitor, text: str, base: str | None = None, **more: str) -> Answer:
    values = {"base": _base(visitor) if base is None else base, "exact": json.dumps(text), "tab": "cards", "do": "save"}
    return visitor.post("/policies/house/save", {**values, **more})


def test_an_admin_saves_a_card_and_the_page_says_what_it_waits_for(asked: Desk) -> None:
    mia = _admin(asked)
    page = mia.get("/policies/house").body
    assert 'formaction="/policies/house/save">Save</button>' in page
    saved = _save(mia, POLICY, **{"c.1.then": "human"})
    assert (saved.status, saved.body) == (303, "")
    assert _file(asked).read_text("utf-8") == POLICY.replace("then: accept", "then: human")
    after = mia.get(saved.headers["location"]).body
    assert "<b>Saved</b>" in after
    assert "Saved from the desk by mia; acts after" in after
    assert "hf-gate policy promote house" in after
    assert "<b>Saved</b>" not in mia.get("/policies/house?saved=0000000000000000").body
    entries = asked.visitor().get("/audit.json").json
    assert [entry["actor"] for entry in entries if entry["kind"] == "PolicySaved"] == ["mia"]
    assert "Held" in asked.viewer().get("/policies").body
    bundle = asked.app_state.policies.current
    assert bundle is not None
    promote(asked.app_state.workspace.store, bundle.policies[0], "lena", 1)
    assert "Saved from the desk" not in mia.get("/policies/house").body


@pytest.mark.parametrize("who", ["viewer", "reviewer", "admin of one"])
def test_only_an_admin_of_all_repos_saves(asked: Desk, who: str) -> None:
    base = _base(_admin(asked))
    visitor = {
        "viewer": asked.viewer,
        "reviewer": asked.reviewer,
        "admin of one": lambda: _admin(asked, "arno", str(asked.repo)),
    }[who]()
    assert "/save" not in visitor.get("/policies/house").body
    assert _save(visitor, CHANGED, base).status == 403
    assert _file(asked).read_text("utf-8") == POLICY


def test_without_the_owners_word_nobody_saves(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        lena = desk.visitor()
        page = lena.get("/policies/house").body
        assert "/save" not in page
        above, _, _ = text_of(page).partition("Check and try")
        command = "mv ~/Downloads/house.yaml policies/house.yaml && hf-gate policy check"
        assert (
            f"This page writes no files. To save a draft, press Download , then run in the workspace: {command}"
            in above
        )
        assert command not in text_of(desk.viewer().get("/policies/house").body)
        refused = _save(lena, CHANGED, "0" * 64)
        assert (refused.status, "may_write_policies: true" in refused.body) == (422, True)
        assert _file(desk).read_text("utf-8") == POLICY


def test_of_two_admins_who_save_at_once_one_is_told_and_loses_nothing(asked: Desk) -> None:
    """Both saw the same file. Whoever is second keeps the draft on the page."""
    mia, noor = _admin(asked), _admin(asked, "noor")
    base = _base(mia)
    texts = {"mia": CHANGED, "noor": POLICY.replace("rest", "others")}
    with ThreadPoolExecutor(2) as both:
        first = both.submit(_save, mia, texts["mia"], base)
        second = both.submit(_save, noor, texts["noor"], base)
        answers = {"mia": first.result(120), "noor": second.result(120)}
    assert sorted(answer.status for answer in answers.values()) == [200, 303]
    (winner,) = [name for name, answer in answers.items() if answer.status == 303]
    (loser,) = set(answers) - {winner}
    assert _file(asked).read_text("utf-8") == texts[winner]
    assert "changed since you opened it, so nothing was saved" in answers[loser].body
    again = re.search(r'name="base" value="([^"]*)"', answers[loser].body)
    assert again is not None
    assert again[1] == base  # trying once more is refused too
    marked = json.dumps(texts[loser])[1:40].replace('"', "&#34;")
    assert marked in answers[loser].body


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (POLICY.replace("email.academic", "emial.academic"), "Fix the errors first"),
        ("", "Fix the errors first"),
        ("rules: [", "Fix the errors first"),
        (POLICY.replace("policy: house", "policy: home"), "cannot be renamed"),
        (POLICY.replace("mode: enforce\n", "mode: enforce\ntables: {t: {file: /etc/hosts.csv, key: email}}\n"), "which no file"),
        (POLICY + TESTS, "Tick Yes beside Save first"),
        (POLICY.replace("when: email.academic\n    ", ""), "Tick Yes beside Save first"),
        (POLICY + "# more\n" * 4_000, ""),
    ],
)  # fmt: skip
def test_what_may_not_be_saved_is_said_and_the_file_stays(asked: Desk, text: str, said: str) -> None:
    answer = _save(_admin(asked), text)
    if said:
        assert (answer.status, said in answer.body) == (200, True)
        assert _file(asked).read_text("utf-8") == POLICY
    else:
        assert answer.status == 303
        assert _file(asked).read_text("utf-8") == text


def test_a_failing_test_is_saved_after_a_tick_for_exactly_this_failure(asked: Desk) -> None:
    mia = _admin(asked)
    first = _save(mia, POLICY + TESTS).body
    found = re.search(r'type="checkbox" name="yes" value="(\w+)"', first)
    assert found
    other = POLICY + TESTS.replace("junk waits", "something else")
    assert _save(mia, other, yes=found[1]).status == 200
    assert _save(mia, POLICY + TESTS, yes=found[1]).status == 303
    assert _file(asked).read_text("utf-8") == POLICY + TESTS


def test_a_link_is_not_written_through(asked: Desk, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(POLICY, "utf-8")
    _file(asked).unlink()
    _file(asked).symlink_to(elsewhere)
    answer = _save(_admin(asked), CHANGED)
    assert "is a link, a folder or a device" in answer.body
    assert elsewhere.read_text("utf-8") == POLICY
    assert _file(asked).is_symlink()


def test_a_file_that_is_not_utf_8_is_not_saved(asked: Desk) -> None:
    _file(asked).write_bytes(POLICY.encode() + b"# \xff\n")
    mia = _admin(asked)
    assert _base(mia) == ""
    assert "nothing was saved" in _save(mia, CHANGED).body
    assert _file(asked).read_bytes() == POLICY.encode() + b"# \xff\n"


def test_only_policies_of_the_workspace_have_a_way_to_be_saved(asked: Desk) -> None:
    mia, base = _admin(asked), "0" * 64
    for name in ("nothing", "..%2fhf-gate", "hf-gate.yaml", "house.yaml"):
        assert mia.post(f"/policies/{name}/save", {"base": base, "exact": json.dumps(CHANGED)}).status == 404
    assert mia.post("/policies/save", {"base": base, "src": CHANGED}).status == 404
    assert sorted(each.name for each in _file(asked).parent.iterdir()) == ["house.yaml"]


def test_a_save_of_another_site_is_refused(asked: Desk) -> None:
    mia = _admin(asked)
    body = urlencode({"base": _base(mia), "exact": json.dumps(CHANGED), "do": "save"}).encode()
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "origin": "https://evil.example",
        "sec-fetch-site": "cross-site",
    }
    assert mia.ask("POST", "/policies/house/save", body, headers).status in {403, 404}
    assert _file(asked).read_text("utf-8") == POLICY


def test_a_folder_that_cannot_be_written_is_said(asked: Desk) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    _file(asked).parent.chmod(0o500)
    try:
        assert "cannot be written" in _save(_admin(asked), CHANGED).body
    finally:
        _file(asked).parent.chmod(0o700)
