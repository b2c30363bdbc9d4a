"""What keeps changes from being sent unattended. `run`, `status`, notices and the desk say it from here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from hf_gate.base.display_text import pluralize
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import HOUR_MS, from_ms
from hf_gate.core.runs import RunState
from hf_gate.core.stored_rows import RepoRow, RunRow
from hf_gate.core.turns import Hold, HoldKind
from hf_gate.decisions.rows import Halt, read_halts, read_holds, read_promotions
from hf_gate.store.store import Store
from hf_gate.verdicts.plan.guards import MAX_FIRST_TURN

REFUSAL_PAUSE: Final = HOUR_MS  # ms until a turn retries decisions at a repo where the Hub refused them


def recent_refusals(rows: Iterable[RepoRow], now: int) -> dict[Repo, RepoRow]:
    """Return the repos with a refusal that is more recent than `REFUSAL_PAUSE`."""
    return {row.repo: row for row in rows if row.refused_at is not None and 0 <= now - row.refused_at < REFUSAL_PAUSE}


def read_halted_runs(store: Store) -> list[tuple[RunRow, Halt]]:
    """Return the runs that a person halted and nobody has continued, with what waits because of each."""
    runs = ((store.run(ident), halt) for ident, halt in read_halts(store).items())
    return [(run, halt) for run, halt in runs if run is not None and run.state in (RunState.PAUSED, RunState.STOPPED)]


def list_holds(store: Store, now: int) -> list[Hold]:
    """Return the holds of the last turn that have not ended since."""
    promoted = read_promotions(store)
    others: Mapping[HoldKind, Collection[str]] = {
        HoldKind.RUN: {run.id for run, _ in read_halted_runs(store)},
        HoldKind.REFUSED: {str(repo) for repo in recent_refusals(store.repos(), now)},
    }
    return [
        hold
        for hold in read_holds(store)
        if (hold.subject in others[hold.kind] if hold.kind in others else promoted.get(hold.subject) != hold.version)
    ]


def hold_of_policy(policy: str, version: str, count: int) -> Hold:
    """Return the hold of a policy version that would start with many changes."""
    return Hold(
        HoldKind.HELD_POLICY,
        policy,
        f"{pluralize(count, 'change')} of policy {policy} held: this version would change more than {MAX_FIRST_TURN}"
        " requests at a repo in its first turn. Review them with `hf-gate plan`, then"
        f" `hf-gate policy promote {policy}`.",
        count,
        version,
    )


def hold_of_run(run: RunRow, counts: Mapping[str, int]) -> Hold:
    """Return the hold of a run that a person halted; `counts` are the changes that wait, by policy ("": ends)."""
    policies = sorted(filter(None, counts))
    if run.state is RunState.PAUSED:
        step = f"To continue: hf-gate runs continue {run.id}. To end it: hf-gate runs stop {run.id} --for-good."
    elif policies:
        step = f"Edit the policy, or let it act unchanged: hf-gate policy promote {' or '.join(policies)}."
    else:
        step = "To end these grants by hand: hf-gate plan --out plan.json."
    count = sum(counts.values())
    sentence = f"{pluralize(count, 'change')} held, because run {run.id} was {run.state}. {step}"
    return Hold(HoldKind.RUN, run.id, sentence, count)


def hold_of_repo(row: RepoRow) -> Hold:
    """Return the hold of a repo where the Hub refused decisions."""
    again = from_ms((row.refused_at or 0) + REFUSAL_PAUSE)
    return Hold(
        HoldKind.REFUSED,
        str(row.repo),
        f"{row.repo} refused recent decisions: {row.refused_why} Next attempt after {again:%H:%M} UTC; earlier by hand:"
        " hf-gate plan --out plan.json.",
    )
