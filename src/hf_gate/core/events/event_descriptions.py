"""Describes each event in a sentence, for the audit log and the pages of requests and people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any, Final, NamedTuple

from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import format_day, format_minute, from_ms
from hf_gate.core.lifecycle import AT_END, label_action
from hf_gate.core.people.access_end import NO_END_WORD
from hf_gate.core.people.approvals import ApprovedEnd
from hf_gate.core.people.grants import first_lapse, format_last_day
from hf_gate.core.runs import ChangeOrigin

from . import events as e

ORIGIN_PHRASES: Final[Mapping[str | None, str]] = {
    None: "directly",
    ChangeOrigin.DIRECT: "directly",
    ChangeOrigin.GRANT: "without a request",
    ChangeOrigin.UNDO: "to undo a run",
    ChangeOrigin.UNTIL: "because the grant ended",
}
"""Phrases for changes that no rule made, by their origin."""


class _Entry(NamedTuple):
    """What a sentence needs besides its event. `format_time` formats times (ms); `zone` is that of ends."""

    private: e.Private
    format_time: Callable[[int], str] | None
    zone: tzinfo

    def time(self, at: int) -> str:
        """Return a time as the page around the sentence formats it."""
        return self.format_time(at) if self.format_time else format_minute(from_ms(at))

    def quote(self, key: str) -> str:
        """Return a text that a person wrote between quotation marks; empty if there is none."""
        text = self.private.get(key)
        return f' "{text}"' if isinstance(text, str) and text else ""


def describe_event(
    event: e.AnyEvent,
    private: e.Private | None = None,
    *,
    format_time: Callable[[int], str] | None = None,
    zone: tzinfo,
) -> str:
    """Describe an event. `format_time` formats times (ms) as the page around it does; ends are days in `zone`.

    Text written by people (from the private part) is quoted, and must be made safe before printing.
    """
    return _SENTENCES[type(event)](event, _Entry(private or {}, format_time, zone))


def _describe_request_seen(event: e.RequestSeen, entry: _Entry) -> str:
    """Describe a request that was found.

    The entry's time is the time of the sync, which may be long after the request.
    """
    asked = entry.time(event.asked_at) if entry.format_time else format_day(from_ms(event.asked_at))
    again = f" again {asked}, attempt {event.attempt}" if event.attempt > 1 else f" {asked}"
    return f"seen: {event.status}, asked{again}"


def _describe_move(event: e.StatusMoved, entry: _Entry) -> str:
    granter = entry.private.get("granted_by")
    who = granter.get("user") or granter.get("id") if isinstance(granter, Mapping) else None
    after = ", after a change by hf-gate" if event.cause == "superseded" else ""
    return f"{event.before} to {event.after}, on the Hub{f' by {who}' if who else ''}{after}"


def _describe_verdict(event: e.VerdictReached, _entry: _Entry) -> str:
    rule = f"rule {event.rule} of {event.policy}@{(event.digest or '')[:8]}" if event.policy else "no rule"
    missing = f", without {', '.join(event.missing)}" if event.missing else ""
    shadow = "".join(f"; shadow {policy}: {label_action(action)} ({rule})" for policy, rule, action in event.shadow)
    return f"verdict {label_action(event.action)}: {rule}{missing}{shadow}"


def _describe_start(event: e.ChangeStarted, entry: _Entry) -> str:
    rule = ORIGIN_PHRASES.get(event.rule, f"by rule {event.rule}")
    by = "" if event.rule in (None, ChangeOrigin.DIRECT) else f" {rule}"
    reason = f", with the reason{entry.quote('reason')}" if entry.private.get("reason") else ""
    return f"{event.before or 'no request'} to {event.after}: started{by}{reason}"


def _describe_outcome(event: e.ChangeSettled, entry: _Entry) -> str:
    why = entry.private.get("why")
    reason = f" ({why})" if isinstance(why, str) and why else ""
    return f"to {event.after}: {event.kind}{' (read back)' if event.how == 'read' else ''}{reason}"


def _describe_deletion(event: e.PrivatePartsDeleted, _entry: _Entry) -> str:
    count = sum(last - first + 1 for first, last in event.entries)
    why = f"{event.person} was erased" if event.person else "its retention period is over"
    return f"personal data of {pluralize(count, 'entry', 'entries')} deleted: {why}"


def _describe_end(event: e.GrantDated, entry: _Entry) -> str:
    rows = describe_rows(rows_of_end(entry.private))
    cause = f", on {rows}" if rows else ""
    by = (entry.private or {}).get("approved_by", "an earlier approver")
    cause += f" ({_END_CAUSES[event.cause].format(by=by)})" if event.cause in _END_CAUSES else ""
    if event.version:
        cause += f", by version {event.version} of rule {event.rule}, which changed after it was shown"
    ends = [at for at in (event.until, first_lapse(event.lapses)) if at is not None]
    if ends:
        last = format_last_day(from_ms(min(ends)), entry.zone)
        return f"access until {last}{cause}, then {AT_END.get(event.at_end, event.at_end)}"
    return f"access lasts while its conditions hold{cause}" if event.terms else f"access no longer has an end{cause}"


def rows_of_end(private: e.Private | None) -> Mapping[str, Mapping[str, str]]:
    """Return the rows on which an end rests, by table; none if the personal data was deleted."""
    rows = (private or {}).get("rows")
    return rows if isinstance(rows, Mapping) else {}


_END_CAUSES: Final = {
    "fact": "the date in `until` has moved",
    "keep_while": "a condition of `keep_while` has changed",
    "outside": "accepted again on the Hub",
    "renew": "set by a person",
    "drop": "end removed by a person",
    "adopt": "set by a person to the end of the rules",
    "chosen": "chosen with the decision",
    "approved": "as {by} approved",
}


def _describe_letter(event: e.LetterSent, _entry: _Entry) -> str:
    return f"letter `{event.about}` {'sent by hand' if event.how == 'hand' else 'accepted by the mail server'}"


def _describe_approval(event: e.ApprovalGiven, entry: _Entry) -> str:
    until = "" if event.until in (None, NO_END_WORD) else f", {ApprovedEnd(str(event.until)).describe(entry.zone)}"
    return f"approved{until}{entry.quote('note')}"


def _describe_table_change(event: e.TableChanged, _entry: _Entry) -> str:
    counts = {"added": event.added, "changed": event.changed, "removed": event.removed}
    return f"table {event.table} changed: {_list_counts(counts)}"


def _describe_member(event: e.MemberAdded, _entry: _Entry) -> str:
    account = f", Hub account {event.account}" if event.account else ""
    where = f" for {', '.join(event.repos)}" if event.repos else ""
    return f"member {event.member} added as {event.role}{where}{account}"


def _describe_agreement(event: e.PlanAgreed, _entry: _Entry) -> str:
    return f"plan {event.plan[:8]} agreed to: {pluralize(event.changes, 'change')}"


_STOP_CAUSES: Final[Mapping[str | None, str]] = {"ledger_broken": ", because the audit log does not verify"}
_START_CAUSES: Final[Mapping[str | None, str]] = {"ledger_broken": ", and the audit log accepted as it is"}


def describe_rows(rows: Mapping[str, Mapping[str, str]]) -> str:
    """Describe the rows on which an end rests; empty if there are none."""
    return "; ".join(
        (f"{name} row {each['row']}" if "row" in each else f"{name}, no row")
        + (f", table {each['table']}" if "table" in each else "")
        for name, each in sorted(rows.items())
    )


def _list_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count) or "nothing"


_SENTENCES: Final[Mapping[type[e.Event], Callable[[Any, _Entry], str]]] = {
    e.RequestSeen: _describe_request_seen,
    e.RequestChanged: lambda _event, _entry: "name, e-mail address or answers changed",
    e.StatusMoved: _describe_move,
    e.RequestWithdrawn: lambda event, _entry: f"gone from all lists, was {event.before}",
    e.VerdictReached: _describe_verdict,
    e.ChangeStarted: _describe_start,
    e.ChangeSettled: _describe_outcome,
    e.GrantDated: _describe_end,
    e.GrantNoticed: lambda event, entry: (
        f"notice {event.step} before the end of access, {format_last_day(from_ms(event.until), entry.zone)}"
    ),
    e.LetterSent: _describe_letter,
    e.NoteWritten: lambda _event, entry: f"note{entry.quote('note')}",
    e.PlanApproved: lambda event, _entry: (
        f"run {event.run} started: {f'plan {event.plan[:8]}' if event.plan else 'a direct decision'}, "
        f"{pluralize(event.changes, 'change')}"
    ),
    e.RunResumed: lambda event, _entry: f"run {event.run} resumed: {pluralize(event.changes, 'change')} left",
    e.RunEnded: lambda event, _entry: f"run {event.run} {event.state}: {_list_counts(event.counts)}",
    e.PolicyPromoted: lambda event, _entry: f"policy {event.policy}@{event.digest[:8]} promoted",
    e.SyncEnded: lambda event, _entry: (
        f"full sync complete: {_list_counts(event.counts)}" if event.complete else "full sync not proved complete"
    ),
    e.TableAccepted: lambda event, _entry: (
        f"table {event.table} accepted with {pluralize(event.rows_after, 'row')}"
        f"{'' if event.rows_before is None else f', instead of {event.rows_before:,}'}"
    ),
    e.TableChanged: _describe_table_change,
    e.TableRowChanged: lambda event, _entry: (
        f"row of table {event.table} {'deleted' if event.after is None else 'written'}"
    ),
    e.MemberAdded: _describe_member,
    e.MemberConfirmed: lambda event, _entry: f"member {event.member} confirmed",
    e.MemberRemoved: lambda event, _entry: f"member {event.member} removed",
    e.KeyMade: lambda event, _entry: (
        f"key {event.key} made for {', '.join(event.verbs)} at {', '.join(event.repos or ('all repos',))}"
    ),
    e.KeyRevoked: lambda event, _entry: f"key {event.key} revoked",
    e.PlanAgreed: _describe_agreement,
    e.ApprovalGiven: _describe_approval,
    e.ApprovalWithdrawn: lambda _event, _entry: "own approval taken back",
    e.ApprovalMissing: lambda event, _entry: f"accepted outside hf-gate with {event.given} of {event.needed} approvals",
    e.ApprovalAlarmClosed: lambda _event, _entry: "acceptance without enough approvals acknowledged",
    e.PrivatePartsDeleted: _describe_deletion,
    e.UnattendedStopped: lambda event, _entry: f"all unattended work stopped{_STOP_CAUSES.get(event.cause, '')}",
    e.UnattendedStarted: lambda event, _entry: f"unattended work started again{_START_CAUSES.get(event.cause, '')}",
}
"""How each event reads."""

KIND_LABELS: Final[Mapping[str, str]] = {
    e.kind_of(kind): label
    for kind, label in (
        (e.RequestSeen, "seen"),
        (e.RequestChanged, "changed"),
        (e.StatusMoved, "moved outside"),
        (e.RequestWithdrawn, "withdrawn"),
        (e.VerdictReached, "verdict"),
        (e.PlanApproved, "run started"),
        (e.RunResumed, "run resumed"),
        (e.ChangeStarted, "change started"),
        (e.ChangeSettled, "change ended"),
        (e.GrantDated, "end of access"),
        (e.GrantNoticed, "notice of end"),
        (e.LetterSent, "letter sent"),
        (e.NoteWritten, "note"),
        (e.PolicyPromoted, "policy promoted"),
        (e.TableAccepted, "table accepted"),
        (e.TableChanged, "table changed"),
        (e.TableRowChanged, "row changed"),
        (e.PrivatePartsDeleted, "personal data deleted"),
        (e.RunEnded, "run ended"),
        (e.SyncEnded, "full sync"),
        (e.UnattendedStopped, "all stopped"),
        (e.UnattendedStarted, "all started"),
        (e.MemberAdded, "member added"),
        (e.MemberConfirmed, "member confirmed"),
        (e.MemberRemoved, "member removed"),
        (e.KeyMade, "key made"),
        (e.KeyRevoked, "key revoked"),
        (e.PlanAgreed, "plan agreed to"),
        (e.ApprovalGiven, "approval"),
        (e.ApprovalWithdrawn, "approval taken back"),
        (e.ApprovalMissing, "approvals missing"),
        (e.ApprovalAlarmClosed, "alarm acknowledged"),
    )
}
"""The labels of the kinds of entries."""
