"""store retention: deletes the personal data of old requests as hf-gate.yaml says, now instead of in the next turn."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ..domain.display_text import pluralize
from ..errors import Guarded, UsageError
from .framework import Run, command
from .workspace import actor_of, open_workspace

_NO_LIMIT = 1 << 40


@command("retention", examples=("hf-gate store retention --dry-run", "hf-gate store retention --yes"))
@click.option("--dry-run", is_flag=True, help="Show how much would be deleted; delete nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def store_retention(run: Run, *, dry_run: bool, yes: bool) -> int:
    """Delete names, e-mail addresses and answers of requests that were kept as long as `retention` in hf-gate.yaml says.

    `hf-gate run` does the same once a day. Account ids, statuses and times stay.
    """
    from ..application import retention

    workspace = open_workspace(run, needs_folder=True, writes=not dry_run)
    periods = workspace.location.config.retention
    if not periods:
        raise UsageError(
            "hf-gate.yaml has no retention, so nothing is deleted.", hint="For example: retention: {rejected: 180d}"
        )
    counts = retention.count_expired_by_status(workspace)
    total = sum(counts.values())
    if not dry_run and total:
        if not yes and not run.may_ask:
            raise Guarded("cannot ask for confirmation here; nothing was deleted.", hint="Add --yes, or try --dry-run.")
        if not yes and not click.confirm(f"Delete the personal data of {pluralize(total, 'request')}?", err=True):
            raise Guarded("not confirmed; nothing was deleted.")
        counts = retention.apply_retention(workspace, actor_of(run), _NO_LIMIT)
    doc = {"schema_version": 1, "deleted": not dry_run, "requests": counts, "days": dict(sorted(periods.items()))}
    run.out.document(doc, lambda: _lines(counts, periods, is_done=not dry_run))
    return 0


def _lines(counts: Mapping[str, int], periods: Mapping[str, int], *, is_done: bool) -> list[str]:
    verb = "deleted" if is_done else "to delete"
    return [
        f"{status}, older than {pluralize(days, 'day')}: personal data of {pluralize(counts.get(status, 0), 'request')} {verb}."
        for status, days in sorted(periods.items())
    ]
