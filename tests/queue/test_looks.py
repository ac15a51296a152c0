"""Rates and their history, from looks that are made up: pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from queue_core import QueueChannels
from queue_core.client import Health
from queue_core.look import Away, ChannelLook, Look
from queue_core.looks import HISTORY_LOOKS, Looks
from queue_core.rates import UNKNOWN, Rates, rates
from queue_core.recent_letters import RecentLetters
from tests.conftest import NOTHING

START = datetime(2026, 11, 7, 21, tzinfo=UTC)
HEALTH = Health(0.3, "valkey 9.1.2", 1_048_576, 0, "noeviction", append_only=True, clients=2)


def seen(seconds: float, **figures: object) -> Look:
    """A look so many seconds after the start, at which every channel had these figures."""
    return Look(
        taken_at=START + timedelta(seconds=seconds),
        clock_seconds=100 + seconds,
        address="localhost:6379/0",
        health=HEALTH,
        channels=tuple(
            ChannelLook(replace(NOTHING, channel=channel.name, **figures), ())
            for channel in QueueChannels.all()
        ),
        letters=RecentLetters(0, 0, "0-0", ()),
    )


def away(seconds: float) -> Away:
    return Away(
        START + timedelta(seconds=seconds), "localhost:6379/0", "Redis is not available.", denied=False
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"entries_added": 10, "waiting": 10}, Rates(5, 0)),
        (
            {"entries_added": 10, "waiting": 10},
            {"entries_added": 10, "waiting": 4, "pending": 2},
            Rates(0, 2),
        ),
        ({"entries_added": 10, "pending": 4}, {"entries_added": 14, "waiting": 3}, Rates(2, 2.5)),
        # The stream was deleted; the group was made anew; the server lost count.
        ({"entries_added": 10}, {"entries_added": 2}, UNKNOWN),
        ({"entries_added": 10}, {"entries_added": 12, "waiting": 12}, Rates(1, None)),
        (
            {"entries_added": 10},
            {"entries_added": 12, "waiting": 1, "waiting_is_exact": False},
            Rates(1, None),
        ),
    ],
)
def test_rates_are_what_came_and_went_between_two_looks(
    before: dict[str, object], after: dict[str, object], expected: Rates
) -> None:
    assert rates(replace(NOTHING, **before), replace(NOTHING, **after), 2) == expected


def test_two_looks_at_the_same_instant_say_nothing_of_a_rate() -> None:
    assert rates(NOTHING, replace(NOTHING, entries_added=5), 0) == UNKNOWN


def test_the_first_look_has_no_rate_and_each_later_one_adds_to_the_history() -> None:
    looks = Looks()
    looks.take(seen(0))
    assert (looks.rates("tutors"), looks.history("tutors")) == (UNKNOWN, ())
    looks.take(seen(2, entries_added=8))
    looks.take(seen(4, entries_added=10))
    assert looks.history("tutors") == (Rates(4, 4), Rates(1, 1))
    assert looks.rates("tutors") == Rates(1, 1)


def test_the_history_is_short() -> None:
    looks = Looks()
    for second in range(HISTORY_LOOKS + 20):
        looks.take(seen(second))
    assert len(looks.history("tutors")) == HISTORY_LOOKS


def test_an_outage_is_a_gap_and_begins_at_the_first_look_that_failed() -> None:
    looks = Looks()
    looks.take(seen(0))
    looks.take(away(2))
    looks.take(away(4))
    assert (looks.away, looks.away_since) == (away(4), START + timedelta(seconds=2))
    assert looks.last == seen(0)
    looks.take(seen(10, entries_added=20))
    assert (looks.away, looks.away_since) == (None, None)
    assert looks.history("tutors") == (UNKNOWN, UNKNOWN, Rates(2, 2))
