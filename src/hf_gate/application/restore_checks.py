"""After a store was restored from a backup, nothing is sent to a repo before the repo was read whole."""

from __future__ import annotations

from collections.abc import Iterable

from ..domain.ids import Repo
from ..errors import Guarded, StoreDamaged
from ..store.store import Store
from ..store.writer import Writer
from . import setting_keys
from .ledger_verification import verify_ledger


def check_synced_since_restore(store: Store, repos: Iterable[Repo]) -> None:
    """Refuse to send anything to repos that were not read whole since the store was restored."""
    if store.setting(setting_keys.RESTORED) is None:
        return
    for repo in repos:
        row = store.repo(repo)
        if row is None or row.full_at is None:
            raise Guarded(
                f"the store was restored from a backup, and {repo} was not read whole since; nothing was sent.",
                hint=f"hf-gate sync {repo} --full",
            )


def clear_restore_mark(store: Store, write: Writer, repo: Repo) -> None:
    """End the caution when the last repo of a restored store was read whole."""
    if store.setting(setting_keys.RESTORED) is not None:
        others = [row for row in store.repos() if row.repo != repo]
        if all(row.full_at is not None for row in others):
            write.write_setting(setting_keys.RESTORED, None)


def check_ledger(store: Store) -> None:
    """Raise StoreDamaged if the ledger of a store is broken anywhere."""
    found = verify_ledger(store)
    if not found.ok:
        first = found.broken[0]
        raise StoreDamaged(f"its ledger is broken at {first.chain}#{first.seq}: {first.what}.")
