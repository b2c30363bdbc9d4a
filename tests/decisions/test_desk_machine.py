"""Random days of a desk: people ask, leave and rename, others decide, plans are carried in steps, processes die, the Hub fails, clocks jump."""

from __future__ import annotations

from functools import partialmethod
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.kits.faulty_stores import WRONG_EXECUTORS
from tests.kits.random_days import NAMES, PROFILE, SHARDS, SIZES, RandomDays, places

CALM: Final = (
    "asks", "withdraws", "renames", "form_changes", "policy_is_edited", "syncs", "dies_while_reading", "takes_a_turn",
    "is_turned_back", "is_applied_in_steps", "time_passes", "clock_jumps", "quiet", "restarts", "is_decided_elsewhere",
)  # fmt: skip


class Losses(RandomDays):
    """Days on which everybody asks, and others decide about everybody: `CALM` is left out of them."""

    @rule(to=st.sampled_from(("accepted", "rejected", "reset")), at=places)
    def all_are_decided_elsewhere(self, to: str, at: int) -> None:
        for name in NAMES:
            self.is_decided_elsewhere(name=name, to=to, at=at)


def played(machine: type[RandomDays], examples: int, steps: int, **more: Any) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    phases = (Phase.explicit, Phase.generate, Phase.shrink) if machine is RandomDays else (Phase.generate,)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, phases=phases, suppress_health_check=checks, **more
        ),
    )


@pytest.mark.parametrize("shard", range(SHARDS[PROFILE]))
def test_whatever_happens_the_books_agree_with_the_hub(shard: int) -> None:
    """Shards differ by chance alone."""
    assert shard < SHARDS[PROFILE]
    played(RandomDays, *SIZES[PROFILE])


@pytest.mark.parametrize(
    "name", ["hasty", *(pytest.param(n, marks=pytest.mark.torture) for n in WRONG_EXECUTORS if n != "hasty")]
)
def test_the_machine_catches_a_carrier_that_forgets_a_duty(name: str) -> None:
    """By chance, but by the same one each time; `test_desk_histories.py` has a history for each."""
    calm = {one: partialmethod(getattr(RandomDays, one)) for one in CALM}  # no rules any more
    machine = type(f"{name.title()}Losses", (Losses,), {"make_executor": WRONG_EXECUTORS[name], **calm})
    with pytest.raises(AssertionError):
        played(machine, 400, 30, derandomize=True)
