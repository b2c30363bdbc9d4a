"""The persisted names of events: stores hold them."""

from __future__ import annotations

from typing import get_args

from hf_gate.core.events import events as e

TAGS = {
    e.RequestSeen: "RequestSeen",
    e.RequestChanged: "RequestChanged",
    e.StatusMoved: "StatusMoved",
    e.RequestWithdrawn: "RequestWithdrawn",
    e.VerdictReached: "VerdictReached",
    e.PlanApproved: "PlanApproved",
    e.RunResumed: "RunResumed",
    e.ChangeStarted: "ChangeStarted",
    e.ChangeSettled: "ChangeSettled",
    e.GrantDated: "GrantDated",
    e.GrantNoticed: "GrantNoticed",
    e.LetterSent: "LetterSent",
    e.NoteWritten: "NoteWritten",
    e.PolicyPromoted: "PolicyPromoted",
    e.TableAccepted: "TableAccepted",
    e.TableChanged: "TableChanged",
    e.TableRowChanged: "TableRowChanged",
    e.PrivatePartsDeleted: "PrivatePartsDeleted",
    e.MemberAdded: "MemberAdded",
    e.MemberConfirmed: "MemberConfirmed",
    e.MemberRemoved: "MemberRemoved",
    e.KeyMade: "KeyMade",
    e.KeyRevoked: "KeyRevoked",
    e.PlanAgreed: "PlanAgreed",
    e.ApprovalGiven: "ApprovalGiven",
    e.ApprovalWithdrawn: "ApprovalWithdrawn",
    e.ApprovalMissing: "ApprovalMissing",
    e.ApprovalAlarmClosed: "ApprovalAlarmClosed",
    e.RunEnded: "RunEnded",
    e.SyncEnded: "SyncEnded",
    e.UnattendedStopped: "UnattendedStopped",
    e.UnattendedStarted: "UnattendedStarted",
}
"""Never edit a name: add a line for a new event."""


def test_every_event_has_the_tag_that_stores_hold() -> None:
    assert {each: each.__struct_config__.tag for each in get_args(e.AnyEvent)} == TAGS
    assert sorted(e.KINDS) == sorted(TAGS.values())
