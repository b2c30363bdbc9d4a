"""The texts offered for a reason: the workspace's own, then those that come with hf-gate, for each common cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.errors import UsageError

from .reason_templates import ReasonTemplate, Templates, check_templates, find_template


class ReadyText(Struct, frozen=True):
    """A text for one cause. `name` is used on the command line, `title` in lists."""

    name: str
    title: str
    text: str


READY_TEXTS: Final[Mapping[str, tuple[ReadyText, ...]]] = {
    "reset": (
        ReadyText(
            "say-more",
            "Say more about the use",
            "Please say in two or three sentences what you will use this for, and who will have access. Then ask again.",
        ),
        ReadyText(
            "institution-address",
            "Use your institution's address",
            "Please set the e-mail address of your institution in your Hugging Face account. Then ask again.",
        ),
        ReadyText(
            "full-name",
            "Give your full name",
            "Please give your full name, as your institution knows you. Then ask again.",
        ),
        ReadyText(
            "institution",
            "Name your institution",
            "Please name your institution or company, with a link to a page that mentions you. Then ask again.",
        ),
        ReadyText(
            "agreement",
            "Send the signed agreement",
            "We have not received your signed agreement. Please send it as the page describes. Then ask again.",
        ),
        ReadyText(
            "complete-form",
            "Answer every question",
            "Please answer every question of the form in full. Then ask again.",
        ),
    ),
    "reject": (
        ReadyText(
            "other-purpose",
            "Not for this purpose",
            "Access is only given for certain purposes. The use that you describe is not one of them.",
        ),
    ),
}
"""The texts for each verb. They have no placeholders, so they also fit a decision about many people."""


def list_reason_texts(templates: Templates, repos: Sequence[Repo], verb: str) -> Iterator[ReasonTemplate | UsageError]:
    """Yield the texts for a verb: the workspace's own, or why one cannot be used at these repos, then the ready ones."""
    yield from check_templates(templates, repos)
    yield from list_ready_texts(verb)


def list_ready_texts(verb: str) -> Sequence[ReasonTemplate]:
    """Return the texts that come with hf-gate for a verb, with their titles."""
    return [ReasonTemplate(one.title, one.text) for one in READY_TEXTS.get(verb, ())]


def find_reason_text(templates: Templates, name: str, verb: str, repos: Sequence[Repo]) -> ReasonTemplate:
    """Return the text of this name: the workspace's own, else a ready one for this verb.

    Raises UsageError if there is none, or if it cannot be used at these repos.
    """
    ready = next((one for one in READY_TEXTS.get(verb, ()) if one.name == name), None)
    if ready is None or name in templates:
        return find_template(templates, name, repos, also=[one.name for one in READY_TEXTS.get(verb, ())])
    return ReasonTemplate(name, ready.text)
