"""The first steps of a new desk, shown while its queue was never read: token, repos, first sync, a first policy."""

from __future__ import annotations

from msgspec import Struct

from hf_gate.base.display_text import pluralize
from hf_gate.errors import NO_TOKEN_HINT
from hf_gate.hub.credentials import name_token_source
from hf_gate.workspace.service import bootstrap

from .http_context import HttpContext


class FirstStep(Struct, frozen=True):
    """One step. `command` does it in a terminal; `href` is the page where it is shown."""

    title: str
    is_done: bool
    text: str
    command: str
    href: str | None = None


def list_first_steps(context: HttpContext) -> list[FirstStep]:
    """Return the steps with their state, without a call of the Hub."""
    return [check(context) for check in (_check_token, _check_repos, _check_sync, _check_policy)]


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
    location = context.app_state.workspace.location
    if location.folder is None:
        text = "There is no workspace. You can read and decide, but without policies and end dates of access."
        return FirstStep("Repos", False, text, "hf-gate init")
    globs = len(location.config.repos)
    text = f"hf-gate.yaml names {pluralize(globs, 'repo or pattern', 'repos or patterns')}."
    return FirstStep("Repos", bool(globs), text, "hf-gate init", "/repos")


def _check_sync(context: HttpContext) -> FirstStep:
    app_state = context.app_state
    rows = app_state.membership.repos(context.member)
    whole = sum(row.full_at is not None for row in rows)
    people = sum(sum(row.counts.values()) for row in rows)
    text = f"{whole:,} of {pluralize(len(rows), 'repo is', 'repos are')} fully synced: {people:,} requests."
    if app_state.sync_status.problem:
        text = f"The sync failed: {app_state.sync_status.problem} The desk tries again automatically."
    elif not rows:
        text = "The desk is reading the request lists of each repo. This page shows the progress."
    return FirstStep("First sync", bool(rows) and whole == len(rows), text, "hf-gate sync")


def _check_policy(context: HttpContext) -> FirstStep:
    policies = context.app_state.policies
    count = 0 if policies.current is None else len(policies.current.policies)
    text = "Next to each request it shows its verdict; it changes nothing (mode: shadow)."
    if problem := policies.problem_for(context.member):
        text = f"A file of the workspace has an error: {problem}"
    elif count:
        text = f"{pluralize(count, 'policy', 'policies')}."
    return FirstStep("A first policy", bool(count) and not problem, text, "hf-gate policy check", "/policies")
