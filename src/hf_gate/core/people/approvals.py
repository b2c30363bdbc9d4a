"""Approvals of requests that two people must approve: who approved which version, and which approvals count.

A person endorses an act: a click, a selection, a plan, or ends that move earlier. Its digest covers its changes. When a
run starts, endorsements become approvals of its requests, in the transaction that stores its intents. Thus a click by
one person and a selection by another meet (`approvals/service/approvals.py`).

1. No acceptance is sent without the approvals that the policies ask for: by a command, page, plan, turn, retry or
   resumed run.
2. A person counts once, by the id of their Hub account, whatever ways and names they use.
3. A key, the requester, whoever alone promoted the policy version, and a person who may not decide there now never
   count.
4. An approval counts for one version of the request and under the same rules. A change of either ends it.
5. An approval can be taken back until it is used. It does not return when a run is resumed. An undone act leaves none.
6. Nobody gives more access than each approver approved: no later end, and no condition fewer. Longer access needs the
   same approvals.
7. One person can reject, and shorten access. An earlier end deletes the approvals of a longer one.
8. Where the promoted policies ask for two people, nobody is accepted under other policies: by files that are missing,
   cannot be read, or differ from the promoted versions. Each change of more than texts takes two promoters.
9. An acceptance outside hf-gate without approvals is not undone. It raises an alarm until a person acknowledges it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, tzinfo
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from hf_gate.base.timestamps import format_day
from hf_gate.core.request_version import RequestVersion

from .access_end import NO_END_WORD, AccessEnd, is_later
from .grants import format_last_day, parse_grant_end, read_duration
from .members import KEY_ACTOR

PROMOTED_SETTING: Final = "promoted policies"
"""The setting with the version of each policy that was promoted last."""


class Approval(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One person's approval of one version of a request.

    `version.identity` is empty if the rules do not read the name or the e-mail address. `need` is the digest of the
    rules that ask for two people.
    """

    request: int
    account: str
    member: str | None
    actor: str
    at: int  # ms
    version: RequestVersion
    need: str
    has_note: bool = False


class ApprovedEnd(NamedTuple):
    """The end of access that a person approves: as written, or `none`; and the digests of the
    conditions of the access.
    """

    until: str = NO_END_WORD
    conditions: tuple[str, ...] = ()

    def exceeds(self, agreed: ApprovedEnd, now: datetime, zone: tzinfo) -> bool:
        """Tell whether this gives more access than what another person agreed to."""
        return not set(agreed.conditions) <= set(self.conditions) or is_later(self.until, agreed.until, now, zone)

    def shortens(self, end: ApprovedEnd, now: datetime, zone: tzinfo) -> bool:
        """Tell whether this approved end comes before the end that the next person gives, under the same conditions."""
        if not set(self.conditions) <= set(end.conditions) or not is_later(end.until, self.until, now, zone):
            return False
        return parse_grant_end(self.until, now, zone) > now

    def describe(self, zone: tzinfo) -> str:
        """Return the end in words, after "approved"."""
        if self.until == NO_END_WORD:
            until = "access without an end"
        else:
            until = f"access {', at most '.join(_describe_part(part, zone) for part in self.until.split(','))}"
        return f"{until}, under a condition" if self.conditions else until


def _describe_part(written: str, zone: tzinfo) -> str:
    if read_duration(written) is not None:
        return f"for {written}"
    return f"until {format_last_day(written, zone) if 'T' in written else format_day(date.fromisoformat(written))}"


def approved_end_of(end: AccessEnd | None) -> ApprovedEnd:
    """Return what a person agrees to who gives access with this end."""
    if end is None:
        return ApprovedEnd()
    conditions = () if end.terms is None else tuple(sorted(one.digest for one in end.terms.keep_while))
    return ApprovedEnd(end.written or NO_END_WORD, conditions)


class PolicyAuthor(NamedTuple):
    """A person who promoted a version of a policy."""

    digest: str
    actor: str
    member: str | None
    account: str | None


class PromotedPolicy(Struct, frozen=True, omit_defaults=True):
    """The version of a policy that was promoted last, and the accounts that promoted the `next` one, if it needs two.

    `is_double` says whether it asks for two people. `decides` is the digest of all but its texts.
    """

    digest: str = ""
    repos: tuple[str, ...] = ()
    is_double: bool = False
    decides: str = ""
    next: str = ""
    promoters: tuple[str, ...] = ()


class ApprovalAlarm(NamedTuple):
    """A request that was accepted outside hf-gate with fewer approvals than needed."""

    request: int
    at: int  # ms
    given: int
    needed: int


class Quorum(Struct, frozen=True):
    """The number of people who must approve a request before it is accepted, and the rules that say so.

    `digest` covers these rules, and `policies` are the digests of their policies. `problem` says why the policies
    cannot be read; then nobody knows the number, and nothing is accepted.
    """

    count: int = 1
    digest: str = ""
    policies: tuple[str, ...] = ()
    reads_identity: bool = False
    problem: str = ""

    @property
    def is_double(self) -> bool:
        """Whether one person is not enough."""
        return self.count > 1 or bool(self.problem)


ONE_PERSON = Quorum()
"""The quorum of a request that one person may accept."""


class Approver(NamedTuple):
    """The person who accepts. `account` is the id of the Hub account; None for a key, or if the Hub named none."""

    actor: str
    member: str | None
    account: str | None

    @property
    def is_key(self) -> bool:
        """Whether this is a key of another system, which never approves: it counts as none, and is not refused."""
        return self.member is not None and self.member.startswith(KEY_ACTOR)


def why_not_counted(
    approver: Approver,
    requester: tuple[str | None, str | None],
    authors: Iterable[PolicyAuthor],
    able: Collection[str] | None,
) -> str:
    """Return why the approval of a person does not count; "" if it does.

    `requester` is the name and account id of the person who asks; without an id, the names are compared. `able` are the
    accounts that may decide at the repo now; None means that the workspace has no members.
    """
    account = approver.account
    if account is None:
        return "your Hub account is unknown"
    name, ident = requester
    has_same_name = ident is None and name is not None and name.lower() == approver.actor.lower()
    if account == ident or has_same_name:
        return "you cannot approve your own request"
    for author in authors:
        if author.account == account or (author.member is not None and author.member == approver.member):
            if able is None:
                return (
                    "you promoted this version of the policy, and there are no members, so no second promotion counts"
                )
            return "you alone promoted this version of the policy; another member can promote it, too"
    if able is not None and account not in able:
        return "your Hub account is no member who may decide here"
    return ""


def is_current(approval: Approval, version: RequestVersion, quorum: Quorum) -> bool:
    """Tell whether an approval is for the current version of the request and for the current rules."""
    if approval.need != quorum.digest:
        return False
    identity = quorum.reads_identity and bool(approval.version.identity)
    return approval.version.difference(version, with_identity=identity) is None
