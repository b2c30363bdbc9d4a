"""Reason texts that come with every workspace, and the order in which texts are offered: the workspace's own first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ..domain.ids import Repo
from ..errors import UsageError
from .inputs import ReasonTemplate, Templates, check_templates

READY_TEXTS: Final[Mapping[str, tuple[ReasonTemplate, ...]]] = {
    "reset": (
        ReasonTemplate(
            "Say more about the use",
            "Please say in two or three sentences what you will use this for, and who will have access. Then ask again.",
        ),
        ReasonTemplate(
            "Use your institution's address",
            "Please set the e-mail address of your institution in your Hugging Face account. Then ask again.",
        ),
        ReasonTemplate(
            "Give your full name",
            "Please give your full name, as your institution knows you. Then ask again.",
        ),
    ),
    "reject": (
        ReasonTemplate(
            "Not for this purpose",
            "Access is only given for certain purposes. The use that you describe is not one of them.",
        ),
    ),
}
"""Texts for each verb. They have no placeholders, so they also fit a decision about many people."""


def list_reason_texts(templates: Templates, repos: Sequence[Repo], verb: str) -> Iterator[ReasonTemplate | UsageError]:
    """Yield the texts for a verb: the workspace's own, or why one cannot be used at these repos, then the ready ones."""
    yield from check_templates(templates, repos)
    yield from READY_TEXTS.get(verb, ())
