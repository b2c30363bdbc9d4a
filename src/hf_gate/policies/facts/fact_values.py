"""Computes the value of each fact; `fact_table.py` declares the same facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, field

from hf_gate.base.decoding import make_json_decoder
from hf_gate.base.display_text import SURROGATE
from hf_gate.base.timestamps import from_ms
from hf_gate.core.forms.roles import Role
from hf_gate.core.people.accounts import Profile
from hf_gate.core.policy_model import FactValue, UnknownReason
from hf_gate.core.requests import AccessRequest
from hf_gate.core.stored_rows import HistoryRow
from hf_gate.requests.answer_ratings import Quality

from .countries import country_code
from .form_facts import AnswerLayout, FormRoles, best_answer, contains_address, is_ticked, layout_answers


class EmailFacts(Struct, frozen=True):
    """An e-mail address classified by the domain lists.

    `domain` is None if the text is not one valid address; the other fields then mean nothing. `registrable` is None if
    the domain is a public suffix.
    """

    address: str
    domain: str | None = None
    registrable: str | None = None
    free: bool = False
    disposable: bool = False
    academic: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)  # the version of each list, such as `academic`: `2026-10`


class ProfileFact(Struct, frozen=True):
    """A profile and when it was read, or the reason why there is none."""

    profile: Profile | None = None
    read_at: datetime | None = None
    why: UnknownReason = UnknownReason.NOT_YET
    note: str = ""


class RowEvidence(Protocol):
    """A row of a table, of which its digest is kept."""

    @property
    def digest(self) -> str: ...


class TableHit(Struct, frozen=True):
    """The result of a table lookup for one person. If `why` is set, it is unknown whether the person is listed."""

    state: str = "missing"  # valid, expired, missing
    expires: datetime | None = None
    row: Mapping[str, str] | None = None
    why: UnknownReason | None = None
    note: str = ""
    source: str = "table"  # table:NAME@digest8
    as_of: datetime | None = None
    changes_at: datetime | None = None  # when a row of the person starts or expires next
    listed_by: RowEvidence | None = None  # the row that counts


class DecisionHistory(HistoryRow, frozen=True, kw_only=True):
    """Earlier decisions about one person. Unless `is_complete` (after a full sync), only `attempt` is reliable."""

    attempt: int = 1
    is_complete: bool = True
    as_of: datetime | None = None


TEXT_LIMIT = 8192
"""The largest size of a text in bytes of UTF-8; longer answers are truncated."""

LIST_LIMIT = 1000


class UnknownValue(NamedTuple):
    """The reason why a fact has no value."""

    why: UnknownReason
    note: str


Getter: TypeAlias = "Callable[[FactInputs], FactValue | UnknownValue]"
_T = TypeVar("_T")

_HIDDEN = UnknownValue(UnknownReason.UNAVAILABLE, "the repo hides requesters")
_NO_ID = UnknownValue(UnknownReason.UNAVAILABLE, "the repo hides the account's id")
_NOT_SENT = UnknownValue(UnknownReason.UNAVAILABLE, "the Hub did not send it")
_NO_MAIL = UnknownValue(UnknownReason.UNAVAILABLE, "the Hub shows no e-mail address")
_BAD_MAIL = UnknownValue(UnknownReason.UNAVAILABLE, "the account's e-mail address is not valid")
_NO_FIELD = UnknownValue(UnknownReason.UNAVAILABLE, "the form has no such field")
_NO_STORE = UnknownValue(UnknownReason.UNAVAILABLE, "the history has not been read")
_NOT_FULL = UnknownValue(UnknownReason.UNAVAILABLE, "no full sync has been done: run hf-gate sync --full")


class _RawAccount(msgspec.Struct, frozen=True):
    isPro: bool | None = None  # noqa: N815 - the Hub's spelling
    verifiedOrgNames: list[str] | None = None  # noqa: N815


class _RawRecord(msgspec.Struct, frozen=True):
    user: _RawAccount | None = None


_decode_raw_record = make_json_decoder(_RawRecord).decode


class FactInputs:
    """The inputs for the facts of one request; values that several facts need are computed once, when first used."""

    __slots__ = (
        "_best_answers",
        "_layout",
        "_raw_account",
        "countries",
        "email",
        "form",
        "history",
        "now",
        "profile",
        "request",
        "tables",
    )

    def __init__(
        self,
        request: AccessRequest,
        now: datetime,
        form: FormRoles,
        email: EmailFacts | None,
        profile: ProfileFact | None,
        tables: Mapping[str, TableHit],
        history: DecisionHistory | None,
        countries: Mapping[str, str],
    ) -> None:
        self.request = request
        self.now = now
        self.form = form
        self.email = email
        self.profile = profile
        self.tables = tables
        self.history = history
        self.countries = countries
        self._layout: AnswerLayout | None = None
        self._raw_account: _RawAccount | None = None
        self._best_answers: dict[Role, tuple[Quality, str | None]] = {}

    @property
    def layout(self) -> AnswerLayout:
        if self._layout is None:
            self._layout = layout_answers(self.form, tuple(self.request.answers))
        return self._layout

    @property
    def raw_account(self) -> _RawAccount:
        """The account fields that only the raw Hub record has."""
        if self._raw_account is None:
            try:
                self._raw_account = _decode_raw_record(self.request.raw_json).user or _RawAccount()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._raw_account = _RawAccount()
        return self._raw_account

    def labels_of(self, role: str) -> tuple[str, ...]:
        return self.layout.by_role.get(role, ())

    def best_answer(self, role: Role) -> tuple[Quality, str | None]:
        """Return the quality and text of the best answer to the fields of a role."""
        found = self._best_answers.get(role)
        if found is None:
            person = self.request.person
            names = tuple(name for name in (person.username, person.fullname) if name)
            found = best_answer(self.request.answers, self.labels_of(role.value), role, names)
            self._best_answers[role] = found
        return found


def clean_text(text: str) -> str:
    """Replace surrogates and truncate a text to `TEXT_LIMIT`."""
    if len(text) > TEXT_LIMIT // 4:
        text = SURROGATE.sub("\ufffd", text).encode()[:TEXT_LIMIT].decode("utf-8", "ignore")
    return text if text.isascii() else SURROGATE.sub("\ufffd", text)


def days_between(earlier: datetime, later: datetime) -> int:
    """Return the whole days between two moments, at least 0 because clocks differ."""
    return max(0, (later - earlier).days)


# ---- the person ------------------------------------------------------------------------------------------------------


def _person_getter(get: Callable[[FactInputs], _T | None]) -> Callable[[FactInputs], _T | UnknownValue]:
    def of(at: FactInputs) -> _T | UnknownValue:
        if at.request.person.username is None:
            return _HIDDEN
        found = get(at)
        return _NOT_SENT if found is None else found

    return of


def _clean_fullname(at: FactInputs) -> str | None:
    name = at.request.person.fullname
    return None if name is None else clean_text(name)


def _orgs_verified(at: FactInputs) -> tuple[str, ...] | None:
    names = at.raw_account.verifiedOrgNames
    return None if names is None else tuple(map(clean_text, names[:LIST_LIMIT]))


def account_created_at(at: FactInputs) -> datetime | UnknownValue:
    """Return when the account was created: from the profile, or else from the account id."""
    profile = at.profile.profile if at.profile else None
    created = (profile.created_at if profile else None) or at.request.person.created_at
    return _NO_ID if created is None else created


def _account_days(at: FactInputs) -> int | UnknownValue:
    created = account_created_at(at)
    return created if isinstance(created, UnknownValue) else days_between(created, at.now)


def _profile_getter(get: Callable[[FactInputs], FactValue | None]) -> Getter:
    def of(at: FactInputs) -> FactValue | UnknownValue:
        if at.request.person.username is None:
            return _HIDDEN
        if at.profile is None or at.profile.profile is None:
            known = at.profile or ProfileFact()
            return UnknownValue(known.why, known.note or "the profile has not been read yet")
        found = get(at)
        return _NOT_SENT if found is None else found

    return of


def _profile_field(name: str) -> Getter:
    def get(at: FactInputs) -> FactValue | None:
        value: FactValue | None = getattr(at.profile.profile, name) if at.profile else None
        return tuple(map(clean_text, value[:LIST_LIMIT])) if isinstance(value, tuple) else value

    return _profile_getter(get)


# ---- e-mail ----------------------------------------------------------------------------------------------------------


def _email_getter(name: str) -> Getter:
    def get(at: FactInputs) -> FactValue | UnknownValue:
        if at.email is None:
            return _NO_MAIL
        if at.email.domain is None:
            return _BAD_MAIL
        value: FactValue | None = getattr(at.email, name)
        return (
            UnknownValue(UnknownReason.UNAVAILABLE, "the domain is itself a public suffix") if value is None else value
        )

    return get


def _email_matches_form(at: FactInputs) -> bool | UnknownValue:
    if at.email is None:
        return _NO_MAIL
    if at.email.domain is None:
        return _BAD_MAIL
    labels = at.labels_of("email")
    return contains_address(at.request.answers, labels, at.email.address) if labels else _NO_FIELD


# ---- the form --------------------------------------------------------------------------------------------------------


def _form_answers(at: FactInputs) -> Mapping[str, str]:
    answers = at.request.answers
    return {clean_text(plain): clean_text(answers[label]) for label, plain in at.layout.folded[:LIST_LIMIT]}


def answer_getters(role: str) -> dict[str, Getter]:
    """Return the getters of `answers.ROLE.*` for one role, by the last part of the name."""
    kind = Role(role)

    def text(at: FactInputs) -> str | UnknownValue:
        found = at.best_answer(kind)[1]
        return _NO_FIELD if found is None else clean_text(found)

    return {
        "present": lambda at: at.best_answer(kind)[0] not in {Quality.MISSING, Quality.EMPTY},
        "quality": lambda at: at.best_answer(kind)[0].value,
        "text": text,
    }


def _country_code_of(at: FactInputs) -> str | UnknownValue:
    labels = at.labels_of("country")
    if not labels:
        return _NO_FIELD
    codes = {country_code(at.request.answers[label], at.countries) for label in labels}
    code = codes.pop() if len(codes) == 1 else None
    return UnknownValue(UnknownReason.UNAVAILABLE, "the answer is not exactly one country") if code is None else code


def _all_ticked(at: FactInputs) -> bool | UnknownValue:
    if not at.form.is_known:
        return UnknownValue(UnknownReason.UNAVAILABLE, "the repo card with the form has not been read")
    if not at.form.boxes:
        return UnknownValue(UnknownReason.UNAVAILABLE, "the form has no consent box")
    where = at.layout
    return where.has_all_boxes and all(is_ticked(at.request.answers[label]) for label in where.boxes)


# ---- tables and history ----------------------------------------------------------------------------------------------


def table_getters(name: str) -> dict[str, Getter]:
    """Return the getters of `tables.NAME` ("") and `tables.NAME.*` for one table, by the last part of the name."""
    absent = TableHit(why=UnknownReason.UNAVAILABLE, note="the table has not been read")

    def about(get: Callable[[TableHit], FactValue | None], missing_note: str) -> Getter:
        def of(at: FactInputs) -> FactValue | UnknownValue:
            hit = at.tables.get(name, absent)
            if hit.why is not None:
                return UnknownValue(hit.why, hit.note)
            value = get(hit)
            return UnknownValue(UnknownReason.UNAVAILABLE, missing_note) if value is None else value

        return of

    return {
        "": about(lambda hit: hit.state == "valid", ""),
        "state": about(lambda hit: hit.state, ""),
        "expires": about(lambda hit: hit.expires, "there is no row, or it has no date"),
        "row": about(lambda hit: hit.row, "there is no row"),
    }


def _history_getter(get: Callable[[DecisionHistory], FactValue]) -> Getter:
    def of(at: FactInputs) -> FactValue | UnknownValue:
        if at.history is None:
            return _NO_STORE
        return get(at.history) if at.history.is_complete else _NOT_FULL

    return of


def _since_last(at: FactInputs) -> int | UnknownValue:
    if at.history is None:
        return _NO_STORE
    if not at.history.is_complete:
        return _NOT_FULL
    last = at.history.last_at
    return (
        UnknownValue(UnknownReason.UNAVAILABLE, "there is no earlier decision")
        if last is None
        else days_between(from_ms(last), at.now)
    )


GETTERS: Mapping[str, Getter] = {
    "request.id": lambda at: at.request.request_id or _NOT_SENT,
    "request.status": lambda at: clean_text(str(at.request.status)),
    "request.repo": lambda at: at.request.repo.web_path,
    "request.asked_at": lambda at: at.request.asked_at,
    "request.age_days": lambda at: days_between(at.request.asked_at, at.now),
    "request.attempt": lambda at: at.history.attempt if at.history else 1,
    "request.has_form": lambda at: at.request.has_form,
    "person.hidden": lambda at: at.request.person.username is None,
    "person.username": _person_getter(lambda at: clean_text(at.request.person.username or "")),
    "person.fullname": _person_getter(_clean_fullname),
    "person.is_pro": _person_getter(lambda at: at.raw_account.isPro),
    "person.verified_orgs": _person_getter(_orgs_verified),
    "person.created_at": account_created_at,
    "person.account_days": _account_days,
    "person.orgs": _profile_field("orgs"),
    "person.models": _profile_field("models"),
    "person.datasets": _profile_field("datasets"),
    "person.followers": _profile_field("followers"),
    "email.present": lambda at: at.email is not None,
    "email.address": _email_getter("address"),
    "email.domain": _email_getter("domain"),
    "email.registrable": _email_getter("registrable"),
    "email.free": _email_getter("free"),
    "email.disposable": _email_getter("disposable"),
    "email.academic": _email_getter("academic"),
    "email.matches_form": _email_matches_form,
    "form": _form_answers,
    "answers.country.code": _country_code_of,
    "answers.consent.all_ticked": _all_ticked,
    "history.accepted": _history_getter(lambda at: at.accepted),
    "history.rejected": _history_getter(lambda at: at.rejected),
    "history.resets": _history_getter(lambda at: at.resets),
    "history.elsewhere": _history_getter(lambda at: at.elsewhere),
    "history.last_decision": _history_getter(lambda at: at.last_decision),
    "history.days_since_last": _since_last,
    "now": lambda at: at.now,
}
"""The getters by fact name; `answer_getters`, `table_getters` and `source_getter` make those of roles, tables and
sources.
"""

DAY_COUNTS: Mapping[str, Callable[[FactInputs], datetime | UnknownValue | None]] = {
    "request.age_days": lambda at: at.request.asked_at,
    "person.account_days": account_created_at,
    "history.days_since_last": lambda at: (
        from_ms(at.history.last_at) if at.history and at.history.last_at is not None else None
    ),
}
"""The facts that count days, and the moment from which each counts. They change although nothing happens."""


def request_read_at(request: AccessRequest) -> datetime | None:
    """Return when a request was read from the Hub, if known."""
    return datetime.fromtimestamp(request.read_at, UTC) if request.read_at > 1e9 else None
