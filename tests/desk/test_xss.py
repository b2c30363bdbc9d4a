"""Hostile text in every field, on every page, in every class: it stays text, runs nothing, loads nothing, and reaches no spreadsheet as a formula."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

from hf_gate.config import PACKAGE
from hf_gate.desk.routes import ROUTES
from tests.kits.desk import Answer, Desk, Visitor, serve_desk
from tests.kits.hostile_desk import TURNS, Field, HostileDesk, open_hostile_desk, plain
from tests.kits.hostile_texts import CLASSES, PAYLOADS, number_of, payload

SOURCE: Final = "\n".join(path.read_text("utf-8") for path in sorted(PACKAGE.glob("desk/templates/**/*.html")))
TAGS: Final = frozenset(re.findall(r"<(\w+)", SOURCE))
READ: Final = frozenset({"value", "title", "aria-label", "placeholder", "data-text", "alt"})
"""Attributes whose value is nothing but text."""
ACTING: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that hide, reorder or act: in the text of a page each is made visible."""
GONE_TO: Final = frozenset({"href", "action", "formaction", "data-sheet-url"})
AWAY: Final = "noopener noreferrer nofollow"
"""Marks a link of a gate's prompt: it may lead anywhere on the web, and shows its address."""
KEPT: Final = ("csv", "jsonl", "/export")
"""Addresses that give a file to keep, which no browser shows."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileDesk]:
    with open_hostile_desk(tmp_path_factory.mktemp("desk")) as made:
        yield made


# ---- the table -----------------------------------------------------------------------------------------------------------


def test_there_are_two_hundred_payloads_and_all_are_used() -> None:
    used = {
        payload(field, turn).replace(f"window.__x={number_of(field, turn)}", "§") for field in Field for turn in TURNS
    }
    assert len(PAYLOADS) >= 200
    assert used == {text for _, text in PAYLOADS}
    assert all({(field + turn) % len(CLASSES) for turn in TURNS} == set(range(len(CLASSES))) for field in Field)


def test_every_way_that_shows_something_is_looked_at(scene: HostileDesk) -> None:
    missing = {way.path for way in ROUTES if way.method == "GET"} - set(scene.pages(0))
    assert not missing, "say in hostile_desk.py by which addresses it is seen"


# ---- as it is sent -------------------------------------------------------------------------------------------------------


class _Look(HTMLParser):
    """What of a page has become something else than text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        if tag not in TAGS:
            self.faults.append(f"<{tag}>")
        if tag == "script" and {name for name, _ in attrs} < {"nonce", "src", "defer"}:
            self.faults.append("a script in the page")
        is_away = ("rel", AWAY) in attrs
        for name, value in attrs:
            if not (is_away and name == "href" and re.match(r"https?://[^/@]+", value or "")):
                self._attribute(tag, name, value or "")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if re.match(r"on|style$|srcdoc$|ping$|xlink|nonce$" if tag != "script" else r"on|style$", name):
            self.faults.append(f"<{tag} {name}>")
        elif name in GONE_TO:
            if not re.match(r"[/?#](?![/\\])|http://127\.0\.0\.1:\d+/", value):
                self.faults.append(f"<{tag} {name}={value[:60]}>")
        elif "window.__x" in value and name not in READ:
            self.faults.append(f"<{tag} {name}={value[:60]}>")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - whichever it is
        self._within = ""

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"<!--{data[:60]}-->")

    def handle_data(self, data: str) -> None:
        if self._within in {"script", "style"} and data.strip():
            self.faults.append(f"<{self._within}>{data[:60]}")
        if self._within not in {"textarea", "title"} and (found := ACTING.search(data)):
            self.faults.append(f"{found[0]!r} in {data[:60]!r}")


MARK: Final = re.compile(r"window\.__x(?:=|%3D)(7\d{4})")
HEADS: Final = {
    str(number_of(field, turn)): head
    for field in Field
    for turn in TURNS
    if re.search(r"[<>\"'&]", head := (text := payload(field, turn))[: text.index("window.__x=") + 16])
}
"""By their numbers, beginnings that must not be in a page as they are."""


def faults(answer: Answer) -> list[str]:
    """What is wrong with an answer; nothing, as a rule."""
    kind = answer.headers.get("content-type", "")
    found = [
        f"{name}: {value}" for name, value in answer.headers.items() if "window.__x" in value and name != "location"
    ]
    if answer.status >= 500 or answer.headers.get("x-content-type-options") != "nosniff":
        found.append(f"{answer.status} {kind}")
    if kind.startswith("text/html"):
        look = _Look()
        look.feed(answer.body)
        heads = (HEADS.get(number) for number in set(MARK.findall(answer.body)))
        found += look.faults + [head for head in heads if head and head in answer.body]
    elif kind.startswith("text/csv"):
        cells = [cell for row in csv.reader(io.StringIO(answer.body)) for cell in row]
        found += [
            cell[:40] for cell in cells if re.match(r"[=+\-@\t\r\n＝＋－＠]", cell) and not re.fullmatch(r"-?\d+", cell)
        ]
    elif kind.startswith("application/json"):
        json.loads(answer.body)
    elif kind.startswith("application/x-ndjson"):
        assert all(json.loads(line) for line in answer.body.split("\n") if line)
    elif answer.body and not kind.startswith("text/plain"):
        found.append(kind)
    return found


def test_on_no_page_a_text_is_more_than_text(scene: HostileDesk) -> None:
    seen, wrong, once = set[str](), list[tuple[str, list[str]]](), set[str]()
    for turn in TURNS:
        scene.turn_to(turn)
        for way, paths in scene.pages(turn).items():
            has_part = way in {"/requests/{id}/why", "/requests/{id}/{verb}", "/tray", "/runs/{id}/live"}
            for path in (path for path in paths if path not in once):
                once.add(path)
                for headers in ({}, {"hx_request": "true"}) if has_part else ({},):
                    answer = scene.visitor.get(path, **headers)
                    seen |= set(MARK.findall(answer.body))
                    wrong += [(path, bad)] if (bad := faults(answer)) else []
    assert wrong == []
    shown = [(field, turn) for field in Field for turn in TURNS if str(number_of(field, turn)) in seen]
    missed = {(field, turn) for field in Field for turn in TURNS} - set(shown)
    assert missed == set()


FORMS: Final = (
    "name", "q", "do", "note", "verb", "key", "version", "reason", "text", "accept", "which", "when", "next", "count", "typed", "silent", "pick",
    "role", "repos", "until",
    "col.0", "head", "rows", "file", "line", "base", "replaces",
    "list", "repo", "shown", "keep", "after", "following", "grant", "offered", "to",
)  # fmt: skip
"""What any form of the desk sends."""


def test_whatever_a_form_sends_comes_back_as_text(scene: HostileDesk) -> None:
    """Every way that changes something, with hostile text in every field, from a page with a hostile address."""
    for turn in TURNS:
        text, row, repo = payload(Field.QUERY, turn), scene.waiting[turn], scene.repos[turn]
        there = {
            "/requests/{id}": f"/requests/{row.state.hub_request}", "/bulk/{id}": scene.bulk, "/plans/{digest}": scene.plan,
            "/runs/{id}": scene.run, "/repos/{type}/{ns}/{name}": f"/repos/{repo.type.value}s/{repo.id}",
            "/people/{id}": f"/people/{row.person.pseudonym}", "/policies/{name}": f"/policies/turn-{turn}", "/tables/{name}": "/tables/people",
        }  # fmt: skip
        sent, wrong = dict.fromkeys(FORMS, text), []
        for number, way in enumerate(way for way in ROUTES if way.method == "POST"):
            start = next((start for start in there if way.path.startswith(start)), "")
            path = way.path.replace(start, there[start]) if start else way.path
            assert "{" not in path
            url = f"http://127.0.0.1:7860/queue?q={quote(text)}"
            headers = {"hx_request": "true", "hx_current_url": url} if (number + turn) % 2 else {}
            if way.path != "/plans":  # it takes nothing, and a while
                answer = scene.visitor.post(path, sent, **headers)
                wrong += [(path, bad)] if (bad := faults(answer)) else []
        preview = scene.visitor.post(
            f"{there['/requests/{id}']}/preview", {"verb": "reset", "reason": text[:5000]}, hx_request="true"
        )
        assert (preview.status, faults(preview), wrong) == (200, [], [])


def test_who_is_not_in_sees_no_more_than_text(scene: HostileDesk) -> None:
    stranger = Visitor(scene.desk.app)
    for turn in TURNS:
        text = payload(Field.QUERY, turn)
        for path in (f"/{quote(text, safe='')}", f"/queue?q={quote(text)}", f"/static/{quote(text, safe='')}"):
            assert faults(stranger.get(path)) == []
            assert faults(scene.visitor.get(path)) == []


def test_a_file_that_is_wrong_stays_text(desk: Desk) -> None:
    lena, file = desk.visitor(), (desk.app_state.workspace.location.folder or Path()) / "policies" / "broken.yaml"
    for turn in TURNS:
        text = plain(payload(Field.POLICY_REASON, turn))
        for said in (
            text,
            f"version: 1\npolicy: {text}\nrules: []",
            f"version: 1\npolicy: broken\napplies_to: ['*/*']\nrules:\n- {text}",
        ):
            file.write_text(said, "utf-8")
            for path in ("/policies", "/policies/broken", "/queue"):
                assert faults(lena.get(path)) == [], (path, said)


# ---- in a browser --------------------------------------------------------------------------------------------------------

WATCH: Final = """
window.blocked = []; window.ran = [];
for (const name of ["alert", "confirm", "prompt"]) window[name] = (text) => { window.ran.push(String(text)); };
document.addEventListener("securitypolicyviolation", (event) => window.blocked.push(event.violatedDirective + " " + event.blockedURI));
"""
LOOK: Final = """(tags) => {
  const odd = [];
  if (!document.querySelector("main")) return {x: window.__x, ran: window.ran, blocked: window.blocked, odd}; // a file, as the browser shows it
  for (const one of document.querySelectorAll("*")) {
    if (!tags.includes(one.localName)) odd.push("<" + one.localName + ">");
    for (const {name, value} of one.attributes) {
      if (/^on|^style$|^srcdoc$/.test(name) || (/^(data-)?hx-/.test(name) && /__x|evil/.test(value))) odd.push(one.localName + " " + name);
    }
    const isAway = one.rel === "noopener noreferrer nofollow" && /^https?:$/.test(one.protocol);
    if (one.href && !isAway && !/^https?:\\/\\/127\\.0\\.0\\.1/.test(one.href)) odd.push(one.localName + " " + one.href);
  }
  return {x: window.__x, ran: window.ran, blocked: window.blocked, odd};
}"""


class _Watched:
    """A page, and whatever it should not have done."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.wrong: list[tuple[str, object]] = []
        self.at = ""
        page.add_init_script(WATCH)
        page.on("dialog", self._dialog)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append((self.at, str(error))))
        page.on("request", lambda request: self._asked(request.url))

    def _dialog(self, dialog: Dialog) -> None:
        self.wrong.append((self.at, dialog.message))
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not re.match(r"Failed to load resource.* (4\d\d) \(", message.text):
            self.wrong.append((self.at, message.text))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.url, "about:")):
            self.wrong.append((self.at, url))

    def look(self, path: str) -> None:
        self.at = path
        self.page.goto(self.url + path, wait_until="domcontentloaded")
        self.check()

    def part(self, path: str) -> None:
        """As a script of ours puts it into a page."""
        self.at = path
        self.page.evaluate(
            "url => htmx.ajax('GET', url, {source: '#via-sheet', target: '#sheet-body', swap: 'innerHTML'})", path
        )
        self.check()

    def check(self) -> None:
        told = self.page.evaluate(LOOK, sorted(TAGS | {"tbody", "pre"}))
        if any(told.values()):
            self.wrong.append((self.at, told))


@pytest.mark.slow
@pytest.mark.parametrize("share", [8, pytest.param(1, marks=pytest.mark.torture)])
def test_in_a_browser_nothing_runs_and_nothing_is_asked_for(browser: Browser, scene: HostileDesk, share: int) -> None:
    """Every eighth page, others in each turn; all of them in `make torture`."""
    with serve_desk(scene.desk) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        watched = _Watched(context.new_page(), url)
        watched.look(f"/sign-in?t={scene.desk.authenticator.make_link()}")
        once = set[str]()
        for turn in TURNS:
            scene.turn_to(turn)
            shown = [path for paths in scene.pages(turn).values() for path in paths]
            for number, path in enumerate(shown):
                if path not in once and not (number + turn) % share and not path.partition("?")[0].endswith(KEPT):
                    watched.look(path)
                    once.add(path)
            key = scene.waiting[turn].state.hub_request
            watched.look(f"/queue?q=repo:{scene.waiting[turn].repo}")
            for part in (f"/requests/{key}/why", f"/requests/{key}/reset", f"/tray?rows={key}"):
                watched.part(part)
            watched.look(scene.run)
            watched.part(f"{scene.run}/live")
        context.clear_cookies()
        context.add_cookies([{"name": n, "value": v, "url": url} for n, v in scene.desk.viewer("vera").cookies.items()])
        for turn in TURNS[::5]:
            watched.look(f"/requests/{scene.waiting[turn].state.hub_request}")
            watched.check()
        context.close()
    assert watched.wrong == []
    assert len(once) * share > 600
