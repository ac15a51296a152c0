"""The simulated day with the defaults: few runs, and nobody waits longer than the policy says."""

from __future__ import annotations

from benchmarks.simulated_day import (
    DAY_SECONDS,
    MESSAGES,
    START_SECONDS,
    TICK_SECONDS,
    Day,
    arrivals,
    simulate,
)
from tutormax_pipeline.settings import PipelineSettings

#: Seconds that a message may wait beyond the policy's own: a look of the daemon, and the start of a run.
SLACK_SECONDS = TICK_SECONDS + START_SECONDS


def live(channel: str, **settings: float) -> Day:
    return simulate(channel, arrivals(MESSAGES[channel], seed=1), PipelineSettings.load(**settings))


def test_with_the_defaults_a_day_of_3000_messages_takes_at_most_300_runs() -> None:
    settings = PipelineSettings.load()
    days = {name: simulate(name, arrivals(count, seed=1), settings) for name, count in MESSAGES.items()}
    assert sum(len(day.waits) for day in days.values()) == sum(MESSAGES.values()) == 3_000
    assert sum(day.runs for day in days.values()) <= 300
    limit_seconds = settings.drain_max_wait_seconds + SLACK_SECONDS
    assert max(max(day.waits) for day in days.values()) <= limit_seconds
    assert all(day.observations <= day.ticks * TICK_SECONDS / 60 + 1 for day in days.values())


def test_the_simulation_tells_a_policy_that_costs_too_many_runs() -> None:
    assert live("sessions", drain_linger_seconds=60).runs > 300


def test_by_age_nobody_waits_longer_than_the_age() -> None:
    day = live("feedback", drain_max_wait_seconds=120, drain_linger_seconds=0)
    assert 100 < max(day.waits) <= 120 + SLACK_SECONDS


def test_a_burst_is_drained_at_once_though_a_single_message_would_wait() -> None:
    settings = PipelineSettings.load(drain_max_wait_seconds=600, drain_min_messages=100)
    burst = simulate("sessions", [50_000.0] * 100, settings)
    alone = simulate("sessions", [50_000.0] * 99, settings)
    assert max(burst.waits) <= SLACK_SECONDS
    assert min(alone.waits) >= 600


def test_arrivals_are_a_day_with_its_peak_in_the_afternoon() -> None:
    times = arrivals(2_500, seed=1)
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < DAY_SECONDS
    afternoon = [one for one in times if 15 * 3_600 <= one < 20 * 3_600]
    assert len(afternoon) > 1_000
