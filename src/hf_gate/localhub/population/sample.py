"""The sample of invented people, answers and gates from which local Hubs are made.

`tools/people/make_sample.py` writes it. Its texts are templates: `{slot}` is a fact about the person, or a word for
that slot.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.decoding import decode_json

QUALITIES: Final = "gtemjso"  # good, thin, empty, missing, junk, shared by many, in the person's own language


class Place(Struct, frozen=True, gc=False, array_like=True):
    """Where a person works or studies. Universities and their domains are real; hospitals and companies are invented.

    `form` says which answers to the question for an affiliation fit: the kind of place, with `abroad` if `facts` have a
    `local` name.
    """

    form: str
    staff: tuple[str, ...]
    students: tuple[str, ...]
    facts: dict[str, str]

    @property
    def name(self) -> str:
        return self.facts["place"]


class SampledPerson(Struct, frozen=True, eq=False, gc=False, array_like=True):
    """A person of the sample.

    `country` and `place` are positions in the lists of the sample. A name is given in its own script, in Latin letters
    and in ASCII, without equal forms.
    """

    kind: str
    culture: str
    country: int
    region: str
    place: int | None
    given: tuple[str, ...]
    family: tuple[str, ...]
    fullname: str
    username: str
    email: str | None


class Answer(NamedTuple):
    """An answer, its frequency, how good it is, and what is special about it. It is left out if `text` is None."""

    weight: int
    quality: str
    text: str | None
    manner: str


class DemoField(Struct, frozen=True, array_like=True):
    """One field of a form: `question` is a key of the answers; `type` is the type in the card."""

    label: str
    type: str
    question: str
    role: str
    options: tuple[tuple[str, str], ...] = ()


class DemoGate(Struct, frozen=True):
    """An invented gated repo. `card` is the complete README.md; `former_fields` are fields that the form once had."""

    repo_type: Literal["model", "dataset"]
    namespace: str
    name: str
    card: str
    mode: Literal["auto", "manual"]
    owner_kind: Literal["org", "user"]
    topic: str
    fields: tuple[DemoField, ...]
    former_fields: tuple[DemoField, ...]
    is_for_institutions: bool


class Sample(Struct, frozen=True):
    """The file. `shares` and `people` are by preset and kind of e-mail address; `answers` by question and quality.

    `sheets` are by the status of a request: each letter is the quality of one answer. `rhythm` is the weight of each
    hour of a week, `timelines` that of each day since a repo was opened.
    """

    countries: tuple[dict[str, str], ...]
    places: tuple[Place, ...]
    shares: dict[str, dict[str, int]]
    people: dict[str, dict[str, tuple[SampledPerson, ...]]]
    bots: tuple[SampledPerson, ...]
    answers: dict[str, dict[str, tuple[Answer, ...]]]
    words: dict[str, tuple[str, ...]]
    topics: dict[str, dict[str, tuple[str, ...]]]
    sheets: dict[str, tuple[str, ...]]
    rhythm: tuple[int, ...]
    timelines: dict[str, tuple[tuple[int, ...], ...]]
    gates: dict[str, tuple[DemoGate, ...]]
    hostile: dict[str, tuple[str, ...]]


@cache
def load_sample() -> Sample:
    return decode_json(Path(__file__).with_name("people.json").read_bytes(), Sample)


@cache
def load_answers() -> dict[str, dict[str, list[Answer]]]:
    """Return the answers to each question by quality, each of them as often as it is given."""
    return {
        question: {letter: _repeat_answers(rated.get(letter, rated["g"])) for letter in QUALITIES}
        for question, rated in load_sample().answers.items()
    }


def _repeat_answers(answers: tuple[Answer, ...]) -> list[Answer]:
    return [answer for answer in answers for _ in range(answer.weight)]


@cache
def load_hostile_texts() -> list[tuple[str, str]]:
    """Return texts that attack programs that show, export, parse or evaluate them, with their kind."""
    return [(kind, text) for kind, texts in load_sample().hostile.items() for text in texts]


def demo_gates(preset: str, count: int) -> tuple[DemoGate, ...]:
    """Return `count` gates of a preset; from the thirteenth on, the first ones again with other names."""
    gates = load_sample().gates[preset]
    repeated = (gates[i % len(gates)] for i in range(count))
    return tuple(gate if i < len(gates) else replace(gate, name=f"{gate.name}-{i}") for i, gate in enumerate(repeated))
