"""plan and apply: what the policies would change and why, sealed in a file; and that file carried out, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..domain.rows import count_pending
from ..domain.runs import ChangeOrigin, RunKind
from ..errors import UsageError
from .confirmation import confirm_plan
from .execution import execute_run, print_run
from .framework import command
from .output import clock_advice, count_of, format_duration
from .second_approval import authorize_run, resume_run
from .workspace import (
    actor_of,
    open_for_runs,
    open_with_policies,
    rare_garbage_collection,
)

if TYPE_CHECKING:
    from datetime import datetime

    from ..application.policy_bundle import PolicyBundle
    from ..application.workspace import Workspace
    from ..plan.model import Plan
    from .framework import Run

CHANGES = 3  # the exit code of --detailed-exitcode when there are any


@command(
    "plan",
    examples=(
        "hf-gate plan",
        "hf-gate plan --out plan.json",
        "hf-gate plan --detailed-exitcode --json",
    ),
)
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the plan into this file.")
@click.option("--valid", metavar="TIME", default="24h", show_default=True, help="How long it may be applied.")
@click.option("--now", "moment", metavar="TIME", help="Judge as if it were this moment (ISO 8601); enters nothing.")
@click.option("--profiles", type=click.IntRange(0), default=200, show_default=True, help="Profiles that may be read.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 3 when there is something to change.")
def plan(run: Run, path: Path | None, valid: str, moment: str | None, profiles: int, detailed_exitcode: bool) -> int:
    """Show what the policies of this workspace would change, and why. Nothing is sent.

    It judges what the store knows (hf-gate sync reads it from the Hub), enters new verdicts into the ledger, and prints
    the plan. The same store, policies and --now give the same plan, byte for byte.
    """
    from datetime import timedelta  # noqa: PLC0415 - only here

    from ..application.evaluation_pool import EvaluationPool  # noqa: PLC0415 - only who plans
    from ..application.halts_and_promotions import register_plan  # noqa: PLC0415 - only who plans
    from ..application.planning import make_plan  # noqa: PLC0415 - only who plans
    from ..config import parse_seconds  # noqa: PLC0415 - only here
    from ..plan.model import encode_plan  # noqa: PLC0415 - only who plans
    from ..private_files import write_private_file  # noqa: PLC0415 - only who plans

    lasting = timedelta(seconds=parse_seconds(valid, "--valid"))
    workspace, bundle = open_with_policies(run)
    with rare_garbage_collection(), EvaluationPool(workspace, bundle) as pool:
        found = make_plan(
            workspace, bundle, pool.evaluate, profile_budget=profiles, moment=_moment(moment), valid=lasting
        )
    made = found.plan
    if found.skew is not None:
        run.out.warn(f"No grant is ended by this plan: {clock_advice(found.skew)}")
    register_plan(workspace.store, made, workspace.clock.now())
    if path is not None:
        write_private_file(path, encode_plan(made))
    run.out.document(_document(made), lambda: _for_people(workspace, bundle, made, path))
    return CHANGES if detailed_exitcode and made.changes else 0


def _moment(text: str | None) -> datetime | None:
    from datetime import UTC, datetime  # noqa: PLC0415 - only with --now

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--now: {text!r} is no moment.", hint="Write 2026-11-25T12:00:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _document(made: Plan) -> dict[str, object]:
    import msgspec  # noqa: PLC0415 - only who plans

    found: dict[str, object] = msgspec.to_builtins(made)
    return found


def _for_people(workspace: Workspace, bundle: PolicyBundle, made: Plan, path: Path | None) -> Sequence[str]:
    from ..plan.render import estimate_calls, format_validity, render_plan  # noqa: PLC0415 - only for people

    rows = workspace.store.repos()
    waiting = count_pending(rows)
    names = ", ".join(f"{policy.name}@{policy.digest[:8]} ({policy.mode})" for policy in bundle.policies) or "none"
    synced = min((row.quick_at or row.full_at or 0 for row in rows), default=0)
    ago = format_duration(workspace.clock.now().timestamp() - synced / 1000) + " ago" if synced else "never"
    lines = [f"Policies   {names}", f"Data       {waiting:,} pending in {count_of(len(rows), 'repo')}, synced {ago}"]
    lines += render_plan(made, calls=estimate_calls(made))
    if path is not None:
        lines.append(f"Saved {path} ({format_validity(made, workspace.clock.now())}).  Next: hf-gate apply {path}")
    elif made.changes:
        lines.append("Nothing was sent. To let it happen: hf-gate plan --out plan.json, then hf-gate apply plan.json")
    return lines


# ---- apply -------------------------------------------------------------------------------------------------------------


@command(
    "apply",
    examples=("hf-gate apply plan.json", "hf-gate apply plan.json --yes --max-changes 773 --json"),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--max-changes", type=click.IntRange(1), help="With --yes: so many changes at most.")
def apply(run: Run, file: Path, yes: bool, max_changes: int | None) -> int:
    """Apply a plan: each change once, after reading each request once more.

    Only a plan that was made at this workspace, here or on a page of the desk. Whoever moved since is left alone (stale). A run that was
    ended half-way goes on with the same command; a plan that was applied already changes nothing.
    """
    from ..application import runs  # noqa: PLC0415 - as above
    from ..application.halts_and_promotions import check_registered  # noqa: PLC0415 - as above
    from ..application.workspace import new_id  # noqa: PLC0415 - as above
    from ..plan.model import decode_plan  # noqa: PLC0415 - only who applies

    made = decode_plan(_bytes(file), str(file))
    workspace, bundle = open_with_policies(run) if runs.needs_policies(made) else (open_for_runs(run), None)
    store = workspace.store
    known = store.run_of_plan(made.digest)
    if known is not None and runs.is_over(known):
        run.out.say(f"This plan was applied in run {known.id}; nothing was sent.")
        return print_run(run, workspace, known)
    runs.check_plan_in_workspace(workspace, bundle, made)
    if known is None:
        check_registered(store, made)
        confirm_plan(run, workspace, made.changes, yes=yes, max_changes=max_changes)
        now, acts = workspace.clock.now(), Counter(change.action for change in made.changes)
        author = authorize_run(run, workspace, acts, plan=made.digest, about=_decided_by_hand(made))
        known = runs.create_run(
            workspace.store, made, run_id=new_id(), kind=RunKind.PLAN, actor=actor_of(run), now=now, author=author
        )  # fmt: skip
    else:
        known = resume_run(run, workspace, known, actor_of(run))
        if workspace.store.stop_request(known.id) == "pause":  # a second apply resumes the run; a wish to stop stays
            workspace.store.request_stop(known.id, None)
    return execute_run(run, workspace, known)


def _decided_by_hand(made: Plan) -> Iterator[tuple[str | None, str | None]]:
    """Whom a person decides about: what a policy or the end of a grant decides nobody does."""
    return ((one.user, one.user_id) for one in made.changes if not one.policy and one.rule != ChangeOrigin.UNTIL)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise UsageError(
            f"the plan {file} cannot be read: {problem.strerror}.", hint="Make one: hf-gate plan --out plan.json"
        ) from None
