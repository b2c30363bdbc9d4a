"""Every code block of README and docs does what the page says: run here against a local Hub, as a reader would run it."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.kits.doc_pages import (
    LANGUAGES,
    PAGES,
    Block,
    PageReader,
    check_command,
    find_mismatch,
    normalize_line,
    open_example_hub,
    read_blocks,
)
from tests.kits.paths import ROOT
from tests.kits.program_server import program_words

# ---- the world of the pages -------------------------------------------------------------------------------------------


# ---- what is not run here: does the command exist, with these options? --------------------------------------------------


_FIRST_WITH_ENDPOINT = (2, 3)  # of huggingface_hub


def _read_hub_version() -> tuple[int, ...]:
    return tuple(map(int, version("huggingface_hub").split(".")[:2]))


# ---- the tests ------------------------------------------------------------------------------------------------------------


_BY_PARTS = "docs/from-a-script.md"  # each part begins anew: test_scripts.py


@pytest.mark.parametrize(
    "page", [page for page in (*PAGES, "src/hf_gate/__init__.py") if page != _BY_PARTS and read_blocks(page)]
)
def test_every_block_of(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    if "HfApi(endpoint=" in text and _read_hub_version() < _FIRST_WITH_ENDPOINT:
        pytest.skip("this huggingface_hub ignores the endpoint of HfApi for access requests; the page says so")
    with tempfile.TemporaryDirectory() as folder, open_example_hub() as hub, ExitStack() as stack:
        reader = PageReader(page, hub, Path(folder), stack, program_words())
        for block in read_blocks(page):
            reader.follow(block)


def test_every_block_says_its_language() -> None:
    unknown = [block.place for page in PAGES for block in read_blocks(page) if block.language not in LANGUAGES]
    assert not unknown, f"blocks are one of {sorted(LANGUAGES)}: {unknown}"


def test_links_between_pages_lead_somewhere() -> None:
    dead = [
        f"{page}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", (ROOT / page).read_text("utf-8"))
        if not ((ROOT / page).parent / target).exists()
    ]
    assert not dead


def test_messages_and_docstrings_name_pages_that_exist() -> None:
    texts = {path: path.read_text("utf-8") for folder in ("src", "bench") for path in (ROOT / folder).rglob("*.py")}
    named = {(path.name, page) for path, text in texts.items() for page in re.findall(r"docs/[\w/-]+\.md", text)}
    assert len(named) > 10
    assert [(name, page) for name, page in sorted(named) if not (ROOT / page).is_file()] == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]
    listed = [page for page in pages if page != "index.md" and not page.startswith("decisions/0")]
    assert [page for page in listed if f"({page})" not in index] == []


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["terminal", "plan"])
def test_the_picture_shows_what_the_commands_print(name: str) -> None:
    made = subprocess.run(
        [sys.executable, "tools/terminal_picture.py", "--text", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    drawing = (ROOT / "docs" / "images" / f"{name}.svg").read_text("utf-8")
    parts = re.findall(r"<text[^>]*hf-gate-line[^>]*>([^<]*)</text>", drawing)
    shown = [html.unescape(each.join(parts)).replace("\xa0", " ") for each in (" ", "")]  # a colour may end in a word
    words = {word for text in shown for word in normalize_line(text).split()}
    told = [normalize_line(line).split() for line in made.stdout.splitlines()]
    told = [line for line in told if not any("…" in word for word in line)]  # how much of those fits, their ages decide
    missing = {word for line in told for word in line} - words
    assert not missing, f"draw it anew with `python tools/terminal_picture.py`: it lacks {sorted(missing)}"
    assert not re.search(r"url\([^#]|href|src=|<image|@import", drawing), "a picture loads nothing from elsewhere"


# ---- and the runner itself can fail -------------------------------------------------------------------------------------


def test_a_page_that_shows_another_output_is_found_out() -> None:
    assert find_mismatch(("1 request",), ["2 requests"])
    assert find_mismatch(("a",), ["a", "b"])
    assert find_mismatch(("a", "b"), ["a"])
    assert find_mismatch(("...", "b"), ["a"])


def test_times_ids_and_ports_may_differ_and_dots_stand_for_anything() -> None:
    assert find_mismatch(("9d  ada-l  6925b8e04c1f2a3b4c5d6e7f",), ["12h ada-l   0123456789abcdef01234567"]) is None
    assert find_mismatch(("a", "...", "z"), ["a", "b", "c", "z"]) is None
    assert find_mismatch(("a ... z",), ["a b z"]) is None
    assert find_mismatch(("on http://127.0.0.1:8000",), ["on http://127.0.0.1:41129"]) is None


def test_a_command_that_does_not_exist_is_found_out() -> None:
    with pytest.raises(pytest.fail.Exception):
        check_command("uvx --from . hf-gate lss", "here")
    with pytest.raises(pytest.fail.Exception):
        check_command("hf-gate ls --statuss all", "here")
    with pytest.raises(AssertionError):
        check_command("make dance", "here")


def test_a_failing_command_is_found_out(tmp_path: Path) -> None:
    with open_example_hub() as hub, ExitStack() as stack:
        reader = PageReader("here", hub, tmp_path, stack, program_words())
        with pytest.raises(AssertionError, match="ended with 2"):
            reader.follow(Block("here", 1, "console", "$ hf-gate ls nonsense"))
        reader.follow(Block("here", 1, "console", "$ hf-gate ls nonsense\n$ echo $?\n2"))
