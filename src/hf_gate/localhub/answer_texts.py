"""Writes honest answers to each kind of question of a form."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from ..domain.timestamps import DAY_MS
from .accounts import Persona
from .gates import DemoField, DemoGate
from .records import HubAccount
from .text_pools import Pools

MISSING: Final = "\0missing"  # the answer is left out


class Requester(NamedTuple):
    account: HubAccount
    persona: Persona
    asked_ms: int


AnswerFunction = Callable[[Random, Requester], tuple[str, str]]  # returns an answer and what is special about it


class AnswerWriter:
    """Provides a function for each kind of question that answers it honestly."""

    def __init__(self, gate: DemoGate, pools: Pools) -> None:
        texts = pools.texts
        self._texts, self._pools, self._topic = texts, pools, gate.topic
        course = gate.topic.endswith("_course")
        self._contexts, self._extras = (
            (texts.course_contexts, texts.course_extras) if course else (texts.contexts, texts.extras)
        )

    def get_text_function(self, field: DemoField) -> AnswerFunction:
        teller: AnswerFunction = getattr(self, f"_{field.question}")
        return teller

    def get_choice_function(self, field: DemoField) -> AnswerFunction:
        if field.type == "select":
            return _make_option_function(field)
        if field.question == "optin":
            return _tick_optin
        return {
            "checkbox": _tick_checkbox,
            "country": _choose_country,
            "ip_location": _draw_location,
            "date_picker": _make_date_function(field.question),
        }[field.type]

    def _purpose(self, rng: Random, _who: Requester) -> tuple[str, str]:
        r, texts = rng.random, self._texts
        tasks = texts.tasks[self._topic]
        task = tasks[int(r() * len(tasks))]
        if "{" in task:
            spoken = texts.names_of_languages["spoken"]
            task = task.replace("{language}", spoken[int(r() * len(spoken))])
        if r() < 0.05:
            skeletons = texts.llm["skeletons"]
            return skeletons[int(r() * len(skeletons))].replace("{task}", task), "language model"
        style = r()
        context = self._contexts[int(r() * len(self._contexts))]
        if style < 0.18:  # a note, not a sentence
            return (f"{task}{context}" if style < 0.12 else task[0].upper() + task[1:]), ""
        text = f"{texts.openers[int(r() * len(texts.openers))]}{task}{context}"
        if style < 0.30:
            return text.lower(), ""
        text += "." if style < 0.85 else ""
        if style < 0.5:
            text += self._extras[int(r() * len(self._extras))] if text.endswith(".") else ""
        if style > 0.96:
            at = 3 + int(r() * (len(text) - 6))
            return text[:at] + text[at + 1 :], "typo"
        return text, ""

    def _affiliation(self, rng: Random, who: Requester) -> tuple[str, str]:
        r, place = rng.random, who.persona.institution
        if place is None:
            words = self._texts.independent
            return words[int(r() * len(words))], "independent"
        x = r()
        if x < 0.12:
            return place.short, "abbreviation"
        if x < 0.18:
            return place.misspelt, "misspelt"
        if x < 0.23 and place.local:
            return place.local, "translated"
        if x < 0.48 and place.kind != "company":
            parts = (
                self._texts.clinical_departments
                if place.kind == "hospital" or self._topic in _CLINICAL
                else self._texts.departments
            )
            part = parts[int(r() * len(parts))]
            return (f"{part}, {place.name}" if r() < 0.6 else f"{place.name}, {part}"), ""
        return (place.name if x < 0.95 else place.name.lower()), ""

    def _name(self, rng: Random, who: Requester) -> tuple[str, str]:
        persona, x = who.persona, rng.random()
        if x < 0.25 and who.account.fullname and persona.hostile_kind is None:
            return who.account.fullname, ""
        if persona.is_family_first and x < 0.4:
            return f"{persona.family} {persona.given}", ""
        return (persona.name.strip() if x < 0.92 else persona.name.strip().lower()), ""

    def _first_name(self, _rng: Random, who: Requester) -> tuple[str, str]:
        return who.persona.given, ""

    def _last_name(self, _rng: Random, who: Requester) -> tuple[str, str]:
        return who.persona.family or who.persona.given, ""

    def _email(self, _rng: Random, who: Requester) -> tuple[str, str]:
        return who.account.email or "", ""

    def _job(self, rng: Random, who: Requester) -> tuple[str, str]:
        jobs = self._texts.jobs.get(who.persona.kind) or self._texts.jobs["hobbyist"]
        return jobs[int(rng.random() * len(jobs))], ""

    def _advisor(self, rng: Random, who: Requester) -> tuple[str, str]:
        cultures = who.persona.country.cultures
        culture = self._pools.cultures[cultures[int(rng.random() * len(cultures))][0]]
        family = culture.family[1][int(rng.random() * len(culture.family[1]))]
        return f"{('Prof. ', 'Dr. ', 'Prof. Dr. ', '')[int(rng.random() * 4)]}{family}", ""

    def _url(self, rng: Random, who: Requester) -> tuple[str, str]:
        x, name = rng.random(), who.account.username
        return (
            (f"https://{name.lower()}.example.org", "")
            if x < 0.4
            else (f"https://example.com/people/{name}", "")
            if x < 0.7
            else (f"https://example.net/~{name}", "")
        )

    def _account(self, _rng: Random, who: Requester) -> tuple[str, str]:
        return f"@{who.account.username}", ""

    def _team(self, rng: Random, _who: Requester) -> tuple[str, str]:
        second = self._texts.handles["second"]
        return (
            f"Team {second[int(rng.random() * len(second))].title()}"
            if rng.random() < 0.5
            else f"Group {int(rng.random() * 24 + 1)}",
            "",
        )

    def _ethics(self, rng: Random, _who: Requester) -> tuple[str, str]:
        x = rng.random()
        if x < 0.35:
            return (
                "not needed, public data only",
                "exempt",
                "not required for retrospective data",
                "will be submitted in spring",
            )[int(rng.random() * 4)], ""
        return (
            f"{('IRB', 'EK', 'REC', 'CEP')[int(x * 100) % 4]} {2023 + int(rng.random() * 4)}-{int(rng.random() * 900 + 100)}",
            "",
        )

    def _course(self, rng: Random, _who: Requester) -> tuple[str, str]:
        return f"NLP {2024 + int(rng.random() * 3)}, group {int(rng.random() * 8 + 1)}", ""

    def _student_number(self, rng: Random, _who: Requester) -> tuple[str, str]:
        return f"{int(2_100_000 + rng.random() * 490_000)}", ""

    def _phone(self, rng: Random, _who: Requester) -> tuple[str, str]:
        return f"+00 555 01{int(rng.random() * 90 + 10)}", ""

    def _country_name(self, rng: Random, who: Requester) -> tuple[str, str]:
        country, x = who.persona.country, rng.random()
        if x < 0.6:
            return country.english, ""
        return (
            (country.local, "own words")
            if x < 0.85
            else (country.english.lower(), "")
            if x < 0.93
            else (country.code, "")
        )


_CLINICAL: Final = ("eeg", "pathology", "radiology")


def _tick_checkbox(rng: Random, _who: Requester) -> tuple[str, str]:
    x = rng.random()
    return (
        ("on", "")
        if x < 0.93
        else ("true", "")
        if x < 0.96
        else (MISSING, "not ticked")
        if x < 0.99
        else ("", "not ticked")
        if x < 0.995
        else ("false", "not ticked")
    )


def _tick_optin(rng: Random, _who: Requester) -> tuple[str, str]:
    return ("on", "") if rng.random() < 0.35 else (MISSING, "")


def _choose_country(rng: Random, who: Requester) -> tuple[str, str]:
    """Return a country: the two letters of the Hub's menu, or rarely a name as from older clients."""
    country, x = who.persona.country, rng.random()
    if x < 0.93:
        return country.code, ""
    return (
        (country.english, "name")
        if x < 0.96
        else (country.english.lower(), "name")
        if x < 0.97
        else (country.local, "own words")
        if x < 0.985
        else (MISSING, "missing")
    )


def _draw_location(rng: Random, who: Requester) -> tuple[str, str]:
    country = who.persona.country
    if rng.random() < 0.05:
        return ("NL, North Holland", "DE, Hesse", "US, Virginia", "SG, Singapore")[int(rng.random() * 4)], "elsewhere"
    return f"{country.code}, {country.regions[int(rng.random() * len(country.regions))]}", ""


def _make_option_function(field: DemoField) -> AnswerFunction:
    options = field.options
    by_value = {value: i for i, (_, value) in enumerate(options)}

    def choose_answer(rng: Random, who: Requester) -> tuple[str, str]:
        r = rng.random
        at = int(r() * r() * len(options)) if field.question not in {"use", "group"} else int(r() * len(options))
        if field.question in {"sector", "level"} and r() < 0.88:
            wanted = _FITTING.get(who.persona.kind, ("other", "Other"))
            at = next((by_value[name] for name in wanted if name in by_value), at)
        label, value = options[at]
        x = r()
        return (
            (value, "")
            if x < 0.92
            else (label, "label")
            if x < 0.985
            else ("I prefer not to say", "option of an older form")
            if x < 0.992
            else (MISSING, "missing")
        )

    return choose_answer


# The options for each kind of person; the form has one of them.
_FITTING: Final = {
    "student": ("Academia", "academic", "Student"),
    "academic": ("Academia", "academic", "AI researcher"),
    "clinician": ("hospital", "public", "Other"),
    "industry": ("Industry", "company", "AI developer/engineer"),
}


def _make_date_function(ask: str) -> AnswerFunction:
    def birth(rng: Random, who: Requester) -> tuple[str, str]:
        r = rng.random
        x = r()
        if x < 0.01:
            return f"{_get_year(who.asked_ms) - 12 - int(r() * 5)}-0{int(r() * 9 + 1)}-{int(r() * 18 + 10)}", "under 18"
        year = _get_year(who.asked_ms) - 19 - int(r() * r() * 45)
        month, day = int(r() * 12 + 1), int(r() * 28 + 1)
        if x < 0.97:
            return f"{year}-{month:02d}-{day:02d}", ""
        odd = ("2001-02-29", "1900-01-01", f"{day:02d}/{month:02d}/{year}", f"{_get_year(who.asked_ms) + 2}-01-01")
        return odd[int(r() * len(odd))], "odd date"

    def end(rng: Random, who: Requester) -> tuple[str, str]:
        x = rng.random()
        months = _get_year(who.asked_ms) * 12 + int(who.asked_ms // (30.44 * DAY_MS)) % 12 + 3 + int(x * 30)
        return f"{months // 12}-{months % 12 + 1:02d}-{('28', '01', '15')[int(x * 1000) % 3]}", ""

    return birth if ask == "birth_date" else end


def _get_year(ms: int) -> int:
    return 1970 + int(ms // (365.2425 * DAY_MS))
