"""Many decisions: looked at once more, grouped by status and reason, sent by the hundred, each told apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...domain.ids import Repo
from ...domain.lifecycle import Status
from ...domain.outcomes import Kind, Outcome
from ...domain.requests import Decision
from ...errors import (
    BadRequest,
    HubError,
    HubUnavailable,
    InvalidTarget,
    NotAllowed,
    NotGated,
    OutcomeUnknown,
    PersonNotFound,
    RepoMoved,
    RepoNotFound,
    RequestNotFound,
)
from .. import routes
from ..codec import Unreadable, read_array
from ..messages import Answer, Emit, Finish, Lost, NoReply, Reply, Start, Take, Wait
from ..replies import error_of, is_ok, is_unsettled
from .calling import Flow, Setting, call
from .deciding import (
    SETTLE_ROUNDS,
    explain_no,
    how_to_name,
    is_done,
    is_doubtful,
    judge_ground,
    others_first,
    outcome,
    settled,
)
from .finding import find

_STOPS = (NotAllowed, NotGated, RepoNotFound, RepoMoved, HubUnavailable)
_Group = tuple[Status, str | None]


@dataclass(slots=True)
class _Run:
    """What one run remembers: whom it decided and how, and whether this Hub has batch."""

    repo: Repo
    setting: Setting
    decided: dict[tuple[str, str], Decision] = field(default_factory=dict)
    groups: dict[_Group, list[Decision]] = field(default_factory=dict)
    has_batch: bool = True

    def earlier(self, decision: Decision) -> Decision | None:
        """The decision about the same person that this run took before, and a note of this one."""
        target = decision.target
        keys = [("r", target.request_id), ("i", target.user_id), ("u", target.username)]
        named = [(kind, value.lower()) for kind, value in keys if value]
        known = next((self.decided[key] for key in named if key in self.decided), None)
        for key in named:
            self.decided.setdefault(key, known or decision)  # one that was refused decided nothing
        return known


def decide_many(repo: Repo, setting: Setting) -> Flow[None]:
    """Takes decisions from the caller, emits outcomes as they come; raises only for what stops the whole run."""
    run = _Run(repo, setting)
    try:
        while items := (yield Take(routes.PAGE_LIMIT)):
            decisions = yield from _sort_out(run, [_checked(item, repo) for item in items])
            yield from _look_again(run, decisions)
            for key in list(run.groups):
                yield from _send_full(run, key, least=routes.BATCH_LIMIT)
        for key in list(run.groups):
            yield from _send_full(run, key, least=1)
    except _STOPS as stop:
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
            yield Emit(settled(run.repo, target, error, Kind.REFUSED))
        elif before is not None:
            yield Emit(outcome(Kind.ALREADY, run.repo, target, "this run decided so already"))
        elif target.request is not None and target.request.status == decision.to:
            yield Emit(outcome(Kind.ALREADY, run.repo, target, f"it is {decision.to} already"))
        else:
            left.append(decision)
    return left


def _look_again(run: _Run, decisions: Sequence[Decision]) -> Flow[None]:
    """Requests that were read before this run began are read again; the rest, and those unmoved, join their group."""
    old = [d for d in decisions if d.target.request and d.target.request.read_at < run.setting.began]
    fresh = [d for d in decisions if not (d.target.request and d.target.request.read_at < run.setting.began)]
    for decision in fresh:
        run.groups.setdefault((decision.to, decision.reason), []).append(decision)
    if not old:
        return
    targets = [d.target for d in old]
    try:
        statuses = dict.fromkeys(t.request.status for t in targets if t.request)
        found = yield from find(run.repo, targets, others_first(*statuses), run.setting)
    except _STOPS:
        for decision in old:
            run.groups.setdefault((decision.to, decision.reason), []).append(decision)
        raise
    for index, decision in enumerate(old):
        moved = judge_ground(run.repo, decision.target, found.requests.get(index), complete=found.complete)
        if moved is not None:
            yield Emit(moved)
        else:
            run.groups.setdefault((decision.to, decision.reason), []).append(decision)


def _send_full(run: _Run, key: _Group, *, least: int) -> Flow[None]:
    """Send a group by the hundred while it holds at least `least`; what was not reached stays in it."""
    group = run.groups[key]
    while len(group) >= least and group:
        batch = group[: routes.BATCH_LIMIT]
        yield from _send(run, key, batch)
    if not group:
        del run.groups[key]


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
        rows = _rows(answer, len(left))
        if rows is not None:
            for decision, row in zip(list(left), rows, strict=True):
                yield from _emit(run, key, decision, _told(run, decision, row, answer))
            return
        if not is_unsettled(answer) and not is_ok(answer):
            yield from _batch_refused(run, key, left, answer)
            return
        yield Wait(run.setting.patience.pause(round_), why="what became of a batch is being read")
        left = yield from _settle(run, key, left, answer)
        if not left:
            return
    for decision in left:
        yield from _emit(run, key, decision, _unknown(run, decision))


def _rows(answer: Answer, count: int) -> list[dict[str, object]] | None:
    """The outcomes of a batch in the order sent, or None when the answer is not that."""
    if not is_ok(answer) or not isinstance(answer, Reply):
        return None
    try:
        rows = read_array(answer.body)
    except Unreadable:
        return None
    if len(rows) != count or not all(isinstance(r, dict) and isinstance(r.get("ok"), bool) for r in rows):
        return None
    return rows


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
        return settled(repo, target, error, Kind.REFUSED)
    return settled(repo, target, error, Kind.GONE if target.request is not None else Kind.REFUSED)


def _unknown(run: _Run, decision: Decision) -> Outcome:
    why = f"{decision.target.label} at {run.repo}: sent, and reading could not tell what happened."
    return settled(run.repo, decision.target, OutcomeUnknown(why), Kind.OPEN)


def _batch_refused(run: _Run, key: _Group, batch: Sequence[Decision], answer: Answer) -> Flow[None]:
    """No answer for the whole batch: a Hub without batch, one bad name that spoils it, or an end of the run."""
    error = error_of(answer, run.repo)
    if isinstance(answer, Reply) and answer.status in (404, 405) and error.code is None:
        run.has_batch = False
    elif not isinstance(error, BadRequest):
        raise error
    elif len(batch) == 1:
        yield from _emit(run, key, batch[0], settled(run.repo, batch[0].target, error, Kind.REFUSED))
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
            yield from _emit(run, key, decision, _unknown(run, decision))
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
            yield from _emit(run, key, decision, _unknown(run, decision))
        else:
            again.append(decision)
    return again


def _send_singly(run: _Run, key: _Group, items: Sequence[Decision]) -> Flow[None]:
    """One `handle` each, several in flight; a stop lets no further one start."""
    waiting = deque(items)
    flying: deque[tuple[Decision, object]] = deque()
    stop: HubError | None = None
    while waiting or flying:
        while waiting and stop is None and len(flying) < run.setting.parallel:
            decision = waiting.popleft()
            send = routes.handle(run.repo, how_to_name(decision.target, for_handle=True), *key)
            flying.append((decision, (yield Start(send))))
        if not flying:
            break
        decision, ticket = flying.popleft()
        answer: Answer = yield Finish(ticket)
        try:
            result = yield from _single(run, key, decision, answer, may_resend=stop is None)
        except _STOPS as problem:
            stop = problem
            continue
        except HubError as problem:
            result = settled(run.repo, decision.target, problem, Kind.REFUSED)
        yield from _emit(run, key, decision, result)
    if stop is not None:
        raise stop


def _single(run: _Run, key: _Group, decision: Decision, answer: Answer, *, may_resend: bool) -> Flow[Outcome]:
    target, (to, reason) = decision.target, key
    for round_ in range(1, SETTLE_ROUNDS + 1):
        if is_done(answer):
            return outcome(Kind.DONE, run.repo, target, reply=answer)
        if isinstance(answer, NoReply) and answer.why in (Lost.WAITED, Lost.NOT_SENT):
            raise error_of(answer, run.repo)
        is_lost = is_doubtful(answer)
        is_unsent = (isinstance(answer, NoReply) and not answer.sent) or (
            isinstance(answer, Reply) and answer.status == 429
        )
        if not is_lost and not is_unsent:
            return (yield from explain_no(answer, run.repo, target, to, run.setting, resent=round_ > 1))
        if is_lost:
            yield Wait(run.setting.patience.pause(round_), why="what became of a change is being read")
            found = yield from find(run.repo, [target], others_first(to), run.setting)
            now = found.requests.get(0)
            if now is not None and now.status == to:
                return outcome(Kind.DONE, run.repo, target, "the answer was lost; read back", reply=answer)
        if not may_resend:
            break
        send = routes.handle(run.repo, how_to_name(target, for_handle=True), to, reason)
        answer = yield from call(send, run.setting)
    return _unknown(run, decision)
