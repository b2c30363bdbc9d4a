"""Classifies requests by their answers and e-mail address, with the definitions that the facts of policies use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from hf_gate.core.events.classification import Classification, Classify, MailKind
from hf_gate.core.forms.forms import GateForm, form_from_json
from hf_gate.core.forms.roles import Role, role_of
from hf_gate.core.requests import AccessRequest
from hf_gate.policies.facts.email_addresses import has_local_part
from hf_gate.policies.facts.fact_values import EmailFacts
from hf_gate.policies.facts.form_facts import best_answer, form_roles, layout_answers
from hf_gate.requests.answer_text import fold_answer, strip_invisible

MIN_SHARED_TEXT: Final = 24
"""The least number of characters of a folded answer with a fingerprint; shorter answers are often equal by chance."""

_FREE_ROLES: Final = frozenset({Role.PURPOSE, Role.OTHER})
_CHOSEN_TYPES: Final = frozenset({"select", "checkbox", "country", "date_picker", "ip_location"})
_MAX_HASHED: Final = 4000  # characters
_CACHED_DOMAINS: Final = 50_000

EmailReader = Callable[[str], EmailFacts | None]


def mail_kind(email: EmailFacts | None) -> MailKind:
    """Return the kind of a classified e-mail address."""
    if email is None or email.domain is None:
        return MailKind.NONE
    if email.disposable:
        return MailKind.THROW_AWAY
    if email.academic:
        return MailKind.UNIVERSITY
    return MailKind.FREE if email.free else MailKind.OTHER


def fingerprint_of(text: str, secret: bytes) -> int | None:
    """Return a keyed hash of a text without case, accents, width and spacing; None for a short text."""
    if len(text) < MIN_SHARED_TEXT:
        return None
    text = text[:_MAX_HASHED]
    is_simple = text.isascii() and text.isprintable()  # true for most texts; folding then only means lower case
    folded = " ".join((text.lower() if is_simple else fold_answer(strip_invisible(text))).split())
    if len(folded) < MIN_SHARED_TEXT:
        return None
    digest = hashlib.blake2b(folded.encode("utf-8", "replace"), digest_size=8, key=secret).digest()
    return int.from_bytes(digest, signed=True)


class AnswerClassifier:
    """The implementation of `core.events.classification.RequestClassifier`.

    `open_lists` loads the domain lists at the first address. `read_rules_version` changes with these lists and with the
    rules of this package.
    """

    def __init__(self, open_lists: Callable[[], EmailReader], read_rules_version: Callable[[], str]) -> None:
        self._open_lists = open_lists
        self._read_rules_version = read_rules_version
        self._read_email: EmailReader | None = None
        self._kinds: dict[str, str] = {}

    def version(self, form_card: str | None) -> str:
        """Return a digest of the rules, the lists, and the fields of the form whose labels are misleading."""
        text = f"{self._read_rules_version()}\n{_form_difference(form_card)}"
        return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()

    def for_form(self, form_card: str | None, secret: bytes) -> Classify:
        """Return the function that classifies the requests of a repo with this form."""
        form = None if form_card is None else form_from_json(form_card)
        roles = form_roles(form)
        chosen = _chosen_labels(form)
        layouts: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]]] = {}

        def layout_of(labels: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
            layout = layout_answers(roles, labels)
            plain = dict(layout.folded)
            free = [label for role in _FREE_ROLES for label in layout.by_role.get(role, ())]
            found = layout.by_role.get(Role.PURPOSE, ()), tuple(label for label in free if plain[label] not in chosen)
            if len(layouts) >= _CACHED_DOMAINS:
                layouts.clear()
            layouts[labels] = found
            return found

        def classify(request: AccessRequest) -> Classification:
            answers = request.answers
            labels = tuple(answers)
            purposes, free = layouts.get(labels) or layout_of(labels)
            person = request.person
            names = (person.username or "", person.fullname or "")
            quality = best_answer(answers, purposes, Role.PURPOSE, names)[0]
            longest = answers[free[0]] if len(free) == 1 else max(map(answers.__getitem__, free), key=len, default="")
            return Classification(str(quality), self._mail_kind(request.email), fingerprint_of(longest, secret))

        return classify

    def _mail_kind(self, email: str | None) -> str:
        """Return the kind of an e-mail address. Each domain is looked up once."""
        address = "" if email is None else email.strip()
        domain = address.rpartition("@")[2]
        kind = self._kinds.get(domain)
        if kind is None:
            if self._read_email is None:
                self._read_email = self._open_lists()
            if len(self._kinds) >= _CACHED_DOMAINS:
                self._kinds.clear()
            kind = self._kinds[domain] = mail_kind(self._read_email(f"x@{domain}")).value
        return kind if has_local_part(address) else MailKind.NONE.value


@lru_cache(64)
def _form_difference(form_card: str | None) -> str:
    """Return, as text, the fields that differ from what their labels alone suggest; empty for most forms."""
    if form_card is None:
        return ""
    found: Mapping[str, object] = {
        field.label: (field.role is Role.PURPOSE, _is_free(field.role, field.type))
        for field in form_from_json(form_card).fields
        if (field.role is Role.PURPOSE, _is_free(field.role, field.type)) != _guess(field.label)
    }
    return json.dumps(found, sort_keys=True) if found else ""


def _guess(label: str) -> tuple[bool, bool]:
    role = role_of(label)
    return role is Role.PURPOSE, _is_free(role, "text")


def _is_free(role: Role, field_type: str) -> bool:
    return role in _FREE_ROLES and field_type not in _CHOSEN_TYPES


def _chosen_labels(form: GateForm | None) -> frozenset[str]:
    """Return the labels of fields whose answers are chosen from a list or filled in by the Hub."""
    return frozenset(field.label for field in (form.fields if form else ()) if field.type in _CHOSEN_TYPES)
