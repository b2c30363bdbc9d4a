"""Where given people stand now: looked for by when they asked, by name, or in whole lists, whichever is less."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ...domain.completeness import Completeness
from ...domain.ids import Repo
from ...domain.lifecycle import STATUSES
from ...domain.requests import AccessRequest, Target
from ...errors import BadRequest, Incomplete
from .. import endpoints
from ..codec import UnreadableBody, format_time, read_profile
from ..messages import EmitValue, HubCall, Reply, StartCall
from ..replies import is_ok
from .calling import Flow, FlowContext, send_call
from .listing import list_requests

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Found:
    """The requests that were found, by the index of their target; `complete` when an absence means something."""

    requests: Mapping[int, AccessRequest] = field(default_factory=dict)
    complete: bool = True


def order_statuses(*first: str) -> tuple[str, ...]:
    """All statuses, the given ones at the front."""
    return (*dict.fromkeys(first), *(s for s in STATUSES if s not in first))


def choose_statuses(targets: Sequence[Target]) -> tuple[str, ...]:
    """The lists in which to look for people: first those in which they stood when they were read."""
    stood = (target.request.status for target in targets if target.request)
    return order_statuses(
        *(status for status in stood if status in STATUSES)
    )  # a store knows who withdrew, no list does


_Identifiers = tuple[str | None, str | None, str | None]  # request id, account id, username: the surest first


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
    def missing(self) -> list[int]:
        return [index for index in range(len(self.targets)) if index not in self.found]

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
            self._nameless.add(_list_known_kinds(names))

    def result(self, *, complete: bool) -> Found:
        """What was found. Absent is only who could have been recognised in every row."""
        missing = [self.targets[index] for index in self.missing]
        hidden = any(
            known.isdisjoint(_list_known_kinds((target.request_id, target.user_id, target.username)))
            for known in self._nameless
            for target in missing
        )
        return Found(self.found, complete and not hidden)


def _list_known_kinds(names: _Identifiers) -> frozenset[int]:
    return frozenset(kind for kind, value in enumerate(names) if value)


def _is_new_attempt(target: Target, row: AccessRequest) -> bool:
    """The same account under another request id: found, so that the caller can say that it moved."""
    return bool(target.user_id and row.person.id and target.user_id.lower() == row.person.id.lower())


def find_one(repo: Repo, target: Target, context: FlowContext) -> Flow[AccessRequest | None]:
    """One person's request as it stands now; None when nobody of that name or id has one."""
    found = yield from find_requests(repo, [target], choose_statuses([target]), context)
    if not found.requests and not found.complete:
        raise Incomplete(
            f"{target.label} was not found at {repo}, and the lists could not be read whole.",
            hint="Whether there is a request is not known: try again, or name the person by request id or user id.",
        )
    return found.requests.get(0)


def find_requests(repo: Repo, targets: Sequence[Target], statuses: Iterable[str], context: FlowContext) -> Flow[Found]:
    """Where the targets stand; the lists are gone through in the given order, and each no further than needed.

    Requests that were read before are first looked for by when they asked. Who is left is asked for by name, a call for
    each, or the whole list is read, whichever turns out to be less. Absent is only who is in no list that was read
    whole, or in no answer to a name that still is that account's.
    """
    search, order = _Search(targets), tuple(statuses)
    if len(targets) > 1:
        yield from _search_by_time(repo, order, search, context)
    complete, asked = True, set[int]()
    for status in order:
        if not search.is_done:
            complete = (yield from _search_list(repo, status, search, asked, context)) and complete
    for index in asked:
        if index not in search.found and not (yield from _has_current_name(targets[index], context)):
            complete = True
            for status in order:
                proved = yield from _read_until(
                    list_requests(repo, status, context), lambda rows: _add_rows(search, rows)
                )
                complete = bool(proved) and complete
            break
    return search.result(complete=complete)


def _add_rows(search: _Search, rows: Sequence[AccessRequest]) -> bool:
    for row in rows:
        search.add(row)
    return search.is_done


def _search_by_time(repo: Repo, order: Iterable[str], search: _Search, context: FlowContext) -> Flow[None]:
    """By when they asked, which no decision changes. Who asked anew, or a Hub that reads `before` otherwise, is left over."""
    for status in order:
        stood = {i: request.asked_at for i in search.missing if (request := search.targets[i].request)}
        if len(stood) < max(len(search.missing), 1) or max(stood.values()).year >= 9999:
            return  # the lists have to be read for the others anyway
        flow = list_requests(repo, status, context, before=format_time(max(stood.values()) + _MS), ahead=False)
        with suppress(BadRequest):
            yield from _read_until(flow, _TimeStop(search, stood), most=len(stood))


class _TimeStop:
    """Whether all of some people were found, or a list has come to those who asked before any of them."""

    def __init__(self, search: _Search, stood: Mapping[int, datetime]) -> None:
        self._search, self._stood, self._oldest = search, stood.keys(), min(stood.values())

    def __call__(self, rows: Sequence[AccessRequest]) -> bool:
        _add_rows(self._search, rows)
        return self._search.found.keys() >= self._stood or bool(rows and rows[-1].asked_at < self._oldest)


def _search_list(repo: Repo, status: str, search: _Search, asked: set[int], context: FlowContext) -> Flow[bool]:
    """One list, whole or by the names in it; True when all of that came to a proved end, or everybody was found."""
    missing = search.missing
    has_names = all(search.targets[index].username for index in missing)
    if not has_names or len(missing) > 1:
        most = len(missing) if has_names else None
        proved = yield from _read_until(
            list_requests(repo, status, context), lambda rows: _add_rows(search, rows), most=most
        )
        if proved is not None:
            return proved
    complete = True
    for index in missing:
        if index in search.found:
            continue
        proved, is_whole = yield from _search_by_name(
            repo, status, search, str(search.targets[index].username), context
        )
        if is_whole:
            return proved
        asked.add(index)
        complete = complete and proved
    return complete


def _search_by_name(
    repo: Repo, status: str, search: _Search, name: str, context: FlowContext
) -> Flow[tuple[bool, bool]]:
    """One name in one list: whether that came to a proved end, and whether it was the whole list.

    A Hub that does not know `q` sends the whole list. One that does may look at more than the username: at whatever it
    looks, it is in the record.
    """
    strangers: list[AccessRequest] = []

    def is_enough(rows: Sequence[AccessRequest]) -> bool:
        strangers.extend(row for row in rows if name.lower().encode() not in row.raw_json.lower())
        return _add_rows(search, rows)

    proved = yield from _read_until(list_requests(repo, status, context, q=name), is_enough)
    return bool(proved), bool(strangers)


def _read_until(
    flow: Flow[Completeness], is_enough: Callable[[Sequence[AccessRequest]], bool], *, most: int | None = None
) -> Flow[bool | None]:
    """A list until it is enough; True then and at a proved end, None when that would take more than so many calls."""
    answer, calls = None, 0
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as end:
            return bool(end.value)
        answer = None
        if not isinstance(step, EmitValue):
            calls += isinstance(step, HubCall | StartCall)
            if most is not None and calls > most:
                flow.close()
                return None
            answer = yield step
        elif is_enough(step.value.rows):
            flow.close()
            return True


def _has_current_name(target: Target, context: FlowContext) -> Flow[bool]:
    """Whether a search by name could find the person: names change hands, so an account known by id is asked for its own."""
    if target.user_id is None or target.username is None:
        return target.request_id is None
    answer = yield from send_call(endpoints.overview(target.username), context)
    if not is_ok(answer) or not isinstance(answer, Reply):
        return False
    try:
        return (read_profile(answer.body).person.id or "").lower() == target.user_id.lower()
    except UnreadableBody:
        return False


def account_exists(who: Target, context: FlowContext) -> Flow[bool | None]:
    """Whether an account exists; None when it is known by no name, or the Hub cannot say."""
    if who.username is None:
        return None
    answer = yield from send_call(endpoints.overview(who.username), context)
    if is_ok(answer):
        return True
    return False if isinstance(answer, Reply) and answer.status == 404 else None
