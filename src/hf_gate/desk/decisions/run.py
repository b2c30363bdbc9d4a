"""The page of a run: progress and outcomes, and the actions pause, resume, stop and undo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from hf_gate.base.decoding import decode_json
from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import from_ms
from hf_gate.core.changes import Change
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.members import MemberRole
from hf_gate.core.records import ChangeRecord
from hf_gate.core.runs import UNSETTLED, ChangeState, RunEvent, RunState
from hf_gate.core.stored_rows import RunRow
from hf_gate.decisions.records import change_record
from hf_gate.decisions.service.runs import runs as run_cases
from hf_gate.desk.exports import export_response
from hf_gate.desk.http_context import HttpContext, NotFound, Refused, parse_number
from hf_gate.errors import Guarded
from hf_gate.hub.protocol.pacing import Outlook

from .change_lines import OPEN_STATES, run_change_line, visible_repos
from .plan_maker import store_plan
from .run_worker import RunJob

PAGE_SIZE: Final = 50
ATTENTION_STATES: Final = (
    ChangeState.REFUSED,
    ChangeState.UNSENT,
    ChangeState.STALE,
    ChangeState.GONE,
    *UNSETTLED,
)
"""The states of changes that the page lists under "Needs attention"."""
MEANING: Final = {
    "done": "as planned",
    "already": "already in this state",
    "stale": "changed meanwhile; skipped",
    "gone": "the request no longer exists",
    "refused": "the Hub refused it",
    "deferred": "left for a later run because of a limit",
    "open": "not sent, or outcome unknown",
}
_MAX_WAIT: Final = 1.0  # seconds that a page waits for a run to end
_OTHERS_MAY: Final = "Ask another admin to resume this run, or stop it."


class RunView(Struct, frozen=True):
    """A run at one moment. `state`: running, waiting (queued), pausing, stopping, or the stored state."""

    run: RunRow
    state: str
    counts: dict[str, int]  # by outcome; planned and started changes are `open`
    states: Mapping[str, int]  # changes by stored state
    repos: list[Repo] | None
    job: RunJob | None
    outlook: Outlook

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def settled_count(self) -> int:
        return self.total - self.counts.get(OutcomeKind.OPEN, 0)

    @property
    def share(self) -> int:
        """The settled changes in percent."""
        return 100 * self.settled_count // self.total if self.total else 100

    @property
    def is_live(self) -> bool:
        return self.job is not None and not self.job.is_over

    @property
    def can_resume(self) -> bool:
        """Whether the run has unsent changes and can be resumed."""
        return not self.is_live and not self.run.is_over

    @property
    def unknown(self) -> int:
        """The number of started changes without a known outcome."""
        return self._count_in(UNSETTLED)

    @property
    def failed_count(self) -> int:
        """The number of changes that `hf-gate runs retry` looks at."""
        return self._count_in(run_cases.RETRIED_STATES)

    @property
    def has_problems(self) -> bool:
        return self._count_in(ATTENTION_STATES) > 0

    def _count_in(self, states: Iterable[ChangeState]) -> int:
        return sum(self.states.get(state, 0) for state in states)

    @property
    def kinds(self) -> list[tuple[str, int, str]]:
        return [(kind.value, self.counts[kind], MEANING[kind]) for kind in OutcomeKind if self.counts.get(kind)]


# ---- state -----------------------------------------------------------------------------------------------------------


def _read_run(context: HttpContext) -> RunView:
    app_state = context.app_state
    ident = context.params["id"]
    run = app_state.workspace.store.run(ident)
    job = app_state.run_worker.find_job(ident)
    if run is None:
        raise NotFound
    stored = app_state.workspace.store
    repos = visible_repos(context, stored.repos_of_run(ident))
    if repos is not None and not repos:
        raise NotFound
    states = stored.count_changes(ident, repos)
    counts = Counter[str]()
    for state, n in states.items():
        counts[OutcomeKind.OPEN.value if state in OPEN_STATES else state] += n
    outlook = app_state.workspace.hub.outlook()
    return RunView(
        run,
        _state(context, run, job),
        dict(counts),
        states,
        repos,
        job,
        outlook,
    )


def _state(context: HttpContext, run: RunRow, job: RunJob | None) -> str:
    if job is None or job.is_over:
        return context.app_state.run_worker.describe_state(run)
    if job.stop_request is not None or (request := context.workspace.store.stop_request(run.id)) is not None:
        return {"pause": "pausing", "stop": "stopping"}.get(job.stop_request or request or "", "running")
    return "running" if job.has_started else "waiting"


# ---- the page --------------------------------------------------------------------------------------------------------


def page(context: HttpContext) -> Response:
    """Show the run with its changes, by default those with problems."""
    job = context.app_state.run_worker.find_job(context.params["id"])
    if job is not None and not job.stored.is_set():
        return context.render("run-begins.html", title="The run is starting")
    return _page(context, _read_run(context))


def _page(context: HttpContext, view: RunView, *, wrong: str = "", status: int = 200) -> Response:
    asked = context.query_value("outcome") or ("attention" if view.has_problems or view.is_live else "all")
    after = parse_number(context.query_value("after")) or 0
    rows = context.workspace.store.changes(
        view.run.id, states=_states(asked), repos=view.repos, after=after, limit=PAGE_SIZE + 1
    )
    following = rows[PAGE_SIZE - 1].n if len(rows) > PAGE_SIZE else None
    return context.render(
        "run.html",
        status,
        asked=asked,
        lines=[run_change_line(context, row) for row in rows[:PAGE_SIZE]],
        following=None if following is None else _outcome_url(view, asked, following),
        first=_outcome_url(view, asked) if after else None,
        can_control=_can_control(context, view),
        wrong=wrong,
        **_live_values(view),
    )


def live(context: HttpContext) -> Response:
    """Return the progress of a run as a part of its page."""
    view = _read_run(context)
    if not context.is_part:
        return RedirectResponse(f"/runs/{view.run.id}", 303)
    return context.render("parts/run-live.html", can_control=_can_control(context, view), **_live_values(view))


def _live_values(view: RunView) -> dict[str, Any]:
    return {
        "view": view,
        "title": _title(view),
        "plan": view.run.plan,
        "made_at": from_ms(view.run.made_at),
        "now_doing": _describe_activity(view),
        "spoken": f"{view.share} percent. {_describe_activity(view)}.",
    }


def _title(view: RunView) -> str:
    n = pluralize(view.total, "change")
    return {
        "running": f"Applying {n}",
        "waiting": f"About to apply {n}",
        "pausing": f"Pausing {n}",
        "stopping": f"Stopping {n}",
        RunState.PAUSED: f"Paused: {n}",
        RunState.STOPPED: f"Stopped: {n}",
        RunState.ENDED: f"{n}: ended",
        RunState.INTERRUPTED: f"Interrupted: {n}",
        RunState.ABANDONED: f"Abandoned: {n}",
        "not begun": f"Not started: {n}",
    }.get(view.state, n)


def _describe_activity(view: RunView) -> str:
    """Describe what the run does now."""
    if view.state == "running":
        return str(view.outlook.waiting_why) or "sending"
    return {
        "waiting": "waiting for another run",
        "pausing": "pausing after the current call",
        "stopping": "stopping after the current call",
        RunState.ENDED: "nothing left to send",
        RunState.STOPPED: "the rest was not sent",
        RunState.PAUSED: "waiting to be resumed",
        RunState.INTERRUPTED: "no process executes it",
        RunState.ABANDONED: "an error ended it; the rest was not sent",
        "not begun": "nothing was sent",
    }.get(view.state, view.state)


def _states(asked: str) -> list[str] | None:
    if asked == "attention":
        return list(ATTENTION_STATES)
    if asked == OutcomeKind.OPEN:
        return list(OPEN_STATES)
    return [asked] if asked in set(OutcomeKind) else None


def _outcome_url(view: RunView, asked: str, after: int = 0) -> str:
    query = {"outcome": asked} | ({"after": str(after)} if after else {})
    return f"/runs/{view.run.id}?{urlencode(query)}"


def export(context: HttpContext) -> Response:
    """Return all changes with their outcomes as a file."""
    view = _read_run(context)
    rows = (
        change_record(row.n, decode_json(row.change, Change), row)
        for row in context.workspace.store.iterate_changes(view.run.id, view.repos)
    )
    return export_response(f"run-{view.run.id}", context.params["kind"], ChangeRecord, rows)


# ---- actions ---------------------------------------------------------------------------------------------------------


def _can_control(context: HttpContext, view: RunView) -> bool:
    """Return whether the member may control the run: an admin, or the reviewer who started it, if all is visible."""
    if view.repos is not None:
        return False
    return context.member.role is MemberRole.ADMIN or (
        context.member.role.covers(MemberRole.REVIEWER) and context.member.id == view.run.member
    )


def handle_run_action(context: HttpContext) -> Response:
    """Pause, resume or stop a run, or make a plan that undoes it."""
    view = _read_run(context)
    if not _can_control(context, view):
        raise Refused("You may not do this with another member's run.", hint="Ask an admin of the desk.", status=403)
    acts: dict[str, Callable[[HttpContext, RunView], Response]] = {
        "pause": _pause,
        "resume": _resume,
        "stop": _stop,
        "undo": _undo,
    }
    found = acts.get(context.form_value("do"))
    if found is None:
        raise Refused("Nothing was done.", hint="Use the buttons on the page.")
    return found(context, view)


def _redirect_to_run(view: RunView) -> Response:
    return RedirectResponse(f"/runs/{view.run.id}", 303)


def _pause(context: HttpContext, view: RunView) -> Response:
    if view.is_live:
        context.workspace.store.request_stop(view.run.id, RunEvent.PAUSE)
    return _redirect_to_run(view)


def _resume(context: HttpContext, view: RunView) -> Response:
    """Resume the run, or cancel a pause that has not taken effect yet."""
    app_state = context.app_state
    run = view.run

    def begin() -> RunRow:
        with app_state.tray_service.lock:
            quorum = app_state.membership.compute_resume_quorum(context.member, run)
            if quorum.is_open:
                raise Guarded(f"{quorum.why} {_OTHERS_MAY}")
            return run_cases.record_resume(app_state.workspace.store, run, context.member.name, app_state.now())

    if view.can_resume and (quorum := app_state.membership.compute_resume_quorum(context.member, run)).is_open:
        return _page(context, view, wrong=f"{quorum.why} {_OTHERS_MAY}", status=409)
    if view.is_live or view.can_resume:
        app_state.workspace.store.request_stop(run.id, None)
        app_state.run_worker.enqueue(run.id, begin)
    return _redirect_to_run(view)


def _stop(context: HttpContext, view: RunView) -> Response:
    """Stop permanently: nothing more is sent, but unknown outcomes are read back."""
    if view.is_live or view.can_resume:
        context.workspace.store.request_stop(view.run.id, RunEvent.STOP)
        context.app_state.run_worker.enqueue(view.run.id).ended.wait(_MAX_WAIT)
    return _redirect_to_run(view)


def _undo(context: HttpContext, view: RunView) -> Response:
    """Make a plan that undoes the run, with notes on what cannot be undone."""
    if view.is_live:
        return _page(context, view, wrong="The run is still running. Pause or stop it first.", status=409)
    made, notes = run_cases.plan_undo(context.workspace.store, view.run, now=context.now)
    if not made.changes:
        return _page(context, view, wrong=f"There is nothing to undo. {' '.join(notes)}".strip(), status=409)
    if any(change.policy for change in _changes_with_outcome(context, view)):
        notes.append(
            "The current policies would plan the same changes again. First change the rule, or write mode: shadow."
        )
    return _redirect_to_plan(store_plan(context.workspace, made, context.member, "undo", of=view.run.id, notes=notes))


def _changes_with_outcome(context: HttpContext, view: RunView) -> list[Change]:
    rows = context.workspace.store.changes(view.run.id, states=[OutcomeKind.DONE.value], limit=1)
    return [decode_json(row.change, Change) for row in rows]


def _redirect_to_plan(digest: str) -> Response:
    return RedirectResponse(f"/plans/{digest}", 303)
