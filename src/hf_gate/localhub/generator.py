"""Generates the data of a local Hub: invented people who ask at invented gates, reproducible from a seed.

People are drawn once. Rows come in blocks that depend only on the seed and the block number. So a million rows can be
streamed, and two processes generate the same rows. The time is an argument (`now_ms`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from random import Random
from typing import Final, NamedTuple

import msgspec

from ..domain.timestamps import DAY_MS, HOUR_MS
from .accounts import Persona, PersonGenerator
from .answer_texts import Requester
from .answers import FormFiller
from .email_addresses import CLASSES
from .gates import DemoGate, demo_gates
from .records import HubAccount
from .request_schedule import (
    BLOCK_SIZE,
    MINUTE,
    Burst,
    RequestPlanner,
    RowBlock,
    draw_university,
    split_into_blocks,
)
from .text_pools import load_pools, seed_random

__all__ = [
    "BLOCK_SIZE",
    "PRESETS",
    "GeneratedData",
    "GeneratedRequest",
    "Persona",
    "encode_oracle_line",
    "generate_data",
]

PRESETS: Final = tuple(CLASSES)
_TIES: Final = 0.0005
_GRANTED: Final = 0.01
_PAGE_ENDS: Final = (100, 1000)


_PURPOSE, _AFFILIATION, _CONSENT = "purpose", "affiliation", "consent"


class RequestTruth(msgspec.Struct, frozen=True, gc=False):
    """The facts about a request, for the oracle.

    `quality` and `manner` are by label (see `FilledForm`); `roles` maps the labels of the gate to roles.
    """

    persona: Persona
    email: str | None
    roles: dict[str, str]
    wants_institution: bool
    quality: dict[str, str] | None = None
    manner: dict[str, str] | None = None
    hostile_kind: str | None = None

    @property
    def person_kind(self) -> str:
        return self.persona.kind

    @property
    def person_id(self) -> int:
        return self.persona.person_id

    @property
    def expected_role_values(self) -> dict[str, str | None]:
        persona = self.persona
        return {
            "name": persona.name.strip() or None,
            "email": self.email,
            "affiliation": persona.institution.name if persona.institution else None,
            "country": persona.country.code,
        }

    @property
    def expected_decision(self) -> str:
        """The decision of a sensible reviewer: accept, reset, reject or human. The first matching rule wins."""
        quality, manner, roles = self.quality, self.manner or {}, self.roles
        if quality is None:
            return "accept"
        if self.persona.kind == "bot" or self.hostile_kind in ("injection", "evidence"):
            return "reject"
        if (
            self.hostile_kind is not None
            or self.persona.mail in ("lookalike", "disposable", "odd")
            or "under 18" in manner.values()
        ):
            return "human"
        if any(manner.get(label) == "not ticked" for label, role in roles.items() if role == _CONSENT):
            return "reset"
        if any(
            quality.get(label, "good") != "good" for label, role in roles.items() if role in (_PURPOSE, _AFFILIATION)
        ):
            return "reset"
        if self.wants_institution and self.persona.mail not in ("academic", "company"):
            return "human"
        return "accept"


class GeneratedRequest(msgspec.Struct, frozen=True, gc=False):
    """One request. If `is_granted`, it has neither e-mail address nor answers. `truth` is never sent."""

    request_id: str
    repo_index: int
    person_index: int
    asked_ms: int
    status: str
    reviewed_ms: int | None
    is_granted: bool
    answers: dict[str, str] | None
    truth: RequestTruth


_LINE: Final = msgspec.json.Encoder()


def encode_oracle_line(drawn: GeneratedRequest) -> bytes:
    """Return the oracle's JSON line about a request, including the line end."""
    truth = drawn.truth
    line = {
        "request_id": drawn.request_id,
        "person_id": truth.person_id,
        "class": truth.person_kind,
        "email_class": truth.persona.mail,
        "quality": truth.quality,
        "manner": truth.manner or {},
        "hostile_kind": truth.hostile_kind,
        "expected_role_values": truth.expected_role_values,
        "should": truth.expected_decision,
    }
    return _LINE.encode(line) + b"\n"


class _RowOutline(NamedTuple):
    """A row without answers. `is_old` marks the first fifth of the repo's requests."""

    person: int
    asked_ms: int
    status: str
    is_granted: bool = False
    is_old: bool = False


class GeneratedData:
    """Gates, accounts and rows (drawn again on each iteration). A person index points into `accounts` and `personas`."""

    def __init__(self, seed: int, requests: int, repos: int, preset: str, now_ms: int) -> None:
        words = load_pools()
        rng = seed_random(f"hf-gate:{seed}:scene:{preset}:{requests}:{repos}")
        home = draw_university(words, rng) if preset == "class" else None
        crowd = PersonGenerator(words, rng, preset, home=home)
        self.gates: tuple[DemoGate, ...] = demo_gates(preset, repos)
        self._seed, self._now = seed, now_ms
        self._forms = [FormFiller(gate, words) for gate in self.gates]
        self._roles = [{field.label: field.role for field in gate.fields} for gate in self.gates]
        self._machine, self._counter = f"{rng.getrandbits(40):010x}", rng.getrandbits(23)
        self._plans = RequestPlanner(crowd, rng, preset, now_ms, words).plan_repos(requests, self.gates)
        self.accounts: list[HubAccount] = crowd.accounts
        self.personas: list[Persona] = crowd.personas
        self._blocks = split_into_blocks(self._plans)
        self._tied_times: dict[int, int] = {}
        self._tied_times = self._tie_page_ends()

    def __len__(self) -> int:
        return sum(block.high - block.low for block in self._blocks)

    @property
    def rows(self) -> Iterator[GeneratedRequest]:
        """A new iterator over all rows, repo after repo."""
        for block in range(len(self._blocks)):
            yield from self.draw_block(block)

    def draw_block(self, number: int) -> list[GeneratedRequest]:
        """Return the rows of one block. They all belong to one repo and do not depend on other blocks."""
        repo, _, _, first_row = self._blocks[number]
        rng = seed_random(f"hf-gate:{self._seed}:answers:{number}")
        return [
            self._draw_row(rng, repo, row, outline)
            for row, outline in enumerate(self._draw_outlines(number), first_row)
        ]

    def _draw_row(self, rng: Random, repo: int, row: int, outline: _RowOutline) -> GeneratedRequest:
        account, persona = self.accounts[outline.person], self.personas[outline.person]
        gate, roles, asked_ms = self.gates[repo], self._roles[repo], outline.asked_ms
        answers = None
        at_once = outline.is_granted or (outline.status == "accepted" and self._plans[repo].is_auto)
        reviewed = asked_ms if at_once else _draw_review_time(rng, outline, self._now)
        if outline.is_granted:
            truth = RequestTruth(persona, account.email, roles, gate.is_for_institutions)
        else:
            filled = self._forms[repo].fill(
                rng, Requester(account, persona, asked_ms), outline.status, old=outline.is_old
            )
            answers = filled.answers
            hostile = filled.hostile_kind or persona.hostile_kind
            truth = RequestTruth(
                persona, account.email, roles, gate.is_for_institutions, filled.quality, filled.manner or None, hostile
            )
        request_id = f"{asked_ms // 1000:08x}{self._machine}{self._counter + row & 0xFFFFFF:06x}"
        return GeneratedRequest(
            request_id, repo, outline.person, asked_ms, outline.status, reviewed, outline.is_granted, answers, truth
        )

    # --- when, who, which status -------------------------------------------------------------------------------

    def _draw_outlines(self, number: int) -> list[_RowOutline]:
        block = self._blocks[number]
        plan = self._plans[block.repo]
        rng = seed_random(f"hf-gate:{self._seed}:spine:{number}")
        if block.low >= plan.main:
            return [outline for burst in plan.bursts for outline in _draw_burst_rows(rng, burst, self._now)]
        r, person, main, moved = rng.random, plan.person_index, plan.main, self._tied_times
        times = self._draw_times(rng, block)
        rows = []
        for slot in range(block.low, block.high):
            at = slot - block.low
            status = _draw_auto_status(r()) if plan.is_auto else _draw_status(r(), slot / main)
            granted = r() < _GRANTED
            asked_ms = moved.get(block.first_row + at, times[at])
            rows.append(
                _RowOutline(person(slot), asked_ms, "accepted" if granted else status, granted, slot * 5 < main)
            )
        return rows

    def _draw_times(self, rng: Random, block: RowBlock) -> list[int]:
        """Draw a time for each row from the row's part of the timeline, so that rows are ordered by time.

        A few times are equal.
        """
        r, plan = rng.random, self._plans[block.repo]
        at, main = plan.timeline.get_time, plan.main
        times = [at((slot + r()) / main) for slot in range(block.low, block.high)]
        for i in range(len(times) - 1):
            if r() < _TIES:
                times[i] = times[i + 1]  # never an earlier time, because the account may be younger than that
        return times

    def _tie_page_ends(self) -> dict[int, int]:
        """Return times in the first repo that are equal for the last pending request of a page and the first of the next page."""
        pending: list[tuple[int, int]] = []
        for number in reversed([n for n, block in enumerate(self._blocks) if block.repo == 0]):
            block = self._blocks[number]
            rows = enumerate(self._draw_outlines(number), block.first_row)
            pending += [(outline.asked_ms, row) for row, outline in rows if outline.status == "pending"]
            if block.low < self._plans[0].main and len(pending) > _PAGE_ENDS[-1] + 400:
                break
        pending.sort(reverse=True)
        last = self._plans[0].main if self._plans else 0
        ends = (end for end in _PAGE_ENDS if len(pending) > end and pending[end][1] < last)
        return {pending[end][1]: pending[end - 1][0] for end in ends}


def generate_data(seed: int, requests: int, repos: int, preset: str, now_ms: int) -> GeneratedData:
    """Generate the data; raise ValueError for an unknown preset. `requests` is the total over all repos."""
    if preset not in CLASSES:
        raise ValueError(f"unknown preset {preset!r}; known presets: {', '.join(PRESETS)}")
    if requests < 0 or repos < 0 or (requests and not repos):
        raise ValueError("requests and repos must be 0 or more, and requests need at least one repo")
    return GeneratedData(seed, requests, repos, preset, now_ms)


def _draw_status(x: float, age: float) -> str:
    """Draw a status: of 100 requests, 70 are pending, 20 accepted, 6 rejected, 4 reset; of the newest (`age` 1), 95 are pending."""
    pending = 0.45 + 0.5 * age
    if x < pending:
        return "pending"
    rest = (x - pending) / (1 - pending)
    return "accepted" if rest < 2 / 3 else "rejected" if rest < 13 / 15 else "reset"


def _draw_auto_status(x: float) -> str:
    return "accepted" if x < 0.97 else "rejected" if x < 0.99 else "reset"


def _draw_review_time(rng: Random, outline: _RowOutline, now_ms: int) -> int | None:
    """Draw the time of review: most requests are decided within days, in the early afternoon."""
    if outline.status == "pending":
        return None
    asked_ms = outline.asked_ms
    wait = 1 + int(-3 * log(1 - rng.random()))
    reviewed = (asked_ms // DAY_MS + wait) * DAY_MS + 12 * HOUR_MS + int(rng.random() * 55 * MINUTE)
    return reviewed if reviewed <= now_ms else asked_ms + int((now_ms - asked_ms) * rng.random())


def _draw_burst_rows(rng: Random, burst: Burst, now_ms: int) -> Iterator[_RowOutline]:
    for i in range(burst.size):
        asked_ms = min(now_ms, burst.start_ms + i * burst.step_ms + int(rng.random() * burst.step_ms))
        yield _RowOutline(burst.first_person + i, asked_ms, "pending" if rng.random() < 0.8 else burst.outcome)
