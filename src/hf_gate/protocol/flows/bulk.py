"""Many decisions: looked at once more, grouped by status and reason, sent by the hundred, each told apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...domain.ids import Repo
from ...domain.lifecycle import Status
from ...domain.outcomes import Kind, Outcome
from ...domain.requests import Decision, Target
from ...errors import (
    BadRequest,
    HubError,
    InvalidTarget,
    PersonNotFound,
    RequestNotFound,
)
from .. import routes
from ..codec import Unreadable, read_array
from ..messages import Answer, Emit, Finish, Reply, Send, Start, Take, Turn, Wait
from ..replies import error_of, is_ok, is_unsettled
from .calling import Flow, Setting, call
from .deciding import (
    SETTLE_ROUNDS,
    ended,
    how_to_name,
    judge_ground,
    outcome,
    send_and_settle,
    unknown,
)
from .finding import find, others_first, sought_in

FRESH_S = 10.0  # how long a reading holds as the ground of a decision that has not left yet

_Group = tuple[Status, str | None]


@dataclass(slots=True)
class _Run:
    """What one run remembers: whom it decided and how, and whether this Hub has batch."""

    repo: Repo
    setting: Setting
    decided: dict[tuple[str, str], Decision] = field(default_factory=dict)
    groups: dict[_Group, list[Decision]] = field(default_factory=dict)
    has_batch: bool = True

    def put(self, decision: Decision) -> None:
        """To be sent, together with those of the same status and reason."""
        self.groups.setdefault((decision.to, decision.reason), []).append(decision)

    def earlier(self, decision: Decision) -> Decision | None:
        """The decision about the same person that this run took before, and a note of this one."""
        target = decision.target
        keys = [("r", target.request_id), ("i", target.user_id), ("u", target.username)]
        named = [(kind, value.lower()) for kind, value in keys if value]
        before = [self.decided[key] for key in named if key in self.decided]
        known = next((one for one in before if _may_be_one(one.target, target)), None)
        for key in named:
            self.decided.setdefault(key, known or decision)  # one that was refused decided nothing
        return known


def _may_be_one(one: Target, other: Target) -> bool:
    """Whether two that share a name or an id are one person: two accounts may have had one name."""
    if one.user_id and other.user_id:
        return one.user_id.lower() == other.user_id.lower()
    return not (one.request_id and other.request_id) or one.request_id.lower() == other.request_id.lower()


def decide_many(repo: Repo, setting: Setting) -> Flow[None]:
    """Takes decisions from the caller, emits outcomes as they come; raises only for what stops the whole run."""
    run = _Run(repo, setting)
    try:
        while items := (yield Take(routes.PAGE_LIMIT)):
            decisions = yield from _sort_out(run, [_checked(item, repo) for item in items])
            yield from _look_again(run, decisions, run.setting.began)
            for key in list(run.groups):
                yield from _send_full(run, key, least=routes.BATCH_LIMIT)
        for key in list(run.groups):
            yield from _send_full(run, key, least=1)
    except HubError as stop:
        for left in [d for group in run.groups.values() for d in group]:
            yield Emit(outcome(Kind.OPEN, repo, left.target, f"not sent: {stop}", stop))
        raise


def _checked(item: object, repo: Repo) -> Decision:
    if not isinstance(item, Decision):
        raise InvalidTarget(f"decide_many takes Decisions, not {type(item).__name__}.", hint="Decision.accept(request)")
    if item.target.request is not None and item.target.request.repo != repo:
        raise InvalidTarget(f"that request is one of {item.target.request.repo}, not of {repo}.")
    return item


def _sort_out(run: _Run, decisions: Sequence[Decision]) -> Flow[list[Decision]]:
    """Leave out what needs no call: decided before in this run, or so already."""
    left: list[Decision] = []
    for decision in decisions:
        target = decision.target
        before = run.earlier(decision)
        if before is not None and (before.to, before.reason) != (decision.to, decision.reason):
            error = BadRequest(f"{target.label}: this run decided {before.to} about this person already.")
            yield Emit(ended(run.repo, target, error))
        elif before is not None:
            yield Emit(outcome(Kind.ALREADY, run.repo, target, "this run decided so already"))
        elif target.request is not None and target.request.status == decision.to:
            yield Emit(outcome(Kind.ALREADY, run.repo, target, f"it is {decision.to} already"))
        else:
            left.append(decision)
    return left


def _look_again(run: _Run, decisions: Sequence[Decision], since: float) -> Flow[None]:
    """Requests that were read before `since` are read again; all join their group but those that moved."""
    old: list[Decision] = []
    for decision in decisions:
        if decision.target.request and decision.target.request.read_at < since:
            old.append(decision)
        else:
            run.put(decision)
    if not old:
        return
    targets = [d.target for d in old]
    try:
        found = yield from find(run.repo, targets, sought_in(targets), run.setting)
    except HubError:
        for decision in old:
            run.put(decision)
        raise
    for index, decision in enumerate(old):
        now = found.requests.get(index)
        moved = judge_ground(run.repo, decision.target, now, complete=found.complete)
        if moved is not None:
            yield Emit(moved)
        else:  # what was read just now is the ground from here on
            run.put(replace(decision, target=replace(decision.target, request=now)))


def _send_full(run: _Run, key: _Group, *, least: int) -> Flow[None]:
    """Send a group by the hundred while it holds at least `least`; what was not reached stays in it."""
    while run.groups.get(key) and len(run.groups[key]) >= least:
        yield from _freshen(run, routes.batch(run.repo, [], *key))
        group = run.groups.get(key, [])
        if len(group) >= least and group:
            yield from _send(run, key, group[: routes.BATCH_LIMIT])
    if not run.groups.get(key):
        run.groups.pop(key, None)


def _freshen(run: _Run, send: Send) -> Flow[None]:
    """When a call of this kind could leave: if what waits was read too long ago, because calls are scarce, it is read again."""
    now: float = yield Turn(send)
    waiting = [d for group in run.groups.values() for d in group]
    if any(_is_old(d, now) for d in waiting):
        run.groups.clear()
        yield from _look_again(run, waiting, now - FRESH_S)


def _is_old(decision: Decision, now: float) -> bool:
    request = decision.target.request
    return request is not None and request.read_at < now - FRESH_S


def _send(run: _Run, key: _Group, batch: list[Decision]) -> Flow[None]:
    one_by_one = [d for d in batch if not run.has_batch or not how_to_name(d.target, for_handle=False)]
    together = [d for d in batch if d not in one_by_one]
    if together:
        yield from _send_batch(run, key, together)
    if one_by_one and run.has_batch:
        yield from _send_singly(run, key, one_by_one)
    elif not run.has_batch:
        group = run.groups[key]
        yield from _send_singly(run, key, list(group))


def _emit(run: _Run, key: _Group, decision: Decision, result: Outcome) -> Flow[None]:
    """Told: the decision leaves its group, so that nothing is told twice and nothing is forgotten."""
    run.groups[key].remove(decision)
    yield Emit(result)


def _send_batch(run: _Run, key: _Group, batch: Sequence[Decision]) -> Flow[None]:
    left = list(batch)
    for round_ in range(1, SETTLE_ROUNDS + 1):
        people = [how_to_name(d.target, for_handle=False) for d in left]
        answer = yield from call(routes.batch(run.repo, people, *key), run.setting)
        rows = _rows(answer, people)
        if rows is not None:
            for decision, row in zip(list(left), rows, strict=True):
                yield from _emit(run, key, decision, _told(run, decision, row, answer))
            return
        if not is_unsettled(answer) and not is_ok(answer):
            yield from _batch_refused(run, key, left, answer, resent=round_ > 1)
            return
        yield Wait(run.setting.patience.pause(round_), why="what became of a batch is being read")
        left = yield from _settle(run, key, left, answer)
        if not left:
            return
    for decision in left:
        yield from _emit(run, key, decision, unknown(run.repo, decision.target))


def _rows(answer: Answer, people: Sequence[Mapping[str, str]]) -> list[dict[str, object]] | None:
    """The outcomes of a batch in the order sent, or None when the answer is not that."""
    if not is_ok(answer) or not isinstance(answer, Reply):
        return None
    try:
        rows = read_array(answer.body)
    except Unreadable:
        return None
    if len(rows) != len(people) or not all(isinstance(r, dict) and isinstance(r.get("ok"), bool) for r in rows):
        return None
    return rows if all(map(_echoes, people, rows)) else None


def _echoes(sent: Mapping[str, str], row: dict[str, object]) -> bool:
    """Whether a row speaks of the person sent at its place: whatever it names must be what was sent."""
    return all(str(row[key]).lower() == value.lower() for key, value in sent.items() if key in row) and not any(
        key in row and key not in sent for key in ("user", "userId")
    )


def _told(run: _Run, decision: Decision, row: dict[str, object], reply: Answer) -> Outcome:
    target, repo = decision.target, run.repo
    if row["ok"]:
        return outcome(Kind.DONE, repo, target, reply=reply)
    if row.get("error") == "user_not_found":
        error: HubError = PersonNotFound(f"no account named {target.label} on the Hub.", status=404)
    elif row.get("error") == "request_not_found":
        error = RequestNotFound(f"{target.label} has no request at {repo}.", status=404)
    else:
        error = BadRequest(f"{target.label} at {repo}: the Hub says {str(row.get('error'))[:200]!r}.")
    return ended(repo, target, error)


def _batch_refused(
    run: _Run, key: _Group, batch: Sequence[Decision], answer: Answer, *, resent: bool = False
) -> Flow[None]:
    """No answer for the whole batch: a Hub without batch, one bad name that spoils it, or an end of the run."""
    error = error_of(answer, run.repo)
    if resent:  # it was sent before, and that may have worked: a later no is no proof that nothing happened
        for decision in batch:
            yield from _emit(run, key, decision, unknown(run.repo, decision.target))
        raise error
    if isinstance(answer, Reply) and answer.status in (404, 405) and error.code is None:
        run.has_batch = False
    elif not isinstance(error, BadRequest):
        raise error
    elif len(batch) == 1:
        yield from _emit(run, key, batch[0], ended(run.repo, batch[0].target, error))
    else:
        middle = len(batch) // 2
        yield from _send_batch(run, key, batch[:middle])
        yield from _send_batch(run, key, batch[middle:])


def _settle(run: _Run, key: _Group, left: Sequence[Decision], answer: Answer) -> Flow[list[Decision]]:
    """Read what became of a batch whose answer was lost; returns those that stand as before and may be sent again."""
    try:
        found = yield from find(run.repo, [d.target for d in left], others_first(key[0]), run.setting)
    except HubError:
        for decision in left:
            yield from _emit(run, key, decision, unknown(run.repo, decision.target))
        raise
    again: list[Decision] = []
    for index, decision in enumerate(left):
        now = found.requests.get(index)
        request = decision.target.request
        if now is not None and now.status == key[0]:
            done = outcome(Kind.DONE, run.repo, decision.target, "the answer was lost; read back", reply=answer)
            yield from _emit(run, key, decision, done)
        elif (now is None and not found.complete) or (
            request is not None and now is not None and now.moved_since(request)
        ):
            yield from _emit(run, key, decision, unknown(run.repo, decision.target))
        else:
            again.append(decision)
    return again


def _send_singly(run: _Run, key: _Group, items: Sequence[Decision]) -> Flow[None]:
    """One `handle` each, several in flight; a stop, or a reading that got old, lets no further one start."""
    waiting, has_begun = deque(items), False
    flying: deque[tuple[Decision, Send, object]] = deque()
    stop: HubError | None = None
    while waiting or flying:
        while waiting and stop is None and len(flying) < run.setting.parallel:
            send = routes.handle(run.repo, how_to_name(waiting[0].target, for_handle=True), *key)
            if has_begun and _is_old(waiting[0], (yield Turn(send))):
                waiting.clear()  # they stay in their group
                break
            decision, has_begun = waiting.popleft(), True
            flying.append((decision, send, (yield Start(send))))
        if not flying:
            break
        decision, send, ticket = flying.popleft()
        answer: Answer = yield Finish(ticket)
        try:
            result = yield from send_and_settle(
                send, run.repo, decision.target, key[0], run.setting, first=answer, may_resend=stop is None
            )
        except BadRequest as problem:
            result = ended(run.repo, decision.target, problem)
        except HubError as problem:
            stop = problem
            continue
        yield from _emit(run, key, decision, result)
    if stop is not None:
        raise stop
