"""Builds the web site of the documentation into build/site: `make site`.

The pages stay plain Markdown. This program copies them, puts the pages from the root of the repository below Internals,
takes the order of the pages from the tables of docs/index.md, and has Sphinx make HTML of them, with warnings as errors.
"""

from __future__ import annotations

import inspect
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tools.api_page import find_public  # noqa: E402 - from this checkout

SOURCE: Final = ROOT / "build" / "site-source"
SITE: Final = ROOT / "build" / "site"
# Files that stand in another place on the site than in the repository. The first page is the README.
PLACES: Final = {
    "README.md": "docs/index.md",
    "docs/index.md": "docs/pages.md",
    "ARCHITECTURE.md": "docs/internals/architecture.md",
    "CONTRIBUTING.md": "docs/internals/contributing.md",
    "SECURITY.md": "docs/internals/security.md",
    "CHANGELOG.md": "docs/internals/changes.md",
} | {
    path.relative_to(ROOT).as_posix(): f"docs/files/{path.name}"
    for path in (ROOT / "LICENSE", ROOT / "NOTICE", *sorted((ROOT / "src" / "hf_gate" / "examples").glob("*.yaml")))
}
_LINK: Final = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
_CODE: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_SECTION: Final = re.compile(r"^## (.+)$")
_ROW: Final = re.compile(r"^\| \[([^\]]+)\]\(([^)#]+)\) \| (.+) \|$")
_LINK_MARKS: Final = re.compile(r"[\[\]`]|\([^)]*\)")
_MERMAID: Final = re.compile(r"^```mermaid\n.*?^```\n", re.MULTILINE | re.DOTALL)
_KEYWORDS: Final = "---\nmyst:\n  html_meta:\n    keywords: {}\n---\n"
_NAMES: Final = re.compile(r"<!-- generated: public names -->\n(.*?)<!-- end generated -->", re.DOTALL)
_NAME_TABLE: Final = re.compile(r"(?:The methods of `Hub`:\n\n)?\| name \| what it is \|\n(?:\|.*\n)+")
_NAME: Final = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)
_FROM_A_LOAD: Final = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b(?=[^>]*rel=["']?(?:stylesheet|preload|preconnect|dns-prefetch|icon|modulepreload))[^>]*href=["']?(?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//""",
)
_NAMED_PARTS: Final = {
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="This page">',
    'class="caption" role="heading">': 'class="caption" role="heading" aria-level="2">',
    '<div class="highlight"><pre>': '<div class="highlight"><pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    'createElement("h2")': 'createElement("h1")',  # of the results of a search
}
"""What the theme leaves out for people who hear the page, or move in it by keyboard."""


# ---- the pages as Sphinx reads them -----------------------------------------------------------------------------------


def move_links(text: str, page: str, place: str) -> str:
    """Return the text of a page with its relative links as they are at another place."""

    def move(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link[1]))
        return posixpath.relpath(PLACES.get(target, target), posixpath.dirname(place))

    parts = _CODE.split(text)
    return "".join(part if number % 2 else _LINK.sub(move, part) for number, part in enumerate(parts))


def read_sections(index: str) -> dict[str, list[str]]:
    """Return the title and the page of each row of docs/index.md, by section."""
    sections: dict[str, list[str]] = {}
    for line in index.splitlines():
        if heading := _SECTION.match(line):
            sections[heading[1]] = []
        elif (row := _ROW.match(line)) and sections and row[2] != "index.md":  # which holds these tables
            list(sections.values())[-1].append(f"{row[1]} <{row[2]}>")
    return sections


def read_purposes(index: str) -> dict[str, str]:
    """Return when to read each page, by its name on the site, in the words of docs/index.md. The search knows them."""
    rows = filter(None, map(_ROW.match, index.splitlines()))
    return {row[2].removesuffix(".md"): _LINK_MARKS.sub("", f"{row[1]}; {row[3]}") for row in rows}


def format_toctrees(sections: dict[str, list[str]]) -> str:
    """Return the sections as the hidden tables of contents from which Sphinx makes the navigation."""
    parts = [
        "\n".join(["```{toctree}", ":hidden:", f":caption: {name}", "", *pages, "```"])
        for name, pages in sections.items()
    ]
    return "\n\n".join(parts)


def document_names(page: str) -> str:
    """Return the page of the public names with each name as what Sphinx reads from its docstring."""
    return _NAMES.sub(lambda part: _NAME_TABLE.sub(lambda table: _document_table(table[0]), part[1]), page)


def _document_table(table: str) -> str:
    names = [name for name in _NAME.findall(table) if not name.startswith("Hub.")]
    return "\n".join(["```{eval-rst}", ".. currentmodule:: hf_gate", "", *map(_document_name, names), "```", ""])


def _document_name(name: str) -> str:
    value = find_public(name)
    if not inspect.isclass(value):
        return f".. autofunction:: {name}\n"
    if issubclass(value, BaseException):
        return f".. autoexception:: {name}\n"
    if name == "AsyncHub":  # its methods are those of Hub
        return f".. autoclass:: {name}\n"
    members = "   :members:\n   :undoc-members:\n" if issubclass(value, Enum) else "   :members:\n"
    inherited = "   :inherited-members: object\n" if name == "Hub" else ""
    return f".. autoclass:: {name}\n{members}{inherited}"


def stage_pages() -> None:
    """Copy the pages to where Sphinx reads them."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "images", SOURCE / "images")
    index = stage_text("docs/index.md")
    purposes = read_purposes(index)
    scorer = Path(__file__).with_name("scorer.js").read_text("utf-8")
    (SOURCE / "scorer.js").write_text(f"const PURPOSES = {json.dumps(purposes)};\n{scorer}", "utf-8")
    sections = read_sections(index)
    sections["Start"].insert(0, "All pages <pages.md>")
    endings = {
        "README.md": format_toctrees(sections),
        "docs/decisions/README.md": "```{toctree}\n:hidden:\n:glob:\n\n0*\n```",
    }
    for page in {*PLACES, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))}:
        target = SOURCE / posixpath.relpath(PLACES.get(page, page), "docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        purpose = purposes.get(posixpath.relpath(PLACES.get(page, page), "docs").removesuffix(".md"), "")
        head = _KEYWORDS.format(json.dumps(", ".join(re.findall(r"[\w-]+", purpose)))) if purpose else ""
        target.write_text(f"{head}{stage_text(page)}\n{endings.get(page, '')}\n", "utf-8")


def stage_text(page: str) -> str:
    """Return the text of a page as Sphinx reads it."""
    text = move_links((ROOT / page).read_text("utf-8"), page, PLACES.get(page, page))
    return document_names(_MERMAID.sub("", text))


# ---- what is built ----------------------------------------------------------------------------------------------------


def name_parts(site: Path) -> None:
    """Add to the built pages what the theme leaves out."""
    for path in (*site.rglob("*.html"), site / "_static" / "searchtools.js"):
        text = path.read_text("utf-8")
        for part, named in _NAMED_PARTS.items():
            text = text.replace(part, named)
        path.write_text(text, "utf-8")


def find_foreign_loads(site: Path) -> list[str]:
    """Return where a file of the site would make a browser load something from another host. Links are fine."""
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix in {".html", ".css", ".js", ".svg"} and path.is_file():
            text = path.read_text("utf-8")
            found += [f"{path.relative_to(site)}: {hit[0][:120]}" for hit in _FROM_A_LOAD.finditer(text)]
    return found


def main() -> int:
    """Stage the pages, build the site and check it."""
    stage_pages()
    shutil.rmtree(SITE, ignore_errors=True)
    options = [
        "-W",
        "--keep-going",
        "-q",
        "-j",
        "auto",
        "-c",
        str(Path(__file__).parent),
        "-d",
        str(SITE.parent / "site-trees"),
    ]
    command = [sys.executable, "-m", "sphinx", "-b", "html", *options, str(SOURCE), str(SITE)]
    if code := subprocess.run(command, env=os.environ | {"NO_COLOR": "1"}, check=False).returncode:
        return code
    name_parts(SITE)
    if foreign := find_foreign_loads(SITE):
        print("The site would load from another host:", *foreign, sep="\n  ", file=sys.stderr)
        return 1
    print(f"{SITE.relative_to(ROOT)}/index.html: {sum(1 for _ in SITE.rglob('*.html'))} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
