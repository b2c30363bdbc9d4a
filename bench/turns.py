"""Measures the CPU time of one turn of `hf-gate run` on a large store, by what changed since the turn before.

Everybody who has access has it on a condition, whose table the turn reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from hf_gate.core.events.events import GrantDated, LedgerEntry
from hf_gate.core.people.grants import GrantCondition, GrantTerms
from hf_gate.grants.rows import write_terms
from hf_gate.workspace.rows.opening import open_store

from .cli_process import CommandRun, Desk, create_desk
from .desk import build_policy, read_world_id
from .hub_process import RunningHub, run_local_hub
from .results import Row, is_met_if_large, target_if_large
from .sizes import Sizes

KEYS = ("turn-first", "turn-none", "turn-new", "turn-row", "turn-full")
_RULE = "  - id: listed\n    when: tables.partners\n    then: human\n"
_TABLE = "tables: {partners: {file: partners.csv, key: email}}\n"
_ROWS = 10_000
_CONDITION = GrantCondition(policy="bench", rule="listed", expr='tables.partners.state != "expired"', grace="14d")
_TERMS = GrantTerms(keep_while=(_CONDITION,), notice=("30d",))
_END = 4_000_000_000_000  # in 2096
_NEW = 1_000
_CHUNK = 1_000


def measure_turns(sizes: Sizes) -> Iterator[Row]:
    """Evaluate a store once; then run a turn with nothing new, with new requests, and with one changed row of a table."""
    policy = build_policy().replace("rules:\n", "rules:\n" + _RULE)
    with run_local_hub(sizes.turn_requests, 3) as hub, create_desk(hub, policy) as here:
        _add_table(here)
        here.run("sync", "--full", "--json")
        count, grants = sum(int(row["pending"]) for row in hub.repos), _give_terms(here)
        first = _turn(here)
        yield Row(
            "turn-first",
            f"the first turn, which evaluates {count:,} pending requests and reviews {grants:,} conditions of access",
            _format(first),
        )
        what = f"a turn with nothing new, {count:,} pending, {grants:,} with access on a condition"
        yield _row("turn-none", what, _turn(here), count, 2)
        new = min(_NEW, count)
        _add_requests(hub, new)
        yield _row("turn-new", f"a turn with {new:,} new requests", _turn(here), count, 5)
        _change_row(here)
        yield _row("turn-row", f"a turn after one of {_ROWS:,} rows of a table changed", _turn(here), count, 2)
        full = _turn(here, "--full-evaluation")
        yield Row("turn-full", "a turn with --full-evaluation", _format(full))


_WHY = "It verifies the entries of the audit log that the turn before it wrote."


def _turn(here: Desk, *more: str) -> CommandRun:
    return here.run("run", "--once", "--profiles", "0", "--json", *more)


def _row(key: str, what: str, found: CommandRun, count: int, most: int) -> Row:
    return Row(
        key, what, _format(found), target=target_if_large(count, f"<= {most} s CPU"),
        is_met=is_met_if_large(count, found.cpu <= most), why=_WHY,
    )  # fmt: skip


def _format(found: CommandRun) -> str:
    return f"{found.summary}, {int(json.loads(found.output)['evaluated']):,} evaluated"


def _add_table(here: Desk) -> None:
    settings = here.folder / "hf-gate.yaml"
    settings.write_text(settings.read_text("utf-8") + _TABLE, "utf-8")
    rows = [f"person{number}@partner.example,a" for number in range(_ROWS)]
    (here.folder / "partners.csv").write_text("\n".join(["email,note", *rows]) + "\n", "utf-8")


def _give_terms(here: Desk) -> int:
    """Let the access of everybody depend on a condition that is true, and return how many people have access."""
    number = 0
    with open_store(here.store, endpoint=here.env["HF_ENDPOINT"], world=read_world_id(here)) as store:
        with store.writing() as write:
            write_terms(write, [_TERMS])
        event = GrantDated(until=_END, at_end="reset", terms=_TERMS.digest)
        for repo in [row.repo for row in store.repos()]:
            rows = store.iterate_requests(repo, "accepted")
            while chunk := list(islice(rows, _CHUNK)):
                with store.writing() as write:
                    write.append(repo, [LedgerEntry(event=event, at=1, actor="bench", request=row.id) for row in chunk])
                number += len(chunk)
    return number


def _change_row(here: Desk) -> None:
    path = Path(here.folder, "partners.csv")
    path.write_text(path.read_text("utf-8").replace("person7@partner.example,a", "person7@partner.example,b"), "utf-8")


def _add_requests(hub: RunningHub, count: int) -> None:
    names = [f"bench-{os.getpid()}-{number}" for number in range(count)]
    repo = hub.largest
    hub.add_requests(repo["repo"], repo["repo_type"], names)
