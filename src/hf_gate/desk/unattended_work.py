"""Unattended work on every page: a banner while it is not alive, and the buttons that stop and start it."""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from hf_gate.automation.service.health import Health, list_problems, read_health
from hf_gate.automation.service.unattended import record_stop, start_unattended, stop_unattended
from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import format_span, from_ms, to_ms
from hf_gate.core.turns import HealthState
from hf_gate.errors import StoreBusy
from hf_gate.verdicts.service.policy_watcher import describe_other_files

from .http_context import HttpContext, require_all_repos, sees_all_repos


class Banner(Struct, frozen=True):
    """What is wrong with unattended work. `can_start`: the member may start it again."""

    state: str
    sentence: str
    hint: str
    can_start: bool = False


def describe_health(context: HttpContext) -> Health:
    """Return the health as a member may see it, for the settings page: only members of all repos see the problems."""
    problems = list_problems(context.workspace) if sees_all_repos(context) else ()
    health = read_health(context.workspace.store, context.now, problems)
    return replace(health, sentence=_sentence_for(context, health).replace("`", ""))


def make_banner(context: HttpContext) -> Banner | None:
    """Return the banner of a page; None while unattended work is alive, or was never started."""
    if (problem := context.app_state.token_problem) is not None:
        return Banner("failed", f"This desk can send nothing: {problem}", "Replace its token.")
    other = describe_other_files(context.workspace.store, context.app_state.policies.last_bundle)
    if other is not None:
        hint = (
            "Copy the policies and tables of one machine to the others. Each reads them again within seconds. Until "
            "then, this desk evaluates nothing and saves no policy."
        )
        return Banner("apart", other, hint)
    health = read_health(context.workspace.store, context.now)
    if health.state.is_good or health.state is HealthState.STUCK:
        return None
    is_stopped = health.state is HealthState.STOPPED
    ends = context.workspace.store.count_due(to_ms(context.now)) if is_stopped else 0
    what = pluralize(ends, "grant that is due to end stays", "grants that are due to end stay")
    due = f" {what} until unattended work starts again." if ends else ""
    can_start = is_stopped and context.member.is_admin_of_all
    has_button_only = can_start and health.stop is not None and health.stop.cause is None
    hint = "" if has_button_only else health.hint
    return Banner(health.state, f"{_sentence_for(context, health)}{due}", hint, can_start)


def _sentence_for(context: HttpContext, health: Health) -> str:
    """Return the sentence. The text of an error may name other repos, so members of some repos do not see it."""
    if sees_all_repos(context) or health.last is None or health.state is HealthState.STOPPED:
        return health.sentence
    ago = format_span(context.now - from_ms(health.last.started_at))
    return f"Last turn of `hf-gate run` {ago} ago: {'failed' if health.state is HealthState.FAILED else 'none since'}."


def stop(context: HttpContext) -> Response:
    """Stop all unattended work. Any reviewer may, because a stop loses nothing."""
    store = context.workspace.store
    if stop_unattended(store, context.member.name, to_ms(context.now)):
        with suppress(StoreBusy):  # the process that holds the store records it
            record_stop(store)
    return context.redirect_back("/settings")


def start(context: HttpContext) -> Response:
    """Let unattended work continue."""
    require_all_repos(context, "Only an admin of all repos starts unattended work.")
    start_unattended(context.workspace.store, context.member.name, to_ms(context.now))
    return context.redirect_back("/settings")
