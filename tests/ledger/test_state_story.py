"""Every event has a sentence, and what a person wrote stands in quotes."""

from __future__ import annotations

from datetime import UTC
from typing import Any, get_args

import pytest

from hf_gate.core.events import events as e
from hf_gate.core.events.event_descriptions import describe_event

CASES: list[tuple[e.AnyEvent, dict[str, Any] | None, str]] = [
    (e.RequestSeen(person="p", status="pending", asked_at=1), None, "seen: pending, asked 1 Jan 1970"),
    (e.RequestSeen(person="p", status="accepted", asked_at=1), None, "seen: accepted, asked 1 Jan 1970"),
    (
        e.RequestSeen(person="p", status="pending", asked_at=86_400_000, attempt=2),
        None,
        "seen: pending, asked again 2 Jan 1970, attempt 2",
    ),
    (e.RequestChanged(what=("record",)), None, "name, e-mail address or answers changed"),
    (
        e.StatusMoved(before="pending", after="accepted", has_granter=True),
        {"granted_by": {"id": "1", "user": "bob"}},
        "pending to accepted, on the Hub by bob",
    ),
    (
        e.StatusMoved(before="accepted", after="reset", cause="superseded"),
        None,
        "accepted to reset, on the Hub, after a change by hf-gate",
    ),
    (e.RequestWithdrawn(before="pending"), None, "gone from all lists, was pending"),
    (
        e.VerdictReached(action="accept", rule="academic", policy="eeg", digest="0123456789"),
        None,
        "verdict Accept: rule academic of eeg@01234567",
    ),
    (e.VerdictReached(action="human", rule="none"), None, "verdict Needs review: no rule"),
    (
        e.ChangeStarted(run="r", before="pending", after="reset", rule="say-more", has_reason=True),
        {"reason": "Say more."},
        'pending to reset: started by rule say-more, with the reason "Say more."',
    ),
    (e.ChangeStarted(run="r", before=None, after="accepted", rule="direct"), None, "no request to accepted: started"),
    (
        e.ChangeStarted(run="r", before="accepted", after="reset", rule="until"),
        None,
        "accepted to reset: started because the grant ended",
    ),
    (
        e.ChangeStarted(run="r", before="rejected", after="pending", rule="undo"),
        None,
        "rejected to pending: started to undo a run",
    ),
    (
        e.ChangeSettled(run="r", kind="stale", after="reset"),
        {"why": "there is a new attempt"},
        "to reset: stale (there is a new attempt)",
    ),
    (e.ChangeSettled(run="r", kind="done", after="reset", how="read"), None, "to reset: done (read back)"),
    (e.GrantDated(until=0), None, "access until 31 Dec 1969, then sent back"),
    (e.GrantDated(until=None), None, "access no longer has an end"),
    (
        e.GrantDated(until=None, terms="aa" * 32, cause="keep_while"),
        None,
        "access lasts while its conditions hold (a condition of `keep_while` has changed)",
    ),
    (
        e.GrantDated(until=86_400_000, lapses=(0,), at_end="reject", cause="fact"),
        None,
        "access until 31 Dec 1969 (the date in `until` has moved), then rejected",
    ),
    (e.GrantNoticed(until=0, step="30d"), None, "notice 30d before the end of access, 31 Dec 1969"),
    (e.LetterSent(letter="l_1", about="needed", how="hand"), None, "letter `needed` sent by hand"),
    (e.LetterSent(letter="l_2", about="received"), None, "letter `received` accepted by the mail server"),
    (e.NoteWritten(), {"note": "met in Basel"}, 'note "met in Basel"'),
    (e.RunResumed(run="r", changes=1), None, "run r resumed: 1 change left"),
    (e.PlanApproved(run="r", changes=1), None, "run r started: a direct decision, 1 change"),
    (e.PlanApproved(run="r", changes=3, plan="abcdef0123"), None, "run r started: plan abcdef01, 3 changes"),
    (e.RunEnded(run="r", state="ended", counts={"done": 3, "stale": 0}), None, "run r ended: 3 done"),
    (e.PolicyPromoted(policy="eeg", digest="0123456789"), None, "policy eeg@01234567 promoted"),
    (
        e.MemberAdded(member="m_1", role="reviewer", repos=("a/b",), account="42"),
        None,
        "member m_1 added as reviewer for a/b, Hub account 42",
    ),
    (e.MemberAdded(member="m_1", role="admin"), None, "member m_1 added as admin"),
    (e.MemberConfirmed(member="m_1", account="7", seal="5e"), None, "member m_1 confirmed"),
    (e.MemberRemoved(member="m_1"), None, "member m_1 removed"),
    (
        e.KeyMade(key="billing", verbs=("accept", "reset"), digest="d", repos=("acme/*",)),
        None,
        "key billing made for accept, reset at acme/*",
    ),
    (e.KeyRevoked(key="billing"), None, "key billing revoked"),
    (
        e.TableAccepted(table="partners", rows_before=1200, rows_after=1),
        None,
        "table partners accepted with 1 row, instead of 1,200",
    ),
    (e.TableAccepted(table="partners", rows_before=None, rows_after=0), None, "table partners accepted with 0 rows"),
    (
        e.TableChanged(table="dua", before="a", after="b", added=2, removed=1),
        None,
        "table dua changed: 2 added, 1 removed",
    ),
    (
        e.TableChanged(table="dua", before="a", after="b", removed=1),
        None,
        "table dua changed: 1 removed",
    ),
    (e.TableRowChanged(table="dua", after="a"), None, "row of table dua written"),
    (e.TableRowChanged(table="dua", before="a"), None, "row of table dua deleted"),
    (
        e.VerdictReached(action="accept", rule="signed", policy="p", digest="a" * 64),
        None,
        "verdict Accept: rule signed of p@aaaaaaaa",
    ),
    (
        e.PrivatePartsDeleted(cause="erasure", entries=((3, 5), (9, 9)), person="p_0123456789abcdef"),
        None,
        "personal data of 4 entries deleted: p_0123456789abcdef was erased",
    ),
    (
        e.PrivatePartsDeleted(cause="retention", entries=((7, 7),)),
        None,
        "personal data of 1 entry deleted: its retention period is over",
    ),
    (
        e.PlanAgreed(plan="abcdef0123", changes=700, account="42"),
        None,
        "plan abcdef01 agreed to: 700 changes",
    ),
    (
        e.ApprovalGiven(account="42", need="1e", has_note=True),
        {"note": "checked"},
        'approved "checked"',
    ),
    (e.ApprovalWithdrawn(account="42"), None, "own approval taken back"),
    (e.ApprovalMissing(given=1, needed=2), None, "accepted outside hf-gate with 1 of 2 approvals"),
    (e.ApprovalAlarmClosed(), None, "acceptance without enough approvals acknowledged"),
    (e.SyncEnded(complete=True, counts={"pending": 2}), None, "full sync complete: 2 pending"),
    (e.SyncEnded(complete=False), None, "full sync not proved complete"),
    (e.UnattendedStopped(), None, "all unattended work stopped"),
    (e.UnattendedStarted(), None, "unattended work started again"),
]


@pytest.mark.parametrize(("event", "private", "wanted"), CASES)
def test_an_event_is_told_in_a_sentence(event: e.AnyEvent, private: dict[str, Any] | None, wanted: str) -> None:
    assert describe_event(event, private, zone=UTC) == wanted


def test_no_kind_of_event_is_without_a_sentence() -> None:
    assert {type(event) for event, _, _ in CASES} == set(get_args(e.AnyEvent))
