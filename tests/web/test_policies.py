"""A policy's page says what is wrong where it is wrong; a draft is tried on real requests, and nothing of it reaches a file or the Hub."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.application.planning import evaluate_part, propose_plan
from tests.web.kit import GOOD, POLICY, Room, a_room, parsed

WATCHER = """\
version: 1
policy: next
applies_to: ["*/*"]
mode: shadow
rules:
  - id: everybody-waits
    then: wait
    at_most: 30d
    after: human
"""


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        (tmp_path / "policies" / "next.yaml").write_text(WATCHER, "utf-8")
        room.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        room.ask([{"username": "bob", "email": "bob@gmail.com"}], {"Purpose": GOOD})
        yield room


def _folder(room: Room) -> Path:
    assert room.app_state.workspace.location.folder is not None
    return room.app_state.workspace.location.folder


def _text(body: str) -> str:
    """What stands in the editor."""
    found = re.search(r'<textarea id="src"[^>]*>\n(.*?)</textarea>', body, re.DOTALL)
    assert found
    return html.unescape(found[1])


def _section(body: str, ident: str) -> str:
    """The words of a section, by the id of its heading."""
    start = body.index(f'id="{ident}"')
    part = body[start - 4 : body.index("</section>", start)]
    return " ".join(" ".join(parsed(part).text).split())


def test_the_editor_holds_the_file_as_it_lies_there(asked: Room) -> None:
    assert _text(asked.visitor().get("/policies/house").body) == POLICY
    (_folder(asked) / "policies" / "house.yaml").write_text("\n" + POLICY + "# <b>&amp;\n", "utf-8")
    assert _text(asked.visitor().get("/policies/house").body) == "\n" + POLICY + "# <b>&amp;\n"


def test_every_policy_is_listed_also_one_that_cannot_be_read(asked: Room) -> None:
    (_folder(asked) / "policies" / "broken.yaml").write_text("policy: [", "utf-8")
    lena = asked.visitor()
    rows = {row["policy"]: row for row in lena.get("/policies.json").json}
    assert set(rows) == {"house", "next", "broken"}
    assert rows["broken"]["errors"]
    assert lena.get("/policies/broken").status == 200
    assert "While a file has errors, no policy is evaluated" in lena.get("/policies").body


def test_a_mistake_stands_at_its_line_and_one_press_mends_it(asked: Room) -> None:
    lena, wrong = asked.visitor(), POLICY.replace("email.academic", "emial.academic")
    body = lena.post("/policies/house", {"src": wrong.replace("\n", "\r\n")}).body
    line = wrong.split("\n").index("    when: emial.academic") + 1
    assert f"✗ {line}</b>" in body
    assert "<mark><bdi>emial.academic</bdi></mark>" in body
    assert "Nothing was tried" in body
    fix = re.search(r'name="fix" value="([^"]+)"', body)
    assert fix
    mended = lena.post("/policies/house", {"src": wrong, "fix": fix[1]}).body
    assert _text(mended) == POLICY
    assert 'aria-invalid="true"' in body
    assert 'aria-invalid="true"' not in mended


def test_a_button_that_is_older_than_the_text_mends_nothing(asked: Room) -> None:
    lena, wrong = asked.visitor(), POLICY.replace("email.academic", "emial.academic")
    fix = re.search(r'name="fix" value="([^"]+)"', lena.post("/policies/house", {"src": wrong}).body)
    assert fix
    moved = "# a line more\n" + wrong
    body = lena.post("/policies/house", {"src": moved, "fix": fix[1]}).body
    assert _text(body) == moved
    assert "nothing was fixed" in body


def test_a_draft_is_tried_on_who_waits_and_says_where_it_differs(asked: Room) -> None:
    draft = POLICY.replace("    when: email.academic\n", "    when: email.free\n")
    body = asked.visitor().post("/policies/house", {"src": draft}).body
    told = _section(body, "h-r")
    assert "On the 2 requests that have waited longest" in told
    assert "academic accept 1" in told
    assert "The desk decides differently on 2 of them" in told
    assert "your draft, not the file" in body


def test_the_file_itself_differs_from_the_desk_about_nobody(asked: Room) -> None:
    body = asked.visitor().post("/policies/house", {"src": POLICY}).body
    assert "The desk decides the same on all of them" in body
    assert "your draft" not in body


@pytest.mark.parametrize("who", ["ada", "ada@{repo}", "{id}"])
def test_one_request_is_explained_rule_by_rule(asked: Room, who: str) -> None:
    key = who.format(repo=asked.repo, id=asked.row("ada").state.hub_request)
    draft = POLICY.replace("email.academic", 'email.domain == "ethz.ch"')
    body = asked.visitor().post("/policies/house", {"src": draft, "who": key}).body
    told = "".join(parsed(body[body.index('class="why told"') : body.index("h-r")]).text)
    assert "ada" in told
    assert "accept: rule academic of policy house" in told
    assert 'email.domain = "ethz.ch"' in told


def test_somebody_who_is_not_there_is_said_to_be_so_and_the_rest_stands(asked: Room) -> None:
    body = asked.visitor().post("/policies/house", {"src": POLICY, "who": "<b>nobody</b>"}).body
    assert "There is no request of &lt;b&gt;nobody&lt;/b&gt;." in body
    assert "In words" in body


def test_nothing_of_a_draft_is_written_or_sent(asked: Room) -> None:
    before = {file: file.read_bytes() for file in _folder(asked).rglob("*.yaml")}
    entries, calls = asked.app_state.workspace.store.chains(), asked.local.stats()["calls"]
    lena = asked.visitor()
    draft = POLICY.replace("mode: enforce", "mode: shadow")
    for values in ({"src": draft}, {"src": draft, "who": "ada"}, {"src": draft, "do": "download"}):
        assert lena.post("/policies/house", values).status == 200
    assert lena.post("/policies", {"src": draft}).status == 200
    assert {file: file.read_bytes() for file in _folder(asked).rglob("*.yaml")} == before
    assert asked.app_state.workspace.store.chains() == entries
    assert asked.local.stats()["calls"] == calls


def test_the_draft_comes_down_as_it_was_typed(asked: Room) -> None:
    answer = asked.visitor().post("/policies/house", {"src": "a: 1\r\nb: <ü>\r\n", "do": "download"})
    assert answer.body == "a: 1\nb: <ü>\n"
    assert answer.headers["content-disposition"] == 'attachment; filename="house.yaml"'


@pytest.mark.parametrize("file", ["/etc/hosts.csv", "../../secret.csv", "tables/unnamed.csv"])
def test_a_draft_reads_no_file_that_the_desk_does_not_name(asked: Room, file: str) -> None:
    (_folder(asked) / "tables").mkdir()
    (_folder(asked) / "tables" / "unnamed.csv").write_text("email\nada@ethz.ch\n", "utf-8")
    draft = POLICY.replace("mode: enforce\n", f"mode: enforce\ntables: {{t: {{file: {file}, key: email}}}}\n")
    draft = draft.replace("email.academic", "tables.t")
    body = asked.visitor().post("/policies/house", {"src": draft, "who": "ada"}).body
    assert "so the draft was not tried" in body
    assert "On the " not in body


def test_a_draft_with_rows_in_place_is_tried(asked: Room) -> None:
    draft = POLICY.replace("mode: enforce\n", 'mode: enforce\ntables: {t: ["ada@ethz.ch"]}\n')
    body = asked.visitor().post("/policies", {"src": draft.replace("email.academic", "tables.t"), "who": "ada"}).body
    assert "accept</span>: " in body
    assert "A draft" in body


def test_its_own_tests_say_what_came_out(asked: Room) -> None:
    tests = "tests:\n  - {name: good, facts: {email.academic: true}, want: {then: reset}}\n"
    body = asked.visitor().post("/policies/house", {"src": POLICY + tests}).body
    assert "failed: " in body
    assert "expected reset" in body


def test_what_a_watching_policy_would_do_stands_beside_what_the_desk_says(asked: Room) -> None:
    app_state = asked.app_state
    bundle = app_state.policies.current
    assert bundle is not None
    sources = app_state.workspace.sources
    policy_sets = bundle.for_repos(app_state.workspace.store, sources)
    propose_plan(app_state.workspace.store, policy_sets, lambda c, s, now, _: evaluate_part(app_state.workspace.store, c, sources, s, now), now=app_state.now(), policies=bundle.policies)  # fmt: skip
    told = _section(asked.visitor().get("/policies/next").body, "h-c")
    assert "What it would do" in told
    assert "everybody-waits wait 2" in told
    assert "It differs from the desk for 2 of 2" in told
    now = _section(asked.visitor().get("/policies/house").body, "h-c")
    assert "academic accept 1" in now
    assert "rest human 1" in now


def test_who_sees_none_of_its_repos_does_not_know_of_a_policy(asked: Room) -> None:
    (_folder(asked) / "policies" / "far.yaml").write_text(
        WATCHER.replace("next", "far").replace('["*/*"]', '["far/away"]'), "utf-8"
    )
    mia = asked.reviewer("mia", str(asked.repo))
    assert {row["policy"] for row in mia.get("/policies.json").json} == {"house", "next"}
    assert mia.get("/policies/far").status == 404
    assert mia.post("/policies/far", {"src": POLICY}).status == 404
    foreign = POLICY.replace('["*/*", "datasets/*/*"]', '["far/away"]')
    assert mia.post("/policies", {"src": foreign, "who": "ada"}).status == 422


def test_a_viewer_reads_the_sentences_and_not_the_text(asked: Room) -> None:
    secret = POLICY.replace("mode: enforce\n", 'mode: enforce\ntables: {t: ["ada@ethz.ch"]}\n')
    (_folder(asked) / "policies" / "house.yaml").write_text(secret, "utf-8")
    vic = asked.viewer()
    body = vic.get("/policies/house?who=ada").body
    assert "is accepted" in body
    assert "ada@ethz.ch" not in body
    assert "<textarea" not in body
    assert vic.post("/policies/house", {"src": POLICY}).status == 403
    assert "<textarea" not in vic.get("/policies?draft=new").body


def test_a_broken_desk_file_is_told_and_ends_nothing(asked: Room) -> None:
    (_folder(asked) / "hf-gate.yaml").write_text("repos: [", "utf-8")
    answer = asked.visitor().get("/policies")
    assert answer.status == 200
    assert "hf-gate.yaml" in answer.body
    assert asked.visitor().get("/policies/house").status == 422
