"""Settings: who may come in with which role, who is in, and what this desk works with."""

from __future__ import annotations

import secrets

from starlette.responses import Response

from .. import wiring
from ..domain.members import MEANING, ROLES, Role
from ..domain.moments import ms
from . import words
from .terminal import invited
from .visit import Refused, Visit


def page(visit: Visit, link: str | None = None, for_whom: str | None = None) -> Response:
    """What a member may see of the others; links are shown once, when they are made."""
    is_admin = visit.member.role is Role.ADMIN
    clock = wiring.now()
    return visit.page(
        "settings.html",
        title="Settings",
        members=visit.office.members.all() if is_admin else [],
        sessions=[
            (name, words.age(words.moment(since), clock), words.age(words.moment(seen), clock))
            for name, since, seen in (visit.office.members.sessions(ms(clock)) if is_admin else [])
        ],
        roles=[(role, MEANING[role]) for role in ROLES],
        link=link,
        invited=for_whom,
        is_admin=is_admin,
        headers={"cache-control": "no-store"},
    )


def invite(visit: Visit) -> Response:
    """Makes a personal link; an earlier one of the same name is not valid any more."""
    wish = {"name": visit.said("name"), "role": visit.said("role"), "repos": visit.said("repos").split()}
    member, secret = invited(wish, visit.office), secrets.token_urlsafe(32)
    visit.office.members.invite(member, secret)
    return page(visit, link=secret, for_whom=member.name)


def revoke(visit: Visit) -> Response:
    """Takes somebody's link away and ends their sessions."""
    name = visit.said("name")
    member = visit.office.members.named(name)
    if member is None:
        raise Refused("There is no such member.")
    visit.office.members.invite(member, None)
    return visit.back("/settings")
