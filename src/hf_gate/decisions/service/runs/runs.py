"""Checks plans, creates and halts runs of them, and makes the plans that retry or undo a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from hf_gate.base.batches import split_into_batches
from hf_gate.base.decoding import decode_json
from hf_gate.base.timestamps import ms_to_iso, to_ms
from hf_gate.core.changes import Change
from hf_gate.core.events import events as e
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.access_end import AccessEnd
from hf_gate.core.people.grants import GrantTerms, first_lapse
from hf_gate.core.people.members import NO_AUTHOR, RunAuthor
from hf_gate.core.policy_model import Policy
from hf_gate.core.runs import ChangeOrigin, ChangeState, RunKind, RunState
from hf_gate.core.stored_rows import ChangeRow, RequestRow, RunRow
from hf_gate.decisions.rows import Halt, HaltedEnd, VersionAtRepo, write_halt
from hf_gate.errors import Guarded, StoreDamaged, UsageError
from hf_gate.grants.rows import read_terms_of
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.plan.change_builders import PlanSubject, make_change
from hf_gate.verdicts.plan.model import Plan, build_plan, decode_stored_plan

if TYPE_CHECKING:
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle

CLOCK_TOLERANCE: Final = timedelta(minutes=5)  # a plan made further ahead than this is for an assumed time
RETRIED_STATES: Final = (ChangeState.REFUSED, ChangeState.OPEN)
_REPLAN_HINT: Final = "Make a new plan: hf-gate plan --out plan.json"
_BATCH: Final = 1000
_NEVER: Final = 1 << 62


PolicyVersions: TypeAlias = Collection[tuple[str, str]]
"""The current policies: pairs of name and digest."""


def policy_versions(policies: Iterable[Policy]) -> PolicyVersions:
    """Return the name and digest of each policy."""
    return frozenset((policy.name, policy.digest) for policy in policies)


def needs_policies(plan: Plan) -> bool:
    """Tell whether a plan depends on policies.

    A retry or an undo may not, so that broken policies do not prevent it.
    """
    return bool(plan.plan.policy_digest) or any(change.policy for change in plan.changes)


def check_plan_in_workspace(workspace: Workspace, bundle: PolicyBundle | None, plan: Plan) -> None:
    """Raise Guarded for a plan of another Hub, an expired plan, or a plan whose policies have changed since."""
    digest = bundle.digest if bundle is not None and plan.plan.policy_digest else None
    versions = policy_versions(() if bundle is None else bundle.policies)
    now = workspace.clock.now()
    check_plan(plan, endpoint=workspace.store.endpoint, policy_digest=digest, now=now, versions=versions)


def check_plan(
    plan: Plan, *, endpoint: str, policy_digest: str | None, now: datetime, versions: PolicyVersions | None = None
) -> None:
    """Raise Guarded for a plan of another Hub or of other policies, an expired plan, or a plan made for an assumed
    time.

    `policy_digest` is compared unless None. Unless `versions` is None, each change must belong to one of these
    policies.
    """
    if plan.plan.endpoint != endpoint:
        raise Guarded(
            f"this plan is for {plan.plan.endpoint}, but this workspace uses {endpoint}; nothing was sent.",
            hint=_REPLAN_HINT,
        )
    if policy_digest is not None and plan.plan.policy_digest != policy_digest:
        raise Guarded("the policies have changed since this plan was made; nothing was sent.", hint=_REPLAN_HINT)
    if versions is not None and (name := next(_names_of_other_versions(plan.changes, versions), None)) is not None:
        raise Guarded(f"{name} in this plan is not the current version; nothing was sent.", hint=_REPLAN_HINT)
    if datetime.fromisoformat(plan.plan.made_at) > now + CLOCK_TOLERANCE:
        raise Guarded(
            f"this plan was made for an assumed time, {plan.plan.made_at}; nothing was sent.", hint=_REPLAN_HINT
        )
    if now >= plan.expires_at:
        raise Guarded(f"this plan expired at {plan.plan.expires_at}; nothing was sent.", hint=_REPLAN_HINT)


def _names_of_other_versions(changes: Iterable[Change], versions: PolicyVersions) -> Iterator[str]:
    for change in changes:
        if not _is_current(change, versions):
            yield f"policy {change.policy}@{(change.policy_digest or '')[:8]}"


def _is_current(change: Change, versions: PolicyVersions) -> bool:
    """Tell whether a change belongs to no policy, or to the current version of a policy."""
    pair = (change.policy or "", change.policy_digest or "")
    return not any(pair) or pair in versions


def create_run(
    store: Store, plan: Plan, *, run_id: str, kind: RunKind, actor: str, now: datetime, author: RunAuthor = NO_AUTHOR
) -> RunRow:
    """Return the run of a plan: the existing run, or a new approved run, which is stored. Send nothing.

    Raises Guarded if the plan's row ids belong to other requests here, for example after the store was created again.
    """
    earlier = store.run_of_plan(plan.digest)
    if earlier is not None:
        return earlier
    check_row_ids(store, plan.changes)
    run = make_run(run_id, kind, actor, plan.changes, to_ms(now), author=author, plan=plan.digest)
    with store.writing() as write:
        write.write_plan(plan.digest, msgspec.json.encode(plan), run.made_at)
        write_new_run(write, run, make_change_rows(run_id, plan.changes))
    return run


def make_run(
    ident: str, kind: RunKind, actor: str, changes: Sequence[Change], at: int, *, author: RunAuthor, plan: str | None
) -> RunRow:
    """Return the row of a run that makes these changes, ready to execute; `plan` is the digest of their plan."""
    return RunRow(
        id=ident,
        kind=kind,
        actor=actor,
        state=RunState.READY,
        made_at=at,
        plan=plan,
        total=len(changes),
        verbs=Counter(change.action for change in changes),
        member=author.member,
        account=author.account,
        is_free=author.is_free,
    )


def write_new_run(write: Writer, run: RunRow, changes: Sequence[ChangeRow]) -> None:
    """Store a run with its changes, and record that its actor approved it."""
    write.write_run(run)
    write.write_changes(changes)
    approved = e.PlanApproved(run=run.id, changes=len(changes), plan=run.plan)
    write.append(None, [e.LedgerEntry(event=approved, at=run.made_at, actor=run.actor)])


def check_row_ids(store: Store, changes: Sequence[Change]) -> None:
    for batch in split_into_batches(changes, _BATCH):
        rows = store.requests([change.row for change in batch])
        for change in batch:
            if not _is_row_of(change, rows.get(change.row)):
                raise Guarded("this plan was made from another store; nothing was sent.", hint=_REPLAN_HINT)


def _is_row_of(change: Change, row: RequestRow | None) -> bool:
    """Tell whether a row is the request of a change: by the Hub's request id, else by account id, else by username."""
    if row is None or row.repo != change.repo_ref:
        return False
    who = row.person.identity
    pairs = ((change.request_id, row.state.hub_request), (change.user_id, who.user_id), (change.user, who.username))
    return next((a.lower() == b.lower() for a, b in pairs if a and b), False)


def make_change_rows(run: str, changes: Iterable[Change]) -> list[ChangeRow]:
    """Return the rows of a run's changes in their order. A change of a person who never asked has no request."""
    return [
        ChangeRow(run=run, n=n, repo=change.repo_ref, request=change.row or None, change=msgspec.json.encode(change))
        for n, change in enumerate(changes, start=1)
    ]


def check_changes_match_plan(store: Store, run: RunRow) -> None:
    """Raise StoreDamaged if the changes of a run differ from the plan that was approved."""
    if run.plan is None:
        return
    document = store.plan(run.plan)
    plan = None if document is None else decode_stored_plan(document, run.plan)
    rows = store.changes(run.id)
    wanted = () if plan is None else plan.changes
    same = len(rows) == len(wanted) and all(
        (row.request, row.repo, decode_json(row.change, Change)) == (change.row, change.repo_ref, change)
        for row, change in zip(rows, wanted, strict=True)
    )
    if plan is None or not same:
        raise StoreDamaged(f"the changes of run {run.id} differ from its plan; nothing was sent.")


def record_resume(store: Store, run: RunRow, actor: str, now: datetime) -> RunRow:
    """Record that a person resumes a run. Changes sent from now on count towards the limit of the next 24 hours."""
    resumed = e.RunResumed(run=run.id, changes=store.count_changes(run.id).get(ChangeState.PLANNED, 0))
    with store.writing() as write:
        write.append(None, [e.LedgerEntry(event=resumed, at=to_ms(now), actor=actor)])
    return run


# ---- retry and undo --------------------------------------------------------------------------------------------------


def plan_retry(store: Store, run: RunRow, *, now: datetime, versions: PolicyVersions | None = None) -> Plan:
    """Return a plan of the refused and open changes whose requests still have the planned status.

    Changes by policies that are not among `versions` are excluded and counted as `outdated`.
    """
    rows = store.changes(run.id, RETRIED_STATES)
    known = store.requests([row.request for row in rows if row.request is not None])
    still = [
        change
        for row in rows
        if row.request is not None
        and row.request in known
        and known[row.request].request is not None  # otherwise its personal data was deleted
        and (change := decode_json(row.change, Change)).before == known[row.request].state.status
    ]
    changes = [change for change in still if versions is None or _is_current(change, versions)]
    return _make_plan(store, changes, len(rows), now, outdated=len(still) - len(changes))


def plan_undo(store: Store, run: RunRow, *, now: datetime) -> tuple[Plan, list[str]]:
    """Return the plan that restores the earlier status of each request of a run, and sentences about what cannot be
    undone.
    """
    rows = store.changes(run.id, (ChangeState.DONE,))
    known = store.requests([row.request for row in rows if row.request is not None])
    reversed_changes: list[Change] = []
    moved = over = mailed = seen = 0
    for row in rows:
        change = decode_json(row.change, Change)
        request = _granted_request(store, change) if row.request is None else known.get(row.request)
        record = None if request is None else request.request
        if request is None or record is None or not request.is_current or request.state.status != change.after:
            moved += 1
            continue
        end = _end_before(store, run, request) if change.before == Status.ACCEPTED else None
        if end is not None and min(end.until or _NEVER, first_lapse(end.lapses) or _NEVER) <= to_ms(now):
            over += 1
            continue
        terms = None if end is None else read_terms_of(store, end.terms)
        reversed_changes.append(_reverse_change(change, PlanSubject(record, request.state, request.id), end, terms))
        mailed += change.after == Status.RESET
        seen += change.after == Status.ACCEPTED
    notes = [
        text
        for count, text in (
            (moved, f"{moved} changed since or asked again; they stay as they are."),
            (
                over,
                (
                    f"{over} had access whose end has passed; undo cannot restore it. To accept again: hf-gate "
                    "accept WHO@REPO --until END"
                ),
            ),
            (mailed, f"{mailed} got an e-mail from the Hub that they may ask again; the e-mail cannot be undone."),
            (seen, f"{seen} had access for a while; downloads cannot be undone."),
        )
        if count
    ]
    return _make_plan(store, reversed_changes, len(rows), now), notes


def _granted_request(store: Store, change: Change) -> RequestRow | None:
    """Return the request that a grant created for a person without one; None for other changes."""
    if change.rule != ChangeOrigin.GRANT:
        return None
    rows = store.find_by_identity(change.repo_ref, change.user_id or change.user or change.request_id or "")
    return max(rows, key=lambda row: row.state.asked_at, default=None)


def _end_before(store: Store, run: RunRow, request: RequestRow) -> e.GrantDated | None:
    """Return the end of the access that a run removed; None if it had no end."""
    is_before = False
    for entry in store.entries(request=request.id, limit=_BATCH):
        match e.decode_event(entry.link.body):
            case e.ChangeStarted(run=run.id):
                is_before = True
            case e.GrantDated() as dated if is_before:
                return dated
            case (
                e.ChangeSettled(kind=OutcomeKind.DONE | OutcomeKind.ALREADY, after=after) | e.StatusMoved(after=after)
            ) if is_before and after != Status.ACCEPTED:
                break  # what was set before this time belongs to an earlier grant
            case _:
                pass
    return None


def _reverse_change(change: Change, subject: PlanSubject, end: e.GrantDated | None, terms: GrantTerms | None) -> Change:
    """Return the reverse of a change. Restored access has the same end as before, by the same rule."""
    same = None
    if end is not None:
        rule = end.rule or ChangeOrigin.UNDO
        same = AccessEnd(ms_to_iso(end.until), end.at_end, rule, terms, is_chosen=end.is_chosen)
    return make_change(subject, change.before or Status.RESET, rule=ChangeOrigin.UNDO, end=same)


def _make_plan(store: Store, changes: Sequence[Change], of: int, now: datetime, *, outdated: int = 0) -> Plan:
    counts = {"planned": len(changes), "left_out": of - outdated - len(changes)}
    return build_plan(
        changes,
        policy_digest="",
        endpoint=store.endpoint,
        now=now,
        summary={**counts, "outdated": outdated} if outdated else counts,
        guards=[],
        valid=timedelta(hours=24),
    )


def make_direct_change(row: RequestRow, after: str, reason: str | None, *, end: AccessEnd | None = None) -> Change:
    """Return the change of a person's decision about one stored request."""
    if row.request is None:
        raise UsageError("that request has no record in the store.", hint="Read it again: hf-gate sync --full")
    subject = PlanSubject(row.request, row.state, row.id)
    return make_change(subject, after, rule=ChangeOrigin.DIRECT, reason=reason, end=end)


# ---- halts of runs ---------------------------------------------------------------------------------------------------


def is_halted_change(halt: Halt, change: Change) -> bool:
    """Return whether a change waits because a person halted a run."""
    return _end_of(change) in halt.ends if change.policy_digest is None else _version_of(change) in halt.versions


def _version_of(change: Change) -> VersionAtRepo:
    return change.policy_digest or "", change.repo_ref


def _end_of(change: Change) -> HaltedEnd:
    return change.row, next((one.facts["until"] for one in change.because if "until" in one.facts), 0)


def store_halt(store: Store, write: Writer, run: RunRow, *, is_requested: bool) -> None:
    """Store the halt of a run if a person ended it (`is_requested`); otherwise delete the run's halt."""
    changes = (decode_json(row.change, Change) for row in store.changes(run.id)) if is_requested else ()
    write_halt(write, run.id, _halt_of(changes))


def _halt_of(changes: Iterable[Change]) -> Halt | None:
    """Return the halt of these changes; None if no policy planned them, because a person's decisions are not planned
    again.
    """
    versions = set[VersionAtRepo]()
    ends = set[HaltedEnd]()
    for change in changes:
        if change.policy_digest is not None:
            versions.add(_version_of(change))
        elif change.rule == ChangeOrigin.UNTIL:
            ends.add(_end_of(change))
    return Halt(frozenset(versions), frozenset(ends)) if versions or ends else None
