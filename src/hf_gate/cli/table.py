"""The table of requests for people: which columns, which answers, and what leaves first when the terminal is narrow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from ..domain.text import clip
from .output import Column, Row, age
from .rows import TICKS

_TELLING: Final = ("purpose", "affiliation", "job", "country", "other")  # roles by what they tell a reviewer


def ls_columns(
    rows: Sequence[Row], now: datetime, *, with_repo: bool = False, with_status: bool = False
) -> list[Column]:
    """Age first, since silence is what people suffer from; then who, and the answers that tell most, but no ticked boxes.

    Who and where are what commands take, so they are never cut. The id of somebody who is hidden is all that names
    them, so then ids are whole too.
    """
    columns = [Column("AGE", lambda row: age(datetime.fromisoformat(str(row["asked_at"])), now), right=True)]
    columns.append(Column("WHO", who))
    if with_repo:
        columns.append(Column("REPO", spelt))
    if with_status:
        columns.append(Column("STATUS", lambda row: str(row["status"])))
    if any(row["fullname"] for row in rows):
        columns.append(Column("NAME", lambda row: str(row["fullname"] or "-"), flexible=True, least=10, drop=30))
    for rank, label in enumerate(_labels(rows)):
        columns.append(Column(clip(label, 24), _answer_to(label), flexible=True, least=12, drop=10 + rank))
    named = all(row["user"] for row in rows)
    columns.append(Column("ID", _id, flexible=named, least=7, tail=True, drop=20 if named else 0))
    return columns


def _labels(rows: Sequence[Row]) -> list[str]:
    """Up to three labels whose answers tell most: what the person wants first; not their name again, nor ticked boxes."""
    from ..domain.roles import role_of  # noqa: PLC0415 - its vocabularies are loaded by who lists for people

    count = Counter(
        label for row in rows for label, text in _answers(row).items() if text and str(text).lower() not in TICKS
    )
    ranked = [(_TELLING.index(role), -count[label], label) for label in count if (role := role_of(label)) in _TELLING]
    return [label for *_, label in sorted(ranked)[:3]]


def who(row: Row) -> str:
    """The username of a row, or what stands for one where the repo hides it."""
    return str(row["user"] or f"(hidden #{str(row['user_id'] or row['request_id'])[-6:]})")


def spelt(row: Row) -> str:
    """The repo as a command takes it."""
    return str(row["repo"]) if row["repo_type"] == "model" else f"datasets/{row['repo']}"


def name_of(row: Row) -> str:
    """What `-q` prints: a target again."""
    return str(row["request_id"] or f"{row['user'] or row['user_id']}@{spelt(row)}")


def _id(row: Row) -> str:
    return str(row["request_id"] or row["user_id"] or "-")


def _answer_to(label: str) -> Callable[[Row], str]:
    return lambda row: str(_answers(row).get(label, "")).strip() or "-"


def _answers(row: Row) -> dict[str, object]:
    answers = row["answers"]
    return answers if isinstance(answers, dict) else {}
