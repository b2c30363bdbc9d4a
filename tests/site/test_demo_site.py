"""The desk of the demo as pages for a static host: nothing can be sent, nothing is secret, and every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import pytest

from tests.kits.static_server import serve_folder
from tools.site.demo import NOTICE, DemoPage, name_file, write_demo

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VIEWS: Final[tuple[tuple[Literal["light", "dark"], int], ...]] = (("light", 1280), ("dark", 360))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "site"
    assert write_demo(folder) > 100
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with serve_folder(site) as url:
        yield url


def test_what_would_write_is_disabled() -> None:
    page = DemoPage({"/queue": "index.html"}).build(
        '<html><head><script nonce="x" src="/static/1/desk.js"></script></head><body>'
        '<form method="post" action="/tray"><input type="hidden" name="key" value="secret">'
        '<input name="note" value="kept"><button name="accept" value="seal" hx-post="/tray">Accept &amp; go</button></form>'
        '<a href="/queue#rows">Queue</a><a href="/settings">Settings</a><a href="https://example.com/">Away</a></body></html>'
    )
    assert NOTICE in page
    assert "script" not in page.partition("<body>")[2]
    assert "secret" not in page
    assert "seal" not in page
    assert (
        '<form><input name="note" value="kept" disabled><button name="accept" disabled>Accept &amp; go</button>' in page
    )
    assert '<a href="index.html#rows">Queue</a>' in page
    assert page.count('role="link" aria-disabled="true"') == 2


def test_addresses_have_files_of_their_own() -> None:
    names = [
        name_file(each) for each in ("/queue", "/queue?q=a", "/queue?q=A", "/queue/q", "/people/p.1", "/people/p_1")
    ]
    assert names[0] == "index.html"
    assert len({name.lower() for name in names[:4]}) == 4


@pytest.mark.slow
def test_no_page_can_send_or_shows_a_secret(site: Path) -> None:
    for path in sorted(site.glob("*.html")):
        text = path.read_text("utf-8")
        assert NOTICE in text, path.name
        assert "form-action 'none'" in text
        assert not re.search(r"<script|<form[^>]+(action|method)=|\bhx-|type=.hidden|nonce=", text), path.name
        assert not re.search(r"\bhf_\w{6,}|127\.0\.0\.1|localhost", text), path.name
        assert gettempdir() not in text, path.name
        enabled = [
            tag for tag in re.findall(r"<(?:button|input|select|textarea)\b[^>]*>", text) if "disabled" not in tag
        ]
        assert enabled == [], path.name


@pytest.mark.slow
def test_every_link_leads_to_a_file(site: Path) -> None:
    files = {path.relative_to(site).as_posix() for path in site.rglob("*")}
    links = {
        target.partition("#")[0]
        for path in site.glob("*.html")
        for target in re.findall(r'(?:href|src)="([^"#][^"]*)"', path.read_text("utf-8"))
    }
    assert {link for link in links if not link.startswith("data:")} <= files


@pytest.mark.slow
def test_a_page_of_each_kind_keeps_nobody_out(site: Path, address: str, browser: Browser) -> None:
    from tests.kits.accessibility import find_accessibility_problems

    kinds: dict[str, str] = {}
    for path in sorted(site.glob("*.html")):
        kinds.setdefault(path.stem.partition("-")[0], path.name)
    problems = {}
    hosts = set()
    for scheme, width in VIEWS:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = context.new_page()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        for name in kinds.values():
            page.goto(f"{address}/{name}")
            if hits := find_accessibility_problems(page):
                problems[f"{name} {scheme}"] = [(hit["id"], hit["nodes"][0]["html"][:200]) for hit in hits]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), (name, scheme)
        context.close()
    assert problems == {}
    assert hosts == {"127.0.0.1"}
