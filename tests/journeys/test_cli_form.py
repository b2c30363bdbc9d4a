"""form check: what a requester meets and what is wrong with a card, for repos, cards, and as text, JSON and Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import Console

_BROKEN = """\
---
extra_gated_prompt: Read the terms.
dataset_info:
  extra_gated_fields: {Name: text}
extra_gated_fields:
  Institution: text
  Use:
    type: select
  Agree:
    type: checkbox
    required: true
---
"""


def _card(folder: Path, text: str) -> str:
    path = folder / "README.md"
    path.write_text(text, "utf-8")
    return str(path)


def _without_token(hub: LocalHub) -> dict[str, str]:
    return {"HF_TOKEN": "", "HF_ENDPOINT": hub.url}


def test_warnings_alone_end_with_0(fresh: LocalHub, tmp_path: Path) -> None:
    text = "---\ngated: manual\nextra_gated_prompt: Terms.\nextra_gated_fields:\n  Why: text\n---\n"
    ended = Console(fresh).run("form", "check", "--card", _card(tmp_path, text))
    assert (ended.code, "1 warning." in ended.out) == (0, True)


def test_a_repo_that_nobody_sees_names_the_token_and_the_card(fresh: LocalHub) -> None:
    ended = Console(fresh).run("form", "check", "lumen-labs/secret", env=_without_token(fresh))
    assert ended.code in {1, 4}
    assert "A private repo needs a token that can read it." in ended.hint
    assert "--card README.md" in ended.hint


@pytest.mark.parametrize("text", ["", "# Title\n", "---\n---\n", "---\nlicense: mit\n---\n"])
def test_a_card_without_a_form_asks_no_question(fresh: LocalHub, tmp_path: Path, text: str) -> None:
    ended = Console(fresh).run("form", "check", "--card", _card(tmp_path, text))
    assert ended.code == 0, ended.out
    assert "The form has no fields." in ended.out


def test_what_is_no_card_is_refused(fresh: LocalHub, tmp_path: Path) -> None:
    console, path = Console(fresh), tmp_path / "big.bin"
    path.write_bytes(b"x" * (4 * 2**20 + 1))
    assert console.run("form", "check", "--card", str(path)).code == 2
    assert console.run("form", "check", "--card", str(tmp_path / "none.md")).code == 2
    assert console.run("form", "check").code == 2
    assert console.run("form", "check", "--card", "-", stdin=_BROKEN).code == 1
