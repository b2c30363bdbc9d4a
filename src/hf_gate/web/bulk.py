"""Many at once: a selection that lies in the store, the page that says what would follow, and the yes that it needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from ..application.bulk import Order, begin_bulk
from ..application.inputs import REASONED, confirms, parse_reason
from ..application.records import RequestRecord
from ..application.runs import direct_change
from ..application.second_person import Need
from ..application.tray import Wish
from ..domain.lifecycle import MOVES, TARGET_OF, Status
from ..domain.moments import ms
from ..domain.rows import RequestRow, RunRow, count_pending
from ..domain.tray import VERBS, ground_of
from ..errors import Guarded, UsageError
from ..plan import guards
from ..plan.guards import Confirmation, required_confirmation
from ..plan.model import make_plan
from ..store import weighing
from ..store.weighing import Aim, Heap
from . import words
from .asking import asked_of, scoped
from .carrying import carrying_of
from .exports import exported
from .finding import request_of
from .lines import Line, lines_of
from .making import keep
from .office import new_id
from .queue import request_records
from .request import texts_for
from .tallies import cells_of, counted
from .visit import NotFound, Refused, Visit, local

TRAY_MOST: Final = 1000  # above, it is a run, or where two must agree a plan: it can be paused and turned back
HOLD: Final = 60.0  # seconds, for many together
SAMPLE: Final = 20
_PAGE: Final = 500
_OUT: Final = {
    weighing.GONE: "not there any more",
    weighing.MOVED: "changed since they were selected",
    weighing.OWN: "your own request",
    weighing.PROTECTED: "protected by the desk",
    weighing.HELD: "in a tray already",
    weighing.CARRIED: "under way in a run",
}


# ---- selecting ---------------------------------------------------------------------------------------------------------


def select(visit: Visit) -> Response:
    """Adds to the selection, takes away from it, fills it with everything that a query finds, or clears it."""
    office, pick, do = visit.office, visit.selection, visit.said("do")
    rows = [request_of(visit, key) for key in visit.sent.get("key", [])[:_PAGE] if key]
    if do == "add":
        office.picks.add(pick, visit.member.id, [row.id for row in rows], ms(visit.now))
    elif do == "remove":
        office.picks.remove(pick, [row.id for row in rows])
    elif do == "all":
        _select_all(visit, pick)
    elif do == "clear":
        office.picks.clear(pick)
    else:
        raise Refused("That is no way to select.")
    if visit.is_part:
        return visit.page("parts/picked.html", **bar(visit, visit.said("q")))
    return visit.back()


def _select_all(visit: Visit, pick: str) -> None:
    """Everybody that the query finds now: who comes later is not in it."""
    asked, office = asked_of(visit, visit.said("q")), visit.office
    if asked.problem is not None:
        raise asked.problem
    office.picks.fill(pick, visit.member.id, scoped(visit, asked.query), ms(visit.now), office.zone)


def bar(visit: Visit, text: str) -> dict[str, Any]:
    """What the bar above the rows shows."""
    asked = asked_of(visit, text)
    return {
        "picked": visit.office.picks.count(visit.selection),
        "query_text": text,
        "matching": counted(asked.query, cells_of(visit)) if asked.problem is None else None,
    }


def begin(visit: Visit) -> Response:
    """Freezes the selection, with what was ticked on the page, and leads to what would follow."""
    office, verb = visit.office, visit.said("verb")
    if verb not in VERBS:
        raise Refused("Nothing was decided.", hint="Choose what shall become of the selection.")
    rows = [request_of(visit, key) for key in visit.sent.get("key", [])[:_PAGE] if key]
    if rows:
        office.picks.add(visit.selection, visit.member.id, [row.id for row in rows], ms(visit.now))
    ident = new_id("b")
    if not office.picks.freeze(visit.selection, ident, visit.member.id, ms(visit.now)):
        raise Refused("Nobody is selected.", hint="Tick some rows first, or press x on them.")
    return to_weigh(visit, ident, verb)


def to_weigh(visit: Visit, pick: str, verb: str) -> Response:
    """Leads to the page that says what would follow, and knows the way back."""
    more = {"next": visit.said("next")} if visit.said("next") else {}
    return RedirectResponse(f"/bulk/{pick}?{urlencode({'verb': verb} | more)}", 303)


# ---- what would follow -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Weighed:
    """A selection and a verb: how many can be decided so, and who is left out and why."""

    verb: str
    aim: Aim
    count: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    out: Counter[str] = field(default_factory=Counter)
    by_repo: Counter[str] = field(default_factory=Counter)
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)


def weigh(visit: Visit, pick: str, verb: str) -> Weighed:
    """Looks at every one of a selection as it stands now, where it lies: they may be very many."""
    office = visit.office
    protected = office.location.config.guards.protected if verb != "accept" else ()
    able = {move.before.value for move in MOVES if move.verb == verb and move.before is not None}
    repos = [row.id for row in office.repos(visit.member)]
    found = Weighed(verb, Aim(pick, able, repos, visit.member.own_keys, protected))
    for heap in weighing.heaps(office.store, found.aim):
        if heap.why:
            found.out[_OUT.get(heap.why) or f"{heap.status}, which cannot be decided so"] += heap.n
        else:
            _count(found, heap)
    return found


def _count(found: Weighed, heap: Heap) -> None:
    found.count += heap.n
    found.by_status[heap.status] += heap.n
    found.by_repo[heap.repo] += heap.n
    found.by_rule[heap.action or "", heap.rule or "not judged"] += heap.n
    if heap.action in {"accept", "reset", "reject"} and heap.action != found.verb:
        found.odd[f"whom the policies would {heap.action}"] += heap.n
    if heap.is_again:
        found.odd["asked again after a reset"] += heap.n
    if heap.was_in:
        found.odd["were accepted before"] += heap.n


def _mine(visit: Visit) -> str:
    pick = visit.params["id"]
    if not pick.startswith("b_") or visit.office.picks.owner(pick) != visit.member.id:
        raise NotFound
    return pick


def needed(visit: Visit, weighed: Weighed) -> Confirmation:
    """How strong a yes it takes, by the one ladder."""
    waiting = count_pending(visit.office.repos(visit.member))
    removed = 0 if weighed.verb == "accept" else weighed.by_status[Status.ACCEPTED]
    return required_confirmation({weighed.verb: weighed.count - removed, "remove": removed}, waiting)


def page(visit: Visit) -> Response:
    """What would become of whom, and what it takes."""
    return _page(visit, _mine(visit), visit.asked("verb"))


def _page(
    visit: Visit, pick: str, verb: str, *, wrong: str = "", reason: str | None = None, status: int = 200
) -> Response:
    if verb not in VERBS:
        raise NotFound
    weighed = weigh(visit, pick, verb)
    need = visit.office.need(visit.member, {verb: weighed.count})
    texts = texts_for(visit, "you", None)
    store = visit.office.store
    rows = store.requests(weighing.sample(store, weighed.aim, SAMPLE))
    sample: list[Line] = lines_of(visit, list(rows.values()))
    return visit.page(
        "bulk.html",
        status,
        title=f"{words.LABEL[verb]} {weighed.count:,} requests?",
        pick=pick,
        weighed=weighed,
        verb=verb,
        takes_reason=verb in REASONED,
        reason=reason if reason is not None else "",
        texts=texts if verb in REASONED else [],
        sample=sample,
        is_typed=needed(visit, weighed) is Confirmation.TYPED,
        wrong=wrong,
        calls=sum(-(-n // 100) for n in weighed.by_repo.values()),
        hold=HOLD,
        goes=_way_of(weighed, need),
        why_two=need.why if need.is_large else "",
        next_step=need.team.next_step() if need.is_large else "",
        other="reset" if verb == "reject" else None,
        back=_back(visit),
    )


def _back(visit: Visit) -> str:
    """Where the selection was made."""
    return local(visit.said("next") or visit.asked("next")) or "/queue"


def export(visit: Visit) -> Response:
    """Everybody who can be decided so, as a file with the keys of the queue's."""
    pick, verb = _mine(visit), visit.asked("verb")
    if verb not in VERBS:
        raise NotFound
    weighed = weigh(visit, pick, verb)
    rows = (row for part in _rows(visit, weighed) for row in part)
    return exported("selection", visit.params["kind"], RequestRecord, request_records(visit, rows))


# ---- yes ---------------------------------------------------------------------------------------------------------------


def confirm(visit: Visit) -> Response:
    """Puts them into the tray, or begins a run of them; exactly those that the page showed, or nothing."""
    pick, verb, reason = _mine(visit), visit.said("verb"), visit.said("reason").strip()
    weighed = weigh(visit, pick, verb)
    if visit.said("count") != str(weighed.count):
        return _page(
            visit, pick, verb, wrong="The numbers have moved since you looked. Look again.", reason=reason, status=409
        )
    if needed(visit, weighed) is Confirmation.TYPED and not confirms(visit.said("typed"), weighed.count):
        return _page(visit, pick, verb, wrong=f"Type {weighed.count} to confirm.", reason=reason, status=422)
    try:
        told = parse_reason(reason, verb, is_silent=visit.said("silent") == "yes")
    except UsageError as problem:
        return _page(visit, pick, verb, wrong=f"{problem} {problem.hint}", reason=reason, status=422)
    if not weighed.count:
        raise Refused("Nobody of the selection can be decided so.")
    way = _way_of(weighed, visit.office.need(visit.member, {verb: weighed.count}))
    if way != "tray":
        return (_as_plan if way == "plan" else _as_run)(visit, weighed, told)
    rows = [row for part in _rows(visit, weighed) for row in part]
    seen = {row.id: ground_of(row) for row in rows}
    hold = visit.office.hold if len(rows) == 1 else max(HOLD, visit.office.hold)
    visit.office.clearing.take(Wish(verb, seen, visit.member, told), visit.now, hold)
    visit.office.picks.let_go(visit.selection, pick)
    visit.office.wake.set()
    return RedirectResponse(_back(visit), 303)


def _rows(visit: Visit, weighed: Weighed) -> Iterator[list[RequestRow]]:
    store = visit.office.store
    for idents in weighing.ready(store, weighed.aim):
        yield list(store.requests(idents).values())


def _way_of(weighed: Weighed, need: Need) -> str:
    """How they leave: as a plan where two people must agree, else by the tray, and very many as a run."""
    if need.is_large:
        return "plan"
    return "tray" if weighed.count <= TRAY_MOST else "run"


def _as_run(visit: Visit, weighed: Weighed, reason: str | None) -> Response:
    """Begins a run of them, which can be watched, paused, stopped and led back."""
    office, ident = visit.office, new_id("r")
    after = TARGET_OF[weighed.verb].value
    order = Order(ident, visit.member.name, after, reason, weighed.count)

    def begin() -> RunRow:
        with office.sending:
            need = office.need(visit.member, {weighed.verb: weighed.count})
            if need.is_large:
                raise Guarded(f"Nothing was sent. {need.why}", hint=need.team.next_step())
            mine = replace(order, author=need.author)
            return begin_bulk(office.store, mine, weighing.ready(office.store, weighed.aim), visit.now)

    carrying_of(office).take_up(ident, begin)
    office.picks.let_go(visit.selection, weighed.aim.pick)
    return RedirectResponse(f"/runs/{ident}", 303)


def _as_plan(visit: Visit, weighed: Weighed, reason: str | None) -> Response:
    """Makes a plan of them (of the first, when they are more than a plan holds), for somebody else to agree to."""
    store, after = visit.office.store, TARGET_OF[weighed.verb].value
    changes = [direct_change(row, after, reason) for part in _rows(visit, weighed) for row in part]
    waiting = count_pending(store.repos())
    plan = make_plan(
        changes,
        policy_digest="",
        endpoint=store.endpoint,
        now=visit.now,
        summary={"planned": len(changes)},
        guards=guards.guard_report(changes, waiting, 0),
    )
    digest = keep(visit.office, plan, visit.member, "bulk", need=len(changes))
    visit.office.picks.let_go(visit.selection, weighed.aim.pick)
    return RedirectResponse(f"/plans/{digest}", 303)
