"""Caches what the only writer knows between transactions: reserved numbers, chain heads, verdicts and repos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from hf_gate.base.ids import Repo
from hf_gate.core.events.classification import RequestClassifier
from hf_gate.core.events.ledger import GENESIS
from hf_gate.core.requests import AccessRequest
from hf_gate.store.sql import Database

from .repo_classifiers import RepoClassifiers
from .state_columns import VerdictCache

_MAX_RESERVED: Final = 1000  # numbers reserved at once


class WriterCache:
    """The writer's cache. It is cleared when a transaction fails, or when another process may have written."""

    def __init__(
        self,
        db: Database,
        country_of: Callable[[AccessRequest], str | None],
        load_classifier: Callable[[], RequestClassifier] | None = None,
    ) -> None:
        self.country_of = country_of
        self.classifiers = RepoClassifiers(db, load_classifier)
        self.verdicts = VerdictCache()
        self._db = db
        self._numbers: dict[str, Iterator[int]] = {}
        self._reserved: dict[str, int] = {}
        self.repos: dict[Repo, int] = {}
        self.heads: dict[int, tuple[int, bytes]] = {}
        self._has_evaluations = False

    def has_evaluations(self) -> bool:
        """Tell whether any list was ever evaluated; before that, nothing needs to be marked for another evaluation."""
        if not self._has_evaluations:
            self._has_evaluations = self._db.row("SELECT 1 FROM evaluated_lists LIMIT 1") is not None
        return self._has_evaluations

    def take_number(self, table: str) -> int:
        """Return an unused number for a row of the table. Each reservation is twice as large as the previous one."""
        number = next(self._numbers.get(table, iter(())), None)
        if number is None:
            self._reserved[table] = min(2 * self._reserved.get(table, 0) + 1, _MAX_RESERVED)
            self._numbers[table] = iter(self._db.reserve_ids(table, self._reserved[table]))
            number = next(self._numbers[table])
        return number

    def chain_head(self, repo_id: int) -> tuple[int, bytes]:
        """Return length and last hash of a chain."""
        if repo_id not in self.heads:
            found = self._db.row("SELECT seq, head FROM chains WHERE repo_id = ?", (repo_id,))
            self.heads[repo_id] = (found[0], bytes(found[1])) if found else (0, GENESIS)
        return self.heads[repo_id]

    def clear(self) -> None:
        """Discard everything, because a rollback made the content uncertain."""
        self._numbers.clear()
        self._reserved.clear()
        self.repos.clear()
        self.heads.clear()
        self.classifiers.clear()
        self._has_evaluations = False
        self.verdicts = VerdictCache()
