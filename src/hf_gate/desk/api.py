"""The JSON API of the desk, version 1: events, decisions and rows of tables for other systems, which have keys."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from hf_gate import __version__
from hf_gate.base.decoding import convert_value, decode_json
from hf_gate.core.events.entry_records import event_record
from hf_gate.core.people.members import EVENTS, KeyMember, Member, MemberRole
from hf_gate.core.records import EventRecord, Record
from hf_gate.core.stored_rows import TimelineFilter
from hf_gate.desk.decisions.decision_hook import (
    MAX_IDEMPOTENCY,
    KeyDecisionIn,
    KeyDecisionOut,
    decide_by_key,
)
from hf_gate.desk.grants.table_rows import RowCells, TableRowOut, write_row
from hf_gate.errors import HfGateError
from hf_gate.hub.credentials import name_token_source
from hf_gate.store.rows.event_feed import is_cursor, read_events

from .exports import ErrorOut, EscapedJSON, error_response
from .http_context import HttpContext, NotFound, Refused, sees_all_repos

_T = TypeVar("_T")
MAX_EVENTS: Final = 500  # of a page
MemberWork: TypeAlias = Callable[[Request, Callable[[Member | None], Response]], Awaitable[Response]]
_SEE_DOCUMENT: Final = "See /api/openapi.json for the schema."


class EventsQuery(Struct, frozen=True):
    """The parameters of the event feed. `after`: the cursor of a page or an event; without it, from the first event."""

    after: Annotated[str, Meta(max_length=60)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_EVENTS)] = 100


class EventsOut(Record, frozen=True, kw_only=True):
    """One page of the event feed. `next` continues after it.

    `has_more`: there are later entries already, maybe at repos that the caller cannot see.
    """

    schema_version: int = 1
    events: list[EventRecord]
    next: str
    has_more: bool


_SHAPES: Final = (
    EventsQuery,
    KeyDecisionIn,
    KeyDecisionOut,
    EventsOut,
    TableRowOut,
    ErrorOut,
)
_QUERIES: Final = {"/events": "EventsQuery"}
_IDEMPOTENCY: Final = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": True,
    "description": "The same decision always has the same one.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY},
}
_PATH_NAMES: Final = re.compile(r"\{(\w+)\}")
_REF: Final = "#/components/schemas/{name}"


def _answer(kind: type[Record], description: str) -> dict[str, Any]:
    """Return how the OpenAPI document describes an answer; its schema is added to the document as a component."""
    schema = {"$ref": _REF.format(name=kind.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_ERRORS: Final[dict[str, dict[str, Any]]] = {
    str(code): _answer(ErrorOut, "Not done.")
    for code in (400, 401, 403, 404, 409, 410, 413, 415, 421, 422, 429, 502, 503)
}


def list_endpoints(
    for_member: MemberWork,
    context_of: Callable[[Request, Member], HttpContext],
    status_of: Callable[[HfGateError], int],
) -> Iterator[tuple[str, str, Callable[[Request], Any]]]:
    """Yield method, path and endpoint of each route of the API.

    `for_member` runs work for the member of a request, `context_of` returns the context of a page, and `status_of` the
    status of an error.
    """
    api = _Api(for_member, context_of, status_of)
    for method, path, work, _, _ in _ROUTES:
        yield method, f"/api/v1{path.replace('{key}', '{key:path}')}", api.make_endpoint(work)
    yield "GET", "/api/openapi.json", api.openapi


class ApiCall(NamedTuple):
    """What a client sent."""

    query: Mapping[str, str]
    content_type: str
    body: bytes
    idempotency: str = ""

    def parse_query(self, kind: type[_T]) -> _T:
        try:
            return convert_value(dict(self.query), kind, is_strict=False)
        except msgspec.ValidationError as problem:
            raise Refused(f"query: {problem}", hint=_SEE_DOCUMENT) from None

    def parse_body(self, kind: type[_T]) -> _T:
        if self.content_type.partition(";")[0].strip().lower() != "application/json":
            raise Refused("The content-type of the body is not JSON.", hint="Send content-type: application/json.")
        try:
            return decode_json(self.body, kind)
        except msgspec.ValidationError as problem:
            raise Refused(f"body: {problem}", hint=_SEE_DOCUMENT) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused("The body cannot be read as JSON.", hint="Send JSON in UTF-8.", status=400) from None


_Work: TypeAlias = Callable[["HttpContext", ApiCall], Record]


class _Api(Struct, frozen=True):
    """Makes the endpoints of the API."""

    for_member: MemberWork
    context_of: Callable[[Request, Member], HttpContext]
    status_of: Callable[[HfGateError], int]

    def make_endpoint(self, work: _Work) -> Callable[[Request], Any]:
        """Return an endpoint that answers with a record."""

        async def endpoint(request: Request) -> Response:
            headers = request.headers
            body = await request.body()
            call = ApiCall(
                request.query_params, headers.get("content-type", ""), body, headers.get("idempotency-key", "")
            )
            return await self._answer(request, MemberRole.REVIEWER, lambda context: _render(work(context, call)))

        return endpoint

    async def openapi(self, request: Request) -> Response:
        """Answer with the OpenAPI document, which needs a session or a key."""
        return await self._answer(request, MemberRole.VIEWER, lambda _: EscapedJSON(_make_document()))

    # ---- one request -------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request, role: MemberRole, work: Callable[[HttpContext], Response]) -> Response:
        return await self.for_member(request, lambda member: self._try(request, member, role, work))

    def _try(
        self, request: Request, member: Member | None, role: MemberRole, work: Callable[[HttpContext], Response]
    ) -> Response:
        if member is None and request.state.key is not None:
            return error_response(
                401, "This key does not work.", "It may be revoked or replaced. Make one: hf-gate keys add"
            )
        if member is None:
            hint = "Open the link that the desk printed. A key works only for events, decisions and rows of tables."
            return error_response(401, "You are not signed in.", hint)
        context = self.context_of(request, member)
        if not context.member.role.covers(role):
            return error_response(403, f"A {context.member.role} may not do this.", "An admin of the desk can.")
        try:
            return work(context)
        except NotFound:
            return error_response(
                404, "There is nothing here.", "It may have been withdrawn, or belong to a repo you cannot see."
            )
        except Refused as problem:
            return error_response(problem.status, str(problem), problem.hint)
        except HfGateError as problem:
            return error_response(self.status_of(problem), str(problem), name_token_source(problem.hint, "the desk"))


def _decide(context: HttpContext, call: ApiCall) -> Record:
    return decide_by_key(context, call.parse_body(KeyDecisionIn), call.idempotency)


def _list_events(context: HttpContext, call: ApiCall) -> Record:
    key = context.member
    if isinstance(key, KeyMember) and EVENTS not in key.verbs:
        raise Refused("This key may not read events.", hint="Make one that may: hf-gate keys add", status=403)
    query = call.parse_query(EventsQuery)
    if query.after is not None and not is_cursor(query.after):
        raise Refused("That is not a cursor.", hint="Send `next` of the last page, as it was.")
    sees_all = sees_all_repos(context)
    repos = None if sees_all else [row.repo for row in context.list_visible_repos().rows]
    page = read_events(context.workspace.store, query.after, query.limit, TimelineFilter(repos, sees_all))
    if page is None:
        raise Refused(
            "The cursor belongs to an earlier state of the store, which was restored or made anew.",
            hint="Start again without `after`. What you have applied comes again with the same hash.",
            status=410,
        )
    events = [event_record(link, cursor, context.workspace.zone) for link, cursor in page.entries]
    return EventsOut(events=events, next=page.next, has_more=page.has_more)


def _put_row(context: HttpContext, call: ApiCall) -> Record:
    return write_row(context, call.parse_body(RowCells))


def _delete_row(context: HttpContext, _: ApiCall) -> Record:
    return write_row(context, None)


# Method, path, what the endpoint does, the record that it answers with, and a summary for the OpenAPI document.
_ROUTES: Final[tuple[tuple[str, str, _Work, type[Record], str], ...]] = (
    ("GET", "/events", _list_events, EventsOut, "List what happened, oldest first."),
    ("POST", "/decisions", _decide, KeyDecisionOut, "Decide about a request."),
    ("PUT", "/tables/{name}/rows/{key}", _put_row, TableRowOut, "Write a row of a table in the store."),
    ("DELETE", "/tables/{name}/rows/{key}", _delete_row, TableRowOut, "Delete a row of a table in the store."),
)


def _render(record: Record) -> Response:
    """Answer with a record: 202 for a decision whose outcome is not known yet."""
    return EscapedJSON(record, 202 if isinstance(record, KeyDecisionOut) and record.outcome is None else 200)


def _make_document() -> dict[str, Any]:
    """Return the OpenAPI document: the routes, and the schemas of what is sent and answered."""
    _, schemas = msgspec.json.schema_components(_SHAPES, ref_template=_REF)
    queries = {path: schemas.pop(name)["properties"] for path, name in _QUERIES.items()}
    paths: dict[str, dict[str, Any]] = {}
    for method, path, _, kind, summary in _ROUTES:
        operation: dict[str, Any] = {"summary": summary, "responses": {"200": _answer(kind, summary), **_ERRORS}}
        if path in queries:
            operation["parameters"] = [
                {"in": "query", "name": name, "required": False, "schema": schema}
                for name, schema in queries[path].items()
            ]
        elif names := _PATH_NAMES.findall(path):
            operation["parameters"] = [
                {"in": "path", "name": name, "required": True, "schema": {"type": "string"}} for name in names
            ]
        elif path == "/decisions":
            body = {"schema": {"$ref": _REF.format(name=KeyDecisionIn.__name__)}}
            operation["requestBody"] = {"content": {"application/json": body}, "required": True}
            operation["parameters"] = [_IDEMPOTENCY]
            operation["responses"]["202"] = _answer(
                KeyDecisionOut, "The outcome is not known yet. Send the same call again."
            )
        if method == "PUT":
            body = {"schema": msgspec.json.schema(RowCells)}
            operation["requestBody"] = {"content": {"application/json": body}, "required": True}
        paths.setdefault(f"/api/v1{path}", {})[method.lower()] = operation
    info = {"title": "hf-gate", "version": __version__}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}
