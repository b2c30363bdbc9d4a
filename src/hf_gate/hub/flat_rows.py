"""Converts access requests to flat rows with equal columns, as for data frames."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeVar

from hf_gate.core.requests import AccessRequest

Cell = str | datetime | None
_T = TypeVar("_T")
ANSWER_COLUMNS: Final = 200  # a limit, because a requester can send answers under any labels
OTHERS: Final = "other answers"


def flat_rows(requests: Iterable[AccessRequest]) -> list[dict[str, Cell]]:
    """Return one dict for each request. Values are as the Hub sent them, with times in UTC; None means not sent.

    Each label of an answer has a column `answer: LABEL`. Answers beyond the 200 most frequent labels are JSON in one
    column, `other answers`.
    """
    read = list(requests)
    counts = Counter(label for request in read for label in request.answers)
    labels = list(counts) if len(counts) <= ANSWER_COLUMNS else most_frequent_labels(counts)
    return [_row(request, labels, has_others=len(counts) > ANSWER_COLUMNS) for request in read]


def most_frequent_labels(counts: Counter[_T]) -> list[_T]:
    """Return the labels that get a column, in the order of their first occurrence."""
    chosen = {label for label, _ in counts.most_common(ANSWER_COLUMNS)}
    return [label for label in counts if label in chosen]


def _row(request: AccessRequest, labels: list[str], *, has_others: bool) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "repo": request.repo.id,
        "repo_type": request.repo.type.value,
        "request_id": request.request_id,
        "user_id": request.user_id,
        "user": request.username,
        "fullname": request.fullname,
        "email": request.email,
        "status": str(request.status),
        "asked_at": request.asked_at,
        "reviewed_at": request.reviewed_at,
        "granted_by": request.granted_by.username if request.granted_by else None,
        **{f"answer: {label}": request.answers.get(label) for label in labels},
    }
    if has_others:
        rest = {label: text for label, text in request.answers.items() if f"answer: {label}" not in row}
        row[OTHERS] = json.dumps(rest, ensure_ascii=False) if rest else None
    return row
