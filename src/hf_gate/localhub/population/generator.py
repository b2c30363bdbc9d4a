"""Generates the data of a local Hub: people of the sample who ask at invented gates, reproducible from a seed.

People and times are drawn once; answers are drawn again on each iteration, so that a million rows can be streamed. The
time is an argument (`now_ms`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from hf_gate.base.timestamps import DAY_MS, HOUR_MS
from hf_gate.localhub.records import HubAccount

from .people import PeopleDrawer, Persona, QuickRandom, fill
from .sample import Answer, DemoGate, demo_gates, load_answers, load_hostile_texts, load_sample

PRESETS: Final = ("consumer", "medical", "class")
MINUTE: Final = 60_000
_YEAR_MS: Final = int(365.2425 * DAY_MS)
_TIES: Final = 0.0005
_PAGE_ENDS: Final = (100, 1000)
_GRANTED: Final = 0.01
_HOSTILE: Final = 0.0043  # together with hostile names, 0.5 % of the rows
_FORMER: Final = 0.15  # of the oldest fifth of the requests
# Three of ten requests come from accounts created for that purpose shortly before.
_NEW_IN_TEN: Final = 3
# The average number of repos at which a shared person asks.
_REPOS_EACH: Final = 1.35
_QUIET: Final = 120  # requests of the quiet repo
_DECIDED: Final = ("accepted",) * 10 + ("rejected",) * 3 + ("reset",) * 2
_AUTO: Final = ("accepted",) * 97 + ("rejected",) * 2 + ("reset",)
_PURPOSE: Final = "purpose"
_NEW: Final = -1  # a person who does not exist yet


class GeneratedRequest(msgspec.Struct, frozen=True, gc=False):
    """One request, and the facts about it, which no client gets.

    A request made by a grant has neither e-mail address nor answers, and no `quality`. `quality` rates text answers by
    label (good, thin, junk, empty, missing or hostile); `manner` says by label what is special about an answer.
    """

    request_id: str
    repo_index: int
    person_index: int
    asked_ms: int
    status: str
    reviewed_ms: int | None
    answers: dict[str, str] | None
    account: HubAccount
    persona: Persona
    gate: DemoGate
    quality: dict[str, str] | None
    manner: dict[str, str]
    hostile_kind: str | None


class Burst(NamedTuple):
    """A kind of group: its share of a repo's requests, its size, the time between its members, and how they are
    decided.
    """

    mail: str
    share: float
    least: int
    most: int
    gap_ms: int
    oldest_ms: int
    outcome: str


# Classes of students, and machine-made accounts. The preset `class` has no classes beside its own.
BURSTS: Final = (
    Burst("academic", 0.02, 16, 40, 80_000, 300 * DAY_MS, "accepted"),
    Burst("disposable", 0.007, 8, 30, 8_000, HOUR_MS, "rejected"),
)


class RepoPlan(NamedTuple):
    """Who asks at a repo, when, and with which status (`granted`: accepted without a request), in the order of time."""

    people: list[int]
    times: list[int]
    statuses: list[str]


class GeneratedData:
    """Gates, accounts and rows (drawn again on each iteration).

    A person index points into `accounts` and `personas`.
    """

    def __init__(self, seed: int, requests: int, repos: int, preset: str, now_ms: int) -> None:
        self.gates = demo_gates(preset, repos)
        self._forms = [FormFiller(gate) for gate in self.gates]
        self._name = f"hf-gate:{seed}:{preset}:{requests}:{repos}"
        self._rng = QuickRandom(self._name)
        self._preset = preset
        self._now = now_ms
        self._people = PeopleDrawer(self._rng, preset)
        self.accounts = self._people.accounts
        self.personas = self._people.personas
        timelines = load_sample().timelines
        days = [self._rng.choice(timelines["quiet" if 4 <= i == repos - 1 else preset]) for i in range(repos)]
        sizes = _draw_sizes(requests, repos)
        shared = [size - size * _NEW_IN_TEN // 10 for size in sizes]
        oldest_ms = now_ms - max(map(len, days), default=0) * DAY_MS
        self._add_shared_people(max([*shared, int(sum(shared) / _REPOS_EACH)], default=0), oldest_ms)
        self._shared = range(len(self.accounts))
        self._plans = [self._plan_repo(*parts) for parts in zip(self._forms, sizes, days, strict=True)]

    def __len__(self) -> int:
        return sum(len(plan.people) for plan in self._plans)

    @property
    def rows(self) -> Iterator[GeneratedRequest]:
        """A new iterator over all rows, repo after repo."""
        rng = QuickRandom(f"{self._name}:rows")
        machine = f"{rng.getrandbits(40):010x}"
        number = rng.getrandbits(23)
        for repo, (form, plan) in enumerate(zip(self._forms, self._plans, strict=True)):
            is_auto = form.gate.mode == "auto"
            for row, (person, asked_ms, status) in enumerate(zip(*plan, strict=True)):
                number += 1
                account = self.accounts[person]
                persona = self.personas[person]
                filled = form.fill(rng, persona, account, asked_ms, status, is_old=row * 5 < len(plan.people))
                wait = 0 if status == "granted" or (is_auto and status == "accepted") else _draw_wait(rng)
                yield GeneratedRequest(
                    f"{asked_ms // 1000:08x}{machine}{number & 0xFFFFFF:06x}",
                    repo,
                    person,
                    asked_ms,
                    "accepted" if status == "granted" else status,
                    None if status == "pending" else min(self._now, asked_ms + wait),
                    filled.answers,
                    account,
                    persona,
                    form.gate,
                    filled.quality,
                    filled.manner,
                    filled.hostile_kind,
                )

    # --- when, who, which status -------------------------------------------------------------------------------

    def _add_shared_people(self, count: int, before_ms: int) -> None:
        """Add accounts older than the oldest repo, so that they can ask anywhere; one in a hundred is a
        second account.
        """
        for i in range(count):
            age = HOUR_MS + int(-420 * DAY_MS * log(1 - self._rng.random()))
            created = before_ms - min(age, 7 * 365 * DAY_MS)
            if i and self._rng.random() < 0.01:
                self._people.add_twin(min(before_ms - HOUR_MS, created + 90 * DAY_MS))
            else:
                self._people.add_person(created)

    def _plan_repo(self, form: FormFiller, size: int, days: tuple[int, ...]) -> RepoPlan:
        rng = self._rng
        gate = form.gate
        rhythm = load_sample().rhythm
        first_day = self._now // DAY_MS - len(days) + 1
        hours = range(first_day * 24, self._now // HOUR_MS)
        weights = [days[hour // 24 - first_day] * rhythm[hour % 168] for hour in hours]
        times = sorted(hour * HOUR_MS + int(rng.random() * HOUR_MS) for hour in rng.choices(hours, weights, k=size))
        for i in range(size - 1):
            if rng.random() < _TIES:
                times[i] = times[i + 1]  # never an earlier time, because the account may be younger than that
        new = size * _NEW_IN_TEN // 10
        people = rng.sample(self._shared, size - new) + [_NEW] * new
        rng.shuffle(people)
        plan = RepoPlan(people, times, [_draw_status(rng, i / size, gate) for i in range(size)])
        if size >= 300 and gate.mode != "auto":
            for burst in BURSTS[self._preset == "class" :]:
                self._add_bursts(plan, form, burst)
        if form is self._forms[0]:
            _tie_page_ends(plan)
        for i, person in enumerate(people):
            if person == _NEW:
                people[i] = self._people.add_person(times[i] - MINUTE - int(rng.random() ** 6 * 20 * DAY_MS))
        return plan

    def _add_bursts(self, plan: RepoPlan, form: FormFiller, burst: Burst) -> None:
        """Let groups of new people ask within a short time, in place of others, with the same text.

        They are a class of one university, or a series of machine-made accounts.
        """
        rng = self._rng
        size = len(plan.people)
        left = max(int(size * burst.share), burst.least if form is self._forms[0] else 0)
        while left >= burst.least:
            count = min(left, rng.randint(burst.least, burst.most))
            left -= count
            first = rng.randrange(size - count)
            start = plan.times[first]
            number = rng.randrange(100, 9100)
            place = rng.choice(self._people.universities) if burst.mail == "academic" else None
            people = self._people.students if place else [rng.choice(load_sample().bots)]
            text = SlotValues(rng, form.words, place.facts)["course"] if place else "research"
            for i in range(count):
                created = start - 3 * HOUR_MS - int(rng.random() ** 3 * burst.oldest_ms)
                person = self._people.add_person(created, burst.mail, rng.choice(people), place, text, number + i)
                plan.people[first + i] = person
                plan.times[first + i] = min(self._now, start + i * burst.gap_ms + int(rng.random() * burst.gap_ms))
                plan.statuses[first + i] = "pending" if rng.random() < 0.8 else burst.outcome


def generate_data(seed: int, requests: int, repos: int, preset: str, now_ms: int) -> GeneratedData:
    """Generate the data; raise ValueError for an unknown preset. `requests` is the total over all repos."""
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known presets: {', '.join(PRESETS)}")
    if requests < 0 or repos < 0 or (requests and not repos):
        raise ValueError("requests and repos must be 0 or more, and requests need at least one repo")
    return GeneratedData(seed, requests, repos, preset, now_ms)


def _draw_sizes(requests: int, repos: int) -> list[int]:
    """Return the number of requests for each repo: the first is popular; the last of five or more gets one request a
    week.
    """
    weights = [1 / (i + 1) ** 0.9 for i in range(repos)]
    sizes = [int(requests * weight / sum(weights)) for weight in weights]
    if repos >= 5:
        sizes[-1] = min(sizes[-1], _QUIET)
    if sizes:
        sizes[0] += requests - sum(sizes)
    return sizes


def _draw_status(rng: Random, age: float, gate: DemoGate) -> str:
    """Draw a status: of 100 requests, 70 are pending, 20 accepted, 6 rejected, 4 reset; of the newest (`age` 1), 95 are
    pending.
    """
    if rng.random() < _GRANTED:
        return "granted"
    if gate.mode == "auto":
        return rng.choice(_AUTO)
    return "pending" if rng.random() < 0.45 + 0.5 * age else rng.choice(_DECIDED)


def _draw_wait(rng: Random) -> int:
    """Draw the time until a review: a few days."""
    return int(-3 * DAY_MS * log(1 - rng.random()))


def _tie_page_ends(plan: RepoPlan) -> None:
    """Give the last pending request of a page and the first of the next page the same time."""
    pending = [(time, i) for i, time in enumerate(plan.times) if plan.statuses[i] == "pending"]
    pending.sort(reverse=True)
    for end in _PAGE_ENDS:
        if end < len(pending):
            plan.times[pending[end][1]] = pending[end - 1][0]


# --- answers -------------------------------------------------------------------------------------------------


class _Year(int):
    """A year; the format `{year:34}` is 34 years earlier."""

    def __format__(self, spec: str) -> str:
        return str(self - int(spec))


class SlotValues(dict[str, Any]):
    """The values of slots: facts about a person, else a word for the slot, preferably one for their
    kind or language.
    """

    def __init__(self, rng: Random, words: dict[str, tuple[str, ...]], facts: dict[str, Any]) -> None:
        super().__init__(facts)
        self._rng = rng
        self._words = words

    def __missing__(self, slot: str) -> str:
        words = self._words
        fitting = words.get(f"{slot}.{self.get('kind')}") or words.get(f"{slot}.{self.get('speaks')}") or words[slot]
        return self._rng.choice(fitting).format_map(self)


def _collect_facts(persona: Persona, account: HubAccount, asked_ms: int) -> dict[str, Any]:
    facts: dict[str, Any] = persona.facts
    facts["username"] = account.username
    facts["shown"] = facts["name"] if persona.hostile_kind else account.fullname or facts["name"]
    facts["year"] = _Year(1970 + asked_ms // _YEAR_MS)
    if account.email is not None:
        facts["email"] = account.email
        facts["mailbox"], _, facts["domain"] = account.email.rpartition("@")
    return facts


class FilledForm(NamedTuple):
    """The answers, and the facts about them (see `GeneratedRequest`)."""

    answers: dict[str, str] | None
    quality: dict[str, str] | None
    manner: dict[str, str]
    hostile_kind: str | None


class FormFiller:
    """Fills in the form of one gate, many times."""

    def __init__(self, gate: DemoGate) -> None:
        self.gate = gate
        self.words = load_sample().words | load_sample().topics[gate.topic]
        self._labels = [field.label for field in gate.fields if field.type == "text"]
        self._answers = load_answers()
        self._sheets = load_sample().sheets

    def fill(
        self, rng: Random, persona: Persona, account: HubAccount, asked_ms: int, status: str, *, is_old: bool
    ) -> FilledForm:
        """Fill in the form; `is_old` requests may answer a question that the form no longer asks."""
        if status == "granted":
            return FilledForm(None, None, {}, None)
        gate = self.gate
        slots = SlotValues(rng, self.words, _collect_facts(persona, account, asked_ms))
        place = persona.institution.form if persona.institution else "none"
        fields = gate.fields
        if is_old and gate.former_fields and rng.random() < _FORMER:
            fields = (*fields, rng.choice(gate.former_fields))
        answers: dict[str, str] = {}
        quality: dict[str, str] = {}
        manner: dict[str, str] = {}
        for field, letter in zip(fields, rng.choice(self._sheets[status]), strict=False):
            label = slots["label"] = field.label
            rated = self._answers.get(field.question) or self._answers[f"affiliation {place}"]
            answer = rng.choice(rated[letter])
            if field.question == _PURPOSE and persona.text is not None:
                answer = Answer(1, "thin" if persona.kind == "bot" else "good", persona.text, "same as the others")
            if answer.text is not None:
                answers[label] = fill(answer.text, slots)
            if answer.quality:
                quality[label] = answer.quality
            if answer.manner:
                manner[label] = answer.manner
        if fields is not gate.fields:
            manner[fields[-1].label] = "former field"
        hostile = persona.hostile_kind
        if self._labels and rng.random() < _HOSTILE:
            label = rng.choice(self._labels)
            hostile, answers[label] = rng.choice(load_hostile_texts())
            quality[label] = "hostile"
        return FilledForm(answers, quality, manner, hostile)
