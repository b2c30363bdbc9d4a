"""How each fact is computed from what was handed in: one small function a fact, beside the law in `fact_table.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from ..domain.requests import AccessRequest
from ..domain.roles import Role
from .countries import country_code
from .fact_inputs import EmailFacts, History, ProfileFact, TableHit
from .form_facts import FormRoles, Layout, Memo, best_answer, is_ticked, layout, states_mail
from .model import FactValue, UnknownReason

TEXT_LIMIT = 8192
"""Bytes of UTF-8 of one text that expressions see; the rest of a longer answer is cut off."""

LIST_LIMIT = 1000

_SURROGATE = re.compile("[\ud800-\udfff]")


class Unknown(NamedTuple):
    """In place of a value: why there is none."""

    why: UnknownReason
    note: str


Getter: TypeAlias = "Callable[[Inputs], FactValue | Unknown]"
_T = TypeVar("_T")

_HIDDEN = Unknown(UnknownReason.UNAVAILABLE, "the repo hides who asks")
_NO_ID = Unknown(UnknownReason.UNAVAILABLE, "the repo hides the account's id")
_NOT_TOLD = Unknown(UnknownReason.UNAVAILABLE, "the Hub did not tell it")
_NO_MAIL = Unknown(UnknownReason.UNAVAILABLE, "the Hub shows no e-mail")
_BAD_MAIL = Unknown(UnknownReason.UNAVAILABLE, "the account's e-mail is no address that can be read in one way")
_NO_FIELD = Unknown(UnknownReason.UNAVAILABLE, "no field of the form asks for it")
_NO_STORE = Unknown(UnknownReason.UNAVAILABLE, "the history is not read")
_NOT_FULL = Unknown(UnknownReason.UNAVAILABLE, "the store was not synced in full: hf-gate sync --full")


class _Told(msgspec.Struct, frozen=True):
    isPro: bool | None = None  # noqa: N815 - the Hub's spelling
    verifiedOrgNames: list[str] | None = None  # noqa: N815


class _Record(msgspec.Struct, frozen=True):
    user: _Told | None = None


_read_told = msgspec.json.Decoder(_Record).decode


class Inputs:
    """Everything that the facts of one request are made of; what several facts need is made once, when first asked."""

    __slots__ = (
        "_layout", "_told", "countries", "email", "form", "history", "memo", "now", "profile", "request", "tables",
    )  # fmt: skip

    def __init__(
        self,
        request: AccessRequest,
        now: datetime,
        form: FormRoles,
        email: EmailFacts | None,
        profile: ProfileFact | None,
        tables: Mapping[str, TableHit],
        history: History | None,
        countries: Mapping[str, str],
        memo: Memo | None,
    ) -> None:
        self.request, self.now, self.form, self.email = request, now, form, email
        self.profile, self.tables, self.history = profile, tables, history
        self.countries, self.memo = countries, memo
        self._layout: Layout | None = None
        self._told: _Told | None = None

    @property
    def layout(self) -> Layout:
        if self._layout is None:
            self._layout = layout(self.form, tuple(self.request.answers))
        return self._layout

    @property
    def told(self) -> _Told:
        """What only the raw record of the Hub says of the account."""
        if self._told is None:
            try:
                self._told = _read_told(self.request.raw_json).user or _Told()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._told = _Told()
        return self._told

    def labels(self, role: str) -> tuple[str, ...]:
        return self.layout.by_role.get(role, ())


def clean(text: str) -> str:
    """A text as expressions can take it: half characters replaced, cut at `TEXT_LIMIT`."""
    if len(text) > TEXT_LIMIT // 4:
        text = _SURROGATE.sub("\ufffd", text).encode()[:TEXT_LIMIT].decode("utf-8", "ignore")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def days_between(earlier: datetime, later: datetime) -> int:
    """Whole days, never below 0: clocks differ."""
    return max(0, (later - earlier).days)


# ---- the person ------------------------------------------------------------------------------------------------------


def _person(get: Callable[[Inputs], _T | None]) -> Callable[[Inputs], _T | Unknown]:
    def of(at: Inputs) -> _T | Unknown:
        if at.request.person.username is None:
            return _HIDDEN
        found = get(at)
        return _NOT_TOLD if found is None else found

    return of


def _fullname(at: Inputs) -> str | None:
    name = at.request.person.fullname
    return None if name is None else clean(name)


def _orgs_verified(at: Inputs) -> tuple[str, ...] | None:
    names = at.told.verifiedOrgNames
    return None if names is None else tuple(map(clean, names[:LIST_LIMIT]))


def created_at(at: Inputs) -> datetime | Unknown:
    """The profile's word where it is read, else the second in which the id was made."""
    profile = at.profile.profile if at.profile else None
    made = (profile.created_at if profile else None) or at.request.person.created_at
    return _NO_ID if made is None else made


def _account_days(at: Inputs) -> int | Unknown:
    made = created_at(at)
    return made if isinstance(made, Unknown) else days_between(made, at.now)


def _profile(get: Callable[[Inputs], FactValue | None]) -> Getter:
    def of(at: Inputs) -> FactValue | Unknown:
        if at.request.person.username is None:
            return _HIDDEN
        if at.profile is None or at.profile.profile is None:
            known = at.profile or ProfileFact()
            return Unknown(known.why, known.note or "the profile is not read yet")
        found = get(at)
        return _NOT_TOLD if found is None else found

    return of


def _of_profile(name: str) -> Getter:
    def get(at: Inputs) -> FactValue | None:
        value: FactValue | None = getattr(at.profile.profile, name) if at.profile else None
        return tuple(map(clean, value[:LIST_LIMIT])) if isinstance(value, tuple) else value

    return _profile(get)


# ---- e-mail ----------------------------------------------------------------------------------------------------------


def _email(name: str) -> Getter:
    def get(at: Inputs) -> FactValue | Unknown:
        if at.email is None:
            return _NO_MAIL
        if at.email.domain is None:
            return _BAD_MAIL
        value: FactValue | None = getattr(at.email, name)
        return Unknown(UnknownReason.UNAVAILABLE, "the domain is itself a public suffix") if value is None else value

    return get


def _matches_form(at: Inputs) -> bool | Unknown:
    if at.email is None:
        return _NO_MAIL
    if at.email.domain is None:
        return _BAD_MAIL
    labels = at.labels("email")
    return states_mail(at.request.answers, labels, at.email.address) if labels else _NO_FIELD


# ---- the form --------------------------------------------------------------------------------------------------------


def _form(at: Inputs) -> Mapping[str, str]:
    answers = at.request.answers
    return {clean(plain): clean(answers[label]) for label, plain in at.layout.folded[:LIST_LIMIT]}


def answer_getters(role: str) -> dict[str, Getter]:
    """The getters of `answers.ROLE.*` for one role, by the last part of the name."""
    kind = Role(role)

    def best(at: Inputs) -> tuple[str, str | None]:
        who = at.request.person
        names = tuple(name for name in (who.username, who.fullname) if name)
        found, text = best_answer(at.request.answers, at.labels(role), kind, names, at.memo)
        return found.value, text

    def text(at: Inputs) -> str | Unknown:
        found = best(at)[1]
        return _NO_FIELD if found is None else clean(found)

    return {
        "present": lambda at: best(at)[0] not in {"missing", "empty"},
        "quality": lambda at: best(at)[0],
        "text": text,
    }


def _country(at: Inputs) -> str | Unknown:
    labels = at.labels("country")
    if not labels:
        return _NO_FIELD
    codes = {country_code(at.request.answers[label], at.countries) for label in labels}
    code = codes.pop() if len(codes) == 1 else None
    return Unknown(UnknownReason.UNAVAILABLE, "the answer names not exactly one country") if code is None else code


def _all_ticked(at: Inputs) -> bool | Unknown:
    if not at.form.is_known:
        return Unknown(UnknownReason.UNAVAILABLE, "the card with the form is not read")
    if not at.form.boxes:
        return Unknown(UnknownReason.UNAVAILABLE, "the form has no box that agrees to something")
    where = at.layout
    return where.has_all_boxes and all(is_ticked(at.request.answers[label]) for label in where.boxes)


# ---- tables and history ----------------------------------------------------------------------------------------------


def table_getters(name: str) -> dict[str, Getter]:
    """The getters of `tables.NAME` ("") and `tables.NAME.*` for one table, by the last part of the name."""
    absent = TableHit(why=UnknownReason.UNAVAILABLE, note="the table is not read")

    def about(get: Callable[[TableHit], FactValue | None], lacking: str) -> Getter:
        def of(at: Inputs) -> FactValue | Unknown:
            hit = at.tables.get(name, absent)
            if hit.why is not None:
                return Unknown(hit.why, hit.note)
            value = get(hit)
            return Unknown(UnknownReason.UNAVAILABLE, lacking) if value is None else value

        return of

    return {
        "": about(lambda hit: hit.state == "valid", ""),
        "state": about(lambda hit: hit.state, ""),
        "expires": about(lambda hit: hit.expires, "the row has no date, or there is none"),
        "row": about(lambda hit: hit.row, "there is no row"),
    }


def _history(get: Callable[[History], FactValue]) -> Getter:
    def of(at: Inputs) -> FactValue | Unknown:
        if at.history is None:
            return _NO_STORE
        return get(at.history) if at.history.complete else _NOT_FULL

    return of


def _since_last(at: Inputs) -> int | Unknown:
    if at.history is None:
        return _NO_STORE
    if not at.history.complete:
        return _NOT_FULL
    last = at.history.last_at
    return (
        Unknown(UnknownReason.UNAVAILABLE, "there was no decision before")
        if last is None
        else days_between(last, at.now)
    )


GETTERS: Mapping[str, Getter] = {
    "request.id": lambda at: at.request.request_id or _NOT_TOLD,
    "request.status": lambda at: clean(str(at.request.status)),
    "request.repo": lambda at: at.request.repo.web_path,
    "request.asked_at": lambda at: at.request.asked_at,
    "request.age_days": lambda at: days_between(at.request.asked_at, at.now),
    "request.attempt": lambda at: at.history.attempt if at.history else 1,
    "request.has_form": lambda at: at.request.has_form,
    "person.hidden": lambda at: at.request.person.username is None,
    "person.username": _person(lambda at: clean(at.request.person.username or "")),
    "person.fullname": _person(_fullname),
    "person.is_pro": _person(lambda at: at.told.isPro),
    "person.verified_orgs": _person(_orgs_verified),
    "person.created_at": created_at,
    "person.account_days": _account_days,
    "person.orgs": _of_profile("orgs"),
    "person.models": _of_profile("models"),
    "person.datasets": _of_profile("datasets"),
    "person.followers": _of_profile("followers"),
    "email.present": lambda at: at.email is not None,
    "email.address": _email("address"),
    "email.domain": _email("domain"),
    "email.registrable": _email("registrable"),
    "email.free": _email("free"),
    "email.disposable": _email("disposable"),
    "email.academic": _email("academic"),
    "email.matches_form": _matches_form,
    "form": _form,
    "answers.country.code": _country,
    "answers.consent.all_ticked": _all_ticked,
    "history.accepted": _history(lambda at: at.accepted),
    "history.rejected": _history(lambda at: at.rejected),
    "history.resets": _history(lambda at: at.resets),
    "history.elsewhere": _history(lambda at: at.elsewhere),
    "history.last_decision": _history(lambda at: at.last_decision),
    "history.days_since_last": _since_last,
    "now": lambda at: at.now,
}
"""By name; those of roles and tables are made by `answer_getters` and `table_getters`."""


def read_at(request: AccessRequest) -> datetime | None:
    """When a request was read from the Hub, where the reader said so."""
    return datetime.fromtimestamp(request.read_at, UTC) if request.read_at > 1e9 else None
