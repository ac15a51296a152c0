"""Counting and timing, with a clock that the test sets."""

from __future__ import annotations

from queue_core import QueueChannels
from queue_core.worker_statistics import ChannelStatistics, Count, Recorder

TUTORS, SESSIONS, _ = QueueChannels.all()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_nothing_done_is_nothing_counted() -> None:
    seen = Recorder([TUTORS]).snapshot()
    assert seen.total == seen.channels["tutors"] == ChannelStatistics()


def test_each_channel_is_counted_for_itself_and_in_the_total() -> None:
    recorder = Recorder([TUTORS, SESSIONS])
    for what in Count:
        recorder.count(TUTORS, what, 2)
        recorder.count(SESSIONS, what)
    seen = recorder.snapshot()
    assert {getattr(seen.channels["tutors"], what) for what in Count} == {2}
    assert {getattr(seen.total, what) for what in Count} == {3}


def test_the_rate_is_that_of_the_last_minute_or_of_a_shorter_life() -> None:
    clock = Clock()
    recorder = Recorder([TUTORS], clock=clock)
    recorder.count(TUTORS, Count.PROCESSED, 50)
    clock.now += 10
    recorder.count(TUTORS, Count.PROCESSED, 10)
    assert recorder.snapshot().total.per_second == 6
    clock.now += 55
    assert recorder.snapshot().total.per_second == 10 / 60
    clock.now += 10
    assert recorder.snapshot().total.per_second == 0
    assert recorder.snapshot().total.processed == 60


def test_times_are_percentiles_of_the_last_calls() -> None:
    recorder = Recorder([TUTORS])
    recorder.called(TUTORS, 1_000.0)
    for number in range(1_000):
        recorder.called(TUTORS, number / 1_000)
    seen = recorder.snapshot().total
    assert (seen.handler_seconds_p50, seen.handler_seconds_p99, seen.handler_seconds_max) == (
        0.499,
        0.989,
        0.999,
    )
