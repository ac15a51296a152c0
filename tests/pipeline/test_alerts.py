"""What calls for a person: the limits, and what is said to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conftest import NOTHING
from tutormax_pipeline.alerts import too_many_dead, too_old
from tutormax_pipeline.settings import PipelineSettings

SETTINGS = PipelineSettings.load(alert_age_seconds=900, alert_dead_letters=10)


@pytest.mark.parametrize("age_seconds", [None, 0.0, 900.0])
def test_within_its_limit_an_age_is_no_alert(age_seconds: float | None) -> None:
    assert too_old(replace(NOTHING, oldest_unprocessed_age_seconds=age_seconds), SETTINGS) == []


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"waiting": 3}, "tutors_queue_sensor is on"),
        ({"pending": 3}, "reclaim_pending"),
        ({"pending": 3, "scheduled": 3}, "fails again and again"),
        ({"pending": 3, "scheduled": 3, "waiting": 1}, "tutors_queue_sensor is on"),
    ],
)
def test_beyond_it_the_remedy_is_of_where_the_message_hangs(changes: dict[str, int], remedy: str) -> None:
    (found,) = too_old(replace(NOTHING, oldest_unprocessed_age_seconds=3_600.5, **changes), SETTINGS)
    assert "3,600 s old, more than TUTORMAX_ALERT_AGE_SECONDS=900" in found.summary
    assert remedy in found.remedy


def test_dead_letters_are_an_alert_from_one_beyond_their_limit() -> None:
    assert too_many_dead(replace(NOTHING, dead=10), SETTINGS) == []
    (found,) = too_many_dead(replace(NOTHING, dead=11), SETTINGS)
    assert "11 dead letters of tutors, more than TUTORMAX_ALERT_DEAD_LETTERS=10" in found.summary
    assert "tutormax dlq groups --channel tutors" in found.remedy
