"""Warns about waiting rules and the texts in `needs`: reminders that cannot be sent, and texts that no rule uses."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from hf_gate.core.parsing.strict_yaml import suggest
from hf_gate.core.policy_model import Action, Policy, PolicyProblem, Rule
from hf_gate.settings.workspace_config import WorkspaceConfig


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
            words = (
                f"{lead} `smtp`. Only reminders that you mark as sent count; otherwise, a person decides after "
                "`at_most`."
            )
            hint = "Add `smtp` to `letters`, or see hf-gate messages mark-sent --help."
            yield _warning(policy, rule, "no_reminder_server", words, hint)


def check_needs(config: WorkspaceConfig, policies: Collection[Policy]) -> Iterator[PolicyProblem]:
    """Yield a warning for each text of `needs` whose rule is in none of the policies of the workspace, or does not
    wait.
    """
    rules = [rule for policy in policies for rule in policy.rules]
    waiting = {rule.id for rule in rules if rule.then is Action.WAIT}
    for name in config.letters.needs:
        if name in waiting:
            continue
        is_known = any(rule.id == name for rule in rules)
        what = f"the rule `{name}` does not have `then: wait`" if is_known else f"no policy has a rule `{name}`"
        near = None if is_known else suggest(name, sorted(waiting))
        hint = f"Did you mean `{near}`?" if near else "Remove it, or write the id of a rule with `then: wait`."
        yield PolicyProblem(
            "unknown_rule",
            f"letters: {what}, so nobody gets this text of `needs`.",
            config.source,
            config.need_positions[name],
            is_error=False,
            hint=hint,
            fix=near,
            length=len(name),
        )


def _warning(policy: Policy, rule: Rule, code: str, words: str, hint: str) -> PolicyProblem:
    position = rule.key_positions.get("after", rule.position)
    return PolicyProblem(code, words, policy.source, position, is_error=False, hint=hint)
