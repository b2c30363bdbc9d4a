"""Sends many decisions: re-reads old requests, groups by status and reason, sends batches of 100, and reports each
outcome.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from hf_gate.base.ids import Repo
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import Outcome, OutcomeKind
from hf_gate.core.requests import Decision, Target
from hf_gate.errors import BadRequest, HubError, InvalidTarget
from hf_gate.hub.protocol import endpoints
from hf_gate.hub.protocol.codec import UnreadableBody, read_array
from hf_gate.hub.protocol.messages import (
    Answer,
    AwaitCall,
    AwaitSlot,
    EmitValue,
    HubCall,
    Pause,
    Reply,
    StartCall,
    TakeItems,
)
from hf_gate.hub.protocol.replies import build_error, is_ok, is_outcome_unknown

from .calls import Flow, FlowContext, send_call
from .lookup import choose_statuses, find_requests, order_statuses
from .single_decision import (
    SETTLE_ROUNDS,
    build_error_outcome,
    build_outcome,
    build_unknown_outcome,
    check_unchanged,
    choose_identifier,
    make_account_error,
    make_request_error,
    repeat_outcome,
    send_and_settle,
)

MAX_AGE_S = 10.0  # a request read longer ago is read again before its decision is sent

_Group = tuple[Status, str | None]
_PersonKey = tuple[str | None, str | None, str | None]


class _BulkRun(Struct):
    """The state of one run: the recorded and the waiting decisions, and whether the Hub has the batch endpoint.

    `outcomes` and `repeats` are by person: the first outcome, and further targets that wait for it.
    """

    repo: Repo
    context: FlowContext
    decided: dict[tuple[str, str], Decision] = field(default_factory=dict)
    groups: dict[_Group, list[Decision]] = field(default_factory=dict)
    has_batch: bool = True
    outcomes: dict[_PersonKey, Outcome] = field(default_factory=dict)
    repeats: dict[_PersonKey, list[Target]] = field(default_factory=dict)

    def enqueue(self, decision: Decision) -> None:
        """Add a decision to the group of its status and reason."""
        self.groups.setdefault((decision.to, decision.reason), []).append(decision)

    def record_decision(self, decision: Decision) -> Decision | None:
        """Record a decision; return an earlier one of this run about the same person, if there is one."""
        target = decision.target
        identifiers = [("r", target.request_id), ("i", target.user_id), ("u", target.username)]
        keys = [(kind, value.lower()) for kind, value in identifiers if value]
        candidates = [self.decided[key] for key in keys if key in self.decided]
        earlier = next((candidate for candidate in candidates if _may_be_same_person(candidate.target, target)), None)
        for key in keys:
            self.decided.setdefault(key, earlier or decision)  # a conflicting decision has no effect
        return earlier

    def report(self, target: Target, outcome: Outcome) -> Flow[None]:
        """Emit the first outcome for a person, then the outcomes of repeated decisions that waited for it."""
        key = _key_of(target)
        self.outcomes[key] = outcome
        yield EmitValue(outcome)
        for repeated in self.repeats.pop(key, ()):
            yield EmitValue(repeat_outcome(outcome, repeated))

    def report_repeat(self, first: Target, target: Target) -> Flow[None]:
        """Emit the outcome of a repeated decision, now or when the outcome of the first one is known."""
        outcome = self.outcomes.get(_key_of(first))
        if outcome is None:
            self.repeats.setdefault(_key_of(first), []).append(target)
        else:
            yield EmitValue(repeat_outcome(outcome, target))


def _key_of(target: Target) -> _PersonKey:
    return target.request_id, target.user_id, target.username


def _may_be_same_person(one: Target, other: Target) -> bool:
    """Return whether targets that share a name or an id may be one person; two accounts can have had the same name."""
    if one.user_id and other.user_id:
        return one.user_id.lower() == other.user_id.lower()
    return not (one.request_id and other.request_id) or one.request_id.lower() == other.request_id.lower()


def decide_many(repo: Repo, context: FlowContext) -> Flow[None]:
    """Take decisions from the caller and emit their outcomes; raise only errors that stop the whole run."""
    run = _BulkRun(repo, context)
    try:
        while items := (yield TakeItems(endpoints.MAX_PAGE_SIZE)):
            decisions = yield from _skip_settled(run, _take_valid(run, items))
            yield from _recheck_requests(run, decisions, run.context.started_at)
            for key in list(run.groups):
                yield from _send_batches(run, key, least=endpoints.MAX_BATCH_SIZE)
        for key in list(run.groups):
            yield from _send_batches(run, key, least=1)
    except (HubError, InvalidTarget) as stop:
        for left in [d for group in run.groups.values() for d in group]:
            yield from run.report(
                left.target, build_outcome(OutcomeKind.OPEN, repo, left.target, f"not sent: {stop}", stop)
            )
        raise


def _take_valid(run: _BulkRun, items: Sequence[object]) -> list[Decision]:
    """Return the items as decisions. If one is invalid, the others are not sent, and are reported as open."""
    try:
        return [validate_decision(item, run.repo) for item in items]
    except InvalidTarget:
        for item in items:
            if isinstance(item, Decision):
                run.enqueue(item)
        raise


def validate_decision(item: object, repo: Repo) -> Decision:
    """Return the item; raise InvalidTarget unless it is a decision about a request of this repo."""
    if not isinstance(item, Decision):
        raise InvalidTarget(
            f"decide_many takes Decision objects, not {type(item).__name__}.", hint="Decision.accept(request)"
        )
    if item.target.request is not None and item.target.request.repo != repo:
        raise InvalidTarget(f"the request belongs to {item.target.request.repo}, not to {repo}.")
    return item


def _skip_settled(run: _BulkRun, decisions: Sequence[Decision]) -> Flow[list[Decision]]:
    """Emit the outcomes of decisions that need no call (repeated, or already in effect); return the other decisions."""
    left: list[Decision] = []
    for decision in decisions:
        target = decision.target
        before = run.record_decision(decision)
        if before is not None and (before.to, before.reason) != (decision.to, decision.reason):
            error = BadRequest(f"{target.label}: this run already decided {before.to} for this person.")
            yield EmitValue(build_error_outcome(run.repo, target, error))
        elif before is not None:
            yield from run.report_repeat(before.target, target)
        elif target.request is not None and target.request.status == decision.to:
            yield from run.report(
                target, build_outcome(OutcomeKind.ALREADY, run.repo, target, f"already {decision.to}")
            )
        else:
            left.append(decision)
    return left


def _recheck_requests(run: _BulkRun, decisions: Sequence[Decision], since: float) -> Flow[None]:
    """Read requests from before `since` again, and enqueue all decisions except those whose request changed."""
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
        current = found.requests.get(index)
        moved = check_unchanged(run.repo, decision.target, current, complete=found.complete)
        if moved is not None:
            yield from run.report(decision.target, moved)
        else:  # from here on, the decision refers to the request as just read
            run.enqueue(dataclasses.replace(decision, target=replace(decision.target, request=current)))


def _send_batches(run: _BulkRun, key: _Group, *, least: int) -> Flow[None]:
    """Send a group in batches while it has at least `least` decisions; the rest stays in the group."""
    while run.groups.get(key) and len(run.groups[key]) >= least:
        yield from _refresh_old_requests(run, endpoints.build_batch_call(run.repo, [], *key))
        group = run.groups.get(key, [])
        if len(group) >= least and group:
            yield from _send_slice(run, key, group[: endpoints.MAX_BATCH_SIZE])
    if not run.groups.get(key):
        run.groups.pop(key, None)


def _refresh_old_requests(run: _BulkRun, send: HubCall) -> Flow[None]:
    """Wait until this call could be sent, and reread waiting requests that have become too old meanwhile."""
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
    """Emit an outcome and remove its decision from the group, so that each decision gets exactly one outcome."""
    run.groups[key].remove(decision)
    yield from run.report(decision.target, result)


def _emit_unknown(run: _BulkRun, key: _Group, decisions: Sequence[Decision]) -> Flow[None]:
    """Emit for decisions that they may or may not have worked."""
    for decision in decisions:
        yield from _emit_outcome(run, key, decision, build_unknown_outcome(run.repo, decision.target))


def _send_batch(run: _BulkRun, key: _Group, batch: Sequence[Decision]) -> Flow[None]:
    left = list(batch)
    for round_ in range(1, SETTLE_ROUNDS + 1):
        people = [choose_identifier(d.target, for_handle=False) for d in left]
        answer = yield from send_call(endpoints.build_batch_call(run.repo, people, *key), run.context)
        rows = _parse_rows(answer, people)
        if rows is not None:
            for decision, row in zip(list(left), rows, strict=True):
                yield from _emit_outcome(run, key, decision, _build_row_outcome(run, decision, row, answer))
            return
        if not is_outcome_unknown(answer) and not is_ok(answer):
            yield from _handle_batch_refusal(run, key, left, answer, resent=round_ > 1)
            return
        yield Pause(run.context.retry_policy.pause_after(round_), reason="reading back a batch with a lost answer")
        left = yield from _settle_batch(run, key, left, answer)
        if not left:
            return
    yield from _emit_unknown(run, key, left)


def _parse_rows(answer: Answer, people: Sequence[Mapping[str, str]]) -> list[dict[str, object]] | None:
    """Return the result rows of a batch in the order of the decisions sent; None for any other answer."""
    if not is_ok(answer):
        return None
    try:
        rows = read_array(answer.body)
    except UnreadableBody:
        return None
    if len(rows) != len(people) or not all(isinstance(r, dict) and isinstance(r.get("ok"), bool) for r in rows):
        return None
    return rows if all(map(_is_echo, people, rows)) else None


def _is_echo(sent: Mapping[str, str], row: dict[str, object]) -> bool:
    """Return whether a result row is about the person sent at its position: the identifiers must match."""
    return all(str(row[key]).lower() == value.lower() for key, value in sent.items() if key in row) and not any(
        key in row and key not in sent for key in ("user", "userId")
    )


def _build_row_outcome(run: _BulkRun, decision: Decision, row: dict[str, object], reply: Answer) -> Outcome:
    target = decision.target
    repo = run.repo
    if row["ok"]:
        return build_outcome(OutcomeKind.DONE, repo, target, reply=reply)
    if row.get("error") == "user_not_found":
        error = make_account_error(target)
    elif row.get("error") == "request_not_found":
        error = make_request_error(repo, target)
    else:
        error = BadRequest(f"{target.label} at {repo}: the Hub answered {str(row.get('error'))[:200]!r}.")
    return build_error_outcome(repo, target, error)


def _handle_batch_refusal(
    run: _BulkRun, key: _Group, batch: Sequence[Decision], answer: Answer, *, resent: bool = False
) -> Flow[None]:
    """Handle a refusal of a complete batch: the Hub has no batch, one name is invalid (split it), or
    the run must end.
    """
    error = build_error(answer, run.repo)
    if resent:  # an earlier attempt may have worked, so a later refusal does not prove that nothing happened
        yield from _emit_unknown(run, key, batch)
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
    """Read back the requests of a batch whose answer was lost; return the decisions without effect, to
    send them again.
    """
    try:
        found = yield from find_requests(run.repo, [d.target for d in left], order_statuses(key[0]), run.context)
    except HubError:
        yield from _emit_unknown(run, key, left)
        raise
    again: list[Decision] = []
    for index, decision in enumerate(left):
        current = found.requests.get(index)
        request = decision.target.request
        if current is not None and current.status == key[0]:
            done = build_outcome(
                OutcomeKind.DONE, run.repo, decision.target, "the answer was lost; read back", reply=answer
            )
            yield from _emit_outcome(run, key, decision, done)
        elif (current is None and not found.complete) or (
            request is not None and current is not None and current.describe_changes_since(request)
        ):
            yield from _emit_unknown(run, key, [decision])
        else:
            again.append(decision)
    return again


def _send_one_by_one(run: _BulkRun, key: _Group, items: Sequence[Decision]) -> Flow[None]:
    """Send one `handle` call for each decision, several in parallel.

    After an error, or if requests get too old, start no more.
    """
    waiting = deque(items)
    has_begun = False
    in_flight: deque[tuple[Decision, HubCall, object]] = deque()
    stop: HubError | None = None
    while waiting or in_flight:
        while waiting and stop is None and len(in_flight) < run.context.max_parallel:
            send = endpoints.build_handle_call(run.repo, choose_identifier(waiting[0].target, for_handle=True), *key)
            if has_begun and _is_old(waiting[0], (yield AwaitSlot(send))):
                waiting.clear()  # the other decisions stay in their group
                break
            decision = waiting.popleft()
            has_begun = True
            in_flight.append((decision, send, (yield StartCall(send))))
        if not in_flight:
            break
        decision, send, ticket = in_flight.popleft()
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
