"""A day of messages, and the pipeline's day with them: every tick, on a clock of its own.

The launch policy and the decision to observe are the real ones. Of a run only this is assumed: it begins
``start_seconds`` after its tick, stores what waits at once, then each message as it arrives, and ends when
none came for ``TUTORMAX_DRAIN_LINGER_SECONDS``, or after ``TUTORMAX_DRAIN_MAX_SECONDS``.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import count

from queue_core.monitor import ChannelSnapshot
from queue_core.simulation.rhythm import WORKING_DAY
from tutormax_pipeline.launch_policy import decide
from tutormax_pipeline.observation import Observation, Remembered, observe
from tutormax_pipeline.settings import PipelineSettings

DAY_SECONDS = 86_400
#: The daemon's own pace, and what a run takes until its step begins.
TICK_SECONDS = 5
START_SECONDS = 3.0

#: Messages a day, by channel.
MESSAGES = {"tutors": 100, "sessions": 2_500, "feedback": 400}


@dataclass(slots=True)
class Day:
    """What a channel's day came to.

    Attributes:
        messages: that arrived.
        ticks: of the sensor.
        runs: that were launched.
        run_seconds: that these lasted, lingering included.
        observations: that were kept.
        waits: seconds from each message's arrival until it was stored.
    """

    messages: int
    ticks: int = 0
    runs: int = 0
    run_seconds: float = 0.0
    observations: int = 0
    waits: list[float] = field(default_factory=list)


def arrivals(messages: int, seed: int) -> list[float]:
    """Seconds into the day at which so many messages arrive, with peaks in the afternoon."""
    chance = random.Random(seed)  # noqa: S311 - the same day each time
    hours = chance.choices(range(24), weights=WORKING_DAY, k=messages)
    return sorted((hour + chance.random()) * 3_600 for hour in hours)


def simulate(
    channel: str, arriving: list[float], settings: PipelineSettings, start_seconds: float = START_SECONDS
) -> Day:
    """Live a channel's day, tick by tick, and on until everything is stored and the last run has ended."""
    day, run = Day(len(arriving)), _Run(0.0, 0.0, 0)
    remembered: Remembered | None = None
    for now in count(step=TICK_SECONDS):
        arrived, stored = bisect_right(arriving, now), run.stored(arriving, now)
        if now > DAY_SECONDS and stored == len(arriving) and now > run.ends:
            return day
        day.ticks += 1
        waiting = arrived - stored
        seen = _snapshot(channel, arrived, waiting, now - arriving[stored] if waiting else None)
        found = observe(remembered, seen, now)
        day.observations += isinstance(found, Observation)
        remembered = found.remember
        if decide(seen, settings, int(now < run.ends)).launch:
            run = _launch(arriving, now + start_seconds, stored, settings)
            taken = arriving[stored : run.stored(arriving, run.ends)]
            day.runs += 1
            day.run_seconds += run.ends - now
            day.waits += [max(0.0, run.begins - at) for at in taken]
    raise AssertionError("counting has no end")


@dataclass(frozen=True, slots=True)
class _Run:
    """When its step begins, when it ends, and how many were stored before."""

    begins: float
    ends: float
    before: int

    def stored(self, arriving: list[float], now: float) -> int:
        """Messages stored by then."""
        return self.before if now < self.begins else bisect_right(arriving, min(now, self.ends))


def _launch(arriving: list[float], begins: float, before: int, settings: PipelineSettings) -> _Run:
    ends = begins + settings.drain_linger_seconds
    for at in arriving[bisect_right(arriving, begins) :]:
        if at > ends:
            break
        ends = at + settings.drain_linger_seconds
    return _Run(begins, min(ends, begins + settings.drain_max_seconds), before)


def _snapshot(channel: str, added: int, waiting: int, age_seconds: float | None) -> ChannelSnapshot:
    return ChannelSnapshot(
        channel=channel,
        length=added,
        entries_added=added,
        waiting=waiting,
        waiting_is_exact=True,
        pending=0,
        scheduled=0,
        dead=0,
        oldest_unprocessed_age_seconds=age_seconds,
        claimable=False,
        next_retry_in_seconds=None,
        group_exists=True,
    )
