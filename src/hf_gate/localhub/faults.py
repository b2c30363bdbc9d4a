"""The local Hub's tantrums, each by a name: when they fire and what they do to a call; seeded, without clock or network."""

from __future__ import annotations


class Fault:
    spec = ""


class FaultSet:
    def __init__(self, specs: tuple[str, ...] = (), seed: int = 0) -> None:
        self.active: list[Fault] = []

    def clear(self) -> None:
        self.active = []

    def add(self, fault: Fault) -> None:
        self.active.append(fault)


def parse_spec(text: str) -> Fault:
    raise ValueError(f"no fault {text!r} yet")
