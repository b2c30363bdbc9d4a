"""No grant ends early, on unknown, or later than one turn after guard and hours allow it: random years, played turn by turn."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from hf_gate.verdicts.service.evaluated_parts import EvaluatedPart, PlanBuffer
from hf_gate.verdicts.service.evaluation import RepoPolicies
from tests.kits.grant_model import GRACES, PEOPLE, GrantModel
from tests.kits.grant_workspaces import GONE, SIGNED, GrantWorkspace, make_grant_workspace
from tests.kits.in_process_hub import InProcessHub

TURN = timedelta(hours=11)  # no divisor of a day, so that the hours of the window are met at every time


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
@example(start=dict.fromkeys(PEOPLE, 20), steps=_OPPOSITE, hours=(0, 24), rate=9)
@given(
    start=st.fixed_dictionaries(dict.fromkeys(PEOPLE, st.integers(2, 20))),
    steps=st.lists(st.tuples(_edits, st.integers(1, 12)), min_size=1, max_size=8),
    hours=st.sampled_from([(0, 24), (8, 18)]),
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
    hours: tuple[int, int],
    rate: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scene = make_grant_workspace(Path(folder))
        try:
            year = GrantModel(scene)
            guards = f'{{ends: {rate}/min, end_hours: "{hours[0]:02}:00-{hours[1]:02}:00"}}'
            year.start(start, guards)
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
                    year.turn(hours, rate)
            scene.check()
        finally:
            scene.close()


def test_the_model_knows_a_policy_that_ends_too_early() -> None:
    """The property is no tautology: access on other terms is found out."""
    with tempfile.TemporaryDirectory() as folder:
        scene = make_grant_workspace(Path(folder))
        year = GrantModel(scene)
        year.start(dict.fromkeys(PEOPLE, 20), "{ends: 9/min}")
        year.people["ada"].end += timedelta(days=5)
        scene.wait(22)
        scene.load()
        with pytest.raises(AssertionError, match="ada lost access too early"):
            year.turn((0, 24), 9)
        scene.close()


class SlowScene(GrantWorkspace):
    """A scene whose evaluations last two minutes."""

    def evaluate(
        self, policy_set: RepoPolicies, status: str, now: datetime, buffer: PlanBuffer
    ) -> Iterator[EvaluatedPart]:
        yield from super().evaluate(policy_set, status, now, buffer)
        self.local_hub.time.advance(120)


@pytest.mark.parametrize(("hours", "sent"), [("00:00-10:00", 1), ("10:00-23:00", 0)])
def test_a_turn_takes_its_budgets_and_hours_at_one_moment(tmp_path: Path, hours: str, sent: int) -> None:
    """The evaluation lasts from before 10:00 until after it. What the turn planned is what it sends."""
    scene = SlowScene(tmp_path, InProcessHub(repos=1))
    scene.let_in({"ada": 5}, SIGNED, guards=f'{{ends: 9/min, end_hours: "{hours}"}}')
    scene.wait(8)
    until_ten = (scene.now.replace(hour=9, minute=59, second=0) - scene.now) % timedelta(days=1)
    scene.wait(until_ten / timedelta(days=1))
    scene.load()
    done = scene.turn(is_full=True)
    assert scene.now.hour == 10
    assert (done.closed, dict(done.deferred_by_guard)) == (1 - sent, {})
    assert scene.status_on_hub("ada") == ("reset" if sent else "accepted")
    scene.close()
