"""Tables of states: which state follows another one, and after which event. Nothing else changes a state.

`docs/internals/reliability.md` prints the tables of runs, of their changes and of messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from hf_gate.errors import Guarded

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


class StateTable(Generic[State, Event]):
    """The states of something. `steps` has, for each event, the state after it by the state before it."""

    def __init__(self, noun: str, steps: Mapping[Event, Mapping[State, State]]) -> None:
        self.noun = noun
        self.steps = steps

    @property
    def states(self) -> tuple[State, ...]:
        """All states, in the order of their declaration."""
        return tuple(type(next(iter(next(iter(self.steps.values()))))))

    def step(self, state: State, event: Event) -> State:
        """Return the state after an event. Raises Guarded if the event cannot happen in this state."""
        after = self.steps[event].get(state)
        if after is None:
            raise Guarded(f"the {self.noun} is {state}, which does not allow {event!s}; nothing was changed.")
        return after

    def sql(self, event: Event) -> tuple[str, str]:
        """Return the SQL that sets the state after an event, and the condition that the event can happen.

        Raises ValueError if the state after it depends on the state before it.
        """
        (after,) = set(self.steps[event].values())
        before = ", ".join(f"'{state}'" for state in self.steps[event])
        return f"state = '{after}'", f"state IN ({before})"
