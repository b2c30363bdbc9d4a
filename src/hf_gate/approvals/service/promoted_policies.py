"""Stores which version of each policy was promoted last. A version that asks for fewer people takes two promoters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from hf_gate.core.events.events import canonical_json
from hf_gate.core.parsing.literals import globs_overlap, matches_any
from hf_gate.core.people.approvals import PromotedPolicy
from hf_gate.core.policy_model import Action, Policy
from hf_gate.errors import NotAllowed
from hf_gate.policies.parsing.policy_digest import canonical_rule
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.rows.policy_authors import read_promoted_policies, write_promoted_policies

from .approvals import ApprovalBook


def record_promotion(workspace: Workspace, write: Writer, policy: Policy, account: str | None) -> str:
    """Store that a version of a policy was promoted; return why a second member must promote it, too, or "".

    Raises NotAllowed if two members must promote it, and the account belongs to none.
    """
    promoted = read_promoted_policies(write)
    last = promoted.get(policy.name, PromotedPolicy())
    version = describe_version(policy)
    lack = ""
    if _takes_two(policy, version, promoted):
        book = ApprovalBook(workspace, write)
        globs = (*last.repos, *policy.applies_to)
        ables = [book.able_accounts(row.repo) for row in workspace.store.repos() if matches_any(globs, row.repo)]
        able = [
            one
            for one in dict.fromkeys([*(last.promoters if last.next == policy.digest else ()), account])
            if one is not None and ables and all(accounts is not None and one in accounts for accounts in ables)
        ]
        if account not in able:
            raise NotAllowed(
                f"this version of policy {policy.name} lets one person accept where two must, and you are no member "
                "who may decide at all its repos; nothing was done.",
                hint="Two members who may decide there must promote it after a sync; add one: hf-gate members add NAME",
            )
        if len(book.standing.select_people(able)) < 2:
            another = f"another member must run `hf-gate policy promote {policy.name}`, too"
            lack = book.standing.explain(able[-1], able[:-1]) or another
            version = replace(last, next=policy.digest, promoters=tuple(able))
    write_promoted_policies(write, {**promoted, policy.name: version})
    return lack


def describe_version(policy: Policy) -> PromotedPolicy:
    """Return what is stored of a version of a policy when it is promoted."""
    return PromotedPolicy(
        digest=policy.digest,
        repos=tuple(sorted(policy.applies_to)),
        is_double=policy.has_two_person_rule,
        single=tuple(sorted({hashlib.sha256(canonical_json(way)).hexdigest() for way in _iterate_single(policy)})),
    )


def _takes_two(policy: Policy, version: PromotedPolicy, promoted: Mapping[str, PromotedPolicy]) -> bool:
    """Tell whether a version of a policy can let one person accept where the promoted policies ask for two."""
    last = promoted.get(policy.name, PromotedPolicy())
    if last.digest == policy.digest:
        return False
    if last.is_double:
        return last.asks_more_than(version)
    doubles = [glob for one in promoted.values() if one.is_double for glob in one.repos]
    return any(globs_overlap(glob, mine) for glob in doubles for mine in policy.applies_to)


def _iterate_single(policy: Policy) -> Iterator[object]:
    """Return the ways in which one person is enough: an accept rule for one person, with the rules before it.

    Or no rule holds, and another policy decides: then every changed rule makes another way.
    """
    names = [dict(policy.let), dict(policy.roles)]
    rules = [
        [canonical_rule(rule).get(key) for key in ("then", "when", "unless", "reviewers")] for rule in policy.rules
    ]
    for n, rule in enumerate(policy.rules, 1):
        if rule.then is Action.ACCEPT and rule.reviewers == 1:
            yield [names, rules[:n]]
    if all(rule.when is not None or rule.unless is not None for rule in policy.rules):
        yield [names, rules, sorted(policy.judges)]
