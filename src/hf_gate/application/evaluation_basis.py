"""Describes what all verdicts of a repo have in common. If it changes, every request of the repo is evaluated again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ..domain.events import canonical_json
from ..policy.form_facts import FormRoles
from ..sources.rule_versions import read_fact_code_version
from ..store.store import Store
from .evaluation import RepoPolicies, SourcesPort


def compute_basis(
    policy_set: RepoPolicies,
    store: Store,
    sources: SourcesPort | None,
    epochs: Mapping[str, str],
    *,
    code: str | None = None,
) -> str:
    """Return a digest of everything that the verdicts of this repo depend on, except the requests and people themselves.

    `epochs` has the epoch of each table, which stays when only rows of single people changed. `code` is the version of
    the code that computes facts; None means the running one.
    """
    row = store.repo(policy_set.repo)
    document = {
        "code": read_fact_code_version() if code is None else code,
        "lists": dict(policy_set.list_versions if sources is None else sources.list_versions()),
        "policies": [
            [one.policy.name, one.policy.digest, one.policy.mode.value, sorted(one.policy.judges)]
            for one in policy_set.evaluator.policies
        ],
        "reminders": policy_set.has_reminders,
        "form": _form_document(policy_set.form),
        "zone": str(policy_set.evaluator.zone),
        "complete": policy_set.should_read_history and row is not None and row.full_at is not None,
        "tables": {name: epochs[name] for name in policy_set.tables},
        "bindings": {name: sorted(store.bindings(name).items()) for name in policy_set.tables},
    }
    return hashlib.sha256(canonical_json(document)).hexdigest()


def _form_document(form: FormRoles) -> object:
    roles = [[label, str(role)] for label, role in form.roles.items()]
    return [roles, list(form.boxes), sorted(form.overrides.items()), form.is_known]
