"""No grant ends early, on unknown, or later than one turn after the guard allows it: random years, played turn by turn."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from tests.kits.grant_model import GRACES, PEOPLE, GrantModel
from tests.kits.grant_workspaces import GONE, make_grant_workspace

TURN = timedelta(hours=11)  # no divisor of a day


_days = st.integers(1, 30)
_edits = st.one_of(
    st.tuples(
        st.just("edit"), st.sampled_from(PEOPLE), st.one_of(_days, st.none(), st.just(GONE), st.integers(-20, 0))
    ),
    st.tuples(st.just("train"), st.sampled_from(PEOPLE), st.none()),
    st.tuples(st.just("lose"), st.sampled_from(sorted(GRACES)), st.none()),
    st.tuples(st.just("read"), st.just(""), st.none()),
)


_OPPOSITE = [(("train", "ada", None), 5), (("edit", "ada", GONE), 1), (("train", "ada", None), 12)]
"""The person loses the training, then the agreement, and is trained again before the grace of the first is over."""


@pytest.mark.slow
@example(start=dict.fromkeys(PEOPLE, 20), steps=_OPPOSITE, rate=9)
@given(
    start=st.fixed_dictionaries(dict.fromkeys(PEOPLE, st.integers(2, 20))),
    steps=st.lists(st.tuples(_edits, st.integers(1, 12)), min_size=1, max_size=8),
    rate=st.sampled_from([1, 9]),
)
@settings(
    max_examples=max(10, settings().max_examples // 5),
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
def test_access_ends_neither_early_nor_on_unknown_nor_late(
    start: dict[str, int],
    steps: list[tuple[tuple[str, str, int | str | None], int]],
    rate: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scene = make_grant_workspace(Path(folder))
        try:
            year = GrantModel(scene)
            year.start(start, f"{{end: {rate}/min}}")
            for (kind, name, days), turns in steps:
                if kind == "edit":
                    year.change(name, days)
                elif kind == "train":
                    year.train(name)
                elif kind == "lose":
                    year.lose(name)
                else:
                    year.change(PEOPLE[0], year.rows[PEOPLE[0]])
                for _ in range(turns):
                    scene.wait(TURN / timedelta(days=1))
                    scene.load()
                    year.turn(rate)
            scene.check()
        finally:
            scene.close()


def test_the_model_knows_a_policy_that_ends_too_early() -> None:
    """The property is no tautology: access on other terms is found out."""
    with tempfile.TemporaryDirectory() as folder:
        scene = make_grant_workspace(Path(folder))
        year = GrantModel(scene)
        year.start(dict.fromkeys(PEOPLE, 20), "{end: 9/min}")
        scene.change_end("ada", "1d")
        scene.wait(3)
        scene.load()
        with pytest.raises(AssertionError, match="ada lost access too early"):
            year.turn(9)
        scene.close()
