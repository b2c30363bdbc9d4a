"""Reason templates: the texts of the workspace that a person can choose as the reason of a decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.core.requests import check_reason
from hf_gate.errors import ReasonTooLong, UsageError
from hf_gate.policies.checks.reasons import fill_reason, reason_length_problem

Templates: TypeAlias = Mapping[str, str]
"""The texts under `templates:` in hf-gate.yaml, by name."""


class ReasonTemplate(Struct, frozen=True):
    """A text that a person can choose as the reason of a decision."""

    name: str
    text: str

    def fill(self, repo: Repo, user: str | None) -> str:
        """Return the text with its placeholders filled for one person."""
        return fill_reason(self.text, repo=repo.id, user=user or "you", rule="")


def check_templates(templates: Templates, repos: Sequence[Repo]) -> Iterator[ReasonTemplate | UsageError]:
    """Yield each template, or the error that prevents its use at these repos."""
    for name in templates:
        try:
            yield find_template(templates, name, repos)
        except UsageError as problem:
            yield problem


def find_template(
    templates: Templates, name: str, repos: Sequence[Repo], *, also: Iterable[str] = ()
) -> ReasonTemplate:
    """Return the template of this name. Raises UsageError if it is unknown or unusable at these repos.

    `also` are names of texts from elsewhere, for the message.
    """
    text = templates.get(name)
    if text is None:
        known = ", ".join([*sorted(templates), *also]) or "none yet"
        raise UsageError(
            f"There is no template {name!r}.",
            hint=f"Templates: {known}. Add your own in hf-gate.yaml under `templates:` as `name: text`.",
        )
    if "{rule}" in text:
        raise UsageError(
            f"The template {name!r} contains {{rule}}, but here a person decides, not a rule.",
            hint="Use another template, or --reason TEXT.",
        )
    if too_long := reason_length_problem(text, [repo.id for repo in repos], ""):
        raise ReasonTooLong(f"The filled template {name!r}: {too_long}", hint="Nothing was sent. Shorten the template.")
    check_reason(text if "{" not in text else None)
    return ReasonTemplate(name, text)
