"""The prompt of a gate is shown as the Markdown that it is, and nothing in it can act."""

from __future__ import annotations

from hf_gate.requests.sync_schedule import SyncKind
from hf_gate.web.http_context import ENVIRONMENT
from hf_gate.web.markdown import MAX_CHARACTERS, Node, parse_markdown
from tests.kits.desk import Desk, parse_page

KINDS = {
    "text", "br", "hr", "code", "pre", "address", "heading", "link", "p", "blockquote", "ul", "ol", "li", "em", "strong", "s",
}  # fmt: skip


def _html(text: str) -> str:
    template = ENVIRONMENT.from_string('{% from "parts/markdown.html" import markdown %}{{ markdown(nodes) }}')
    return template.render(nodes=parse_markdown(text))


def _all(nodes: list[Node], depth: int = 1) -> list[tuple[Node, int]]:
    return [pair for node in nodes for pair in ((node, depth), *_all(node.children, depth + 1))]


def test_headings_lists_emphasis_and_code_are_shown_as_such() -> None:
    html = _html("# Terms\n\n1. **No** *resale*\n2. `cite` us\n\n> quoted\n\n~~old~~\n\n    code\n")
    for part in ("md-head", "<ol><li>", "<strong>", "<em>", "<code>", "<blockquote>", "<s>", "<pre>"):
        assert part in html, part


def test_raw_html_is_text() -> None:
    html = _html('<img src=x onerror=alert(1)> <script>alert(1)</script>\n\n<div onclick="x()">\n\nhello <b>you</b>')
    assert {tag for tag, _ in parse_page(html).tags} <= {"p", "bdi", "span"}
    assert "&lt;script&gt;" in html


def test_a_picture_is_never_fetched() -> None:
    html = _html("![a cat](https://tracker.example/cat.png)")
    assert "<img" not in html
    assert "[picture: a cat, https://tracker.example/cat.png]" in html


def test_a_link_leads_to_the_web_alone_and_its_address_is_shown() -> None:
    html = _html("[our terms](https://evil.example/x?a=1&b=2)")
    assert '<a href="https://evil.example/x?a=1&amp;b=2" rel="noopener noreferrer nofollow">' in html
    assert "(<bdi>https://evil.example/x?a=1&amp;b=2</bdi>)" in html
    assert _html("<https://acme.example/>").count("https://acme.example/") == 2, "said once, and led to"
    for href in ("javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "/settings", "//evil.example",
                 "mailto:a@b.example", "https://huggingface.co@evil.example/", "https:///x", "#here", "file:///etc/passwd"):  # fmt: skip
        assert "<a " not in _html(f"[click]({href})"), href
        assert "<a " not in _html(f"<{href}>"), href


def test_what_hides_or_reorders_text_is_made_visible() -> None:
    assert "\u202e" not in _html("safe \u202egpj.exe and `\u200b`")


def test_a_prompt_without_end_and_nesting_without_bottom_are_bounded() -> None:
    for text in ("> " * 9_000 + "x", "*a **b " * 3_000, "[" * MAX_CHARACTERS, "- " * 9_000 + "x", "`" * MAX_CHARACTERS, "![" * 9_000, "<" * MAX_CHARACTERS,
                 "*" * MAX_CHARACTERS, "a\n" * MAX_CHARACTERS, "|a" * 9_000 + "\n" + "|-" * 9_000):  # fmt: skip
        nodes = _all(parse_markdown(text))
        assert {node.kind for node, _ in nodes} <= KINDS
        assert max((depth for _, depth in nodes), default=0) <= 22
        assert _html(text) is not None
    assert "10 more characters" in _html("x" * (MAX_CHARACTERS + 10))


def test_the_view_of_a_requester_renders_the_prompt(desk: Desk) -> None:
    prompt = "Read the **terms** at https://acme.example/terms, then <b>ask</b>."
    desk.local.set_card(desk.repo.id, f"---\nextra_gated_prompt: {prompt}\n---\n")
    desk.read(SyncKind.FULL)
    page = desk.visitor().get(f"/repos/models/{desk.repo.id}").body
    assert "<strong><bdi>terms</bdi></strong>" in page
    assert "&lt;b&gt;ask&lt;/b&gt;" in page
