"""Where given people stand now: the lists are read until each is found or all lists ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ...domain.ids import Repo
from ...domain.lifecycle import Status
from ...domain.requests import AccessRequest, Target
from ...errors import BadRequest
from .. import routes
from ..messages import Emit, Reply
from ..replies import is_ok
from .calling import Flow, Setting, call
from .listing import list_requests


@dataclass(slots=True)
class Found:
    """The requests that were found, by the index of their target; `complete` when an absence means something."""

    requests: dict[int, AccessRequest] = field(default_factory=dict)
    complete: bool = True


class _Index:
    """Targets by whatever they are known by, so that a page costs one look-up a row."""

    def __init__(self, targets: Mapping[int, Target]) -> None:
        self.by_key: dict[tuple[str, str], int] = {}
        for index, target in targets.items():
            for kind, value in (("r", target.request_id), ("i", target.user_id), ("u", target.username)):
                if value:
                    self.by_key[kind, value.lower()] = index
        self.targets = dict(targets)

    def match(self, row: AccessRequest) -> int | None:
        for kind, value in (("r", row.request_id), ("i", row.person.id), ("u", row.person.username)):
            if value and (index := self.by_key.get((kind, value.lower()))) is not None:
                return index if self.targets[index].names(row) or _is_new_attempt(self.targets[index], row) else None
        return None


def _is_new_attempt(target: Target, row: AccessRequest) -> bool:
    """The same account under another request id: found, so that the caller can say that it moved."""
    return bool(target.user_id and row.person.id and target.user_id.lower() == row.person.id.lower())


def find(repo: Repo, targets: Sequence[Target], statuses: Iterable[str], setting: Setting) -> Flow[Found]:
    """Reads the lists in the given order until every target is found. One person alone is asked for by name."""
    found = Found()
    missing = _Index(dict(enumerate(targets)))
    narrow = targets[0].username if len(targets) == 1 else None
    for status in statuses:
        if len(found.requests) == len(targets):
            break
        try:
            complete = yield from _look(repo, status, narrow, missing, found, setting)
        except BadRequest:
            if status != Status.RESET:
                raise
            complete = True  # a Hub before September 2026 has no such list: nobody stands in it
        found.complete = found.complete and complete
    return found


def _look(repo: Repo, status: str, narrow: str | None, missing: _Index, found: Found, setting: Setting) -> Flow[bool]:
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
                if (index := missing.match(row)) is not None:
                    found.requests[index] = row
            if len(found.requests) == len(missing.targets):
                flow.close()
                return True
            answer = None
        else:
            answer = yield step


def exists(who: Target, setting: Setting) -> Flow[bool | None]:
    """Whether an account exists; None when it is known by no name, or the Hub cannot say."""
    if who.username is None:
        return None
    answer = yield from call(routes.overview(who.username), setting)
    if is_ok(answer):
        return True
    return False if isinstance(answer, Reply) and answer.status == 404 else None
