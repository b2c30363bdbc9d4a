"""The rate limit of the local Hub: fixed windows for each token and bucket, announced in the Hub's two headers."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import NamedTuple

from .http_messages import HttpError, HttpResponse


class Quota(NamedTuple):
    """The calls allowed in a window; seconds are by the Hub's clock."""

    calls: int = 1_000_000
    seconds: float = 300.0


def parse_quota(text: str | None) -> Quota:
    """Parse `50/3` (50 calls in 3 seconds); None means practically unlimited. Raise ValueError for anything else."""
    if text is None:
        return Quota()
    match = re.fullmatch(r"(\d+)/(\d+(?:\.\d+)?)s?", text)
    if match is None or int(match[1]) < 1 or float(match[2]) <= 0:
        raise ValueError(f"{text!r} is not a quota: write CALLS/SECONDS, such as 1000/300")
    return Quota(int(match[1]), float(match[2]))


class RateLimiter:
    """Counts the calls of all callers in the current window."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._window = 0
        self._used: Counter[tuple[str, str]] = Counter()  # used calls by caller and bucket

    def count_call(self, caller: str, bucket: str, now: float) -> tuple[dict[str, str], HttpResponse | None]:
        """Count a call; return the headers for its answer and, above the quota, a 429 to send instead."""
        calls, seconds = self.quota
        window = int(now // seconds)
        if window != self._window:
            self._window = window
            self._used.clear()
        self._used[caller, bucket] += 1
        used = self._used[caller, bucket]
        left = (window + 1) * seconds - now
        headers = {
            "ratelimit": f'"{bucket}";r={max(0, calls - used)};t={math.ceil(left)}',
            "ratelimit-policy": f'"fixed window";"{bucket}";q={calls};w={seconds:g}',
        }
        if used <= calls:
            return headers, None
        words = f"We had to rate limit you: {calls} calls in {seconds:g} seconds are used up"
        refused = HttpError(429, words, Retry_After=str(max(1, math.ceil(left)))).to_response("json")
        return headers, refused
