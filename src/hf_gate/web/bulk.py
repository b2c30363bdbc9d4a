"""Many at once: a selection that lies in the store, the page that says what would follow, and the yes that it needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from starlette.responses import RedirectResponse, Response

from ..domain.lifecycle import TARGET_OF
from ..domain.moments import ms
from ..domain.requests import checked_reason
from ..domain.rows import RequestRow
from ..domain.tray import VERBS, ground_of
from ..plan import guards
from ..plan.guards import Yes, ladder
from ..plan.model import Plan, sealed
from ..usecases.runs import direct_change
from ..usecases.tray import Wish
from .finding import request_of
from .lines import Line, lines_of, verbs_for
from .office import new_id
from .queue import asked_of, cells_of, counted, read
from .request import texts_for
from .visit import NotFound, Refused, Visit

TRAY_MOST: Final = 1000  # above, a plan is made of it: it can be paused, and is turned back by another plan
HOLD: Final = 60.0  # seconds, for many together
SAMPLE: Final = 20
_PAGE: Final = 500


def pick_of(visit: Visit) -> str:
    """The selection of this person; it stays until they clear it."""
    return f"s_{visit.member.name}"


# ---- selecting ---------------------------------------------------------------------------------------------------------


def select(visit: Visit) -> Response:
    """Adds to the selection, takes away from it, fills it with everything that a query finds, or clears it."""
    office, pick, do = visit.office, pick_of(visit), visit.said("do")
    rows = [request_of(visit, key) for key in visit.sent.get("key", [])[:_PAGE] if key]
    if do == "add":
        office.picks.add(pick, visit.member.name, {row.id: ground_of(row) for row in rows}, ms(visit.now))
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
    asked = asked_of(visit, visit.said("q"))
    if asked.problem is not None:
        raise asked.problem
    cursor = None
    while True:
        found = read(visit, asked.query, limit=_PAGE, cursor=cursor)
        seen = {row.id: ground_of(row) for row in found.rows}
        visit.office.picks.add(pick, visit.member.name, seen, ms(visit.now), asked.text)
        cursor = found.next
        if cursor is None:
            return


def bar(visit: Visit, text: str) -> dict[str, Any]:
    """What the bar above the rows shows."""
    asked = asked_of(visit, text)
    return {
        "picked": visit.office.picks.count(pick_of(visit)),
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
        office.picks.add(pick_of(visit), visit.member.name, {row.id: ground_of(row) for row in rows}, ms(visit.now))
    ident = new_id("b")
    if not office.picks.freeze(pick_of(visit), ident, visit.member.name, ms(visit.now)):
        raise Refused("Nobody is selected.", hint="Tick some rows first, or press x on them.")
    return RedirectResponse(f"/bulk/{ident}?verb={verb}", 303)


# ---- what would follow -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Weighed:
    """A selection and a verb: who can be decided so, and who is left out and why."""

    verb: str
    ready: list[RequestRow] = field(default_factory=list)
    out: Counter[str] = field(default_factory=Counter)
    by_repo: Counter[str] = field(default_factory=Counter)
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return len(self.ready)


def weigh(visit: Visit, pick: str, verb: str) -> Weighed:
    """Looks at every one of a selection as it stands now."""
    found, seen = Weighed(verb), visit.office.picks.all(pick)
    protected = {name.lower() for name in visit.office.place.desk.guards.protected}
    for rows in _rows(visit, list(seen)):
        held = visit.office.tray.about(row.id for row in rows)
        for row in rows:
            item = held.get(row.id)
            why = _left_out(visit, row, verb, seen[row.id], protected)
            if why is None and item is not None and item.outcome is None:
                why = "in a tray already"
            if why is not None:
                found.out[why] += 1
                continue
            _count(found, row)
        _count_past(visit, found, rows)
    missing = len(seen) - found.count - found.out.total()
    if missing:
        found.out["not there any more"] += missing
    return found


def _rows(visit: Visit, idents: Sequence[int]) -> Iterator[list[RequestRow]]:
    for start in range(0, len(idents), _PAGE):
        yield list(visit.office.store.requests(idents[start : start + _PAGE]).values())


def _left_out(visit: Visit, row: RequestRow, verb: str, ground: str, protected: set[str]) -> str | None:
    name = (row.person.identity.username or "").lower()
    if not visit.sees(row.repo):
        return "not there any more"
    if verb not in verbs_for(row.state.status):
        return f"{row.state.status}, which cannot be decided so"
    if not row.is_current or ground_of(row) != ground:
        return "changed since they were selected"
    if name and name == visit.member.name.lower():
        return "your own request"
    return "protected by the desk" if verb != "accept" and name in protected else None


def _count(found: Weighed, row: RequestRow) -> None:
    found.ready.append(row)
    found.by_repo[str(row.repo)] += 1
    action, _, rule, _ = row.state.verdict or ("", None, "not judged", None)
    found.by_rule[action, rule] += 1
    if row.state.verdict is not None and action in {"accept", "reset", "reject"} and action != found.verb:
        found.odd[f"the policies say {action}"] += 1
    if row.state.attempt > 1:
        found.odd["asked again after a reset"] += 1


def _count_past(visit: Visit, found: Weighed, rows: Iterable[RequestRow]) -> None:
    ready = {row.id for row in found.ready}
    groups: dict[object, list[RequestRow]] = {}
    for row in rows:
        if row.id in ready:
            groups.setdefault(row.repo, []).append(row)
    for group in groups.values():
        past = visit.office.store.history(group[0].repo, [row.person.id for row in group])
        found.odd["were accepted before"] += sum(bool(past[row.person.id].accepted) for row in group)


def _mine(visit: Visit) -> str:
    pick = visit.params["id"]
    if not pick.startswith("b_") or visit.office.picks.owner(pick) != visit.member.name:
        raise NotFound
    return pick


def needed(visit: Visit, weighed: Weighed) -> Yes:
    """How strong a yes it takes, by the one ladder."""
    waiting = sum(row.counts.get("pending", 0) for row in visit.office.repos(visit.member))
    return ladder({weighed.verb: weighed.count}, waiting)


def page(visit: Visit) -> Response:
    """What would become of whom, and what it takes."""
    return _page(visit, _mine(visit), visit.asked("verb"))


def _page(
    visit: Visit, pick: str, verb: str, *, wrong: str = "", reason: str | None = None, status: int = 200
) -> Response:
    if verb not in VERBS:
        raise NotFound
    weighed = weigh(visit, pick, verb)
    texts = texts_for(visit, "you", None)
    step = max(1, weighed.count // SAMPLE)
    sample: list[Line] = lines_of(visit, weighed.ready[::step][:SAMPLE])
    return visit.page(
        "bulk.html",
        status,
        title=f"{verb.capitalize()} {weighed.count:,} requests?",
        pick=pick,
        weighed=weighed,
        verb=verb,
        takes_reason=verb in {"reset", "reject"},
        reason=reason if reason is not None else "",
        texts=texts if verb in {"reset", "reject"} else [],
        sample=sample,
        is_typed=needed(visit, weighed) is Yes.TYPED,
        wrong=wrong,
        calls=sum(-(-n // 100) for n in weighed.by_repo.values()),
        hold=HOLD,
        makes_plan=weighed.count > TRAY_MOST,
        other="reset" if verb == "reject" else None,
    )


# ---- yes ---------------------------------------------------------------------------------------------------------------


def confirm(visit: Visit) -> Response:
    """Puts them into the tray, or makes a plan of them; exactly those that the page showed, or nothing."""
    pick, verb, reason = _mine(visit), visit.said("verb"), visit.said("reason").strip()
    weighed = weigh(visit, pick, verb)
    if visit.said("count") != str(weighed.count):
        return _page(
            visit, pick, verb, wrong="The numbers have moved since you looked. Look again.", reason=reason, status=409
        )
    if needed(visit, weighed) is Yes.TYPED and visit.said("typed").strip().replace(",", "") != str(weighed.count):
        return _page(visit, pick, verb, wrong=f"Type {weighed.count} to confirm.", reason=reason, status=422)
    if verb in {"reset", "reject"} and not reason and visit.said("silent") != "yes":
        return _page(visit, pick, verb, wrong="Say why, or tick that no reason is given.", reason=reason, status=422)
    if not weighed.count:
        raise Refused("Nobody of the selection can be decided so.")
    told = checked_reason(reason or None) if verb in {"reset", "reject"} else None
    if weighed.count > TRAY_MOST:
        plan = _plan(visit, weighed, told)
        with visit.office.store.writing() as write:
            write.plan(plan.digest, msgspec.json.encode(plan), ms(visit.now))
        visit.office.picks.clear(pick_of(visit))
        return RedirectResponse(f"/plans/{plan.digest}", 303)
    seen = {row.id: ground_of(row) for row in weighed.ready}
    visit.office.clearing.take(Wish(verb, seen, visit.member.name, told), visit.now, max(HOLD, visit.office.hold))
    visit.office.picks.clear(pick_of(visit))
    visit.office.wake.set()
    return RedirectResponse("/queue", 303)


def _plan(visit: Visit, weighed: Weighed, reason: str | None) -> Plan:
    after = TARGET_OF[weighed.verb].value
    changes = [direct_change(row, after, reason) for row in weighed.ready if row.request is not None]
    waiting = sum(row.counts.get("pending", 0) for row in visit.office.store.repos())
    return sealed(
        changes,
        policy_digest="",
        endpoint=visit.office.store.endpoint,
        now=visit.now,
        summary={"planned": len(changes)},
        guards=guards.told(changes, waiting, 0),
    )
