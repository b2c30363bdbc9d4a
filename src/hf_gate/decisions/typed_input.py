"""Parses what people type with a decision: ends, reasons, notes, confirmations.

Each function returns the value or raises a `UsageError` with the next step. At that point, nothing has been sent.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Final

from hf_gate.base.display_text import SURROGATE
from hf_gate.core.events.events import KINDS
from hf_gate.core.lifecycle import VERBS_WITH_REASON
from hf_gate.core.parsing.literals import InvalidLiteralError, parse_until
from hf_gate.core.people.access_end import NO_END_WORD
from hf_gate.core.people.grants import parse_grant_end
from hf_gate.core.requests import check_reason
from hf_gate.errors import UsageError

NOTE_LIMIT: Final = 4000
NO_WORKSPACE: Final = "An end of access needs a workspace, because its runs end the access. There is no workspace here."


def parse_end(text: str, now: datetime, zone: tzinfo, *, has_workspace: bool) -> str:
    """Return the end of access as written in rules (`90d`, `2028-11-30`). It must be in the future."""
    if not has_workspace:
        raise UsageError(NO_WORKSPACE, hint="`hf-gate init` makes one.")
    written = text.strip()
    if not written:
        raise UsageError("No end is given.", hint="Write a duration such as 90d, or a date such as 2028-11-30.")
    try:
        parse_until(written)
    except InvalidLiteralError as problem:
        raise UsageError(str(problem), hint=f"Did you mean {problem.fix}?" if problem.fix else "") from None
    if parse_grant_end(written, now, zone) <= now:
        raise UsageError(f"{written} is in the past.", hint="Give a date in the future.")
    return written


def parse_end_or_none(text: str, now: datetime, zone: tzinfo, *, has_workspace: bool) -> str:
    """Return the end of access as written in rules, or `none` for access without an end."""
    return text if text == NO_END_WORD else parse_end(text, now, zone, has_workspace=has_workspace)


def parse_note(text: str) -> str:
    """Return the note without surrounding spaces; it must not be empty or longer than `NOTE_LIMIT` characters."""
    note = text.strip()
    if not note:
        raise UsageError("The note is empty.", hint="Write a text, or send no note.")
    if len(note) > NOTE_LIMIT:
        raise UsageError(
            f"The note has {len(note):,} characters; at most {NOTE_LIMIT:,} are allowed.", hint="Shorten it."
        )
    if SURROGATE.search(note):
        raise UsageError("The note contains an invalid character (a lone surrogate).", hint="Type it again.")
    return note


def parse_reason(text: str | None, verb: str, *, is_silent: bool) -> str | None:
    """Return the reason for the person; None for a verb without one. `is_silent` means that no reason is intended."""
    if verb not in VERBS_WITH_REASON:
        return None
    reason = (text or "").strip()
    if not reason and not is_silent:
        raise UsageError("A reason is missing.", hint="Write a reason, or choose to give none.")
    return check_reason(reason or None)


def parse_event_kind(text: str) -> str:
    """Return the kind of an audit log entry. Case does not matter."""
    known = {kind.lower(): kind for kind in KINDS}
    if text.lower() not in known:
        raise UsageError(f"{text[:40]!r} is not a kind of entry.", hint=f"Kinds: {', '.join(KINDS)}.")
    return known[text.lower()]


def is_confirmed(text: str, expected: int | str) -> bool:
    """Return whether the text is the number of changes, with or without thousands separators, or the name."""
    return text.strip().replace(",", "") == str(expected)
