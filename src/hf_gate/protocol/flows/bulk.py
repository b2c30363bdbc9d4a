"""Many decisions: looked at once more, grouped by status and reason, sent by the hundred, each told apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...domain.ids import Repo
from ...domain.lifecycle import Status
from ...domain.outcomes import Outcome, OutcomeKind
from ...domain.requests import Decision, Target
from ...errors import (
    BadRequest,
    HubError,
    InvalidTarget,
    PersonNotFound,
    RequestNotFound,
)
from .. import endpoints
from ..codec import UnreadableBody, read_array
from ..messages import Answer, AwaitCall, AwaitSlot, EmitValue, HubCall, Pause, Reply, StartCall, TakeItems
from ..replies import build_error, is_ok, is_outcome_unknown
from .calling import Flow, FlowContext, send_call
from .deciding import (
    SETTLE_ROUNDS,
    build_error_outcome,
    build_outcome,
    build_unknown_outcome,
    check_unchanged,
    choose_identifier,
    send_and_settle,
)
from .finding import choose_statuses, find_requests, order_statuses

MAX_AGE_S = 10.0  # how long a reading holds as the ground of a decision that has not left yet

_Group = tuple[Status, str | None]


@dataclass(slots=True)
class _BulkRun:
    """What one run remembers: whom it decided and how, and whether this Hub has batch."""

    repo: Repo
    context: FlowContext
    decided: dict[tuple[str, str], Decision] = field(default_factory=dict)
    groups: dict[_Group, list[Decision]] = field(default_factory=dict)
    has_batch: bool = True

    def enqueue(self, decision: Decision) -> None:
        """To be sent, together with those of the same status and reason."""
        self.groups.setdefault((decision.to, decision.reason), []).append(decision)

    def record_decision(self, decision: Decision) -> Decision | None:
        """The decision about the same person that this run took before, and a note of this one."""
        target = decision.target
        keys = [("r", target.request_id), ("i", target.user_id), ("u", target.username)]
        named = [(kind, value.lower()) for kind, value in keys if value]
        before = [self.decided[key] for key in named if key in self.decided]
        known = next((one for one in before if _may_be_same_person(one.target, target)), None)
        for key in named:
            self.decided.setdefault(key, known or decision)  # one that was refused decided nothing
        return known


def _may_be_same_person(one: Target, other: Target) -> bool:
    """Whether two that share a name or an id are one person: two accounts may have had one name."""
    if one.user_id and other.user_id:
        return one.user_id.lower() == other.user_id.lower()
    return not (one.request_id and other.request_id) or one.request_id.lower() == other.request_id.lower()


def decide_many(repo: Repo, context: FlowContext) -> Flow[None]:
    """Takes decisions from the caller, emits outcomes as they come; raises only for what stops the whole run."""
    run = _BulkRun(repo, context)
    try:
        while items := (yield TakeItems(endpoints.MAX_PAGE_SIZE)):
            decisions = yield from _skip_settled(run, [_validate_decision(item, repo) for item in items])
            yield from _recheck_requests(run, decisions, run.context.started_at)
            for key in list(run.groups):
                yield from _send_batches(run, key, least=endpoints.MAX_BATCH_SIZE)
        for key in list(run.groups):
            yield from _send_batches(run, key, least=1)
    except HubError as stop:
        for left in [d for group in run.groups.values() for d in group]:
            yield EmitValue(build_outcome(OutcomeKind.OPEN, repo, left.target, f"not sent: {stop}", stop))
        raise


def _validate_decision(item: object, repo: Repo) -> Decision:
    if not isinstance(item, Decision):
        raise InvalidTarget(f"decide_many takes Decisions, not {type(item).__name__}.", hint="Decision.accept(request)")
    if item.target.request is not None and item.target.request.repo != repo:
        raise InvalidTarget(f"that request is one of {item.target.request.repo}, not of {repo}.")
    return item


def _skip_settled(run: _BulkRun, decisions: Sequence[Decision]) -> Flow[list[Decision]]:
    """Leave out what needs no call: decided before in this run, or so already."""
    left: list[Decision] = []
    for decision in decisions:
        target = decision.target
        before = run.record_decision(decision)
        if before is not None and (before.to, before.reason) != (decision.to, decision.reason):
            error = BadRequest(f"{target.label}: this run decided {before.to} about this person already.")
            yield EmitValue(build_error_outcome(run.repo, target, error))
        elif before is not None:
            yield EmitValue(build_outcome(OutcomeKind.ALREADY, run.repo, target, "this run decided so already"))
        elif target.request is not None and target.request.status == decision.to:
            yield EmitValue(build_outcome(OutcomeKind.ALREADY, run.repo, target, f"it is {decision.to} already"))
        else:
            left.append(decision)
    return left


def _recheck_requests(run: _BulkRun, decisions: Sequence[Decision], since: float) -> Flow[None]:
    """Requests that were read before `since` are read again; all join their group but those that moved."""
    old: list[Decision] = []
    for decision in decisions:
        if decision.target.request and decision.target.request.read_at < since:
            old.append(decision)
        else:
            run.enqueue(decision)
    if not old:
        return
    targets = [d.target for d in old]
    try:
        found = yield from find_requests(run.repo, targets, choose_statuses(targets), run.context)
    except HubError:
        for decision in old:
            run.enqueue(decision)
        raise
    for index, decision in enumerate(old):
        now = found.requests.get(index)
        moved = check_unchanged(run.repo, decision.target, now, complete=found.complete)
        if moved is not None:
            yield EmitValue(moved)
        else:  # what was read just now is the ground from here on
            run.enqueue(replace(decision, target=replace(decision.target, request=now)))


def _send_batches(run: _BulkRun, key: _Group, *, least: int) -> Flow[None]:
    """Send a group by the hundred while it holds at least `least`; what was not reached stays in it."""
    while run.groups.get(key) and len(run.groups[key]) >= least:
        yield from _refresh_old_requests(run, endpoints.batch(run.repo, [], *key))
        group = run.groups.get(key, [])
        if len(group) >= least and group:
            yield from _send_slice(run, key, group[: endpoints.MAX_BATCH_SIZE])
    if not run.groups.get(key):
        run.groups.pop(key, None)


def _refresh_old_requests(run: _BulkRun, send: HubCall) -> Flow[None]:
    """When a call of this kind could leave: if what waits was read too long ago, because calls are scarce, it is read again."""
    now: float = yield AwaitSlot(send)
    waiting = [d for group in run.groups.values() for d in group]
    if any(_is_old(d, now) for d in waiting):
        run.groups.clear()
        yield from _recheck_requests(run, waiting, now - MAX_AGE_S)


def _is_old(decision: Decision, now: float) -> bool:
    request = decision.target.request
    return request is not None and request.read_at < now - MAX_AGE_S


def _send_slice(run: _BulkRun, key: _Group, batch: list[Decision]) -> Flow[None]:
    one_by_one = [d for d in batch if not run.has_batch or not choose_identifier(d.target, for_handle=False)]
    together = [d for d in batch if d not in one_by_one]
    if together:
        yield from _send_batch(run, key, together)
    if one_by_one and run.has_batch:
        yield from _send_one_by_one(run, key, one_by_one)
    elif not run.has_batch:
        group = run.groups[key]
        yield from _send_one_by_one(run, key, list(group))


def _emit_outcome(run: _BulkRun, key: _Group, decision: Decision, result: Outcome) -> Flow[None]:
    """Told: the decision leaves its group, so that nothing is told twice and nothing is forgotten."""
    run.groups[key].remove(decision)
    yield EmitValue(result)


def _send_batch(run: _BulkRun, key: _Group, batch: Sequence[Decision]) -> Flow[None]:
    left = list(batch)
    for round_ in range(1, SETTLE_ROUNDS + 1):
        people = [choose_identifier(d.target, for_handle=False) for d in left]
        answer = yield from send_call(endpoints.batch(run.repo, people, *key), run.context)
        rows = _parse_rows(answer, people)
        if rows is not None:
            for decision, row in zip(list(left), rows, strict=True):
                yield from _emit_outcome(run, key, decision, _build_row_outcome(run, decision, row, answer))
            return
        if not is_outcome_unknown(answer) and not is_ok(answer):
            yield from _handle_batch_refusal(run, key, left, answer, resent=round_ > 1)
            return
        yield Pause(run.context.retry_policy.pause_after(round_), reason="what became of a batch is being read")
        left = yield from _settle_batch(run, key, left, answer)
        if not left:
            return
    for decision in left:
        yield from _emit_outcome(run, key, decision, build_unknown_outcome(run.repo, decision.target))


def _parse_rows(answer: Answer, people: Sequence[Mapping[str, str]]) -> list[dict[str, object]] | None:
    """The outcomes of a batch in the order sent, or None when the answer is not that."""
    if not is_ok(answer) or not isinstance(answer, Reply):
        return None
    try:
        rows = read_array(answer.body)
    except UnreadableBody:
        return None
    if len(rows) != len(people) or not all(isinstance(r, dict) and isinstance(r.get("ok"), bool) for r in rows):
        return None
    return rows if all(map(_is_echo, people, rows)) else None


def _is_echo(sent: Mapping[str, str], row: dict[str, object]) -> bool:
    """Whether a row speaks of the person sent at its place: whatever it names must be what was sent."""
    return all(str(row[key]).lower() == value.lower() for key, value in sent.items() if key in row) and not any(
        key in row and key not in sent for key in ("user", "userId")
    )


def _build_row_outcome(run: _BulkRun, decision: Decision, row: dict[str, object], reply: Answer) -> Outcome:
    target, repo = decision.target, run.repo
    if row["ok"]:
        return build_outcome(OutcomeKind.DONE, repo, target, reply=reply)
    if row.get("error") == "user_not_found":
        error: HubError = PersonNotFound(f"no account named {target.label} on the Hub.", status=404)
    elif row.get("error") == "request_not_found":
        error = RequestNotFound(f"{target.label} has no request at {repo}.", status=404)
    else:
        error = BadRequest(f"{target.label} at {repo}: the Hub says {str(row.get('error'))[:200]!r}.")
    return build_error_outcome(repo, target, error)


def _handle_batch_refusal(
    run: _BulkRun, key: _Group, batch: Sequence[Decision], answer: Answer, *, resent: bool = False
) -> Flow[None]:
    """No answer for the whole batch: a Hub without batch, one bad name that spoils it, or an end of the run."""
    error = build_error(answer, run.repo)
    if resent:  # it was sent before, and that may have worked: a later no is no proof that nothing happened
        for decision in batch:
            yield from _emit_outcome(run, key, decision, build_unknown_outcome(run.repo, decision.target))
        raise error
    if isinstance(answer, Reply) and answer.status in (404, 405) and error.code is None:
        run.has_batch = False
    elif not isinstance(error, BadRequest):
        raise error
    elif len(batch) == 1:
        yield from _emit_outcome(run, key, batch[0], build_error_outcome(run.repo, batch[0].target, error))
    else:
        middle = len(batch) // 2
        yield from _send_batch(run, key, batch[:middle])
        yield from _send_batch(run, key, batch[middle:])


def _settle_batch(run: _BulkRun, key: _Group, left: Sequence[Decision], answer: Answer) -> Flow[list[Decision]]:
    """Read what became of a batch whose answer was lost; returns those that stand as before and may be sent again."""
    try:
        found = yield from find_requests(run.repo, [d.target for d in left], order_statuses(key[0]), run.context)
    except HubError:
        for decision in left:
            yield from _emit_outcome(run, key, decision, build_unknown_outcome(run.repo, decision.target))
        raise
    again: list[Decision] = []
    for index, decision in enumerate(left):
        now = found.requests.get(index)
        request = decision.target.request
        if now is not None and now.status == key[0]:
            done = build_outcome(
                OutcomeKind.DONE, run.repo, decision.target, "the answer was lost; read back", reply=answer
            )
            yield from _emit_outcome(run, key, decision, done)
        elif (now is None and not found.complete) or (
            request is not None and now is not None and now.moved_since(request)
        ):
            yield from _emit_outcome(run, key, decision, build_unknown_outcome(run.repo, decision.target))
        else:
            again.append(decision)
    return again


def _send_one_by_one(run: _BulkRun, key: _Group, items: Sequence[Decision]) -> Flow[None]:
    """One `handle` each, several in flight; a stop, or a reading that got old, lets no further one start."""
    waiting, has_begun = deque(items), False
    flying: deque[tuple[Decision, HubCall, object]] = deque()
    stop: HubError | None = None
    while waiting or flying:
        while waiting and stop is None and len(flying) < run.context.max_parallel:
            send = endpoints.handle(run.repo, choose_identifier(waiting[0].target, for_handle=True), *key)
            if has_begun and _is_old(waiting[0], (yield AwaitSlot(send))):
                waiting.clear()  # they stay in their group
                break
            decision, has_begun = waiting.popleft(), True
            flying.append((decision, send, (yield StartCall(send))))
        if not flying:
            break
        decision, send, ticket = flying.popleft()
        answer: Answer = yield AwaitCall(ticket)
        try:
            result = yield from send_and_settle(
                send, run.repo, decision.target, key[0], run.context, first=answer, may_resend=stop is None
            )
        except BadRequest as problem:
            result = build_error_outcome(run.repo, decision.target, problem)
        except HubError as problem:
            stop = problem
            continue
        yield from _emit_outcome(run, key, decision, result)
    if stop is not None:
        raise stop
