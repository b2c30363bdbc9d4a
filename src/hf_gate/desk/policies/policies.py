"""The pages of policies: the files with their problems, the rules as sentences, and how many requests each decides."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Final
from weakref import WeakKeyDictionary

from msgspec import Struct, field
from msgspec.structs import replace
from starlette.responses import Response

from hf_gate.automation.service.holds import list_holds
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.policy_model import Policy, PolicyMode
from hf_gate.core.stored_rows import VerdictCount
from hf_gate.core.turns import HoldKind
from hf_gate.decisions.records import policy_record
from hf_gate.desk.exports import export_response
from hf_gate.desk.http_context import HttpContext, require
from hf_gate.desk.reports.audit import count_entries
from hf_gate.errors import HfGateError
from hf_gate.policies.checks.policy_checker import check_unique_names
from hf_gate.policies.words.descriptions import describe_policy
from hf_gate.policies.words.rule_phrases import describe_rule, has_constant
from hf_gate.requests.rows.queue import read_verdict_counts
from hf_gate.settings.service.workspace import Workspace
from hf_gate.verdicts.records import PolicyRecord
from hf_gate.verdicts.service.evaluation import fill_templates

from .policy_texts import (
    can_read_policy,
    list_policy_texts,
    read_workspace_folder,
    visible_policy_repos,
    visible_tables,
    visible_targets,
)

_RECOUNT_AFTER: Final = 20  # times the duration of the last count


# ---- the list --------------------------------------------------------------------------------------------------------


def page(context: HttpContext) -> Response:
    """Show the policies with mode and problems, and the tables that they use."""
    try:
        folder = read_workspace_folder(context)
    except HfGateError as problem:
        return context.render("policies.html", title="Policies", texts=[], tables=[], clashes=[], problem=problem)
    texts = list_policy_texts(context, folder)
    known = visible_tables(context, folder)
    bundle = context.app_state.policies.current
    return context.render(
        "policies.html",
        title="Policies",
        texts=texts,
        targets={text.name: visible_targets(context, text.policy) for text in texts if text.policy is not None},
        tables=[] if bundle is None else [table for name, table in sorted(bundle.tables.items()) if name in known],
        clashes=check_unique_names([text.checked for text in texts]),
        held=_count_held(context),
        problem=None,
    )


def export(context: HttpContext) -> Response:
    """Return the same rows as a file."""
    rows = [
        policy_record(
            text.file, text.name, text.checked, [] if text.policy is None else visible_targets(context, text.policy)
        )
        for text in list_policy_texts(context, read_workspace_folder(context))
    ]
    return export_response("policies", context.params["kind"], PolicyRecord, rows)


# ---- one policy ------------------------------------------------------------------------------------------------------


class PolicyCounts(Struct):
    """Stored verdicts of a policy on pending requests, by rule; in shadow mode also compared with the desk's."""

    by_rule: Counter[str] = field(default_factory=Counter)
    by_action: Counter[str] = field(default_factory=Counter)
    compared: Counter[tuple[str, str]] = field(default_factory=Counter)  # (this policy, the desk)
    total: int = 0
    outdated: int = 0  # by an earlier version of the policy

    @property
    def differing(self) -> int:
        """The number of requests where the policy and the desk decide differently."""
        return sum(n for (ours, desk), n in self.compared.items() if ours != desk)


class RuleLine(Struct, frozen=True):
    """A rule as a sentence. It is empty if the rule quotes a text that the member must not see."""

    rule: str
    sentence: str


def policy_page(context: HttpContext) -> Response:
    """Show the rules of one policy file as sentences, its problems, and what applying it now would do."""
    folder = read_workspace_folder(context)
    text = require(
        next((one for one in list_policy_texts(context, folder) if one.name == context.params["name"]), None)
    )
    # with its reason templates filled in, a policy has the digest that verdicts name
    policy = None if text.policy is None else fill_templates(text.policy, folder.config.templates)
    hides_text = text.policy is not None and not can_read_policy(context, text.policy)
    return context.render(
        "policy.html",
        title=f"Policy {text.name}",
        text=text,
        policy=policy,
        rules=[] if policy is None else list(_list_rules(policy, hides_text=hides_text)),
        repos=[] if policy is None else visible_policy_repos(context, policy),
        counts=PolicyCounts() if policy is None else count_verdicts(context, policy),
        hides_text=hides_text,
        is_shadow=policy is not None and policy.mode is PolicyMode.SHADOW,
        held=_count_held(context).get(text.name, 0),
    )


def _count_held(context: HttpContext) -> dict[str, int]:
    """Return how many changes of each policy wait for its promotion."""
    return {
        hold.subject: hold.count or 0
        for hold in list_holds(context.workspace.store, to_ms(context.workspace.now()))
        if hold.kind is HoldKind.HELD_POLICY
    }


def _list_rules(policy: Policy, *, hides_text: bool) -> Iterator[RuleLine]:
    """Yield the rules with their terms and reasons; without those if the text is hidden."""
    for number, (rule, sentence) in enumerate(zip(policy.rules, describe_policy(policy)[1:], strict=True)):
        if hides_text:
            short = describe_rule(replace(rule, says=None), policy.let, is_first=number == 0)
            yield RuleLine(rule.id, "" if has_constant(short) else short)
        else:
            yield RuleLine(rule.id, sentence)


def count_verdicts(context: HttpContext, policy: Policy) -> PolicyCounts:
    """Count the stored verdicts of a policy on pending requests at visible repos."""
    counts = PolicyCounts()
    mine = set(visible_policy_repos(context, policy))
    for count in _read_verdict_counts(context.workspace):
        if count.repo not in mine:
            continue
        if count.policy == policy.name:
            counts.by_rule[count.rule] += count.n
            counts.by_action[count.action] += count.n
            counts.total += count.n
            counts.outdated += count.n if count.digest != policy.digest else 0
        for name, rule, action in count.shadow:
            if name == policy.name:
                counts.by_rule[rule] += count.n
                counts.by_action[action] += count.n
                counts.compared[action, count.action] += count.n
                counts.total += count.n
    return counts


class _CachedCounts(Struct, frozen=True):
    """Cached counts for a number of ledger entries; a slow count is not repeated soon."""

    entries: int
    made_at: float
    took: float
    tallies: list[VerdictCount]


_cached_counts: WeakKeyDictionary[Workspace, _CachedCounts] = WeakKeyDictionary()


def _read_verdict_counts(workspace: Workspace) -> list[VerdictCount]:
    known = _cached_counts.get(workspace)
    entries = count_entries(workspace)
    begun = time.monotonic()
    if known is None or (known.entries != entries and begun - known.made_at > _RECOUNT_AFTER * known.took):
        tallies = read_verdict_counts(workspace.store, Status.PENDING.value)
        known = _cached_counts[workspace] = _CachedCounts(entries, begun, time.monotonic() - begun, tallies)
    return known.tallies
