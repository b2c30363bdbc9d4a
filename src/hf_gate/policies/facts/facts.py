"""Computes the facts of a request from its record, form, profile, tables and history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

from hf_gate.core.policy_model import Fact, FactValue
from hf_gate.core.requests import AccessRequest

from .fact_table import ANSWER_ROLES, FactDeclaration, find_declaration
from .fact_values import (
    GETTERS,
    DecisionHistory,
    EmailFacts,
    FactInputs,
    Getter,
    ProfileFact,
    TableHit,
    UnknownValue,
    answer_getters,
    request_read_at,
    table_getters,
)
from .form_facts import NO_FORM, FormRoles

_NONE: Mapping[str, str] = MappingProxyType({})
_NO_TABLES: Mapping[str, TableHit] = MappingProxyType({})


class FactReader:
    """Computes the same facts for many requests. The constructor raises `KeyError` for unknown names."""

    def __init__(self, wanted: Iterable[str], countries: Mapping[str, str] = _NONE) -> None:
        self._countries = countries
        self._declarations = {name: _usable_declaration(name) for name in wanted}
        self.wanted = frozenset(self._declarations)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the facts that are computed."""
        return tuple(self._declarations)

    def compute_facts(
        self,
        request: AccessRequest,
        *,
        now: datetime,
        form: FormRoles = NO_FORM,
        email: EmailFacts | None = None,
        profile: ProfileFact | None = None,
        tables: Mapping[str, TableHit] = _NO_TABLES,
        history: DecisionHistory | None = None,
    ) -> RequestFacts:
        """Return the facts of one request; unknown ones have a reason."""
        at = FactInputs(request, now, form, email, profile, tables, history, self._countries)
        return RequestFacts(at, self._declarations)


class RequestFacts(Mapping[str, Fact]):
    """The facts of one request, each computed when it is first read: rules decide most requests by a few facts."""

    __slots__ = ("_declarations", "_inputs", "_values")

    def __init__(self, at: FactInputs, declarations: Mapping[str, FactDeclaration]) -> None:
        self._inputs = at
        self._declarations = declarations
        self._values: dict[str, FactValue | UnknownValue] = {}

    def __getitem__(self, name: str) -> Fact:
        declaration = self._declarations[name]
        return _make_fact(self._inputs, self._compute(name), name, declaration, request_read_at(self._inputs.request))

    def __iter__(self) -> Iterator[str]:
        return iter(self._declarations)

    def __len__(self) -> int:
        return len(self._declarations)

    def _compute(self, name: str) -> FactValue | UnknownValue:
        value = self._values.get(name)
        if value is None:
            value = self._values[name] = _find_getter(name)(self._inputs)
        return value

    @property
    def inputs(self) -> FactInputs:
        """What the facts were computed from."""
        return self._inputs

    @property
    def has_unknown(self) -> bool:
        """Whether any fact has no value."""
        return any(self.find_known(name) is None for name in self)

    def without(self, name: str) -> RequestFacts:
        """Return the facts except one, which is then unknown."""
        return RequestFacts(self._inputs, {key: each for key, each in self._declarations.items() if key != name})

    def find_known(self, name: str) -> FactValue | None:
        """Return the value of a fact; None if it is unknown, or not one of these facts."""
        if name not in self._declarations:
            return None
        value = self._compute(name)
        return None if value.__class__ is UnknownValue else value


@lru_cache(maxsize=4096)
def _find_getter(name: str) -> Getter:
    if name in GETTERS:
        return GETTERS[name]
    head, _, rest = name.partition(".")
    middle, _, leaf = rest.partition(".")
    if head == "answers" and middle in ANSWER_ROLES:
        return answer_getters(middle)[leaf]
    if head == "tables" and middle:
        return table_getters(middle)[leaf]
    raise KeyError(name)


def _usable_declaration(name: str) -> FactDeclaration:
    declaration = find_declaration(name)
    if declaration is None:
        raise KeyError(name)
    _find_getter(name)
    return declaration


def _make_fact(
    at: FactInputs, value: FactValue | UnknownValue, name: str, declaration: FactDeclaration, seen: datetime | None
) -> Fact:
    source, as_of = _source_and_age(at, name, declaration, seen)
    if isinstance(value, UnknownValue):
        return Fact(None, declaration.trust, source, as_of, value.why, value.note)
    return Fact(value, declaration.trust, source, as_of)


def _source_and_age(
    at: FactInputs, name: str, declaration: FactDeclaration, seen: datetime | None
) -> tuple[str, datetime | None]:
    """Return the source of a fact and when it was read."""
    if declaration.source == "table":
        hit = at.tables.get(name.split(".")[1])
        return (hit.source, hit.as_of) if hit else (f"table:{name.split('.')[1]}", None)
    if declaration.source == "history":
        return "history", at.history.as_of if at.history else None
    if declaration.source == "profile" or (declaration.source == "account id" and at.profile and at.profile.profile):
        return "profile", at.profile.read_at if at.profile else None
    if declaration.source in ("clock", "letters"):
        return declaration.source, at.now
    version = at.email.versions.get(declaration.source.removeprefix("list:")) if at.email else None
    return (f"{declaration.source}@{version}" if version else declaration.source), seen
