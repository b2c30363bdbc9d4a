"""Finds what is unusual about requests, for the chips of a row: only exceptions, and only a few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

from hf_gate.base.ids import Repo, id_time
from hf_gate.core.events.classification import MailKind
from hf_gate.core.forms.forms import form_from_json
from hf_gate.core.forms.roles import Role
from hf_gate.core.requests import AccessRequest
from hf_gate.core.stored_rows import RepoRow, RequestRow, RowClass
from hf_gate.policies.facts.email_addresses import parse_address
from hf_gate.policies.facts.form_facts import FormRoles, contains_address, form_roles, layout_answers
from hf_gate.requests.rows.queue import MAX_SAME_TEXT, read_row_classes
from hf_gate.requests.software_instructions import any_addresses_software
from hf_gate.store.store import Store

MAX_CHIPS: Final = 3
NEW_ACCOUNT_DAYS: Final = 30
"""An account is new up to this age."""

SAME_TEXT_LIMIT: Final = MAX_SAME_TEXT
"""The largest number of a SAME_TEXT chip. A chip with a larger number means "99+"."""


class ChipKind(StrEnum):
    """The kinds of chips, the most important first. The comment says in parentheses what a chip's number means."""

    NEW_ACCOUNT = "new-account"  # (age in days)
    THROW_AWAY_MAIL = "throw-away-mail"
    OTHER_FORM_MAIL = "other-form-mail"  # the form has another e-mail address than the account
    SAME_TEXT = "same-text"  # (requests of this repo with this text, including this request)
    ASKED_BEFORE = "asked-before"  # (earlier attempts)
    ADDRESSES_SOFTWARE = "addresses-software"


class Chip(NamedTuple):
    """One exception; `number` is None for kinds without one."""

    kind: ChipKind
    number: int | None = None


def read_chips(
    store: Store, rows: Sequence[RequestRow], repos: Mapping[Repo, RepoRow], *, now: datetime
) -> dict[int, tuple[Chip, ...]]:
    """Return at most `MAX_CHIPS` chips for each request, by request number, the most important first.

    One query serves the whole page.
    """
    classes = read_row_classes(store, [row.id for row in rows])
    found: dict[int, tuple[Chip, ...]] = {}
    for row in rows:
        repo = repos.get(row.repo)
        chips = _find_chips(row, None if repo is None else repo.form_card, classes.get(row.id), now)
        found[row.id] = tuple(islice(chips, MAX_CHIPS))
    return found


def _find_chips(row: RequestRow, form_card: str | None, known: RowClass | None, now: datetime) -> Iterator[Chip]:
    """Yield all chips of a request in the order of `ChipKind`."""
    user_id = row.person.identity.user_id
    request = row.request
    created = id_time(user_id) if user_id else None
    if created is not None and (days := max(0, (now - created).days)) <= NEW_ACCOUNT_DAYS:
        yield Chip(ChipKind.NEW_ACCOUNT, days)
    if known is not None and known.mail == MailKind.THROW_AWAY:
        yield Chip(ChipKind.THROW_AWAY_MAIL)
    if request is not None and _has_other_form_mail(request, form_card):
        yield Chip(ChipKind.OTHER_FORM_MAIL)
    if known is not None and known.same_text > 1:
        yield Chip(ChipKind.SAME_TEXT, known.same_text)
    if row.state.attempt > 1:
        yield Chip(ChipKind.ASKED_BEFORE, row.state.attempt - 1)
    if request is not None and any_addresses_software(request.answers.values()):
        yield Chip(ChipKind.ADDRESSES_SOFTWARE)


def _has_other_form_mail(request: AccessRequest, form_card: str | None) -> bool:
    """Tell whether the form asks for an e-mail address, and the answer is not the account's address."""
    address = None if request.email is None else parse_address(request.email)
    labels = layout_answers(_roles_of(form_card), tuple(request.answers)).by_role.get(Role.EMAIL, ())
    answered = [label for label in labels if request.answers[label].strip()]
    return bool(address and answered) and not contains_address(request.answers, answered, str(address))


@lru_cache(256)
def _roles_of(form_card: str | None) -> FormRoles:
    return form_roles(None if form_card is None else form_from_json(form_card))
