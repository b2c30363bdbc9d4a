"""Describes what all verdicts of a repo have in common. If it changes, every request of the repo is evaluated again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ..domain.events import canonical_json
from ..policy.form_facts import FormRoles
from ..policy.tables import Table, TableRow
from ..sources.rule_versions import read_fact_code_version
from ..store.store import Store
from .evaluation import RepoPolicies, SourcesPort


def compute_basis(policy_set: RepoPolicies, store: Store, sources: SourcesPort | None) -> str:
    """Return a digest of everything that the verdicts of this repo depend on, except the requests and people themselves."""
    row = store.repo(policy_set.repo)
    document = {
        "code": read_fact_code_version(),
        "lists": dict(policy_set.list_versions if sources is None else sources.list_versions()),
        "policies": [
            [one.policy.name, one.policy.digest, one.policy.mode.value, sorted(one.policy.judges)]
            for one in policy_set.evaluator.policies
        ],
        "form": _form_document(policy_set.form),
        "zone": str(policy_set.evaluator.zone),
        "complete": policy_set.should_read_history and row is not None and row.full_at is not None,
        "tables": {name: _table_digest(table) for name, table in policy_set.tables.items()},
        "bindings": {name: sorted(store.bindings(name).items()) for name in policy_set.tables},
    }
    return hashlib.sha256(canonical_json(document)).hexdigest()


def _form_document(form: FormRoles) -> object:
    roles = [[label, str(role)] for label, role in form.roles.items()]
    return [roles, list(form.boxes), sorted(form.overrides.items()), form.is_known]


def _table_digest(table: Table) -> str:
    """Return a digest of a table that covers the order of its rows, because of two equal rows the first counts."""
    whole = hashlib.sha256(
        canonical_json([table.key, table.digest, table.refusal, bool(table.outdated), bool(table.skipped_lines)])
    )
    for part in _rows(table.rows):
        whole.update(part)
    return whole.hexdigest()


def _rows(rows: Iterable[TableRow]) -> Iterable[bytes]:
    for row in rows:
        yield canonical_json([row.user_id, row.email, row.username, row.domain, row.terms])
