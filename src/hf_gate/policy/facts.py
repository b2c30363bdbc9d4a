"""The facts about one request, computed from values alone: only those that are wanted, and unknown ones left unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

from ..domain.requests import AccessRequest
from .fact_inputs import EmailFacts, History, ProfileFact, TableHit
from .fact_table import ANSWER_ROLES, FACTS, CelType, Declared, declarations, declared
from .fact_values import GETTERS, Getter, Inputs, Unknown, answer_getters, read_at, table_getters
from .form_facts import NO_FORM, FormRoles, Memo, form_roles
from .model import Fact, Facts, FactValue

__all__ = [
    "ANSWER_ROLES", "FACTS", "NO_FORM", "CelType", "Declared", "EmailFacts", "FactReader", "FormRoles", "History", "Memo",
    "ProfileFact", "TableHit", "declarations", "declared", "facts_of", "form_roles",
]  # fmt: skip

_NONE: Mapping[str, str] = MappingProxyType({})
_NO_TABLES: Mapping[str, TableHit] = MappingProxyType({})


def facts_of(
    request: AccessRequest,
    *,
    now: datetime,
    form: FormRoles = NO_FORM,
    email: EmailFacts | None = None,
    profile: ProfileFact | None = None,
    tables: Mapping[str, TableHit] = _NO_TABLES,
    history: History | None = None,
    countries: Mapping[str, str] = _NONE,
    memo: Memo | None = None,
    wanted: Collection[str] | None = None,
) -> Facts:
    """The wanted facts of one request, None: all. For many requests make one `FactReader` instead."""
    names = declarations(tables=tables) if wanted is None else wanted
    reader = FactReader(names, countries, memo)
    return reader.facts(request, now=now, form=form, email=email, profile=profile, tables=tables, history=history)


class FactReader:
    """Reads the same facts of many requests. Names that are no facts raise `KeyError` when it is made."""

    def __init__(self, wanted: Iterable[str], countries: Mapping[str, str] = _NONE, memo: Memo | None = None) -> None:
        self._countries, self._memo = countries, memo
        self._getters = tuple((name, _getter(name)) for name in dict.fromkeys(wanted))
        self._laws = {name: _law(name) for name, _ in self._getters}
        self.wanted = frozenset(self._laws)

    @property
    def names(self) -> tuple[str, ...]:
        """What it reads."""
        return tuple(self._laws)

    def facts(
        self,
        request: AccessRequest,
        *,
        now: datetime,
        form: FormRoles = NO_FORM,
        email: EmailFacts | None = None,
        profile: ProfileFact | None = None,
        tables: Mapping[str, TableHit] = _NO_TABLES,
        history: History | None = None,
    ) -> ReadFacts:
        """Every fact that it reads, the unknown ones with their reason."""
        at = Inputs(request, now, form, email, profile, tables, history, self._countries, self._memo)
        return ReadFacts(at, self._laws, {name: get(at) for name, get in self._getters})


class ReadFacts(Mapping[str, Fact]):
    """The facts of one request. Where each came from and how old it is, which few ask, is told when it is asked."""

    __slots__ = ("_at", "_found", "_laws")

    def __init__(self, at: Inputs, laws: Mapping[str, Declared], found: Mapping[str, FactValue | Unknown]) -> None:
        self._at, self._laws, self._found = at, laws, found

    def __getitem__(self, name: str) -> Fact:
        return _fact(self._at, self._found[name], name, self._laws[name], read_at(self._at.request))

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def known(self, names: Iterable[str]) -> dict[str, FactValue]:
        """Name to value of those that are known."""
        known: dict[str, FactValue] = {}
        for name in names:
            value = self._found.get(name)
            if value is not None and not isinstance(value, Unknown):
                known[name] = value
        return known


@lru_cache(maxsize=4096)
def _getter(name: str) -> Getter:
    if name in GETTERS:
        return GETTERS[name]
    head, _, rest = name.partition(".")
    middle, _, leaf = rest.partition(".")
    if head == "answers" and middle in ANSWER_ROLES:
        return answer_getters(middle)[leaf]
    if head == "tables" and middle:
        return table_getters(middle)[leaf]
    raise KeyError(name)


def _law(name: str) -> Declared:
    law = declared(name)
    if law is None or law.later:
        raise KeyError(name)
    return law


def _fact(at: Inputs, value: FactValue | Unknown, name: str, law: Declared, seen: datetime | None) -> Fact:
    source, as_of = _origin(at, name, law, seen)
    if isinstance(value, Unknown):
        return Fact(None, law.trust, source, as_of, value.why, value.note)
    return Fact(value, law.trust, source, as_of)


def _origin(at: Inputs, name: str, law: Declared, seen: datetime | None) -> tuple[str, datetime | None]:
    """Where a fact came from, and when that was read."""
    if law.source == "table":
        hit = at.tables.get(name.split(".")[1])
        return (hit.source, hit.as_of) if hit else (f"table:{name.split('.')[1]}", None)
    if law.source == "history":
        return "history", at.history.as_of if at.history else None
    if law.source == "profile" or (law.source == "account id" and at.profile and at.profile.profile):
        return "profile", at.profile.read_at if at.profile else None
    if law.source == "clock":
        return "clock", at.now
    version = at.email.versions.get(law.source.removeprefix("list:")) if at.email else None
    return (f"{law.source}@{version}" if version else law.source), seen
