"""The tables on which the end of an access rests, with the row of the person in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

EndRows: TypeAlias = Mapping[str, Mapping[str, str]]
"""By table: `table`, its version; `row`, the digest of the row."""


def list_table_versions(rows: EndRows) -> dict[str, str]:
    """Return the versions of the tables, by the names that verdicts use for lists."""
    return {f"table:{name}": row["table"] for name, row in rows.items()}
