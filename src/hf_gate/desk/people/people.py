"""The pages of people: a search, and one person over all repos with a decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from hf_gate.base.ids import Repo, group_by_repo, id_time
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events.events import NoteWritten, kind_of
from hf_gate.core.lifecycle import VERBS, Status
from hf_gate.core.parsing.query import Query, one_of
from hf_gate.core.records import AttemptRecord, HistoryRecord, PersonRecord
from hf_gate.core.stored_rows import PersonRow, RequestRow
from hf_gate.decisions.records import person_record
from hf_gate.desk.decisions.bulk import redirect_to_bulk
from hf_gate.desk.exports import export_response
from hf_gate.desk.http_context import HttpContext, NotFound, Refused
from hf_gate.desk.requests.queue_query import run_query
from hf_gate.desk.requests.request_history import compare_answers, list_history
from hf_gate.desk.requests.request_lines import RequestLine, build_request_lines, describe_requester, request_key
from hf_gate.grants.service.row_details import pair_with_details
from hf_gate.requests.query_parser import MAX_CHARACTERS
from hf_gate.requests.rows.selections import select_requests
from hf_gate.requests.service.request_history import LastTransition, last_transition
from hf_gate.requests.service.request_records import stored_attempt
from hf_gate.settings.service.workspace import new_id

PAGE_SIZE: Final = 50
MAX_COMPARED: Final = 6  # attempts whose answers are compared
_KINDS: Final = ("json", "jsonl", "csv")


# ---- addresses -------------------------------------------------------------------------------------------------------


def person_url(person: PersonRow) -> str:
    """Return the address of a person's page. It contains no name, so it stays valid if the account is renamed."""
    return f"/people/{quote(person.pseudonym, safe='')}"


def find_by_name(context: HttpContext, text: str) -> list[PersonRow]:
    """Return people with exactly this name who asked at visible repos."""
    found = {
        row.person.id: row.person
        for row in context.workspace.store.find_by_identity(None, text)
        if context.can_see(row.repo)
    }
    return list(found.values())


def find_one_person(context: HttpContext) -> PersonRow:
    """Return the person of the address; NotFound if there is none, or more than one."""
    people = find_by_name(context, context.params["id"])
    if len(people) != 1:
        raise NotFound
    return people[0]


def _list_attempts(context: HttpContext, person: PersonRow) -> list[RequestRow]:
    """Return a person's attempts at visible repos, by repo and time."""
    attempts = [row for row in context.workspace.store.attempts(None, person.id) if context.can_see(row.repo)]
    return sorted(attempts, key=lambda row: (row.repo, row.state.asked_at))


# ---- the list --------------------------------------------------------------------------------------------------------


def page(context: HttpContext) -> Response:
    """Show the people that match a search, or the most recent requesters."""
    return context.render(
        "people.html",
        title="People",
        text=context.query_value("q").strip()[:MAX_CHARACTERS],
        people=_find_people(context),
        most=PAGE_SIZE,
        person_url=person_url,
        describe=lambda row: describe_requester(row, context.now),
    )


def export(context: HttpContext) -> Response:
    """Return the same people as a file."""
    records = [
        person_record(rows[0].person, {str(row.repo): row.state.status for row in rows})
        for rows in _find_people(context)
    ]
    return export_response("people", context.params["kind"], PersonRecord, records)


def _find_people(context: HttpContext) -> list[list[RequestRow]]:
    """Return the current requests of each person that matches the search."""
    text = context.query_value("q").strip()[:MAX_CHARACTERS]
    people = {each.id: each for each in find_by_name(context, text)} if text else {}
    terms = (one_of("", text),) if text else ()
    page = run_query(context, Query(terms), limit=PAGE_SIZE, cursor=None, newest_first=True)
    people |= {row.person.id: row.person for row in page.rows if row.person.id not in people}
    shown = list(people.values())[:PAGE_SIZE]
    return [[row for row in _list_attempts(context, person) if row.is_current] for person in shown]


# ---- one person ------------------------------------------------------------------------------------------------------


class PersonAtRepo(Struct, frozen=True):
    """A person at one repo: their latest attempt, and the transition to its current status."""

    line: RequestLine
    last_transition: LastTransition | None

    @property
    def since(self) -> datetime:
        state = self.line.row.state
        if state.status == Status.PENDING or self.last_transition is None or self.last_transition.is_first:
            return from_ms(state.reviewed_at or state.asked_at)
        return from_ms(self.last_transition.at)

    @property
    def until(self) -> datetime | None:
        until = self.line.row.state.ends_at
        return None if until is None else from_ms(until)

    @property
    def decided_by(self) -> tuple[str, str]:
        """Return who decided, and the rule or the way; empty for a pending request."""
        if self.line.status == Status.PENDING or self.last_transition is None:
            return "", ""
        return self.last_transition.decided_by


def person_page(context: HttpContext) -> Response:
    """Show one person; with a file extension, return their attempts as a file."""
    name, _, kind = context.params["id"].rpartition(".")
    if name and kind in _KINDS:
        return _export_person(context, name, kind)
    people = find_by_name(context, context.params["id"])
    if len(people) > 1:  # several accounts had this name: let the member choose
        return RedirectResponse(f"/people?{urlencode({'q': context.params['id']})}", 303)
    if not people:
        raise NotFound
    return _render_person(context, people[0])


def _render_person(context: HttpContext, person: PersonRow) -> Response:
    attempts = _list_attempts(context, person)
    places = _list_repos(context, attempts)
    acts = _list_events(context, attempts)
    latest = max(attempts, key=lambda row: row.state.asked_at)
    shown = sorted(attempts, key=lambda row: row.state.asked_at, reverse=True)
    with_answers = [row for row in shown if row.request is not None and row.request.answers][:MAX_COMPARED]
    identity = latest.person.identity
    return context.render(
        "person.html",
        title=latest.person_name,
        name=latest.person_name,
        person=person,
        identity=identity,
        made=None if not identity.user_id else id_time(identity.user_id),
        places=places,
        never=len(context.list_visible_repos().rows) - len(places),
        verbs=[verb for verb in VERBS if any(verb in place.line.verbs for place in places)],
        written=[(request_key(row), row) for row in with_answers],
        asked=compare_answers(context, with_answers),
        acts=[(repo, act) for repo, act in acts if act.kind != kind_of(NoteWritten)],
        notes=[(repo, act) for repo, act in acts if act.kind == kind_of(NoteWritten)],
        href=person_url(person),
        can_erase=context.member.is_admin_of_all,
        asked_at=lambda row: from_ms(row.state.asked_at),
    )


def _list_repos(context: HttpContext, attempts: Sequence[RequestRow]) -> list[PersonAtRepo]:
    by_repo = group_by_repo(attempts)
    current = [next((row for row in here if row.is_current), here[-1]) for here in by_repo.values()]
    store = context.workspace.store
    return [PersonAtRepo(line, last_transition(store, line.row)) for line in build_request_lines(context, current)]


def _list_events(context: HttpContext, attempts: Sequence[RequestRow]) -> list[tuple[Repo, HistoryRecord]]:
    """Return the entries about all requests of a person with their repos, the latest first."""
    by_repo = group_by_repo(attempts)
    events = [(repo, entry) for repo, here in by_repo.items() for entry in list_history(context, here)]
    return sorted(events, key=lambda pair: pair[1].at, reverse=True)


def _export_person(context: HttpContext, name: str, kind: str) -> Response:
    people = find_by_name(context, name)
    if not people:
        raise NotFound
    verdicts = context.app_state.policies.current_verdicts
    attempts = (row for person in people for row in _list_attempts(context, person))
    pairs = pair_with_details(context.workspace, attempts, lambda: context.app_state.policies.current)
    rows = [stored_attempt(row, verdicts, details) for row, details in pairs]
    return export_response("person", kind, AttemptRecord, rows)


# ---- decision --------------------------------------------------------------------------------------------------------


def decide_person(context: HttpContext) -> Response:
    """Select the ticked requests, and go to the page that shows what the decision would do."""
    person = find_one_person(context)
    verb = context.form_value("verb")
    if verb not in VERBS:
        raise Refused("Nothing was decided.", hint="Choose a decision for the ticked requests.")
    seen = _read_ticked(context, person)
    ident = new_id("b")
    select_requests(context.workspace.store, ident, context.member.id, seen, to_ms(context.now))
    return redirect_to_bulk(context, ident, verb)


def _read_ticked(context: HttpContext, person: PersonRow) -> dict[int, str]:
    """Return the version that the member saw of each ticked request, by row id."""
    seen: dict[int, str] = {}
    for pick in context.form.get("pick", []):
        key, _, version = pick.partition(":")
        row = context.find_request(key)
        if row.person.id != person.id:
            raise NotFound
        if not row.version.is_token(version):
            raise Refused(
                f"Nothing was decided: the request at {row.repo} changed and is {row.state.status} now.",
                hint="Look at it again.",
                status=409,
            )
        seen[row.id] = version
    if not seen:
        raise Refused("No repo is ticked.", hint="Tick the repos that you decide about.")
    return seen
