"""Agreements: signed rows of a table on which grants rest, and what may happen to such a row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ..domain.lifecycle import Status
from ..domain.rows import RequestRow
from ..errors import Guarded
from .own_tables import TableDraft, diff_rows
from .table_effects import find_hit, is_concerned, iterate_concerned
from .workspace import Workspace

_MAX_LOOKED_UP: Final = 500  # rows whose people are looked up one by one
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{32,128}\Z")


class GrantOnRow(NamedTuple):
    """An access that rests on a signed row: the request, and what to keep of the row."""

    request: RequestRow
    evidence: Mapping[str, str]


def find_grants(workspace: Workspace, draft: TableDraft) -> list[GrantOnRow]:
    """Return the accepted requests that a signed row lists before these changes, and none after them."""
    if not any(row.evidence for row in draft.before.rows):
        return []
    bindings = dict(workspace.store.bindings(draft.own.name))
    found = []
    for row in _find_candidates(workspace, draft, bindings):
        before = find_hit(draft.before, workspace, row, bindings)
        after = find_hit(draft.after, workspace, row, bindings)
        if before is not None and before.evidence and (after is None or after.state != "valid"):
            found.append(GrantOnRow(row, before.evidence))
    return found


def _find_candidates(workspace: Workspace, draft: TableDraft, bindings: Mapping[str, str]) -> Iterator[RequestRow]:
    """Yield every accepted request that a changed or removed row can list: few rows by their keys, many by a scan."""
    diff = diff_rows(draft.before, draft.after)
    rows = [*diff.removed, *(old for old, _ in diff.changed)]
    if len(rows) > _MAX_LOOKED_UP or any(row.domain for row in rows):
        yield from iterate_concerned(workspace, draft.own, (Status.ACCEPTED,), limit=None)
        return
    keys = {value for row in rows for value in (row.user_id, row.email, row.username) if value}
    keys |= {bindings[row.username] for row in rows if row.username and bindings.get(row.username)}
    seen: set[int] = set()
    for key in sorted(keys):
        for row in workspace.store.find_by_identity(None, key):
            if row.id not in seen and row.state.status == Status.ACCEPTED and is_concerned(draft.own, row.repo):
                seen.add(row.id)
                yield row


def check_no_grant_rests(table: str, grants: Sequence[GrantOnRow]) -> None:
    """Raise Guarded if access rests on a row that goes."""
    if not grants:
        return
    others = f" and {len(grants) - 1:,} others have" if len(grants) > 1 else " has"
    raise Guarded(
        f"{grants[0].request.target_name}{others} access that depends on rows of table {table}; nothing was written.",
        hint="--end-access ends it first; --keep-hash keeps the digests of row and file in the audit log.",
    )


def hashes_to_keep(grants: Sequence[GrantOnRow]) -> dict[str, str]:
    """Return the digest of each row with the digest of its file, which is empty if the column holds another text."""
    found = {grant.evidence["row"]: grant.evidence.get("file_hash", "") for grant in grants}
    return {row: text.lower() if _DIGEST.match(text) else "" for row, text in found.items()}
