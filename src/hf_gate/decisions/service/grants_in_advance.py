"""Grants access to people who never asked, as one run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from hf_gate.base.ids import Person, Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.hand_terms import GrantEnd
from hf_gate.core.people.members import RunAuthor
from hf_gate.core.requests import Target
from hf_gate.core.runs import ChangeOrigin, RunKind
from hf_gate.core.stored_rows import RunRow
from hf_gate.decisions.service.runs.runs import make_change_rows, make_run, write_new_run
from hf_gate.store.store import Store
from hf_gate.verdicts.plan.change_builders import make_change_without_request


class GrantInAdvance(Struct, frozen=True):
    """A person who never asked and gets access to a repo."""

    repo: Repo
    person: Person


def create_grant_run(
    store: Store,
    grants: Sequence[GrantInAdvance],
    *,
    run_id: str,
    actor: str,
    author: RunAuthor,
    now: datetime,
    end: GrantEnd | None = None,
) -> RunRow:
    """Store the run of these grants, ready to execute; send nothing.

    People who asked meanwhile are left alone by it.
    """
    changes = [
        make_change_without_request(
            grant.repo,
            Target(grant.person.username, grant.person.id),
            Status.ACCEPTED,
            rule=ChangeOrigin.GRANT,
            end=end,
        )
        for grant in grants
    ]
    run = make_run(run_id, RunKind.BULK, actor, changes, to_ms(now), author=author, plan=None)
    with store.writing() as write:
        write_new_run(write, run, make_change_rows(run_id, changes))
    return run


def find_new_requests(store: Store, grants: Sequence[GrantInAdvance]) -> list[GrantInAdvance]:
    """Return the grants for people who have a request at that repo by now, whatever its state."""
    return [grant for grant in grants if store.find_by_identity(grant.repo, grant.person.id or "")]
