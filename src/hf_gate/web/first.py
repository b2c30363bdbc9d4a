"""The first steps of a desk: whose token, which repos, the first reading, a policy that only watches, somebody beside you."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from starlette.responses import Response

from .. import bootstrap
from ..domain.members import Role
from ..errors import NO_TOKEN_HINT, HfGateError
from ..policy.model import PolicyMode
from .visit import Visit


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `command` is the same in a terminal; `href` leads to the page where it is done or seen."""

    title: str
    state: Literal["ok", "now", "later"]
    text: str
    command: str
    href: str | None = None
    link: str = ""
    done: int | None = None  # of `of`
    of: int = 0

    @property
    def mark(self) -> str:
        return {"ok": "✓", "now": "▸", "later": "○"}[self.state]


@dataclass(frozen=True, slots=True)
class Steps:
    """All five, of which the first that is not done is the one to do now."""

    steps: Sequence[Step]

    @property
    def done(self) -> int:
        return sum(step.state == "ok" for step in self.steps)

    @property
    def title(self) -> str:
        words = ("none is", "one is", "two are", "three are", "four are", "all are")
        return f"Five steps, {words[self.done]} done"


def page(visit: Visit) -> Response:
    """On a page of its own, also later."""
    return visit.page("first-steps.html", title="First steps", first=steps_of(visit))


def steps_of(visit: Visit) -> Steps:
    """As they stand at this moment; asks the Hub nothing that is not remembered."""
    found: list[Step] = []
    for title, look in _all(visit):
        is_first = not look.is_done and all(one.state == "ok" for one in found)
        state: Literal["ok", "now", "later"] = "ok" if look.is_done else "now" if is_first else "later"
        found.append(Step(title, state, *look[1:]))
    return Steps(found)


class _Look(NamedTuple):
    """Whether a step is done, and what there is to say of it: the rest of a `Step`."""

    is_done: bool
    text: str
    command: str
    href: str | None = None
    link: str = ""
    done: int | None = None
    of: int = 0


def _all(visit: Visit) -> Iterator[tuple[str, _Look]]:
    yield "Token", _token(visit)
    yield "Repos", _repos(visit)
    yield "First reading", _reading(visit)
    yield "A policy, which first only watches", _policy(visit)
    yield "Somebody beside you", _others(visit)


def _token(visit: Visit) -> _Look:
    office = visit.office
    has = bootstrap.has_token(office.settings)
    text = (
        f"The desk acts as {office.owner} on {bootstrap.hub_name(office.settings)}."
        if has
        else f"No token was found. {NO_TOKEN_HINT} Then start the desk again."
    )
    return _Look(has, text, "hf-gate doctor")


def _repos(visit: Visit) -> _Look:
    office = visit.office
    if office.location.folder is None:
        text = "There is no workspace here: you can read and decide, without policies, texts of reasons and ends of access."
        return _Look(False, text, "hf-gate init")
    globs, n = len(office.location.config.repos), len(office.repos(visit.member))
    what = f"{n:,} {'repo is' if n == 1 else 'repos are'} known" if n else "none of them was read yet"
    text = f"hf-gate.yaml names {globs:,} {'repo or pattern' if globs == 1 else 'repos or patterns'}; {what}."
    return _Look(bool(globs), text, "hf-gate init", "/repos", "Repos")


def _reading(visit: Visit) -> _Look:
    office = visit.office
    rows = office.repos(visit.member)
    whole, people = sum(row.full_at is not None for row in rows), sum(sum(row.counts.values()) for row in rows)
    named = [] if visit.member.repos is not None else [glob for glob in office.location.config.repos if "*" not in glob]
    of = max(len(rows), len(named))
    is_done = bool(rows) and whole == of
    if is_done:
        text = (
            f"All {len(rows):,} repos were read whole: {people:,} requests."
            if len(rows) > 1
            else f"{people:,} requests were read."
        )
    elif office.pulse.problem:
        text = f"The Hub could not be read: {office.pulse.problem} It is tried again by itself."
    elif rows:
        text = f"{whole:,} of {of:,} {'repo is' if of == 1 else 'repos are'} read whole, {people:,} requests so far. What was read can be decided already."
    else:
        text = "The Hub is asked for the lists of each repo. This page shows how far it is."
    href, done = "/queue" if people else None, whole if rows else None
    return _Look(is_done, text, "hf-gate sync", href, "Open the queue", done, of)


def _policy(visit: Visit) -> _Look:
    office = visit.office
    if office.location.folder is None:
        return _Look(False, "A policy needs a workspace, and there is none yet.", "hf-gate init")
    bundle = office.policies
    policies = () if bundle is None else bundle.policies
    if office.policy_problem is not None:
        text = f"A file of the desk has a fault: {office.policy_problem}"
        return _Look(False, text, "hf-gate policy check", "/policies", "Policies")
    if not policies:
        text = "It says what it would do beside each request, and does nothing (mode: shadow)."
        return _Look(False, text, "hf-gate policy new", "/policies", "Policies")
    watching = sum(policy.mode is PolicyMode.SHADOW for policy in policies)
    acting = len(policies) - watching
    said = [f"{watching:,} only {'watches' if watching == 1 else 'watch'}"] if watching else []
    said += [f"{acting:,} {'is' if acting == 1 else 'are'} in force"] if acting else []
    text = f"{len(policies):,} {'policy' if len(policies) == 1 else 'policies'}: {', '.join(said)}."
    return _Look(True, text, "hf-gate policy check", "/policies", "Policies")


def _others(visit: Visit) -> _Look:
    try:
        n = sum(member.has_link for member in visit.office.members.all())
    except HfGateError:
        n = 0
    text = f"{n:,} invited." if n else "A second reviewer, if you like. One person is fine."
    href = "/settings#h-m" if visit.member.role is Role.ADMIN else None
    return _Look(bool(n), text, "hf-gate ui invite NAME --role reviewer", href, "Invite")
