"""ends: list the grants that end, and set other ends after showing them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from hf_gate.base.display_text import pluralize
from hf_gate.base.timestamps import format_distance, from_ms, to_ms
from hf_gate.command_line.decisions.confirmation import authorize_run, confirm_ends, require_member_for_ends
from hf_gate.command_line.framework import CommandEntry, LazyGroup, command, limit_options
from hf_gate.command_line.request_table import repo_argument
from hf_gate.command_line.targets import find_stored_request, read_targets
from hf_gate.command_line.text_layout import Column
from hf_gate.command_line.workspace_opening import find_actor, open_with_policies, open_workspace
from hf_gate.config import parse_seconds
from hf_gate.core.lifecycle import AT_END
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.access_end import NO_END_WORD
from hf_gate.core.people.grants import first_lapse, format_last_day
from hf_gate.core.records import GrantEndRecord
from hf_gate.core.runs import ChangeOrigin
from hf_gate.decisions.typed_input import parse_end
from hf_gate.errors import Guarded, UsageError
from hf_gate.grants.records import ChangedEndsRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import tzinfo

    from hf_gate.base.ids import Repo
    from hf_gate.command_line.framework import CommandContext
    from hf_gate.core.people.access_end import HandTerms
    from hf_gate.core.stored_rows import RequestRow
    from hf_gate.grants.service.ends.approved_ends import EndChanger
    from hf_gate.grants.service.ends.end_adoption import Adoption
    from hf_gate.grants.service.ends.end_changes import EndChange
    from hf_gate.requests.service.targets import RequestTarget
    from hf_gate.settings.service.workspace import Workspace
    from hf_gate.verdicts.service.policy_bundle import PolicyBundle


ends = LazyGroup(
    "ends",
    {
        "ls": CommandEntry("hf_gate.command_line.grants.ends:ls", "List grants by end date."),
        "set": CommandEntry(
            "hf_gate.command_line.grants.ends:set_ends",
            "Set or remove end dates, or adopt those of the rules.",
            has_effect=True,
        ),
    },
    help="End dates of access: list and set them.",
)
_NO_LIMIT: Final = "36500d"
_SHOWN: Final = 20  # the most ends named by a command
_YES: Final = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
_MAX: Final = click.option("--max-changes", type=click.IntRange(1), help="With --yes: maximum number of end dates.")


@command("ls", examples=("hf-gate ends ls", "hf-gate ends ls --within 30d --json", "hf-gate ends ls --without-end"))
@click.option("--within", metavar="TIME", default=_NO_LIMIT, help="Only grants that end within this time, e.g. 30d.")
@click.option("--without-end", is_flag=True, help="Only people whose access has no end, oldest request first.")
@limit_options
def ls(context: CommandContext, within: str, without_end: bool, limit: int | None) -> int:
    """List access that ends, earliest first. `hf-gate run` ends it when it is due, and says how late it is."""
    from hf_gate.automation.service.health import describe_missing_loop
    from hf_gate.grants.service.ends.end_adoption import iterate_accepted
    from hf_gate.grants.service.grant_records import grant_end_record, iterate_ends

    workspace = open_workspace(context)
    now = workspace.now()
    if without_end:
        accepted = iterate_accepted(workspace.store, None, with_end=False)
        endless = (grant_end_record(row, now) for row in accepted)
        print_ends(context, endless, workspace, limit, empty="Every access has an end.", part="the first {}")
        return 0
    last = round((now.timestamp() + parse_seconds(within, "--within")) * 1000)
    rows = iterate_ends(workspace.store, workspace.store.iterate_due(last), now)
    empty = f"No grant has an end date. Access without an end: {context.command_line('ends', 'ls', '--without-end')}"
    if within != _NO_LIMIT:
        empty = f"No grant ends within {within}."
    print_ends(context, rows, workspace, limit, empty=empty, part="the first {} to end")
    if note := describe_missing_loop(workspace.store, now):
        context.out.hint(note)
    return 0


def print_ends(
    context: CommandContext,
    rows: Iterable[GrantEndRecord],
    workspace: Workspace,
    limit: int | None,
    *,
    empty: str,
    part: str,
) -> None:
    """Print ends of access as a list."""
    now, zone = workspace.now(), workspace.zone
    columns: Sequence[Column[GrantEndRecord]] = (
        Column("UNTIL", lambda row: _describe_end(row, now, zone)),
        Column("WHO", lambda row: row.user or row.user_id or ""),
        Column("REPO", repo_argument, is_flexible=True, min_width=14, is_tail_shown=True, is_said_once=True),
        Column("THEN", lambda row: AT_END.get(row.at_end or "", "")),
        Column("SET BY", _describe_setter, is_flexible=True),
    )
    context.out.records(
        GrantEndRecord, rows, columns, name=lambda row: row.request_id or "", limit=limit, empty=empty, part=part
    )


def _describe_setter(row: GrantEndRecord) -> str:
    """Return what set an end: the rule, or the person."""
    if row.by is not None:
        return row.by
    return "a person" if row.is_chosen or row.rule in (None, ChangeOrigin.DIRECT) else row.rule


def _describe_end(row: GrantEndRecord, now: datetime, zone: tzinfo) -> str:
    if row.ends_at is None:
        return "no end"
    words = f"{format_last_day(row.ends_at, zone)}, {format_distance(datetime.fromisoformat(row.ends_at), now)}"
    if row.is_undecided:
        return f"{words}, condition unknown: access stays"
    return f"{words}, condition false" if row.is_lapsed else words


# ---- change ends -----------------------------------------------------------------------------------------------------


@command(
    "set",
    examples=(
        "hf-gate ends set ada-l@acme/med-7b --until 1y",
        "hf-gate ends set ada-l@acme/med-7b --until none",
        "hf-gate ends set --all acme/med-7b --from-acceptance --dry-run",
    ),
)
@click.argument("targets", nargs=-1, metavar="[WHO@REPO]...")
@click.option(
    "--until",
    metavar="END",
    help="The new end: 1y (after the present one), 2028-11-30 or none. Default: the end that the policies give.",
)
@click.option("--all", "is_all", is_flag=True, help="Everybody without an end; the arguments are REPOs (default: all).")
@click.option("--with-end", is_flag=True, help="With --all: also people for whom the rules set another end now.")
@click.option("--from-acceptance", is_flag=True, help="With --all: count durations from the acceptance, not from now.")
@click.option("--dry-run", is_flag=True, help="Show the end dates; change nothing.")
@_YES
@_MAX
def set_ends(
    context: CommandContext,
    targets: tuple[str, ...],
    until: str | None,
    is_all: bool,
    with_end: bool,
    from_acceptance: bool,
    **given: bool | int | None,
) -> int:
    """Give people who have access another end. Nothing is sent to the Hub, and the person is not notified.

    A person who has access cannot ask again on the Hub, so a renewal comes from you or from a table. Conditions of
    `keep_while` stay, except with --until none. A later end that you choose no longer follows the date in a table.
    Where the rules ask for two people, longer access needs two: the first one approves it, and the second one runs the
    same command.

    With --all, people who got access before the rules set an end get the end of the first accept rule that holds for
    them now. People for whom it is unknown, past or not set stay as they are and are counted; so do people whose end a
    person chose. Nobody's access ends sooner than in 7 days.
    """
    if until is not None and is_all:
        raise UsageError("--until and --all exclude each other.", hint="Use only one of them.")
    wrong = "--with-end" if with_end else "--from-acceptance" if from_acceptance else ""
    if wrong and not is_all:
        shows = context.command_line("ends", "set", "--all", "--dry-run")
        raise UsageError(f"{wrong} needs --all.", hint=f"{shows} shows the end dates of everybody.")
    how = ChangeOptions(**given)  # type: ignore[arg-type]
    if is_all:
        return _adopt_ends(context, targets, how, with_end=with_end, from_acceptance=from_acceptance)
    return _change_ends(context, targets, until, how)


class ChangeOptions(Struct, frozen=True):
    """How ends are confirmed and written."""

    dry_run: bool
    yes: bool
    max_changes: int | None


def _change_ends(context: CommandContext, targets: tuple[str, ...], until: str | None, how: ChangeOptions) -> int:
    """Set the end that is written, or the end of the policies."""
    from hf_gate.grants.service.ends.end_changes import change_end_by_hand, count_from, renew_by_rules

    workspace, bundle = open_with_policies(context, is_preview=how.dry_run)
    now = workspace.clock.now()
    zone = bundle.zone
    written = None if until in {None, NO_END_WORD} else parse_end(str(until), now, zone, has_workspace=True)
    rows = _read_rows(workspace, bundle, read_targets(context, targets, None, None, None))
    if until is None:
        terms = _read_terms(workspace, bundle, rows, now)
        changes = [renew_by_rules(row, terms[row.id], now, zone) for row in rows]
    else:
        changes = [change_end_by_hand(workspace.store, row, written, count_from(row, now), zone) for row in rows]
    for known in (change for change in changes if change.is_known):
        context.out.say(f"{_describe_change(known, zone)}, as before.")
    changes = [change for change in changes if not change.is_known]
    question = "remove {} end dates?" if until == NO_END_WORD else "renew {} end dates?"
    return _apply(context, workspace, bundle, changes, now, question, how)


def _adopt_ends(
    context: CommandContext, repos: tuple[str, ...], how: ChangeOptions, *, with_end: bool, from_acceptance: bool
) -> int:
    """Set the ends of the policies for everybody whose access has none. Shows them first and asks."""
    workspace, bundle = open_with_policies(context, is_preview=how.dry_run)
    now = workspace.clock.now()
    wanted = [context.parse_repo(text) for text in repos] or None
    for repo in wanted or ():
        _check_governed(bundle, repo)
    found = _plan_ends(workspace, bundle, wanted, with_end=with_end, from_acceptance=from_acceptance)
    question = "set the end of access of {} people?"
    return _apply(context, workspace, bundle, found.changes, now, question, how, found)


def give_ends(context: CommandContext, workspace: Workspace, bundle: PolicyBundle) -> str:
    """Give people who have access already the ends of the rules without a question; return what was done."""
    found = _plan_ends(workspace, bundle, None)
    changes = found.changes
    at = to_ms(workspace.clock.now())
    held = _authorize_changes(context, workspace, bundle, changes).record(changes, at) if changes else []
    for one in held:
        found.leave(one.change.row, one.why)
    words = "".join(f" {said}" for said in found.describe_left())
    given = pluralize(len(changes) - len(held), "person", "people")
    return f"Gave {given} who had access already the end of the rules.{words}"


def _plan_ends(
    workspace: Workspace,
    bundle: PolicyBundle,
    repos: Sequence[Repo] | None,
    *,
    with_end: bool = False,
    from_acceptance: bool = False,
) -> Adoption:
    """Return the ends of the policies for people who have access at these repos, by default all of the workspace."""
    from hf_gate.grants.service.ends.end_adoption import iterate_accepted, plan_adoption
    from hf_gate.grants.service.ends.terms_reader import load_terms_reader

    rows = (row for row in iterate_accepted(workspace.store, repos, with_end=with_end) if bundle.is_governed(row.repo))
    reader = load_terms_reader(workspace, lambda: bundle)
    now = workspace.clock.now()
    return plan_adoption(workspace.store, rows, reader, now, bundle.zone, from_acceptance=from_acceptance)


# ---- people ----------------------------------------------------------------------------------------------------------


def _read_rows(workspace: Workspace, bundle: PolicyBundle, targets: Iterable[RequestTarget]) -> list[RequestRow]:
    from hf_gate.grants.service.ends.end_changes import check_has_access

    rows = []
    for target in targets:
        _check_governed(bundle, target.repo)
        rows.append(find_stored_request(workspace, target))
    for row in rows:
        check_has_access(row)
    return rows


def _check_governed(bundle: PolicyBundle, repo: Repo) -> None:
    if not bundle.is_governed(repo):
        raise UsageError(
            f"{repo} is not a repo of this workspace, so nothing would end its access.",
            hint=f"Add it to `repos` in {bundle.config.source}.",
        )


def _read_terms(
    workspace: Workspace, bundle: PolicyBundle, rows: Sequence[RequestRow], now: datetime
) -> dict[int, HandTerms]:
    from hf_gate.grants.service.ends.terms_reader import TermsReader
    from hf_gate.verdicts.service.evaluation import open_fact_sources

    return TermsReader(workspace, lambda row: bundle.for_repo(row, open_fact_sources(workspace))).read_terms(rows, now)


# ---- changes ---------------------------------------------------------------------------------------------------------


def _apply(
    context: CommandContext,
    workspace: Workspace,
    bundle: PolicyBundle,
    changes: Sequence[EndChange],
    now: datetime,
    question: str,
    how: ChangeOptions,
    adoption: Adoption | None = None,
) -> int:
    """Show the new ends, ask, record them, and print them. Longer access may lack the approval of a second person."""
    from hf_gate.grants.service.ends.end_changes import ONLY_SHORTER
    from hf_gate.grants.service.grant_records import grant_end_record

    lacking = Counter({} if adoption is None else adoption.left)
    planned = len(changes)
    kept = [] if adoption is None else adoption.chosen
    for said in () if adoption is None else adoption.describe_left():
        context.out.say(said)
    for row in kept[:_SHOWN]:
        words = _describe_end(grant_end_record(row, now), now, bundle.zone)
        context.out.say(f"  {row.person_name}@{row.repo}: {words}")
    if changes:
        changer = _authorize_changes(context, workspace, bundle, changes)
        if not how.dry_run:
            lines = [_describe_change(change, bundle.zone) for change in changes]
            may_skip = adoption is None and not any(change.is_shorter for change in changes)
            confirm_ends(context, lines, question, yes=how.yes, max_changes=how.max_changes, may_skip=may_skip)
        held = changer.preview(changes, to_ms(now)) if how.dry_run else changer.record(changes, to_ms(now))
        if held and all(one.kind is OutcomeKind.REFUSED for one in held) and len(held) == len(changes):
            raise Guarded(f"{held[0].change.row.target_name}: {held[0].why}. Nothing was changed.", hint=ONLY_SHORTER)
        for one in held:
            context.out.say(f"{one.change.row.target_name}: {one.kind}: {one.why}")
        lacking.update(one.why for one in held)
        without = {one.change.row.id for one in held}
        changes = [change for change in changes if change.row.id not in without]
    if how.dry_run:
        lines = [_describe_change(one, bundle.zone) for one in changes[:_SHOWN]]
        lines.append(f"{pluralize(len(changes), 'end date')} would change. Nothing was changed.")
        context.out.document(_changed_ends_record([], 0, planned, lacking, kept, now), lambda: lines)
        return 0
    known = workspace.store.requests([change.row.id for change in changes])
    record = _changed_ends_record(known.values(), len(changes), planned, lacking, kept, now)
    lines = [_describe_change(one, bundle.zone) for one in changes[:_SHOWN]] or ["Nothing was changed."]
    if adoption is not None and changes:
        lines.append(f"{pluralize(len(changes), 'end date')} changed.")
    context.out.document(record, lambda: lines)
    return 0


def _authorize_changes(
    context: CommandContext, workspace: Workspace, bundle: PolicyBundle, changes: Sequence[EndChange]
) -> EndChanger:
    """Return what writes these changes. Raises an error if this user may not make them, or if the clock is wrong."""
    from hf_gate.approvals.service.approvals import ApprovalCheck, as_approver
    from hf_gate.grants.service.ends.approved_ends import EndChanger
    from hf_gate.grants.service.ends.grant_ends import require_right_clock

    me = require_member_for_ends(context, workspace, (change.row.repo for change in changes))
    if any(change.end is not None for change in changes):
        require_right_clock(workspace.hub, changes[0].row.repo, may_be_unknown=True)
    longer = [change.row.person.identity for change in changes if change.is_longer]
    if longer:
        about = [(who.username, who.user_id) for who in longer]
        authorize_run(context, workspace, {"accept": len(longer)}, (), about=about)
    return EndChanger(ApprovalCheck(workspace, lambda: bundle), as_approver(me)._replace(actor=find_actor(context)))


def _changed_ends_record(
    rows: Iterable[RequestRow],
    changed: int,
    planned: int,
    left: Mapping[str, int],
    kept: Iterable[RequestRow],
    now: datetime,
) -> ChangedEndsRecord:
    """Return the record of changed ends. `kept` are the people whose end a person chose."""
    from hf_gate.grants.service.grant_records import grant_end_record

    ends = [[grant_end_record(row, now) for row in some] for some in (rows, kept)]
    return ChangedEndsRecord(changed=changed, planned=planned, ends=ends[0], left=dict(left), kept=ends[1])


def _describe_change(change: EndChange, zone: tzinfo) -> str:
    """Return a new end in words, with the present one, and with the end while a condition is false."""
    before = change.row.state.present_end
    was, new = ("no end" if at is None else format_last_day(from_ms(at), zone) for at in (before, change.end))
    if change.end is not None:
        words = f"access until {new}" if before == change.end else f"access until {new} instead of {was}"
    elif change.terms:
        words = "access lasts while its conditions hold"
    else:
        words = "access has no end" if before is None else f"access has no end; before, it had one: {was}"
    if (lapse := first_lapse(change.event.lapses)) is not None and (change.end is None or lapse < change.end):
        words = f"{words}; while a condition is false, only until {format_last_day(from_ms(lapse), zone)}"
    rule = "" if change.end is None or change.event.is_chosen else change.event.rule or ""
    return f"{change.row.target_name}: {words} ({rule})" if "/" in rule else f"{change.row.target_name}: {words}"
