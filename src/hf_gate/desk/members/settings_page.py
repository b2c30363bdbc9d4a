"""The settings page: members with their roles, sessions, permissions and notices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from starlette.responses import Response

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import format_age, from_ms, to_ms
from hf_gate.core.letters.messages import MessageState
from hf_gate.core.people.members import MEANING, ROLES, Member, MemberRole
from hf_gate.core.people.standing import SINGLE_ADMIN
from hf_gate.desk.http_context import HttpContext, Refused, require_all_repos
from hf_gate.desk.unattended_work import describe_health
from hf_gate.members.rows.sessions import delete_session, list_open_sessions
from hf_gate.members.service.members import has_single_admin, read_standing
from hf_gate.members.sessions import METHOD_LABELS
from hf_gate.messages.records import DestinationRecord, MessageRecord
from hf_gate.messages.service.message_records import (
    describe_next_attempt,
    list_destinations,
    list_messages,
    retry_messages,
)
from hf_gate.workspace.service import bootstrap

PERMISSIONS: Final = (
    ("see requests, verdicts, repos, policies, plans and the audit log", MemberRole.VIEWER, "GET /queue"),
    ("read names, e-mail addresses, answers, reasons and notes", MemberRole.VIEWER, "GET /requests/{id}"),
    ("download rows as a file", MemberRole.VIEWER, "GET /people.{kind}"),
    ("accept, send back, reject and return to pending, one by one", MemberRole.REVIEWER, "POST /tray"),
    ("decide many selected requests at once", MemberRole.REVIEWER, "POST /bulk"),
    ("write notes", MemberRole.REVIEWER, "POST /requests/{id}/note"),
    ("sync now", MemberRole.REVIEWER, "POST /repos/{type}/{ns}/{name}/sync"),
    ("stop all unattended work", MemberRole.REVIEWER, "POST /unattended/stop"),
    ("start unattended work again", MemberRole.ADMIN, "POST /unattended/start"),
    ("send notices to the team again", MemberRole.ADMIN, "POST /notices/retry"),
    ("see the letters to applicants and who would get them", MemberRole.ADMIN, "GET /letters"),
    ("make a plan from the policies, and apply it", MemberRole.ADMIN, "POST /plans"),
    ("export or erase all that is held about one person", MemberRole.ADMIN, "POST /people/{id}/erase"),
    ("add and remove members, and end their sessions", MemberRole.ADMIN, "POST /settings/members"),
)
"""What members can do, the lowest role that can, and a route that needs this role; a test compares them."""

_MAX_REPOS: Final = 12  # repos shown by name


def _visible_repos(context: HttpContext) -> list[tuple[Repo, str]]:
    """Return the repos that the member can see, and what the member can do there."""
    may = "see and decide" if context.can_decide else "see"
    return [(row.repo, may) for row in context.list_visible_repos().rows]


class SessionLine(NamedTuple):
    """A row of the list of sessions."""

    id: str
    member: str
    method: str
    browser: str
    since: str
    seen: str
    is_current: bool


def _list_sessions(context: HttpContext, *, is_admin: bool) -> list[SessionLine]:
    """Return the open sessions: all of them for an admin of all repos, else the member's own."""
    clock = bootstrap.utc_now()
    found = list_open_sessions(context.workspace.store, to_ms(clock), None if is_admin else context.member.name)
    return [
        SessionLine(
            one.id,
            one.member,
            METHOD_LABELS[one.method],
            one.browser,
            format_age(from_ms(one.began_at), clock),
            format_age(from_ms(one.seen_at), clock),
            one.id == context.session,
        )
        for one in found
    ]


class MemberLine(NamedTuple):
    """A row of the list of members. `membership` is the age of a new membership, and who added the member."""

    member: Member
    membership: str
    can_confirm: bool


def _list_members(context: HttpContext) -> list[MemberLine]:
    """Return the members, and whom the person who looks can confirm."""
    standing = read_standing(context.workspace.store, context.now)
    return [
        MemberLine(one, standing.describe(one.account_id), standing.can_confirm(context.member.account_id, one))
        for one in context.workspace.store.members()
        if one.is_active
    ]


def page(context: HttpContext, added: str | None = None) -> Response:
    """Show the settings. `added` is the member who was just added or changed."""
    is_admin = context.member.is_admin_of_all
    return context.render(
        "settings.html",
        title="Settings",
        members=_list_members(context) if is_admin else [],
        single_admin=SINGLE_ADMIN if has_single_admin(context.workspace.store) else None,
        sessions=_list_sessions(context, is_admin=is_admin),
        roles=[(role, MEANING[role]) for role in ROLES],
        acts=[(text, [role.covers(least) for role in ROLES]) for text, least, _ in PERMISSIONS],
        where=_visible_repos(context),
        most=_MAX_REPOS,
        added=added,
        is_admin=is_admin,
        sign_in=context.app_state.hub_sign_in,
        health=describe_health(context),
        are_letters_on=bool(context.workspace.location.config.letters.kinds),
        notices=read_section(context) if is_admin else None,
        headers={"cache-control": "no-store"},
    )


def add_member(context: HttpContext) -> Response:
    """Make a Hub account a member, or change the role and repos of a member."""
    _require_all_repos(context)
    role = context.form_value("role")
    if role not in ROLES:
        raise Refused(f"{role[:100]!r} is not a role.", hint="Choose viewer, reviewer or admin.")
    repos = context.form_value("repos").split()
    membership = context.app_state.membership
    me = context.member
    member = membership.add(context.form_value("name"), MemberRole(role), repos, by=me.name, by_account=me.account_id)
    return page(context, added=member.name)


def end_session(context: HttpContext) -> Response:
    """End a session: a member's own one, or any for an admin of all repos."""
    may_end_all = context.member.is_admin_of_all
    whose = None if may_end_all else context.member.name
    if not delete_session(context.workspace.store, context.form_value("session")[:100], whose):
        raise Refused("There is no such session of yours.", hint="It may have ended meanwhile.", status=409)
    return context.redirect_back("/settings")


def _require_all_repos(context: HttpContext) -> None:
    """Refuse members of some repos: they could give themselves all repos."""
    require_all_repos(context, "Only an admin of all repos can add and remove members.")


def confirm_member(context: HttpContext) -> Response:
    """Confirm that a new member is a person of their own."""
    _require_all_repos(context)
    membership = context.app_state.membership
    membership.confirm(membership.find_named_member(context.form_value("name")), context.member)
    return context.redirect_back("/settings")


def remove_member(context: HttpContext) -> Response:
    """Remove a member, end their sessions and stop their runs."""
    _require_all_repos(context)
    membership = context.app_state.membership
    member = membership.find_named_member(context.form_value("name"))
    membership.remove(member, context.member.name)
    context.app_state.run_worker.stop_runs_of(member)
    return context.redirect_back("/settings")


# ---- notices ---------------------------------------------------------------------------------------------------------


_SHOWN: Final = 50


class NoticeSection(Struct, frozen=True):
    """What the settings page shows about notices: each message with its next attempt in words."""

    destinations: Sequence[DestinationRecord]
    messages: Sequence[tuple[MessageRecord, str]]

    @property
    def dead(self) -> int:
        """How many dead letters there are."""
        return sum(lane.dead for lane in self.destinations)


def read_section(context: HttpContext) -> NoticeSection:
    """Return the section for an admin of all repos."""
    messages = list_messages(context.workspace, _SHOWN, is_letter=False)
    return NoticeSection(
        list_destinations(context.workspace),
        [(message, describe_next_attempt(message, context.now, context.format_time)) for message in messages],
    )


def retry(context: HttpContext) -> Response:
    """Queue one dead letter again, or all of them."""
    require_all_repos(context, "Only an admin of all repos sends notices again.")
    ident = context.form_value("id")
    if not retry_messages(context.workspace, [ident] if ident else None):
        states = (MessageState.WAITING.value, MessageState.SENDING.value)
        raise Refused(f"There is no such dead letter. It may be {' or '.join(states)}, or its destination is off.")
    return context.redirect_back("/settings")
