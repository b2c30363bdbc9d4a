"""Describes each event in a sentence, for the audit log and the pages of requests and people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from . import events as e
from .approvals import AgreedEnd
from .display_text import pluralize
from .grants import first_lapse
from .hand_terms import NO_END_WORD
from .lifecycle import label_verdict
from .runs import ChangeOrigin
from .timestamps import from_ms

ORIGIN_PHRASES: Final[Mapping[str | None, str]] = {
    None: "directly",
    ChangeOrigin.DIRECT: "directly",
    ChangeOrigin.GRANT: "without a request",
    ChangeOrigin.UNDO: "to undo a run",
    ChangeOrigin.UNTIL: "because the grant ended",
}
"""Phrases for changes that no rule made, by their origin."""


def describe_event(
    event: e.AnyEvent, private: e.Private | None = None, *, format_time: Callable[[int], str] | None = None
) -> str:
    """Describe an event. `format_time` formats times (ms) as the page around it does.

    Text written by people (from the private part) is quoted, and must be made safe before printing.
    """
    match event:
        case e.RequestSeen():
            return _describe_request_seen(event, format_time)
        case e.RequestChanged():
            return "name, e-mail address or answers changed"
        case e.StatusMoved():
            who = _granter_name(private)
            after = ", after a change by hf-gate" if event.cause == "superseded" else ""
            return f"{event.before} to {event.after}, on the Hub{f' by {who}' if who else ''}{after}"
        case e.RequestWithdrawn():
            return f"gone from all lists, was {event.before}"
        case e.VerdictReached():
            return _describe_verdict(event, private)
        case e.DataRevealed():
            return f"personal data shown to viewer {event.member}{_quote((private or {}).get('note'))}"
        case e.NoteWritten():
            return f"note{_quote((private or {}).get('note'))}"
        case _:
            return (
                _describe_change(event, private, format_time or _format_time)
                or _describe_approval(event, private)
                or _describe_member_event(event)
                or _describe_table_event(event)
                or _describe_desk_event(event)
            )


def _describe_change(event: e.AnyEvent, private: e.Private | None, format_time: Callable[[int], str]) -> str:
    match event:
        case e.ChangeStarted():
            return (
                f"{event.before or 'no request'} to {event.after}: "
                f"started{_rule_phrase(event.rule)}{_reason_phrase(private)}"
            )
        case e.ChangeSettled():
            return (
                f"to {event.after}: {event.kind}{' (read back)' if event.how == 'read' else ''}{_why_phrase(private)}"
            )
        case e.PrivatePartsDeleted():
            count = sum(last - first + 1 for first, last in event.entries)
            why = f"{event.person} was erased" if event.person else "its retention period is over"
            return f"personal data of {pluralize(count, 'entry', 'entries')} deleted: {why}"
        case e.GrantDated():
            return _describe_end(event, private, format_time)
        case e.RenewalBlocked():
            return "access is not to be renewed" if event.is_blocked else "access may be renewed again"
        case e.GrantNoticed():
            return f"notice {event.step} before access ends {format_time(event.until)}"
        case e.LetterSent() | e.ReminderAccepted():
            what = f"letter `{event.about}`" if event.rule is None else f"reminder of rule {event.rule}"
            return f"{what} {'sent by hand' if event.how == 'hand' else 'accepted by the mail server'}"
        case _:
            return ""


def _format_time(at: int) -> str:
    return f"{from_ms(at):%Y-%m-%d %H:%M} UTC"


def _describe_end(event: e.GrantDated, private: e.Private | None, format_time: Callable[[int], str]) -> str:
    rows = describe_agreements(rows_of_end(event, private))
    cause = f", on {rows}" if rows else ""
    cause += f" ({_END_CAUSES[event.cause]})" if event.cause in _END_CAUSES else ""
    if event.version:
        cause += f", by version {event.version} of rule {event.rule}, which changed after it was shown"
    ends = [at for at in (event.until, first_lapse(event.lapses)) if at is not None]
    if ends:
        return f"access ends {format_time(min(ends))}, then {event.at_end}{cause}"
    return f"access lasts while its conditions hold{cause}" if event.terms else f"access no longer has an end{cause}"


def rows_of_end(event: e.GrantDated, private: e.Private | None) -> Mapping[str, Mapping[str, str]]:
    """Return the rows on which an end rests, by table. If the personal data was deleted, only signed rows are known."""
    kept = (private or {}).get("rows")
    return kept if isinstance(kept, Mapping) else {name: {"row": row} for name, row in event.agreements.items()}


_END_CAUSES: Final = {
    "fact": "the date in `until` has moved",
    "keep_while": "a condition of `keep_while` has changed",
    "outside": "accepted again on the Hub",
    "renew": "renewed by a person",
    "drop": "end removed by a person",
    "adopt": "end set for earlier access",
    "chosen": "chosen by a person",
}


def _describe_approval(event: e.AnyEvent, private: e.Private | None) -> str:
    match event:
        case e.ApprovalGiven():
            until = "" if event.until in (None, NO_END_WORD) else f", {AgreedEnd(str(event.until)).words}"
            return f"approved as Hub account {event.account}{until}{_quote((private or {}).get('note'))}"
        case e.ApprovalWithdrawn():
            return f"approval of Hub account {event.account} taken back"
        case e.ApprovalMissing():
            return f"accepted outside hf-gate with {event.given} of {event.needed} approvals"
        case e.ApprovalAlarmClosed():
            return "acceptance without enough approvals acknowledged"
        case _:
            return ""


_STOP_CAUSES: Final[Mapping[str | None, str]] = {"ledger_broken": ", because the audit log does not verify"}
_START_CAUSES: Final[Mapping[str | None, str]] = {"ledger_broken": ", and the audit log accepted as it is"}


def _describe_desk_event(event: e.AnyEvent) -> str:
    match event:
        case e.PlanApproved():
            what = f"plan {event.plan[:8]}" if event.plan else "a direct decision"
            return f"run {event.run} started: {what}, {pluralize(event.changes, 'change')}"
        case e.RunResumed():
            return f"run {event.run} resumed: {pluralize(event.changes, 'change')} left"
        case e.RunEnded():
            return f"run {event.run} {event.state}: {_list_counts(event.counts)}"
        case e.PolicyPromoted():
            return f"policy {event.policy}@{event.digest[:8]} may act without confirmation"
        case e.PolicySaved():
            return f"policy {event.policy} saved from the desk as {event.file}: {event.before[:8]} to {event.after[:8]}"
        case e.SyncEnded():
            return (
                f"full sync complete: {_list_counts(event.counts)}"
                if event.complete
                else "full sync not proved complete"
            )
        case _:
            return _describe_switch(event) or e.kind_of(event)


def _describe_switch(event: e.AnyEvent) -> str:
    match event:
        case e.UnattendedStopped():
            return f"all unattended work stopped{_STOP_CAUSES.get(event.cause, '')}"
        case e.UnattendedStarted():
            return f"unattended work started again{_START_CAUSES.get(event.cause, '')}"
        case _:
            return ""


def _describe_table_event(event: e.AnyEvent) -> str:
    match event:
        case e.TableAccepted():
            before = "" if event.rows_before is None else f", instead of {event.rows_before:,}"
            return f"table {event.table} accepted with {pluralize(event.rows_after, 'row')}{before}"
        case e.TableChanged():
            counts = {"added": event.added, "changed": event.changed, "removed": event.removed}
            by_hand = f"; {pluralize(event.confirmed, 'row')} confirmed" if event.confirmed else ""
            kept = "".join(
                f"; kept row {row}{f', file_hash {name}' if name else ''}" for row, name in event.kept.items()
            )
            return f"table {event.table} changed: {_list_counts(counts)}{by_hand}{kept}"
        case _:
            return ""


def _describe_member_event(event: e.AnyEvent) -> str:
    match event:
        case e.MemberInvited():
            account = f", Hub account {event.account} (not proven)" if event.account else ""
            where = f" for {', '.join(event.repos)}" if event.repos else ""
            return f"member {event.member} invited as {event.role}{where}{account}"
        case e.MemberRevoked():
            return f"member {event.member} revoked"
        case e.AccountProven():
            return f"member {event.member} proved that they own Hub account {event.account}"
        case e.DeputyNamed():
            if event.deputy is None or event.until is None:
                return f"member {event.member} is back"
            return f"member {event.deputy} stands in for member {event.member} until {_format_time(event.until)}"
        case e.RequestAssigned():
            return "assigned to nobody" if event.member is None else f"assigned to member {event.member}"
        case e.PlanAgreed():
            plan = f"plan {event.plan[:8]} agreed to: {pluralize(event.changes, 'change')}"
            what = f"{pluralize(event.changes, 'earlier end')} agreed to" if event.of == "ends" else plan
            return f"{what}, as Hub account {event.account}"
        case _:
            return ""


def _describe_request_seen(event: e.RequestSeen, format_time: Callable[[int], str] | None) -> str:
    """Describe a request that was found.

    The entry's time is the time of the sync, which may be long after the request.
    """
    asked = format_time(event.asked_at) if format_time else f"{from_ms(event.asked_at):%Y-%m-%d}"
    if event.attempt > 1:
        return f"seen: {event.status}, asked again {asked}, attempt {event.attempt}"
    return f"seen: {event.status}, asked {asked}"


def _describe_verdict(event: e.VerdictReached, private: e.Private | None) -> str:
    rule = f"rule {event.rule} of {event.policy}@{(event.digest or '')[:8]}" if event.policy else "no rule"
    missing = f", without {', '.join(event.missing)}" if event.missing else ""
    shadow = "".join(f"; shadow {policy}: {label_verdict(action)} ({rule})" for policy, rule, action in event.shadow)
    kept = (private or {}).get("agreements")
    signed = describe_agreements(
        kept if isinstance(kept, Mapping) else {n: {"row": d} for n, d in event.agreements.items()}
    )
    return f"verdict {label_verdict(event.action)}: {rule}{missing}{f', on {signed}' if signed else ''}{shadow}"


def describe_agreements(agreements: Mapping[str, Mapping[str, str]]) -> str:
    """Describe the rows on which a grant or its end rests; empty if there are none."""
    return "; ".join(
        (f"{name} row {each['row']}" if "row" in each else f"{name}, no row")
        + "".join(f", {key} {each[key]}" for key in ("version", "file_hash", "table") if key in each)
        for name, each in sorted(agreements.items())
    )


def _rule_phrase(rule: str | None) -> str:
    if rule in {None, ChangeOrigin.DIRECT}:
        return ""
    return f" {ORIGIN_PHRASES[rule]}" if rule in ORIGIN_PHRASES else f" by rule {rule}"


def _granter_name(private: e.Private | None) -> str:
    granter = (private or {}).get("granted_by")
    if not isinstance(granter, Mapping):
        return ""
    return str(granter.get("user") or granter.get("id") or "")


def _reason_phrase(private: e.Private | None) -> str:
    reason = (private or {}).get("reason")
    return f", with the reason{_quote(reason)}" if reason else ""


def _why_phrase(private: e.Private | None) -> str:
    why = (private or {}).get("why")
    return f" ({why})" if isinstance(why, str) and why else ""


def _quote(text: object) -> str:
    return f' "{text}"' if isinstance(text, str) and text else ""


def _list_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count) or "nothing"
