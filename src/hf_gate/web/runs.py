"""One run as it goes: what is done, what is left and how long that takes; pause, resume, stop; what did not come about, and back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from ..application import runs as run_cases
from ..application.record_builders import change_record
from ..application.records import ChangeRecord
from ..domain.ids import Repo
from ..domain.members import MemberRole
from ..domain.outcomes import OutcomeKind
from ..domain.rows import RunRow
from ..domain.runs import UNSETTLED, ChangeState, RunState
from ..domain.timestamps import from_ms
from ..errors import Guarded
from ..plan.model import Change
from ..protocol.pacing import Outlook
from . import words
from .changes import OPEN_STATES, carried_line, visible_repos
from .exports import export_response
from .making import keep
from .request_context import NotFound, Refused, RequestContext
from .run_worker import PAUSE, STOP, RunJob, state_of

PAGE: Final = 50
TROUBLE: Final = (OutcomeKind.REFUSED.value, OutcomeKind.OPEN.value, OutcomeKind.STALE.value, OutcomeKind.GONE.value)
MEANING: Final = {
    "done": "it is as planned", "already": "it was so before", "stale": "moved meanwhile; left alone",
    "gone": "no such request any more", "refused": "the Hub said no", "deferred": "left for later by a budget",
    "open": "not sent, or not known yet",
}  # fmt: skip
_BEAT: Final = 1.0  # seconds between two looks for news
_QUIET: Final = 5.0  # seconds after which a page looks again though nothing was settled: time goes on
_STREAMS: Final = 8  # pages of one member that hear news of runs
_OTHERS_MAY: Final = "Another admin whose account is proven may resume this run; or stop it."
_SPREAD: Final = (0.8, 1.4)  # what is left takes between so much and so much of what it would at the pace until now


@dataclass(frozen=True, slots=True)
class Going:
    """A run at one moment. `state`: running, waiting (for its turn), pausing, stopping, or how it stands."""

    run: RunRow
    state: str
    counts: dict[str, int]  # by kind; what is planned or started is open
    unknown: int  # started, and its outcome is not known
    repos: list[Repo] | None
    load: RunJob | None
    outlook: Outlook
    left: tuple[timedelta, timedelta] | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def settled_count(self) -> int:
        return self.total - self.counts.get(OutcomeKind.OPEN, 0)

    @property
    def share(self) -> int:
        """Percent."""
        return 100 * self.settled_count // self.total if self.total else 100

    @property
    def is_live(self) -> bool:
        return self.load is not None and not self.load.is_over

    @property
    def may_go_on(self) -> bool:
        """Whether something of it is left that somebody can let go on."""
        return not self.is_live and not run_cases.is_over(self.run)

    @property
    def failed_count(self) -> int:
        return self.counts.get(OutcomeKind.REFUSED, 0) + (
            self.counts.get(OutcomeKind.OPEN, 0) if run_cases.is_over(self.run) else 0
        )

    @property
    def kinds(self) -> list[tuple[str, int, str]]:
        return [(kind.value, self.counts[kind], MEANING[kind]) for kind in OutcomeKind if self.counts.get(kind)]

    @property
    def bars(self) -> list[tuple[str, int, int]]:
        """OutcomeKind, where it begins and how wide it is, of a thousand."""
        found, at = [], 0
        for kind, n, _ in self.kinds:
            if kind != OutcomeKind.OPEN and self.total:
                width = max(2, 1000 * n // self.total)
                found.append((kind, at, width))
                at += width
        return found


# ---- how it stands -----------------------------------------------------------------------------------------------------


def _going(context: RequestContext) -> Going:
    app_state, ident = context.app_state, context.params["id"]
    carrying, run = app_state.run_worker, app_state.workspace.store.run(ident)
    load = carrying.load(ident)
    if run is None:
        raise NotFound
    carried = app_state.workspace.plans_and_runs
    repos = visible_repos(context, carried.read_repos(ident))
    if repos is not None and not repos:
        raise NotFound
    states = carried.count_changes(ident, repos)
    counts = Counter[str]()
    for state, n in states.items():
        counts[OutcomeKind.OPEN.value if state in OPEN_STATES else state] += n
    outlook = app_state.workspace.hub.outlook()
    return Going(
        run,
        _state(context, run, load),
        dict(counts),
        sum(states.get(state, 0) for state in UNSETTLED),
        repos,
        load,
        outlook,
        _time_left(load, counts[OutcomeKind.OPEN.value]),
    )


def _state(context: RequestContext, run: RunRow, load: RunJob | None) -> str:
    if load is None or load.is_over:
        return state_of(context.app_state, run)
    if load.wish is not None or (wish := context.workspace.store.stop_request(run.id)) is not None:
        return {PAUSE: "pausing", STOP: "stopping"}.get(load.wish or wish or "", "running")
    return "waiting" if load.started is None else "running"


def _time_left(load: RunJob | None, count: int) -> tuple[timedelta, timedelta] | None:
    """How long what is left takes, at the least and at the most."""
    rate = None if load is None or load.is_over else load.rate(time.monotonic())
    if not rate or not count:
        return None
    return timedelta(seconds=count / rate * _SPREAD[0]), timedelta(seconds=count / rate * _SPREAD[1])


def in_words(left: tuple[timedelta, timedelta] | None) -> str:
    """`4 to 6 min`."""
    if left is None:
        return ""
    least, most = (words.span(one) for one in left)
    if least == most:
        return f"about {most}"
    return f"{least.split()[0]} to {most}" if least.split()[1] == most.split()[1] else f"{least} to {most}"


# ---- the page ----------------------------------------------------------------------------------------------------------


def page(context: RequestContext) -> Response:
    """The run with its changes, those first that need somebody."""
    load = context.app_state.run_worker.load(context.params["id"])
    if load is not None and not load.is_written.is_set():
        return context.page("run-begins.html", title="A run begins")
    return _page(context, _going(context))


def _page(context: RequestContext, going: Going, *, wrong: str = "", status: int = 200) -> Response:
    asked = context.query_value("outcome") or _most_wanted(going)
    after = int(text) if (text := context.query_value("after")).isdecimal() and len(text) < 12 else 0
    rows = context.workspace.plans_and_runs.read_page(
        going.run.id, states=_states(asked), repos=going.repos, after=after, limit=PAGE + 1
    )
    following = rows[PAGE - 1].n if len(rows) > PAGE else None
    return context.page(
        "run.html",
        status,
        asked=asked,
        lines=[carried_line(context, row) for row in rows[:PAGE]],
        following=None if following is None else _at(going, asked, following),
        first=_at(going, asked) if after else None,
        may_steer=_may_steer(context, going),
        wrong=wrong,
        **_live_values(context, going),
    )


def live(context: RequestContext) -> Response:
    """What moves while a run goes, as a part of its page."""
    going = _going(context)
    if not context.is_part:
        return RedirectResponse(f"/runs/{going.run.id}", 303)
    return context.page("parts/run-live.html", may_steer=_may_steer(context, going), **_live_values(context, going))


def _live_values(context: RequestContext, going: Going) -> dict[str, Any]:
    left = in_words(going.left)
    return {
        "going": going,
        "title": _title(going),
        "plan": going.run.plan,
        "made_at": from_ms(going.run.made_at),
        "left": left,
        "ends_about": "" if going.left is None else f"{_clock(context, context.now + going.left[1])}",
        "now_doing": _doing(going),
        "spoken": f"{going.share} percent. {_doing(going)}.",
    }


def _clock(context: RequestContext, moment: datetime) -> str:
    return f"{moment.astimezone(context.workspace.zone):%H:%M}"


def _title(going: Going) -> str:
    n = f"{going.total:,} {'change' if going.total == 1 else 'changes'}"
    return {
        "running": f"Applying {n}", "waiting": f"About to apply {n}", "pausing": f"Pausing {n}",
        "stopping": f"Stopping {n}", RunState.PAUSED: f"Paused: {n}", RunState.STOPPED: f"Stopped: {n}",
        RunState.ENDED: f"{n}: ended", RunState.INTERRUPTED: f"Interrupted: {n}", "not begun": f"Not begun: {n}",
    }.get(going.state, n)  # fmt: skip


def _doing(going: Going) -> str:
    """What happens at this moment."""
    if going.state == "running":
        return str(going.outlook.waiting_why) or "sending"
    return {
        "waiting": "waits for its turn", "pausing": "pauses after the call in flight",
        "stopping": "stops after the call in flight", RunState.ENDED: "nothing is left",
        RunState.STOPPED: "what was left stays as it was", RunState.PAUSED: "waits for somebody",
        RunState.INTERRUPTED: "nobody carries it",
        "not begun": "nothing was sent",
    }.get(going.state, going.state)  # fmt: skip


def _most_wanted(going: Going) -> str:
    """Which rows a reader comes for: those that need a look, else all."""
    is_odd = going.unknown or any(going.counts.get(kind) for kind in TROUBLE if kind != OutcomeKind.OPEN)
    return "trouble" if is_odd or going.is_live else "all"


def _states(asked: str) -> list[str] | None:
    if asked == "trouble":
        return [*TROUBLE, ChangeState.STARTED]
    if asked == OutcomeKind.OPEN:
        return list(OPEN_STATES)
    return [asked] if asked in set(OutcomeKind) else None


def _at(going: Going, asked: str, after: int = 0) -> str:
    query = {"outcome": asked} | ({"after": str(after)} if after else {})
    return f"/runs/{going.run.id}?{urlencode(query)}"


def run_file(context: RequestContext) -> Response:
    """All changes with their outcomes as a file."""
    going = _going(context)
    rows = (
        change_record(row.n, msgspec.json.decode(row.change, type=Change), row)
        for row in context.workspace.plans_and_runs.iterate_changes(going.run.id, going.repos)
    )
    return export_response(f"run-{going.run.id}", context.params["kind"], ChangeRecord, rows)


# ---- steering ----------------------------------------------------------------------------------------------------------


def _may_steer(context: RequestContext, going: Going) -> bool:
    """An admin, and whoever began it; all of it must be theirs to see."""
    if going.repos is not None:
        return False
    return context.member.role is MemberRole.ADMIN or (
        context.member.role.covers(MemberRole.REVIEWER) and context.member.id == going.run.member
    )


def act(context: RequestContext) -> Response:
    """Pauses, resumes or stops a run; makes the plan that tries again, or the one that leads back."""
    going = _going(context)
    if not _may_steer(context, going):
        raise Refused("You may not do this with somebody else's run.", hint="An admin of the desk can.", status=403)
    acts: dict[str, Callable[[RequestContext, Going], Response]] = {
        "pause": _pause, "resume": _resume, "stop": _stop, "retry": _retry, "undo": _undo,
    }  # fmt: skip
    found = acts.get(context.form_value("do"))
    if found is None:
        raise Refused("Nothing was done.", hint="Press one of the buttons of the page.")
    return found(context, going)


def _back(going: Going) -> Response:
    return RedirectResponse(f"/runs/{going.run.id}", 303)


def _pause(context: RequestContext, going: Going) -> Response:
    if going.is_live:
        context.workspace.store.request_stop(going.run.id, PAUSE)
    return _back(going)


def _resume(context: RequestContext, going: Going) -> Response:
    """Goes on; a pause that has not come about yet is taken back."""
    app_state, run = context.app_state, going.run

    def begin() -> RunRow:
        with app_state.tray_service.lock:
            need = app_state.membership.compute_resume_need(context.member, run)
            if need.is_open:
                raise Guarded(f"{need.why} {_OTHERS_MAY}")
            return run_cases.record_resume(app_state.workspace.store, run, context.member.name, app_state.now())

    if going.may_go_on and (need := app_state.membership.compute_resume_need(context.member, run)).is_open:
        return _page(context, going, wrong=f"{need.why} {_OTHERS_MAY}", status=409)
    if going.is_live or going.may_go_on:
        app_state.workspace.store.request_stop(run.id, None)
        app_state.run_worker.take_up(run.id, begin)
    return _back(going)


def _stop(context: RequestContext, going: Going) -> Response:
    """For good: what is unknown is still read back, and nothing more is sent."""
    if going.is_live or going.may_go_on:
        context.workspace.store.request_stop(going.run.id, STOP)
        context.app_state.run_worker.take_up(going.run.id).ended.wait(_BEAT)
    return _back(going)


def _retry(context: RequestContext, going: Going) -> Response:
    """A plan of those that were refused or stayed open, as far as they still stand where they stood."""
    if not run_cases.is_over(going.run):
        return _page(context, going, wrong="It has not ended: let it go on, or stop it first.", status=409)
    bundle = context.app_state.policies.current
    versions = None if bundle is None else run_cases.policy_versions(bundle.policies)
    made = run_cases.plan_retry(context.workspace.store, going.run, now=context.now, versions=versions)
    left_out, outdated = made.summary.get("left_out", 0), made.summary.get("outdated", 0)
    notes = [f"{left_out} moved on since: they are left alone."] if left_out else []
    if outdated:
        notes.append(f"{outdated} were decided by policies that were changed since: make a plan of those of today.")
    if not made.changes:
        wrong = " ".join(notes) if outdated else "Nobody of those still stands where they stood."
        return _page(context, going, wrong=wrong, status=409)
    return _redirect_to_plan(keep(context.app_state, made, context.member, "retry", of=going.run.id, notes=notes))


def _undo(context: RequestContext, going: Going) -> Response:
    """The plan that leads back, and what no plan can take back."""
    if going.is_live:
        return _page(context, going, wrong="It is still going: pause or stop it first.", status=409)
    made, notes = run_cases.plan_undo(context.workspace.store, going.run, now=context.now)
    if not made.changes:
        return _page(context, going, wrong=f"There is nobody to put back. {' '.join(notes)}".strip(), status=409)
    if any(change.policy for change in _changes_with_outcome(context, going)):
        notes.append("The policies in force would plan the same again: change the rule, or write mode: shadow, first.")
    return _redirect_to_plan(keep(context.app_state, made, context.member, "undo", of=going.run.id, notes=notes))


def _changes_with_outcome(context: RequestContext, going: Going) -> list[Change]:
    rows = context.workspace.plans_and_runs.read_page(going.run.id, states=[OutcomeKind.DONE.value], limit=1)
    return [msgspec.json.decode(row.change, type=Change) for row in rows]


def _redirect_to_plan(digest: str) -> Response:
    return RedirectResponse(f"/plans/{digest}", 303)


# ---- news --------------------------------------------------------------------------------------------------------------


def events(context: RequestContext) -> Response:
    """Server-sent events while a run goes: `beat` when there is news, `end` when nobody carries it any more."""
    going, streams = _going(context), context.app_state.streams
    if streams[context.member.id] >= _STREAMS:
        raise Refused(f"You watch {_STREAMS} runs already.", hint="Close the page of another run.", status=429)
    return Beats(lambda: context.app_state.run_worker.load(going.run.id), counted=(streams, context.member.id))


class Beats(Response):
    """Looks at a run once a second, in memory; the page asks for what it shows when it hears a beat."""

    media_type = "text/event-stream"

    def __init__(
        self, load: Callable[[], RunJob | None], pause: float = _BEAT, counted: tuple[Counter[str], str] | None = None
    ) -> None:
        super().__init__(None, 200, {"x-accel-buffering": "no"}, "text/event-stream")
        self._load, self._pause, self._counted = load, pause, counted
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.create_task(_hung_up(receive))
        self._count(1)
        try:
            await self._tell(send, gone)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._count(-1)

    def _count(self, change: int) -> None:
        """Count the streams of this member, in the event loop alone."""
        if self._counted is not None:
            streams, member = self._counted
            streams[member] += change
            if not streams[member]:
                del streams[member]

    async def _tell(self, send: Send, gone: asyncio.Task[None]) -> None:
        seen, quiet = -1, 0.0
        while not gone.done():
            load = self._load()
            if load is None or load.is_over:
                await send({"type": "http.response.body", "body": b"event: end\ndata: 0\n\n", "more_body": True})
                return
            if load.beat != seen or quiet >= _QUIET:
                text = f"event: beat\ndata: {load.beat}\n\n"
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                seen, quiet = load.beat, 0.0
            await asyncio.wait({gone}, timeout=self._pause)
            quiet += self._pause


async def _hung_up(receive: Receive) -> None:
    heard = await receive()
    while heard["type"] != "http.disconnect":
        await asyncio.sleep(0)  # an answer that was there already lets nobody else run
        heard = await receive()
