"""Prevents decisions at a repo after the store was restored from a backup, until the repo is fully synced."""

from __future__ import annotations

from collections.abc import Iterable

from hf_gate.base.ids import Repo
from hf_gate.errors import Guarded
from hf_gate.settings import setting_keys
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer


def check_synced_since_restore(store: Store, repos: Iterable[Repo]) -> None:
    """Raise Guarded if a repo has not been fully synced since the store was restored."""
    if store.setting(setting_keys.RESTORED) is None:
        return
    for repo in repos:
        row = store.repo(repo)
        if row is None or row.full_at is None:
            raise Guarded(
                f"the store was restored from a backup, and {repo} has not been fully synced since; nothing was sent.",
                hint=f"Sync the repo first: hf-gate sync {repo} --full",
            )


def clear_restore_mark(store: Store, write: Writer, repo: Repo) -> None:
    """Clear the mark of a restored store if every other repo has been fully synced.

    Call this after a full sync of a repo.
    """
    if store.setting(setting_keys.RESTORED) is not None:
        others = [row for row in store.repos() if row.repo != repo]
        if all(row.full_at is not None for row in others):
            write.write_setting(setting_keys.RESTORED, None)
