"""Maps the answers of a request to the roles of form fields, and rates the answers.

Labels vary by form; roles do not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, lru_cache

from msgspec import Struct, field

from hf_gate.core.forms.forms import GateForm, collapse_whitespace
from hf_gate.core.forms.roles import Role, role_of
from hf_gate.requests.answer_ratings import Quality

from .email_addresses import parse_address

TICKED = frozenset({"on", "true", "yes", "1", "checked"})
"""The strings that mean a ticked box. Any other answer, or none, means not ticked."""

_NOT_TICKED = frozenset({"", "off", "false", "no", "0", "unchecked"})
_RANK = {Quality.EMPTY: 0, Quality.JUNK: 1, Quality.THIN: 2, Quality.GOOD: 3}


class FormRoles(Struct, frozen=True, eq=False):
    """The role of each field of a form. If `is_known` is false, the card has not been read and the boxes are unknown.

    Labels are folded; `overrides` are the roles set by a policy.
    """

    roles: Mapping[str, Role] = field(default_factory=dict)
    boxes: tuple[str, ...] = ()  # consent checkboxes
    overrides: Mapping[str, str] = field(default_factory=dict)  # label by role
    is_known: bool = False


NO_FORM = FormRoles()


def form_roles(form: GateForm | None, overrides: Mapping[str, str] | None = None) -> FormRoles:
    """Return the roles of a form's fields. `overrides` maps a role to its only label, instead of guessing."""
    overrides = {role: collapse_whitespace(label) for role, label in (overrides or {}).items()}
    fields = form.fields if form else ()
    roles = {each.label: _override_role(each.label, each.role, overrides) for each in fields}
    boxes = tuple(each.label for each in fields if each.type == "checkbox" and roles[each.label] is Role.CONSENT)
    return FormRoles(roles, boxes, overrides, form is not None)


def _override_role(label: str, guess: Role, stated: Mapping[str, str]) -> Role:
    for role, chosen in stated.items():
        if chosen == label:
            return Role(role)
    return Role.OTHER if guess.value in stated else guess


class AnswerLayout(Struct, frozen=True):
    """Which labels belong to which role, for requests with the same labels. Labels are as sent by the Hub."""

    folded: tuple[tuple[str, str], ...]  # (label as sent, folded label)
    by_role: Mapping[str, tuple[str, ...]]
    boxes: tuple[str, ...]
    has_all_boxes: bool


@lru_cache(maxsize=1024)
def layout_answers(form: FormRoles, labels: tuple[str, ...]) -> AnswerLayout:
    """Return the layout of answers with these labels. The role of a label that is not in the form is guessed."""
    folded = tuple((label, collapse_whitespace(label)) for label in labels)
    by_role: dict[str, tuple[str, ...]] = {}
    for label, plain in folded:
        role = form.roles.get(plain) or _override_role(plain, role_of(plain), form.overrides)
        by_role[role.value] = (*by_role.get(role.value, ()), label)
    boxes = tuple(label for label, plain in folded if plain in form.boxes)
    found = {plain for _, plain in folded}
    return AnswerLayout(folded, by_role, boxes, all(box in found for box in form.boxes))


@cache
def _load_rater() -> Callable[[str, str, Role, Collection[str]], Quality]:
    """Import the function that rates answers, whose word lists take time to load; an import at each call takes a while
    too.
    """
    from hf_gate.requests.answer_quality import rate_answer

    return rate_answer


def best_answer(
    answers: Mapping[str, str], labels: Sequence[str], role: Role, names: Sequence[str]
) -> tuple[Quality, str | None]:
    """Return the quality and text of the best answer to the fields of a role; of equally good answers, the first."""
    rate = _load_rater()
    best: tuple[Quality, str | None] = (Quality.MISSING, None)
    for label in labels:
        text = answers[label]
        if role is Role.CONSENT and text.strip().lower() in TICKED | _NOT_TICKED:
            found = Quality.GOOD if is_ticked(text) else Quality.EMPTY
        else:
            found = rate(text, label, role, names)
        if best[1] is None or _RANK[found] > _RANK[best[0]]:
            best = (found, text)
        if found is Quality.GOOD:
            break
    return best


def is_ticked(answer: str) -> bool:
    """Tell whether an answer means a ticked box."""
    return answer.strip().lower() in TICKED


def contains_address(answers: Mapping[str, str], labels: Sequence[str], address: str) -> bool:
    """Tell whether one of the answers is this e-mail address, ignoring case."""
    return any((stated := parse_address(answers[label])) is not None and str(stated) == address for label in labels)
