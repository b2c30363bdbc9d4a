"""Finds the current requests of given people: by the time of the request, by name, or in complete lists, whichever is
cheapest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.core.completeness import Completeness
from hf_gate.core.lifecycle import STATUSES
from hf_gate.core.requests import AccessRequest, Target
from hf_gate.errors import BadRequest, Incomplete
from hf_gate.hub.protocol import endpoints
from hf_gate.hub.protocol.codec import UnreadableBody, format_hub_time, read_profile
from hf_gate.hub.protocol.messages import EmitValue, HubCall, Reply, StartCall
from hf_gate.hub.protocol.replies import is_ok

from .calls import Flow, FlowContext, send_call
from .listing import list_requests

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Found:
    """The requests that were found, by the index of their target.

    If `complete` is true, a person who is missing has no request.
    """

    requests: Mapping[int, AccessRequest] = field(default_factory=dict)
    complete: bool = True

    def __repr__(self) -> str:
        return f"<Found {pluralize(len(self.requests), 'request')}, {'' if self.complete else 'not '}complete>"


def order_statuses(*first: str) -> tuple[str, ...]:
    """Return all statuses with the given ones first."""
    return (*dict.fromkeys(first), *(s for s in STATUSES if s not in first))


def choose_statuses(targets: Sequence[Target]) -> tuple[str, ...]:
    """Return the lists to search for people, starting with those in which they were last seen."""
    last_seen = (target.request.status for target in targets if target.request)
    return order_statuses(*(status for status in last_seen if status in STATUSES))  # withdrawn requests are in no list


_Identifiers = tuple[str | None, str | None, str | None]  # request id, account id, username: the most reliable first


class _Search:
    """Targets indexed by each of their identifiers, and the requests found for them."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = targets
        self.found: dict[int, AccessRequest] = {}
        self._by_key: dict[tuple[int, str], list[int]] = {}
        self._nameless: set[frozenset[int]] = set()  # the identifiers in rows that lacked some
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
                if self.targets[index].matches(row) or _is_new_attempt(self.targets[index], row):
                    self.found[index] = row
        if not all(names):
            self._nameless.add(_list_known_kinds(names))

    def result(self, *, complete: bool) -> Found:
        """Return what was found.

        The result is complete only if each missing target could have been recognised in every row.
        """
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
    """Return whether a row is a newer request of the target's account; the caller reports it as changed."""
    return bool(target.user_id and row.person.id and target.user_id.lower() == row.person.id.lower())


def find_one(repo: Repo, target: Target, context: FlowContext) -> Flow[AccessRequest | None]:
    """Return one person's current request; None if the person has none."""
    found = yield from find_requests(repo, [target], choose_statuses([target]), context)
    if not found.requests and not found.complete:
        raise Incomplete(
            f"{target.label} was not found at {repo}, but the lists could not be read completely.",
            hint="Try again, or name the person by request id or user id.",
        )
    return found.requests.get(0)


def find_requests(repo: Repo, targets: Sequence[Target], statuses: Iterable[str], context: FlowContext) -> Flow[Found]:
    """Find the current requests of the targets; each list is read in the given order and only as far as needed.

    Requests that were read before are first searched by the time of the request. The others are searched by name with a
    call each, or the complete list is read, whichever takes fewer calls. A person counts as absent only if complete
    lists do not contain them, or if searches for their current username find nothing.
    """
    search = _Search(targets)
    order = tuple(statuses)
    if len(targets) > 1:
        yield from _search_by_time(repo, order, search, context)
    complete = True
    asked = set[int]()
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
    """Search by the time of the request, which decisions do not change. People who asked again are found later."""
    for status in order:
        asked_at = {i: request.asked_at for i in search.missing if (request := search.targets[i].request)}
        if len(asked_at) < max(len(search.missing), 1) or max(asked_at.values()).year >= 9999:
            return  # the lists must be read for the others anyway
        flow = list_requests(repo, status, context, before=format_hub_time(max(asked_at.values()) + _MS), ahead=False)
        with suppress(BadRequest):
            yield from _read_until(flow, _TimeStop(search, asked_at), most=len(asked_at))


class _TimeStop:
    """Decides when a search by time can stop: all people are found, or the list has passed their times."""

    def __init__(self, search: _Search, asked_at: Mapping[int, datetime]) -> None:
        self._search = search
        self._stood = asked_at.keys()
        self._oldest = min(asked_at.values())

    def __call__(self, rows: Sequence[AccessRequest]) -> bool:
        _add_rows(self._search, rows)
        return self._search.found.keys() >= self._stood or bool(rows and rows[-1].asked_at < self._oldest)


def _search_list(repo: Repo, status: str, search: _Search, asked: set[int], context: FlowContext) -> Flow[bool]:
    """Search one list, completely or by name; return True if the listing was proved complete or everybody was found."""
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
    """Search one list by name; return whether the answer was proved complete, and whether it was the whole list.

    A Hub without `q` sends the complete list, so some records do not contain the name. A Hub with `q` may search fields
    other than the username, but always fields of the record.
    """
    unrelated: list[AccessRequest] = []

    def is_enough(rows: Sequence[AccessRequest]) -> bool:
        unrelated.extend(row for row in rows if name.lower().encode() not in row.raw_json.lower())
        return _add_rows(search, rows)

    proved = yield from _read_until(list_requests(repo, status, context, q=name), is_enough)
    return bool(proved), bool(unrelated)


def _read_until(
    flow: Flow[Completeness], is_enough: Callable[[Sequence[AccessRequest]], bool], *, most: int | None = None
) -> Flow[bool | None]:
    """Read a list until `is_enough`; return True then or if it is proved complete, None if that takes over `most`
    calls.
    """
    answer = None
    calls = 0
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
    """Return whether the username still belongs to the target's account, so that a search by name can find it."""
    if target.user_id is None or target.username is None:
        return target.request_id is None
    answer = yield from send_call(endpoints.build_profile_call(target.username), context)
    if not is_ok(answer):
        return False
    try:
        return (read_profile(answer.body).person.id or "").lower() == target.user_id.lower()
    except UnreadableBody:
        return False


def account_exists(who: Target, context: FlowContext) -> Flow[bool | None]:
    """Return whether an account exists; None if the username is unknown or the Hub cannot tell."""
    if who.username is None:
        return None
    answer = yield from send_call(endpoints.build_profile_call(who.username), context)
    if is_ok(answer):
        return True
    return False if isinstance(answer, Reply) and answer.status == 404 else None
