"""The end that an acceptance gives, and the terms of an acceptance by hand, as the accept rules say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from hf_gate.core.end_rows import EndRows
from hf_gate.core.runs import ChangeOrigin

from .grants import GrantTerms, format_last_day, parse_grant_end, with_chosen_end


class TermsKind(StrEnum):
    """Whether the policies know the end of an acceptance by hand.

    Of `UNKNOWN`, `PAST` and `FALSE`, a person must choose.
    """

    END = "end"
    NO_END = "none"
    UNKNOWN = "unknown"  # a condition or a date is not known
    PAST = "past"  # the end has passed already
    FALSE = "false"  # a condition of `keep_while` is not true


class AccessEnd(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The end that an acceptance gets, as written in rules, and the rule that set it (direct: the person chose it).

    `written` is None if only a condition ends the access; of several ends, separated by commas, the earliest counts.
    `rule` is the rule with the earliest end, as `policy/rule`, and `version` the digest of its policy. `terms` is what
    can move the end later, and `rests_on` are the rows of tables behind it. `is_chosen`: a person chose `written`
    instead of the end that the rule sets. `approved_by` is the earlier approver whose end it contains. `shown_at` (ms)
    says when it was read for a person.
    """

    written: str | None = None
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

    @property
    def rule_name(self) -> str:
        """The rule that set it, as `policy/rule`; "" if none did."""
        return "" if self.rule == ChangeOrigin.DIRECT else self.rule

    def is_same_as(self, other: AccessEnd) -> bool:
        """Tell whether two ends are the same, whenever they were shown and on whichever rows they rest."""
        return (self.written, self.at_end, self.rule, self.terms) == (
            other.written,
            other.at_end,
            other.rule,
            other.terms,
        )


NO_END: Final = AccessEnd()
"""The end of an acceptance without one, as it is stored in the tray."""


class HandTerms(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The end of an acceptance by hand as the accept rules set it.

    `end` is also that of rules of which a person must choose, if it is known. `missing` names the facts that are not
    known. `digest` is that of the terms of the end, which are not stored with a verdict. Equal terms of two people rest
    on different rows; terms differ neither by these, nor by the version of the policy, nor by the time they were shown.
    """

    kind: TermsKind = TermsKind.NO_END
    end: AccessEnd = NO_END
    missing: tuple[str, ...] = ()
    digest: str | None = None

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, HandTerms) and self._identity == other._identity)

    def __hash__(self) -> int:
        end = self.end
        return hash((self.kind, end.written, end.at_end, end.rule, self.missing, self.digest))

    @property
    def _identity(self) -> tuple[TermsKind, AccessEnd, tuple[str, ...], str | None]:
        return self.kind, replace(self.end, rests_on={}, version=None, shown_at=None), self.missing, self.digest

    @property
    def needs_choice(self) -> bool:
        """Whether a person must choose the end."""
        return self.kind not in (TermsKind.END, TermsKind.NO_END)

    @property
    def token(self) -> str:
        """8 hex digits that differ if other terms would apply."""
        known = [self.kind, self.end.written, self.end.at_end, self.end.rule, self.digest]
        return hashlib.blake2b(msgspec.json.encode(known), digest_size=4).hexdigest()

    @property
    def without_document(self) -> HandTerms:
        """The terms as they are stored with a verdict."""
        return self if self.end.terms is None else self.with_end(terms=None)

    def with_end(self, **fields: object) -> HandTerms:
        """Return the terms with other values of these fields of the end."""
        return replace(self, end=replace(self.end, **fields))


NO_END_WORD: Final = "none"
"""What a person writes or presses instead of an end, to give access without one."""

NO_HAND_TERMS: Final = HandTerms()
"""The terms without an end: no accept rule that holds sets one."""


class EarlierEnd(NamedTuple):
    """The end of an approval that is earlier than the end of the rule, as written, and the approver's name."""

    written: str
    by: str


def end_of_terms(terms: HandTerms) -> AccessEnd | None:
    """Return the end that these terms set; None for none, and for terms of which a person must choose."""
    return terms.end if terms.kind is TermsKind.END else None


def shorten_terms(terms: HandTerms, approved: Sequence[EarlierEnd]) -> HandTerms:
    """Return the terms of an acceptance that earlier approvals shorten; their rule and conditions stay."""
    if not approved:
        return terms
    end = shorten_end(terms.end, approved)
    return replace(terms, kind=TermsKind.END, end=end, digest=None if end.terms is None else end.terms.digest)


def shorten_end(end: AccessEnd, approved: Sequence[EarlierEnd]) -> AccessEnd:
    """Return an end that also comes with the first of the ends that others approved."""
    written = ",".join(one.written for one in approved)
    return replace(
        end,
        written=f"{end.written},{written}" if end.written else written,
        terms=with_chosen_end(end.terms, written, is_within=True),
        approved_by=", ".join(one.by for one in approved),
    )


def choose_end(terms: HandTerms, written: str, now: datetime, zone: tzinfo) -> AccessEnd:
    """Return the end that a person chose for an acceptance. `none` also drops the conditions.

    The rule and its conditions stay, unless a condition is false or not known.
    """
    ruled = terms.end
    if written == NO_END_WORD:
        return AccessEnd(is_chosen=True, shown_at=ruled.shown_at)
    if terms.kind not in (TermsKind.END, TermsKind.PAST):
        return AccessEnd(written, is_chosen=True, shown_at=ruled.shown_at)
    document = with_chosen_end(ruled.terms, written, is_within=not is_later(written, ruled.written, now, zone))
    rests_on = {} if document is None else ruled.rests_on
    return replace(ruled, written=written, terms=document, rests_on=rests_on, is_chosen=True, approved_by=None)


def describe_given_access(end: AccessEnd | None, now: datetime, zone: tzinfo) -> str:
    """Return the end of an acceptance in words: `access until 26 Nov 2027, under a condition`. Durations begin now."""
    if end is None or end.gives_none:
        return "access has no end"
    if end.written is None:
        return f"access lasts while rule {end.rule} holds"
    until = f"access until {format_last_day(parse_grant_end(end.written, now, zone), zone)}"
    return f"{until}, under a condition" if end.terms is not None and end.terms.keep_while else until


def is_later(written: str | None, limit: str | None, now: datetime, zone: tzinfo) -> bool:
    """Tell whether an end is later than another one, both as written in rules; None and `none` mean no end."""
    if limit in (None, NO_END_WORD):
        return False
    if written in (None, NO_END_WORD):
        return True
    return parse_grant_end(str(written), now, zone) > parse_grant_end(str(limit), now, zone)
