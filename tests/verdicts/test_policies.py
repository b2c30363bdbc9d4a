"""A policy's page says what is wrong where it is wrong; a draft is tried on real requests, and nothing of it reaches a file or the Hub."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_gate.decisions.service.plans.planning import propose_plan
from hf_gate.verdicts.service.evaluated_parts import evaluate_part
from hf_gate.verdicts.service.evaluation import open_fact_sources
from tests.kits.desk import GOOD, POLICY, Desk, open_desk, parse_page

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
def asked(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as desk:
        (tmp_path / "policies" / "next.yaml").write_text(WATCHER, "utf-8")
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        desk.ask([{"username": "bob", "email": "bob@gmail.com"}], {"Purpose": GOOD})
        yield desk


def _folder(desk: Desk) -> Path:
    assert desk.app_state.workspace.location.folder is not None
    return desk.app_state.workspace.location.folder


def _text(body: str) -> str:
    """What stands in the editor."""
    found = re.search(r'<textarea id="src"[^>]*>\n(.*?)</textarea>', body, re.DOTALL)
    assert found
    return html.unescape(found[1])


def _section(body: str, ident: str) -> str:
    """The words of a section, by the id of its heading."""
    start = body.index(f'id="{ident}"')
    part = body[start - 4 : body.index("</section>", start)]
    return " ".join(" ".join(parse_page(part).text).split())


def _store_verdicts(asked: Desk) -> None:
    app_state = asked.app_state
    bundle = app_state.policies.current
    assert bundle is not None
    sources = open_fact_sources(app_state.workspace)
    policy_sets = bundle.for_repos(app_state.workspace.store, sources)
    propose_plan(
        app_state.workspace.store,
        policy_sets,
        lambda policy_set, status, now, _: evaluate_part(app_state.workspace.store, policy_set, sources, status, now),
        now=app_state.now(),
        policies=bundle.policies,
        sources=sources,
        is_full=True,
    )


def _cards(body: str) -> dict[str, str]:
    """The words of each card, by its rule."""
    part = body[body.index('class="cards"') : body.index("</ol>", body.index('class="cards"'))]
    found = {}
    for card in part.split('<div class="card-says">')[1:]:
        before, name, after = re.split(r'<p class="hint">Rule <code>([^<]*)</code></p>', card)
        found[name] = " ".join(" ".join(parse_page(before + after).text).split())
    return found


def test_the_editor_holds_the_file_as_it_lies_there(asked: Desk) -> None:
    assert _text(asked.visitor().get("/policies/house?tab=text").body) == POLICY
    (_folder(asked) / "policies" / "house.yaml").write_text("\n" + POLICY + "# <b>&amp;\n", "utf-8")
    assert _text(asked.visitor().get("/policies/house?tab=text").body) == "\n" + POLICY + "# <b>&amp;\n"


def test_every_policy_is_listed_also_one_that_cannot_be_read(asked: Desk) -> None:
    (_folder(asked) / "policies" / "broken.yaml").write_text("policy: [", "utf-8")
    lena = asked.visitor()
    rows = {row["policy"]: row for row in lena.get("/policies.json").json}
    assert set(rows) == {"house", "next", "broken"}
    assert rows["broken"]["errors"]
    assert lena.get("/policies/broken").status == 200
    assert "While a file has errors, no policy is evaluated" in lena.get("/policies").body


def test_a_mistake_stands_at_its_line_and_one_press_mends_it(asked: Desk) -> None:
    lena, wrong = asked.visitor(), POLICY.replace("email.academic", "emial.academic")
    body = lena.post("/policies/house", {"src": wrong.replace("\n", "\r\n")}).body
    line = wrong.split("\n").index("    when: emial.academic") + 1
    assert f'data-line="{line}"' in body
    assert "<mark><bdi>emial.academic</bdi></mark>" in body
    assert "Nothing was tried" in body
    fix = re.search(r'name="fix" value="([^"]+)"', body)
    assert fix
    mended = lena.post("/policies/house", {"src": wrong, "fix": fix[1]}).body
    assert _text(mended) == POLICY
    assert 'aria-invalid="true"' in body
    assert 'aria-invalid="true"' not in mended


def test_a_button_that_is_older_than_the_text_mends_nothing(asked: Desk) -> None:
    lena, wrong = asked.visitor(), POLICY.replace("email.academic", "emial.academic")
    fix = re.search(r'name="fix" value="([^"]+)"', lena.post("/policies/house", {"src": wrong}).body)
    assert fix
    moved = "# a line more\n" + wrong
    body = lena.post("/policies/house", {"src": moved, "fix": fix[1]}).body
    assert _text(body) == moved
    assert "nothing was fixed" in body


def test_a_draft_is_tried_on_who_waits_and_says_where_it_differs(asked: Desk) -> None:
    draft = POLICY.replace("    when: email.academic\n", "    when: email.free\n")
    body = asked.visitor().post("/policies/house", {"src": draft}).body
    told = _section(body, "h-r")
    assert "On all 2 waiting requests" in told
    assert "academic Accept 1" in told
    assert "The desk decides differently on 2 of them" in told
    assert "your draft, not the file" in body


def test_the_file_itself_differs_from_the_desk_about_nobody(asked: Desk) -> None:
    body = asked.visitor().post("/policies/house", {"src": POLICY}).body
    assert "The desk decides the same on all of them" in body
    assert "your draft" not in body


@pytest.mark.parametrize("who", ["ada", "ada@{repo}", "{id}"])
def test_one_request_is_explained_rule_by_rule(asked: Desk, who: str) -> None:
    key = who.format(repo=asked.repo, id=asked.row("ada").state.hub_request)
    draft = POLICY.replace("email.academic", 'email.domain == "ethz.ch"')
    body = asked.visitor().post("/policies/house", {"src": draft, "who": key}).body
    told = "".join(parse_page(body[body.index('class="why told"') : body.index("h-r")]).text)
    assert "ada" in told
    assert "Would accept: e-mail domain is" in told
    assert "Accept: rule academic of policy house" in told
    assert 'email.domain = "ethz.ch"' in told


def test_somebody_who_is_not_there_is_said_to_be_so_and_the_rest_stands(asked: Desk) -> None:
    body = asked.visitor().post("/policies/house", {"src": POLICY, "who": "<b>nobody</b>"}).body
    assert "There is no request of &lt;b&gt;nobody&lt;/b&gt;." in body
    assert "In words" in body


def test_nothing_of_a_draft_is_written_or_sent(asked: Desk) -> None:
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


def test_the_draft_comes_down_as_it_was_typed(asked: Desk) -> None:
    answer = asked.visitor().post("/policies/house", {"src": "a: 1\r\nb: <ü>\r\n", "do": "download"})
    assert answer.body == "a: 1\nb: <ü>\n"
    assert answer.headers["content-disposition"] == 'attachment; filename="house.yaml"'


@pytest.mark.parametrize("file", ["/etc/hosts.csv", "../../secret.csv", "tables/unnamed.csv"])
def test_a_draft_reads_no_file_that_the_desk_does_not_name(asked: Desk, file: str) -> None:
    (_folder(asked) / "tables").mkdir()
    (_folder(asked) / "tables" / "unnamed.csv").write_text("email\nada@ethz.ch\n", "utf-8")
    draft = POLICY.replace("mode: enforce\n", f"mode: enforce\ntables: {{t: {{file: {file}, key: email}}}}\n")
    draft = draft.replace("email.academic", "tables.t")
    body = asked.visitor().post("/policies/house", {"src": draft, "who": "ada"}).body
    assert "so the draft was not tried" in body
    assert "On the " not in body


def test_a_draft_with_rows_in_place_is_tried(asked: Desk) -> None:
    draft = POLICY.replace("mode: enforce\n", 'mode: enforce\ntables: {t: ["ada@ethz.ch"]}\n')
    body = asked.visitor().post("/policies", {"src": draft.replace("email.academic", "tables.t"), "who": "ada"}).body
    assert "accept</span>: " in body
    assert "A draft" in body


def test_its_own_tests_say_what_came_out(asked: Desk) -> None:
    tests = "tests:\n  - {name: good, facts: {email.academic: true}, want: {then: reset}}\n"
    body = asked.visitor().post("/policies/house", {"src": POLICY + tests}).body
    assert "failed: " in body
    assert "expected reset" in body


def test_what_a_watching_policy_would_do_stands_beside_what_the_desk_says(asked: Desk) -> None:
    _store_verdicts(asked)
    told = _section(asked.visitor().get("/policies/next").body, "h-c")
    assert "What it would do" in told
    assert "everybody-waits On hold 2" in told
    assert "It differs from the desk for 2 of 2" in told
    now = _cards(asked.visitor().get("/policies/house").body)
    assert "decides now 1 : ada" in now["academic"]
    assert "decides now 1 : bob" in now["rest"]


def test_who_sees_none_of_its_repos_does_not_know_of_a_policy(asked: Desk) -> None:
    (_folder(asked) / "policies" / "far.yaml").write_text(
        WATCHER.replace("next", "far").replace('["*/*"]', '["far/away"]'), "utf-8"
    )
    mia = asked.reviewer("mia", str(asked.repo))
    assert {row["policy"] for row in mia.get("/policies.json").json} == {"house", "next"}
    assert mia.get("/policies/far").status == 404
    assert mia.post("/policies/far", {"src": POLICY}).status == 404
    foreign = POLICY.replace('["*/*", "datasets/*/*"]', '["far/away"]')
    assert mia.post("/policies", {"src": foreign, "who": "ada"}).status == 422


def test_a_viewer_reads_the_sentences_and_not_the_text(asked: Desk) -> None:
    secret = POLICY.replace("mode: enforce\n", 'mode: enforce\ntables: {t: ["ada@ethz.ch"]}\n')
    (_folder(asked) / "policies" / "house.yaml").write_text(secret, "utf-8")
    vic = asked.viewer()
    body = vic.get("/policies/house?who=ada").body
    assert "Accept when " in body
    assert "ada@ethz.ch" not in body
    assert "<textarea" not in body
    assert vic.post("/policies/house", {"src": POLICY}).status == 403
    assert "<textarea" not in vic.get("/policies?draft=new").body


def test_a_condition_that_names_people_or_repos_is_not_shown_to_a_viewer(asked: Desk) -> None:
    rules = 'when: user == "alice-smith" || email == "bob@uni.example"\n    says: Alice asked for it.'
    secret = POLICY.replace("when: email.academic", rules)
    (_folder(asked) / "policies" / "house.yaml").write_text(secret, "utf-8")
    body = asked.viewer().get("/policies/house").body
    assert "a condition that is not shown" in body
    assert not [word for word in ("alice-smith", "bob@uni.example", "Alice asked") if word in body]
    assert "alice-smith" in asked.visitor().get("/policies/house").body


def test_a_broken_desk_file_is_told_and_ends_nothing(asked: Desk) -> None:
    (_folder(asked) / "hf-gate.yaml").write_text("repos: [", "utf-8")
    answer = asked.visitor().get("/policies")
    assert answer.status == 200
    assert "hf-gate.yaml" in answer.body
    assert asked.visitor().get("/policies/house").status == 422


# ---- cards -----------------------------------------------------------------------------------------------------------------


def _words(body: str) -> str:
    return " ".join(" ".join(parse_page(body).text).split()).replace(" ,", ",")


def _exact(body: str) -> str:
    """The text that the form sends back."""
    found = re.search(r'name="exact" value="([^"]*)"', body)
    assert found
    if not found[1]:
        return _text(body)
    text: str = json.loads(html.unescape(found[1]))
    return text


def _fields(body: str) -> dict[str, str]:
    """What a browser sends of the cards when nothing was entered, but for boxes."""
    found: dict[str, str] = {"tab": "cards", "exact": json.dumps(_exact(body))}
    for tag in parse_page(body[body.index('class="cards"') :]).tags:
        if (
            tag[0] == "input"
            and tag[1].get("type") in {"text", "number"}
            and (tag[1].get("name") or "").startswith("c.")
        ):
            found[tag[1]["name"] or ""] = tag[1].get("value") or ""
    return found


def test_a_changed_menu_replaces_its_words_and_is_tried(asked: Desk) -> None:
    lena = asked.visitor()
    body = lena.get("/policies/house").body
    changed = lena.post("/policies/house", {**_fields(body), "c.1.when.0": "false", "do": "try"}).body
    assert _exact(changed) == POLICY.replace("when: email.academic", 'when: "!email.academic"')
    assert "1 of 2 would now be accepted, 1 no longer." in _words(changed)
    assert "decides 1 : bob" in _cards(changed)["academic"]
    assert changed.index("would now be accepted") < changed.index("Check and try")


def test_text_with_other_line_ends_and_hidden_characters_comes_back_as_it_was(asked: Desk) -> None:
    odd = "# \u202e\u200b\n" + POLICY.replace("\n", "\r\n")
    file = _folder(asked) / "policies" / "house.yaml"
    file.write_bytes(odd.encode())
    lena = asked.visitor()
    body = lena.get("/policies/house").body
    assert _exact(body) == odd
    moved = _exact(lena.post("/policies/house", {**_fields(body), "card": "up:1"}).body)
    assert sorted(moved) == sorted(odd)
    assert moved.index("id: academic") < moved.index("id: say-more")
    text = lena.get("/policies/house?tab=text").body
    same = {"tab": "text", "exact": json.dumps(_exact(text)), "src": _text(text).replace("\n", "\r\n")}
    assert _exact(lena.post("/policies/house", same).body) == odd
    assert lena.post("/policies/house", {**same, "do": "download"}).body == odd
    edited = _exact(lena.post("/policies/house", {**same, "src": same["src"] + "# more\r\n"}).body)
    assert edited.endswith("then: human\r\n# more\r\n")
    assert "\n" not in edited.replace("\r\n", "")


def test_a_long_text_has_no_cards_and_is_sent_once(asked: Desk) -> None:
    """A form holds 2 MiB, and a character of the exact text takes up to six of them."""
    text = POLICY + "# more\n" * 60_000
    (_folder(asked) / "policies" / "house.yaml").write_text(text, "utf-8")
    lena = asked.visitor()
    body = lena.get("/policies/house").body
    assert _text(body) == text
    assert 'name="exact" value=""' in body
    answer = lena.post(
        "/policies/house", {"tab": "cards", "exact": "", "src": text.replace("\n", "\r\n"), "do": "download"}
    )
    assert answer.body == text
    sent = {"tab": "cards", "exact": json.dumps(text), "card": "up:1"}
    assert "This policy is too long for cards. Edit it as text." in lena.post("/policies/house", sent).body


def test_cards_are_moved_removed_and_added_before_the_rule_for_all_others(asked: Desk) -> None:
    lena = asked.visitor()
    sent = _fields(lena.get("/policies/house").body)
    assert list(_cards(lena.post("/policies/house", {**sent, "card": "up:1"}).body)) == ["academic", "say-more", "rest"]
    assert list(_cards(lena.post("/policies/house", {**sent, "card": "remove:0"}).body)) == ["academic", "rest"]
    new = {"card": "add", "new-then": "wait", "new-when": "person.account_days < 7"}
    body = lena.post("/policies/house", {**sent, **new}).body
    assert list(_cards(body)) == ["say-more", "academic", "wait-1", "rest"]
    assert "1 warning" in body
    assert '<li id="card-2" class="is-marked" aria-current="true">' in body


@pytest.mark.parametrize(
    "values",
    [
        {"card": "remove:7"}, {"card": "up:0"}, {"card": "down:2"}, {"card": "up:-1"}, {"card": "up:\u0661"},
        {"c.1.when.0": "maybe"}, {"c.1.then": "delete"}, {"c.0.reason": "x\u0000"}, {"c.0.reason": "x" * 5000},
        {"card": "add", "new-then": "accept", "new-when": "true || tables.t"}, {"c.0.when.0.value": ""},
    ],
    ids=str,
)  # fmt: skip
def test_what_cards_cannot_do_is_said_and_leaves_the_text(asked: Desk, values: dict[str, str]) -> None:
    lena = asked.visitor()
    answer = lena.post("/policies/house", {**_fields(lena.get("/policies/house").body), **values})
    assert answer.status == 200
    assert _exact(answer.body) == POLICY
    assert "<b>Note</b>" in answer.body


def test_unknown_fields_and_text_that_is_no_text_change_nothing(asked: Desk) -> None:
    lena = asked.visitor()
    sent = _fields(lena.get("/policies/house").body)
    for values in ({"c.9.then": "accept"}, {"c.0.id": "x"}, {"c.0": "x"}, {"card": "explode:1"}):
        assert _exact(lena.post("/policies/house", {**sent, **values}).body) == POLICY
    for exact in ("[1]", '"\\ud800', '"', "null", "[" * 100_000):
        assert lena.post("/policies/house", {**sent, "exact": exact}).status == 200
    assert "\ufffd" in _exact(lena.post("/policies/house", {**sent, "exact": '"# \\ud800"'}).body).replace(
        "?", "\ufffd"
    )


def test_a_rule_that_has_no_menus_is_edited_as_text(asked: Desk) -> None:
    flow = POLICY.replace("  - id: rest\n    then: human\n", "  - {id: rest, then: human}\n")
    lena = asked.visitor()
    (_folder(asked) / "policies" / "house.yaml").write_text(flow, "utf-8")
    card = _cards(lena.get("/policies/house").body)["rest"]
    assert "This rule has no menus. Edit as text" in card
    (_folder(asked) / "policies" / "house.yaml").write_text("policy: house\nrules: [", "utf-8")
    assert '<textarea id="src"' in lena.get("/policies/house").body


def test_cards_of_a_viewer_name_nobody_and_change_nothing(asked: Desk) -> None:
    _store_verdicts(asked)
    vic = asked.viewer()
    assert "why told" not in vic.get(f"/policies/house?request={asked.row('ada').state.hub_request}").body
    body = vic.get("/policies/house").body
    assert "decides now 1" in _cards(body)["academic"]
    assert "<select" not in body
    assert not [name for name in ("ada", "bob") if re.search(rf"\b{name}\b", body)]
    assert re.search(r'<a href="/requests/[^"]+"><bdi>p_', body)


def test_a_link_to_a_rule_and_a_request_marks_the_card_and_explains_the_request(asked: Desk) -> None:
    key = asked.row("bob").state.hub_request
    body = asked.visitor().get(f"/policies/house?rule=academic&request={key}").body
    assert '<li id="card-1" class="is-marked" aria-current="true">' in body
    told = "".join(parse_page(body[body.index('class="why told"') :]).text)
    assert "bob" in told
    odd = asked.visitor().get("/policies/house?rule=<b>gone</b>&request=<i>nobody</i>").body
    assert "There is no rule &lt;b&gt;gone&lt;/b&gt; in this policy." in odd.replace("<bdi>", "").replace("</bdi>", "")
    assert "There is no request of &lt;i&gt;nobody&lt;/i&gt;." in odd
    assert "is-marked" not in odd
