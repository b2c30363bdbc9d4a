"""Tells people on hold apart by what they lack, such as an agreement: the table that the deciding
wait rule looks up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hf_gate.base.ids import parse_repo
from hf_gate.core.lifecycle import Status
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.policy_model import Action, Policy, Rule
from hf_gate.core.stored_rows import QueueCount
from hf_gate.policies.expressions.expression_parser import read_names
from hf_gate.policies.facts.fact_table import tables_of
from hf_gate.policies.parsing.policy_digest import lets_in

_AGREEMENT: Final = re.compile(r"agreement|dua|contract")


def count_holds(cells: Iterable[QueueCount], policies: Sequence[Policy]) -> dict[str, Counter[str]]:
    """Return by repo how many pending requests are on hold for what: `an agreement`, `a row in NAME`,
    `rule ID`.
    """
    holds: dict[str, Counter[str]] = {}
    for cell in cells:
        if cell.status == Status.PENDING and cell.action == Action.WAIT and cell.rule is not None:
            holds.setdefault(cell.repo, Counter())[_describe_need(cell, policies)] += cell.n
    return holds


def format_holds(needs: Mapping[str, int]) -> str:
    """Return how many are on hold for what: `4 for an agreement, 1 for a row in class`; empty if nobody is."""
    return ", ".join(
        f"{count:,} for {need}" for need, count in sorted(needs.items(), key=lambda one: (-one[1], one[0]))
    )


def _describe_need(cell: QueueCount, policies: Sequence[Policy]) -> str:
    repo = parse_repo(cell.repo)
    needs: set[str] = set()
    for policy in policies:
        if matches_any(policy.applies_to, repo):
            for rule in policy.rules:
                if rule.id == cell.rule:
                    needs |= _needs_of(policy, rule)
    return needs.pop() if len(needs) == 1 else f"rule {cell.rule}"


def _needs_of(policy: Policy, rule: Rule) -> set[str]:
    """Return the rows of tables that a rule reads if it waits."""
    if rule.then is not Action.WAIT:
        return set()
    texts = [text for text in (rule.when, rule.unless) if text]
    texts += [policy.let[name] for name in lets_in(texts, policy.let)]
    names = [name for text in texts for name in read_names(text)]
    return {"an agreement" if _AGREEMENT.search(name) else f"a row in {name}" for name in tables_of(names)}
