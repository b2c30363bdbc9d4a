"""Names under which use cases keep things in the store are spelt in one place: who writes and who reads mean the same."""

from __future__ import annotations

import re

from tests.house.tree import PACKAGE

_SPELT = re.compile(r"\.setting\(\s*f?[\"']")


def test_no_use_case_or_command_spells_a_setting_by_itself() -> None:
    files = [PACKAGE / "joining.py", *(PACKAGE / "usecases").glob("*.py"), *(PACKAGE / "cli").glob("*.py")]
    assert [file.name for file in files if _SPELT.search(file.read_text("utf-8"))] == []
