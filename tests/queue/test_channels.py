"""The registry of channels, and the keys made from it."""

from __future__ import annotations

import pytest

from queue_core import Channel, QueueChannels
from queue_core.channels import Keys
from queue_core.errors import ConfigurationError

TUTORS = QueueChannels.TUTORS


def test_there_are_three_channels_in_order() -> None:
    assert [str(channel) for channel in QueueChannels.all()] == ["tutors", "sessions", "feedback"]


def test_each_channel_says_what_it_is_for_and_what_it_carries() -> None:
    rows = [(channel.record, channel.id_field) for channel in QueueChannels.all()]
    assert rows == [("Tutor", "tutor_id"), ("Session", "session_id"), ("Feedback", "feedback_id")]
    assert all(channel.purpose.endswith(".") for channel in QueueChannels.all())


@pytest.mark.parametrize("name", ["tutors", "tutormax:tutors", "{tutormax}:tutors", TUTORS])
def test_a_channel_is_found_by_name_by_key_and_as_itself(name: Channel | str) -> None:
    assert QueueChannels.find(name) is TUTORS


@pytest.mark.parametrize("name", ["tutor", "Tutors", "", "tutors:", "tutormax:tutors:retry", "dead_letter"])
def test_an_unknown_channel_is_refused_and_the_known_ones_are_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match="tutors, sessions, feedback") as caught:
        QueueChannels.find(name)
    assert repr(name) in str(caught.value)


def test_every_key_is_made_from_the_prefix() -> None:
    keys = Keys("{tutormax}")
    assert keys.stream(TUTORS) == "{tutormax}:tutors"
    assert keys.retry(TUTORS) == "{tutormax}:tutors:retry"
    assert keys.processing(TUTORS) == "{tutormax}:tutors:processing"
    assert keys.dead_letter == "{tutormax}:dead_letter"
    assert keys.dead_letter_counts == "{tutormax}:dead_letter:counts"
