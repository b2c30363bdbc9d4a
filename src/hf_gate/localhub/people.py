"""A scene for the local Hub: invented people asking at invented gates, any row of it made again from seed and number.

People are drawn once; rows come in blocks that depend on nothing but seed and block number, so that a million of them
stream and two processes agree. It knows no clock (`now_ms` comes in) and nothing of the world that will hold them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from random import Random
from typing import Final, NamedTuple

import msgspec

from .accounts import Account, Crowd, Org, Persona
from .answers import Form
from .arrival import DAY, HOUR, MINUTE
from .gates import DemoGate, demo_gates
from .layout import BLOCK, Block, Burst, Planner, a_university, blocks_of
from .mail import CLASSES
from .oracle import Truth, oracle_line
from .pools import chance, pools
from .tellers import Who

__all__ = ["BLOCK", "PRESETS", "Account", "Drawn", "Org", "Persona", "Scene", "oracle_line", "scene"]

PRESETS: Final = tuple(CLASSES)
_TIES: Final = 0.0005
_GRANTED: Final = 0.01
_PAGE_ENDS: Final = (100, 1000)


class Drawn(msgspec.Struct, frozen=True, gc=False):
    """One request. `granted`: made by a grant, so there is neither e-mail nor answers. `truth` never goes on the wire."""

    request_id: str
    repo_index: int
    person_index: int
    asked_ms: int
    status: str
    reviewed_ms: int | None
    granted: bool
    answers: dict[str, str] | None
    truth: Truth


class _Spine(NamedTuple):
    """What a row is before anybody has answered anything. `old`: from the first fifth of the repo's requests."""

    person: int
    asked_ms: int
    status: str
    granted: bool = False
    old: bool = False


class Scene:
    """Gates, accounts and, drawn anew at each asking, rows; a person index points into `accounts` and `personas`."""

    def __init__(self, seed: int, requests: int, repos: int, preset: str, now_ms: int) -> None:
        words = pools()
        rng = chance(f"hf-gate:{seed}:scene:{preset}:{requests}:{repos}")
        home = a_university(words, rng) if preset == "class" else None
        crowd = Crowd(words, rng, preset, home=home)
        self.gates: tuple[DemoGate, ...] = demo_gates(preset, repos)
        self._seed, self._now = seed, now_ms
        self._forms = [Form(gate, words) for gate in self.gates]
        self._roles = [{field.label: field.role for field in gate.fields} for gate in self.gates]
        self._machine, self._counter = f"{rng.getrandbits(40):010x}", rng.getrandbits(23)
        self._plans = Planner(crowd, rng, preset, now_ms, words).plan(requests, self.gates)
        self.accounts: list[Account] = crowd.accounts
        self.personas: list[Persona] = crowd.personas
        self._blocks = blocks_of(self._plans)
        self._moved: dict[int, int] = {}
        self._moved = self._tied_page_ends()

    def __len__(self) -> int:
        return sum(block.high - block.low for block in self._blocks)

    @property
    def blocks(self) -> int:
        return len(self._blocks)

    @property
    def rows(self) -> Iterator[Drawn]:
        """All rows, repo after repo; a new iterator at each asking."""
        for block in range(len(self._blocks)):
            yield from self.block(block)

    def block(self, number: int) -> list[Drawn]:
        """Rows of one block, all of one repo; the same whichever other blocks were drawn before."""
        repo, _, _, first_row = self._blocks[number]
        rng = chance(f"hf-gate:{self._seed}:answers:{number}")
        return [self._row(rng, repo, row, spine) for row, spine in enumerate(self._spines(number), first_row)]

    def _row(self, rng: Random, repo: int, row: int, spine: _Spine) -> Drawn:
        account, persona = self.accounts[spine.person], self.personas[spine.person]
        gate, roles, asked = self.gates[repo], self._roles[repo], spine.asked_ms
        answers = None
        at_once = spine.granted or (spine.status == "accepted" and self._plans[repo].auto)
        reviewed = asked if at_once else _reviewed(rng, spine, self._now)
        if spine.granted:
            truth = Truth(persona, account.email, roles, gate.wants_institution)
        else:
            filled = self._forms[repo].fill(rng, Who(account, persona, asked), spine.status, old=spine.old)
            answers = filled.answers
            hostile = filled.hostile_kind or persona.hostile_kind
            truth = Truth(
                persona, account.email, roles, gate.wants_institution, filled.quality, filled.manner or None, hostile
            )
        request_id = f"{asked // 1000:08x}{self._machine}{self._counter + row & 0xFFFFFF:06x}"
        return Drawn(request_id, repo, spine.person, asked, spine.status, reviewed, spine.granted, answers, truth)

    # --- when, who, which status -------------------------------------------------------------------------------

    def _spines(self, number: int) -> list[_Spine]:
        block = self._blocks[number]
        plan = self._plans[block.repo]
        rng = chance(f"hf-gate:{self._seed}:spine:{number}")
        if block.low >= plan.main:
            return [spine for burst in plan.bursts for spine in _burst_rows(rng, burst, self._now)]
        r, person, main, moved = rng.random, plan.person, plan.main, self._moved
        times = self._times(rng, block)
        rows = []
        for slot in range(block.low, block.high):
            at = slot - block.low
            status = _auto_status(r()) if plan.auto else _status(r(), slot / main)
            granted = r() < _GRANTED
            asked = moved.get(block.first_row + at, times[at])
            rows.append(_Spine(person(slot), asked, "accepted" if granted else status, granted, slot * 5 < main))
        return rows

    def _times(self, rng: Random, block: Block) -> list[int]:
        """One time from each row's own stretch of the timeline, so that slots are in order of time; now and then a tie."""
        r, plan = rng.random, self._plans[block.repo]
        at, main = plan.timeline.at, plan.main
        times = [at((slot + r()) / main) for slot in range(block.low, block.high)]
        for i in range(len(times) - 1):
            if r() < _TIES:
                times[i] = times[i + 1]  # never to an earlier time: the account may be younger
        return times

    def _tied_page_ends(self) -> dict[int, int]:
        """In the first repo, newest first, the last pending request of a page and the first of the next: one millisecond."""
        pending: list[tuple[int, int]] = []
        for number in reversed([n for n, block in enumerate(self._blocks) if block.repo == 0]):
            block = self._blocks[number]
            rows = enumerate(self._spines(number), block.first_row)
            pending += [(spine.asked_ms, row) for row, spine in rows if spine.status == "pending"]
            if block.low < self._plans[0].main and len(pending) > _PAGE_ENDS[-1] + 400:
                break
        pending.sort(reverse=True)
        last = self._plans[0].main if self._plans else 0
        ends = (end for end in _PAGE_ENDS if len(pending) > end and pending[end][1] < last)
        return {pending[end][1]: pending[end - 1][0] for end in ends}


def scene(seed: int, requests: int, repos: int, preset: str, now_ms: int) -> Scene:
    """Raises ValueError for an unknown preset. `requests` is the total over all repos, 0 to some millions."""
    if preset not in CLASSES:
        raise ValueError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    if requests < 0 or repos < 0 or (requests and not repos):
        raise ValueError("requests and repos are numbers from 0 up, and requests need at least one repo")
    return Scene(seed, requests, repos, preset, now_ms)


def _status(x: float, age: float) -> str:
    """70 pending, 20 accepted, 6 rejected, 4 reset of 100 in all; of the newest (`age` 1) 95 are pending, of the oldest 45."""
    pending = 0.45 + 0.5 * age
    if x < pending:
        return "pending"
    rest = (x - pending) / (1 - pending)
    return "accepted" if rest < 2 / 3 else "rejected" if rest < 13 / 15 else "reset"


def _auto_status(x: float) -> str:
    return "accepted" if x < 0.97 else "rejected" if x < 0.99 else "reset"


def _reviewed(rng: Random, spine: _Spine, now_ms: int) -> int | None:
    """Stewards decide in sittings after lunch, most within days."""
    if spine.status == "pending":
        return None
    asked = spine.asked_ms
    wait = 1 + int(-3 * log(1 - rng.random()))
    reviewed = (asked // DAY + wait) * DAY + 12 * HOUR + int(rng.random() * 55 * MINUTE)
    return reviewed if reviewed <= now_ms else asked + int((now_ms - asked) * rng.random())


def _burst_rows(rng: Random, burst: Burst, now_ms: int) -> Iterator[_Spine]:
    for i in range(burst.size):
        asked = min(now_ms, burst.start_ms + i * burst.step_ms + int(rng.random() * burst.step_ms))
        yield _Spine(burst.first_person + i, asked, "pending" if rng.random() < 0.8 else burst.outcome)
