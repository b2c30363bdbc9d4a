"""The built site in a real browser: readers find the page that answers, nobody is kept out, nothing comes from elsewhere.

`make site` builds it; without it, these tests skip.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote_plus, urlsplit

import pytest

from tests.kits.paths import ROOT
from tests.kits.static_server import serve_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VIEWS: Final[tuple[tuple[Literal["light", "dark"], int], ...]] = (("light", 1440), ("dark", 390))
SITE: Final = ROOT / "build" / "site"
DOCS: Final = ROOT / "docs"
QUESTIONS: Final = {
    "why is my token refused": "token",
    "what happens when I reject somebody": "what-happens-to-the-person",
    "send back with a reason": "deciding",
    "keyboard shortcuts": "desk",
    "two people must approve": "two-approvals",
    "course of students": "tables",
    "end access on a date": "ends",
    "notify slack": "messages",
    "send mail to applicants": "messages",
    "how do I undo a decision": "deciding",
    "run from cron": "running-unattended",
    "who had access on a day": "ledger",
    "how can I delete all data of a person": "leaving",
    "backup and restore": "leaving",
    "exit codes": "outcomes",
    "test my own tool": "local-hub",
    "cannot download gated model": "why",
    "academic email address": "facts",
    "sign in with hugging face": "team",
    "how do I write a rule": "policies",
    "rate limit": "internals/pacing",
    "accept all requests with a script": "from-a-script",
    "decide_many": "api",
    "first steps": "tutorial",
    "how do I give access until 30 June": "ends",
    "how do I let only my company's mail domain in": "facts",
    "how do I add a colleague to the desk": "team",
    "person wants to be deleted GDPR": "leaving",
    "import a list of names from excel": "tables",
    "does it send my data anywhere": "promises",
    "block a spammer": "tables",
    "what does on hold mean": "policies",
    "how do I stop using hf-gate": "leaving",
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the site is served."""
    index = SITE / "searchindex.js"
    if not index.is_file() or index.stat().st_mtime < max(path.stat().st_mtime for path in DOCS.rglob("*.md")):
        pytest.skip("there is no site here, or it is older than the pages: make site")
    with serve_folder(SITE) as url:
        yield url


@pytest.mark.slow
def test_the_page_that_answers_is_first_or_second(address: str, browser: Browser) -> None:
    page = browser.new_page()
    hosts = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    misses = {}
    for question, answer in QUESTIONS.items():
        page.goto(f"{address}/search.html?q={quote_plus(question)}")
        page.wait_for_function("/finished|did not match/.test(document.querySelector('.search-summary')?.innerText)")
        found = page.eval_on_selector_all("ul.search > li > a:first-child", "links => links.map(link => link.pathname)")
        pages = list(dict.fromkeys(path.removeprefix("/").removesuffix(".html") for path in found))
        if answer not in pages[:2]:
            misses[question] = pages[:4]
    page.close()
    assert len(misses) <= len(QUESTIONS) // 10, misses
    assert hosts == {"127.0.0.1"}


@pytest.mark.slow
def test_pages_keep_nobody_out(address: str, browser: Browser) -> None:
    from tests.kits.accessibility import find_accessibility_problems

    names = ("index", "pages", "tables", "forms", "search")
    problems = {}
    for scheme, width in VIEWS:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = context.new_page()
        for name in names:
            page.goto(f"{address}/{name}.html?q=rule")
            page.wait_for_load_state("networkidle")
            for hit in find_accessibility_problems(page):
                problems[f"{name} {scheme} {hit['id']}"] = hit["nodes"][0]["html"][:200]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), (name, scheme)
        context.close()
    assert problems == {}


@pytest.mark.slow
def test_no_page_asks_another_host(address: str, browser: Browser) -> None:
    page = browser.new_page()
    hosts = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    for path in sorted(SITE.rglob("*.html")):
        page.goto(f"{address}/{path.relative_to(SITE).as_posix()}")
    page.close()
    assert hosts == {"127.0.0.1"}


def test_each_page_leads_to_the_next_and_the_previous(address: str) -> None:
    assert address
    pages = [path for path in SITE.glob("*.html") if path.stem not in {"index", "search", "genindex"}]
    ends = [path.name for path in pages if 'class="next-page"' not in path.read_text("utf-8")]
    begins = [path.name for path in pages if 'class="prev-page"' not in path.read_text("utf-8")]
    assert (ends, begins) == ([], [])


def test_the_pages_are_those_of_the_repository(address: str) -> None:
    assert address
    built = {path.relative_to(SITE).with_suffix("").as_posix() for path in SITE.rglob("*.html")}
    named = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    assert named <= built
