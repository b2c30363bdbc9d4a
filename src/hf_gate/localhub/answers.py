"""Fills in gate forms for invented people, and records how good each answer is. The records go to the oracle only."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from ..domain.normalization import normalize
from . import email_addresses
from .answer_texts import MISSING, AnswerFunction, AnswerWriter, Requester
from .gates import DemoField, DemoGate
from .hostile_texts import HOSTILE
from .text_pools import AnswerTexts, Pools


class FilledForm(NamedTuple):
    """A form with answers.

    `quality` rates text answers by label (good, thin, junk, empty, missing or hostile); `manner` says by label what is
    special about an answer.
    """

    answers: dict[str, str]
    quality: dict[str, str]
    manner: dict[str, str]
    hostile_kind: str | None


# The quality of text answers by how careful a person is: upper bounds for good, thin, empty, missing, junk and template;
# the rest is in another language. Weighted by _MOODS, the shares of all rows are 59, 18, 6, 3, 9, 4 and 1 %.
_CARE: Final = {
    "careful": (0.86, 0.91, 0.925, 0.945, 0.955, 0.985),
    "lazy": (0.22, 0.67, 0.77, 0.82, 0.92, 0.99),
    "careless": (0.10, 0.27, 0.45, 0.48, 0.98, 1.0),
}
# Upper bounds for careful and lazy people out of 100 requests with a status; the rest are careless.
_MOODS: Final = {"pending": (60, 88), "accepted": (82, 97), "rejected": (20, 55), "reset": (15, 75)}
HOSTILE_SHARE: Final = 0.0043  # together with hostile names, 0.5 % of the rows
DRIFT_SHARE: Final = 0.03


class FormFiller:
    """Fills in the form of one gate, many times."""

    def __init__(self, gate: DemoGate, pools: Pools) -> None:
        self._texts = pools.texts
        tell = AnswerWriter(gate, pools)
        self._fields = [
            (
                field,
                tell.get_text_function(field) if field.type == "text" else tell.get_choice_function(field),
                field.type == "text",
            )
            for field in gate.fields
        ]
        self._former = [
            (field, tell.get_text_function(field) if field.type == "text" else tell.get_choice_function(field))
            for field in gate.former_fields
        ]
        self._labels = [field.label for field in gate.fields if field.type == "text"]

    def fill(self, rng: Random, who: Requester, status: str, *, old: bool) -> FilledForm:
        """Fill in the form; `old` requests may answer a question that the form no longer asks."""
        r = rng.random
        mood = r() * 100
        careful, lazy = _MOODS[status]
        edges = _CARE[
            "careful" if mood < careful or who.persona.text is not None else "lazy" if mood < lazy else "careless"
        ]
        answers: dict[str, str] = {}
        quality: dict[str, str] = {}
        manner: dict[str, str] = {}
        for field, teller, is_text in self._fields:
            label = field.label
            if not is_text:
                value, special = teller(rng, who)
                if value != MISSING:
                    answers[label] = value
            else:
                kind, value, special = self._draw_text_answer(rng, who, field, teller, edges)
                quality[label] = kind
                if kind != "missing":
                    answers[label] = value
            if special:
                manner[label] = special
        if old and self._former and r() < 5 * DRIFT_SHARE:
            self._add_former_answer(rng, who, answers, manner)
        hostile = None
        if self._labels and r() < HOSTILE_SHARE:
            label = self._labels[int(r() * len(self._labels))]
            hostile, answers[label] = HOSTILE[int(r() * len(HOSTILE))]
            quality[label] = "hostile"
        return FilledForm(answers, quality, manner, hostile)

    def _add_former_answer(self, rng: Random, who: Requester, answers: dict[str, str], manner: dict[str, str]) -> None:
        field, teller = self._former[int(rng.random() * len(self._former))]
        value, _ = teller(rng, who)
        if value != MISSING:
            answers[field.label] = value
            manner[field.label] = "former field"

    def _draw_text_answer(
        self, rng: Random, who: Requester, field: DemoField, teller: AnswerFunction, edges: tuple[float, ...]
    ) -> tuple[str, str, str]:
        """Return the quality, answer and manner."""
        persona, purpose = who.persona, field.question == "purpose"
        if purpose and persona.text is not None:
            return ("thin" if persona.kind == "bot" else "good"), persona.text, "same as the others"
        if field.question == "email":
            return _draw_email_answer(rng, who, self._texts)
        x = rng.random()
        if x >= edges[4] and purpose:
            return (
                _draw_shared_text(rng, self._texts)
                if x < edges[5]
                else _draw_own_language(rng, who, self._texts, teller)
            )
        if x < edges[0] or x >= edges[4]:
            return ("good", *teller(rng, who))
        if x < edges[1]:
            return _draw_thin_answer(rng, who, field.question, self._texts)
        if x < edges[2]:
            return "empty", "" if rng.random() < 0.85 else " ", ""
        return ("missing", "", "") if x < edges[3] else ("junk", _draw_junk_answer(rng, who, field, self._texts), "")


def _draw_shared_text(rng: Random, texts: AnswerTexts) -> tuple[str, str, str]:
    shared = texts.shared["texts"]
    return "thin", shared[int(rng.random() * len(shared))], "template"


def _draw_own_language(rng: Random, who: Requester, texts: AnswerTexts, teller: AnswerFunction) -> tuple[str, str, str]:
    written = texts.languages.get(who.persona.country.language)
    if not written:
        value, manner = teller(rng, who)
        return "good", value, manner
    return "good", written[int(rng.random() * len(written))], "own language"


def _draw_thin_answer(rng: Random, who: Requester, ask: str, texts: AnswerTexts) -> tuple[str, str, str]:
    persona = who.persona
    if ask == "first_name" or (ask == "name" and rng.random() < 0.75):
        return "good", persona.given, "given name only" if ask == "name" else ""
    if ask in {"name", "last_name"}:
        return "thin", (persona.family or persona.given)[:1] + ("." if rng.random() < 0.5 else ""), ""
    key = _THIN_AFFILIATIONS.get(persona.kind, ask) if ask == "affiliation" else ask
    words = texts.thin.get(key, texts.thin["other"])
    return "thin", words[int(rng.random() * len(words))], ""


_THIN_AFFILIATIONS: Final = {
    "industry": "affiliation_work",
    "clinician": "affiliation_clinic",
    "hobbyist": "affiliation_none",
}


def _draw_junk_answer(rng: Random, who: Requester, field: DemoField, texts: AnswerTexts) -> str:
    x = rng.random()
    if x < 0.06 and len(field.label) < 60:
        return field.label if x < 0.03 else field.label.lower()
    if x < 0.12 and "name" not in field.question and who.account.fullname and who.persona.hostile_kind is None:
        return who.account.fullname
    return _draw_junk_word(rng, who, texts)


def _draw_junk_word(rng: Random, who: Requester, texts: AnswerTexts) -> str:
    own = texts.junk.get(who.persona.country.language)
    words = own if own and rng.random() < 0.25 else texts.junk["any"]
    return words[int(rng.random() * len(words))]


def _draw_email_answer(rng: Random, who: Requester, texts: AnswerTexts) -> tuple[str, str, str]:
    """Return an e-mail address: the account's, another one of the person's, another spelling, somebody else's, junk or empty."""
    x = rng.random()
    persona, address = who.persona, who.account.email
    if address is None or 0.70 <= x < 0.85:
        return (
            "good",
            email_addresses.draw_free_address(
                rng, persona.country.code, _to_ascii_letters(persona.given), _to_ascii_letters(persona.family)
            ),
            "another address",
        )
    if x < 0.70:
        return "good", address, ""
    if x < 0.88:
        return "good", email_addresses.vary_spelling(rng, address), "another spelling"
    if x < 0.89:
        return "good", f"office{int(rng.random() * 90)}@{_OTHER_DOMAINS[int(rng.random() * 3)]}", "somebody else's"
    if x < 0.97:
        return "junk", _draw_junk_word(rng, who, texts), ""
    return "empty", "", ""


def _to_ascii_letters(name: str) -> str:
    letters = "".join(c for c in normalize("NFD", name.lower()) if "a" <= c <= "z")
    return letters or "me"


_OTHER_DOMAINS: Final = ("example.org", "example.net", "example.com")
