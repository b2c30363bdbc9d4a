"""Provides the current policies of a workspace, reloads changed files, and compares the policies with the leader's."""

from __future__ import annotations

import threading
import time
from typing import Final

from hf_gate.core.people.members import Member
from hf_gate.core.stored_rows import RepoRow
from hf_gate.errors import Guarded, HfGateError, UsageError
from hf_gate.settings import setting_keys
from hf_gate.settings.service.workspace import CONFIG_FILE, Workspace
from hf_gate.store.rows.processes import find_leader, read_processes
from hf_gate.store.sql import Reader

from .current_verdicts import CurrentVerdicts
from .evaluation import RepoPolicies, open_fact_sources
from .evaluation_pool import EvaluationPool
from .policy_bundle import PolicyBundle, load_policies, read_file_states

_CHECK_INTERVAL: Final = 2.0  # seconds between two checks of the workspace's files


class PolicyWatcher:
    """Provides the current policies to a long-running process. Threads may share it.

    `problem` says why the policies cannot be read; None if they can be read.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.problem: HfGateError | None = None
        self._bundle: PolicyBundle | None = None
        self._pool: tuple[PolicyBundle, EvaluationPool] | None = None
        self._policy_sets: dict[str, tuple[object, RepoPolicies | None]] = {}
        self._seen: tuple[float, object] = (0.0, None)
        self._is_expired = False
        self._lock = threading.Lock()

    @property
    def current(self) -> PolicyBundle | None:
        """The current policies; None without a workspace, or if a file has an error (see `problem`)."""
        return self._refresh(is_due=self._is_expired)

    @property
    def recent(self) -> PolicyBundle | None:
        """The policies of the last seconds. Many changes of rows in a row do not load the tables each time."""
        return self._refresh(is_due=False)

    @property
    def last_bundle(self) -> PolicyBundle | None:
        """The policies that were loaded last. The files are not checked, so this never takes long."""
        return self._bundle

    def expire(self) -> None:
        """Check the files again at the next use, even if the last check was only a moment ago."""
        self._is_expired = True

    @property
    def current_verdicts(self) -> CurrentVerdicts:
        """The recorded verdicts that still apply under the current policies; see `read_current_verdicts`."""
        bundle = self.current
        return CurrentVerdicts(None if bundle is None else bundle.policies)

    def for_repo(self, row: RepoRow, bundle: PolicyBundle | None = None) -> RepoPolicies | None:
        """Return the policies of a repo, by default the current ones, cached for each version and form."""
        bundle = bundle or self.current
        if bundle is None:
            return None
        key = (id(bundle), row.form_card)
        known = self._policy_sets.get(str(row.repo))
        if known is None or known[0] != key:
            known = (key, bundle.for_repo(row, open_fact_sources(self.workspace)))
            self._policy_sets[str(row.repo)] = known
        return known[1]

    def require_for_repo(self, row: RepoRow) -> RepoPolicies | None:
        """Return the policies of a repo as the files are now. Raises the error that prevents reading them."""
        self.expire()
        if self.current is None and self.problem is not None:
            raise self.problem
        return self.for_repo(row)

    def problem_for(self, member: Member) -> HfGateError | None:
        """Return why the policies cannot be read, without details for members of some repos."""
        return None if self.problem is None else problem_for_member(member, self.problem)

    def pool(self, bundle: PolicyBundle) -> EvaluationPool:
        """Return the pool for long lists. Its processes are reused for the same bundle."""
        if self._pool is None or self._pool[0] is not bundle:
            self._pool = (bundle, EvaluationPool(self.workspace, bundle))
        return self._pool[1]

    def _refresh(self, *, is_due: bool) -> PolicyBundle | None:
        """Return the policies, checked if that is due or the last check is some seconds ago."""
        folder = self.workspace.location.folder
        if folder is None:
            return None
        with self._lock:
            if is_due or time.monotonic() - self._seen[0] >= _CHECK_INTERVAL:
                self._is_expired = False
                globs = self.workspace.location.config.policies
                paths = [folder / CONFIG_FILE, *(file for glob in globs for file in sorted(folder.glob(glob)))]
                files = read_file_states(paths)
                state = (files, self.workspace.store.setting(setting_keys.TABLE_ROWS))  # before the rows are read
                if (state, self._accepted_row_counts()) != self._seen[1] or self._has_other_table_files():
                    self._load()
                self._seen = (time.monotonic(), (state, self._accepted_row_counts()))
            return self._bundle

    def _has_other_table_files(self) -> bool:
        before = () if self._bundle is None else self._bundle.table_files
        return read_file_states(file for file, _ in before) != before

    def _accepted_row_counts(self) -> tuple[str | None, ...]:
        """Return the stored row count of each refused table; the count changes when a person accepts the table."""
        tables = {} if self._bundle is None else self._bundle.tables
        refused = sorted(name for name, table in tables.items() if table.refusal)
        return tuple(self.workspace.store.setting(setting_keys.row_count_key(name)) for name in refused)

    def _load(self) -> None:
        self._policy_sets.clear()
        try:
            self._bundle = load_policies(self.workspace)
            self.problem = None
        except HfGateError as problem:
            self._bundle = None
            self.problem = problem


def problem_for_member(member: Member, problem: HfGateError) -> HfGateError:
    """Return a problem with a workspace file as this member may see it: the file may concern other repos."""
    if member.repos is None:
        return problem
    return UsageError("A file of the workspace has an error.", hint="Ask a member who can see all repos.")


# ---- several machines ------------------------------------------------------------------------------------------------


def describe_other_files(reader: Reader, bundle: PolicyBundle | None) -> str | None:
    """Return that the loop that leads uses other policies or tables than these; None if it does not, or none leads."""
    leader = find_leader(reader)
    if leader is None or bundle is None or leader.digest in {"", bundle.files_digest}:
        return None
    return (
        f"The loop {leader.id}, which leads, uses other policies or tables ({leader.digest[:8]}) than this desk "
        f"({bundle.files_digest[:8]})."
    )


def require_common_files(workspace: Workspace, bundle: PolicyBundle | None) -> None:
    """Raise Guarded unless a file that this desk saves is the file of all processes."""
    if (why := describe_other_files(workspace.store, bundle)) is not None:
        raise Guarded(f"{why} Nothing was saved.", hint="Give all machines the same files first.")
    hosts = {process.host for process in read_processes(workspace.store)}
    config = workspace.location.config if bundle is None else bundle.config
    if len(hosts) > 1 and not config.shared:
        raise Guarded(
            f"{len(hosts)} machines use this store, and each may have files of its own. Nothing was saved.",
            hint=(
                "Change the file on all of them. Or give them one folder, and write in hf-gate.yaml: "
                "desk: {shared: true}"
            ),
        )
