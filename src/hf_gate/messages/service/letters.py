"""Writes letters to applicants in each language, and stores which kinds are on.

The store keeps no text and no address of a letter, so an erasure of a person needs no other step.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from math import ceil
from typing import Final

from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import DAY_MS, from_ms, to_ms
from hf_gate.core.letters.letter_texts import LETTER_TEXTS
from hf_gate.core.letters.letters import (
    OF_RULES,
    LetterCase,
    LetterConfig,
    LetterKind,
    LetterText,
    fill_text,
    join_languages,
)
from hf_gate.core.people.grants import last_day
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
    wait_ends: datetime | None = None,
) -> LetterText:
    """Return a letter as its recipient reads it, in each language of the workspace.

    `wait_ends` is when the wait of a reminder ends if the reminder is sent now.
    """
    identity = row.person.identity
    user = identity.username or ""
    values = _place(row.repo, endpoint) | {"user": user, "name": identity.fullname or user}
    if case.ends_at is not None:
        left = case.ends_at - to_ms(now)
        values |= {"days": str(ceil(left / DAY_MS)), "date": f"{last_day(from_ms(case.ends_at), zone)}"}
    if case.kind is LetterKind.REMINDER:
        values["date"] = "?" if wait_ends is None else f"{wait_ends.astimezone(zone):%Y-%m-%d}"
    return _fill(case.kind, config, values, config.needs.get(case.letter.key, {}))


def _place(repo: Repo, endpoint: str) -> dict[str, str]:
    return {"repo": str(repo), "link": f"{endpoint}/{repo.web_path}"}


def _fill(kind: LetterKind, config: LetterConfig, values: dict[str, str], needs: object) -> LetterText:
    parts = []
    for language in config.languages:
        own = config.texts.get(kind, {}).get(language)
        needed = needs.get(language) or next(iter(needs.values()), "") if isinstance(needs, dict) else ""
        parts.append(fill_text(own or LETTER_TEXTS[kind][language], {**values, "needed": needed}))
    return join_languages(parts)


def list_samples(workspace: Workspace) -> list[SampleRecord]:
    """Return the text of each kind that is on, with invented values; one for each rule for which
    something is needed.
    """
    config = workspace.location.config.letters
    now = workspace.now()
    ends_at = from_ms(to_ms(now) + _SAMPLE_END * DAY_MS).astimezone(workspace.zone)
    values = {
        "repo": "datasets/acme/example",
        "link": f"{workspace.store.endpoint}/datasets/acme/example",
        "user": "ada-l",
        "name": "Ada Lovelace",
        "days": str(_SAMPLE_END),
        "date": f"{ends_at:%Y-%m-%d}",
    }
    samples = []
    for kind in config.kinds:
        for needs in config.needs.values() if kind in OF_RULES else ({},):
            text = _fill(kind, config, values, needs)
            samples.append(SampleRecord(kind=kind.value, subject=text.subject, text=text.body))
    return samples
