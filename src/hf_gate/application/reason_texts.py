"""The texts offered for a reason: the workspace's own first, then those that come with hf-gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..domain.ids import Repo
from ..errors import UsageError
from .inputs import ReasonTemplate, Templates, check_templates, find_template
from .ready_texts import LANGUAGES, READY_TEXTS


def list_reason_texts(
    templates: Templates, repos: Sequence[Repo], verb: str, language: str = "en"
) -> Iterator[ReasonTemplate | UsageError]:
    """Yield the texts for a verb: the workspace's own, or why one cannot be used at these repos, then the ready ones.

    `language` is a key of `LANGUAGES`; it chooses among the ready texts.
    """
    yield from check_templates(templates, repos)
    yield from list_ready_texts(verb, language)


def list_ready_texts(verb: str, language: str = "en") -> Sequence[ReasonTemplate]:
    """Return the texts that come with hf-gate for a verb, with their titles. `language` is a key of `LANGUAGES`."""
    return [ReasonTemplate(one.title, one.texts[language]) for one in READY_TEXTS.get(verb, ())]


def find_reason_text(templates: Templates, word: str, verb: str, repos: Sequence[Repo]) -> ReasonTemplate:
    """Return the text `NAME` or `NAME:LANGUAGE`: the workspace's own, else a ready one for this verb.

    Raises UsageError if there is none, or if it cannot be used at these repos.
    """
    name, _, language = word.partition(":")
    ready = next((one for one in READY_TEXTS.get(verb, ()) if one.name == name), None)
    if ready is None or name in templates:
        return find_template(templates, word, repos, also=[one.name for one in READY_TEXTS.get(verb, ())])
    if language and language not in ready.texts:
        raise UsageError(f"The text {name!r} is not written in {language!r}.", hint=f"It is in {', '.join(LANGUAGES)}.")
    return ReasonTemplate(word, ready.texts[language or "en"])
