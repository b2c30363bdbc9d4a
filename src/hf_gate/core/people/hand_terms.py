"""The terms of an acceptance by hand: when the access ends, as the accept rules of the policies say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import astuple, replace

from hf_gate.core.end_rows import EndRows
from hf_gate.core.runs import ChangeOrigin

from .grants import GrantTerms, parse_grant_end, with_chosen_end


class TermsKind(StrEnum):
    """Whether the policies know the end of an acceptance by hand.

    Of `UNKNOWN`, `PAST` and `FALSE`, a person must choose.
    """

    END = "end"
    NO_END = "none"
    UNKNOWN = "unknown"  # a condition or a date is not known
    PAST = "past"  # the end has passed already
    FALSE = "false"  # a condition of `keep_while` is not true


class HandTerms(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The terms of an acceptance by hand. `until` is as written in rules; of several ends, separated by commas, the
    earliest.

    `rule` is the rule with the earliest end, as `policy/rule`. `missing` names the facts that are not known. `digest`
    is that of `document`, which is what can move the end later; the document is not stored with a verdict. `rests_on`
    are the tables behind the end; equal terms of two people rest on different rows. `approved_by` is the person whose
    approval has an earlier end than the rule; `until` contains it. `version` is the digest of the policy of `rule`, and
    `shown_at` (ms) says when the terms were read for a person; terms differ by neither.
    """

    kind: TermsKind = TermsKind.NO_END
    until: str | None = None
    at_end: str | None = None
    rule: str | None = None
    missing: tuple[str, ...] = ()
    digest: str | None = None
    document: GrantTerms | None = None
    rests_on: EndRows = {}
    approved_by: str | None = None
    version: str | None = None
    shown_at: int | None = None

    def __eq__(self, other: object) -> bool:
        both = [
            replace(one, rests_on={}, version=None, shown_at=None)
            for one in (self, other)
            if isinstance(one, HandTerms)
        ]
        return len(both) == 2 and astuple(both[0]) == astuple(both[1])

    def __hash__(self) -> int:
        return hash((self.kind, self.until, self.at_end, self.rule, self.missing, self.digest))

    @property
    def needs_choice(self) -> bool:
        """Whether a person must choose the end."""
        return self.kind not in (TermsKind.END, TermsKind.NO_END)

    @property
    def token(self) -> str:
        """8 hex digits that differ if other terms would apply."""
        known = [self.kind, self.until, self.at_end, self.rule, self.digest]
        return hashlib.blake2b(msgspec.json.encode(known), digest_size=4).hexdigest()

    @property
    def without_document(self) -> HandTerms:
        """The terms as they are stored with a verdict."""
        return self if self.document is None else msgspec.structs.replace(self, document=None)


NO_END_WORD: Final = "none"
"""What a person writes or presses instead of an end, to give access without one."""

NO_HAND_TERMS: Final = HandTerms()
"""The terms without an end: no accept rule that holds sets one."""


class EarlierEnd(NamedTuple):
    """The end of an approval that is earlier than the end of the rule, as written, and the approver's name."""

    written: str
    by: str


class GrantEnd(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The end that an acceptance gets, as written in rules, and the rule that set it (direct: the person chose it).

    `written` is None if only a condition ends the access. `terms` is what can move the end later. `is_chosen`: a person
    chose `written` instead of the end that the rule sets. `approved_by` is the earlier approver whose end it contains.
    `version` and `shown_at` are those of the terms that were shown.
    """

    written: str | None
    at_end: str = "reset"
    rule: str = ChangeOrigin.DIRECT
    terms: GrantTerms | None = None
    rests_on: EndRows = {}
    is_chosen: bool = False
    approved_by: str | None = None
    version: str | None = None
    shown_at: int | None = None

    @property
    def gives_none(self) -> bool:
        """Whether the access has no end, neither by a date nor by a condition."""
        return self.written is None and self.terms is None

    def is_same_as(self, other: GrantEnd) -> bool:
        """Tell whether two ends are the same, whenever they were shown and on whichever rows they rest."""
        return (self.written, self.at_end, self.rule, self.terms) == (
            other.written,
            other.at_end,
            other.rule,
            other.terms,
        )


NO_END: Final = GrantEnd(None)
"""The end of an acceptance without one, as it is stored in the tray."""


def end_of_terms(terms: HandTerms) -> GrantEnd | None:
    """Return the end that these terms set; None for none, and for terms of which a person must choose."""
    if terms.kind is not TermsKind.END:
        return None
    return GrantEnd(
        terms.until,
        terms.at_end or "reset",
        terms.rule or ChangeOrigin.DIRECT,
        terms.document,
        terms.rests_on,
        approved_by=terms.approved_by,
        version=terms.version,
        shown_at=terms.shown_at,
    )


def shorten_terms(terms: HandTerms, approved: Sequence[EarlierEnd]) -> HandTerms:
    """Return the terms of an acceptance that earlier approvals shorten; their rule and conditions stay."""
    if not approved:
        return terms
    end = shorten_end(GrantEnd(terms.until, terms=terms.document), approved)
    digest = None if end.terms is None else end.terms.digest
    return replace(
        terms, kind=TermsKind.END, until=end.written, document=end.terms, digest=digest, approved_by=end.approved_by
    )


def shorten_end(end: GrantEnd, approved: Sequence[EarlierEnd]) -> GrantEnd:
    """Return an end that also comes with the first of the ends that others approved."""
    written = ",".join(one.written for one in approved)
    return replace(
        end,
        written=f"{end.written},{written}" if end.written else written,
        terms=with_chosen_end(end.terms, written, is_within=True),
        approved_by=", ".join(one.by for one in approved),
    )


def choose_end(terms: HandTerms, written: str, now: datetime, zone: tzinfo) -> GrantEnd:
    """Return the end that a person chose for an acceptance. `none` also drops the conditions.

    The rule and its conditions stay, unless a condition is false or not known.
    """
    if written == NO_END_WORD:
        return GrantEnd(None, is_chosen=True, shown_at=terms.shown_at)
    if terms.kind not in (TermsKind.END, TermsKind.PAST):
        return GrantEnd(written, is_chosen=True, shown_at=terms.shown_at)
    is_within = not is_later(written, terms.until, now, zone)
    document = with_chosen_end(terms.document, written, is_within=is_within)
    rule = terms.rule or ChangeOrigin.DIRECT
    rests_on = {} if document is None else terms.rests_on
    return GrantEnd(
        written,
        terms.at_end or "reset",
        rule,
        document,
        rests_on,
        is_chosen=True,
        version=terms.version,
        shown_at=terms.shown_at,
    )


def is_later(written: str | None, limit: str | None, now: datetime, zone: tzinfo) -> bool:
    """Tell whether an end is later than another one, both as written in rules; None and `none` mean no end."""
    if limit in (None, NO_END_WORD):
        return False
    if written in (None, NO_END_WORD):
        return True
    return parse_grant_end(str(written), now, zone) > parse_grant_end(str(limit), now, zone)
