"""The desk's ASGI application: how a request becomes a page or an error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as PlainRoute

from hf_gate.base.timestamps import format_span
from hf_gate.core.people.members import METRICS, KeyMember, Member
from hf_gate.desk import unattended_work as unattended
from hf_gate.desk.members.hub_sign_in import CALLBACK_PATH, START_PATH
from hf_gate.desk.members.hub_sign_in_pages import HubSignInPages
from hf_gate.desk.members.member_limits import Admission, MemberLimits, find_network
from hf_gate.desk.members.sign_in import STORE_FAILED, Authenticator
from hf_gate.desk.members.terminal import Terminal
from hf_gate.errors import (
    Guarded,
    HfGateError,
    HubUnavailable,
    NotAllowed,
    Offline,
    Stale,
    StoreUnavailable,
    UsageError,
)
from hf_gate.hub.credentials import name_token_source

from . import api, first_steps, private_host, static_files
from .app_state import AppState
from .decisions import tray
from .exports import error_response
from .http_context import ENVIRONMENT, HttpContext, NotFound, Refused, local_path, parse_fields, parse_form
from .reports import metrics
from .routes import ROUTES, Route
from .security import MAX_BODY, SecurityMiddleware

ENVIRONMENT.globals |= {
    "make_strip": tray.make_strip,
    "time_until": lambda context, at: format_span(at - context.now),
    "list_first_steps": first_steps.list_first_steps,
    "unattended_banner": unattended.make_banner,
}
_log = logging.getLogger("hf_gate.desk")
_T = TypeVar("_T")
_THREADS: Final = 6
_PROVIDER_THREADS: Final = 4
_MAX_PROVIDER_WAITING: Final = 40  # sign-ins that use a thread or wait for one


def build_desk_app(
    app_state: AppState,
    authenticator: Authenticator,
    hosts: frozenset[str] | None,
    terminal: Terminal | None = None,
    *,
    public_origin: str | None = None,
) -> SecurityMiddleware:
    """Build the desk's ASGI application with all routes.

    `public_origin`: its origin if a proxy ends TLS in front of it.
    """
    app = Starlette()
    pool = ThreadPoolExecutor(_THREADS, "hf-gate-page")
    desk = DeskApp(app_state, authenticator, pool, terminal)
    desk.has_open_metrics = hosts is not None and public_origin is None
    for route in ROUTES:
        _add_route(app, route.method, route.path, desk.make_endpoint(route))
    for method, path, endpoint in (*desk.open_routes, *api.list_endpoints(desk.for_member, desk.context_of, status_of)):
        _add_route(app, method, path, endpoint)
    app.add_exception_handler(404, desk.not_found)
    app.add_exception_handler(405, desk.not_found)
    app.add_exception_handler(HfGateError, desk.store_failed)
    return SecurityMiddleware(app, hosts, public_origin)


def _add_route(app: Starlette, method: str, path: str, endpoint: Callable[[Request], Any]) -> None:
    """Add a route that answers one method."""
    route = PlainRoute(path, endpoint, methods=[method], include_in_schema=False)
    route.methods = {method}  # Starlette adds HEAD to GET
    app.router.routes.append(route)


class DeskApp:
    """Answers requests in a small thread pool, because reading the store blocks.

    `has_open_metrics`: the desk listens on this machine only, so `/metrics` needs no session here.
    """

    has_open_metrics: bool = False

    def __init__(
        self,
        app_state: AppState,
        authenticator: Authenticator,
        pool: ThreadPoolExecutor,
        terminal: Terminal | None,
    ) -> None:
        self.app_state = app_state
        self.authenticator = authenticator
        self._pool = pool
        self._terminal = terminal
        self._turns = MemberLimits()
        self._networks = MemberLimits()
        self._hub_sign_in = HubSignInPages(app_state, authenticator)
        self._provider_calls = ThreadPoolExecutor(_PROVIDER_THREADS, "hf-gate-sign-in")
        self._provider_waiting = 0

    async def run_in_thread(self, work: Callable[[], _T], pool: ThreadPoolExecutor | None = None) -> _T:
        """Run blocking work in a thread and return its result."""
        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, work)

    def make_endpoint(self, route: Route) -> Callable[[Request], Any]:
        """Return the endpoint of a route."""

        async def endpoint(request: Request) -> Response:
            body = b"" if route.method == "GET" else await _read_body(request)
            return await self.for_member(request, lambda member: self._answer(route, request, member, body))

        return endpoint

    async def for_member(self, request: Request, work: Callable[[Member | None], Response]) -> Response:
        """Run work for the signed-in member (None without a session), within the member's limits."""
        member = await self.run_in_thread(lambda: self._find_member(request))
        if member is None:
            return await self.run_in_thread(lambda: work(None))
        async with self._turns.acquire(member.id) as admission:
            # The session may have ended meanwhile, or the member's role changed.
            if admission is Admission.WAITED:
                return await self.run_in_thread(lambda: work(self._find_member(request)))
            if admission is Admission.AT_ONCE:
                return await self.run_in_thread(lambda: work(member))
        if private_host.is_navigation(request):
            return self.authenticator.busy_page()
        return error_response(429, "Too many of your requests are under way.", "Try again in a moment.")

    # ---- routes without a session ------------------------------------------------------------------------------------

    @property
    def open_routes(self) -> tuple[tuple[str, str, Callable[..., Any]], ...]:
        """Return the routes that need no session."""
        return (
            ("GET", "/static/{version}/{name}", self.static),
            ("GET", "/sign-in", self.sign_in),
            ("POST", "/sign-in", self.sign_in_by_form),
            ("POST", "/sign-out", self.sign_out),
            ("GET", "/healthz", self.healthz),
            ("GET", "/readyz", self.readyz),
            ("POST", "/terminal", self.terminal),
            ("GET", "/metrics", self.metrics),
            ("GET", START_PATH, self.begin_hub_sign_in),
            ("GET", CALLBACK_PATH, self.finish_hub_sign_in),
        )

    async def static(self, request: Request) -> Response:
        """Return a static file. Browsers may cache it only under its current version."""
        body, media_type = static_files.static_files().get(request.path_params["name"], (b"", ""))
        if not media_type:
            return Response("", 404)
        is_current = request.path_params["version"] == static_files.static_version()
        cached = "public, max-age=31536000, immutable" if is_current else "no-store"
        return Response(body, media_type=media_type, headers={"cache-control": cached})

    async def sign_in(self, request: Request) -> Response:
        """Show the sign-in page; with a link, sign in."""
        secret = request.query_params.get("t")
        is_staying = "stay" in request.query_params
        if secret is None:
            return await self.run_in_thread(lambda: self.authenticator.sign_in_page(200))
        return await self.run_in_thread(lambda: self.authenticator.open_link(request, secret, is_staying=is_staying))

    async def sign_in_by_form(self, request: Request) -> Response:
        """Answer the button of the page that asks before a link signs in."""
        sent = parse_fields((await _read_body(request)).decode("utf-8", "replace"))
        secret = sent.get("link", [""])[-1]
        return await self.run_in_thread(lambda: self.authenticator.sign_in(request, secret))

    async def begin_hub_sign_in(self, request: Request) -> Response:
        """Send the browser to the sign-in provider."""
        return await self._ask_provider(request, lambda: self._hub_sign_in.begin(request))

    async def finish_hub_sign_in(self, request: Request) -> Response:
        """Answer the sign-in provider's redirect."""
        refusal = await self.run_in_thread(lambda: self._hub_sign_in.check_redirect(request))
        return refusal or await self._ask_provider(request, lambda: self._hub_sign_in.finish(request))

    async def _ask_provider(self, request: Request, work: Callable[[], Response]) -> Response:
        """Run a part of a sign-in in threads of its own: a provider that does not answer must not delay pages.

        One network gets half of these threads at most, so that nobody can keep all others out.
        """
        network = find_network(request, is_proxied=self.app_state.is_https)
        async with nullcontext(Admission.AT_ONCE) if network is None else self._networks.acquire(network) as admission:
            if admission is Admission.REFUSED or self._provider_waiting >= _MAX_PROVIDER_WAITING:
                return self.authenticator.sign_in_page(503, "Too many people are signing in. Try again in a moment.")
            self._provider_waiting += 1
            try:
                return await self.run_in_thread(work, self._provider_calls)
            finally:
                self._provider_waiting -= 1

    async def sign_out(self, request: Request) -> Response:
        """End the session in the browser and in the store."""

        def leave() -> Response:
            try:
                self.authenticator.sign_out(request)
            except HfGateError:
                return self.authenticator.sign_in_page(
                    503, f"{STORE_FAILED} You are still signed in. Sign out again in a moment."
                )
            return self.authenticator.delete_cookie(self.authenticator.sign_in_page(200, "You are signed out."))

        return await self.run_in_thread(leave)

    async def terminal(self, request: Request) -> Response:
        """Answer another `hf-gate ui` with a sign-in link; 404 without its key."""
        terminal = self._terminal
        await _read_body(request)
        if terminal is None:
            return Response("", 404)
        return await self.run_in_thread(lambda: terminal.answer(request.headers.get("authorization", "")))

    async def healthz(self, _: Request) -> Response:
        """Say that this process answers."""
        return Response("ok\n", media_type="text/plain")

    async def readyz(self, _: Request) -> Response:
        """Say whether the store can be read and decisions can be sent; 503 if not."""

        def look() -> Response:
            try:
                self.app_state.workspace.store.setting("ready")
            except HfGateError:
                return Response("the store cannot be read\n", 503, media_type="text/plain")
            if self.app_state.token_problem is not None:
                return Response("the token cannot be used\n", 503, media_type="text/plain")
            return Response("ok\n", media_type="text/plain")

        return await self.run_in_thread(look)

    async def metrics(self, request: Request) -> Response:
        """Return metrics: all of them on this machine, those of their repos for members and keys that may read them.

        After any request with a proxy's header, other machines can reach the desk and a session is always needed,
        because a proxy may omit such headers later.
        """
        is_local = self.has_open_metrics and not request.state.has_proxy

        def figures(member: Member | None) -> Response:
            if member is None and request.state.key is not None:
                return Response("this key does not work\n", 401, media_type="text/plain")
            if isinstance(member, KeyMember) and METRICS not in member.verbs:
                return Response("this key may not read metrics\n", 403, media_type="text/plain")
            if member is None and not is_local:
                return self._signed_out(request)
            try:
                return metrics.metrics_response(self.app_state, member)
            except HfGateError as problem:
                return Response(f"{problem}\n", status_of(problem), media_type="text/plain")

        return await self.for_member(request, figures)

    async def store_failed(self, request: Request, problem: Exception) -> Response:
        """Answer while the store cannot even say who asks."""
        _log.error("no page for %s: %s", request.method, problem)
        if private_host.is_navigation(request):
            return self.authenticator.sign_in_page(503, f"{STORE_FAILED} Try again in a moment.")
        return error_response(503, STORE_FAILED, "Try again in a moment.")

    async def not_found(self, request: Request, problem: Exception) -> Response:
        """Answer an unknown path: 404 for members, the sign-in page for others. The API answers with JSON."""
        if request.url.path.startswith("/api/"):
            hint = "See /api/openapi.json for the paths and their methods."
            if isinstance(problem, HTTPException) and problem.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                return error_response(405, "This path does not take this method.", hint)
            return error_response(404, "The API has no such path.", hint)

        def page(member: Member | None) -> Response:
            return (
                self.authenticator.sign_in_page(401)
                if member is None
                else self._refuse(self.context_of(request, member), 404)
            )

        return await self.for_member(request, page)

    # ---- one request -------------------------------------------------------------------------------------------------

    def _answer(self, route: Route, request: Request, member: Member | None, body: bytes) -> Response:
        if member is None:
            return self._signed_out(request)
        context = self.context_of(request, member, body)
        if not member.role.covers(route.role):
            return self._refuse(context, 404 if route.method == "GET" else 403)
        if route.method != "GET":
            self.app_state.policies.expire()  # what a person decides follows from the files as they are now
        try:
            return route.handler(context)
        except NotFound:
            return self._refuse(context, 404)
        except Refused as problem:
            return _error_page(context, str(problem), problem.hint, problem.status)
        except HfGateError as problem:
            return _error_page(context, str(problem), name_token_source(problem.hint, "the desk"), status_of(problem))
        except Exception:  # noqa: BLE001 - show an error page; the log has the traceback
            _log.exception("no page for %s %s", route.method, route.path)
            return _error_page(
                context, "hf-gate failed to make this page.", "Please report it, with the traceback from the log.", 500
            )

    def _signed_out(self, request: Request) -> Response:
        if request.headers.get("hx-request") == "true":
            return Response("", 401, {"hx-redirect": "/sign-in"})
        return self.authenticator.sign_in_page(401)

    def _find_member(self, request: Request) -> Member | None:
        if request.state.key is not None:
            return self.app_state.membership.find_key(request.state.key)
        name = self.authenticator.session_member(request)
        return None if name is None else self.app_state.membership.find(name)

    def context_of(self, request: Request, member: Member, body: bytes = b"") -> HttpContext:
        """Return the context of a request; `body` is that of a form."""
        return HttpContext(
            self.app_state,
            request.url.path,
            member,
            request.state.nonce,
            parse_fields(request.url.query),
            parse_form(request.headers.get("content-type", ""), body),
            {name: str(value) for name, value in request.path_params.items()},
            is_part=request.headers.get("hx-request") == "true",
            current_url=f"{request.url.path}{'?' if request.url.query else ''}{request.url.query}",
            page_url=_desk_url(request, "hx-current-url"),
            referring_url=_desk_url(request, "referer"),
            session=self.authenticator.session_id(request),
            now=self.app_state.now(),
        )

    def _refuse(self, context: HttpContext, status: int) -> Response:
        """Answer what is missing or not allowed."""
        if status == 404:
            return _error_page(
                context, "There is nothing here.", "It may be gone, or belong to a repo that you cannot see.", 404
            )
        return _error_page(context, f"A {context.member.role} may not do this.", "An admin of the desk can.", status)


def _error_page(context: HttpContext, message: str, hint: str, status: int) -> Response:
    template = "parts/notice.html" if context.is_part else "refused.html"
    return context.render(template, status, message=message, hint=hint, is_bad=True, title=message)


def status_of(problem: HfGateError) -> int:
    """Return the HTTP status of an error."""
    for kind, status in (
        (NotAllowed, 403),
        (Stale, 409),
        (Guarded, 409),
        (UsageError, 422),
        (StoreUnavailable, 503),
        (HubUnavailable, 503),
        (Offline, 503),
    ):
        if isinstance(problem, kind):
            return status
    return 502


def _desk_url(request: Request, header: str) -> str:
    """Return the path and query of the page in a header; empty if it is not a path of this desk."""
    try:
        url = urlsplit(request.headers.get(header, ""))
    except ValueError:
        return ""
    return local_path(f"{url.path}{'?' if url.query else ''}{url.query}") or ""


async def _read_body(request: Request) -> bytes:
    """Read the body; return nothing if it is larger than the limit."""
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            return b""
        parts.append(part)
    return b"".join(parts)
