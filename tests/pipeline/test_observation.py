"""When a channel is observed, and at which rates: from snapshots alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conftest import NOTHING
from tutormax_pipeline.observation import INTERVAL_SECONDS, NothingNew, Observation, Remembered, observe

NOON = 1_800_000_000.0
QUIET = replace(NOTHING, group_exists=True, entries_added=100)
BEFORE = Remembered.of(QUIET, NOON)


def test_the_first_look_is_observed_and_has_no_rates() -> None:
    found = observe(None, QUIET, NOON)
    assert found == Observation(BEFORE, 0.0, 0.0)


def test_an_idle_channel_is_never_observed_again() -> None:
    last = BEFORE
    for minute in range(1, 600):
        found = observe(last, QUIET, NOON + 60 * minute)
        assert isinstance(found, NothingNew)
        last = found.remember
    assert (last.observed_at, last.unchanged_at) == (NOON, NOON + 60 * 599)


@pytest.mark.parametrize(
    "change",
    [{"waiting": 1}, {"pending": 1}, {"scheduled": 1}, {"dead": 1}, {"entries_added": 101}],
    ids=str,
)
def test_a_change_is_observed_once_a_minute_has_passed(change: dict[str, int]) -> None:
    seen = replace(QUIET, **change)
    early = observe(BEFORE, seen, NOON + INTERVAL_SECONDS - 1)
    assert early == NothingNew(BEFORE)
    assert isinstance(observe(early.remember, seen, NOON + INTERVAL_SECONDS), Observation)


def test_what_grows_older_is_observed_each_minute_though_nothing_else_changes() -> None:
    stuck = replace(QUIET, waiting=1, oldest_unprocessed_age_seconds=5.0)
    last, observed = Remembered.of(stuck, NOON), 0
    for tick in range(1, 61):  # ten minutes, a tick each ten seconds
        found = observe(last, stuck, NOON + 10 * tick)
        observed += isinstance(found, Observation)
        last = found.remember
    assert observed == 10


def test_rates_are_per_minute_since_the_figures_changed() -> None:
    seen = replace(QUIET, entries_added=400, waiting=60, pending=40)
    found = observe(BEFORE, seen, NOON + 120)
    assert isinstance(found, Observation)
    assert (found.added_per_minute, found.settled_per_minute) == (150.0, 100.0)


def test_a_burst_after_a_quiet_night_shows_with_its_own_rate() -> None:
    night = observe(BEFORE, QUIET, NOON + 8 * 3_600).remember
    found = observe(night, replace(QUIET, entries_added=600), NOON + 8 * 3_600 + 5)
    assert isinstance(found, Observation)
    assert (found.added_per_minute, found.settled_per_minute) == (500.0, 500.0)


def test_a_stream_that_began_anew_counts_what_it_has() -> None:
    found = observe(BEFORE, replace(QUIET, entries_added=30, waiting=10), NOON + 60)
    assert isinstance(found, Observation)
    assert (found.added_per_minute, found.settled_per_minute) == (30.0, 20.0)


def test_a_clock_set_back_does_not_silence_a_channel() -> None:
    assert isinstance(observe(BEFORE, replace(QUIET, dead=1), NOON - 3_600), Observation)


def test_a_cursor_comes_back_as_it_was_and_a_strange_one_counts_as_none() -> None:
    assert Remembered.parse(BEFORE.to_cursor()) == BEFORE
    for strange in (None, "", "x", "[]", "7", '{"observed_at": 1}', '{"other": 1}'):
        assert Remembered.parse(strange) is None


@pytest.mark.parametrize(
    "cursor",
    [
        None,
        "",
        "not JSON",
        "[]",
        "{}",
        BEFORE.to_cursor().replace("1800000000.0", '"x"'),
        '{"observed_at": null}',
    ],
)
def test_a_cursor_that_is_not_ours_is_none(cursor: str | None) -> None:
    assert Remembered.parse(cursor) is None
    assert Remembered.parse(BEFORE.to_cursor()) == BEFORE
