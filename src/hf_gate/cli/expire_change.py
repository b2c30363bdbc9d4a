"""expire renew, drop, adopt and no-renew: change the ends of access by hand, after showing what changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..application.inputs import parse_end
from ..application.record_builders import grant_end_record
from ..domain.display_text import pluralize
from ..domain.ids import parse_repo
from ..domain.lifecycle import Status
from ..domain.timestamps import from_ms, to_ms
from ..errors import UsageError
from .confirmation import authorize_run, confirm_ends
from .framework import command
from .targets import find_stored_request, read_targets
from .workspace import actor_of, announce, open_with_policies, open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ..application.end_changes import EndChange
    from ..application.policy_bundle import PolicyBundle
    from ..application.targets import RequestTarget
    from ..application.workspace import Workspace
    from ..domain.hand_terms import HandTerms
    from ..domain.ids import Repo
    from ..domain.rows import RequestRow
    from .framework import Run


_TARGETS = click.argument("targets", nargs=-1, metavar="WHO@REPO...")
_YES = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
_MAX = click.option("--max-changes", type=click.IntRange(1), help="With --yes: maximum number of ends.")


@command(
    "renew", examples=("hf-gate expire renew ada-l@acme/med-7b --until 1y", "hf-gate expire renew ada-l@acme/med-7b")
)
@_TARGETS
@click.option("--until", metavar="END", help="The new end: 1y (from now) or 2028-11-30. Default: as the policies say.")
@_YES
@_MAX
def expire_renew(run: Run, targets: tuple[str, ...], until: str | None, yes: bool, max_changes: int | None) -> int:
    """Give people who have access a new end. Nothing is sent to the Hub, and the person is not notified.

    A person who has access cannot ask again on the Hub, so a renewal comes from you or from a table. Conditions of
    `keep_while` stay. An end that you choose no longer follows the date in a table.
    """
    from ..application.end_changes import renew_by_rules, renew_until

    workspace, bundle = open_with_policies(run)
    now, zone = workspace.clock.now(), bundle.zone
    written = None if until is None else parse_end(until, now, zone, has_workspace=True)
    rows = _read_rows(workspace, bundle, read_targets(targets, None, None, None))
    if written is not None:
        changes = [renew_until(workspace.store, row, written, now, zone) for row in rows]
    else:
        terms = _read_terms(workspace, bundle, rows, now)
        changes = [renew_by_rules(row, terms[row.id], now, zone) for row in rows]
    return _apply(run, workspace, changes, now, "renew {} ends?", yes=yes, max_changes=max_changes)


@command(
    "drop", examples=("hf-gate expire drop ada-l@acme/med-7b", "hf-gate expire drop acme/med-7b ada-l bob99 --yes")
)
@_TARGETS
@_YES
@_MAX
def expire_drop(run: Run, targets: tuple[str, ...], yes: bool, max_changes: int | None) -> int:
    """Remove the end of access, with its conditions. The access then lasts until somebody ends it."""
    from ..application.end_changes import drop_end

    workspace, bundle = open_with_policies(run)
    rows = _read_rows(workspace, bundle, read_targets(targets, None, None, None))
    changes = [drop_end(row) for row in rows]
    now = workspace.clock.now()
    return _apply(run, workspace, changes, now, "remove {} ends?", yes=yes, max_changes=max_changes)


@command("adopt", examples=("hf-gate expire adopt", "hf-gate expire adopt acme/med-7b --from-acceptance"))
@click.argument("repos", nargs=-1, metavar="[REPO...]")
@click.option(
    "--with-end",
    is_flag=True,
    help="Include people whose access has an end; they get the end that the policies set now.",
)
@click.option("--from-acceptance", is_flag=True, help="Count durations from the acceptance, not from now.")
@_YES
@_MAX
def expire_adopt(
    run: Run, repos: tuple[str, ...], with_end: bool, from_acceptance: bool, yes: bool, max_changes: int | None
) -> int:
    """Set ends for people who got access before the rules set one. Shows the ends first and asks.

    The end is that of the first accept rule that holds for the person now. People for whom the end is unknown, past or
    not set stay as they are and are counted. Nobody's access ends sooner than in 7 days, and nothing is sent.
    """
    from ..application.end_changes import iterate_accepted, plan_adoption

    workspace, bundle = open_with_policies(run)
    now, wanted = workspace.clock.now(), [parse_repo(text, None) for text in repos] or None
    for repo in wanted or ():
        _check_governed(bundle, repo)
    rows = (row for row in iterate_accepted(workspace.store, wanted, with_end=with_end) if bundle.is_governed(row.repo))
    found = plan_adoption(
        rows,
        lambda some: _read_terms(workspace, bundle, some, now),
        now,
        bundle.zone,
        from_acceptance=from_acceptance,
    )
    question = "set the end of access of {} people?"
    return _apply(
        run, workspace, found.changes, now, question, yes=yes, max_changes=max_changes, left=found.left, is_bulk=True
    )


# ---- people ------------------------------------------------------------------------------------------------------------


def _read_rows(workspace: Workspace, bundle: PolicyBundle, targets: Iterable[RequestTarget]) -> list[RequestRow]:
    from ..application.end_changes import check_has_access

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
    from ..application.terms_reader import TermsReader

    return TermsReader(workspace, lambda row: bundle.for_repo(row, workspace.sources)).read_terms(rows, now)


# ---- changes -----------------------------------------------------------------------------------------------------------


def _apply(
    run: Run,
    workspace: Workspace,
    changes: Sequence[EndChange],
    now: datetime,
    question: str,
    *,
    yes: bool,
    max_changes: int | None,
    left: Mapping[str, int] | None = None,
    is_bulk: bool = False,
) -> int:
    """Show the new ends, ask, record them, and print them."""
    from ..application.end_changes import record_end_changes
    from ..application.grant_ends import require_right_clock

    for why, number in (left or {}).items():
        run.out.say(f"{pluralize(number, 'person', 'people')} left as they are: {why}.")
    if changes:
        if any(change.end is not None for change in changes):
            require_right_clock(workspace.hub, changes[0].row.repo, may_be_unknown=True)
        lines = [_describe_change(change) for change in changes]
        confirm_ends(run, lines, question, yes=yes, max_changes=max_changes, may_skip=not is_bulk)
        longer = [change.row.person.identity for change in changes if change.is_longer]
        if longer:
            about = [(who.username, who.user_id) for who in longer]
            authorize_run(run, workspace, {"accept": len(longer)}, about=about)
        record_end_changes(workspace.store, changes, actor_of(run), to_ms(now))
    known = workspace.store.requests([change.row.id for change in changes])
    document = {
        "changed": len(changes),
        "ends": [grant_end_record(row, now) for row in known.values()],
        "left": dict(left or {}),
    }
    run.out.document(document, lambda: [_describe_change(one) for one in changes[:20]] or ["Nothing was changed."])
    return 0


def _describe_change(change: EndChange) -> str:
    known, end = change.row.person.identity, change.end
    who = f"{known.username or known.user_id}@{change.row.repo}"
    if end is None:
        return f"{who}: access lasts while its conditions hold" if change.terms else f"{who}: access has no end"
    rule = f" ({change.event.rule})" if change.event.rule and "/" in change.event.rule else ""
    return f"{who}: access ends {from_ms(end):%Y-%m-%d %H:%M} UTC{rule}"


# ---- renewals --------------------------------------------------------------------------------------------------------


@command(
    "no-renew",
    examples=("hf-gate expire no-renew ada-l@acme/med-7b", "hf-gate expire no-renew ada-l@acme/med-7b --undo"),
)
@click.argument("targets", nargs=-1, required=True, metavar="WHO@REPO...")
@click.option("--undo", is_flag=True, help="Remove the mark: the end may be extended again.")
def expire_no_renew(run: Run, targets: tuple[str, ...], undo: bool) -> int:
    """Mark access that ends for good: no later date in a table and no policy extends it.

    Nothing is sent, and the person is not notified. After a reset they can ask again; an entry in a deny table prevents that.
    """
    from ..application.decisions import renewal_entry

    announce(run, writes=True)
    with open_workspace(run, needs_folder=True, writes=True) as workspace:
        rows = [_find_grant(workspace, target) for target in read_targets(targets, None, None, None)]
        people = [row.person.identity for row in rows]
        authorize_run(run, workspace, {}, about=[(each.username, each.user_id) for each in people])
        at, actor = to_ms(workspace.clock.now()), actor_of(run)
        with workspace.store.writing() as write:
            for row in rows:
                write.append(row.repo, [renewal_entry(row, actor, at, is_blocked=not undo)])
    words = "may be renewed again" if undo else "will not be renewed"
    document = {"changed": len(rows), "is_final": not undo}
    run.out.document(document, lambda: [f"{pluralize(len(rows), 'grant')} {words}."])
    return 0


def _find_grant(workspace: Workspace, target: RequestTarget) -> RequestRow:
    """Return the stored request of a target. Raises an error unless its access ends."""
    row = find_stored_request(workspace, target)
    if row.state.status != Status.ACCEPTED or row.state.ends_at is None:
        raise UsageError(
            f"the access of {target} has no end; nothing was changed.",
            hint="`hf-gate expire ls` lists access that ends.",
        )
    return row
