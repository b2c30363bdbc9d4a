"""The history of a request and its earlier attempts, and the decision that reverses the last one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from hf_gate.base.timestamps import from_ms
from hf_gate.core.events.events import VerdictReached, kind_of
from hf_gate.core.forms.forms import collapse_whitespace
from hf_gate.core.forms.roles import Role
from hf_gate.core.lifecycle import VERB_FOR_STATUS, Status
from hf_gate.core.records import HistoryRecord
from hf_gate.core.stored_rows import RequestRow
from hf_gate.desk.formatting import DONE
from hf_gate.desk.http_context import HttpContext
from hf_gate.requests.service.request_history import LastTransition, history_records

from .request_lines import AnswerLine, list_answers, possible_verbs, request_key


def list_history(context: HttpContext, attempts: Sequence[RequestRow]) -> list[HistoryRecord]:
    """Return the entries about these attempts, the latest first."""
    history = history_records(
        context.workspace.store,
        attempts,
        quotes_notes=False,
        format_time=lambda at: context.format_time(from_ms(at)),
        zone=context.workspace.zone,
    )
    return history[::-1]


class HistoryPart(Struct, frozen=True):
    """Entries of the history in a row.

    Verdicts of policies are folded: they say what rules meant, not what was done.
    """

    entries: Sequence[HistoryRecord]
    is_folded: bool


def fold_verdicts(history: Iterable[HistoryRecord]) -> list[HistoryPart]:
    """Return the history in parts: each run of verdicts is one, and so are the entries between two runs."""
    return [
        HistoryPart(list(entries), is_folded)
        for is_folded, entries in groupby(history, lambda one: one.kind == kind_of(VerdictReached))
    ]


_STAYS: Final = {
    "accepted": "Files already downloaded stay downloaded.",
    "rejected": "They may have read the reason already.",
    "reset": "The Hub has told them by e-mail that they may ask again. That e-mail cannot be undone.",
    "pending": "",
}
_THEN: Final = {
    "cancel": "They wait for a review again",
    "accept": "They can download again at once",
    "reset": "The request is cleared, and they may ask again",
    "reject": "They cannot ask again",
}
_WITHOUT: Final = {"accepted": "; their access ends", "rejected": "", "reset": "", "pending": ""}


class Reversal(Struct, frozen=True):
    """The verb that reverses a decision. `what` was done `ago` by `actor`; `stays`: effects that cannot be undone."""

    verb: str
    what: str
    ago: str
    actor: str
    then: str
    stays: str


class LastDecision(Struct, frozen=True):
    """How a request got its status: what was done, by whom, by which rule or way, when, and with which reason."""

    done: str
    actor: str
    way: str
    at: str
    reason: str | None


def describe_last_decision(
    context: HttpContext, row: RequestRow, transition: LastTransition | None
) -> LastDecision | None:
    """Return the decision that gave a request its status; None if it is pending."""
    if row.state.status == Status.PENDING or transition is None:
        return None
    actor, way = transition.decided_by
    return LastDecision(
        DONE[VERB_FOR_STATUS[row.state.status]],
        "you" if actor == context.member.name and transition.run_id is not None else actor,
        way,
        "" if transition.is_first else context.format_time(from_ms(transition.at)),
        transition.reason,
    )


def find_reversal(context: HttpContext, row: RequestRow, how: LastTransition | None) -> Reversal | None:
    """Return the reversal of the transition to the current status; None if that is not from this desk."""
    if not context.can_decide or not row.is_current or how is None or how.before is None:
        return None
    verb = VERB_FOR_STATUS.get(how.before, "reset")
    if verb not in possible_verbs(row.state.status):
        return None
    return Reversal(
        verb,
        row.state.status if row.state.status != Status.PENDING else "put back to pending",
        context.format_age(from_ms(how.at)),
        "you" if how.actor == context.member.name else how.actor,
        f"{_THEN[verb]}{_WITHOUT[row.state.status]}.",
        _STAYS[row.state.status],
    )


# ---- attempts --------------------------------------------------------------------------------------------------------


_CONSTANT_ROLES: Final = frozenset({Role.AFFILIATION, Role.COUNTRY, Role.NAME, Role.EMAIL, Role.BIRTH_DATE})
"""Questions that a person should answer the same everywhere."""


class QuestionRow(Struct, frozen=True):
    """One question with its answer in each attempt. `different`: the number of answers if they should be the same."""

    label: str
    answers: Sequence[AnswerLine | None]
    different: int = 0


class AttemptChanges(Struct, frozen=True):
    """What a person answers differently than in the attempt before. Each of `questions` has two answers."""

    attempt: int  # the number of the attempt before
    key: str
    status: str  # how the attempt before ended
    ago: str  # since it was made
    questions: Sequence[QuestionRow]
    same_count: int


def find_changes(context: HttpContext, row: RequestRow, attempts: Sequence[RequestRow]) -> AttemptChanges | None:
    """Compare an attempt with the one before it. None for a first attempt, or if answers are not stored."""
    before = next((attempt for attempt in attempts if attempt.state.attempt == row.state.attempt - 1), None)
    if before is None or before.request is None or row.request is None:
        return None
    compared = compare_answers(context, [before, row])
    changed = [one for one in compared if len({_text_of(answer) for answer in one.answers}) > 1]
    return AttemptChanges(
        attempt=before.state.attempt,
        key=request_key(before),
        status=before.state.status,
        ago=context.format_age(from_ms(before.state.asked_at)),
        questions=changed,
        same_count=len(compared) - len(changed),
    )


def _text_of(answer: AnswerLine | None) -> str | None:
    return None if answer is None else collapse_whitespace(answer.text)


def compare_answers(context: HttpContext, attempts: Sequence[RequestRow]) -> list[QuestionRow]:
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
