"""Tells what became of decisions: the document of the verbs, rows, or sentences for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from ..application.record_builders import outcome_record
from ..application.records import OutcomeRecord
from ..domain.outcomes import Outcome, OutcomeKind
from ..domain.text import to_json
from .carrying import Result, untold
from .output import Format, Output, numbered

if TYPE_CHECKING:
    from .frame import Run
    from .wish import Wish

PAST: Final = {
    "accept": "accepted",
    "reject": "rejected",
    "reset": "reset",
    "cancel": "back to pending",
    "grant": "granted",
    "revoke": "revoked",
}
_AFTER: Final = {
    "accept": "may download now",
    "grant": "may download now",
    "reject": "no files, and cannot ask again",
    "reset": "no files, and may ask again",
    "cancel": "no files; waits for a review again",
}


def summary(outcomes: Sequence[OutcomeRecord], planned: int, run_id: str | None) -> dict[str, object]:
    """Return the document that verbs and runs print with --json."""
    count = Counter(outcome.outcome for outcome in outcomes)
    return {
        "schema_version": 1,
        "run": run_id,
        "planned": planned,
        **{kind.value: count[kind] for kind in OutcomeKind},
        "outcomes": list(outcomes),
    }


def print_result(run: Run, wish: Wish, result: Result) -> None:
    """The outcomes, in the format that was asked for."""
    out, outcomes = run.out, result.outcomes
    rows = [outcome_record(outcome) for outcome in outcomes]
    if out.format is Format.QUIET:
        rows = [row for row in rows if row.outcome in {OutcomeKind.DONE, OutcomeKind.ALREADY}]
    if out.format is Format.JSON:
        out.document(summary(rows, len(wish.aims), result.run), lambda: ())
    elif not out.is_human:
        print_outcomes(out, rows)
    elif not outcomes:
        out.line("Nobody to decide on.")
    else:
        _for_people(run, wish, outcomes)


def print_outcomes(out: Output, rows: Iterable[OutcomeRecord]) -> None:
    """Print outcomes as a list of records."""
    out.records(OutcomeRecord, rows, (), name=lambda row: row.request_id or row.user or row.user_id or "", limit=-1)


def _for_people(run: Run, wish: Wish, outcomes: Sequence[Outcome]) -> None:
    out = run.out
    for outcome in outcomes:
        if len(outcomes) > 1 and outcome.kind is OutcomeKind.DONE:
            continue
        if outcome.kind is OutcomeKind.DONE:
            out.line(f"{label_of(outcome)} at {outcome.repo}: {PAST[wish.verb]}; {_AFTER[wish.effect]}{_rest(wish)}")
        elif outcome.kind is OutcomeKind.ALREADY:
            unsaid = ", and the reason was not passed on" if wish.has_reason else ""
            ends = f", but that it now ends: {wish.until}" if wish.until else ""
            out.line(f"{label_of(outcome)} at {outcome.repo}: already so, nothing was changed{unsaid}{ends}.")
        elif len(outcomes) > 1 or outcome.kind is OutcomeKind.GONE:
            out.line(f"{label_of(outcome)} at {outcome.repo}: {outcome.kind}: {outcome.why}")
    if len(outcomes) > 1:
        count = Counter(outcome.kind for outcome in outcomes)
        words = [f"{count[OutcomeKind.DONE]:,} {PAST[wish.verb]}"]
        words += [
            f"{count[kind]:,} {kind.value}" for kind in OutcomeKind if kind is not OutcomeKind.DONE and count[kind]
        ]
        out.line(", ".join(words) + (_rest(wish) if count[OutcomeKind.DONE] else "."))
    if wish.effect == "reject" and any(outcome.kind is OutcomeKind.DONE for outcome in outcomes):
        out.hint("who was rejected cannot ask again; `hf-gate reset` gives them a way back.")


def _rest(wish: Wish) -> str:
    """The end of a sentence that tells what was done: whether a reason went along, where one can, and when it ends."""
    if wish.until:
        return f"; ends: {wish.until}."
    if wish.effect not in {"reject", "reset"}:
        return "."
    if wish.template is not None and len(wish.aims) > 1:
        return f"; reason sent: each their own, from the template {wish.template.name}."
    reason = wish.reason_for(wish.aims[0]) if wish.aims else None
    return f"; reason sent: {to_json(reason)}" if reason else "; no reason sent."


def label_of(outcome: Outcome) -> str:
    """Whom an outcome is about, for people: the person, else the request, which may be all that was given."""
    person = outcome.person
    if person.username or person.id or not outcome.request_id:
        return str(person)
    return f"request {outcome.request_id}"


def print_dry_run(run: Run, wish: Wish) -> None:
    """What would be sent, in the words of the real run."""
    out = run.out
    rows = [
        replace(outcome_record(untold(OutcomeKind.OPEN, aim, None)), outcome=None, why="dry run: nothing was sent")
        for aim in wish.aims
    ]
    if out.format is Format.JSON:
        out.document(summary(rows, len(wish.aims), None), lambda: ())
    elif not out.is_human:
        print_outcomes(out, rows)
    else:
        for aim in wish.aims:
            reason = wish.reason_for(aim) if wish.template else None
            out.line(f"would {wish.verb} {aim}" + (f" with the reason {to_json(reason)}" if reason else ""))
        reason = f" with the reason {to_json(wish.reason)}" if wish.reason else ""
        out.line(f"Dry run: {numbered(len(wish.aims), 'change')}{reason}; nothing was sent.")
