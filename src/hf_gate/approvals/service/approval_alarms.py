"""Raises an alarm for each person who was accepted outside hf-gate without the approvals that the policies ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from hf_gate.approvals.rows.approvals import delete_alarm, read_alarm, read_alarms, write_alarms
from hf_gate.base.batches import split_into_batches
from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import to_ms
from hf_gate.core.events import events as e
from hf_gate.core.events.ledger import LedgerLink, chain_of
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.parsing.literals import matches_any
from hf_gate.core.people.approvals import Approval, ApprovalAlarm, Quorum
from hf_gate.core.people.members import Member
from hf_gate.core.stored_rows import RequestRow, entry_about
from hf_gate.errors import Guarded, UsageError
from hf_gate.members.service.members import read_team
from hf_gate.settings.service.workspace import Workspace
from hf_gate.settings.setting_keys import checked_entries_key
from hf_gate.store.store import Store
from hf_gate.verdicts.rows.policy_authors import read_promoted_policies

from .approvals import ApprovalBook
from .quorum_rules import BundleReader, QuorumRules, read_quorum_rules

MAX_ALARMS: Final = 200  # shown or counted at once
_CHUNK: Final = 500
_ENTRIES: Final = 200  # of a request, searched for the status before
_KINDS: Final = {
    e.kind_of(e.StatusMoved),
    e.kind_of(e.RequestSeen),
    e.kind_of(e.ChangeSettled),
    e.kind_of(e.GrantDated),
}


def raise_approval_alarms(workspace: Workspace, repos: Iterable[Repo], read_bundle: BundleReader | None = None) -> int:
    """Check the acceptances that syncs and runs found since the last check; return how many lack approvals.

    The first check of a repo only notes where its audit log ends: earlier acceptances may be older than the policy.
    """
    rules = read_quorum_rules(workspace, read_bundle)
    return sum(_check_repo(workspace, repo, rules) for repo in repos)


def _check_repo(workspace: Workspace, repo: Repo, rules: QuorumRules) -> int:
    store = workspace.store
    key = checked_entries_key(repo)
    known = store.setting(key)
    row = store.repo(repo)
    if not rules.is_two_person_repo(repo):
        if known is not None:  # a later policy does not look back
            _write_setting(store, key, None)
        return 0
    if row is None or row.full_at is None or (rules.strictest(repo).problem and not _was_promoted_for_two(store, repo)):
        return 0
    chain = chain_of(repo)
    head = store.chains().get(chain, (0, b""))[0]
    if known is None or int(known) > head:
        _write_setting(store, key, str(head))
        return 0
    accepted = {link.request: link for link in store.links(chain, int(known) + 1) if _is_acceptance(store, link)}
    found = list(_find_alarms(workspace, repo, rules, {ident: link for ident, link in accepted.items() if ident}))
    if found or head != int(known):
        at = to_ms(workspace.now())
        with store.writing() as write:
            write_alarms(write, [one for one, _ in found])
            write.append(repo, [_make_entry(one, row, at) for one, row in found])
            write.write_setting(key, str(head))
    return len(found)


def _was_promoted_for_two(store: Store, repo: Repo) -> bool:
    """Tell whether a promoted policy asks for two people at a repo: then nobody may be accepted by other files."""
    return any(one.is_double and matches_any(one.repos, repo) for one in read_promoted_policies(store).values())


def _is_acceptance(store: Store, link: LedgerLink) -> bool:
    """Tell whether an entry says that somebody was accepted, perhaps outside hf-gate.

    A run of hf-gate can be the first to find such an acceptance.
    """
    if link.kind not in _KINDS:
        return False
    match e.decode_event(link.body):
        case e.StatusMoved(after=Status.ACCEPTED) | e.RequestSeen(status=Status.ACCEPTED):
            return True
        case e.GrantDated(cause="outside", until=None):  # accepted again, so that the access has no end any more
            return True
        case (
            e.ChangeSettled(kind=OutcomeKind.ALREADY, after=Status.ACCEPTED)
            | e.ChangeSettled(kind=OutcomeKind.DONE, how="read", after=Status.ACCEPTED)
        ):
            return _read_before(store, link)[0] != Status.ACCEPTED
        case _:
            return False


def _read_before(store: Store, link: LedgerLink) -> tuple[str | None, frozenset[str]]:
    """Return the status of a request before an entry, and the accounts that approved it while it had that status."""
    accounts = set[str]()
    for entry in store.entries(request=link.request, limit=_ENTRIES) if link.request else ():
        if entry.link.seq >= link.seq:
            continue
        match e.decode_event(entry.link.body):
            case (
                e.StatusMoved(after=status)
                | e.RequestSeen(status=status)
                | e.ChangeSettled(kind=OutcomeKind.DONE | OutcomeKind.ALREADY, after=status)
            ):
                return status, frozenset(accounts)
            case e.RequestWithdrawn():
                break
            case e.ApprovalGiven(account=account):
                accounts.add(account)
            case _:
                pass
    return None, frozenset(accounts)


def _find_alarms(
    workspace: Workspace, repo: Repo, rules: QuorumRules, accepted: Mapping[int, LedgerLink]
) -> Iterator[tuple[ApprovalAlarm, RequestRow]]:
    store = workspace.store
    numbers = sorted(accepted)
    book = ApprovalBook(workspace)
    for batch in split_into_batches(numbers, _CHUNK):
        found = store.requests(batch).values()
        rows = [row for row in found if row.state.status == Status.ACCEPTED]
        wanted = rules.compute(repo, rows, workspace.now())
        stored = book.list_stored([row.id for row in rows])
        for row in rows:
            quorum = wanted.get(row.id)
            if quorum is None:
                continue
            link = accepted[row.id]
            approvals = stored.get(row.id, ())
            accounts = _read_before(store, link)[1] if approvals else ()
            given = _count_given(
                book, row, quorum, [approval for approval in approvals if approval.account in accounts]
            )
            if given < quorum.count:
                yield ApprovalAlarm(row.id, link.at, given, quorum.count), row


def _count_given(book: ApprovalBook, row: RequestRow, quorum: Quorum, stored: Collection[Approval]) -> int:
    """Count the approvals of these answers. The acceptance itself changed the status since.

    While the promoted rules cannot be read, each approval counts that was given under them.
    """
    current = row.version
    same = [one for one in stored if (one.version.attempt, one.version.answers) == (current.attempt, current.answers)]
    counted = [one.account for one in same if quorum.problem or book.select_counted(row, quorum, [one], one.version)]
    return len(book.standing.select_people(counted))


def _make_entry(alarm: ApprovalAlarm, row: RequestRow, at: int) -> e.LedgerEntry:
    event = e.ApprovalMissing(given=alarm.given, needed=alarm.needed)
    return entry_about(row, event, e.OUTSIDE, at)


def _write_setting(store: Store, key: str, value: str | None) -> None:
    with store.writing() as write:
        write.write_setting(key, value)


# ---- open alarms -----------------------------------------------------------------------------------------------------


def list_open_alarms(store: Store) -> list[tuple[ApprovalAlarm, RequestRow]]:
    """Return the latest alarms of people who still have access, with their requests; at most `MAX_ALARMS`."""
    alarms = read_alarms(store, MAX_ALARMS)
    rows = store.requests([alarm.request for alarm in alarms])
    return [(alarm, rows[alarm.request]) for alarm in alarms if alarm.request in rows]


def find_open_alarm(store: Store, row: RequestRow) -> ApprovalAlarm | None:
    """Return the alarm of a request, if it is open."""
    return read_alarm(store, row.id)


def describe_alarms(repos: Iterable[Repo]) -> str:
    """Return one sentence about the alarms of these repos, one for each person; "" without an alarm."""
    places = [str(repo) for repo in repos]
    if not places:
        return ""
    is_cut = len(places) >= MAX_ALARMS
    count = f"{MAX_ALARMS} or more people were" if is_cut else pluralize(len(places), "person was", "people were")
    named = ", ".join(sorted(set(places))[:3])
    more = " and other repos" if len(set(places)) > 3 else ""
    return f"{count} accepted outside hf-gate without enough approvals, at {named}{more}."


def close_alarm(workspace: Workspace, row: RequestRow, member: Member) -> None:
    """Record that a person knows of an acceptance without enough approvals. Raises UsageError if there is no alarm.

    If another admin can acknowledge it, raises Guarded for the person who accepted on the Hub, and for a new member who
    counts as the same person.
    """
    by = None if row.request is None else row.request.granted_by
    team = read_team(workspace.store, member, workspace.now())
    if by is not None and not team.is_alone:
        hint = "Let another admin acknowledge the alarm."
        if member.is_own(by.username, by.id):
            raise Guarded("You accepted this person on the Hub yourself.", hint=hint)
        if member.account_id and (why := team.standing.explain(member.account_id, [by.id] if by.id else [])):
            raise Guarded(f"{why}.", hint=hint)
    with workspace.store.writing() as write:
        if not delete_alarm(write, row.id):
            raise UsageError("This request has no alarm.", hint="Reload the page.")
        entry = entry_about(row, e.ApprovalAlarmClosed(), member.name, to_ms(workspace.now()))
        write.append(row.repo, [entry])
