"""The five first steps of a new desk: token, repos, first sync, a first policy, a second reviewer."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from hf_gate.base.display_text import pluralize
from hf_gate.core.people.members import MemberRole
from hf_gate.core.policy_model import PolicyMode
from hf_gate.errors import NO_TOKEN_HINT, HfGateError
from hf_gate.hub.credentials import name_token_source
from hf_gate.web.http_context import HttpContext

from .service import bootstrap


class FirstStep(Struct, frozen=True):
    """One step. `command` does it in a terminal; `href` is the page where it is done or shown."""

    title: str
    is_done: bool
    text: str
    command: str
    href: str | None = None
    link: str = ""
    done: int | None = None  # out of `of`
    of: int = 0
    is_current: bool = False  # the first that is not done

    @property
    def state(self) -> Literal["ok", "now", "later"]:
        return "ok" if self.is_done else "now" if self.is_current else "later"

    @property
    def mark(self) -> str:
        return {"ok": "✓", "now": "▸", "later": "○"}[self.state]


def page(context: HttpContext) -> Response:
    """Show the page of the first steps."""
    heading, steps = list_first_steps(context)
    return context.render("first-steps.html", title="First steps", heading=heading, steps=steps)


def list_first_steps(context: HttpContext) -> tuple[str, list[FirstStep]]:
    """Return how many steps are done, in words, and the steps with their state, without a call of the Hub."""
    steps = [check(context) for check in (_check_token, _check_repos, _check_sync, _check_policy, _check_members)]
    current = next((step for step in steps if not step.is_done), None)
    words = ("none is", "one is", "two are", "three are", "four are", "all are")
    heading = f"Five steps, {words[sum(step.is_done for step in steps)]} done"
    return heading, [replace(step, is_current=step is current) for step in steps]


def _check_token(context: HttpContext) -> FirstStep:
    app_state = context.app_state
    has = bootstrap.has_token(app_state.workspace.settings)
    text = (
        f"The desk acts as {app_state.owner} on {bootstrap.name_of_hub(app_state.workspace.settings)}."
        if has
        else f"No token was found. {name_token_source(NO_TOKEN_HINT, None)} Then start the desk again."
    )
    return FirstStep("Token", has, text, "hf-gate doctor")


def _check_repos(context: HttpContext) -> FirstStep:
    title = "Repos"
    app_state = context.app_state
    if app_state.workspace.location.folder is None:
        text = (
            "There is no workspace. You can read and decide, but without policies, reason templates and end dates of "
            "access."
        )
        return FirstStep(title, False, text, "hf-gate init")
    globs = len(app_state.workspace.location.config.repos)
    n = len(app_state.membership.repos(context.member))
    what = f"{pluralize(n, 'repo is', 'repos are')} known" if n else "none of them has been synced yet"
    text = f"hf-gate.yaml names {pluralize(globs, 'repo or pattern', 'repos or patterns')}; {what}."
    return FirstStep(title, bool(globs), text, "hf-gate init", "/repos", "Repos")


def _check_sync(context: HttpContext) -> FirstStep:
    app_state = context.app_state
    rows = app_state.membership.repos(context.member)
    whole = sum(row.full_at is not None for row in rows)
    people = sum(sum(row.counts.values()) for row in rows)
    named = (
        []
        if context.member.repos is not None
        else [glob for glob in app_state.workspace.location.config.repos if "*" not in glob]
    )
    of = max(len(rows), len(named))
    is_done = bool(rows) and whole == of
    if is_done:
        text = (
            f"All {len(rows):,} repos are fully synced: {people:,} requests."
            if len(rows) > 1
            else f"{people:,} requests were synced."
        )
    elif app_state.sync_status.problem:
        text = f"The sync failed: {app_state.sync_status.problem} The desk tries again automatically."
    elif rows:
        text = (
            f"{whole:,} of {pluralize(of, 'repo is', 'repos are')} fully synced, {people:,} requests so far. You "
            "can already decide them."
        )
    else:
        text = "The desk is reading the request lists of each repo. This page shows the progress."
    href = "/queue" if people else None
    done = whole if rows else None
    return FirstStep("First sync", is_done, text, "hf-gate sync", href, "Open the queue", done, of)


def _check_policy(context: HttpContext) -> FirstStep:
    title = "A first policy"
    app_state = context.app_state
    if app_state.workspace.location.folder is None:
        return FirstStep(title, False, "A policy needs a workspace, and there is none yet.", "hf-gate init")
    bundle = app_state.policies.current
    policies = () if bundle is None else bundle.policies
    problem = app_state.policies.problem_for(context.member)
    if problem is not None:
        text = f"A file of the workspace has an error: {problem}"
        return FirstStep(title, False, text, "hf-gate policy check", "/policies", "Policies")
    if not policies:
        text = "Next to each request it shows its verdict; it changes nothing (mode: shadow)."
        return FirstStep(title, False, text, "hf-gate policy new", "/policies", "Policies")
    watching = sum(policy.mode is PolicyMode.SHADOW for policy in policies)
    acting = len(policies) - watching
    said = [f"{watching:,} in shadow mode"] if watching else []
    said += [f"{acting:,} enforced"] if acting else []
    text = f"{pluralize(len(policies), 'policy', 'policies')}: {', '.join(said)}."
    return FirstStep(title, True, text, "hf-gate policy check", "/policies", "Policies")


def _check_members(context: HttpContext) -> FirstStep:
    try:
        n = sum(member.has_link for member in context.workspace.store.members())
    except HfGateError:
        n = 0
    text = f"{n:,} invited." if n else "Invite a second reviewer if you want to. One person is enough."
    href = "/settings#h-m" if context.member.role is MemberRole.ADMIN else None
    return FirstStep("A second reviewer", bool(n), text, "hf-gate ui invite NAME --role reviewer", href, "Invite")
