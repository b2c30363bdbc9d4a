"""The list of plans and runs, and the action to make a plan."""

from __future__ import annotations

from msgspec import Struct, field
from starlette.responses import RedirectResponse, Response

from hf_gate.approvals.rows.plans import list_plans
from hf_gate.base.timestamps import from_ms, ms_to_iso
from hf_gate.core.people.members import MemberRole
from hf_gate.core.records import PlanRecord
from hf_gate.core.stored_rows import PlanRow
from hf_gate.desk.app_state import AppState
from hf_gate.desk.exports import export_response
from hf_gate.desk.http_context import ENVIRONMENT, HttpContext
from hf_gate.hub.credentials import name_token_source
from hf_gate.verdicts.plan.words import describe_counts, describe_effects

from .plan import MAX_WAIT, read_plan

ENVIRONMENT.filters["from_ms"] = from_ms


class PlanOrRun(Struct, frozen=True):
    """A plan or run as a row of the list."""

    ident: str
    made_at: int
    by: str
    kind: str
    changes: int
    effects: str  # `117 people get access, 974 need review`; empty if nothing changes and nobody stays
    run: str | None = None
    state: str | None = None
    counts: dict[str, int] = field(default_factory=dict)


def page(context: HttpContext) -> Response:
    """Show the plans and runs."""
    maker = context.app_state.plan_maker
    problem = maker.problem
    return context.render(
        "plans.html",
        title="Plans",
        plans=_list_plans(context),
        runs=_list_runs(context),
        may_make=context.member.role.covers(MemberRole.ADMIN) and context.workspace.location.folder is not None,
        is_making=maker.is_busy,
        problem=None if problem is None else str(problem),
        hint="" if problem is None else name_token_source(problem.hint, "the desk"),
    )


def export(context: HttpContext) -> Response:
    """Return the list of plans as a file."""
    rows = (
        PlanRecord(
            digest=plan.ident,
            made_at=ms_to_iso(plan.made_at),
            by=plan.by,
            kind=plan.kind,
            changes=plan.changes,
            run=plan.run,
            state=plan.state,
        )
        for plan in _list_plans(context)
    )
    return export_response("plans", context.params["kind"], PlanRecord, rows)


def _list_plans(context: HttpContext) -> list[PlanOrRun]:
    if context.member.repos is not None:  # plans contain other repos; those members open a plan by its address
        return []
    return [_summarize_plan_row(context.app_state, row) for row in list_plans(context.workspace.store)]


def _summarize_plan_row(app_state: AppState, row: PlanRow) -> PlanOrRun:
    told = row.about
    if "changes" not in told:  # made by `hf-gate apply` or `hf-gate run`
        plan = read_plan(app_state, row.digest)
        run = None if row.run is None else app_state.workspace.store.run(row.run)
        by, kind = ("", "file") if run is None else (run.actor, run.kind)
        effects = describe_effects(plan.changes, plan.summary)
        return PlanOrRun(row.digest, row.made_at, by, kind, len(plan.changes), effects, row.run, row.state)
    effects = describe_counts(told.get("verbs", {}), told.get("staying", 0))
    return PlanOrRun(row.digest, row.made_at, told["by"], told["kind"], told["changes"], effects, row.run, row.state)


def _list_runs(context: HttpContext) -> list[PlanOrRun]:
    """Return the latest runs with more than one change; single decisions are in the ledger."""
    app_state = context.app_state
    found = [run for run in app_state.workspace.store.runs(100) if run.total > 1]
    if context.member.repos is not None:
        found = [run for run in found if run.member == context.member.id]
    return [
        PlanOrRun(
            run.id,
            run.made_at,
            run.actor,
            run.kind,
            run.total,
            "",
            run.id,
            app_state.run_worker.describe_state(run),
            dict(run.counts),
        )
        for run in found[:20]
    ]


def start_plan(context: HttpContext) -> Response:
    """Start making a plan and redirect to it; if that takes long, redirect to the list."""
    maker = context.app_state.plan_maker
    maker.start(context.member, MAX_WAIT)
    if maker.digest is not None and not maker.is_busy:
        return RedirectResponse(f"/plans/{maker.digest}", 303)
    return RedirectResponse("/plans", 303)
