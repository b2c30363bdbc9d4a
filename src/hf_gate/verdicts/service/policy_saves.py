"""Saves a policy from the desk, and holds what it changes until that version is promoted in the terminal.

A saved version must not act because somebody could sign in to the desk. So a save first stores a hold and an audit
entry, then replaces the file. Turns of `run` make no change by a policy at a held repo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from hf_gate.base.decoding import decode_json
from hf_gate.base.ids import Repo
from hf_gate.core.events import events as e
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.people.approvals import PolicyAuthor
from hf_gate.core.people.members import NO_AUTHOR, RunAuthor
from hf_gate.core.policy_model import Policy, PolicyMode
from hf_gate.errors import Guarded, HfGateError, UsageError
from hf_gate.policies.drivers.workspace_folder import WorkspaceFolder, collect_table_specs, read_folder
from hf_gate.policies.parsing.policy_parser import parse_policy
from hf_gate.settings.service.workspace import Workspace
from hf_gate.settings.setting_keys import SAVED_POLICIES
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.drivers.policy_files import replace_file
from hf_gate.verdicts.rows.policy_authors import read_two_person_policies, write_policy_author

from .evaluation import fill_templates, labels_of_roles

MAX_SAVED: Final = 2 << 20  # bytes of a policy that is saved
_ALL_REPOS: Final = ("*/*", "datasets/*/*")


class PolicyHold(msgspec.Struct, frozen=True):
    """A policy that was saved from the desk and not promoted since.

    `before` is the digest of the last version that was not saved from the desk; empty if there was no valid one.
    `globs` are the repos of all versions since then. `was_shadow`: all versions before this one were in shadow mode and
    had the roles of this one, so that it changes nothing while it is in shadow mode. `two_person_globs` are the
    repos where a version before this one asked for two people.
    """

    policy: str
    by: str
    at: int  # ms
    before: str
    globs: tuple[str, ...]
    was_shadow: bool = False
    two_person_globs: tuple[str, ...] = ()

    def covers(self, repo: Repo) -> bool:
        """Whether no policy may act unattended at a repo."""
        return matches_any(self.globs, repo)

    def needed_two(self, repo: Repo) -> bool:
        """Whether a version before this one asked for two people at a repo."""
        return matches_any(self.two_person_globs, repo)

    def holds(self, current: Policy | None) -> bool:
        """Whether the hold still applies to the current version; not if it is as before, or changes nothing."""
        if current is None or current.digest == self.before:
            return False
        return not (self.was_shadow and current.mode is PolicyMode.SHADOW)

    @property
    def note(self) -> str:
        """What a person must know and do."""
        return f"Saved from the desk by {self.by}; acts after `hf-gate policy promote {self.policy}`."


# ---- holds -----------------------------------------------------------------------------------------------------------


def read_holds(store: Store) -> dict[str, PolicyHold]:
    """Return every stored hold by the policy's name, also those that no longer apply."""
    stored = store.setting(SAVED_POLICIES)
    return {} if stored is None else {hold.policy: hold for hold in decode_json(stored, list[PolicyHold])}


def read_active_holds(store: Store, policies: Iterable[Policy]) -> list[PolicyHold]:
    """Return the holds that apply to these policies, sorted by name."""
    current = {policy.name: policy for policy in policies}
    return [hold for name, hold in sorted(read_holds(store).items()) if hold.holds(current.get(name))]


def read_workspace_holds(workspace: Workspace) -> list[PolicyHold]:
    """Return the holds that apply to the files as they are now; all stored ones if the files cannot be read."""
    stored = [hold for _, hold in sorted(read_holds(workspace.store).items())]
    current = read_current_policies(workspace) if stored else []
    return stored if current is None else read_active_holds(workspace.store, current)


def read_current_policies(workspace: Workspace) -> list[Policy] | None:
    """Return the policies as the files are now, without checking their expressions; None if one cannot be read."""
    if workspace.location.folder is None:
        return None
    try:
        folder = read_folder(workspace.location.folder)
    except HfGateError:
        return None
    parsed = [file.policy for file in folder.files.values()]
    current = [fill_templates(each, folder.config.templates) for each in parsed if each is not None]
    return current if len(current) == len(parsed) else None


def release_hold(store: Store, write: Writer, policy: str) -> None:
    """Delete the hold of a policy, because a person promoted its current version."""
    _set_hold(store, write, policy, None)


def _set_hold(store: Store, write: Writer, policy: str, hold: PolicyHold | None) -> None:
    holds = {name: one for name, one in read_holds(store).items() if name != policy}
    if hold is not None:
        holds[policy] = hold
    found = [one for _, one in sorted(holds.items())]
    write.write_setting(SAVED_POLICIES, msgspec.json.encode(found).decode() if found else None)


def _next_hold(store: Store, known: PolicyHold | None, old: Policy | None, new: Policy, by: str, at: int) -> PolicyHold:
    """Return the hold after a save. Of several saves, the version before the first one counts.

    Nobody knows what an old version without a valid policy guarded, so its hold covers all repos.
    """
    if old is None:
        before = "" if known is None else known.before
        double = {*(known.two_person_globs if known else ()), *read_two_person_policies(store).get(new.name, ())}
        return PolicyHold(new.name, by, at, before, _ALL_REPOS, two_person_globs=tuple(sorted(double)))
    double = {*(known.two_person_globs if known else ()), *(old.applies_to if old.has_two_person_rule else ())}
    globs = {*(known.globs if known else ()), *old.applies_to, *new.applies_to}
    is_shadow = old.mode is PolicyMode.SHADOW and old.roles == new.roles  # roles count for all policies of a repo
    before, was_shadow = (old.digest, True) if known is None else (known.before, known.was_shadow)
    return PolicyHold(new.name, by, at, before, tuple(sorted(globs)), was_shadow and is_shadow, tuple(sorted(double)))


# ---- saving ----------------------------------------------------------------------------------------------------------


class PolicySave(msgspec.Struct, frozen=True):
    """A checked text to save. `base` is the digest of the file that its author saw."""

    file: str
    base: str
    text: str
    new: Policy


def save_policy(workspace: Workspace, save: PolicySave, actor: str, at: int, author: RunAuthor = NO_AUTHOR) -> str:
    """Replace a policy file of the workspace; return the digest of the new content.

    The actor then counts as an author of this version, who does not count as one of two approvers.

    Raises Guarded if the owner did not allow it, Stale if the file changed meanwhile, and UsageError otherwise.
    """
    path = workspace.location.folder
    if path is None:
        raise UsageError("There is no workspace here, so there is no policy to save.")
    folder = read_folder(path)
    if not folder.config.may_write_policies:
        raise Guarded(
            "This desk may not write policies.",
            hint="The owner allows it in hf-gate.yaml: desk: {may_write_policies: true}",
        )
    if save.file not in folder.files:
        raise UsageError(f"{save.file} is not a policy file of the workspace.")
    _check_with_others(workspace.store, folder, save)
    content = save.text.encode("utf-8", "replace")
    if len(content) > MAX_SAVED:
        raise UsageError(f"The policy is larger than {MAX_SAVED >> 20} MiB.")
    store = workspace.store
    name = save.new.name

    def record(found: bytes, digest: str) -> None:
        old = _read_policy(found, save.file, folder.config.templates)
        if old is not None and old.name != name:
            raise UsageError("A policy cannot be renamed here.", hint="Rename it in its file.")
        event = e.PolicySaved(
            policy=name,
            file=save.file,
            before=save.base,
            after=digest,
            digest=save.new.digest,
            member=author.member,
            account=author.account,
        )
        with store.writing() as write:
            _set_hold(store, write, name, _next_hold(store, known, old, save.new, actor, at))
            write_policy_author(write, PolicyAuthor(save.new.digest, actor, author.member, author.account))
            write.append(None, [e.LedgerEntry(event=event, at=at, actor=actor)])

    def withdraw() -> None:
        with store.writing() as write:
            _set_hold(store, write, name, known)

    with store.hold_write_lock():  # no turn and no promotion between the hold and the file
        known = read_holds(store).get(name)
        digest = replace_file(path, save.file, content, base=save.base, record=record, withdraw=withdraw)
        if read_holds(store)[name].before == save.new.digest:
            with store.writing() as write:
                _set_hold(store, write, name, None)
    return digest


def _check_with_others(store: Store, folder: WorkspaceFolder, save: PolicySave) -> None:
    """Raise UsageError if no turn could use the policy together with the other files."""
    others = [each.policy for file, each in folder.files.items() if file != save.file and each.policy is not None]
    policies = [*others, save.new]
    collect_table_specs(folder, policies)
    for row in store.repos():
        labels_of_roles(row.repo, [policy for policy in policies if matches_any(policy.applies_to, row.repo)])


def _read_policy(content: bytes, file: str, templates: Mapping[str, str | Mapping[str, str]]) -> Policy | None:
    """Return the policy in a file, even if it has errors that only a check finds; None if it cannot be parsed."""
    try:
        policy = parse_policy(content.decode("utf-8-sig"), file).policy
    except ValueError:
        return None
    return None if policy is None else fill_templates(policy, templates)
