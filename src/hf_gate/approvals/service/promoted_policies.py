"""Stores which version of each policy was promoted last. Where two people approve, two must promote changed rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from hf_gate.core.parsing.literals import globs_overlap, matches_any
from hf_gate.core.people.approvals import PromotedPolicy
from hf_gate.core.policy_model import Policy
from hf_gate.errors import NotAllowed
from hf_gate.policies.parsing.policy_digest import decision_digest
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.rows.policy_authors import copy_policy_authors, read_promoted_policies, write_promoted_policies

from .approvals import ApprovalBook


def record_promotion(
    workspace: Workspace, write: Writer, policies: Collection[Policy], policy: Policy, account: str | None
) -> str:
    """Store that a version of a policy was promoted; return why a second member must promote it, too, or "".

    `policies` are all policies of the files. Who promoted a version stays its author if only texts change. Raises
    NotAllowed if two members must promote it, and the account belongs to none.
    """
    promoted = read_promoted_policies(write)
    last = promoted.get(policy.name, PromotedPolicy())
    version = describe_version(policy)
    lack = ""
    if version.decides == last.decides:
        copy_policy_authors(write, last.digest, version.digest)
    elif _is_for_two(version, last, promoted):
        able = _list_promoters(workspace, write, policy, last, account)
        standing = ApprovalBook(workspace, write).standing
        if len(standing.select_people(able)) < 2:
            another = f"another member must run `hf-gate policy promote {policy.name}`, too"
            lack = standing.explain(able[-1], able[:-1]) or another
            version = replace(last, next=policy.digest, promoters=tuple(able))
    names = {one.name for one in policies}
    kept = {name: one for name, one in promoted.items() if name in names or one.is_double}
    write_promoted_policies(write, {**kept, policy.name: version})
    return lack


def describe_version(policy: Policy) -> PromotedPolicy:
    """Return what is stored of a version of a policy when it is promoted."""
    return PromotedPolicy(
        digest=policy.digest,
        repos=tuple(sorted(policy.applies_to)),
        is_double=policy.has_two_person_rule,
        decides=decision_digest(policy),
    )


def _list_promoters(
    workspace: Workspace, write: Writer, policy: Policy, last: PromotedPolicy, account: str | None
) -> list[str]:
    """Return the accounts that promoted the next version and may decide at all its repos, this one last."""
    book = ApprovalBook(workspace, write)
    globs = (*last.repos, *policy.applies_to)
    ables = [book.able_accounts(row.repo) for row in workspace.store.repos() if matches_any(globs, row.repo)]
    if not ables:
        raise NotAllowed(
            f"two members must promote this version of policy {policy.name}, and none of its repos is synced yet; "
            "nothing was done.",
            hint="Sync first: hf-gate sync",
        )
    earlier = last.promoters if last.next == policy.digest else ()
    able = [
        one
        for one in dict.fromkeys([*earlier, account])
        if one is not None and all(accounts is not None and one in accounts for accounts in ables)
    ]
    if account not in able:
        raise NotAllowed(
            f"two members who may decide at all its repos must promote this version of policy {policy.name}, and you "
            "are none of them; nothing was done.",
            hint="`hf-gate members ls` shows the members; `hf-gate members add NAME` adds one.",
        )
    return able


def _is_for_two(version: PromotedPolicy, last: PromotedPolicy, promoted: Mapping[str, PromotedPolicy]) -> bool:
    """Tell whether a version of a policy decides where two people approve under the promoted policies."""
    doubles = [glob for one in promoted.values() if one.is_double for glob in one.repos]
    globs = {*last.repos, *version.repos}
    return any(globs_overlap(double, glob) for double in doubles for glob in globs)
