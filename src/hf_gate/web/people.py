"""People: one person over all repos, what they hold and since when, what they wrote each time, and one decision for what is ticked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final
from urllib.parse import quote, urlencode

from starlette.responses import RedirectResponse, Response

from ..application.evaluation import LastTransition, last_transition
from ..application.record_builders import person_record, stored_attempt
from ..application.records import AttemptRecord, PersonRecord
from ..application.tray import DecisionRequest
from ..application.workspace import new_id
from ..domain.event_descriptions import ORIGIN_PHRASES
from ..domain.events import EventKind
from ..domain.forms import collapse_whitespace
from ..domain.ids import Repo, id_time
from ..domain.lifecycle import Status
from ..domain.query import Pattern, Query, Term, is_pseudonym
from ..domain.query_parser import MAX_CHARACTERS
from ..domain.roles import Role
from ..domain.rows import PersonRow, RequestRow
from ..domain.timestamps import from_ms, to_ms
from ..domain.tray import VERBS
from . import words
from .asking import run_query
from .bulk import to_weigh
from .exports import export_response
from .lines import Answer, Line, about_person, answers_of, hidden_name, key_of, lines_of
from .request_context import NotFound, Refused, RequestContext
from .request_history import Happened, history_of

PAGE: Final = 50
SIDE: Final = 6  # attempts whose answers stand side by side
_KINDS: Final = ("json", "jsonl", "csv")
_SAME: Final = frozenset({Role.AFFILIATION, Role.COUNTRY, Role.NAME, Role.EMAIL, Role.BIRTH_DATE})
"""What one person should answer alike everywhere."""


# ---- whom an address means -----------------------------------------------------------------------------------------------


def href_of(person: PersonRow) -> str:
    """The address of somebody's page: it names nobody, and stays when a name changes hands."""
    return f"/people/{quote(person.pseudonym, safe='')}"


def _people(context: RequestContext, text: str) -> list[PersonRow]:
    """Whoever is called exactly so and asked at a repo that this person sees. Without names to see, none to ask for."""
    if context.masks and not is_pseudonym(text):
        return []
    found = {
        row.person.id: row.person
        for row in context.workspace.store.find_by_identity(None, text)
        if context.sees(row.repo)
    }
    return list(found.values())


def _attempts(context: RequestContext, person: PersonRow) -> list[RequestRow]:
    """Repo by repo, the attempts at each in their order; of repos that this person sees."""
    found = [row for row in context.workspace.store.attempts(None, person.id) if context.sees(row.repo)]
    return sorted(found, key=lambda row: (row.repo, row.state.asked_at))


def _name(context: RequestContext, row: RequestRow) -> str:
    who = row.person.identity.username or hidden_name(row)
    return row.person.pseudonym if context.masks else who


# ---- the list ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """One person of the list with where they stand now."""

    person: PersonRow
    name: str
    fullname: str | None
    about: str
    rows: Sequence[RequestRow]

    @property
    def href(self) -> str:
        return href_of(self.person)


def index(context: RequestContext) -> Response:
    """Whoever is looked for; without a word, those who asked last."""
    return context.page(
        "people.html",
        title="People",
        text=context.query_value("q").strip()[:MAX_CHARACTERS],
        people=_find_people(context),
        most=PAGE,
    )


def index_export(context: RequestContext) -> Response:
    """The same people as a file."""
    rows = [
        person_record(each.person, {str(row.repo): row.state.status for row in each.rows})
        for each in _find_people(context)
    ]
    return export_response("people", context.params["kind"], PersonRecord, rows)


def _find_people(context: RequestContext) -> list[PersonSummary]:
    text = context.query_value("q").strip()[:MAX_CHARACTERS]
    people = {each.id: each for each in _people(context, text)} if text else {}
    if not text or not context.masks:
        terms = (Term("", (Pattern((text,)),)),) if text else ()
        page = run_query(context, Query(terms), limit=PAGE, cursor=None, newest_first=True)
        people |= {row.person.id: row.person for row in page.rows if row.person.id not in people}
    return [_somebody(context, person) for person in list(people.values())[:PAGE]]


def _somebody(context: RequestContext, person: PersonRow) -> PersonSummary:
    rows = [row for row in _attempts(context, person) if row.is_current]
    latest = max(rows, key=lambda row: row.state.asked_at)
    about = "" if context.masks else about_person(context.app_state, latest, context.now)
    fullname = None if context.masks else latest.person.identity.fullname
    return PersonSummary(person, _name(context, latest), fullname, about, rows)


# ---- one of them -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PersonAtRepo:
    """Where somebody stands at one repo: their latest attempt, since when it stands so, and who brought it there."""

    line: Line
    attempts: Sequence[RequestRow]
    came: LastTransition | None

    @property
    def since(self) -> datetime:
        state = self.line.row.state
        if state.status == Status.PENDING or self.came is None or self.came.is_first:
            return from_ms(state.reviewed_at or state.asked_at)
        return from_ms(self.came.at)

    @property
    def until(self) -> datetime | None:
        until = self.line.row.state.until
        return None if until is None else from_ms(until)

    @property
    def by(self) -> tuple[str, str]:
        """Who decided, and by which rule or how."""
        if self.line.status == Status.PENDING or self.came is None:
            return "", ""
        if self.came.is_first:
            return "", "stood so when first read"
        if self.came.run_id is None:
            return self.came.hub_user or "somebody", "outside the desk"
        is_rule = self.came.rule not in ORIGIN_PHRASES
        return self.came.actor, f"rule {self.came.rule}" if is_rule else ""


@dataclass(frozen=True, slots=True)
class PeopleQuery:
    """One question over the attempts: the answer at each, and how many different ones there are where that is odd."""

    label: str
    answers: Sequence[Answer | None]
    different: int = 0


@dataclass(frozen=True, slots=True)
class Act:
    """One entry of the history, with the repo where it was."""

    repo: Repo
    entry: Happened


def page(context: RequestContext) -> Response:
    """Everything about one person; with an ending of a file, their requests as a file."""
    name, dot, kind = context.params["id"].rpartition(".")
    if dot and kind in _KINDS and name:
        return _export(context, name, kind)
    people = _people(context, context.params["id"])
    if len(people) > 1:  # a name that changed hands: nobody is guessed
        return RedirectResponse(f"/people?{urlencode({'q': context.params['id']})}", 303)
    if not people:
        raise NotFound
    return _page(context, people[0])


def _page(context: RequestContext, person: PersonRow) -> Response:
    attempts = _attempts(context, person)
    places = _places(context, attempts)
    acts = _acts(context, attempts)
    latest = max(attempts, key=lambda row: row.state.asked_at)
    shown = [] if context.masks else sorted(attempts, key=lambda row: row.state.asked_at, reverse=True)
    with_answers = [row for row in shown if row.request is not None and row.request.answers][:SIDE]
    identity = latest.person.identity
    return context.page(
        "person.html",
        title=_name(context, latest),
        name=_name(context, latest),
        person=person,
        identity=None if context.masks else identity,
        made=None if context.masks or not identity.user_id else id_time(identity.user_id),
        places=places,
        never=len(context.app_state.membership.repos(context.member)) - len(places),
        verbs=[verb for verb in VERBS if any(verb in place.line.verbs for place in places)],
        written=[(key_of(row), row) for row in with_answers],
        asked=side_by_side(context, with_answers),
        acts=[act for act in acts if act.entry.kind != EventKind.NOTE_WRITTEN],
        notes=[] if context.masks else [act for act in acts if act.entry.kind == EventKind.NOTE_WRITTEN],
        href=href_of(person),
        years=words.years,
        asked_at=lambda row: from_ms(row.state.asked_at),
    )


def _places(context: RequestContext, attempts: Sequence[RequestRow]) -> list[PersonAtRepo]:
    found = []
    for _, here in groupby(attempts, key=lambda row: row.repo):
        theirs = list(here)
        current = next((row for row in theirs if row.is_current), theirs[-1])
        found.append(
            PersonAtRepo(lines_of(context, [current])[0], theirs, last_transition(context.workspace.store, current))
        )
    return found


def _acts(context: RequestContext, attempts: Sequence[RequestRow]) -> list[Act]:
    found = [
        Act(repo, entry)
        for repo, here in groupby(attempts, key=lambda row: row.repo)
        for entry in history_of(context, list(here))
    ]
    return sorted(found, key=lambda act: act.entry.at_iso, reverse=True)


def side_by_side(context: RequestContext, attempts: Sequence[RequestRow]) -> list[PeopleQuery]:
    """What was answered each time; questions that ask for the same are one, whatever their label."""
    told: dict[str, tuple[str, Role, dict[int, Answer]]] = {}
    for column, row in enumerate(attempts):
        for answer in answers_of(row, context.workspace.store.repo(row.repo)):
            key = (
                f"role {answer.role}" if answer.role is not Role.OTHER else collapse_whitespace(answer.label).casefold()
            )
            if key in told and column in told[key][2]:  # the second that asks for it in one form
                key = collapse_whitespace(answer.label).casefold()
            told.setdefault(key, (answer.label, answer.role, {}))[2][column] = answer
    rows = []
    for label, role, answers in told.values():
        texts = {collapse_whitespace(each.text).casefold() for each in answers.values() if each.text.strip()}
        is_odd = role in _SAME and len(texts) > 1
        rows.append(PeopleQuery(label, [answers.get(n) for n in range(len(attempts))], len(texts) if is_odd else 0))
    return rows


def _export(context: RequestContext, name: str, kind: str) -> Response:
    people = _people(context, name)
    if context.masks or not people:
        raise NotFound
    verdicts = context.app_state.policies.current_verdicts
    rows = [stored_attempt(row, verdicts) for person in people for row in _attempts(context, person)]
    return export_response("person", kind, AttemptRecord, rows)


# ---- one decision ------------------------------------------------------------------------------------------------------------


def decide(context: RequestContext) -> Response:
    """The ticked repos as a selection, each as it was seen; what follows is the same page and the same yes as for any other."""
    people = _people(context, context.params["id"])
    if len(people) != 1:
        raise NotFound
    verb = context.form_value("verb")
    if verb not in VERBS:
        raise Refused("Nothing was decided.", hint="Choose what shall become of what is ticked.")
    seen: dict[int, str] = {}
    for pick in context.sent.get("pick", []):
        key, _, version = pick.partition(":")
        row = context.find_request(key)
        if row.person.id != people[0].id:
            raise NotFound
        if version != row.version.token:
            raise Refused(f"Nothing was decided: at {row.repo} it is {row.state.status} now, and reads otherwise than you saw.", hint="Look at it again.", status=409)  # fmt: skip
        seen[row.id] = version
    if not seen:
        raise Refused("No repo is ticked.", hint="Tick where the decision shall hold.")
    app_state, ident = context.app_state, new_id("b")
    if len(seen) == 1 and verb in {"accept", "cancel"}:  # as by the button of its row: the tray can be taken back
        taken = app_state.tray_service.queue_decisions(
            DecisionRequest(verb, seen, context.member), context.now, app_state.hold
        )
        if not taken.count:
            other = next(iter(taken.conflicts), None)
            is_mine = other is not None and other.member == context.member.id
            who = "You have" if is_mine else f"{'somebody' if other is None else other.actor} has"
            raise Refused(f"Nothing was decided: {who} decided this already.", hint="It is in a tray.", status=409)
        app_state.wake.set()
        return context.back(href_of(people[0]))
    app_state.workspace.selections.add(ident, context.member.id, seen, to_ms(context.now))
    return to_weigh(context, ident, verb)
