"""Plans who asks where and when: people who ask at several repos, new accounts for one repo, and bursts."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from math import exp, gcd, log
from random import Random
from typing import Final, NamedTuple

from ..domain.timestamps import DAY_MS, HOUR_MS
from .accounts import PersonGenerator
from .gates import DemoGate
from .text_pools import Institution, Pools

MINUTE: Final = 60_000
_MONDAY: Final = 4 * DAY_MS  # 1970-01-05
_WEEKEND: Final = 0.6
# Activity at each hour of the local day, and the share of people at each offset from UTC.
_AWAKE: Final = (2, 1, 1, 1, 1, 2, 3, 5, 8, 11, 12, 12, 10, 10, 12, 12, 12, 11, 9, 8, 8, 8, 6, 4)
_OFFSETS: Final = ((-6, 35), (1, 25), (7, 40))
BLOCK_SIZE: Final = 1000
# Three of ten requests come from accounts created for that purpose shortly before.
NEW_IN_TEN: Final = 3
# The average number of repos at which a shared person asks.
_REPOS_EACH: Final = 1.35
_QUIET: Final = 120
_BOT_STEMS: Final = ("datauser", "mluser", "getmodel", "hfreader", "airesearch")
_BOT_DOMAINS: Final = ("mailinator.com", "yopmail.com", "guerrillamail.com")
# Kind of burst, share of a repo's requests, minimum and maximum number of people.
_BURSTS: Final = (("course", 0.02, 16, 40), ("bot", 0.007, 8, 30))


def _build_day_curve() -> tuple[float, ...]:
    hours = [sum(share * _AWAKE[(hour + offset) % 24] for offset, share in _OFFSETS) for hour in range(24)]
    total, edges = sum(hours), [0.0]
    for hour in hours:
        edges.append(edges[-1] + hour / total)
    edges[-1] = 1.0
    return tuple(edges)


_CURVE: Final = _build_day_curve()


def _share_before(ms_of_day: int) -> float:
    hour, rest = divmod(ms_of_day, HOUR_MS)
    return _CURVE[hour] + (_CURVE[hour + 1] - _CURVE[hour]) * rest / HOUR_MS


def _time_of_day(share: float) -> int:
    hour = min(23, bisect_right(_CURVE, share) - 1)
    return int((hour + (share - _CURVE[hour]) / (_CURVE[hour + 1] - _CURVE[hour])) * HOUR_MS)


class Timeline:
    """The inverse of a repo's arrival curve: `get_time(share)` is when that share of its requests had arrived."""

    __slots__ = ("_edges", "_first", "_lead", "_scale", "start")

    def __init__(
        self, start_ms: int, now_ms: int, launches: tuple[tuple[float, float, float], ...], base: float
    ) -> None:
        """`launches` are (days after the start, height of the peak, days until the rate has fallen to a third of the peak)."""
        self.start = start_ms
        self._first = start_ms // DAY_MS
        days = now_ms // DAY_MS - self._first + 1
        self._edges = [0.0]
        self._lead: list[float] = []
        self._scale: list[float] = []
        for day in range(days):
            low = _share_before(start_ms % DAY_MS) if day == 0 else 0.0
            high = _share_before(now_ms % DAY_MS) if day == days - 1 else 1.0
            self._lead.append(low)
            self._scale.append(max(0.0, high - low))
            self._edges.append(self._edges[-1] + self._weight(day, launches, base) * self._scale[-1])

    def _weight(self, day: int, launches: tuple[tuple[float, float, float], ...], base: float) -> float:
        weekday = (((self._first + day) * DAY_MS - _MONDAY) // DAY_MS) % 7
        weight = base
        for begin, height, fall in launches:
            if day >= begin:
                weight += height * exp((begin - day) / fall) + 0.12 * height / (day - begin + 1)
        return weight * (_WEEKEND if weekday >= 5 else 1.0)

    def get_time(self, share: float) -> int:
        """Return the time in milliseconds since 1970 for a `share` in [0, 1)."""
        edges = self._edges
        wanted = share * edges[-1]
        day = min(len(self._scale), bisect_right(edges, wanted)) - 1
        width = edges[day + 1] - edges[day]
        within = (wanted - edges[day]) / width if width else 0.0
        return (self._first + day) * DAY_MS + _time_of_day(
            min(0.999999999, self._lead[day] + within * self._scale[day])
        )


class Burst(NamedTuple):
    """People who ask together; `outcome` is the status of the requests that are decided."""

    outcome: str
    first_person: int
    start_ms: int
    size: int
    step_ms: int


class RepoPlan(NamedTuple):
    """The rows of a repo: `main` rows from the timeline, then the rows of the bursts. Each person has at most one row."""

    timeline: Timeline
    main: int
    first_new: int
    shared: int
    stride: int
    shift: int
    bursts: tuple[Burst, ...]
    is_auto: bool

    def person_index(self, slot: int) -> int:
        """Return the person of a row: a new account, or the next shared person, chosen in large steps."""
        mine = slot * NEW_IN_TEN // 10
        if (slot + 1) * NEW_IN_TEN // 10 != mine:
            return self.first_new + mine
        return ((slot - mine) * self.stride + self.shift) % self.shared


class RowBlock(NamedTuple):
    """Up to 1,000 rows of a timeline, or all rows of a repo's bursts (then `low` is the repo's `main`)."""

    repo: int
    low: int
    high: int
    first_row: int


class RequestPlanner:
    """Draws all people: first the shared people, then for each repo its new accounts and its bursts."""

    def __init__(self, crowd: PersonGenerator, rng: Random, preset: str, now_ms: int, words: Pools) -> None:
        self._crowd, self._rng, self._preset, self._now, self._words = crowd, rng, preset, now_ms, words

    def plan_repos(self, requests: int, gates: tuple[DemoGate, ...]) -> list[RepoPlan]:
        rng, sizes = self._rng, _draw_sizes(requests, len(gates))
        drafts = []
        for index, (size, gate) in enumerate(zip(sizes, gates, strict=True)):
            timeline = self._draw_timeline(quiet=len(sizes) >= 5 and index == len(sizes) - 1)
            bursts = [] if gate.mode == "auto" else self._draw_burst_sizes(size, first=index == 0)
            drafts.append((gate, timeline, size - sum(count for _, count in bursts), bursts))
        ordinary = [main - main * NEW_IN_TEN // 10 for _, _, main, _ in drafts]
        shared = max([*ordinary, int(sum(ordinary) / _REPOS_EACH)], default=0)
        self._add_shared_people(shared, min((timeline.start for _, timeline, _, _ in drafts), default=self._now))
        plans = []
        for gate, timeline, main, bursts in drafts:
            first_new = len(self._crowd.accounts)
            self._add_new_accounts(timeline, main)
            drawn = tuple(self._add_burst(kind, count, timeline, gate.topic) for kind, count in bursts)
            shift = int(rng.random() * max(1, shared))
            stride = _draw_stride(rng, shared)
            plans.append(RepoPlan(timeline, main, first_new, shared, stride, shift, drawn, gate.mode == "auto"))
        return plans

    def _add_shared_people(self, count: int, before_ms: int) -> None:
        """Add accounts older than the oldest repo, so that they can ask anywhere; one in a hundred is a second account."""
        rng = self._rng
        for i in range(count):
            age = HOUR_MS + int(-420 * DAY_MS * log(1 - rng.random()))
            created = before_ms - min(age, 7 * 365 * DAY_MS)
            if i and rng.random() < 0.01:
                self._crowd.add_twin(min(before_ms - HOUR_MS, created + 90 * DAY_MS))
            else:
                self._crowd.add_person(created)

    def _add_new_accounts(self, timeline: Timeline, main: int) -> None:
        for mine in range(main * NEW_IN_TEN // 10):
            slot = -(-(mine + 1) * 10 // NEW_IN_TEN) - 1
            self._crowd.add_person(timeline.get_time(slot / main) - MINUTE - int(self._rng.random() ** 6 * 20 * DAY_MS))

    def _draw_timeline(self, *, quiet: bool) -> Timeline:
        rng, now = self._rng, self._now
        if self._preset == "class":
            start = now - int(9 + rng.random() * 8) * DAY_MS
            return Timeline(start, now, ((float(2 + int(rng.random() * 3)), 100.0, 0.7),), 1.5)
        if quiet:
            return Timeline(now - _QUIET * 7 * DAY_MS, now, (), 1.0)
        start = now - int((0.25 + rng.random() * 0.7) * 600 * DAY_MS) - int(rng.random() * 12) * HOUR_MS
        days = (now - start) / DAY_MS
        later = tuple(
            (days * (0.3 + 0.6 * rng.random()), 8.0 + rng.random() * 10, 1.5 + rng.random())
            for _ in range(int(days // 150))
        )
        return Timeline(start, now, ((0.0, 30.0, 1.5), *later), 1.0)

    def _draw_burst_sizes(self, size: int, *, first: bool) -> list[tuple[str, int]]:
        """Draw the sizes of bursts. Repos with fewer than 300 requests have none; the preset `class` has no courses."""
        found: list[tuple[str, int]] = []
        for kind, share, least, most in _BURSTS if size >= 300 else ():
            left = int(size * share)
            if self._preset == "class":
                left = left if kind == "bot" else 0
            elif first:
                left = max(left, least)
            while left >= least:
                count = min(left, int(least + self._rng.random() * (most - least)))
                found.append((kind, count))
                left -= count
        return found

    def _add_burst(self, kind: str, count: int, timeline: Timeline, topic: str) -> Burst:
        return self._add_course(count, timeline, topic) if kind == "course" else self._add_bots(count, timeline)

    def _add_course(self, count: int, timeline: Timeline, topic: str) -> Burst:
        """Add a class that asks within an hour, from one university and with the same text."""
        rng, first = self._rng, len(self._crowd.accounts)
        start = timeline.get_time(0.1 + 0.8 * rng.random()) // HOUR_MS * HOUR_MS + 5 * MINUTE
        start = min(start, self._now - HOUR_MS)
        place = draw_university(self._words, rng)
        tasks = self._words.texts.tasks[topic]
        task = tasks[int(rng.random() * len(tasks))].replace("{language}", "English")
        text = f"We need it in our course at {place.short} to {task}."
        for _ in range(count):
            created = start - 10 * MINUTE - int(rng.random() ** 3 * 300 * DAY_MS)
            self._crowd.add_person(created, course=(place, text))
        return Burst("accepted", first, start, count, 55 * MINUTE // count)

    def _add_bots(self, count: int, timeline: Timeline) -> Burst:
        rng, first = self._rng, len(self._crowd.accounts)
        start = min(timeline.get_time(0.2 + 0.75 * rng.random()), self._now - HOUR_MS)
        stem = _BOT_STEMS[int(rng.random() * len(_BOT_STEMS))]
        domain = _BOT_DOMAINS[int(rng.random() * len(_BOT_DOMAINS))]
        number = int(rng.random() * 9000 + 100)
        for i in range(count):
            self._crowd.add_bot(start - 3 * HOUR_MS + i * 41_000 + int(rng.random() * 9000), stem, number + i, domain)
        return Burst("rejected", first, start, count, 4_000 + int(rng.random() * 9_000))


def split_into_blocks(plans: list[RepoPlan]) -> list[RowBlock]:
    found, row = [], 0
    for index, plan in enumerate(plans):
        edges = [*range(0, plan.main, BLOCK_SIZE), plan.main] if plan.main else []
        spans = [*pairwise(edges), (plan.main, plan.main + sum(burst.size for burst in plan.bursts))]
        for low, high in spans:
            if high > low:
                found.append(RowBlock(index, low, high, row))
                row += high - low
    return found


def draw_university(words: Pools, rng: Random) -> Institution:
    schools = [place for place in words.places if place.kind == "university"]
    return schools[int(rng.random() * len(schools))]


def _draw_sizes(requests: int, repos: int) -> list[int]:
    """Return the number of requests for each repo: the first is popular; the last of five or more gets one request a week."""
    weights = [1 / (i + 1) ** 0.9 for i in range(repos)]
    total = sum(weights)
    sizes = [int(requests * weight / total) for weight in weights]
    if repos >= 5:
        sizes[-1] = min(sizes[-1], _QUIET)
    if sizes:
        sizes[0] += requests - sum(sizes)
    return sizes


def _draw_stride(rng: Random, shared: int) -> int:
    """Return a step that visits each of `shared` people once before it returns to the start."""
    stride = int(shared * (0.3 + 0.4 * rng.random())) | 1
    while shared > 1 and gcd(stride, shared) != 1:
        stride += 2
    return stride
