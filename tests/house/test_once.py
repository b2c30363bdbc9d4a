"""What is spelt or built in one place alone, so that whoever changes it finds all of it there."""

from __future__ import annotations

import re

from tests.house.tree import PACKAGE, modules

_SETTING = re.compile(r"\.setting\(\s*f?[\"']")
_CHANGE = re.compile(r"(?<!class )\bChange\(")


def test_no_use_case_or_command_spells_the_name_of_a_setting_by_itself() -> None:
    files = [PACKAGE / "joining.py", *(PACKAGE / "application").glob("*.py"), *(PACKAGE / "cli").glob("*.py")]
    assert [file.name for file in files if _SETTING.search(file.read_text("utf-8"))] == []


def test_the_change_of_a_plan_is_built_in_one_module() -> None:
    built = [file.relative_to(PACKAGE).as_posix() for file in modules() if _CHANGE.search(file.read_text("utf-8"))]
    assert built == ["plan/desired.py"]
