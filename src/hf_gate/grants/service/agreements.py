"""Agreements: signed rows of a table on which grants rest, and what may happen to such a row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from hf_gate.core.stored_rows import RequestRow
from hf_gate.errors import Guarded
from hf_gate.grants.service.tables.own_tables import TableDraft
from hf_gate.grants.service.tables.table_effects import find_hit, iterate_changed_grants
from hf_gate.settings.service.workspace import Workspace

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
    grants = []
    for row in iterate_changed_grants(workspace, draft):
        before = find_hit(draft.before, workspace, row, bindings)
        after = find_hit(draft.after, workspace, row, bindings)
        if before is not None and before.evidence and (after is None or after.state != "valid"):
            grants.append(GrantOnRow(row, before.evidence))
    return grants


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
