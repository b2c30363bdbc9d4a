"""Access requests as rows of JSON, and such rows read back as the requests they came from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ..domain.ids import Person, parse_repo
from ..domain.lifecycle import STATUSES, Status
from .output import Row, iso

if TYPE_CHECKING:
    from ..domain.requests import AccessRequest

REQUEST_KEYS: Final = (
    "repo",
    "repo_type",
    "request_id",
    "user_id",
    "user",
    "fullname",
    "email",
    "status",
    "asked_at",
    "reviewed_at",
    "answers",
    "quality",
    "verdict",
)


TICKS: Final = frozenset({"true", "false", "on", "off"})  # how the Hub writes a box


def request_row(request: AccessRequest, *, with_quality: bool = True) -> dict[str, object]:
    """The keys that scripts rely on; whatever is absent is null. Weighing the answers takes more time than all the rest."""
    person = request.person
    return {
        "repo": request.repo.id,
        "repo_type": request.repo.type.value,
        "request_id": request.request_id,
        "user_id": person.id,
        "user": person.username,
        "fullname": person.fullname,
        "email": request.email,
        "status": str(request.status),
        "asked_at": iso(request.asked_at),
        "reviewed_at": iso(request.reviewed_at),
        "answers": dict(request.answers) if request.has_form else None,
        "quality": quality_of(request) if with_quality else None,
        "verdict": None,
    }


def quality_of(request: AccessRequest) -> dict[str, str] | None:
    """What each answer in words is worth; ticked boxes are no words. None without a form."""
    if not request.has_form:
        return None
    from ..domain.quality import quality  # noqa: PLC0415 - its vocabularies are loaded by who lists

    names = tuple(filter(None, (request.person.username, request.person.fullname)))
    return {
        label: quality(text, label, None, names).value for label, text in request.answers.items() if text not in TICKS
    }


def request_of_row(row: Row) -> AccessRequest | None:
    """The request that a row of `ls` was printed from; None when the row tells no status or time."""
    from ..domain.requests import AccessRequest  # noqa: PLC0415 - only who reads rows

    status, asked = row.get("status"), row.get("asked_at")
    if not isinstance(status, str) or not isinstance(asked, str):
        return None
    answers = row.get("answers")
    has_form = isinstance(answers, Mapping)
    return AccessRequest(
        repo=parse_repo(str(row["repo"]), _text(row, "repo_type")),
        status=Status(status) if status in STATUSES else status,
        asked_at=datetime.fromisoformat(asked),
        person=Person(_text(row, "user_id"), _text(row, "user"), _text(row, "fullname")),
        request_id=_text(row, "request_id"),
        email=_text(row, "email"),
        answers={str(label): str(text) for label, text in answers.items()} if isinstance(answers, Mapping) else {},
        has_form=has_form,
    )


def _text(row: Row, key: str) -> str | None:
    value = row.get(key)
    return None if value is None else str(value)
