"""The end of an access: the choices on the forms, and the change of an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from hf_gate.approvals.service.approval_status import read_approval_status
from hf_gate.approvals.service.approvals import ApprovalBook, ApprovalCheck, as_approver
from hf_gate.base.timestamps import from_ms, to_ms
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.access_end import NO_END_WORD, NO_HAND_TERMS
from hf_gate.core.people.grants import format_last_day, parse_grant_end
from hf_gate.core.stored_rows import RequestRow
from hf_gate.decisions.typed_input import NO_WORKSPACE
from hf_gate.desk.http_context import HttpContext, Refused
from hf_gate.desk.requests.request_lines import RequestLine, request_key
from hf_gate.errors import Guarded, NotAllowed, UsageError
from hf_gate.grants.service.ends.approved_ends import EndChanger, HeldChange
from hf_gate.grants.service.ends.end_changes import ONLY_SHORTER, change_end_by_hand, count_from
from hf_gate.grants.service.ends.grant_ends import require_right_clock
from hf_gate.grants.service.ends.terms_reader import describe_terms_problem
from hf_gate.members.service.members import explain_end_limit
from hf_gate.store.rows.tray import find_latest_decisions

PRESETS: Final = (("30d", "30 days"), ("90d", "90 days"), ("365d", "365 days"))
AFTERWARDS: Final = (
    "The next plan after that sends them back: they lose access and may ask again. hf-gate run applies that plan by"
    " itself; otherwise a person does. They keep the files that they have downloaded."
)


class EndChoice(Struct, frozen=True):
    """One choice: as written in rules, its label, and the last day of access."""

    written: str
    label: str
    day: str


class EndChoices(Struct, frozen=True):
    """The choices of a form. `first` and `last` limit the calendar; `problem` says why there is no choice."""

    presets: list[EndChoice]
    first: str
    last: str
    problem: str = ""
    afterwards: str = AFTERWARDS
    is_change: bool = False  # the person has access already
    current: str = ""  # the current last day of access
    by_rule: str = ""  # the last day by the policies, for an acceptance
    rule: str = ""  # the rule that sets it
    rule_at_end: str = ""  # what happens then: reset or reject
    lapse: str = ""  # the last day of access while a condition is false, if that is sooner
    why_choose: str = ""  # why the policies do not know the end
    approved: tuple[str, ...] = ()  # longer ends that one of two people approved, in words

    @property
    def first_choice(self) -> str:
        """The choice that is made already: none if the person must choose, or for a change."""
        if self.is_change or self.why_choose:
            return ""
        return "rule" if self.by_rule else self.presets[0].written


def list_accept_choices(context: HttpContext, line: RequestLine) -> EndChoices:
    """Return the choices for an acceptance: the end by the policies first, if it is known."""
    terms = line.terms or NO_HAND_TERMS
    return replace(
        list_end_choices(context),
        by_rule=line.accept_until,
        rule=terms.end.rule_name,
        rule_at_end=terms.end.at_end,
        why_choose=describe_terms_problem(terms),
    )


def list_end_choices(context: HttpContext, row: RequestRow | None = None) -> EndChoices:
    """Return the choices, counted from now, or from the end of `row`, which is accepted; sending counts again."""
    zone = context.workspace.zone
    today = context.now.astimezone(zone).date()
    since = context.now if row is None else count_from(row, context.now)
    presets = [
        EndChoice(written, label, format_last_day(parse_grant_end(written, since, zone), zone))
        for written, label in PRESETS
    ]
    choices = EndChoices(
        presets,
        first=(today + timedelta(days=1)).isoformat(),
        last=(today + timedelta(days=3650)).isoformat(),
        problem="" if context.has_workspace else NO_WORKSPACE,
    )
    if row is None:
        return choices
    until = row.state.present_end
    sooner = row.state.ends_at
    return replace(
        choices,
        is_change=True,
        current="" if until is None else context.format_last_day(from_ms(until)),
        lapse="" if sooner is None or sooner == until else context.format_last_day(from_ms(sooner)),
        approved=tuple(_list_approved_ends(context, row)),
    )


def _list_approved_ends(context: HttpContext, row: RequestRow) -> Iterator[str]:
    """Yield the longer ends of an access that one of two people approved: `mia, 3 h ago: access until 2028-01-01`."""
    workspace = context.workspace
    me = as_approver(context.member)
    if ApprovalBook(workspace).list_stored([row.id]):
        status = read_approval_status(workspace, [row], me, lambda: context.app_state.policies.current)
        for one in status[row.id].given if row.id in status else ():
            yield f"{one.name}, {context.format_age(one.moment)} ago: {one.end.describe(workspace.zone)}"


# ---- changing an end -------------------------------------------------------------------------------------------------


def change_end(context: HttpContext) -> Response:
    """Change or remove the end of an accepted request."""
    row = context.find_request(context.params["id"])
    if not context.form_value("until"):
        raise Refused("No end was chosen.", hint="Choose a date, a duration, or no end.")
    if context.form_value("shown_end") not in ("", str(row.state.present_end)):
        raise Refused("The end of access changed since it was shown.", hint="Look at it again.", status=409)
    chosen = context.parse_chosen_end()
    since = count_from(row, context.now)
    _check_shorter(context, row, chosen, since)
    held = write_end(context, row, chosen, since, context.form_value("version"))
    if held is not None and held.kind is OutcomeKind.REFUSED:
        raise Refused(f"{held.why[:1].upper()}{held.why[1:]}.", hint=ONLY_SHORTER, status=409)
    return context.redirect_back(f"/requests/{request_key(row)}")


def _check_shorter(context: HttpContext, row: RequestRow, chosen: str | None, since: datetime) -> None:
    """Refuse an end earlier than the present one, with both dates, unless the member ticked that."""
    until = None if chosen == NO_END_WORD else chosen
    change = change_end_by_hand(context.workspace.store, row, until, since, context.workspace.zone)
    if change.is_shorter and not context.form_value("shorten"):
        old, new = (context.format_last_day(from_ms(at or 0)) for at in (row.state.present_end, change.end))
        raise Refused(f"That gives access until {new} instead of {old}.", hint="Tick Shorten access to do that.")


def write_end(
    context: HttpContext,
    row: RequestRow,
    chosen: str | None,
    since: datetime,
    version: str,
    record: Callable[..., None] = lambda *_: None,
) -> HeldChange | None:
    """Give a request in this version another end after `since`, or none. Nothing is sent: the Hub has no ends.

    Return what lacks approvals. `record` gets that and the writer, and adds something in the transaction.
    """
    app_state = context.app_state
    if not context.has_workspace:
        raise UsageError(NO_WORKSPACE, hint="Make one: hf-gate init")
    until = None if chosen == NO_END_WORD else chosen
    if until is not None:
        require_right_clock(context.workspace.hub, row.repo, may_be_unknown=True)
    store = app_state.workspace.store
    zone = app_state.workspace.zone
    changer = EndChanger(
        ApprovalCheck(app_state.workspace, lambda: app_state.policies.current), as_approver(context.member)
    )
    quorums = changer.read_quorums([change_end_by_hand(store, row, until, since, zone)])
    with store.writing() as write:
        fresh = store.request(row.id)
        _check_change(context, fresh, version)
        if until is not None and (
            why := explain_end_limit(
                app_state.workspace.store, app_state.membership.read_team(context.member), context.now
            )
        ):
            raise Guarded(why, hint="Ask another admin to set the other end dates.")
        held = changer.write(
            write,
            [change_end_by_hand(store, fresh or row, until, since, zone)],
            quorums,
            to_ms(context.now),
        )
        lacking = held[0] if held else None
        record(write, lacking)
    return lacking


def _check_change(context: HttpContext, row: RequestRow | None, version: str) -> None:
    """Refuse a request that changed, one with an unsent decision, and the member's own."""
    if row is None or row.state.status != Status.ACCEPTED or not row.version.is_token(version):
        raise Refused("The request changed since it was read.", hint="Look at it again.", status=409)
    require_sent_decisions(context, row)
    if row.is_made_by(context.member):
        raise NotAllowed("You cannot change the end of your own access.", hint="Ask another reviewer.")


def require_sent_decisions(context: HttpContext, row: RequestRow) -> None:
    """Refuse a request with a decision that is not sent yet, because its status is about to change."""
    held = find_latest_decisions(context.workspace.store, [row.id]).get(row.id)
    if row.state.open_run is not None or (held is not None and held.outcome is None):
        raise Refused(
            "A decision about this request is not sent yet.", hint="Undo it, or wait until it is sent.", status=409
        )
