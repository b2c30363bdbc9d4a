"""Where given people stand now: asked for by name, or the lists are read until each is found or all lists ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ...domain.ids import Repo
from ...domain.lifecycle import STATUSES
from ...domain.requests import AccessRequest, Target
from ...errors import Incomplete
from .. import routes
from ..codec import Unreadable, read_profile
from ..messages import Emit, Reply
from ..replies import is_ok
from .calling import Flow, Setting, call
from .listing import list_requests


@dataclass(frozen=True, slots=True)
class Found:
    """The requests that were found, by the index of their target; `complete` when an absence means something."""

    requests: Mapping[int, AccessRequest] = field(default_factory=dict)
    complete: bool = True


def others_first(*first: str) -> tuple[str, ...]:
    """All statuses, the given ones at the front."""
    return (*dict.fromkeys(first), *(s for s in STATUSES if s not in first))


def sought_in(targets: Sequence[Target]) -> tuple[str, ...]:
    """The lists in which to look for people: first those in which they stood when they were read."""
    return others_first(*(target.request.status for target in targets if target.request))


_Names = tuple[str | None, str | None, str | None]  # request id, account id, username: the surest first


class _Search:
    """Targets by whatever they are known by, so that a page costs a few look-ups a row, and what was found of them."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = targets
        self.found: dict[int, AccessRequest] = {}
        self._by_key: dict[tuple[int, str], list[int]] = {}
        self._nameless: set[frozenset[int]] = set()  # how rows were known that were not known by everything
        for index, target in enumerate(targets):
            for kind, value in enumerate((target.request_id, target.user_id, target.username)):
                if value:
                    self._by_key.setdefault((kind, value.lower()), []).append(index)

    @property
    def is_done(self) -> bool:
        return len(self.found) == len(self.targets)

    def add(self, row: AccessRequest) -> None:
        names = (row.request_id, row.person.id, row.person.username)
        for kind, value in enumerate(names):
            for index in self._by_key.get((kind, value.lower()), ()) if value else ():
                if self.targets[index].names(row) or _is_new_attempt(self.targets[index], row):
                    self.found[index] = row
        if not all(names):
            self._nameless.add(_kinds(names))

    def result(self, *, complete: bool) -> Found:
        """What was found. Absent is only who could have been recognised in every row."""
        missing = [target for index, target in enumerate(self.targets) if index not in self.found]
        hidden = any(
            known.isdisjoint(_kinds((target.request_id, target.user_id, target.username)))
            for known in self._nameless
            for target in missing
        )
        return Found(self.found, complete and not hidden)


def _kinds(names: _Names) -> frozenset[int]:
    return frozenset(kind for kind, value in enumerate(names) if value)


def _is_new_attempt(target: Target, row: AccessRequest) -> bool:
    """The same account under another request id: found, so that the caller can say that it moved."""
    return bool(target.user_id and row.person.id and target.user_id.lower() == row.person.id.lower())


def find_one(repo: Repo, target: Target, setting: Setting) -> Flow[AccessRequest | None]:
    """One person's request as it stands now; None when nobody of that name or id has one."""
    found = yield from find(repo, [target], sought_in([target]), setting)
    if not found.requests and not found.complete:
        raise Incomplete(
            f"{target.label} was not found at {repo}, and the lists could not be read whole.",
            hint="Whether there is a request is not known: try again, or name the person by request id or user id.",
        )
    return found.requests.get(0)


def find(repo: Repo, targets: Sequence[Target], statuses: Iterable[str], setting: Setting) -> Flow[Found]:
    """Reads the lists in the given order until every target is found. One person alone is asked for by name."""
    search, order = _Search(targets), tuple(statuses)
    name = targets[0].username if len(targets) == 1 else None
    complete = yield from _look_through(repo, order, name, search, setting)
    if name is not None and not search.is_done and not (yield from _is_called_so(targets[0], setting)):
        complete = yield from _look_through(repo, order, None, search, setting)
    return search.result(complete=complete)


def _look_through(
    repo: Repo, statuses: Iterable[str], narrow: str | None, search: _Search, setting: Setting
) -> Flow[bool]:
    complete = True
    for status in statuses:
        if search.is_done:
            break
        complete = (yield from _look(repo, status, narrow, search, setting)) and complete
    return complete


def _look(repo: Repo, status: str, narrow: str | None, search: _Search, setting: Setting) -> Flow[bool]:
    """One list, read no further than needed; True when it was read to a proved end or everybody was found."""
    # A Hub that does not know `q` sends the whole list, which is then read as usual.
    flow = list_requests(repo, status, setting, q=narrow)
    answer = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as end:
            return bool(end.value)
        if isinstance(step, Emit):
            for row in step.value.rows:
                search.add(row)
            if search.is_done:
                flow.close()
                return True
            answer = None
        else:
            answer = yield step


def _is_called_so(target: Target, setting: Setting) -> Flow[bool]:
    """Whether a search by name could find the person: names change hands, so an account known by id is asked for its own."""
    if target.user_id is None or target.username is None:
        return target.request_id is None
    answer = yield from call(routes.overview(target.username), setting)
    if not is_ok(answer) or not isinstance(answer, Reply):
        return False
    try:
        return (read_profile(answer.body).person.id or "").lower() == target.user_id.lower()
    except Unreadable:
        return False


def exists(who: Target, setting: Setting) -> Flow[bool | None]:
    """Whether an account exists; None when it is known by no name, or the Hub cannot say."""
    if who.username is None:
        return None
    answer = yield from call(routes.overview(who.username), setting)
    if is_ok(answer):
        return True
    return False if isinstance(answer, Reply) and answer.status == 404 else None
