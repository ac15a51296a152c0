"""Giving back what consumers left, with an account of it. On each kind of server."""

from __future__ import annotations

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import RELEASED_CONSUMER
from queue_core.reclaim import reclaim
from tests.queue.conftest import Like, tutor

TUTORS = QueueChannels.TUTORS


def publish(publisher: MessagePublisher, count: int) -> None:
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(count)])


def owners(consumer: MessageConsumer) -> list[tuple[str, int]]:
    """Who holds each pending entry, and how often it was delivered."""
    return [(one.consumer, one.deliveries) for one in consumer.get_pending_messages(TUTORS, 10_000)]


def test_what_was_left_is_given_back_by_whom_and_how_old(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 3)
    consumer.read(TUTORS, 2)
    other.read(TUTORS, 1)
    report = reclaim(client, TUTORS, min_idle_ms=0)
    assert (report.channel, report.given_back, report.lost, report.scheduled) == ("tutors", 3, [], 0)
    assert {name: one.given_back for name, one in report.holdings.items()} == {"one": 2, "other": 1}
    assert all(0 <= one.oldest_idle_ms < 60_000 for one in report.holdings.values())
    assert owners(consumer) == [(RELEASED_CONSUMER, 1)] * 3
    again = MessageConsumer(client, "again").claim(TUTORS, 10)
    assert [entry.deliveries for entry in again.left] == [1, 1, 1]


def test_what_is_worked_on_is_left_alone(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 1)
    consumer.read(TUTORS, 1)
    assert reclaim(client, TUTORS).given_back == 0
    assert owners(consumer) == [("one", 1)]


def test_one_consumers_are_given_back_and_no_others(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 2)
    consumer.read(TUTORS, 1)
    other.read(TUTORS, 1)
    assert reclaim(client, TUTORS, min_idle_ms=0, consumer="one").given_back == 1
    assert owners(consumer) == [(RELEASED_CONSUMER, 1), ("other", 1)]


def test_a_reader_that_lost_an_answer_gives_back_uncounted_what_it_has_not_begun(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 2)
    died = MessageConsumer(client, "died")
    died.begin(TUTORS, died.read(TUTORS, 1))
    consumer.claim(TUTORS, 1, min_idle_ms=0)
    consumer.read(TUTORS, 1)
    reclaim(client, TUTORS, min_idle_ms=0, consumer="one", uncounted=True)
    assert owners(consumer) == [(RELEASED_CONSUMER, 2), (RELEASED_CONSUMER, 0)]


def test_scheduled_and_deleted_ones_are_told_and_left(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, like: Like
) -> None:
    publish(publisher, 3)
    scheduled, deleted, left = [entry.id for entry in consumer.read(TUTORS, 3)]
    MessageConsumer(like(retry_backoff_ms=60_000), "one").retry(TUTORS, scheduled, "x")
    client.redis.xdel(client.keys.stream(TUTORS), deleted)
    report = reclaim(client, TUTORS, min_idle_ms=0)
    assert (report.given_back, report.lost, report.scheduled) == (1, [deleted], 1)
    assert owners(consumer) == [(RELEASED_CONSUMER, 1), ("one", 1), (RELEASED_CONSUMER, 1)]
    assert MessageConsumer(client, "next").claim(TUTORS, 9).left[0].id == left


def test_more_than_a_page_is_given_back_at_once(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 2_500)
    consumer.read(TUTORS, 2_500)
    assert reclaim(client, TUTORS, min_idle_ms=0).given_back == 2_500
    assert reclaim(client, TUTORS, min_idle_ms=0).given_back == 0
    assert set(owners(consumer)) == {(RELEASED_CONSUMER, 1)}


def test_a_channel_that_nobody_used_has_nothing_to_give_back(client: RedisClient) -> None:
    assert reclaim(client, TUTORS).holdings == {}
