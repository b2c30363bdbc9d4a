"""runs and undo: what was carried out and how it ended; pause, go on, stop, try again, turn back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..domain.moments import iso, moment_of
from ..domain.outcomes import Kind
from ..errors import UsageError
from .desk import open_desk
from .frame import Entry, GateGroup, command
from .office import carrier_of, office
from .output import Column, Format
from .progress import Progress
from .telling import OUTCOME_KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..domain.rows import ChangeRow, RunRow
    from ..plan.model import Plan
    from ..usecases.ports import StorePort
    from ..usecases.run import Desk
    from .frame import Run

_SHOWN: Final = 30  # people of whom something is said
RUN_KEYS: Final = ("run", "kind", "state", "actor", "made_at", "plan", "planned", "counts")

runs = GateGroup(
    "runs",
    {
        "ls": Entry("runs:ls", "The latest runs."),
        "show": Entry("runs:show", "One run with the outcome of each change."),
        "pause": Entry("runs:pause", "Let a run end after the batch in flight; it can go on."),
        "resume": Entry("runs:resume", "Go on with a run that was paused or interrupted."),
        "stop": Entry("runs:stop", "End a run for good; the rest stays as it is."),
        "retry": Entry("runs:retry", "Make a plan of what was refused or stayed open."),
    },
    help="Runs of plans and decisions: look, pause, go on, stop, try again.",
)


@command("ls", examples=("hf-gate runs ls", "hf-gate runs ls --json"))
def ls(run: Run) -> int:
    """The latest runs, newest first."""
    rows = [_row(each) for each in open_desk(run).store.runs()]
    columns = (
        Column("RUN", lambda row: str(row["run"])),
        Column("KIND", lambda row: str(row["kind"])),
        Column("STATE", lambda row: str(row["state"])),
        Column("MADE", lambda row: str(row["made_at"])),
        Column("BY", lambda row: str(row["actor"]), flexible=True),
        Column("CHANGES", lambda row: f"{row['planned']:,}", right=True),
    )
    run.out.records(rows, columns, RUN_KEYS, name=lambda row: str(row["run"]), empty="No runs yet.")
    return 0


@command("show", examples=("hf-gate runs show r_0123456789ab", "hf-gate runs show r_0123456789ab --json"))
@click.argument("ident", metavar="RUN")
def show(run: Run, ident: str) -> int:
    """One run with the outcome of each change."""
    store = open_desk(run).store
    run_result(run, store, run_named(store, ident), whole=True)
    return 0


@command(
    "pause", examples=("hf-gate runs pause r_0123456789ab", "hf-gate runs pause r_0123456789ab --desk ~/desks/eeg")
)
@click.argument("ident", metavar="RUN")
def pause(run: Run, ident: str) -> int:
    """The process that carries the run ends after the batch in flight; `runs resume` goes on."""
    return _wish(run, ident, "pause")


@command("stop", examples=("hf-gate runs stop r_0123456789ab", "hf-gate runs stop r_0123456789ab --desk ~/desks/eeg"))
@click.argument("ident", metavar="RUN")
def stop(run: Run, ident: str) -> int:
    """The run ends after the batch in flight, for good. What was done stays done: `hf-gate undo RUN` turns it back."""
    return _wish(run, ident, "stop")


def _wish(run: Run, ident: str, word: str) -> int:
    from .. import wiring  # noqa: PLC0415 - only who works at a desk

    store = wiring.open_store(run.settings, run.place, read_only=True)
    try:
        known = run_named(store, ident)
        if known.state in {"ended", "stopped"}:
            run.out.say(f"Run {known.id} has {known.state} already.")
            return 0
        store.wish_for(known.id, word)
    finally:
        store.close()
    run.out.line(f"Run {known.id} is asked to {word}: it ends after the batch in flight.")
    return 0


@command("resume", examples=("hf-gate runs resume r_0123456789ab", "hf-gate runs resume r_0123456789ab --json"))
@click.argument("ident", metavar="RUN")
def resume(run: Run, ident: str) -> int:
    """Settles by reading what was under way, then sends the rest; nothing is sent twice."""
    desk = office(run)
    known = run_named(desk.store, ident)
    if known.state in {"ended", "stopped"}:
        run.out.say(f"Run {known.id} has {known.state}: nothing of it is left to send.")
        return run_result(run, desk.store, known)
    desk.store.wish_for(known.id, None)
    return carry(run, desk, known)


@command(
    "retry",
    examples=(
        "hf-gate runs retry r_0123456789ab --out retry.json",
        "hf-gate runs retry r_0123456789ab --out retry.json --json",
    ),
)
@click.argument("ident", metavar="RUN")
@click.option("--out", "path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The plan's file.")
def retry(run: Run, ident: str, path: Path) -> int:
    """A plan of what was refused or stayed open, for those who still stand where they stood. Sends nothing."""
    from ..usecases import runs as run_cases  # noqa: PLC0415 - only here

    desk = open_desk(run, needs_folder=True)
    made = run_cases.retry(desk.store, run_named(desk.store, ident), now=desk.now())
    return _saved(run, made, path, ())


@command(
    "undo",
    examples=("hf-gate undo r_0123456789ab --out back.json", "hf-gate undo r_0123456789ab --out back.json --json"),
)
@click.argument("ident", metavar="RUN")
@click.option("--out", "path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The plan's file.")
def undo(run: Run, ident: str, path: Path) -> int:
    """The plan that puts everybody of a run back where they were, and what no plan can undo. Sends nothing."""
    from ..usecases import runs as run_cases  # noqa: PLC0415 - only here

    desk = open_desk(run, needs_folder=True)
    known = run_named(desk.store, ident)
    made, notes = run_cases.undo(desk.store, known, now=desk.now())
    if made.changes and known.kind in {"plan", "auto"}:
        notes.append(
            "The policies in force would plan the same again: change the rule, or write mode: shadow, before the next run."
        )
    return _saved(run, made, path, notes)


def _saved(run: Run, made: Plan, path: Path, notes: Sequence[str]) -> int:
    import msgspec  # noqa: PLC0415 - only here

    from ..plan.model import written  # noqa: PLC0415 - only here
    from ..plan.render import sentences  # noqa: PLC0415 - only here
    from ..wiring import write_private  # noqa: PLC0415 - only here

    if made.changes:
        write_private(path, written(made))
    following = f"Saved {path}.  Next: hf-gate apply {path}" if made.changes else "Nothing was saved."
    run.out.document(msgspec.to_builtins(made), lambda: (*sentences(made), *notes, following))
    return 0


def run_named(store: StorePort, ident: str) -> RunRow:
    """The run of that id, or one clear line."""
    found = store.run(ident)
    if found is None:
        raise UsageError(f"there is no run {ident!r}.", hint="hf-gate runs ls shows them.")
    return found


def _row(each: RunRow) -> dict[str, object]:
    return {
        "run": each.id,
        "kind": each.kind,
        "state": each.state,
        "actor": each.actor,
        "made_at": iso(moment_of(each.made_at)),
        "plan": each.plan,
        "planned": each.total,
        "counts": dict(each.counts),
    }


# ---- carrying, and what became of it -----------------------------------------------------------------------------------


def carry(run: Run, desk: Desk, begun: RunRow) -> int:
    """Sends what is planned and tells what became of it, also when it was ended early."""
    try:
        with Progress(run.out, "apply", begun.total) as bar:
            carrier_of(desk, begun, lambda many: bar.tick(many=many)).carry(begun)
    except KeyboardInterrupt:
        ended = run_named(desk.store, begun.id)
        run_result(run, desk.store, ended)
        run.out.say(f"Stopped; everything so far is recorded. Go on: hf-gate runs resume {begun.id}")
        raise
    except Exception as problem:
        code = run_result(run, desk.store, run_named(desk.store, begun.id))
        run.out.say(f"What is left can go on later: hf-gate runs resume {begun.id}")
        if code == 5:
            vars(problem)["exit_code"] = 5
        raise
    return run_result(run, desk.store, run_named(desk.store, begun.id))


def run_result(run: Run, store: StorePort, ended: RunRow, *, whole: bool = False) -> int:
    """The document of a run, and its exit code by the table of outcomes."""
    rows = store.changes(ended.id)
    told = [_outcome(row) for row in rows]
    count = {kind.value: sum(row["outcome"] == kind.value for row in told) for kind in Kind}
    document = {"schema_version": 1, "run": ended.id, "planned": ended.total, **count, "outcomes": told}
    out = run.out
    if out.format in {Format.JSONL, Format.CSV, Format.AGENT, Format.QUIET}:
        out.records(told, (), OUTCOME_KEYS, name=lambda row: str(row["request_id"] or row["user"]), limit=-1)
    else:
        out.document(document, lambda: _for_people(ended, told, count, whole=whole))
    if count["refused"] or count["open"]:
        return 5 if count["done"] else 1 if not count["open"] else 5
    return 0


def _for_people(ended: RunRow, told: Sequence[dict[str, object]], count: dict[str, int], *, whole: bool) -> list[str]:
    """What did not go as planned, or with `whole` every change; then the sum, and where to go from here."""
    lines = [
        f"{row['user'] or row['user_id']} at {row['repo']}: {row['outcome']}"
        + (f": {row['why']}" if row["why"] else "")
        for row in told
        if whole or row["outcome"] in {"stale", "gone", "refused", "open"}
    ]
    if not whole and len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"and {len(lines) - _SHOWN} more"]
    words = [f"{number:,} {kind}" for kind, number in count.items() if number] or ["nothing to do"]
    lines.append(f"Run {ended.id} ({ended.state}): {', '.join(words)}.")
    if count["done"] and not whole:
        lines.append(f"Each of them: hf-gate runs show {ended.id}.  Back: hf-gate undo {ended.id} --out back.json")
    return lines


def _outcome(row: ChangeRow) -> dict[str, object]:
    import msgspec  # noqa: PLC0415 - only who tells a run

    from ..plan.model import Change  # noqa: PLC0415 - as above

    change = msgspec.json.decode(row.change, type=Change)
    is_settled = row.state in set(Kind)
    return {
        "user": change.user,
        "user_id": change.user_id,
        "request_id": change.request_id,
        "repo": change.repo,
        "repo_type": change.repo_type,
        "outcome": row.state if is_settled else Kind.OPEN.value,
        "why": row.why or (None if is_settled else "not sent yet"),
    }
