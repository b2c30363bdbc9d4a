"""The roles of form fields, recognised by label and type."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final

from hf_gate.base.normalization import normalize

from .role_patterns import AGREES, ASKS_FOR_YES, ATTESTS, FACT, MARKETING, TERMS, TEXT_ROLES, WARNING


class Role(StrEnum):
    """What a form field asks for. Policies use roles, because each form words its labels differently."""

    PURPOSE = "purpose"
    AFFILIATION = "affiliation"
    COUNTRY = "country"
    EMAIL = "email"
    NAME = "name"
    JOB = "job"
    BIRTH_DATE = "birth_date"
    CONSENT = "consent"
    OTHER = "other"


MAX_LABEL: Final = 500
"""Characters of a label that are read to guess what its field asks for."""

_TEXT_ROLES = tuple((Role(name), pattern) for name, pattern in TEXT_ROLES)
_BIRTH_DATE = _TEXT_ROLES[0][1]
_ROLE_OF_TYPE: dict[str, Role] = {"country": Role.COUNTRY, "ip_location": Role.OTHER, "email": Role.EMAIL}
_MARKUP = re.compile(r"[*_`~]+|<[^>]{0,80}>")


@lru_cache(maxsize=4096)
def role_of(label: str, field_type: str = "text") -> Role:
    """Return the role of a field.

    A country found by IP address is not stated by the requester, so its role is OTHER.
    """
    text = _normalize_label(label[:MAX_LABEL])
    if field_type in _ROLE_OF_TYPE:
        return _ROLE_OF_TYPE[field_type]
    if field_type == "checkbox":
        return Role.CONSENT if _is_agreement(text) else Role.OTHER
    if field_type == "date_picker":
        return Role.BIRTH_DATE if re.search(_BIRTH_DATE, text) else Role.OTHER
    if re.search(ASKS_FOR_YES, text) and _is_agreement(text):
        return Role.CONSENT
    if re.search(MARKETING, text):
        return Role.OTHER
    return next((role for role, pattern in _TEXT_ROLES if re.search(pattern, text)), Role.OTHER)


def _normalize_label(label: str) -> str:
    text = normalize("NFKC", label)[:MAX_LABEL].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join(_MARKUP.sub(" ", text).casefold().split())


def _is_agreement(text: str) -> bool:
    if re.search(WARNING, text) or (re.search(MARKETING, text) and not re.search(TERMS, text)):
        return False
    if re.search(AGREES, text):
        return True
    return bool(re.search(ATTESTS, text)) and not re.search(FACT, text)
