"""Records who agrees to what, and decides which acceptances may be sent: those that enough different people
approved.

`core/people/approvals.py` says which approvals count, and what never happens without them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import Struct

from hf_gate.approvals.rows.approvals import (
    read_approvals,
    read_endorsers,
    read_withdrawals,
    write_approval,
    write_endorsement,
)
from hf_gate.approvals.rows.plans import find_plan
from hf_gate.base.ids import Repo, group_by_repo
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.events import events as e
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.people.access_end import EarlierEnd
from hf_gate.core.people.approvals import (
    Approval,
    ApprovedEnd,
    Approver,
    PolicyAuthor,
    Quorum,
    approved_end_of,
    is_current,
    why_not_counted,
)
from hf_gate.core.people.members import Member, MemberRole
from hf_gate.core.people.standing import Beginning
from hf_gate.core.request_version import RequestVersion
from hf_gate.core.requests import version_of_record
from hf_gate.core.runs import RunKind
from hf_gate.core.stored_rows import RequestRow, RunRow, entry_about
from hf_gate.errors import Guarded, UsageError
from hf_gate.members.service.members import read_deciders, read_standing
from hf_gate.settings.service.workspace import Workspace
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.plan.run_items import RunItem, SettledItem
from hf_gate.verdicts.rows.policy_authors import read_policy_authors

from .quorum_rules import BundleReader, QuorumRules, read_quorum_rules

NO_REQUEST: Final = "two people must approve here, and this person has no request; ask them to request access first"

_READ_INTERVAL: Final = 2.0  # seconds
_ENTRIES: Final = 100  # of a request, searched for the notes of its approvals
_MAX_ENTRIES: Final = 1000  # of a request, searched for the ends that its approvers agreed to


def name_accounts(store: Store, accounts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the deciders with these accounts."""
    known = {decider.account_id: decider.name for decider in read_deciders(store)}
    return tuple(sorted(known.get(account, account) for account in accounts))


def read_act_endorsers(store: Store, act: str, rules: str | None = None) -> list[str]:
    """Return the accounts that endorsed an act, by its digest; with `rules`, those that did so under these."""
    return read_endorsers(store, act, rules)


def endorse(workspace: Workspace, act: str, changes: int, member: Member, actor: str) -> None:
    """Record that a person endorses a plan with so many changes. Raises Guarded if their Hub account is unknown."""
    account = member.account_id
    if account is None:
        raise Guarded("Your Hub account is unknown, so you do not count as one of the two.")
    event = e.PlanAgreed(plan=act, changes=changes, account=account)
    rules = read_quorum_rules(workspace).digest
    with workspace.store.writing() as write:
        if find_plan(write, act) is None:
            raise UsageError("The plan was discarded meanwhile.", hint="Make a new one.")
        if write_endorsement(write, act, account, rules):
            write.append(None, [e.LedgerEntry(event=event, at=to_ms(workspace.now()), actor=actor)])


def read_plan_approvals(store: Store, digest: str) -> tuple[int, list[str]]:
    """Return how many changes the original plan had, and the accounts that made this plan or agreed to it."""
    row = find_plan(store, digest)
    stored: Mapping[str, Any] = {} if row is None else row.about
    maker = stored.get("by_account")
    return int(stored.get("need", 0)), [*read_endorsers(store, digest), *([maker] if maker else [])]


class ApprovalBook:
    """The approvals of a workspace, and who counts. `write` is the transaction in which they are read, if any."""

    def __init__(self, workspace: Workspace, write: Writer | None = None) -> None:
        self._store = workspace.store
        self._reader = write or workspace.store
        self.standing = read_standing(workspace.store, workspace.now())
        self.recorded_ends: dict[int, dict[str, ApprovedEnd]] = {}  # by this transaction; `Store.entries` misses them

    @cached_property
    def _members(self) -> list[Member]:
        return read_deciders(self._store)

    def able_accounts(self, repo: Repo) -> frozenset[str] | None:
        """Return the accounts that may decide at a repo now; None if the workspace has no owner and
        no members.
        """
        if not self._members:
            return None
        return frozenset(
            member.account_id
            for member in self._members
            if member.account_id is not None
            and member.role.covers(MemberRole.REVIEWER)
            and matches_any(member.repos, repo)
        )

    def find_endorsers(self, run: RunRow, rules: str) -> list[Approver]:
        """Return the present deciders who endorsed the plan of a run under these rules, without those who
        started it.
        """
        accounts = () if run.plan is None else read_endorsers(self._reader, run.plan, rules)
        return [
            Approver(member.name, member.id or None, member.account_id)
            for member in self._members
            if member.account_id in accounts and member.account_id != run.account
        ]

    def find_single_authors(self, quorum: Quorum, able: frozenset[str] | None) -> list[PolicyAuthor]:
        """Return the people who promoted a policy version that asks for two people, and no second person did."""
        found = read_policy_authors(self._reader, quorum.policies)
        people = {
            digest: self.standing.select_people(
                one.account
                for one in found
                if one.digest == digest and one.account is not None and one.account in (able or ())
            )
            for digest in quorum.policies
        }
        return [one for one in found if len(people[one.digest]) < 2]

    def list_stored(self, requests: Collection[int]) -> dict[int, list[Approval]]:
        """Return all stored approvals of these requests, whether they count or not."""
        return read_approvals(self._reader, requests)

    def read_notes(self, request: int) -> dict[str, str]:
        """Return the notes of the approvals of a request by account; the latest approval counts."""
        notes: dict[str, str] = {}
        for entry in self._store.entries(request=request, limit=_ENTRIES):
            if entry.link.kind == e.kind_of(e.ApprovalGiven):
                event = e.decode_event(entry.link.body)
                note = (entry.private or {}).get("note")
                if isinstance(event, e.ApprovalGiven) and isinstance(note, str):
                    notes.setdefault(event.account, note)
        return notes

    def read_approved_ends(self, request: int) -> dict[str, ApprovedEnd]:
        """Return the end of access that each account approved last, by account, as far as it is recorded."""
        found = dict(self.recorded_ends.get(request, {}))
        for entry in self._store.entries(request=request, limit=_MAX_ENTRIES):
            if entry.link.kind == e.kind_of(e.ApprovalGiven):
                event = e.decode_event(entry.link.body)
                if isinstance(event, e.ApprovalGiven) and event.until is not None:
                    found.setdefault(event.account, ApprovedEnd(event.until, event.conditions))
        return found

    def find_counted(self, row: RequestRow, quorum: Quorum, version: RequestVersion | None = None) -> list[Approval]:
        """Return the approvals of a request that count now, the oldest first."""
        return self.select_counted(row, quorum, self.list_stored([row.id]).get(row.id, ()), version)

    def select_counted(
        self, row: RequestRow, quorum: Quorum, stored: Iterable[Approval], version: RequestVersion | None = None
    ) -> list[Approval]:
        """Return those of the stored approvals of a request that count now."""
        who = row.person.identity
        able = self.able_accounts(row.repo)
        authors = self.find_single_authors(quorum, able)
        asker = (who.username, who.user_id)
        able_ones = [
            one
            for one in stored
            if is_current(one, version or row.version, quorum)
            and not why_not_counted(Approver(one.actor, one.member, one.account), asker, authors, able)
        ]
        people = self.standing.select_people(one.account for one in able_ones)
        return [one for one in able_ones if one.account in people]

    def explain(self, row: RequestRow, quorum: Quorum, approver: Approver, given: Iterable[Approval]) -> str:
        """Return why the approval of this person would not count beside those given; "" if it would."""
        who = row.person.identity
        able = self.able_accounts(row.repo)
        authors = self.find_single_authors(quorum, able)
        why = why_not_counted(approver, (who.username, who.user_id), authors, able)
        if approver.account is None or (why and approver.account not in {one.account for one in authors}):
            return why
        others = [one.account for one in authors if one.account] if why else [one.account for one in given]
        return self.standing.explain(approver.account, others) or why


@dataclass(slots=True)
class ApprovalCheck:
    """Admits the acceptances of runs. In a long run, the policies are read again every few seconds."""

    workspace: Workspace
    read_bundle: BundleReader | None = None
    note: str | None = None
    _rules: QuorumRules | None = field(default=None, init=False)
    _read_at: float = field(default=0.0, init=False)

    def read_quorums(self, repo: Repo, items: Sequence[RunItem]) -> Mapping[int, Quorum]:
        """Return the quorums of the acceptances among these changes, by number of the change. Reads files."""
        accepts = [item for item in items if item.change.after == Status.ACCEPTED]
        if not accepts:
            return {}
        rules = self._read_rules()
        rows = [item.row for item in accepts if item.row is not None]
        by_row = rules.compute(repo, rows, self.workspace.now()) if rows else {}
        found = {}
        for item in accepts:
            quorum = rules.strictest(repo) if item.row is None else by_row.get(item.row.id)
            if quorum is not None and quorum.is_double:
                found[item.n] = quorum
        return found

    def admit(
        self, write: Writer, run: RunRow, items: Sequence[RunItem], quorums: Mapping[int, Quorum], at: int
    ) -> tuple[list[RunItem], list[SettledItem]]:
        """Record the approvals of those who endorsed the run and of its starter, unless they took them back since.

        Return the changes to send, each with the earliest of the ends that the people were shown, and the others.
        """
        book = ApprovalBook(self.workspace, write)
        ready = list[RunItem]()
        held = list[SettledItem]()
        endorsers = book.find_endorsers(run, self._read_rules().digest) if quorums else []
        approvers = [*endorsers, self._find_starter(run)]
        requests = [item.row.id for item in items if item.n in quorums and item.row is not None]
        withdrawn = read_withdrawals(write, requests, run) if requests else set()
        shortened = list[tuple[int, bytes]]()
        for item in items:
            quorum = quorums.get(item.n)
            if quorum is None:
                ready.append(item)
                continue
            ident = 0 if item.row is None else item.row.id
            present = [
                None if approver is not None and (ident, approver.account) in withdrawn else approver
                for approver in approvers
            ]
            result = [self._hold(write, book, run, item, quorum, at, approver) for approver in present][-1]
            if isinstance(result, SettledItem):
                held.append(result)
                continue
            ready.append(result)
            if result is not item:
                shortened.append((item.n, msgspec.json.encode(result.change)))
        write.replace_changes(run.id, shortened)
        return ready, held

    def preview(self, run: RunRow, repo: Repo, items: Sequence[RunItem]) -> list[SettledItem]:
        """Return the changes that `admit` would keep back. Nothing is recorded."""
        quorums = self.read_quorums(repo, items)
        book = ApprovalBook(self.workspace)
        at = run.made_at
        starter = self._find_starter(run)
        held = [self._hold(None, book, run, item, quorums[item.n], at, starter) for item in items if item.n in quorums]
        return [one for one in held if isinstance(one, SettledItem)]

    def read_end_quorums(self, rows: Sequence[RequestRow]) -> Mapping[int, Quorum]:
        """Return how many people must approve longer access of these people, by row; only where it is more than one."""
        if not rows:
            return {}
        rules = self._read_rules()
        found = dict[int, Quorum]()
        for repo, here in group_by_repo(rows).items():
            by_row = rules.compute(repo, here, self.workspace.now())
            found |= {ident: quorum for ident, quorum in by_row.items() if quorum.is_double}
        return found

    def find_problem(self, repo: Repo) -> str:
        """Return why nobody knows who must approve at a repo, so that nothing is accepted there; "" if they do."""
        return self._read_rules().strictest(repo).problem

    def _read_rules(self) -> QuorumRules:
        if self._rules is None or time.monotonic() - self._read_at > _READ_INTERVAL:
            self._rules = read_quorum_rules(self.workspace, self.read_bundle)
            self._read_at = time.monotonic()
        return self._rules

    def _find_starter(self, run: RunRow) -> Approver | None:
        return None if run.kind is RunKind.AUTO else Approver(run.actor, run.member, run.account)

    def _hold(
        self,
        write: Writer | None,
        book: ApprovalBook,
        run: RunRow,
        item: RunItem,
        quorum: Quorum,
        at: int,
        approver: Approver | None,
    ) -> RunItem | SettledItem:
        """Record the approval of a person; return the acceptance to send, or the outcome of one that lacks
        approvals.
        """
        row = item.row
        if quorum.problem:
            return SettledItem(item, OutcomeKind.DEFERRED if approver is None else OutcomeKind.REFUSED, quorum.problem)
        if row is None:
            return SettledItem(item, OutcomeKind.REFUSED, NO_REQUEST)
        version = row.version
        if item.hub_record is not None:
            version = version_of_record(item.hub_record, row.state.last_moved_at)
        end = item.change.end
        is_fixed = (end is not None and end.is_chosen) or run.plan is not None
        asked = ProposedApproval(row, version, quorum, approved_end_of(end), approver, self.note, is_fixed=is_fixed)
        kind, why, earlier = approve(write, book, asked, at, self.workspace.zone)
        if kind is not None:
            return SettledItem(item, kind, why)
        return item.shorten(earlier) if earlier else item


class ProposedApproval(Struct, frozen=True):
    """What a person wants to approve: an acceptance, or longer access. Without an approver, nothing is recorded.

    If the end `is_fixed`, because a person chose it or a plan has it, an earlier end that others approved refuses it.
    Otherwise that earlier end holds.
    """

    row: RequestRow
    version: RequestVersion
    quorum: Quorum
    end: ApprovedEnd
    approver: Approver | None
    note: str | None = None
    is_fixed: bool = True


def approve(
    write: Writer | None, book: ApprovalBook, asked: ProposedApproval, at: int, zone: tzinfo
) -> tuple[OutcomeKind | None, str, list[EarlierEnd]]:
    """Record an approval; return the outcome and what is lacking, or None and the earlier ends that hold.

    Without `write`, nothing is recorded.
    """
    row = asked.row
    quorum = asked.quorum
    approver = None if asked.approver is None or asked.approver.is_key else asked.approver
    now = from_ms(at)
    given = book.find_counted(row, quorum, asked.version)
    agreed = book.read_approved_ends(row.id) if given else {}
    mine = next((one for one in given if approver is not None and one.account == approver.account), None)
    state = f"approval {len(given)} of {quorum.count}"
    earlier = list[EarlierEnd]()
    keeps_mine = False  # the end that this person chose before
    for one in given:
        theirs = agreed.get(one.account)
        if theirs is not None and not asked.end.exceeds(theirs, now, zone):
            continue
        if theirs is not None and not asked.is_fixed and theirs.shortens(asked.end, now, zone):
            earlier.append(EarlierEnd(theirs.until, one.actor))
            keeps_mine = keeps_mine or one is mine
        elif one is not mine:
            known = "an end that is not recorded" if theirs is None else theirs.describe(zone)
            kind = OutcomeKind.DEFERRED if approver is None else OutcomeKind.REFUSED
            why = f"{one.actor} approved {known}, and this is {asked.end.describe(zone)}"
            next_step = f"choose that end or an earlier one, or ask {one.actor} to approve this one"
            return kind, f"{state}: {why}; {next_step}", []
    why = "" if approver is None or mine is not None else book.explain(row, quorum, approver, given)
    is_new = len(given) < quorum.count if mine is None else not keeps_mine and agreed.get(mine.account) != asked.end
    if approver is not None and approver.account is not None and not why and is_new:
        identity = row.content.identity if quorum.reads_identity else b""  # it counts only if the rules read it
        approval = Approval(
            request=row.id,
            account=approver.account,
            member=approver.member,
            actor=approver.actor,
            at=at,
            version=msgspec.structs.replace(asked.version, identity=identity),
            need=quorum.digest,
            has_note=bool(asked.note),
        )
        if write is not None:
            _record_approval(write, asked, approval, book.standing.find_beginning(approval.account))
            book.recorded_ends.setdefault(row.id, {})[approval.account] = asked.end
        given = [*(one for one in given if one is not mine), approval]
    if len(given) >= quorum.count:
        return None, "", earlier
    state = f"approval {len(given)} of {quorum.count}"
    if why:
        return OutcomeKind.REFUSED, f"{state}: your approval does not count, because {why}", []
    again = "" if mine is None else ": your approval counts once; another person must approve"
    return OutcomeKind.DEFERRED, f"{state}{again}", []


def _record_approval(write: Writer, asked: ProposedApproval, approval: Approval, beginning: Beginning | None) -> None:
    """Store an approval, and record it in the chain of the repo; the note and the version are private there."""
    write_approval(write, approval)
    event = e.ApprovalGiven(
        account=approval.account,
        member=approval.member,
        need=approval.need,
        has_note=approval.has_note,
        until=asked.end.until,
        conditions=asked.end.conditions,
        new_member=beginning,
    )
    private = {"version": asked.version.token} | ({"note": asked.note} if asked.note else {})
    write.append(asked.row.repo, [entry_about(asked.row, event, approval.actor, approval.at, private)])


def as_approver(member: Member) -> Approver:
    """Return a member as an approver."""
    return Approver(member.name, member.id or None, member.account_id)
