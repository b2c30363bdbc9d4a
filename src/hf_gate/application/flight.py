"""What is with the Hub client now: which outcome belongs to which change, and one person sent by a call of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from ..domain.ids import Person, Repo
from ..domain.outcomes import ErrorScope, Outcome, classify_error
from ..domain.requests import Target
from ..errors import HfGateError
from .settling import Item, Settled, settled_by


class InFlightBatch:
    """What was given to the Hub client and has not come back: each outcome finds its change again."""

    def __init__(self, items: Mapping[int, Item]) -> None:
        self.items = items
        self.told: list[Settled] = []
        self._by_key: dict[str, Item] = {}

    def started(self, items: Iterable[Item]) -> None:
        for item in items:
            for key in _keys(item.target.request_id, item.target.user_id, item.target.username):
                self._by_key.setdefault(key, item)

    def landed(self, outcome: Outcome) -> Settled | None:
        keys = _keys(outcome.request_id, outcome.person.id, outcome.person.username)
        item = next((self._by_key[key] for key in keys if key in self._by_key), None)
        return None if item is None else settled_by(item, outcome)


def _keys(request_id: str | None, user_id: str | None, username: str | None) -> list[str]:
    named = (("r", request_id), ("i", user_id), ("u", username))
    return [f"{kind}:{value.lower()}" for kind, value in named if value]


def alone(repo: Repo, target: Target, call: Callable[..., Outcome]) -> Iterator[Outcome]:
    """One person by a call of their own; what that raises is an outcome too, and ends what it ends."""
    person = Person(target.user_id, target.username)
    try:
        if target.user_id or target.username:
            yield replace(call(repo, person), request_id=target.request_id)
        else:
            yield call(repo, request_id=target.request_id)
    except HfGateError as problem:
        law = classify_error(problem, listed=False)
        yield Outcome(law.kind, repo, person, target.request_id, str(problem), error=problem)
        if law.ends is not ErrorScope.ONE:
            raise
