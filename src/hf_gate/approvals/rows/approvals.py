"""Stores endorsements of acts, approvals of requests that need two people, authors of policy versions, and acceptances
that lacked approvals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from hf_gate.base.batches import group_pairs
from hf_gate.core.events.events import ApprovalWithdrawn, decode_event, kind_of
from hf_gate.core.lifecycle import Status
from hf_gate.core.people.approvals import Approval, ApprovalAlarm
from hf_gate.core.request_version import VERSION_COLUMNS, RequestVersion
from hf_gate.core.stored_rows import RunRow
from hf_gate.store.sql import Reader, Row
from hf_gate.store.store import Store
from hf_gate.store.writing.writer import Writer
from hf_gate.verdicts.rows.evaluations import APPROVED

_COLUMNS: Final = ("request_id", "account", "member", "actor", "at", *VERSION_COLUMNS, "identity", "need", "has_note")
_SELECT: Final = f"SELECT {', '.join(f'a.{name}' for name in _COLUMNS)} FROM approvals a"
_INSERT: Final = f"INSERT INTO approvals ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"

# ---- approvals -------------------------------------------------------------------------------------------------------


def read_approvals(reader: Reader, requests: Collection[int]) -> dict[int, list[Approval]]:
    """Return the stored approvals of these requests, the oldest first, also those of an earlier version."""
    if not requests:
        return {}
    among, value = reader.reads.in_clause(list(requests))
    rows = reader.reads.rows(f"{_SELECT} WHERE a.request_id {among} ORDER BY a.at, a.account", (value,))
    return group_pairs((row[0], _approval_of(row)) for row in rows)


def list_approvals(store: Store) -> list[tuple[int, str, str]]:
    """Return the request, account and need of every stored approval."""
    return [(row[0], row[1], row[2]) for row in store.reads.rows("SELECT request_id, account, need FROM approvals")]


def write_approval(write: Writer, approval: Approval) -> None:
    """Store an approval; it replaces the earlier approval of the same account."""
    delete_approval(write, approval.request, approval.account)
    version = approval.version
    values = (version.status, version.attempt, version.last_moved_at or 0, version.answers, version.identity or None)
    write.db.run(
        _INSERT,
        (
            approval.request,
            approval.account,
            approval.member,
            approval.actor,
            approval.at,
            *values,
            approval.need,
            approval.has_note,
        ),
    )


def delete_approval(write: Writer, request: int, account: str) -> bool:
    """Delete an approval; return whether there was one."""
    sql = "DELETE FROM approvals WHERE request_id = ? AND account = ?"
    return bool(write.db.run(sql, (request, account)))


def delete_approvals(write: Writer, request: int) -> None:
    """Delete all approvals of a request, because they were used."""
    write.db.run("DELETE FROM approvals WHERE request_id = ?", (request,))


def read_withdrawals(reader: Reader, requests: Collection[int], run: RunRow) -> set[tuple[int, str]]:
    """Return who took back an approval of which of these requests since they endorsed or started a run, as request and
    account.
    """
    since: dict[str | None, int] = dict(
        reader.reads.rows("SELECT account, ledger_id FROM endorsements WHERE act = ?", (run.plan,))
    )
    since |= reader.reads.rows("SELECT ?, min(id) FROM ledger WHERE run = ? GROUP BY run", (run.account, run.id))
    among, value = reader.reads.in_clause(list(requests))
    sql = f"SELECT id, request_id, body FROM ledger WHERE request_id {among} AND kind = ?"
    rows = reader.reads.rows(sql, (value, kind_of(ApprovalWithdrawn)))
    events = [(ident, request, decode_event(body)) for ident, request, body in rows]
    return {
        (request, event.account)
        for ident, request, event in events
        if isinstance(event, ApprovalWithdrawn) and ident > since.get(event.account, ident)
    }


def find_approved(reader: Reader) -> list[int]:
    """Return the current requests with an approval of their current version, whether it counts or not."""
    return [row[0] for row in reader.reads.rows(f"{APPROVED} WHERE r.is_current GROUP BY a.request_id")]


def _approval_of(row: Row) -> Approval:
    request, account, member, actor, at, status, asked_at, last_moved_at, answers, identity, need, has_note = row
    version = RequestVersion(status, asked_at, last_moved_at, bytes(answers), bytes(identity or b""))
    return Approval(
        request=request,
        account=account,
        member=member,
        actor=actor,
        at=at,
        version=version,
        need=need,
        has_note=bool(has_note),
    )


# ---- endorsements of acts --------------------------------------------------------------------------------------------


def read_endorsers(reader: Reader, act: str, rules: str | None = None) -> list[str]:
    """Return the accounts that endorsed an act (a plan or a large selection), by its digest.

    With `rules`, return only those that did so under these rules for two people.
    """
    rows = reader.reads.rows("SELECT account, rules FROM endorsements WHERE act = ? ORDER BY account", (act,))
    return [account for account, known in rows if rules is None or known == rules]


def write_endorsement(write: Writer, act: str, account: str, rules: str) -> bool:
    """Store that an account endorses an act; return False if it did so before under the same rules."""
    sql = (
        "INSERT INTO endorsements (act, account, rules, ledger_id)"
        " SELECT ?, ?, ?, coalesce(max(id), 0) FROM ledger WHERE true"
        " ON CONFLICT (act, account) DO UPDATE SET rules = excluded.rules, ledger_id = excluded.ledger_id"
        " WHERE endorsements.rules <> excluded.rules"
    )
    return bool(write.db.run(sql, (act, account, rules)))


def delete_endorsements(write: Writer, acts: Collection[str]) -> None:
    """Delete the endorsements of acts that were discarded."""
    among, value = write.db.in_clause(list(acts))
    write.db.run(f"DELETE FROM endorsements WHERE act {among}", (value,))


# ---- alarms ----------------------------------------------------------------------------------------------------------


_ALARMS: Final = (
    "SELECT m.request_id, m.at, m.given, m.needed FROM approval_alarms m CROSS JOIN requests r"
    " WHERE r.id = m.request_id AND r.status = ?"
)


def read_alarms(store: Store, most: int) -> list[ApprovalAlarm]:
    """Return the open alarms of people who still have access, the latest first."""
    sql = f"{_ALARMS} ORDER BY m.at DESC, m.request_id LIMIT ?"
    return [ApprovalAlarm(*row) for row in store.reads.rows(sql, (Status.ACCEPTED.value, most))]


def read_alarm(store: Store, request: int) -> ApprovalAlarm | None:
    """Return the open alarm of a request; None if there is none."""
    row = store.reads.row(f"{_ALARMS} AND m.request_id = ?", (Status.ACCEPTED.value, request))
    return None if row is None else ApprovalAlarm(*row)


def write_alarms(write: Writer, alarms: Iterable[ApprovalAlarm]) -> None:
    """Store alarms; a new alarm of a request replaces the earlier one."""
    for alarm in alarms:
        delete_alarm(write, alarm.request)
        sql = "INSERT INTO approval_alarms (request_id, at, given, needed) VALUES (?, ?, ?, ?)"
        write.db.run(sql, (alarm.request, alarm.at, alarm.given, alarm.needed))


def delete_alarm(write: Writer, request: int) -> bool:
    """Delete the alarm of a request; return whether there was one."""
    return bool(write.db.run("DELETE FROM approval_alarms WHERE request_id = ?", (request,)))
