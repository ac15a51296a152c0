"""Percentiles: close enough, in little memory."""

from __future__ import annotations

import random

import pytest

from tutormax_pipeline.latency import LatencyHistogram


def histogram(*milliseconds: float) -> LatencyHistogram:
    made = LatencyHistogram()
    for one in milliseconds:
        made.add(one)
    return made


def test_without_durations_there_are_no_percentiles() -> None:
    empty = histogram()
    assert empty.percentile_ms(50) is None
    assert empty.max_ms == 0


@pytest.mark.parametrize("percent", [1, 25, 50, 95, 99, 99.9, 100])
def test_a_percentile_is_right_to_within_two_and_a_half_percent(percent: float) -> None:
    dice = random.Random(7)
    durations = sorted(dice.lognormvariate(4, 2) + 1 for _ in range(10_000))
    exact = durations[max(0, round(len(durations) * percent / 100) - 1)]
    assert histogram(*durations).percentile_ms(percent) == pytest.approx(exact, rel=0.026)


def test_one_slow_message_among_hundred_shows_in_the_maximum_and_not_in_the_median() -> None:
    made = histogram(*[10.0] * 99, 5_000.0)
    assert made.percentile_ms(50) == pytest.approx(10, rel=0.026)
    assert made.percentile_ms(99) == pytest.approx(10, rel=0.026)
    assert made.percentile_ms(100) == pytest.approx(5_000, rel=0.026)
    assert made.max_ms == 5_000


def test_no_percentile_is_above_the_maximum() -> None:
    for slowest in (1.0, 1.5, 17.0, 1_234.5, 86_400_000.0):
        assert histogram(slowest).percentile_ms(100) <= slowest


def test_a_clock_behind_the_servers_counts_as_no_delay() -> None:
    assert histogram(-3.0, 0.0, 0.4).percentile_ms(100) == pytest.approx(0.4)
    assert histogram(-3.0).percentile_ms(50) == 0
