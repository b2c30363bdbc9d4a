"""Classifies requests as they are written, by the rules and their repo's form."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from hf_gate.core.events.classification import UNCLASSIFIED, Classification, Classify, RequestClassifier
from hf_gate.core.requests import AccessRequest
from hf_gate.store.sql import Database

FINGERPRINT_KEY: Final = "fingerprint key"
"""The setting with the key of the fingerprints, in hex. It is never exported."""
_KEY_BYTES: Final = 32


class RepoClassifiers:
    """The classifiers of one writer by repo. Without `load`, requests stay unclassified."""

    def __init__(self, db: Database, load: Callable[[], RequestClassifier] | None) -> None:
        self._db = db
        self._load = load
        self._classifier: RequestClassifier | None = None
        self._by_repo: dict[int, Classify] = {}
        self._secret: bytes | None = None

    def clear(self) -> None:
        """Forget what was read from the database."""
        self._by_repo.clear()
        self._secret = None

    def forget(self, repo_id: int) -> None:
        """Forget the form of a repo, because it changed."""
        self._by_repo.pop(repo_id, None)

    def classify(self, repo_id: int, request: AccessRequest) -> Classification:
        """Return the classification of a request."""
        classify = self._by_repo.get(repo_id)
        if classify is None:
            classify = self._by_repo[repo_id] = self._open(repo_id)
        return classify(request)

    def version(self, form_card: str | None) -> str | None:
        """Return the version of the rules for a repo with this form; None without a classifier."""
        if self._load is None:
            return None
        if self._classifier is None:
            self._classifier = self._load()
        return self._classifier.version(form_card)

    def _open(self, repo_id: int) -> Classify:
        row = self._db.row("SELECT form_card, classified_by FROM repos WHERE id = ?", (repo_id,))
        form_card, known = row or (None, None)
        version = self.version(form_card)
        if version is None or self._classifier is None:
            return lambda _: UNCLASSIFIED
        if (
            known is None
            and self._db.row("SELECT 1 FROM requests WHERE repo_id = ? AND is_current LIMIT 1", (repo_id,)) is None
        ):
            self._db.run("UPDATE repos SET classified_by = ? WHERE id = ?", (version, repo_id))
        return self._classifier.for_form(form_card, self._read_secret())

    def _read_secret(self) -> bytes:
        """Return the key of the fingerprints, created at first use."""
        if self._secret is None:
            known = self._db.setting(FINGERPRINT_KEY)
            text = known or os.urandom(_KEY_BYTES).hex()
            if known is None:
                self._db.write_setting(FINGERPRINT_KEY, text)
            self._secret = bytes.fromhex(text)
        return self._secret
