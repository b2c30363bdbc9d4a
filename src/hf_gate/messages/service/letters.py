"""Writes letters to applicants, and stores which kinds are on.

The store keeps no text and no address of a letter, so an erasure of a person needs no other step.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from math import ceil
from typing import Final

from hf_gate.base.timestamps import DAY_MS, from_ms, to_ms
from hf_gate.core.letters.letter_texts import LETTER_TEXTS
from hf_gate.core.letters.letters import LetterCase, LetterConfig, LetterKind, LetterText, fill_text
from hf_gate.core.people.grants import format_last_day
from hf_gate.core.stored_rows import RequestRow
from hf_gate.messages.records import SampleRecord
from hf_gate.messages.rows import letters
from hf_gate.settings.service.workspace import Workspace

_SAMPLE_END: Final = 7  # days


def store_subscription(workspace: Workspace) -> None:
    """Store which kinds of letters hf-gate.yaml names now, with the moment."""
    letters.write_subscription(workspace.store, workspace.location.config.letters, to_ms(workspace.now()))


def render_letter(
    case: LetterCase,
    row: RequestRow,
    config: LetterConfig,
    endpoint: str,
    zone: tzinfo,
    now: datetime,
) -> LetterText:
    """Return a letter as its recipient reads it."""
    identity = row.person.identity
    user = identity.username or ""
    values = {
        "repo": str(row.repo),
        "link": f"{endpoint}/{row.repo.web_path}",
        "user": user,
        "name": identity.fullname or user,
        "needed": config.needs.get(case.letter.key, ""),
    }
    if case.ends_at is not None:
        left = case.ends_at - to_ms(now)
        values |= {"days": str(ceil(left / DAY_MS)), "date": format_last_day(from_ms(case.ends_at), zone)}
    return _fill(case.kind, config, values)


def _fill(kind: LetterKind, config: LetterConfig, values: dict[str, str]) -> LetterText:
    return fill_text(config.texts.get(kind) or LETTER_TEXTS[kind], values)


def list_samples(workspace: Workspace) -> list[SampleRecord]:
    """Return the text of each kind that is on, with invented values; one for each rule for which
    something is needed.
    """
    config = workspace.location.config.letters
    now = workspace.now()
    ends_at = from_ms(to_ms(now) + _SAMPLE_END * DAY_MS)
    values = {
        "repo": "datasets/acme/example",
        "link": f"{workspace.store.endpoint}/datasets/acme/example",
        "user": "ada-l",
        "name": "Ada Lovelace",
        "days": str(_SAMPLE_END),
        "date": format_last_day(ends_at, workspace.zone),
    }
    samples = []
    for kind in config.kinds:
        for needed in config.needs.values() if kind is LetterKind.NEEDED else ("",):
            text = _fill(kind, config, {**values, "needed": needed})
            samples.append(SampleRecord(kind=kind.value, subject=text.subject, text=text.body))
    return samples
