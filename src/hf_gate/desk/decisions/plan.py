"""The page of a plan: its changes by rule, and the actions to apply, agree to, reduce or discard it."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from hf_gate.approvals.rows.plans import delete_plans, find_plan
from hf_gate.approvals.service.approvals import endorse, name_accounts, read_act_endorsers, read_plan_approvals
from hf_gate.approvals.service.quorum_rules import read_quorum_rules
from hf_gate.base.batches import group_pairs
from hf_gate.base.decoding import decode_json
from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import describe_clock_skew, from_ms
from hf_gate.core.changes import Change
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.records import ChangeRecord
from hf_gate.core.runs import ChangeOrigin, RunKind
from hf_gate.core.stored_rows import PlanRow, RunRow, count_pending
from hf_gate.decisions.records import change_record
from hf_gate.decisions.service.runs import runs as run_cases
from hf_gate.decisions.typed_input import is_confirmed
from hf_gate.desk.app_state import AppState
from hf_gate.desk.exports import export_response, file_response
from hf_gate.desk.http_context import HttpContext, NotFound, Refused, parse_number, require
from hf_gate.errors import Guarded
from hf_gate.members.service.members import ActQuorum
from hf_gate.settings.service.workspace import new_id
from hf_gate.verdicts.plan import guards
from hf_gate.verdicts.plan.guards import Confirmation
from hf_gate.verdicts.plan.model import CLOCK_SKEW, Plan, encode_plan, make_partial_plan
from hf_gate.verdicts.plan.render import SHADOW, estimate_calls
from hf_gate.verdicts.plan.words import count_staying, describe_effects

from .change_lines import (
    MAX_GROUPS,
    ChangeLine,
    add_examples,
    change_line,
    group_changes,
    visible_repos,
)
from .plan_maker import store_plan

PAGE_SIZE: Final = 50
MAX_WAIT: Final = 2.0  # seconds that a page waits for the work that it started
_LEFT_OUT: Final = (
    "wait",
    "ends_held",
    "ends_undecided",
    "protected",
    "deferred",
    "outdated",
    "remaining",
)  # keys of a summary
_recent_plans: OrderedDict[str, Plan] = OrderedDict()  # by digest, which is the same for every desk
_MAX_RECENT: Final = 3


def read_plan(app_state: AppState, digest: str) -> Plan:
    """Return the plan with this digest; the last few are cached."""
    known = _recent_plans.get(digest)
    if known is None:
        document = require(app_state.workspace.store.plan(digest))
        known = _recent_plans[digest] = decode_json(document, Plan)
        while len(_recent_plans) > _MAX_RECENT:
            _recent_plans.popitem(last=False)
    return known


def forget_recent_plans() -> None:
    """Empty the cache, because a person in a plan was erased."""
    _recent_plans.clear()


class VisiblePlan(Struct):
    """A plan with the changes that the member can see, numbered as in the plan."""

    row: PlanRow
    plan: Plan
    repos: list[Repo] | None  # None: all changes are visible
    changes: list[tuple[int, Change]]

    @property
    def is_whole(self) -> bool:
        return self.repos is None

    def about(self, key: str, otherwise: Any = None) -> Any:  # noqa: ANN401 - JSON of ours
        return self.row.about.get(key, otherwise)


def _read_visible_plan(context: HttpContext) -> VisiblePlan:
    row = require(find_plan(context.workspace.store, context.params["digest"]))
    plan = read_plan(context.app_state, row.digest)
    here = {change.repo_ref for change in plan.changes}
    repos = visible_repos(context, here)
    numbered = list(enumerate(plan.changes, start=1))
    if repos is not None:
        if not repos:
            raise NotFound
        mine = frozenset(repos)
        numbered = [(n, change) for n, change in numbered if change.repo_ref in mine]
    return VisiblePlan(row, plan, repos, numbered)


def page(context: HttpContext) -> Response:
    """Show the plan by rule with examples, or a page of all changes of a rule."""
    return _page(context, _read_visible_plan(context))


def _page(context: HttpContext, view: VisiblePlan, *, wrong: str = "", status: int = 200) -> Response:
    groups = group_changes(view.changes)
    chosen = context.query_value("group")
    after = parse_number(context.query_value("after")) or 0
    lines, following = _list_lines(context, view, chosen, after) if chosen else ([], None)
    apply_state = _apply_state(context, view)
    chosen_group = next((group for group in groups if group.key == chosen), None)
    add_examples(context, groups[:MAX_GROUPS] if not chosen else [chosen_group] if chosen_group else [])
    summary = view.plan.summary if view.is_whole and context.member.repos is None else {}
    return context.render(
        "plan.html",
        status,
        title=f"Plan: {pluralize(len(view.changes), 'change')}",
        view=view,
        effects=describe_effects((change for _, change in view.changes), summary),
        staying=count_staying(summary),
        limits=[guard for guard in view.plan.guards if guard.value],
        digest=view.plan.digest,
        made_at=from_ms(view.row.made_at),
        clock_off=describe_clock_skew(skew) if (skew := view.plan.summary.get(CLOCK_SKEW, 0)) else "",
        expires_at=view.plan.expires_at,
        groups=groups,
        shown_groups=groups[:MAX_GROUPS],
        left=[(key, summary[key]) for key in _LEFT_OUT if summary.get(key)],
        shadows=_shadow_counts(summary),
        chosen=chosen,
        chosen_group=chosen_group,
        lines=lines,
        following=None if following is None else _group_url(view, chosen, following),
        first=_group_url(view, chosen) if after else None,
        apply_state=apply_state,
        is_typed=apply_state.confirmation is Confirmation.TYPED,
        calls=estimate_calls(view.plan),
        wrong=wrong,
    )


def _group_url(view: VisiblePlan, group: str, after: int = 0) -> str:
    query = {"group": group} | ({"after": str(after)} if after else {})
    return f"/plans/{view.plan.digest}?{urlencode(query)}"


def _list_lines(
    context: HttpContext, view: VisiblePlan, chosen: str, after: int
) -> tuple[list[ChangeLine], int | None]:
    fitting = (
        (n, change)
        for n, change in view.changes
        if n > after and chosen in {"all", f"{change.verb}:{change.rule_label}"}
    )
    found = [pair for pair, _ in zip(fitting, range(PAGE_SIZE + 1), strict=False)]
    lines = [change_line(context, n, change) for n, change in found[:PAGE_SIZE]]
    return lines, lines[-1].n if len(found) > PAGE_SIZE else None


def _shadow_counts(summary: Mapping[str, int]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return the actions that policies in shadow mode would take, with their numbers."""
    keys = [(key.removeprefix(SHADOW).partition("/"), key) for key in sorted(summary) if key.startswith(SHADOW)]
    return list(group_pairs((policy, (action, summary[key])) for (policy, _, action), key in keys).items())


def export(context: HttpContext) -> Response:
    """Return a file: `.json` is the plan for `hf-gate apply`, the other kinds list its changes."""
    view = _read_visible_plan(context)
    kind = context.params["kind"]
    if kind == "json":
        if not view.is_whole:
            raise NotFound
        return file_response([encode_plan(view.plan)], "application/json")
    rows = (change_record(n, change) for n, change in view.changes)
    return export_response(f"plan-{view.plan.digest[:8]}", kind, ChangeRecord, rows)


# ---- confirmation ----------------------------------------------------------------------------------------------------


class ApplyState(Struct, frozen=True):
    """Whether and how the member can apply a plan. `refusal`: why they cannot."""

    confirmation: Confirmation
    refusal: str = ""
    hint: str = ""
    needs_second: bool = False
    can_approve: bool = False
    can_edit: bool = False
    approved: tuple[str, ...] = ()
    why_two: str = ""
    next_step: str = ""
    run: str | None = None
    run_state: str | None = None


def _apply_state(context: HttpContext, view: VisiblePlan) -> ApplyState:
    run = None if view.row.run is None else context.workspace.store.run(view.row.run)
    rung = guards.plan_confirmation([change for _, change in view.changes], _count_pending(context.app_state))
    store = context.workspace.store
    maker = view.about("by_account")
    seen = read_act_endorsers(store, view.plan.digest)
    approved = name_accounts(store, [account for account in seen if account != maker])
    if run is not None:
        return ApplyState(
            rung, approved=approved, run=run.id, run_state=context.app_state.run_worker.describe_state(run)
        )
    may = _can_apply(context, view)
    no, hint = ("", "") if view.plan.changes else ("The plan has no changes.", "")
    if not no and not may:
        no = f"A {context.member.role} cannot apply this plan."
        hint = "Ask an admin of the desk."
    if not no:
        no, hint = _refusal(context.app_state, view.plan, context)
    quorum = _read_quorum(context, view) if may and not no else None
    is_large = quorum is not None and quorum.is_large
    mine = context.member.account_id
    return ApplyState(
        rung,
        no,
        hint,
        quorum is not None and quorum.is_open,
        can_approve=is_large and mine is not None and mine not in (maker, *_read_current_endorsers(context, view)),
        why_two=quorum.why if quorum is not None and is_large else "",
        next_step=quorum.team.describe_next_step() if quorum is not None and quorum.is_open else "",
        can_edit=may and view.is_whole and bool(view.plan.changes),
        approved=approved,
    )


def _read_current_endorsers(context: HttpContext, view: VisiblePlan) -> list[str]:
    """Return who agreed to the plan under the rules as they are now. The others can agree again."""
    rules = read_quorum_rules(context.workspace, lambda: context.app_state.policies.current).digest
    return read_act_endorsers(context.workspace.store, view.plan.digest, rules)


def _can_apply(context: HttpContext, view: VisiblePlan) -> bool:
    """Return whether the member may apply the plan: an admin, or a reviewer whose run it was made from."""
    if not view.is_whole:
        return False
    if context.member.role.covers(MemberRole.ADMIN):
        return True
    is_own = view.about("kind") == RunKind.UNDO and view.about("by_id") == context.member.id
    return is_own and context.member.role.covers(MemberRole.REVIEWER)


def _refusal(app_state: AppState, plan: Plan, context: HttpContext) -> tuple[str, str]:
    bundle = None
    if run_cases.needs_policies(plan):
        bundle = app_state.policies.current
        if bundle is None:
            return "The policies cannot be read now, so their plan cannot be applied.", "Fix the policy files."
    own = next((n for n, change in enumerate(plan.changes, start=1) if _is_own(change, context.member)), None)
    if own is not None:
        no = f"You cannot decide your own request, and change {own} is about it."
        return no, "Leave it out, or ask another admin to apply the plan."
    try:
        run_cases.check_plan_in_workspace(context.workspace, bundle, plan)
    except Guarded as problem:
        return f"{str(problem)[:1].upper()}{str(problem)[1:]}", "Make a new one."
    return "", ""


def _is_own(change: Change, member: Member) -> bool:
    """Return whether the member would decide their own request.

    Changes by a policy or by an end are nobody's decision.
    """
    is_personal = not change.policy and change.rule != ChangeOrigin.UNTIL
    return is_personal and member.is_own(change.user, change.user_id)


def _count_pending(app_state: AppState) -> int:
    return count_pending(app_state.workspace.store.repos())


def _read_quorum(context: HttpContext, view: VisiblePlan) -> ActQuorum:
    """Return whether two people must agree, and whether they have: maker, approvers and this member count."""
    acts = Counter(change.action for change in view.plan.changes)
    whole, seen = read_plan_approvals(context.workspace.store, view.plan.digest)
    return context.app_state.membership.compute_act_quorum(context.member, acts, original_total=whole, approvers=seen)


def handle_plan_action(context: HttpContext) -> Response:
    """Apply the plan, agree to it, exclude changes, or discard it."""
    view = _read_visible_plan(context)
    if not _can_apply(context, view):
        raise Refused(f"A {context.member.role} may not do this.", hint="Ask an admin of the desk.", status=403)
    do = context.form_value("do")
    if view.row.run is not None:
        return RedirectResponse(f"/runs/{view.row.run}", 303)
    if do == "apply":
        return _apply(context, view)
    if do == "approve":
        return _approve(context, view)
    if do == "exclude":
        return _exclude(context, view)
    if do == "discard":
        delete_plans(context.workspace.store, [view.plan.digest])
        _recent_plans.pop(view.plan.digest, None)
        return RedirectResponse("/plans", 303)
    raise Refused("Nothing was done.", hint="Use the buttons on the page.")


def _check_confirmation(context: HttpContext, view: VisiblePlan) -> Response | None:
    """Return a page that says what is missing; None if the confirmation is sufficient."""
    apply_state = _apply_state(context, view)
    if apply_state.refusal:
        return _page(context, view, wrong=apply_state.refusal, status=409)
    count = len(view.changes)
    typed = context.form_value("count").strip()
    if apply_state.confirmation is Confirmation.TYPED and not is_confirmed(typed, count):
        said = f"You typed {typed[:12]}, but the number is {count:,}." if typed else f"Type {count} to confirm."
        return _page(context, view, wrong=said, status=422)
    return None


def _apply(context: HttpContext, view: VisiblePlan) -> Response:
    refused = _check_confirmation(context, view)
    if refused is not None:
        return refused
    quorum = _read_quorum(context, view)
    if quorum.is_open:
        return _page(
            context, view, wrong=f"A second person has to agree first. {quorum.team.describe_next_step()}", status=409
        )
    app_state = context.app_state
    plan = view.plan
    ident = new_id("r")
    kind = RunKind.UNDO if view.about("kind") == RunKind.UNDO else RunKind.PLAN

    def begin() -> RunRow:
        with app_state.tray_service.lock:
            quorum = _read_quorum(context, view)
            if quorum.is_open:
                raise Guarded(f"A second person has to agree first. {quorum.team.describe_next_step()}")
            name = context.member.name
            now = app_state.now()
            return run_cases.create_run(
                app_state.workspace.store, plan, run_id=ident, kind=kind, actor=name, now=now, author=quorum.author
            )

    load = app_state.run_worker.enqueue(ident, begin)
    load.stored.wait(MAX_WAIT)
    if load.is_over and app_state.workspace.store.run(ident) is None:
        known = app_state.workspace.store.run_of_plan(
            plan.digest
        )  # another member applied it first, or the run could not start
        if known is None:
            return _page(context, view, wrong=load.problem or "The run could not start.", status=409)
        return RedirectResponse(f"/runs/{known.id}", 303)
    return RedirectResponse(f"/runs/{ident}", 303)


def _approve(context: HttpContext, view: VisiblePlan) -> Response:
    """Record the member's endorsement, so that another member may apply the plan."""
    refused = _check_confirmation(context, view)
    if refused is not None:
        return refused
    if context.member.account_id is None:
        return _page(context, view, wrong=_read_quorum(context, view).team.describe_next_step(), status=409)
    digest = view.plan.digest
    endorse(context.workspace, digest, len(view.plan.changes), context.member, context.member.name)
    return RedirectResponse(f"/plans/{digest}", 303)


def _exclude(context: HttpContext, view: VisiblePlan) -> Response:
    """Make a new plan without the ticked changes; the original stays unchanged."""
    out = {parse_number(text) for text in context.form.get("n", [])} - {None, 0}
    rest = [change for n, change in view.changes if n not in out]
    if not out or len(rest) == len(view.changes):
        return _page(context, view, wrong="No change was ticked, so none was left out.", status=422)
    digest = store_plan(
        context.workspace,
        _reduce_plan(context.app_state, view.plan, rest),
        context.member,
        view.about("kind", "part"),
        need=max(view.about("need", 0), len(view.plan.changes)),
        of=view.plan.digest,
        notes=view.about("notes", []),
        out=view.about("out", 0) + len(view.changes) - len(rest),
    )
    return RedirectResponse(f"/plans/{digest}", 303)


def _reduce_plan(app_state: AppState, plan: Plan, rest: Sequence[Change]) -> Plan:
    """Return a plan with only these changes, with recomputed counts and guards."""
    protected = next((guard.value for guard in plan.guards if guard.name == "protected"), 0)
    verbs = Counter(change.verb for change in rest)
    counts = {key: verbs[key] for key in ("accept", "reject", "reset", "remove") if key in plan.summary}
    part = msgspec.structs.replace(
        plan, summary={**plan.summary, **counts}, guards=guards.guard_report(rest, _count_pending(app_state), protected)
    )
    return make_partial_plan(part, rest)
