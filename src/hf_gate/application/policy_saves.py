"""Saves a policy from the desk, and holds what it changes until that version is promoted in the terminal.

A saved version must not act because somebody could sign in to the desk. So a save first stores a hold and an audit
entry, then replaces the file. Turns of `run` make no change by a policy at a held repo.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from ..domain import events as e
from ..domain.ids import Repo
from ..errors import Guarded, HfGateError, UsageError
from ..policy.literals import glob_matches
from ..policy.model import Policy, PolicyMode
from ..sources.policy_files import replace_policy_file
from ..sources.workspace_folder import read_folder
from ..store.store import Store
from ..store.writer import Writer
from .evaluation import fill_templates
from .setting_keys import SAVED_POLICIES
from .workspace import Workspace

MAX_SAVED: Final = 2 << 20  # bytes of a policy that is saved


class PolicyHold(msgspec.Struct, frozen=True):
    """A policy that was saved from the desk and not promoted since.

    `before` is the digest of the last version that was not saved from the desk; empty if there was no valid one.
    `globs` are the repos of all versions since then.
    """

    policy: str
    by: str
    at: int  # ms
    before: str
    globs: tuple[str, ...]
    was_shadow: bool = False

    def covers(self, repo: Repo) -> bool:
        """Whether no policy may act unattended at a repo."""
        return any(glob_matches(glob, repo) for glob in self.globs)

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
    return {} if stored is None else {hold.policy: hold for hold in msgspec.json.decode(stored, type=list[PolicyHold])}


def read_active_holds(store: Store, policies: Iterable[Policy]) -> list[PolicyHold]:
    """Return the holds that apply to these policies, sorted by name."""
    holds = read_holds(store)
    if not holds:
        return []
    current = {policy.name: policy for policy in policies}
    return [hold for name, hold in sorted(holds.items()) if hold.holds(current.get(name))]


def read_workspace_holds(workspace: Workspace) -> list[PolicyHold]:
    """Return the holds that apply to the files as they are now; all stored ones if the files cannot be read."""
    holds = read_holds(workspace.store)
    stored = [hold for _, hold in sorted(holds.items())]
    if not holds or workspace.location.folder is None:
        return stored
    try:
        folder = read_folder(workspace.location.folder)
    except HfGateError:
        return stored
    parsed = [each.policy for each in folder.files.values()]
    current = [fill_templates(each, folder.config.templates) for each in parsed if each is not None]
    return read_active_holds(workspace.store, current) if len(current) == len(parsed) else stored


def release_hold(store: Store, write: Writer, policy: str) -> None:
    """Delete the hold of a policy, because a person promoted its current version."""
    _set_hold(store, write, policy, None)


def _set_hold(store: Store, write: Writer, policy: str, hold: PolicyHold | None) -> None:
    holds = {name: one for name, one in read_holds(store).items() if name != policy}
    if hold is not None:
        holds[policy] = hold
    found = [one for _, one in sorted(holds.items())]
    write.write_setting(SAVED_POLICIES, msgspec.json.encode(found).decode() if found else None)


def _next_hold(known: PolicyHold | None, old: Policy | None, new: Policy, by: str, at: int) -> PolicyHold:
    """Return the hold after a save. Of several saves, the version before the first one counts."""
    globs = {*(known.globs if known else ()), *(old.applies_to if old else ()), *new.applies_to}
    before = known.before if known is not None else "" if old is None else old.digest
    was_shadow = known.was_shadow if known is not None else old is None or old.mode is PolicyMode.SHADOW
    return PolicyHold(new.name, by, at, before, tuple(sorted(globs)), was_shadow)


# ---- saving ----------------------------------------------------------------------------------------------------------


class PolicySave(msgspec.Struct, frozen=True):
    """A checked text to save. `base` is the digest of the file that its author saw; `old` is the policy in that file."""

    file: str
    base: str
    text: str
    new: Policy
    old: Policy | None


def save_policy(workspace: Workspace, save: PolicySave, actor: str, at: int) -> str:
    """Replace a policy file of the workspace; return the digest of the new content.

    Raises Guarded if the owner did not allow it, Stale if the file changed meanwhile, and UsageError otherwise.
    """
    folder = workspace.location.folder
    if folder is None:
        raise UsageError("There is no workspace here, so there is no policy to save.")
    config = read_folder(folder)
    if not config.config.may_write_policies:
        raise Guarded(
            "This desk may not write policies.",
            hint="The owner allows it in hf-gate.yaml: desk: {may_write_policies: true}",
        )
    if save.file not in config.files:
        raise UsageError(f"{save.file} is not a policy file of the workspace.")
    if save.old is not None and save.old.name != save.new.name:
        raise UsageError("A policy cannot be renamed here.", hint="Rename it in its file.")
    content = save.text.encode("utf-8", "replace")
    if len(content) > MAX_SAVED:
        raise UsageError(f"The policy is larger than {MAX_SAVED >> 20} MiB.")
    store = workspace.store
    known = read_holds(store).get(save.new.name)
    hold = _next_hold(known, save.old, save.new, actor, at)

    def record(digest: str) -> None:
        event = e.PolicySaved(policy=save.new.name, file=save.file, before=save.base, after=digest)
        with store.writing() as write:
            _set_hold(store, write, save.new.name, None if hold.before == save.new.digest else hold)
            write.append(None, [e.LedgerEntry(event=event, at=at, actor=actor)])

    def withdraw() -> None:
        with store.writing() as write:
            _set_hold(store, write, save.new.name, known)

    return replace_policy_file(folder, save.file, content, base=save.base, record=record, withdraw=withdraw)
