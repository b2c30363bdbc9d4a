"""A no to a whole repo is asked for once, told of everybody it concerns, and stops no other repo's part."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import MODEL, Console

FOREIGN = f"https://huggingface.co/{MODEL}"


@pytest.mark.parametrize("file", ["hf-gate.yaml", "policies/main.yaml"])
def test_a_workspace_that_names_a_repo_of_another_hub_is_refused(fresh: LocalHub, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "desk"
    console = Console(fresh)
    assert console.run("init", MODEL, "--workspace", str(folder)).code == 0
    path = next(iter(folder.glob("policies/*.yaml"))) if file != "hf-gate.yaml" else folder / file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(MODEL, f'"{FOREIGN}"', 1), encoding="utf-8")
    ended = console.run("plan", "--workspace", str(folder))
    assert ended.code == 2, ended.error
    assert "another host" in ended.error
    if file != "hf-gate.yaml":
        checked = console.run("policy", "check", "--workspace", str(folder))
        assert (checked.code, "another host" in checked.out + checked.err) == (2, True)
    path.write_text(text.replace(MODEL, f'"{fresh.url}/{MODEL}"', 1), encoding="utf-8")
    assert console.run("plan", "--workspace", str(folder)).code == 0
