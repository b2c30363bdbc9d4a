"""The routes of the desk that need a session, each with its page handler and the lowest role that may use it."""

from __future__ import annotations

from typing import Final, NamedTuple

from hf_gate.core.people.members import MemberRole
from hf_gate.desk import unattended_work as unattended

from . import help_page
from .decisions import approvals, bulk, find_list, plan, plans, run, tray
from .grants import access_end, tables
from .http_context import PageHandler
from .members import settings_page
from .messages import letters, reason_texts
from .people import people
from .people import person_data as privacy
from .policies import policies
from .reports import access, audit, audit_entries, overview
from .requests import queue, repos, request, selection

_VIEWER = MemberRole.VIEWER
_REVIEWER = MemberRole.REVIEWER
_ADMIN = MemberRole.ADMIN


class Route(NamedTuple):
    """A method and path with its handler and the lowest role that may use it."""

    method: str
    path: str
    role: MemberRole
    handler: PageHandler


ROUTES: Final = (
    Route("GET", "/", _VIEWER, queue.home),
    Route("GET", "/overview", _VIEWER, overview.page),
    Route("GET", "/queue", _VIEWER, queue.page),
    Route("GET", "/queue.{kind}", _VIEWER, queue.export),
    Route("GET", "/requests/{id}", _VIEWER, request.page),
    Route("GET", "/requests/{id}/why", _VIEWER, request.explanation_part),
    Route("GET", "/requests/{id}/{verb}", _REVIEWER, request.sheet_part),
    Route("POST", "/requests/{id}/preview", _REVIEWER, reason_texts.reason_preview_part),
    Route("POST", "/requests/{id}/note", _REVIEWER, request.add_note),
    Route("POST", "/requests/{id}/approval/withdraw", _REVIEWER, approvals.withdraw),
    Route("POST", "/requests/{id}/approval/acknowledge", _ADMIN, approvals.acknowledge),
    Route("POST", "/requests/{id}/end", _REVIEWER, access_end.change_end),
    Route("GET", "/tray", _VIEWER, tray.page),
    Route("POST", "/tray", _REVIEWER, tray.decide_requests),
    Route("POST", "/tray/undo", _REVIEWER, tray.undo),
    Route("POST", "/tray/hold", _REVIEWER, tray.hold),
    Route("POST", "/tray/send", _REVIEWER, tray.send),
    Route("POST", "/tray/seen", _REVIEWER, tray.dismiss_outcomes),
    Route("GET", "/selection", _REVIEWER, selection.page),
    Route("POST", "/selection", _REVIEWER, bulk.select),
    Route("POST", "/bulk", _REVIEWER, bulk.begin),
    Route("GET", "/bulk/{id}.{kind}", _REVIEWER, bulk.export),
    Route("GET", "/bulk/{id}", _REVIEWER, bulk.page),
    Route("POST", "/bulk/{id}", _REVIEWER, bulk.confirm),
    Route("POST", "/bulk/{id}/preview", _REVIEWER, bulk.bulk_preview_part),
    Route("GET", "/find-list", _REVIEWER, find_list.page),
    Route("POST", "/find-list", _REVIEWER, find_list.find),
    Route("GET", "/plans", _VIEWER, plans.page),
    Route("GET", "/plans.{kind}", _VIEWER, plans.export),
    Route("POST", "/plans", _ADMIN, plans.start_plan),
    Route("GET", "/plans/{digest}.{kind}", _VIEWER, plan.export),
    Route("GET", "/plans/{digest}", _VIEWER, plan.page),
    Route("POST", "/plans/{digest}", _REVIEWER, plan.handle_plan_action),
    Route("GET", "/runs/{id}.{kind}", _VIEWER, run.export),
    Route("GET", "/runs/{id}", _VIEWER, run.page),
    Route("GET", "/runs/{id}/live", _VIEWER, run.live),
    Route("POST", "/runs/{id}", _REVIEWER, run.handle_run_action),
    Route("GET", "/repos", _VIEWER, repos.page),
    Route("GET", "/repos.{kind}", _VIEWER, repos.export),
    Route("GET", "/repos/{type}/{ns}/{name}", _VIEWER, repos.repo_page),
    Route("POST", "/repos/{type}/{ns}/{name}/sync", _REVIEWER, repos.sync_now),
    Route("GET", "/access", _VIEWER, access.page),
    Route("GET", "/access.{kind}", _VIEWER, access.export),
    Route("GET", "/people", _VIEWER, people.page),
    Route("GET", "/people.{kind}", _VIEWER, people.export),
    Route("GET", "/people/{id}/erase", _ADMIN, privacy.erase_page),
    Route("POST", "/people/{id}/erase", _ADMIN, privacy.erase_person),
    Route("GET", "/people/{id}/export", _ADMIN, privacy.export_file),
    Route("GET", "/people/{id}", _VIEWER, people.person_page),
    Route("POST", "/people/{id}", _REVIEWER, people.decide_person),
    Route("GET", "/policies", _VIEWER, policies.page),
    Route("GET", "/policies.{kind}", _VIEWER, policies.export),
    Route("GET", "/policies/{name}", _VIEWER, policies.policy_page),
    Route("GET", "/tables", _VIEWER, tables.page),
    Route("GET", "/tables.{kind}", _VIEWER, tables.export),
    Route("GET", "/tables/{name}.{kind}", _VIEWER, tables.export_rows),
    Route("GET", "/tables/{name}", _VIEWER, tables.table_page),
    Route("POST", "/tables/{name}/import", _ADMIN, tables.import_rows),
    Route("GET", "/audit", _VIEWER, audit.page),
    Route("GET", "/audit.{kind}", _VIEWER, audit.export),
    Route("GET", "/audit/export", _REVIEWER, audit.download_ledger),
    Route("POST", "/audit/verify", _VIEWER, audit.prove_ledger),
    Route("POST", "/audit/checkpoint", _REVIEWER, audit.make_checkpoint),
    Route("GET", "/audit/desk/{seq}", _VIEWER, audit_entries.entry_page),
    Route("GET", "/audit/{type}/{ns}/{name}/{seq}", _VIEWER, audit_entries.entry_page),
    Route("GET", "/keys", _VIEWER, help_page.page),
    Route("GET", "/settings", _VIEWER, settings_page.page),
    Route("POST", "/settings/sessions/end", _VIEWER, settings_page.end_session),
    Route("POST", "/unattended/stop", _REVIEWER, unattended.stop),
    Route("POST", "/unattended/start", _ADMIN, unattended.start),
    Route("POST", "/notices/retry", _ADMIN, settings_page.retry),
    Route("GET", "/letters", _ADMIN, letters.page),
    Route("POST", "/settings/members", _ADMIN, settings_page.add_member),
    Route("POST", "/settings/members/confirm", _ADMIN, settings_page.confirm_member),
    Route("POST", "/settings/members/remove", _ADMIN, settings_page.remove_member),
)
"""All routes that need a session. The others are in `app.DeskApp.open_routes`."""
