"""A run from its approval to its end: begun once for each plan, resumed by whoever comes next, turned back by its reverse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ..domain import events as e
from ..domain.lifecycle import Status
from ..domain.members import NO_AUTHOR, RunAuthor
from ..domain.outcomes import OutcomeKind
from ..domain.rows import ChangeRow, RequestRow, RunRow
from ..domain.runs import FINISHED, ChangeOrigin, ChangeState, RunKind, RunState
from ..domain.timestamps import ms_to_iso, to_ms
from ..errors import Guarded, StoreDamaged, UsageError
from ..plan.changes import PlanSubject, make_change
from ..plan.model import Change, Plan, decode_stored_plan, make_plan
from ..policy.model import Policy
from ..store.plans_and_runs import PlansAndRuns
from ..store.store import Store

if TYPE_CHECKING:
    from .policy_bundle import PolicyBundle
    from .workspace import Workspace

CLOCK_TOLERANCE: Final = timedelta(minutes=5)  # clocks of two machines differ; a supposed moment lies further ahead
RETRIED_STATES: Final = (ChangeState.REFUSED, ChangeState.OPEN)
_AGAIN: Final = "Make it anew: hf-gate plan --out plan.json"
_ROWS: Final = 1000


PolicyVersions: TypeAlias = Collection[tuple[str, str]]
"""The policies in force: names with digests."""


def policy_versions(policies: Iterable[Policy]) -> PolicyVersions:
    """The policies of a workspace as changes name them."""
    return frozenset((policy.name, policy.digest) for policy in policies)


def needs_policies(plan: Plan) -> bool:
    """Whether a plan speaks for any policy; what follows from a person's run may not, so broken policies do not stop it."""
    return bool(plan.plan.policy_digest) or any(change.policy for change in plan.changes)


def check_plan_in_workspace(workspace: Workspace, bundle: PolicyBundle | None, plan: Plan) -> None:
    """Refuse a plan for another Hub, one that is too old, or one of policies that changed since."""
    digest = bundle.digest if bundle is not None and plan.plan.policy_digest else None
    versions = policy_versions(() if bundle is None else bundle.policies)
    now = workspace.clock.now()
    check_plan(plan, endpoint=workspace.store.endpoint, policy_digest=digest, now=now, versions=versions)


def check_plan(
    plan: Plan, *, endpoint: str, policy_digest: str | None, now: datetime, versions: PolicyVersions | None = None
) -> None:
    """Refuses, whole and before anything is sent, a plan for another Hub, from other policies, or too old.

    `versions`: no change may speak for a policy that is not among them.
    """
    if plan.plan.endpoint != endpoint:
        raise Guarded(
            f"this plan is for {plan.plan.endpoint}, the workspace works on {endpoint}; nothing was sent.", hint=_AGAIN
        )
    if policy_digest is not None and plan.plan.policy_digest != policy_digest:
        raise Guarded("the policies have changed since this plan was made; nothing was sent.", hint=_AGAIN)
    if versions is not None and (name := next(_strangers(plan.changes, versions), None)) is not None:
        raise Guarded(f"{name} is not in force here as this plan has it; nothing was sent.", hint=_AGAIN)
    if datetime.fromisoformat(plan.plan.made_at) > now + CLOCK_TOLERANCE:
        raise Guarded(f"this plan was made as if it were {plan.plan.made_at}; nothing was sent.", hint=_AGAIN)
    if now >= plan.expires_at:
        raise Guarded(f"this plan ended its validity at {plan.plan.expires_at}; nothing was sent.", hint=_AGAIN)


def _strangers(changes: Iterable[Change], versions: PolicyVersions) -> Iterator[str]:
    for change in changes:
        if not _is_in_force(change, versions):
            yield f"policy {change.policy}@{(change.policy_digest or '')[:8]}"


def _is_in_force(change: Change, versions: PolicyVersions) -> bool:
    """Whether a change speaks for nobody, or for a policy as it is now."""
    pair = (change.policy or "", change.policy_digest or "")
    return not any(pair) or pair in versions


def create_run(
    store: Store, plan: Plan, *, run_id: str, kind: RunKind, actor: str, now: datetime, author: RunAuthor = NO_AUTHOR
) -> RunRow:
    """The run of a plan: the one that was begun before, or a new one, approved and written down. Sends nothing.

    Refuses a plan whose numbers mean other requests here, as after a store was lost and read anew.
    """
    earlier = store.run_of_plan(plan.digest)
    if earlier is not None:
        return earlier
    _check_rows(store, plan.changes)
    at = to_ms(now)
    run = RunRow(
        id=run_id, kind=kind, actor=actor, state=RunState.READY, made_at=at, plan=plan.digest, total=len(plan.changes),
        verbs=Counter(change.action for change in plan.changes), member=author.member, account=author.account,
        is_free=author.is_free,
    )  # fmt: skip
    with store.writing() as write:
        write.write_plan(plan.digest, msgspec.json.encode(plan), at)
        write.write_run(run)
        write.write_changes(make_change_rows(run_id, plan.changes))
        approved = e.PlanApproved(run=run_id, changes=len(plan.changes), plan=plan.digest)
        write.append(None, [e.LedgerEntry(event=approved, at=at, actor=actor)])
    return run


def _check_rows(store: Store, changes: Sequence[Change]) -> None:
    for start in range(0, len(changes), _ROWS):
        some = changes[start : start + _ROWS]
        rows = store.requests([change.row for change in some])
        for change in some:
            if not _is_named(change, rows.get(change.row)):
                raise Guarded(
                    "this plan was made from another store than the one that is here; nothing was sent.", hint=_AGAIN
                )


def _is_named(change: Change, row: RequestRow | None) -> bool:
    """Whether a row is the one that a change names: by the Hub's id of the request, the account's, or else the username."""
    if row is None or row.repo != change.repo_ref:
        return False
    who = row.person.identity
    pairs = ((change.request_id, row.state.hub_request), (change.user_id, who.user_id), (change.user, who.username))
    return next((a.lower() == b.lower() for a, b in pairs if a and b), False)


def make_change_rows(run: str, changes: Iterable[Change]) -> list[ChangeRow]:
    """The changes of a run in the order of the plan."""
    return [
        ChangeRow(run=run, n=n, repo=change.repo_ref, request=change.row, change=msgspec.json.encode(change))
        for n, change in enumerate(changes, start=1)
    ]


def check_changes_match_plan(store: Store, run: RunRow) -> None:
    """Refuses a run whose changes are no longer those of the plan that somebody approved."""
    if run.plan is None:
        return
    document = store.plan(run.plan)
    plan = None if document is None else decode_stored_plan(document, run.plan)
    rows = store.changes(run.id)
    wanted = () if plan is None else plan.changes
    same = len(rows) == len(wanted) and all(
        (row.request, row.repo, msgspec.json.decode(row.change, type=Change)) == (change.row, change.repo_ref, change)
        for row, change in zip(rows, wanted, strict=True)
    )
    if plan is None or not same:
        raise StoreDamaged(f"the changes of run {run.id} are not those of its plan; nothing was sent.")


def record_resume(store: Store, run: RunRow, actor: str, now: datetime) -> RunRow:
    """Record that a person lets a run go on; what it sends from now on counts for the day that begins now."""
    resumed = e.RunResumed(run=run.id, changes=PlansAndRuns(store).count_changes(run.id).get(ChangeState.PLANNED, 0))
    with store.writing() as write:
        write.append(None, [e.LedgerEntry(event=resumed, at=to_ms(now), actor=actor)])
    return run


def is_over(run: RunRow) -> bool:
    """Whether nothing of it is left to send."""
    return run.state in FINISHED


# ---- plans that follow from a run --------------------------------------------------------------------------------------


def plan_retry(store: Store, run: RunRow, *, now: datetime, versions: PolicyVersions | None = None) -> Plan:
    """What was refused or stayed open, as a plan of its own, for those who still stand where they stood.

    What a policy decided that is not among `versions` any more is left out, and counted as `outdated`.
    """
    rows = store.changes(run.id, RETRIED_STATES)
    known = store.requests([row.request for row in rows if row.request is not None])
    still = [
        change
        for row in rows
        if row.request is not None
        and row.request in known
        and (change := msgspec.json.decode(row.change, type=Change)).before == known[row.request].state.status
    ]
    changes = [change for change in still if versions is None or _is_in_force(change, versions)]
    return _plan(store, changes, len(rows), now, outdated=len(still) - len(changes))


def plan_undo(store: Store, run: RunRow, *, now: datetime) -> tuple[Plan, list[str]]:
    """The plan that puts everybody of a run back where they were, and what no plan can undo, in sentences."""
    rows = store.changes(run.id, (ChangeState.DONE,))
    known = store.requests([row.request for row in rows if row.request is not None])
    back: list[Change] = []
    moved = over = mailed = seen = 0
    for row in rows:
        change = msgspec.json.decode(row.change, type=Change)
        request = _granted_request(store, change) if row.request is None else known.get(row.request)
        record = None if request is None else request.request
        if request is None or record is None or not request.is_current or request.state.status != change.after:
            moved += 1
            continue
        end = _end_before(store, run, request) if change.before == Status.ACCEPTED else None
        if end is not None and end.until is not None and end.until <= to_ms(now):
            over += 1
            continue
        back.append(_reverse(change, PlanSubject(record, request.state, request.id), end))
        mailed += change.after == Status.RESET
        seen += change.after == Status.ACCEPTED
    notes = [
        text
        for count, text in (
            (moved, f"{moved} moved on since, or asked again: they are left alone."),
            (
                over,
                f"{over} had access with an end that has come: no undo gives it back. Anew: hf-gate accept WHO@REPO --until END",
            ),
            (mailed, f"{mailed} were told by the Hub's mail that they may ask again: that mail cannot be taken back."),
            (seen, f"{seen} had access for a while: what was downloaded stays downloaded."),
        )
        if count
    ]
    return _plan(store, back, len(rows), now), notes


def _granted_request(store: Store, change: Change) -> RequestRow | None:
    """The request of somebody who had none when they were let in: that made it."""
    if change.rule != ChangeOrigin.GRANT:
        return None
    rows = store.find_by_identity(change.repo_ref, change.user_id or change.user or change.request_id or "")
    return max(rows, key=lambda row: row.state.asked_at, default=None)


def _end_before(store: Store, run: RunRow, request: RequestRow) -> e.GrantDated | None:
    """The end that the access had which a run took away; None when it had none."""
    is_before = False
    for entry in store.entries(request=request.id, limit=_ROWS):
        match e.decode_event(entry.link.body):
            case e.ChangeStarted(run=run.id):
                is_before = True
            case e.GrantDated() as dated if is_before:
                return dated
            case (
                e.ChangeSettled(kind=OutcomeKind.DONE | OutcomeKind.ALREADY, after=after) | e.StatusMoved(after=after)
            ) if is_before and after != Status.ACCEPTED:
                return None  # what was dated before then ended there
            case _:
                pass
    return None


def _reverse(change: Change, subject: PlanSubject, end: e.GrantDated | None) -> Change:
    """The way back; whoever is let in again has access as long as before, and no longer."""
    until = None if end is None else ms_to_iso(end.until)
    at_end = None if end is None else end.at_end
    return make_change(subject, change.before or Status.RESET, rule=ChangeOrigin.UNDO, until=until, at_end=at_end)


def _plan(store: Store, changes: Sequence[Change], of: int, now: datetime, *, outdated: int = 0) -> Plan:
    counts = {"planned": len(changes), "left_out": of - outdated - len(changes)}
    return make_plan(
        changes,
        policy_digest="",
        endpoint=store.endpoint,
        now=now,
        summary={**counts, "outdated": outdated} if outdated else counts,
        guards=[],
        valid=timedelta(hours=24),
    )


def make_direct_change(row: RequestRow, after: str, reason: str | None, *, until: str | None = None) -> Change:
    """A person's own decision about one request, in the form in which a plan's changes are carried."""
    if row.request is None:
        raise UsageError("that request has no record in the store.", hint="hf-gate sync --full")
    return make_change(
        PlanSubject(row.request, row.state, row.id), after, rule=ChangeOrigin.DIRECT, reason=reason, until=until
    )
