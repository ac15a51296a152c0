"""Doing something so many times a second."""

from __future__ import annotations

import pytest

from queue_core.pace import Pace


class Clock:
    """Time that passes only while one sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("per_second", [0.5, 3, 1_000, 1e6])
def test_work_takes_as_long_as_its_pace_says(per_second: float) -> None:
    clock, done = Clock(), 0
    pace = Pace(per_second, clock=clock, sleep=clock.sleep)
    while done < 1_000:
        done += pace.chunk(250)
        pace.wait(done, lambda: False)
    assert clock.now - 100 == pytest.approx(done / per_second)


def test_a_chunk_is_half_a_second_of_work_at_most_and_one_at_least() -> None:
    assert [Pace(rate).chunk(250) for rate in (0.1, 1, 100, 10_000, None)] == [1, 1, 50, 250, 250]


def test_a_stop_ends_the_wait() -> None:
    clock = Clock()
    Pace(0.001, clock=clock, sleep=clock.sleep).wait(10, lambda: clock.now > 101)
    assert 101 < clock.now < 102


@pytest.mark.parametrize("per_second", [0, -1, float("nan"), float("inf")])
def test_a_pace_that_cannot_be_is_refused(per_second: float) -> None:
    with pytest.raises(ValueError, match="per_second must be a finite number above 0"):
        Pace(per_second)
