"""Finds grants whose conditions or dates stay unknown, because a table or fact that they read no longer exists."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection

from msgspec import Struct

from hf_gate.base.display_text import join_words, pluralize
from hf_gate.base.ids import Repo
from hf_gate.grants.grant_conditions import TermsEvaluator
from hf_gate.grants.rows import count_grants_by_terms, read_shapes
from hf_gate.policies.expressions.expression_parser import read_names
from hf_gate.policies.facts.fact_table import fact_types, tables_of
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.verdicts.service.policy_bundle import read_declared_tables


class UnknownConditions(Struct, frozen=True):
    """Grants at one repo whose end nothing moves any more. `tables` that they read are not declared."""

    repo: Repo
    grants: int
    tables: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What is wrong, and what to do."""
        gone = [f"table {name}" for name in self.tables]
        cause = join_words(gone, "and") if gone else "a fact"
        is_one = self.grants == 1
        return (
            f"{pluralize(self.grants, 'grant')} at {self.repo} {'depends' if is_one else 'depend'} on {cause}, which no"
            " longer exists, so a condition never ends this access. Declare it again, or run hf-gate ends "
            "set --all --with-end."
        )


def list_unknown_conditions(
    store: Store, tables: Collection[str], is_governed: Callable[[Repo], bool]
) -> list[UnknownConditions]:
    """Return the grants whose terms read something that does not exist. `tables` are the declared ones."""
    shapes = read_shapes(store)
    evaluator = TermsEvaluator(shapes, fact_types(tables=tables))
    lost = {shape.digest: texts for shape in shapes if (texts := evaluator.list_unreadable(shape))}
    if not lost:
        return []
    grants = Counter[Repo]()
    names = defaultdict[Repo, set[str]](set)
    for repo, terms, count in count_grants_by_terms(store):
        found = lost.get(terms.shape.digest)
        if found is not None and is_governed(repo):
            grants[repo] += count
            names[repo].update(name for text in found for name in read_names(text))
    return [
        UnknownConditions(
            repo,
            count,
            tuple(sorted(tables_of(names[repo]) - set(tables))),
        )
        for repo, count in sorted(grants.items())
    ]


def find_unknown_conditions(workspace: Workspace) -> list[UnknownConditions]:
    """Return the same for a workspace; nothing if its files cannot be read."""
    tables = read_declared_tables(workspace)
    config = workspace.location.config
    if tables is None:
        return []
    return list_unknown_conditions(workspace.store, tables, config.includes)
