"""How often each verdict stands, with what the policies in shadow said beside it."""

from __future__ import annotations

import json
from typing import NamedTuple

from ..domain.ids import Repo
from .reading import Store
from .states import repo_of


class Tally(NamedTuple):
    """So many current requests of a repo with a verdict; `shadow` are (policy, rule, action), as they stand beside it."""

    repo: Repo
    action: str
    policy: str | None
    rule: str
    digest: str | None
    shadow: tuple[tuple[str, str, str], ...]
    n: int


def opinions(store: Store, status: str) -> list[Tally]:
    """Of all current requests in one status that were judged."""
    rows = store.reads.rows(
        "SELECT o.type, o.namespace, o.name, v.action, v.policy, v.rule, v.digest, v.shadow, c.n FROM"
        " (SELECT repo_id, verdict_id, count(*) AS n FROM requests WHERE is_current AND status = ?"
        " AND verdict_id IS NOT NULL GROUP BY repo_id, verdict_id) AS c"
        " JOIN repos o ON o.id = c.repo_id JOIN verdicts v ON v.id = c.verdict_id",
        (status,),
    )
    return [
        Tally(repo_of(kind, space, name), action, policy, rule, digest, tuple(map(tuple, json.loads(shadow))), int(n))
        for kind, space, name, action, policy, rule, digest, shadow, n in rows
    ]
