"""What the README says about installing works: from an address of git, as `uv tool install git+URL` and pip do it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT, tracked_files


@pytest.mark.slow
def test_an_install_from_a_git_address_brings_the_command(tmp_path: Path) -> None:
    """The dependencies are those of this environment, so no package index is asked."""
    source, target = tmp_path / "source", tmp_path / "target"
    for file in tracked_files():
        copy = source / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    git = shutil.which("git") or "git"
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "Start"]):
        subprocess.run([git, "-C", str(source), *words], check=True, stdin=subprocess.DEVNULL)
    options = ["-q", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, f"git+{source.as_uri()}"], check=True)
    program = target / "bin" / "hf-gate"
    said = subprocess.run(
        [sys.executable, str(program), "version"], env={**os.environ, "PYTHONPATH": str(target)}, cwd=tmp_path,
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert re.match(r"hf-gate \d+\.\d+", said)


def test_no_page_tells_to_install_a_package_that_is_not_published() -> None:
    """Take this test out with the first release on a package index, and put the short commands back."""
    needs_an_index = re.compile(r"uvx hf-gate|(pip|pipx|tool) install ['\"]?hf-gate(?!\S* @)")
    pages = [path for path in tracked_files() if path.suffix == ".md" and "decisions" not in path.parts]
    assert [path.name for path in pages if needs_an_index.search(path.read_text("utf-8"))] == []
