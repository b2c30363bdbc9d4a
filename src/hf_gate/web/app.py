"""The desk as an application: a table of its ways with who may go each, and how a call becomes a page or a refusal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.requests import Request
from starlette.responses import Response

from ..domain.members import Member, MemberRole
from ..errors import Guarded, HfGateError, HubUnavailable, NotAllowed, Offline, Stale, StoreUnavailable, UsageError
from ..hub.credentials import is_loopback_host
from . import (
    accounts,
    api,
    audit,
    bulk,
    ending,
    entries,
    files,
    first,
    keys,
    members,
    metrics,
    people,
    plan,
    plans,
    policies,
    private_host,
    proofs,
    queue,
    repos,
    request,
    request_history,
    runs,
    tray,
    words,
)
from .app_state import AppState
from .draft_pool import DraftBusy
from .ending import day_of
from .exports import EscapedJSON
from .request_context import ENVIRONMENT, NotFound, Page, Refused, RequestContext, fields, local
from .security import BIGGEST, SecurityMiddleware
from .sign_in import Authenticator
from .terminal import Terminal
from .turns import MemberTurns

ENVIRONMENT.globals |= {
    "strip_of": tray.strip_of,
    "until_day": day_of,
    "until_moment": lambda context, at: words.span(at - context.now),
    "first_steps": first.steps_of,
}
_log = logging.getLogger("hf_gate.web")
_T = TypeVar("_T")
_THREADS: Final = 6
_DRAFT_THREADS: Final = 2
_VIEWER, _REVIEWER, _ADMIN = MemberRole.VIEWER, MemberRole.REVIEWER, MemberRole.ADMIN


class Route(NamedTuple):
    """One thing that can be asked for, and the least role that may."""

    method: str
    path: str
    role: MemberRole
    page: Page
    is_draft: bool = False  # can try a policy on requests, which takes long


ROUTES: Final = (
    Route("GET", "/", _VIEWER, queue.home),
    Route("GET", "/queue", _VIEWER, queue.page),
    Route("GET", "/queue.{kind}", _VIEWER, queue.export),
    Route("POST", "/views", _VIEWER, queue.save_view),
    Route("GET", "/requests/{id}", _VIEWER, request.page),
    Route("GET", "/requests/{id}/why", _VIEWER, request.why),
    Route("GET", "/requests/{id}/similar", _REVIEWER, request_history.similar_part),
    Route("GET", "/requests/{id}/{verb}", _REVIEWER, request.sheet),
    Route("POST", "/requests/{id}/note", _REVIEWER, request.note),
    Route("POST", "/requests/{id}/end", _REVIEWER, ending.change_end),
    Route("POST", "/requests/{id}/looking", _REVIEWER, request.looking),
    Route("GET", "/tray", _VIEWER, tray.page),
    Route("POST", "/tray", _REVIEWER, tray.decide),
    Route("POST", "/tray/undo", _REVIEWER, tray.undo),
    Route("POST", "/tray/hold", _REVIEWER, tray.hold),
    Route("POST", "/tray/send", _REVIEWER, tray.send),
    Route("POST", "/tray/seen", _REVIEWER, tray.dismiss_outcomes),
    Route("POST", "/selection", _REVIEWER, bulk.select),
    Route("POST", "/bulk", _REVIEWER, bulk.begin),
    Route("GET", "/bulk/{id}.{kind}", _REVIEWER, bulk.export),
    Route("GET", "/bulk/{id}", _REVIEWER, bulk.page),
    Route("POST", "/bulk/{id}", _REVIEWER, bulk.confirm),
    Route("GET", "/plans", _VIEWER, plans.index),
    Route("GET", "/plans.{kind}", _REVIEWER, plans.index_file),
    Route("POST", "/plans", _ADMIN, plans.make),
    Route("GET", "/plans/{digest}.{kind}", _REVIEWER, plan.plan_file),
    Route("GET", "/plans/{digest}", _VIEWER, plan.page),
    Route("POST", "/plans/{digest}", _REVIEWER, plan.act),
    Route("GET", "/runs/{id}.{kind}", _REVIEWER, runs.run_file),
    Route("GET", "/runs/{id}", _VIEWER, runs.page),
    Route("GET", "/runs/{id}/live", _VIEWER, runs.live),
    Route("GET", "/runs/{id}/events", _VIEWER, runs.events),
    Route("POST", "/runs/{id}", _REVIEWER, runs.act),
    Route("GET", "/repos", _VIEWER, repos.page),
    Route("GET", "/repos.{kind}", _VIEWER, repos.export),
    Route("GET", "/repos/{type}/{ns}/{name}", _VIEWER, repos.repo_page),
    Route("POST", "/repos/{type}/{ns}/{name}/sync", _REVIEWER, repos.sync_now),
    Route("GET", "/people", _VIEWER, people.index),
    Route("GET", "/people.{kind}", _REVIEWER, people.index_export),
    Route("GET", "/people/{id}", _VIEWER, people.page),
    Route("POST", "/people/{id}", _REVIEWER, people.decide),
    Route("GET", "/policies", _VIEWER, policies.page),
    Route("GET", "/policies.{kind}", _VIEWER, policies.export),
    Route("POST", "/policies", _REVIEWER, policies.try_draft, is_draft=True),
    Route("GET", "/policies/{name}", _VIEWER, policies.policy_page, is_draft=True),
    Route("POST", "/policies/{name}", _REVIEWER, policies.try_draft, is_draft=True),
    Route("GET", "/audit", _VIEWER, audit.page),
    Route("GET", "/audit.{kind}", _VIEWER, audit.export),
    Route("GET", "/audit/export", _VIEWER, proofs.whole),
    Route("POST", "/audit/verify", _VIEWER, proofs.prove),
    Route("POST", "/audit/checkpoint", _REVIEWER, proofs.checkpoint),
    Route("GET", "/audit/desk/{seq}", _VIEWER, entries.entry),
    Route("GET", "/audit/{type}/{ns}/{name}/{seq}", _VIEWER, entries.entry),
    Route("GET", "/keys", _VIEWER, keys.page),
    Route("POST", "/theme", _VIEWER, keys.theme),
    Route("GET", "/first-steps", _VIEWER, first.page),
    Route("GET", "/settings", _VIEWER, members.page),
    Route("POST", "/settings/prove", _VIEWER, members.prove),
    Route("POST", "/settings/invite", _ADMIN, members.invite),
    Route("POST", "/settings/revoke", _ADMIN, members.revoke),
)
"""Everything behind the sign-in. What is in front of it: /sign-in, /sign-out, /static, /healthz, /readyz, /metrics."""


_NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False,
}  # fmt: skip
"""FastAPI would report to an OpenTelemetry provider of its process; see `docs/promises.md`."""


def build(
    app_state: AppState,
    door: Authenticator,
    hosts: frozenset[str] | None,
    terminal: Terminal | None = None,
    *,
    public: str | None = None,
) -> SecurityMiddleware:
    """The whole application, shielded. `public`: its origin, where TLS ends before it."""
    app = FastAPI(title="hf-gate", docs_url=None, redoc_url=None, openapi_url=None, telemetry=_NO_TELEMETRY)
    pool = ThreadPoolExecutor(_THREADS, "hf-gate-page")
    desk = DeskApp(app_state, door, pool, terminal, ThreadPoolExecutor(_DRAFT_THREADS, "hf-gate-draft"))
    desk.counts_are_open = hosts is not None and public is None
    for way in ROUTES:
        app.add_api_route(way.path, desk.endpoint(way), methods=[way.method], include_in_schema=False)
    for method, path, endpoint in desk.open_ways:
        app.add_api_route(path, endpoint, methods=[method], include_in_schema=False, response_model=None)
    api.add(app, desk)
    app.add_exception_handler(404, desk.nowhere)
    app.add_exception_handler(405, desk.nowhere)
    return SecurityMiddleware(app, hosts, public)


class DeskApp:
    """Turns calls into pages, each on a thread of a small pool: the store is read there without anybody waiting for it.

    Drafts of policies are tried on threads of their own (`drafts`), so that they never keep a page waiting.
    `counts_are_open`: only this machine can come here, so that a monitor on it may read figures without a session.
    """

    counts_are_open: bool = False

    def __init__(
        self,
        app_state: AppState,
        door: Authenticator,
        pool: ThreadPoolExecutor,
        terminal: Terminal | None,
        drafts: ThreadPoolExecutor,
    ) -> None:
        self.app_state, self.door, self._pool, self._terminal, self._drafts = app_state, door, pool, terminal, drafts
        self._turns = MemberTurns()

    async def aside(self, work: Callable[[], _T], pool: ThreadPoolExecutor | None = None) -> _T:
        """Does something that may take a while."""
        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, work)

    def endpoint(self, way: Route) -> Callable[[Request], Any]:
        """What answers one way."""

        async def endpoint(request: Request) -> Response:
            body = b"" if way.method == "GET" else await _body(request)
            tries = way.is_draft and (way.method == "POST" or "who" in request.query_params)
            pool = self._drafts if tries else None
            return await self.for_member(request, lambda member: self._answer(way, request, member, body), pool)

        return endpoint

    async def for_member(
        self, request: Request, work: Callable[[Member | None], Response], pool: ThreadPoolExecutor | None = None
    ) -> Response:
        """Do work for the member who asks, or None, when it is their turn."""
        member = await self.aside(lambda: self._member(request))
        if member is None:
            return await self.aside(lambda: work(None), pool)
        async with self._turns.turn(member.id) as has_turn:
            if has_turn:
                return await self.aside(lambda: work(member), pool)
        if private_host.is_navigation(request):
            return self.door.busy_page()
        return EscapedJSON({"error": "Too many of your requests are under way.", "hint": "Try again in a moment."}, 429)

    # ---- in front of the sign-in -------------------------------------------------------------------------------------

    @property
    def open_ways(self) -> tuple[tuple[str, str, Callable[..., Any]], ...]:
        """What can be asked for without a session."""
        return (
            ("GET", "/static/{version}/{name}", self.static), ("GET", "/sign-in", self.sign_in),
            ("POST", "/sign-in", self.sign_in_by_form), ("POST", "/sign-out", self.sign_out),
            ("GET", "/healthz", self.healthz), ("GET", "/readyz", self.readyz), ("POST", "/terminal", self.terminal),
            ("GET", "/metrics", self.metrics), ("POST", "/account/prove", self.prove_account),
        )  # fmt: skip

    async def static(self, version: str, name: str) -> Response:
        """A static file. Browsers keep it only under the version that it has now."""
        body, media_type = files.static_files().get(name, (b"", ""))
        if not media_type:
            return Response("", 404)
        is_current = version == files.static_version()
        cached = "public, max-age=31536000, immutable" if is_current else "no-store"
        return Response(body, media_type=media_type, headers={"cache-control": cached})

    async def sign_in(self, request: Request) -> Response:
        """The page, or with a link the way in."""
        secret, is_staying = request.query_params.get("t"), "stay" in request.query_params
        if secret is None:
            return await self.aside(lambda: self.door.page(200))
        return await self.aside(lambda: self.door.open_link(request, secret, is_staying=is_staying))

    async def sign_in_by_form(self, request: Request) -> Response:
        """The same for a link that was pasted."""
        sent = fields((await _body(request)).decode("utf-8", "replace"))
        secret = sent.get("link", [""])[-1].strip().rpartition("t=")[2].partition("&")[0]
        return await self.aside(lambda: self.door.submit_link(request, secret, is_staying="stay" in sent))

    async def sign_out(self, request: Request) -> Response:
        """Ends the session here and in the store."""

        def leave() -> Response:
            try:
                self.door.leave(request)
            except HfGateError as problem:
                return self.door.page(503, f"You are still signed in: {problem} Sign out again in a moment.")
            return self.door.forget(self.door.page(200, "You are signed out."))

        return await self.aside(leave)

    async def terminal(self, request: Request) -> Response:
        """What `hf-gate ui link` and `ui invite` ask; who has not got the key finds nothing."""
        terminal, body = self._terminal, await _body(request)
        if terminal is None:
            return Response("", 404)
        return await self.aside(lambda: terminal.answer(request.headers.get("authorization", ""), body))

    async def prove_account(self, request: Request) -> Response:
        """What `hf-gate ui prove LINK` sends. A token is taken only where nobody on the way can read it."""
        body = await _body(request)
        is_private = self.app_state.is_https or (request.client is not None and is_loopback_host(request.client.host))
        return await self.aside(lambda: accounts.answer(self.app_state, body, is_private=is_private))

    async def healthz(self) -> Response:
        """Whether this process answers."""
        return Response("ok\n", media_type="text/plain")

    async def readyz(self) -> Response:
        """Whether it can work: the store can be read."""

        def look() -> Response:
            try:
                self.app_state.workspace.store.setting("ready")
            except HfGateError:
                return Response("the store cannot be read\n", 503, media_type="text/plain")
            return Response("ok\n", media_type="text/plain")

        return await self.aside(look)

    async def metrics(self, request: Request) -> Response:
        """Figures for a monitor: to this machine, or to a member, of their repos.

        Once any request bore a header of a proxy, other machines reach the desk, and a proxy may also leave such headers out.
        """
        is_local = self.counts_are_open and not request.state.has_proxy

        def figures(member: Member | None) -> Response:
            if member is None and not is_local:
                return self._signed_out(request)
            try:
                return metrics.answer(self.app_state, member)
            except HfGateError as problem:
                return Response(f"{problem}\n", _status_of(problem), media_type="text/plain")

        return await self.for_member(request, figures)

    def context_of(self, request: Request, member: Member) -> RequestContext:
        """Who asks, and for what."""
        return self._context(request, member, b"")

    @staticmethod
    def status_of(problem: HfGateError) -> int:
        """Which HTTP status an error of ours is."""
        return _status_of(problem)

    async def nowhere(self, request: Request, _: Exception) -> Response:
        """No such way: told to who is in; who is not sees what they always see."""

        def page(member: Member | None) -> Response:
            return self.door.page(401) if member is None else self._no(self._context(request, member, b""), 404)

        return await self.for_member(request, page)

    # ---- one call ----------------------------------------------------------------------------------------------------

    def _answer(self, way: Route, request: Request, member: Member | None, body: bytes) -> Response:
        if member is None:
            return self._signed_out(request)
        context = self._context(request, member, body)
        if not member.role.covers(way.role):
            return self._no(context, 404 if way.method == "GET" else 403)
        try:
            return way.page(context)
        except NotFound:
            return self._no(context, 404)
        except Refused as problem:
            return _error_page(context, str(problem), problem.hint, problem.status)
        except HfGateError as problem:
            return _error_page(context, str(problem), problem.hint or "", _status_of(problem))
        except Exception:  # noqa: BLE001 - whatever it is, the reader gets a page and the log the rest
            _log.exception("no page for %s %s", way.method, way.path)
            return _error_page(
                context, "This page cannot be shown: a fault of hf-gate.", "The log has it; please report it.", 500
            )

    def _signed_out(self, request: Request) -> Response:
        if request.headers.get("hx-request") == "true":
            return Response("", 401, {"hx-redirect": "/sign-in"})
        return self.door.page(401)

    def _member(self, request: Request) -> Member | None:
        name = self.door.name_of(request)
        return None if name is None else self.app_state.membership.find(name)

    def _context(self, request: Request, member: Member, body: bytes) -> RequestContext:
        theme = request.cookies.get("theme")
        return RequestContext(
            self.app_state,
            request.url.path,
            member,
            request.state.nonce,
            fields(request.url.query),
            fields(body.decode("utf-8", "replace")),
            {name: str(value) for name, value in request.path_params.items()},
            is_part=request.headers.get("hx-request") == "true",
            theme=theme if theme in {"light", "dark"} else None,
            at_url=f"{request.url.path}{'?' if request.url.query else ''}{request.url.query}",
            from_url=_page_of(request),
            now=self.app_state.now(),
        )

    def _no(self, context: RequestContext, status: int) -> Response:
        if status == 404:
            return _error_page(
                context, "There is nothing here.", "It may have been withdrawn, or is not one of your repos.", 404
            )
        return _error_page(context, f"A {context.member.role} may not do this.", "An admin of the desk can.", status)


def _error_page(context: RequestContext, message: str, hint: str, status: int) -> Response:
    template = "parts/notice.html" if context.is_part else "refused.html"
    return context.page(template, status, message=message, hint=hint, is_bad=True, title=message)


def _status_of(problem: HfGateError) -> int:
    for kind, status in (
        (NotAllowed, 403), (Stale, 409), (Guarded, 409), (DraftBusy, 409), (UsageError, 422), (StoreUnavailable, 503),
        (HubUnavailable, 503), (Offline, 503),
    ):  # fmt: skip
        if isinstance(problem, kind):
            return status
    return 502


def _page_of(request: Request) -> str:
    """The page in which a script of ours asks, as a path of this desk."""
    try:
        url = urlsplit(request.headers.get("hx-current-url", ""))
    except ValueError:
        return ""
    return local(f"{url.path}{'?' if url.query else ''}{url.query}") or ""


async def _body(request: Request) -> bytes:
    """What was sent, as far as it may be large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BIGGEST:
            return b""
        parts.append(part)
    return b"".join(parts)
