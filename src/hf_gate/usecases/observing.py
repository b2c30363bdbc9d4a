"""Enters what single records tell into the store: those that a decision met on its way, outside of any reading of lists."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.ids import Repo
from ..domain.moments import ms
from ..domain.requests import AccessRequest
from ..domain.rows import Seen
from ..domain.state import Known, content_digest, news, raw_digest
from .ports import StorePort


def observe(store: StorePort, repo: Repo, found: Sequence[AccessRequest], at: int) -> list[int]:
    """The numbers of these requests in the store, in their order; what is new of them is entered first."""
    idents: list[int] = []
    told: dict[int, Seen] = {}
    for index, (known, request) in enumerate(zip(store.known(repo, found), found, strict=True)):
        seen = _seen(known, request)
        if seen is not None:
            told[index] = seen
        idents.append(known.id if known is not None else 0)
    if told:
        with store.writing() as write:
            numbers = write.observe(repo, list(told.values()), at)
        for index, number in zip(told, numbers, strict=True):
            idents[index] = number
    return idents


def _seen(known: Known | None, request: AccessRequest) -> Seen | None:
    """None when the record tells nothing that the store does not have, or knows better."""
    raw = raw_digest(request)
    if known is not None and known.raw == raw and known.state.status == request.status:
        return None
    events = news(known, request)
    if known is not None and not events and (ms(request.asked_at), request.status) != _stood(known):
        return None  # an earlier attempt, or a list that lags behind our own change
    return Seen(request=request, known=known, events=events, raw=raw, content=content_digest(request))


def _stood(known: Known) -> tuple[int, str]:
    return known.state.asked_at, known.state.status
