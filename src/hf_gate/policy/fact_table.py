"""The law of the facts: what each is called, its type, who controls it, where it comes from and when it is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from ..domain.lifecycle import Status
from ..domain.quality import Quality
from ..domain.roles import Role
from .model import Trust


class CelType(StrEnum):
    """The types that facts have in expressions; lists and maps hold strings."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"
    TIMESTAMP = "timestamp"
    LIST = "list"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class FactDeclaration:
    """One line of the law. `name` holds ROLE or NAME where a role or a table stands.

    `unknown` says in words when the fact is left out ("" = never); `values` are all that it can have, where they are
    few; `later` marks facts that no source gives yet: the loader refuses them.
    """

    name: str
    type: CelType
    trust: Trust
    source: str
    meaning: str
    unknown_when: str = ""
    values: tuple[str, ...] | None = None
    is_planned: bool = False


ANSWER_ROLES: tuple[str, ...] = tuple(role.value for role in Role if role is not Role.OTHER)
"""The roles that have facts; fields of role `other` have nothing in common, and are asked as `form["Label"]`."""

QUALITIES: tuple[str, ...] = tuple(quality.value for quality in Quality)
STATUSES: tuple[str, ...] = tuple(status.value for status in Status)
TABLE_STATES: tuple[str, ...] = ("valid", "expired", "missing")
DECISIONS: tuple[str, ...] = ("none", *STATUSES)

_B, _I, _S, _T, _L, _M = (CelType.BOOL, CelType.INT, CelType.STRING, CelType.TIMESTAMP, CelType.LIST, CelType.MAP)
_CLAIMED, _ACCOUNT, _VERIFIED, _YOURS = (Trust.CLAIMED, Trust.ACCOUNT, Trust.VERIFIED, Trust.YOURS)
_HIDDEN = "the repo hides who asks"
_NO_MAIL = "the Hub shows no e-mail, or one that is no address"
_PROFILE = "the repo hides who asks, there is no such profile, or it is not read yet"
_KEY = "the key is hidden, or the table cannot be read"
_NOT_FULL = "the store was not synced in full"

_DECLARATIONS: tuple[FactDeclaration, ...] = (
    FactDeclaration("request.id", _S, _CLAIMED, "request", "The Hub's id of the request.", "the Hub sent none"),
    FactDeclaration("request.status", _S, _CLAIMED, "request", "Where the request stands.", values=STATUSES),
    FactDeclaration("request.repo", _S, _CLAIMED, "request", "The repo: `ns/name`, or `datasets/ns/name`."),
    FactDeclaration("request.asked_at", _T, _CLAIMED, "request", "When the person asked."),
    FactDeclaration("request.age_days", _I, _CLAIMED, "request", "Whole days since then, 0 on the first."),
    FactDeclaration(
        "request.attempt", _I, _CLAIMED, "history", "1 for the first that the store has seen, 2 after a reset."
    ),
    FactDeclaration("request.has_form", _B, _CLAIMED, "request", "Whether it carries answers to a form."),
    FactDeclaration("person.hidden", _B, _ACCOUNT, "request", "Whether the repo hides who asks."),
    FactDeclaration("person.username", _S, _ACCOUNT, "request", "The account's name; it can change.", _HIDDEN),
    FactDeclaration("person.fullname", _S, _CLAIMED, "request", "The name that the person gave the Hub.", _HIDDEN),
    FactDeclaration("person.is_pro", _B, _ACCOUNT, "request", "Whether the account pays for PRO.", _HIDDEN),
    FactDeclaration("person.verified_orgs", _L, _VERIFIED, "request", "Names of verified organisations.", _HIDDEN),
    FactDeclaration(
        "person.created_at", _T, _ACCOUNT, "account id", "When the account was made.", "the account's id is hidden"
    ),
    FactDeclaration(
        "person.account_days", _I, _ACCOUNT, "account id", "Whole days since then.", "the account's id is hidden"
    ),
    FactDeclaration("person.orgs", _L, _ACCOUNT, "profile", "Names of the organisations of the account.", _PROFILE),
    FactDeclaration("person.models", _I, _ACCOUNT, "profile", "How many public models it has.", _PROFILE),
    FactDeclaration("person.datasets", _I, _ACCOUNT, "profile", "How many public datasets it has.", _PROFILE),
    FactDeclaration("person.followers", _I, _ACCOUNT, "profile", "How many follow it.", _PROFILE),
    FactDeclaration("email.present", _B, _ACCOUNT, "request", "Whether the Hub shows an e-mail of the account."),
    FactDeclaration("email.address", _S, _ACCOUNT, "request", "The address, in small letters.", _NO_MAIL),
    FactDeclaration("email.domain", _S, _ACCOUNT, "request", "What stands after the `@`, as DNS spells it.", _NO_MAIL),
    FactDeclaration("email.registrable", _S, _ACCOUNT, "list:suffixes", "The part that somebody registered.", _NO_MAIL),
    FactDeclaration("email.free", _B, _ACCOUNT, "list:free", "A provider where anybody can open a mailbox.", _NO_MAIL),
    FactDeclaration(
        "email.disposable", _B, _ACCOUNT, "list:disposable", "A provider of throw-away mailboxes.", _NO_MAIL
    ),
    FactDeclaration("email.academic", _B, _ACCOUNT, "list:academic", "A university or research institute.", _NO_MAIL),
    FactDeclaration(
        "email.matches_form",
        _B,
        _CLAIMED,
        "form",
        "Whether the form's e-mail is the account's.",
        _NO_MAIL + ", or the form asks none",
    ),
    FactDeclaration("form", _M, _CLAIMED, "form", 'Label to answer, white space of labels folded; `form["Label"]`.'),
    FactDeclaration("answers.ROLE.present", _B, _CLAIMED, "form", "Whether something that can be seen was answered."),
    FactDeclaration("answers.ROLE.quality", _S, _CLAIMED, "form", "What the answer is worth.", values=QUALITIES),
    FactDeclaration("answers.ROLE.text", _S, _CLAIMED, "form", "The answer.", "no field of the form asks for it"),
    FactDeclaration(
        "answers.country.code", _S, _CLAIMED, "form", "ISO 3166-1, two letters.", "not exactly one country"
    ),
    FactDeclaration(
        "answers.consent.all_ticked",
        _B,
        _CLAIMED,
        "form",
        "Whether every box that agrees to something is ticked.",
        "the form has no such box, or it is not read",
    ),
    FactDeclaration("tables.NAME", _B, _YOURS, "table", "Listed and not expired.", _KEY),
    FactDeclaration("tables.NAME.state", _S, _YOURS, "table", "How the person is listed.", _KEY, TABLE_STATES),
    FactDeclaration(
        "tables.NAME.expires", _T, _YOURS, "table", "When the row ends.", _KEY + ", or the row has no date"
    ),
    FactDeclaration(
        "tables.NAME.row", _M, _YOURS, "table", "The other columns of the row.", _KEY + ", or there is no row"
    ),
    FactDeclaration("history.accepted", _I, _YOURS, "history", "Times accepted in this repo.", _NOT_FULL),
    FactDeclaration("history.rejected", _I, _YOURS, "history", "Times rejected in this repo.", _NOT_FULL),
    FactDeclaration(
        "history.resets", _I, _YOURS, "history", "Times reset in this repo, without those that were undone.", _NOT_FULL
    ),
    FactDeclaration(
        "history.elsewhere", _I, _YOURS, "history", "Other repos of the workspace where accepted now.", _NOT_FULL
    ),
    FactDeclaration("history.last_decision", _S, _YOURS, "history", "The last in this repo.", _NOT_FULL, DECISIONS),
    FactDeclaration(
        "history.days_since_last", _I, _YOURS, "history", "Whole days since it.", _NOT_FULL + ", or there is none"
    ),
    FactDeclaration(
        "terms.version",
        _S,
        _YOURS,
        "terms",
        "The terms that were agreed to.",
        "not kept for that time",
        is_planned=True,
    ),
    FactDeclaration(
        "terms.current", _B, _YOURS, "terms", "Whether they still hold.", "not kept for that time", is_planned=True
    ),
    FactDeclaration("now", _T, _CLAIMED, "clock", "The moment of the verdict."),
)

FACTS: Mapping[str, FactDeclaration] = MappingProxyType({each.name: each for each in _DECLARATIONS})


def fact_types(roles: Iterable[str] = ANSWER_ROLES, tables: Iterable[str] = ()) -> Mapping[str, CelType]:
    """Every dotted name that an expression may use, for these roles and tables, with its type; nothing of `later`."""
    return {
        name: FACTS[pattern].type for name, pattern in _expand_names(roles, tables) if not FACTS[pattern].is_planned
    }


def find_declaration(name: str) -> FactDeclaration | None:
    """The line of the law that a dotted name falls under; None: there is no such fact."""
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
    roles, tables = tuple(roles), tuple(tables)
    for pattern in FACTS:
        if "ROLE" in pattern:
            yield from ((pattern.replace("ROLE", role), pattern) for role in roles)
        elif "NAME" in pattern:
            yield from ((pattern.replace("NAME", table), pattern) for table in tables)
        elif not pattern.startswith("answers.") or pattern.split(".")[1] in roles:
            yield pattern, pattern
