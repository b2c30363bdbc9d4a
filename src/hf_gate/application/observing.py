"""Enters what single records tell into the store: those that a decision met on its way, outside of any reading of lists."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.ids import Repo
from ..domain.requests import AccessRequest
from ..domain.state import Seen, told
from ..store.reading import Store


def observe(store: Store, repo: Repo, found: Sequence[AccessRequest], at: int, skew: float) -> list[int]:
    """The numbers of these requests in the store, in their order; what is new of them is entered first.

    `skew`: seconds that the Hub's clock is ahead of ours.
    """
    idents: list[int] = []
    new: dict[int, Seen] = {}
    for index, (known, request) in enumerate(zip(store.known(repo, found), found, strict=True)):
        if (seen := told(known, request, skew)) is not None:
            new[index] = seen
        idents.append(known.id if known is not None else 0)
    if new:
        with store.writing() as write:
            numbers = write.observe(repo, list(new.values()), at)
        for index, number in zip(new, numbers, strict=True):
            idents[index] = number
    return idents
