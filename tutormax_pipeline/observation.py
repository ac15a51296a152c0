"""When a channel is to be observed, and at which rates it took in and gave out: decided without I/O.

A sensor looks every few seconds; each observation is kept by Dagster for good (2.3 KB, and in SQLite twice
that and its indexes), and only the last hundred or so are plotted. So a channel is observed when its figures
changed, at most once a minute. What was observed last travels in the sensor's cursor.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Self

import orjson

from queue_core.monitor import ChannelSnapshot

#: Least time between two observations of a channel, and least time over which a rate is given.
INTERVAL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was observed last.

    Attributes:
        observed_at: when, seconds since 1970.
        unchanged_at: until when the figures were seen to be the same, seconds since 1970.
        waiting: entries waiting then.
        pending: entries pending then.
        scheduled: of these, those that waited for their retry.
        dead: dead letters then.
        entries_added: entries ever added then.
    """

    observed_at: float
    unchanged_at: float
    waiting: int
    pending: int
    scheduled: int
    dead: int
    entries_added: int

    @classmethod
    def of(cls, seen: ChannelSnapshot, now_seconds: float) -> Self:
        """A look that is observed now."""
        return cls(
            observed_at=now_seconds,
            unchanged_at=now_seconds,
            waiting=seen.waiting,
            pending=seen.pending,
            scheduled=seen.scheduled,
            dead=seen.dead,
            entries_added=seen.entries_added,
        )

    @classmethod
    def parse(cls, cursor: str | None) -> Self | None:
        """Read a cursor; None for one that is not there or was written by other code."""
        try:
            found = cls(**orjson.loads(cursor or "null"))
        except (orjson.JSONDecodeError, TypeError):
            return None
        figures = asdict(found).values()
        return found if all(type(figure) in (int, float) for figure in figures) else None

    def to_cursor(self) -> str:
        """The same, for a cursor."""
        return orjson.dumps(asdict(self)).decode()

    @property
    def settled(self) -> int:
        """Entries that had reached their final state."""
        return max(0, self.entries_added - self.waiting - self.pending)

    def is_like(self, other: Remembered) -> bool:
        """Whether the figures are the same, whenever they were seen."""
        return self == replace(other, observed_at=self.observed_at, unchanged_at=self.unchanged_at)


@dataclass(frozen=True, slots=True)
class Observation:
    """A channel to be observed now.

    Attributes:
        remember: for the cursor.
        added_per_minute: entries that came in, per minute since the figures were last seen to change.
        settled_per_minute: entries that reached their final state.
    """

    remember: Remembered
    added_per_minute: float
    settled_per_minute: float


@dataclass(frozen=True, slots=True)
class NothingNew:
    """A channel that is not to be observed now; ``remember`` is for the cursor."""

    remember: Remembered


def observe(last: Remembered | None, seen: ChannelSnapshot, now_seconds: float) -> Observation | NothingNew:
    """Decide whether a look is to be kept.

    Args:
        last: what was observed last; None before the first time.
        seen: the look.
        now_seconds: when it was taken, seconds since 1970.
    """
    found = Remembered.of(seen, now_seconds)
    if last is None:
        return Observation(found, 0.0, 0.0)
    # Something unprocessed grows older, and that is to be seen in the plot.
    changed = not found.is_like(last) or seen.oldest_unprocessed_age_seconds is not None
    if not changed:
        return NothingNew(replace(last, unchanged_at=now_seconds))
    if 0 <= now_seconds - last.observed_at < INTERVAL_SECONDS:
        return NothingNew(last)
    # A quiet night does not thin out the first burst of the morning.
    minutes = max(INTERVAL_SECONDS, now_seconds - last.unchanged_at) / 60
    return Observation(
        found,
        added_per_minute=_grown(last.entries_added, found.entries_added) / minutes,
        settled_per_minute=_grown(last.settled, found.settled) / minutes,
    )


def _grown(before: int, now: int) -> int:
    # A stream that was deleted began anew: all that it has is new.
    return now - before if now >= before else now
