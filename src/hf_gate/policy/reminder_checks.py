"""Warns about waiting rules whose reminder cannot be sent: a person would decide about everybody on hold."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Action, Policy, PolicyProblem, Rule
from .workspace_config import WorkspaceConfig


def check_reminders(policy: Policy, config: WorkspaceConfig | None) -> Iterator[PolicyProblem]:
    """Yield warnings if reminders are on. A rule with `after: human` ends with a person anyway."""
    letters = None if config is None else config.letters
    if letters is None or not letters.has_reminders:
        return
    for rule in policy.rules:
        if rule.then is not Action.WAIT or rule.after in (None, Action.HUMAN):
            continue
        lead = f"rule {rule.id}: reminders are on, but `letters` has no"
        if rule.id not in letters.needs:
            words = f"{lead} `needs` for this rule. Nobody is reminded, and a person decides after `at_most`."
            yield _warning(policy, rule, "no_reminder_text", words, f"Add `needs: {{{rule.id}: Send ... to ...}}`.")
        elif letters.mail is None:
            words = f"{lead} `smtp`. Only reminders that you mark as sent count; else a person decides after `at_most`."
            hint = "Add `smtp` to `letters`, or see hf-gate letters mark-sent --help."
            yield _warning(policy, rule, "no_reminder_server", words, hint)


def _warning(policy: Policy, rule: Rule, code: str, words: str, hint: str) -> PolicyProblem:
    position = rule.key_positions.get("after", rule.position)
    return PolicyProblem(code, words, policy.source, position, is_error=False, hint=hint)
