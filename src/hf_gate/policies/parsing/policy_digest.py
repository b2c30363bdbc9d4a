"""Computes the canonical JSON and the digest of a policy, which ignore layout, comments, defaults and tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from hf_gate.core.people.grants import Duration
from hf_gate.core.policy_model import Action, FactEnd, Policy, PolicyMode, Rule, TableSpec, Until
from hf_gate.policies.expressions.expression_parser import normalize_expression, read_names

_TEXTS: Final = ("reason", "reason_template", "notice", "end_reason")


def policy_digest(policy: Policy) -> str:
    """Return the SHA-256 of `canonical_policy` in hex."""
    return hashlib.sha256(canonical_policy(policy).encode()).hexdigest()


def canonical_policy(policy: Policy) -> str:
    """Return the canonical JSON of everything that can change a verdict or its terms.

    The order of rules matters. The order of repos, tables, roles, `let` and `judges` does not matter, nor do spaces
    and comments in expressions.
    """
    document = {
        "policy": policy.name,
        "applies_to": sorted(policy.applies_to),
        "mode": None if policy.mode is PolicyMode.SHADOW else policy.mode.value,
        "judges": sorted(policy.judges),
        "tables": {table.name: _table_document(table) for table in policy.tables},
        "roles": dict(policy.roles),
        "let": {name: normalize_expression(source) for name, source in policy.let.items()},
        "rules": [canonical_rule(rule) for rule in policy.rules],
    }
    return json.dumps(document, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def decision_digest(policy: Policy) -> str:
    """Return the SHA-256 of what decides in a policy: of `canonical_policy` without the texts that applicants get."""
    document = json.loads(canonical_policy(policy))
    for rule in document["rules"]:
        for key in _TEXTS:
            rule.pop(key, None)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def lets_in(sources: Iterable[str], let: Mapping[str, str]) -> list[str]:
    """Return the `let` names in expressions, including those used by other `let` names."""
    found: list[str] = []
    todo = [*sources]
    while todo:
        for name in read_names(todo.pop(0)):
            if name in let and name not in found:
                found.append(name)
                todo.append(let[name])
    return found


def _table_document(table: TableSpec) -> dict[str, object]:
    return {"file": table.file, "key": list(table.key), "rows": sorted(table.rows)}


def canonical_rule(rule: Rule) -> dict[str, object]:
    """Return everything in a rule that can change a verdict or its terms, as JSON values."""
    found: dict[str, object] = {
        "id": rule.id,
        "then": rule.then.value,
        "when": None if rule.when is None else normalize_expression(rule.when),
        "unless": None if rule.unless is None else normalize_expression(rule.unless),
        "reason": rule.reason,
        "reason_template": rule.reason_template,
        "at_most": _duration_text(rule.at_most),
        "after": _action_text(rule.after),
        "until": _end_text(rule.until),
        "keep_while": None if rule.keep_while is None else normalize_expression(rule.keep_while),
        "grace": _duration_text(rule.grace),
        "notice": [_duration_text(each) for each in rule.notice] or None,
        "at_end": _action_text(rule.at_end),
        "end_reason": rule.end_reason,
        "reviewers": rule.reviewers if rule.reviewers != 1 else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _duration_text(span: Duration | None) -> str | None:
    return None if span is None else f"{span.months}mo{span.days}d"


def _end_text(until: Until | None) -> str | None:
    if isinstance(until, FactEnd):
        return until.name
    return until.isoformat() if isinstance(until, date) else _duration_text(until)


def _action_text(action: Action | None) -> str | None:
    return None if action is None else action.value
