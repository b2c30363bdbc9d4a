"""Reason templates: the texts of the workspace that a person can choose as the reason of a decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.core.requests import check_reason
from hf_gate.errors import ReasonTooLong, UsageError
from hf_gate.policies.checks.reasons import choose_text, fill_reason, reason_length_problem

Templates: TypeAlias = Mapping[str, str | Mapping[str, str]]
"""The texts under `templates:` in hf-gate.yaml, by name and (if there are several) by language."""


class ReasonTemplate(Struct, frozen=True):
    """A reason template of the workspace in one language. `name` is for example `more` or `more:de`."""

    name: str
    text: str

    def fill(self, repo: Repo, user: str | None) -> str:
        """Return the text with its placeholders filled for one person."""
        return fill_reason(self.text, repo=repo.id, user=user or "you", rule="")


def texts_by_language(name: str, texts: str | Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the name and text of a template.

    If there are several languages, return a pair `name:language` and text for each.
    """
    if isinstance(texts, str) or len(texts) == 1:
        return [(name, choose_text(texts))]
    return [(f"{name}:{language}", text) for language, text in texts.items()]


def check_templates(templates: Templates, repos: Sequence[Repo]) -> Iterator[ReasonTemplate | UsageError]:
    """Yield each template in each language, or the error that prevents its use at these repos."""
    for name, texts in templates.items():
        for word, _ in texts_by_language(name, texts):
            try:
                yield find_template(templates, word, repos)
            except UsageError as problem:
                yield problem


def find_template(
    templates: Templates, word: str, repos: Sequence[Repo], *, also: Iterable[str] = ()
) -> ReasonTemplate:
    """Return the template `NAME` or `NAME:LANGUAGE`. Raises UsageError if it is unknown or unusable at these repos.

    `also` are names of texts from elsewhere, for the message.
    """
    name, _, language = word.partition(":")
    found = templates.get(name)
    if found is None:
        known = ", ".join([*sorted(templates), *also]) or "none yet"
        raise UsageError(
            f"There is no template {name!r}.",
            hint=f"Templates: {known}. Add your own in hf-gate.yaml under `templates:` as `name: text`.",
        )
    if language and (isinstance(found, str) or language not in found):
        known = "one language only" if isinstance(found, str) else ", ".join(found)
        raise UsageError(f"The template {name!r} is not written in {language!r}.", hint=f"It is in {known}.")
    text = choose_text(found, language or None)
    if "{rule}" in text:
        raise UsageError(
            f"The template {name!r} contains {{rule}}, but here a person decides, not a rule.",
            hint="Use another template, or --reason TEXT.",
        )
    if too_long := reason_length_problem(text, [repo.id for repo in repos], ""):
        raise ReasonTooLong(f"The filled template {name!r}: {too_long}", hint="Nothing was sent. Shorten the template.")
    check_reason(text if "{" not in text else None)
    return ReasonTemplate(word, text)
