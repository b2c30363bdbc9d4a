"""Exports and erases one person from the desk. Only admins who can see every repo may do this."""

from __future__ import annotations

from starlette.responses import Response

from .. import bootstrap
from ..application.erasure import check_erasable, erase, preview_erasure
from ..application.owner_files import list_owner_files
from ..application.person_export import export_person, json_document, render_page
from ..application.store_maintenance import file_of_store, files_of
from ..domain.rows import PersonRow
from ..errors import HfGateError
from .exports import file_response
from .people import find_one_person
from .plan import forget_recent_plans
from .request_context import NotFound, Refused, RequestContext, require_all_repos

_NEEDS_ALL_REPOS = "Nothing was done: this concerns every repo, and you cannot see all of them."


def erase_page(context: RequestContext) -> Response:
    """Show what an erasure would delete, and ask for the name."""
    person = _find_person(context)
    preview = preview_erasure(context.workspace, person, _url(context), list_owner_files(context.workspace.location))
    obstacle = None
    try:
        check_erasable(preview)
    except HfGateError as problem:
        obstacle = problem
    return context.render(
        "person-erase.html",
        title="Erase a person",
        record=preview.record(),
        name=preview.name,
        obstacle=obstacle,
        headers={"cache-control": "no-store"},
    )


def erase_person(context: RequestContext) -> Response:
    """Erase a person whose name was typed, and show what was deleted and what stays."""
    person = _find_person(context)
    preview = preview_erasure(context.workspace, person, _url(context))
    if context.form_value("name").strip() != preview.name:
        raise Refused("Nothing was erased: the name is not the same.", hint="Go back and type the name as it is shown.")
    check_erasable(preview)
    owned = list_owner_files(context.workspace.location)
    record = erase(context.workspace, person, _url(context), context.member.name, owned)
    forget_recent_plans()
    return context.render(
        "person-erase.html",
        title="Person erased",
        record=record,
        name=record.person,
        obstacle=None,
        headers={"cache-control": "no-store"},
    )


def export_file(context: RequestContext) -> Response:
    """Return everything that is held about a person, as JSON or as a page to be downloaded."""
    person, kind = _find_person(context), context.query_value("as", "html")
    if kind not in {"json", "html"}:
        raise NotFound
    path = file_of_store(_url(context))
    record = export_person(context.workspace, person, [] if path is None else files_of(path))
    name = f"{record.person.person}.{kind}"
    if kind == "json":
        return file_response([json_document(record)], "application/json", name)
    return file_response((part.encode() for part in render_page(record)), "text/html; charset=utf-8", name)


def _find_person(context: RequestContext) -> PersonRow:
    require_all_repos(context, _NEEDS_ALL_REPOS)
    return find_one_person(context)


def _url(context: RequestContext) -> str:
    return bootstrap.store_url(context.workspace.settings, context.workspace.location)
