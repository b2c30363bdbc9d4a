"""Compares the answers of a person's attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..domain.forms import collapse_whitespace
from ..domain.roles import Role
from ..domain.rows import RequestRow
from ..domain.timestamps import from_ms
from . import formatting
from .request_context import RequestContext
from .request_lines import AnswerLine, list_answers, request_key

_CONSTANT_ROLES: Final = frozenset({Role.AFFILIATION, Role.COUNTRY, Role.NAME, Role.EMAIL, Role.BIRTH_DATE})
"""Questions that a person should answer the same everywhere."""


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One question with its answer in each attempt. `different`: the number of answers if they should be the same."""

    label: str
    answers: Sequence[AnswerLine | None]
    different: int = 0


@dataclass(frozen=True, slots=True)
class AttemptChanges:
    """What a person answers differently than in the attempt before. Each of `questions` has two answers."""

    attempt: int  # the number of the attempt before
    key: str
    status: str  # how the attempt before ended
    ago: str  # since it was made
    questions: Sequence[QuestionRow]
    same_count: int


def find_changes(context: RequestContext, row: RequestRow, attempts: Sequence[RequestRow]) -> AttemptChanges | None:
    """Compare an attempt with the one before it. None for a first attempt, or if answers are not stored or hidden."""
    before = next((one for one in attempts if one.state.attempt == row.state.attempt - 1), None)
    if context.is_masked or before is None or before.request is None or row.request is None:
        return None
    compared = compare_answers(context, [before, row])
    changed = [one for one in compared if len({_text_of(answer) for answer in one.answers}) > 1]
    return AttemptChanges(
        attempt=before.state.attempt,
        key=request_key(before),
        status=before.state.status,
        ago=formatting.format_age(from_ms(before.state.asked_at), context.now),
        questions=changed,
        same_count=len(compared) - len(changed),
    )


def _text_of(answer: AnswerLine | None) -> str | None:
    return None if answer is None else collapse_whitespace(answer.text)


def compare_answers(context: RequestContext, attempts: Sequence[RequestRow]) -> list[QuestionRow]:
    """Return the answers of each attempt by question; questions with the same role are one row."""
    told: dict[str, tuple[str, Role, dict[int, AnswerLine]]] = {}
    for column, row in enumerate(attempts):
        for answer in list_answers(row, context.workspace.store.repo(row.repo)):
            key = (
                f"role {answer.role}" if answer.role is not Role.OTHER else collapse_whitespace(answer.label).casefold()
            )
            if key in told and column in told[key][2]:  # a second question with this role in the same form
                key = collapse_whitespace(answer.label).casefold()
            told.setdefault(key, (answer.label, answer.role, {}))[2][column] = answer
    rows = []
    for label, role, answers in told.values():
        texts = {collapse_whitespace(each.text).casefold() for each in answers.values() if each.text.strip()}
        is_odd = role in _CONSTANT_ROLES and len(texts) > 1
        rows.append(QuestionRow(label, [answers.get(n) for n in range(len(attempts))], len(texts) if is_odd else 0))
    return rows
