"""Gauges: how many statements the package has, and how long its functions are. The suite shows them at its end; they are looked at together when they grow, and never fail it."""

from __future__ import annotations

from pathlib import Path

from tests.kits.gauges import count_statements, list_gauges
from tests.kits.paths import PACKAGE


def test_the_gauges_read_the_whole_package() -> None:
    assert list_gauges()[0].endswith(f" statements in {len(list(PACKAGE.rglob('*.py')))} files.")


def test_imports_and_docstrings_are_no_statements(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""Text."""\nimport os\n\n\ndef name() -> str:\n    """Text."""\n    return os.name\n', "utf-8")
    assert count_statements(module) == 2
