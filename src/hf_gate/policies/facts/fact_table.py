"""Declares every fact: its name, type, trust level, source, meaning and when it is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from hf_gate.core.forms.roles import Role
from hf_gate.core.lifecycle import Status
from hf_gate.core.policy_model import Trust
from hf_gate.requests.answer_ratings import Quality


class CelType(StrEnum):
    """The CEL types of facts. Lists and maps hold strings."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"
    TIMESTAMP = "timestamp"
    LIST = "list"
    MAP = "map"


class FactDeclaration(Struct, frozen=True):
    """The declaration of a fact. `name` contains ROLE or NAME in place of a form role, a table or a source.

    `unknown_when` says when the fact is unknown ("" for never). `values` lists all values if there are few.
    """

    name: str
    type: CelType
    trust: Trust
    source: str
    meaning: str
    unknown_when: str = ""
    values: tuple[str, ...] | None = None


ANSWER_ROLES: tuple[str, ...] = tuple(role.value for role in Role if role is not Role.OTHER)
"""The form roles that have facts. Fields with the role `other` are only available as `form["Label"]`."""

QUALITIES: tuple[str, ...] = tuple(quality.value for quality in Quality)
STATUSES: tuple[str, ...] = tuple(status.value for status in Status)
TABLE_STATES: tuple[str, ...] = ("valid", "expired", "missing")
DECISIONS: tuple[str, ...] = ("none", *STATUSES)

_B = CelType.BOOL
_I = CelType.INT
_S = CelType.STRING
_T = CelType.TIMESTAMP
_L = CelType.LIST
_M = CelType.MAP
_CLAIMED = Trust.CLAIMED
_ACCOUNT = Trust.ACCOUNT
_VERIFIED = Trust.VERIFIED
_YOURS = Trust.YOURS
_HIDDEN = "the repo hides requesters"
_NO_MAIL = "the Hub shows no e-mail address, or an invalid one"
_PROFILE = "the repo hides requesters, the profile does not exist, or it has not been read yet"
_KEY = "the key is hidden, or the table cannot be read"
_NOT_FULL = "no full sync has been done"
_NO_ID = "the account's id is hidden"
_NO_BOX = "the form has no consent box, or it has not been read"

_fact = FactDeclaration
_DECLARATIONS: tuple[FactDeclaration, ...] = (
    _fact("request.id", _S, _CLAIMED, "request", "The Hub's id of the request.", "the Hub sent no id"),
    _fact("request.status", _S, _CLAIMED, "request", "The status of the request.", values=STATUSES),
    _fact("request.repo", _S, _CLAIMED, "request", "The repo: `ns/name`, or `datasets/ns/name`."),
    _fact("request.asked_at", _T, _CLAIMED, "request", "When access was requested."),
    _fact("request.age_days", _I, _CLAIMED, "request", "Whole days since the request; 0 on the first day."),
    _fact("request.attempt", _I, _CLAIMED, "history", "1 for the first request seen, 2 after a reset."),
    _fact("request.has_form", _B, _CLAIMED, "request", "Whether the request has form answers."),
    _fact("person.hidden", _B, _ACCOUNT, "request", "Whether the repo hides requesters."),
    _fact("person.username", _S, _ACCOUNT, "request", "The account's name; it can change.", _HIDDEN),
    _fact("person.fullname", _S, _CLAIMED, "request", "The full name entered on the Hub.", _HIDDEN),
    _fact("person.is_pro", _B, _ACCOUNT, "request", "Whether the account has a PRO subscription.", _HIDDEN),
    _fact("person.verified_orgs", _L, _VERIFIED, "request", "Names of the account's verified organisations.", _HIDDEN),
    _fact("person.created_at", _T, _ACCOUNT, "account id", "When the account was created.", _NO_ID),
    _fact("person.account_days", _I, _ACCOUNT, "account id", "Whole days since the account was created.", _NO_ID),
    _fact("person.orgs", _L, _ACCOUNT, "profile", "Names of the account's organisations.", _PROFILE),
    _fact("person.models", _I, _ACCOUNT, "profile", "Number of public models.", _PROFILE),
    _fact("person.datasets", _I, _ACCOUNT, "profile", "Number of public datasets.", _PROFILE),
    _fact("person.followers", _I, _ACCOUNT, "profile", "Number of followers.", _PROFILE),
    _fact("email.present", _B, _ACCOUNT, "request", "Whether the Hub shows an e-mail address."),
    _fact("email.address", _S, _ACCOUNT, "request", "The address in lower case.", _NO_MAIL),
    _fact("email.domain", _S, _ACCOUNT, "request", "The part after the `@`, as in DNS.", _NO_MAIL),
    _fact(
        "email.registrable", _S, _ACCOUNT, "list:suffixes", "The registrable domain, such as `acme.co.uk`.", _NO_MAIL
    ),
    _fact("email.free", _B, _ACCOUNT, "list:free", "Whether the domain is that of a free e-mail provider.", _NO_MAIL),
    _fact(
        "email.disposable",
        _B,
        _ACCOUNT,
        "list:disposable",
        "Whether the domain is that of a provider of disposable addresses.",
        _NO_MAIL,
    ),
    _fact(
        "email.academic",
        _B,
        _ACCOUNT,
        "list:academic",
        "Whether the domain is that of a university or research institute.",
        _NO_MAIL,
    ),
    _fact(
        "email.matches_form",
        _B,
        _CLAIMED,
        "form",
        "Whether the form contains the account's address.",
        _NO_MAIL + ", or the form has no e-mail field",
    ),
    _fact("form", _M, _CLAIMED, "form", 'Answers by label, with white space in labels folded: `form["Label"]`.'),
    _fact("answers.ROLE.present", _B, _CLAIMED, "form", "Whether the answer has visible text."),
    _fact("answers.ROLE.quality", _S, _CLAIMED, "form", "The quality of the answer.", values=QUALITIES),
    _fact("answers.ROLE.text", _S, _CLAIMED, "form", "The answer.", "the form has no such field"),
    _fact(
        "answers.country.code",
        _S,
        _CLAIMED,
        "form",
        "ISO 3166-1 code of two letters.",
        "the answer is not exactly one country",
    ),
    _fact("answers.consent.all_ticked", _B, _CLAIMED, "form", "Whether all consent boxes are ticked.", _NO_BOX),
    _fact("tables.NAME", _B, _YOURS, "table", "Whether the person is listed and not expired.", _KEY),
    _fact("tables.NAME.state", _S, _YOURS, "table", "The state of the person's row.", _KEY, TABLE_STATES),
    _fact("tables.NAME.expires", _T, _YOURS, "table", "When the row expires.", _KEY + ", or the row has no date"),
    _fact("tables.NAME.row", _M, _YOURS, "table", "The other columns of the row.", _KEY + ", or there is no row"),
    _fact("history.accepted", _I, _YOURS, "history", "How often the person was accepted in this repo.", _NOT_FULL),
    _fact("history.rejected", _I, _YOURS, "history", "How often the person was rejected in this repo.", _NOT_FULL),
    _fact(
        "history.resets",
        _I,
        _YOURS,
        "history",
        "How often the person was reset in this repo, not counting undone resets.",
        _NOT_FULL,
    ),
    _fact(
        "history.elsewhere",
        _I,
        _YOURS,
        "history",
        "Number of other repos of the workspace where the person is accepted now.",
        _NOT_FULL,
    ),
    _fact("history.last_decision", _S, _YOURS, "history", "The last decision in this repo.", _NOT_FULL, DECISIONS),
    _fact(
        "history.days_since_last",
        _I,
        _YOURS,
        "history",
        "Whole days since the last decision.",
        _NOT_FULL + ", or no decision has been made",
    ),
    _fact("now", _T, _CLAIMED, "clock", "The time of the evaluation."),
)

_IDENTITY: Final = frozenset({"person.hidden", "person.username", "person.fullname"})
FACTS: Mapping[str, FactDeclaration] = MappingProxyType({each.name: each for each in _DECLARATIONS})


def fact_types(roles: Iterable[str] = ANSWER_ROLES, tables: Iterable[str] = ()) -> Mapping[str, CelType]:
    """Return the type of each fact that expressions may use, for these roles and tables."""
    return {name: FACTS[pattern].type for name, pattern in _expand_names(roles, tables)}


def is_identity_fact(name: str) -> bool:
    """Tell whether a fact can change with the person's name or e-mail address. Tables are looked up by both."""
    return name in _IDENTITY or name.startswith(("email.", "tables."))


def tables_of(names: Iterable[str]) -> set[str]:
    """Return the tables that these facts read."""
    return {name.split(".")[1] for name in names if name.startswith("tables.")}


def find_declaration(name: str) -> FactDeclaration | None:
    """Return the declaration of the fact with a dotted name; None if there is none."""
    if name in FACTS:
        return FACTS[name] if "ROLE" not in name and "NAME" not in name else None
    head, _, rest = name.partition(".")
    middle, _, leaf = rest.partition(".")
    if head == "answers" and middle in ANSWER_ROLES:
        return FACTS.get(f"answers.ROLE.{leaf}")
    if head == "tables" and middle:
        return FACTS.get(f"tables.NAME.{leaf}" if leaf else "tables.NAME")
    return None


def _expand_names(roles: Iterable[str], tables: Iterable[str]) -> Iterable[tuple[str, str]]:
    roles = tuple(roles)
    tables = tuple(tables)
    for pattern in FACTS:
        if "ROLE" in pattern:
            yield from ((pattern.replace("ROLE", role), pattern) for role in roles)
        elif pattern.startswith("tables."):
            yield from ((pattern.replace("NAME", table), pattern) for table in tables)
        elif not pattern.startswith("answers.") or pattern.split(".")[1] in roles:
            yield pattern, pattern
