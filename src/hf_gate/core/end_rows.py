"""The tables on which the end of an access rests, with the row of the person in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

EndRows: TypeAlias = Mapping[str, Mapping[str, str]]
"""By table: `table`, its version; `row`, the digest of the row; `file_hash` and `version` of an agreement."""

_SIGNED: Final = frozenset({"file_hash", "version"})


def list_table_versions(rows: EndRows) -> dict[str, str]:
    """Return the versions of the tables, by the names that verdicts use for lists."""
    return {f"table:{name}": row["table"] for name, row in rows.items()}


def list_agreements(rows: EndRows) -> dict[str, str]:
    """Return the digests of the signed rows."""
    return {name: row["row"] for name, row in rows.items() if not _SIGNED.isdisjoint(row)}
