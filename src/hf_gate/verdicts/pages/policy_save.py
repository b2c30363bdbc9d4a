"""Saves a draft as the file of a policy, where the owner of the desk allowed it."""

from __future__ import annotations

from typing import Final

from starlette.responses import RedirectResponse

from hf_gate.base.private_files import read_regular_file
from hf_gate.base.timestamps import to_ms
from hf_gate.core.people.members import MemberRole, RunAuthor
from hf_gate.core.policy_model import Policy
from hf_gate.errors import HfGateError
from hf_gate.policies.checks.policy_checker import check_unique_names
from hf_gate.policies.drivers.workspace_folder import WorkspaceFolder
from hf_gate.verdicts.drivers.policy_files import digest_of_file
from hf_gate.verdicts.service.evaluation import fill_templates
from hf_gate.verdicts.service.policy_saves import PolicyHold, PolicySave, read_active_holds, save_policy
from hf_gate.verdicts.service.policy_watcher import require_common_files
from hf_gate.web.http_context import HttpContext, Refused

from .draft_trial import check_files
from .drafts import PolicyText, list_policy_texts, visible_tables

_SHOWN: Final = 16  # characters of a digest in an address


def can_save(context: HttpContext, folder: WorkspaceFolder) -> bool:
    """Whether the member may save policies: an admin of all repos, where the owner allowed it."""
    is_admin = context.member.role.covers(MemberRole.ADMIN) and context.member.repos is None
    return is_admin and folder.config.may_write_policies


def check_may_save(context: HttpContext, folder: WorkspaceFolder) -> None:
    """Raise Refused if the member may not save policies."""
    if can_save(context, folder):
        require_common_files(context.workspace, context.app_state.policies.current)
        return
    if not folder.config.may_write_policies:
        hint = "The owner allows it in hf-gate.yaml: desk: {may_write_policies: true}"
        raise Refused("This desk may not write policies.", hint=hint)
    raise Refused("Only an admin of all repos may save a policy.", hint="Download the draft instead.", status=403)


def read_base(folder: WorkspaceFolder, text: PolicyText) -> str:
    """Return the digest of a file if it holds exactly this text; empty if not, or if it is not UTF-8."""
    try:
        content = read_regular_file(folder.path / text.file)
        is_same = content.decode("utf-8-sig") == text.source.text
    except (OSError, ValueError):
        return ""
    return digest_of_file(content) if is_same else ""


def find_hold(context: HttpContext, policy: Policy | None) -> PolicyHold | None:
    """Return the hold of a policy that was saved from the desk and not promoted since."""
    holds = () if policy is None else read_active_holds(context.workspace.store, [policy])
    return next(iter(holds), None)


def save_text(
    context: HttpContext, folder: WorkspaceFolder, known: PolicyText, text: PolicyText
) -> RedirectResponse | str:
    """Save a checked draft; return the way to the policy's page, or why nothing was saved."""
    policy = None if text.errors else text.checked.policy
    if policy is None:
        return "Nothing was saved. Fix the errors first."
    if text.needed_yes and context.form_value("yes") != text.needed_yes:
        return "Nothing was saved yet. Tick Yes beside Save first."
    others = [one.checked for one in list_policy_texts(context, folder) if one.file != known.file]
    clashes = check_unique_names([*others, text.checked])
    if clashes:
        return f"Nothing was saved. {clashes[0].message}"
    try:
        check_files(visible_tables(context, folder), policy)
        new = fill_templates(policy, folder.config.templates)
        me = context.member
        save = PolicySave(known.file, context.form_value("base"), text.source.text, new)
        written = save_policy(
            context.workspace, save, me.name, to_ms(context.now), RunAuthor(member=me.id, account=me.user_id)
        )
    except HfGateError as problem:
        words = f"{problem} {problem.hint or ''}".strip()
        return words[:1].upper() + words[1:]
    context.app_state.policies.expire()
    return RedirectResponse(f"/policies/{policy.name}?saved={written[:_SHOWN]}", 303)
