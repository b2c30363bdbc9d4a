"""show: shows one request in full, with its history and the next command."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from hf_gate.base.timestamps import format_age
from hf_gate.command_line.framework import CommandContext, command, repo_type_option
from hf_gate.command_line.output import StyledLine
from hf_gate.command_line.request_table import (
    format_request_lines,
    history_lines,
    target_argument,
    verdict_cell,
    verdict_meaning,
)
from hf_gate.command_line.targets import did_you_mean, read_targets
from hf_gate.command_line.text_layout import terminal_width
from hf_gate.command_line.workspace_opening import announce_target, open_stored_workspace
from hf_gate.core.lifecycle import Status
from hf_gate.core.records import NO_DETAILS, ApprovalsRecord, RequestRecord, ShownRequest, extend_record
from hf_gate.decisions.records import account_record
from hf_gate.errors import HfGateError, RequestNotFound
from hf_gate.requests.service.request_history import history_records
from hf_gate.requests.service.request_records import request_record, stored_request, verdict_record
from hf_gate.requests.service.targets import RequestTarget, find_attempts

if TYPE_CHECKING:
    from hf_gate.core.people.accounts import Profile
    from hf_gate.core.requests import AccessRequest
    from hf_gate.core.stored_rows import RequestRow
    from hf_gate.settings.service.workspace import Workspace


@command(
    "show",
    examples=(
        "hf-gate show ada-l@datasets/acme/eeg",
        "hf-gate show datasets/acme/eeg ada-l --json",
    ),
)
@click.argument("target", nargs=-1, metavar="TARGET", required=True)
@click.option("--repo", metavar="REPO", help="The repo, if TARGET is a request id.")
@repo_type_option
def show(context: CommandContext, *, target: tuple[str, ...], repo: str | None, repo_type: str | None) -> int:
    """Show one request in full: answers, person, age, verdict, history, and the next command."""
    targets = read_targets(context, target, None, repo, repo_type)
    if len(targets) != 1:
        raise click.UsageError(f"{len(targets)} targets given; show takes one.")
    announce_target(context)
    workspace = open_stored_workspace(context)
    attempts = () if workspace is None else find_attempts(workspace.store, targets[0])
    record, request = _current_request(context, workspace, targets[0], attempts)
    profile = _read_profile(context, request)
    shown = extend_record(
        record,
        ShownRequest,
        granted_by=request.granted_by.username if request.granted_by else None,
        account=None if profile is None else account_record(profile, request.person.created_at),
        history=None if workspace is None else history_records(workspace.store, attempts, zone=workspace.zone),
    )
    context.out.document(shown, lambda: _color_lines(request, shown, context.now()), quiet=[target_argument(shown)])
    return 0


def _current_request(
    context: CommandContext, workspace: Workspace | None, request_target: RequestTarget, attempts: Sequence[RequestRow]
) -> tuple[RequestRecord, AccessRequest]:
    """Return the request from the Hub with the stored verdict; if no list contains it, return the stored request."""
    from hf_gate.approvals.service.approval_status import read_approvals_record
    from hf_gate.grants.service.row_details import pair_with_details
    from hf_gate.verdicts.service.current_verdicts import read_current_verdicts

    verdicts = read_current_verdicts(None if workspace is None else workspace.location.folder)
    details = NO_DETAILS
    if workspace is not None and attempts:
        details = next(one for _, one in pair_with_details(workspace, attempts[-1:]))
        details = details._replace(approvals=read_approvals_record(workspace, attempts[-1]))  # also before the first
    try:
        request = find_listed_request(context, request_target)
    except RequestNotFound:
        if not attempts or attempts[-1].request is None:
            raise
        return stored_request(attempts[-1], verdicts, details), attempts[-1].request
    if request.status != Status.PENDING:
        details = details._replace(approvals=None)
    return request_record(request, verdict_record(attempts[-1], verdicts) if attempts else None, details), request


def describe_approvals(approvals: ApprovalsRecord, now: datetime) -> str:
    """Return how many approvals a request has, and of each who gave it, when, and for which access."""
    given = ", ".join(
        f"{one.by}{f' ({one.membership})' if one.membership else ''}, "
        f"{format_age(datetime.fromisoformat(one.at), now)} ago, {one.approved}"
        for one in approvals.given
    )
    return f"{len(approvals.given)} of {approvals.needed}{f': {given}' if given else ''}"


def _color_lines(request: AccessRequest, shown: ShownRequest, now: datetime) -> Iterator[StyledLine]:
    """Return the lines, with the status and the verdict of the request in colour."""
    verdict = f"  verdict   {verdict_cell(shown)}"
    for line in _lines(request, shown, now):
        if line.startswith(f"  status    {shown.status}"):
            yield StyledLine(line, shown.status, shown.status)
        else:
            yield StyledLine(line, verdict_meaning(shown) if line == verdict else "", verdict_cell(shown))


def _lines(request: AccessRequest, shown: ShownRequest, now: datetime) -> Iterator[str]:
    yield from format_request_lines(request, now, shown.account, shown.quality, terminal_width(sys.stdout))
    if shown.verdict:
        yield f"  verdict   {verdict_cell(shown)}"
    if shown.approvals:
        yield f"  approvals {describe_approvals(shown.approvals, now)}"
    if shown.history:
        yield "  history"
        yield from history_lines(shown.history)
    if request.person.username and request.status == Status.PENDING:
        yield f"Next: hf-gate accept {request.person.username}@{request.repo}   (or reset, reject with --reason)"


def find_listed_request(context: CommandContext, request_target: RequestTarget) -> AccessRequest:
    """Return the request from the list that contains it. Raises RequestNotFound with suggestions."""
    target = request_target.target
    who = target.request or target.username
    request = context.hub.find(
        request_target.repo, who, request_id=None if who else target.request_id, user_id=None if who else target.user_id
    )
    if request is not None:
        return request
    name = target.username
    raise RequestNotFound(
        f"there is no request of {name} at {request_target.repo}."
        if name
        else f"there is no request {target.label} at {request_target.repo}.",
        hint=(
            f"{did_you_mean(context.hub, request_target.repo, name)}"
            f"`{context.command_line('ls', str(request_target.repo), '--status', 'all')}` lists all requests."
        ),
    )


def _read_profile(context: CommandContext, request: AccessRequest) -> Profile | None:
    """Return the requester's profile, or None, because the profile is optional."""
    try:
        return context.hub.profile(request.person) if request.person.username else None
    except HfGateError:
        return None
