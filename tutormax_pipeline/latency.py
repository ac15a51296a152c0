"""Percentiles of many durations in little memory."""

from __future__ import annotations

import math
from collections import Counter

#: Each bucket is this much wider than the one before: percentiles are right to within 2.5 %.
_GROWTH = 1.05
_LOG_GROWTH = math.log(_GROWTH)


class LatencyHistogram:
    """Durations in ms, counted in buckets of growing width."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._count = 0
        self.max_ms = 0.0

    def add(self, milliseconds: float, count: int = 1) -> None:
        """Count a duration, ``count`` times; below 1 ms counts as 1 ms, the resolution of entry ids."""
        self._buckets[int(math.log(milliseconds) / _LOG_GROWTH) if milliseconds > 1 else 0] += count
        self._count += count
        self.max_ms = max(self.max_ms, milliseconds)

    def percentile_ms(self, percent: float) -> float | None:
        """The duration that ``percent`` of all do not exceed; None when there are none."""
        wanted, seen = self._count * percent / 100, 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(self.max_ms, math.pow(_GROWTH, bucket + 0.5))
        return None
