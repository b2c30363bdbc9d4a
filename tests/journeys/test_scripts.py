"""docs/from-a-script.md: what each script does to the requests, the commands beside it do too, each at a Hub of its own."""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from hf_gate import Hub
from hf_gate.testing import LocalHub
from tests.kits.doc_pages import Block, PageReader, open_example_hub, read_blocks
from tests.kits.paths import ROOT
from tests.kits.program_server import program_words

PAGE: Final = "docs/from-a-script.md"
REPO: Final = "datasets/you/your-data"
STATUSES: Final = ("pending", "accepted", "rejected", "reset")


def _read_parts() -> dict[str, list[Block]]:
    """The blocks below each heading. A date that lies ahead on the page lies ahead whenever the test runs."""
    lines = (ROOT / PAGE).read_text("utf-8").splitlines()
    headings = [(number, line[3:]) for number, line in enumerate(lines, 1) if line.startswith("## ")]
    parts: dict[str, list[Block]] = {name: [] for _, name in headings}
    for block in read_blocks(PAGE):
        name = [name for number, name in headings if number < block.line][-1]
        text = re.sub(r"\b2027-", "2099-", block.text).replace("date(2027,", "date(2099,")
        parts[name].append(replace(block, text=text))
    return parts


PARTS: Final = _read_parts()


def _is_script(block: Block) -> bool:
    return block.language == "python"


def _play(blocks: list[Block]) -> dict[str, list[str]]:
    """Who is in which list after somebody did what the blocks say."""
    with tempfile.TemporaryDirectory() as folder, open_example_hub() as local, ExitStack() as stack:
        reader = PageReader(PAGE, local, Path(folder), stack, program_words())
        for block in blocks:
            reader.follow(block)
        return _read_lists(local)


def _read_lists(local: LocalHub) -> dict[str, list[str]]:
    with Hub(local.tokens["you"], local.url) as hub:
        return {status: sorted(str(row.username) for row in hub.list(REPO, status)) for status in STATUSES}


def test_the_page_has_four_scripts() -> None:
    assert [sum(map(_is_script, blocks)) for blocks in PARTS.values()] == [1] * 4


@pytest.mark.parametrize("name", PARTS)
def test_the_commands_do_what_the_script_does(name: str) -> None:
    files = [block for block in PARTS[name] if block.mark.endswith(".csv")]
    script = [*files, *filter(_is_script, PARTS[name])]
    commands = [block for block in PARTS[name] if not _is_script(block)]
    assert _play(script) == _play(commands)
