"""The JSON API of the desk, version 1, with the same sessions, roles, requests and tray as the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ..application.assignments import pair_with_details
from ..application.inputs import NOTE_LIMIT, parse_note, parse_reason
from ..application.record_builders import terms_record
from ..application.records import Record, RequestRecord, TermsRecord, extend_record
from ..application.request_record_builders import stored_request
from ..application.tray import DecisionRequest
from ..domain.hand_terms import NO_END_WORD
from ..domain.members import Member, MemberRole
from ..domain.timestamps import ms_to_iso, to_ms
from ..domain.tray import QueuedDecision
from ..errors import HfGateError
from ..hub.credentials import name_token_source
from .exports import EscapedJSON
from .queue_query import PENDING, parse_queue_query, run_query
from .request_context import NotFound, Refused, RequestContext
from .request_lines import possible_verbs, request_key, version_with_terms

if TYPE_CHECKING:
    from ..domain.rows import RequestRow
    from .app import DeskApp

MAX_REQUESTS: Final = 500


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ApiRequest(RequestRecord, frozen=True, kw_only=True):
    """A request. `id` is its name in addresses; send `version` with every decision about it.

    `terms`: of an acceptance without `until`; null if it cannot be accepted.
    """

    id: str
    version: str
    terms: TermsRecord | None


class RequestsOut(Record, frozen=True, kw_only=True):
    """One page; `next` is the cursor of the next page."""

    schema_version: int = 1
    requests: list[ApiRequest]
    next: str | None


class RequestRef(_Strict):
    """A request in the version that the reviewer saw."""

    id: str = Field(max_length=64)
    version: str = Field(max_length=64)


class DecisionsIn(_Strict):
    """A decision about some requests. `hold`: seconds in the tray; null: until it is sent by request; omitted: as in the desk.

    `until`: when an acceptance ends, `90d`, a date such as `2028-11-30`, or `none`. Only `accept` takes it. Without it, the
    access ends as the request's `terms` say; if these are not known, `until` is required.
    `note`: for the team, with an acceptance.
    """

    verb: Literal["accept", "reset", "reject", "cancel"]
    requests: list[RequestRef] = Field(min_length=1, max_length=20)
    reason: str | None = Field(default=None, max_length=400)
    until: str | None = Field(default=None, max_length=40)
    note: str | None = Field(default=None, max_length=NOTE_LIMIT)
    hold: float | None = Field(default_factory=lambda: None, ge=0, le=3600)  # the schema states no default

    def seconds_to_hold(self, context: RequestContext) -> float | None:
        """Return how long the decision stays in the tray; None if it stays until it is sent by request."""
        return self.hold if "hold" in self.model_fields_set else context.app_state.hold


class DecisionsOut(Record, frozen=True, kw_only=True):
    """The result of a decision. `lost`: requests that are not in the tray.

    They were decided or changed before, or need two people and the member cannot approve them.
    """

    schema_version: int = 1
    batch: str
    taken: int
    lost: list[str]


class QueuedDecisionOut(Record, frozen=True, kw_only=True):
    """One decision in the tray."""

    id: int
    verb: str
    request: str | None
    batch: str
    made_at: str
    leaves_at: str | None
    until: str | None
    is_leaving: bool


class TrayOut(Record, frozen=True, kw_only=True):
    """The unsent decisions of the member."""

    schema_version: int = 1
    held: list[QueuedDecisionOut]


class CountOut(Record, frozen=True, kw_only=True):
    """The number of decisions concerned."""

    schema_version: int = 1
    count: int


class ErrorOut(Record, frozen=True, kw_only=True):
    """An error, and what to do."""

    error: str
    hint: str


_ANSWERS: Final = (RequestsOut, ApiRequest, DecisionsOut, TrayOut, CountOut, ErrorOut)
_REF: Final = "#/components/schemas/{name}"


def _answer(kind: type[Record], description: str) -> dict[str, Any]:
    """Return how the OpenAPI document describes an answer; its schema is added to the document as a component."""
    schema = {"$ref": _REF.format(name=kind.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    code: _answer(ErrorOut, "Not done.") for code in (400, 401, 403, 404, 409, 413, 415, 421, 422, 429, 502, 503)
}


def add_api(app: FastAPI, desk: DeskApp) -> None:
    """Add the routes of the API to the application."""
    api = _Api(desk)
    routes: tuple[tuple[str, str, Callable[..., Any], type[Record], str], ...] = (
        ("GET", "/requests", api.requests, RequestsOut, "List the requests that match a query."),
        ("GET", "/requests/{id}", api.request, ApiRequest, "Show one request."),
        ("POST", "/decisions", api.decide, DecisionsOut, "Put decisions into the tray."),
        ("GET", "/tray", api.tray, TrayOut, "List your unsent decisions."),
        ("POST", "/tray/undo", api.undo, CountOut, "Undo all your unsent decisions."),
        ("POST", "/tray/send", api.send, CountOut, "Send all your unsent decisions now."),
    )
    for method, path, endpoint, kind, summary in routes:
        app.add_api_route(
            f"/api/v1{path}",
            endpoint,
            methods=[method],
            response_model=None,
            summary=summary,
            responses={200: _answer(kind, summary), **_ERRORS},
        )
    app.add_exception_handler(RequestValidationError, api.invalid)
    app.add_exception_handler(400, api.unreadable)
    app.add_api_route("/api/openapi.json", api.openapi(app), methods=["GET"], include_in_schema=False)


class _Api:
    """The endpoints of the API, one method each."""

    def __init__(self, desk: DeskApp) -> None:
        self._desk = desk

    async def requests(
        self,
        request: Request,
        q: Annotated[str, Query(max_length=2000)] = PENDING,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_REQUESTS)] = 50,
        order: Literal["oldest", "newest"] = "oldest",
    ) -> Response:
        def work(context: RequestContext) -> Record:
            asked = parse_queue_query(context, q)
            if asked.problem is not None:
                raise asked.problem
            page = run_query(context, asked.query, limit=limit, cursor=cursor, newest_first=order == "newest")
            return RequestsOut(requests=_request_records(context, page.rows), next=page.next)

        return await self._handle(request, MemberRole.REVIEWER, work)

    async def request(self, request: Request, id: str) -> Response:  # noqa: A002 - the name in the address
        return await self._handle(
            request, MemberRole.REVIEWER, lambda context: _request_records(context, [context.find_request(id)])[0]
        )

    async def decide(self, request: Request, decisions: DecisionsIn) -> Response:
        def work(context: RequestContext) -> Record:
            rows = {one.id: context.find_request(one.id) for one in decisions.requests}
            seen = {rows[one.id].id: one.version for one in decisions.requests}
            reason = parse_reason(decisions.reason, decisions.verb, is_silent=True)
            note = None if decisions.note is None else parse_note(decisions.note)
            wish = DecisionRequest(
                decisions.verb, seen, context.member, reason, _parse_until(context, decisions), note=note
            )
            taken = context.app_state.tray_service.queue_decisions(
                wish, context.now, decisions.seconds_to_hold(context)
            )
            context.app_state.wake.set()
            changed = (*taken.moved, *taken.retermed, *taken.uncounted)
            out = {row.id for row in changed} | {item.request for item in taken.conflicts}
            lost = [key for key, row in rows.items() if row.id in out]
            return DecisionsOut(batch=taken.batch, taken=taken.count, lost=lost)

        return await self._handle(request, MemberRole.REVIEWER, work)

    async def tray(self, request: Request) -> Response:
        def work(context: RequestContext) -> Record:
            mine = context.workspace.tray.list_unsent(context.member.id)
            rows = context.workspace.store.requests([item.request for item in mine])
            return TrayOut(held=[_describe_queued(item, rows.get(item.request)) for item in mine])

        return await self._handle(request, MemberRole.REVIEWER, work)

    async def undo(self, request: Request) -> Response:
        def work(context: RequestContext) -> Record:
            ids = [item.id for item in context.workspace.tray.list_unsent(context.member.id)]
            return CountOut(count=context.workspace.tray.undo(ids, to_ms(context.now)))

        return await self._handle(request, MemberRole.REVIEWER, work)

    async def send(self, request: Request) -> Response:
        def work(context: RequestContext) -> Record:
            return CountOut(count=context.app_state.send_now(context.workspace.tray.list_unsent(context.member.id)))

        return await self._handle(request, MemberRole.REVIEWER, work)

    async def invalid(self, request: Request, problem: Exception) -> Response:
        """Answer a request that does not fit the schema; without a session, only 401."""
        first = problem.errors()[0] if isinstance(problem, RequestValidationError) and problem.errors() else {}
        where = ".".join(str(part) for part in first.get("loc", ()))
        message = str(first.get("msg", "not valid"))
        return await self._answer(
            request,
            MemberRole.VIEWER,
            lambda _: _error(422, f"{where}: {message}", "See /api/openapi.json for the schema."),
        )

    async def unreadable(self, request: Request, _: Exception) -> Response:
        """Answer a body that is not JSON in UTF-8."""
        return await self._answer(
            request, MemberRole.VIEWER, lambda _: _error(400, "The body cannot be read as JSON.", "Send JSON in UTF-8.")
        )

    def openapi(self, app: FastAPI) -> Callable[[Request], Any]:
        """Return the endpoint of the OpenAPI document, which needs a session."""

        async def openapi(request: Request) -> Response:
            return await self._answer(request, MemberRole.VIEWER, lambda _: EscapedJSON(_make_document(app)))

        return openapi

    # ---- one request -------------------------------------------------------------------------------------------------

    async def _handle(self, request: Request, role: MemberRole, work: Callable[[RequestContext], Record]) -> Response:
        return await self._answer(request, role, lambda context: EscapedJSON(work(context)))

    async def _answer(self, request: Request, role: MemberRole, work: Callable[[RequestContext], Response]) -> Response:
        return await self._desk.for_member(request, lambda member: self._try(request, member, role, work))

    def _try(
        self, request: Request, member: Member | None, role: MemberRole, work: Callable[[RequestContext], Response]
    ) -> Response:
        if member is None:
            return _error(401, "You are not signed in.", "Open the link that the desk printed.")
        context = self._desk.context_of(request, member)
        if not context.member.role.covers(role):
            return _error(403, f"A {context.member.role} may not do this.", "An admin of the desk can.")
        try:
            return work(context)
        except NotFound:
            return _error(
                404, "There is nothing here.", "It may have been withdrawn, or belong to a repo you cannot see."
            )
        except Refused as problem:
            return _error(problem.status, str(problem), problem.hint)
        except HfGateError as problem:
            return _error(self._desk.status_of(problem), str(problem), name_token_source(problem.hint, "the desk"))


def _error(status: int, error: str, hint: str) -> Response:
    return EscapedJSON({"error": error, "hint": hint}, status)


def _parse_until(context: RequestContext, decisions: DecisionsIn) -> str | None:
    if decisions.until is None:
        return None
    if decisions.verb != "accept":
        raise Refused("Only an acceptance has an end.", hint="Leave `until` out, or send the verb accept.")
    return decisions.until if decisions.until == NO_END_WORD else context.parse_end(decisions.until)


def _request_records(context: RequestContext, rows: Iterable[RequestRow]) -> list[ApiRequest]:
    verdicts = context.app_state.policies.current_verdicts
    found = list(rows)
    able = [row for row in found if "accept" in possible_verbs(row.state.status)]
    terms, zone = context.app_state.terms_reader.read_terms(able, context.now), context.workspace.zone
    return [
        extend_record(
            stored_request(row, verdicts, details),
            ApiRequest,
            id=request_key(row),
            version=version_with_terms(context, row, terms.get(row.id)),
            terms=terms_record(terms[row.id], context.now, zone) if row.id in terms else None,
        )
        for row, details in pair_with_details(context.workspace, found, lambda: context.app_state.policies.current)
    ]


def _make_document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document with the schemas of the answers."""
    document = app.openapi()
    _, schemas = msgspec.json.schema_components(_ANSWERS, ref_template=_REF)
    document["components"]["schemas"] |= schemas
    return document


def _describe_queued(item: QueuedDecision, row: RequestRow | None) -> QueuedDecisionOut:
    return QueuedDecisionOut(
        id=item.id,
        verb=item.verb,
        request=None if row is None else request_key(row),
        batch=item.batch,
        made_at=ms_to_iso(item.made_at),
        leaves_at=ms_to_iso(item.leaves_at),
        until=item.until,
        is_leaving=item.run is not None,
    )
