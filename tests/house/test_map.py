"""The code map, docs/internals/code-map.md, names every module of the package once, and no module that is not there.

The map is the section whose heading holds "code map"; in it, the first `some/module.py` of a line is that line's module,
as a path below src/hf_gate.
"""

from __future__ import annotations

import re
from collections import Counter

from tests.kits.paths import PACKAGE, ROOT
from tests.kits.source_files import list_modules, list_tracked_files, read_first_sentence

_MODULE = re.compile(r"(?<![\w/.-])(?:src/hf_gate/)?((?:\w+/)*\w+\.py)\b")


def _map_lines(text: str) -> list[str]:
    lines: list[str] = []
    inside = fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            inside = "code map" in line.lower()
        elif inside:
            lines.append(line)
    return lines


def _modules_on_the_map() -> Counter[str]:
    page = ROOT / "docs" / "internals" / "code-map.md"
    assert page.exists(), "docs/internals/code-map.md is missing: it holds the code map"
    found = (_MODULE.search(line) for line in _map_lines(page.read_text("utf-8")))
    return Counter(match[1] for match in found if match)


def test_every_module_has_a_line_on_the_map() -> None:
    on_the_map = _modules_on_the_map()
    missing = [path for path in list_modules() if path.relative_to(PACKAGE).as_posix() not in on_the_map]
    assert not missing, "add to the code map (make docs):\n" + "\n".join(
        f"- `{path.relative_to(PACKAGE).as_posix()}`: {read_first_sentence(path)}" for path in missing
    )


def test_the_map_shows_no_module_that_is_not_there() -> None:
    gone = [name for name in _modules_on_the_map() if not (PACKAGE / name).exists()]
    assert not gone, f"take off the code map (make docs): {gone}"


def test_the_map_shows_each_module_once() -> None:
    assert [name for name, times in _modules_on_the_map().items() if times > 1] == []


def test_architecture_stays_a_page_that_people_read() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines()) <= 225


_DEFINITION = re.compile(r"`([\w/]+\.py)`( `\w+`)")
_FILE = re.compile(r"`([\w/.-]+\.(?:py|sql|tsv))`")


def test_each_concept_of_the_architecture_is_defined_where_it_says() -> None:
    text = (
        (ROOT / "ARCHITECTURE.md")
        .read_text("utf-8")
        .partition("## One concept, one definition")[2]
        .partition("\n## ")[0]
    )
    named = [(path, words.split("`")[1]) for path, words in _DEFINITION.findall(text)]
    assert len(named) >= 20
    for path, name in named:
        assert re.search(rf"^(?:class |def |){name}\b", (PACKAGE / path).read_text("utf-8"), re.MULTILINE), (path, name)


def test_pages_for_maintainers_name_only_files_that_exist() -> None:
    pages = [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs" / "decisions").glob("*.md")]
    files = [f"/{path.relative_to(ROOT).as_posix()}" for path in list_tracked_files()]
    named = {(page.name, name) for page in pages for name in _FILE.findall(page.read_text("utf-8"))}
    gone = [(page, name) for page, name in named if not any(file.endswith(f"/{name}") for file in files)]
    assert gone == [("CONTRIBUTING.md", "src/hf_gate/store/database/migrations/NNNN_what_changes.sql")]  # a pattern


def test_every_module_opens_with_a_sentence() -> None:
    assert [str(path.relative_to(ROOT)) for path in list_modules() if not read_first_sentence(path)] == []
