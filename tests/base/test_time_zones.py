"""A time zone is looked up by one file, with the same answer as in the list of all of them."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import TZPATH, available_timezones

import pytest

from hf_gate.base.time_zones import TimeZones

FILES = sorted({
    path.relative_to(root).as_posix() for root in TZPATH for path in Path(root).rglob("*") if path.is_file()
})  # fmt: skip


def test_each_file_is_a_time_zone_if_it_is_in_the_list() -> None:
    listed = available_timezones()
    zones = TimeZones()
    assert {name for name in {*FILES, *listed} if name in zones} == listed
    assert (set(zones), len(zones)) == (listed, len(listed))


@pytest.mark.parametrize(
    "name",
    ["", ".", "Europe", "Europe/", "Europe/Nowhere", "/etc/localtime", "../zoneinfo/UTC", "a\0b", "\ud800", "x" * 5000, None, 7],
)  # fmt: skip
def test_anything_else_is_no_time_zone(name: object) -> None:
    assert name not in TimeZones()
