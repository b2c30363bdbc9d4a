"""The site of the documentation: its pages are the Markdown of the repository, and it loads nothing from another host."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import hf_gate
from tests.kits.paths import ROOT
from tools.site.build import document_names, find_foreign_loads, move_links, read_sections

SECTIONS = ["Start", "Review", "Rules", "Automate", "Govern", "Ask for access", "Reference", "Internals"]


@pytest.mark.parametrize(
    "text",
    [
        '<script defer src="https://cdn.example.com/a.js"></script>',
        "<img alt='' src='//img.example.com/a.png'>",
        '<link href="https://fonts.example.com/css" rel="stylesheet">',
        '<link rel="preconnect" href="https://fonts.example.com">',
        "@import url(https://fonts.example.com/css);",
        "a { background: url('//img.example.com/a.png') }",
    ],
)
def test_what_a_page_would_load_from_another_host_is_seen(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.html").write_text(text)
    assert [line.partition(":")[0] for line in find_foreign_loads(tmp_path)] == ["page.html"]


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://huggingface.co/docs">the Hub</a>',
        '<img src="images/desk.png">',
        '<link rel="canonical" href="https://example.com/">',
        '<svg xmlns="http://www.w3.org/2000/svg"></svg>',
    ],
)
def test_links_and_own_files_are_fine(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.html").write_text(text)
    assert find_foreign_loads(tmp_path) == []


def test_the_index_names_the_eight_sections_and_their_pages() -> None:
    sections = read_sections((ROOT / "docs" / "index.md").read_text("utf-8"))
    assert list(sections) == SECTIONS
    assert all(sections.values())


def test_a_link_leads_to_the_same_file_from_another_place() -> None:
    text = "[a](docs/why.md#x) [b](SECURITY.md) [c](https://example.com/d.md)\n```text\n[d](docs/why.md)\n```\n"
    moved = move_links(text, "ARCHITECTURE.md", "docs/internals/architecture.md")
    assert moved == "[a](../why.md#x) [b](security.md) [c](https://example.com/d.md)\n```text\n[d](docs/why.md)\n```\n"


def test_the_site_documents_every_public_name() -> None:
    page = document_names((ROOT / "docs" / "api.md").read_text("utf-8"))
    documented = {line.split()[-1] for line in page.splitlines() if line.startswith(".. auto")}
    assert set(hf_gate.__all__) - {"__version__"} <= documented


def test_the_page_says_what_each_parameter_of_a_call_is() -> None:
    table = (ROOT / "docs" / "api.md").read_text("utf-8").partition("## Parameters")[2].partition("<!-- generated")[0]
    described = set(re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    calls = [getattr(hf_gate, name) for name in hf_gate.__all__ if inspect.isfunction(getattr(hf_gate, name))]
    calls += [call for name, call in inspect.getmembers(hf_gate.Hub, inspect.isfunction) if not name.startswith("_")]
    calls += [hf_gate.Decision.accept, hf_gate.Decision.reject, hf_gate.AccessRequest.describe_changes_since]
    asked = {name for call in calls for name in inspect.signature(call).parameters}
    assert asked - described - {"self", "hub", "timeout"} == set()
