"""What `make test-pythons` runs: every test on every Python, and both sets of dependencies on each."""

from __future__ import annotations

import pytest

from tools.pythons import ALWAYS, DEPENDENCIES, SUPPORTED, WHOLE, list_tests, select_tests


@pytest.mark.parametrize("minor", SUPPORTED)
def test_every_test_runs_on_every_python(minor: str) -> None:
    assert select_tests(minor, WHOLE[minor]) == list_tests()


@pytest.mark.parametrize("minor", SUPPORTED)
def test_the_other_dependencies_of_a_python_get_a_quarter_of_the_tests(minor: str) -> None:
    (other,) = set(DEPENDENCIES) - {WHOLE[minor]}
    some = select_tests(minor, other)
    assert set(ALWAYS) <= set(some)
    assert 0.15 <= len(some) / len(list_tests()) <= 0.4


def test_each_set_of_dependencies_runs_everything_on_some_python() -> None:
    assert set(WHOLE.values()) == set(DEPENDENCIES)
    assert set(WHOLE) == set(SUPPORTED)


def test_the_pythons_take_different_quarters() -> None:
    parts = [
        set(select_tests(minor, other)) - set(ALWAYS)
        for minor in SUPPORTED
        for other in DEPENDENCIES
        if other != WHOLE[minor]
    ]
    assert sum(map(len, parts)) == len(set().union(*parts))


def test_a_python_without_a_plan_runs_everything_with_both_sets() -> None:
    assert [select_tests("3.14", name) for name in DEPENDENCIES] == [list_tests()] * 2
