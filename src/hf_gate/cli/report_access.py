"""report access: who has access to the repos, or had it at an earlier moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

import click

from ..application.past_records import AccessRecord
from ..errors import HfGateError
from .as_of import as_of_option, print_certainty, read_view
from .framework import Run, command, limit_options, repo_type_option
from .output import Column
from .request_table import repo_argument, target_argument
from .targets import parse_repo_argument
from .workspace import open_workspace

if TYPE_CHECKING:
    from ..application.as_of import PastView


_EMPTY: Final = "Nobody had access through a request."
_BYPASSES: Final = {"member": "(member, bypasses the gate)", "owner": "(owner)"}


@command(
    "access",
    examples=(
        "hf-gate report access",
        "hf-gate report access datasets/acme/eeg --as-of 2026-05-01",
        "hf-gate report access --as-of 2026-05-01T14:30Z --format csv",
    ),
)
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
@limit_options
@as_of_option
def report_access(
    run: Run, *, repos: tuple[str, ...], repo_type: str | None, limit: int | None, as_of: str | None
) -> int:
    """Show who has access to REPOs (default: those of the workspace), since when, by whom or which rule, and until when.

    The list is made from the audit log, so it shows any moment since the log began. stderr says which syncs prove it.
    Accounts that bypass the gate follow: the owner, or the members of the organisation as the Hub lists them now.
    FOUND LATER marks a request that had changed on the Hub by then, as a later sync showed.
    """
    workspace = open_workspace(run)
    named = list(dict.fromkeys(parse_repo_argument(text, repo_type) for text in repos))
    view = read_view(workspace, named, as_of)
    columns = _build_columns(view, is_single=len(view.certainties) == 1)
    rows = chain(view.access(), _bypassing_accounts(run, view))
    run.out.records(AccessRecord, rows, columns, name=target_argument, limit=limit, empty=_EMPTY, part="the first {}")
    print_certainty(run, view)
    return 0


def _bypassing_accounts(run: Run, view: PastView) -> Iterator[AccessRecord]:
    """Yield the accounts that bypass the gate, and print what could not be read."""
    from ..application.as_of import read_bypassing_accounts

    try:
        account = run.account
    except HfGateError:
        account = None  # reading the members reports the error
    for row in read_bypassing_accounts(run.hub, view.certainties, () if account is None else (account.name,)):
        if row.user is None and row.note:
            run.out.warn(f"{repo_argument(row)}: {row.note}.")
        yield row


def _build_columns(view: PastView, *, is_single: bool) -> Sequence[Column[AccessRecord]]:
    columns: list[Column[AccessRecord]] = [
        Column("WHO", _name_account, is_flexible=True),
        Column("SINCE", lambda row: _format_day(row.since)),
        Column("BY", lambda row: _BYPASSES.get(row.through) or row.by or "-", is_flexible=True),
        Column("RULE", lambda row: row.rule or "-", is_flexible=True, drop_rank=1),
        Column("AGREEMENT", lambda row: row.agreement or "-", is_flexible=True, drop_rank=2),
        Column("FORM", lambda row: (row.form or "-")[:8], drop_rank=3),
        Column("UNTIL", lambda row: _format_day(row.until)),
    ]
    if not is_single:
        columns.insert(1, Column("REPO", repo_argument, is_flexible=True, is_tail_shown=True))
    if any(certainty.found_later for certainty in view.certainties):
        columns.append(Column("FOUND LATER", lambda row: "yes" if row.found_later else ""))
    return columns


def _name_account(row: AccessRecord) -> str:
    if row.through == "member" and row.user is None:
        return "(members not read)"
    return row.user or row.user_id or "(hidden)"


def _format_day(time: str | None) -> str:
    return "-" if time is None else time[:10]
