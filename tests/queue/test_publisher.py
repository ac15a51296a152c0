"""Publishing one message, on each kind of server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from queue_core import Channel, MessagePublisher, QueueChannels, RedisClient
from queue_core.errors import (
    ConfigurationError,
    InvalidMessageError,
    MessageTooLargeError,
)
from tests.queue.conftest import Like, messages, tutor

TUTORS = QueueChannels.TUTORS


def test_a_message_is_in_the_stream_as_its_envelope(client: RedisClient, publisher: MessagePublisher) -> None:
    message_id = publisher.publish(TUTORS, tutor(1), metadata={"source": "api"})
    ((_, fields),) = client.redis.xrange(client.keys.stream(TUTORS))
    assert list(fields) == [b"message"]
    (message,) = messages(client)
    assert (message.id, message.data, message.metadata) == (message_id, tutor(1), {"source": "api"})


@pytest.mark.parametrize("name", [TUTORS, "tutors", "tutormax:tutors"])
def test_a_channel_is_given_as_itself_by_name_or_by_key(
    client: RedisClient, publisher: MessagePublisher, name: Channel | str
) -> None:
    publisher.publish(name, tutor(1))
    publisher.publish_batch(name, [tutor(2)])
    assert publisher.get_stream_length(name) == publisher.get_stream_info(name).length == 2
    assert [message.data for message in messages(client)] == [tutor(1), tutor(2)]


def test_an_unknown_channel_is_refused(publisher: MessagePublisher) -> None:
    with pytest.raises(ConfigurationError, match="tutors, sessions, feedback"):
        publisher.publish("tutor", tutor(1))
    with pytest.raises(ConfigurationError, match="tutors, sessions, feedback"):
        publisher.publish_batch("tutor", [tutor(1)])


def test_each_kind_of_record_has_its_own_call_and_stream(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    ids = [
        publisher.publish_tutor_data({"n": 1}, metadata={"m": 1}),
        publisher.publish_session_data({"n": 2}, metadata={"m": 2}),
        publisher.publish_feedback({"n": 3}, metadata={"m": 3}),
    ]
    published = [message for channel in QueueChannels.all() for message in messages(client, channel)]
    assert [message.id for message in published] == ids
    assert [message.data["n"] for message in published] == [1, 2, 3]
    assert [message.metadata["m"] for message in published] == [1, 2, 3]


@pytest.mark.parametrize("ttl_seconds", [0, 60, 0.5])
def test_a_time_to_live_is_written_into_the_metadata(
    client: RedisClient, publisher: MessagePublisher, ttl_seconds: float
) -> None:
    publisher.publish(TUTORS, tutor(1), metadata={"source": "api"}, ttl_seconds=ttl_seconds)
    publisher.publish_batch(TUTORS, [tutor(2)], ttl_seconds=ttl_seconds)
    publisher.publish(TUTORS, tutor(3))
    assert [message.metadata for message in messages(client)] == [
        {"source": "api", "ttl_seconds": ttl_seconds},
        {"ttl_seconds": ttl_seconds},
        {},
    ]


def test_a_message_published_again_keeps_its_id_and_its_time(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    moment = datetime(2026, 11, 7, 21, tzinfo=UTC)
    first = publisher.publish(TUTORS, tutor(1), message_id="m-1", published_at=moment)
    again = publisher.publish(TUTORS, tutor(1), message_id=first, published_at=moment)
    assert first == again == "m-1"
    assert [(message.id, message.published_at) for message in messages(client)] == [("m-1", moment)] * 2


@pytest.mark.parametrize(
    "options",
    [
        {"data": {"name": float("nan")}},
        {"data": {"name": "\ud800"}},
        {"data": [1]},
        {"metadata": {"a": 2**60}},
        {"ttl_seconds": float("inf")},
        {"message_id": "x" * 129},
        {"message_id": "\ud800"},
    ],
)
def test_what_would_not_read_back_is_refused_and_nothing_is_added(
    publisher: MessagePublisher, options: dict[str, object]
) -> None:
    with pytest.raises(InvalidMessageError):
        publisher.publish(TUTORS, **{"data": tutor(1), **options})
    assert publisher.get_stream_length(TUTORS) == 0


def test_a_message_at_the_size_limit_is_published_and_one_byte_more_is_refused(
    publisher: MessagePublisher, like: Like
) -> None:
    options = {"message_id": "m-1", "published_at": datetime(2026, 11, 7, tzinfo=UTC)}
    _, body = publisher.encode(TUTORS, tutor(1), **options)
    assert isinstance(body, bytes)
    MessagePublisher(like(max_message_size_bytes=len(body))).publish(TUTORS, tutor(1), **options)
    limit = len(body) - 1
    strict = MessagePublisher(like(max_message_size_bytes=limit))
    with pytest.raises(MessageTooLargeError, match=rf"m-1 .*REDIS_MAX_MESSAGE_SIZE_BYTES allows {limit}\."):
        strict.publish(TUTORS, tutor(1), **options)
    assert publisher.get_stream_length(TUTORS) == 1


def test_stream_info_is_zero_before_and_true_after(client: RedisClient, publisher: MessagePublisher) -> None:
    before = publisher.get_stream_info(TUTORS)
    assert (before.length, before.entries_added, before.groups) == (0, 0, 0)
    assert (before.first_entry_id, before.last_entry_id) == (None, "0-0")
    assert publisher.get_stream_length(TUTORS) == 0
    first, second = publisher.publish_batch(TUTORS, [tutor(1), tutor(2)]).results
    client.redis.xgroup_create(client.keys.stream(TUTORS), "group")
    client.redis.xdel(client.keys.stream(TUTORS), second.entry_id)
    after = publisher.get_stream_info(TUTORS)
    assert (after.length, after.entries_added, after.groups) == (1, 2, 1)
    assert (after.first_entry_id, after.last_entry_id) == (first.entry_id, second.entry_id)
