"""The page that erases one person after showing what goes, and the file of all that is held about one person."""

from __future__ import annotations

from starlette.responses import Response

from hf_gate.core.stored_rows import PersonRow
from hf_gate.desk.decisions.plan import forget_recent_plans
from hf_gate.desk.exports import file_response
from hf_gate.desk.http_context import HttpContext, Refused, require_all_repos, require_one_of
from hf_gate.errors import HfGateError
from hf_gate.privacy.service.erasure import check_erasable, erase, preview_erasure
from hf_gate.privacy.service.person_export import export_person, json_document, render_page
from hf_gate.workspace.service import bootstrap
from hf_gate.workspace.service.owner_files import list_owner_files
from hf_gate.workspace.service.store_maintenance import file_of_store, files_of

from .people import find_one_person

_NEEDS_ALL_REPOS = "Nothing was done: this concerns every repo, and you cannot see all of them."


def erase_page(context: HttpContext) -> Response:
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


def erase_person(context: HttpContext) -> Response:
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


def export_file(context: HttpContext) -> Response:
    """Return everything that is held about a person, as JSON or as a page to be downloaded."""
    person = _find_person(context)
    kind = require_one_of(context.query_value("as", "html"), {"json", "html"})
    path = file_of_store(_url(context))
    record = export_person(context.workspace, person, [] if path is None else files_of(path))
    name = f"{record.person.person}.{kind}"
    if kind == "json":
        return file_response([json_document(record)], "application/json", name)
    return file_response((part.encode() for part in render_page(record)), "text/html; charset=utf-8", name)


def _find_person(context: HttpContext) -> PersonRow:
    require_all_repos(context, _NEEDS_ALL_REPOS)
    return find_one_person(context)


def _url(context: HttpContext) -> str:
    return bootstrap.store_url(context.workspace.settings, context.workspace.location)
