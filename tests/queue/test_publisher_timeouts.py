"""Publishing when the answer does not come, on each kind of server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.errors import (
    QueueUnavailableError,
)
from tests.conftest import wait_until
from tests.queue.conftest import Like, frozen, just_after, messages, tutor

TUTORS = QueueChannels.TUTORS


class PublisherUpToTheFirstPause(MessagePublisher):
    """Does something when the first answer did not come, before it sends again."""

    def __init__(self, client: RedisClient, at_pause: list[Callable[[], None]]) -> None:
        super().__init__(client)
        self.at_pause = at_pause

    def _pause(self, attempt: int) -> None:
        if attempt == 1:
            for action in self.at_pause:
                action()


def test_an_answer_that_does_not_come_is_waited_out_under_the_same_id(
    client: RedisClient, like: Like
) -> None:
    client.redis.execute_command("CLIENT", "PAUSE", "300", "WRITE")
    message_id = MessagePublisher(like(socket_timeout=0.2)).publish(TUTORS, tutor(1))
    assert {message.id for message in messages(client)} == {message_id}


def test_without_retry_a_missing_answer_is_an_error(client: RedisClient, like: Like) -> None:
    publisher = MessagePublisher(like(socket_timeout=0.2, retry_on_timeout=False))
    client.redis.execute_command("CLIENT", "PAUSE", "10000", "WRITE")
    try:
        with pytest.raises(QueueUnavailableError, match="Timeout"):
            publisher.publish(TUTORS, tutor(1))
    finally:
        client.redis.execute_command("CLIENT", "UNPAUSE")
    assert client.redis.xlen(client.keys.stream(TUTORS)) <= 1


def test_a_message_whose_answer_was_lost_stands_twice_in_the_stream_under_one_id(
    any_server: EmbeddedServer, client: RedisClient, publisher: MessagePublisher, like: Like
) -> None:
    publisher.publish(QueueChannels.FEEDBACK, {})
    client_in_haste = like(socket_timeout=0.3)
    with frozen(any_server) as go_on:
        arrived = [go_on, lambda: wait_until(lambda: publisher.get_stream_length(TUTORS) == 1)]
        hasty = PublisherUpToTheFirstPause(client_in_haste, arrived)
        message_id = hasty.publish(TUTORS, tutor(1))
    assert [message.id for message in messages(client)] == [message_id, message_id]


def test_without_retry_it_is_sent_once_only(
    any_server: EmbeddedServer, client: RedisClient, publisher: MessagePublisher, like: Like
) -> None:
    publisher.publish(QueueChannels.FEEDBACK, {})
    hasty = MessagePublisher(like(socket_timeout=0.3, retry_on_timeout=False))
    with frozen(any_server) as go_on:
        just_after(0.3, go_on)
        with pytest.raises(QueueUnavailableError):
            hasty.publish(TUTORS, tutor(1))
        wait_until(lambda: publisher.get_stream_length(TUTORS))
    assert len(messages(client)) == 1


def test_a_message_is_not_called_refused_when_it_filled_the_queue_itself(
    any_server: EmbeddedServer, client: RedisClient, publisher: MessagePublisher, like: Like
) -> None:
    publisher.publish(QueueChannels.FEEDBACK, {})
    client_in_haste = like(socket_timeout=0.3, queue_maxlen=1)
    with frozen(any_server) as go_on:
        arrived = [go_on, lambda: wait_until(lambda: publisher.get_stream_length(TUTORS) == 1)]
        hasty = PublisherUpToTheFirstPause(client_in_haste, arrived)
        with pytest.raises(QueueUnavailableError, match="which of 1 messages are published is not known"):
            hasty.publish(TUTORS, tutor(1))
    assert len(messages(client)) == 1
