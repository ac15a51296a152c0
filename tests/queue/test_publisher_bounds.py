"""A full queue refuses; what any group has not processed is never trimmed. On each kind of server."""

from __future__ import annotations

import itertools
import random

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.errors import QueueFullError
from queue_core.publisher import BatchRefusedError
from tests.queue.conftest import Like, messages, tutor

TUTORS = QueueChannels.TUTORS
LIMIT = 20


@pytest.fixture
def publisher(like: Like) -> MessagePublisher:
    return MessagePublisher(like(queue_maxlen=LIMIT))


@pytest.fixture
def audit(client: RedisClient) -> MessageConsumer:
    """A consumer of another group."""
    return MessageConsumer(client, "auditor", group="audit")


def fill(publisher: MessagePublisher) -> None:
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(LIMIT)))


def process(consumer: MessageConsumer, count: int) -> None:
    if count:
        consumer.acknowledge(TUTORS, *(entry.id for entry in consumer.read(TUTORS, count)))


def numbers(client: RedisClient) -> list[int]:
    return [int(str(message.data["tutor_id"])[1:]) for message in messages(client)]


def assert_full_and_untouched(client: RedisClient, publisher: MessagePublisher) -> None:
    before = numbers(client)
    with pytest.raises(QueueFullError, match="REDIS_QUEUE_MAXLEN"):
        publisher.publish(TUTORS, tutor(99))
    assert numbers(client) == before


def test_a_full_queue_refuses_and_says_what_to_do(client: RedisClient, publisher: MessagePublisher) -> None:
    fill(publisher)
    with pytest.raises(QueueFullError, match=rf"Queue tutors is full: it holds {LIMIT} .*tutormax status"):
        publisher.publish(TUTORS, tutor(99))
    assert numbers(client) == list(range(LIMIT))


def test_a_full_queue_does_not_close_the_others(publisher: MessagePublisher) -> None:
    fill(publisher)
    assert publisher.publish(QueueChannels.SESSIONS, {"session_id": "S"})


def test_a_batch_fills_the_room_there_is_in_order_and_reports_the_rest(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(15)))
    records = [*(tutor(n) for n in range(15, 18)), {"x": float("nan")}, *(tutor(n) for n in range(18, 25))]
    with pytest.raises(BatchRefusedError, match="6 of 11 messages were refused, 5 are published") as caught:
        publisher.publish_batch(TUTORS, records)
    assert numbers(client) == list(range(LIMIT))
    refused = caught.value.report.refused
    assert [one.index for one in refused] == [3, 6, 7, 8, 9, 10]
    assert {type(one.error) for one in refused[1:]} == {QueueFullError}


def test_without_a_group_everything_waits(client: RedisClient, publisher: MessagePublisher) -> None:
    fill(publisher)
    assert_full_and_untouched(client, publisher)


def test_a_group_that_has_not_read_has_everything_waiting(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    fill(publisher)
    consumer.create_consumer_group(TUTORS)
    assert_full_and_untouched(client, publisher)


def test_pending_entries_are_not_processed(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    fill(publisher)
    consumer.read(TUTORS, LIMIT)
    assert_full_and_untouched(client, publisher)


def test_processed_entries_behind_one_that_is_not_do_not_count_until_there_are_twice_as_many(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    fill(publisher)
    first, *rest = consumer.read(TUTORS, LIMIT)
    consumer.acknowledge(TUTORS, *(entry.id for entry in rest))
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(LIMIT, 2 * LIMIT - 2)))
    process(consumer, LIMIT)
    report = publisher.publish_batch(TUTORS, [tutor(n) for n in range(5)], raise_if_refused=False)
    assert (report.published, publisher.get_stream_length(TUTORS)) == (2, 2 * LIMIT)
    assert_full_and_untouched(client, publisher)
    consumer.acknowledge(TUTORS, first.id)
    publisher.publish(TUTORS, tutor(20))
    assert numbers(client)[-1] == 20


def test_one_stuck_entry_and_the_waiting_ones_fill_the_queue_together(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    fill(publisher)
    _, *rest = consumer.read(TUTORS, LIMIT)
    consumer.acknowledge(TUTORS, *(entry.id for entry in rest))
    report = publisher.publish_batch(TUTORS, [tutor(n) for n in range(LIMIT)], raise_if_refused=False)
    assert report.published == LIMIT - 1
    assert_full_and_untouched(client, publisher)


def test_where_the_server_lost_count_every_entry_counts(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, audit: MessageConsumer
) -> None:
    fill(publisher)
    stream = client.keys.stream(TUTORS)
    process(consumer, LIMIT)
    middle = client.redis.xrange(stream)[LIMIT // 2][0]
    client.redis.xgroup_create(stream, audit.group, id=middle)
    audit.read(TUTORS, 1)
    client.redis.xgroup_setid(stream, audit.group, middle)
    assert {group["lag"] for group in client.redis.xinfo_groups(stream)} == {0, None}
    left = LIMIT - publisher.get_stream_length(TUTORS)
    assert left == 0
    report = publisher.publish_batch(TUTORS, [tutor(n) for n in range(LIMIT)], raise_if_refused=False)
    assert publisher.get_stream_length(TUTORS) == LIMIT
    assert 0 < report.published < LIMIT


def test_processed_entries_make_exactly_the_room_that_is_needed_at_least(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    fill(publisher)
    process(consumer, 15)
    assert publisher.publish_batch(TUTORS, (tutor(n) for n in range(20, 35))).published == 15
    assert numbers(client) == list(range(15, 35))
    assert [message["data"]["tutor_id"] for message in consumer.consume(TUTORS, 50)] == [
        f"T{n:03d}" for n in range(15, 35)
    ]


def test_processed_entries_stay_for_as_long_as_there_is_room(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(10)))
    process(consumer, 10)
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(10, LIMIT)))
    assert numbers(client) == list(range(LIMIT))


def test_a_queue_that_was_wholly_processed_takes_a_full_batch_again(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    for turn in range(3):
        fill(publisher)
        process(consumer, LIMIT)
        assert publisher.get_stream_info(TUTORS).entries_added == LIMIT * (turn + 1)
    assert publisher.get_stream_length(TUTORS) <= LIMIT


@pytest.mark.parametrize("processed", [0, 5])
def test_what_another_group_has_not_processed_is_kept(
    client: RedisClient,
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    audit: MessageConsumer,
    processed: int,
) -> None:
    fill(publisher)
    audit.create_consumer_group(TUTORS)
    process(consumer, LIMIT)
    process(audit, processed)
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(20, 20 + processed)))
    assert_full_and_untouched(client, publisher)
    assert len(audit.read(TUTORS, 50)) == LIMIT


def test_what_another_group_has_pending_is_kept(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, audit: MessageConsumer
) -> None:
    fill(publisher)
    process(consumer, LIMIT)
    audit.read(TUTORS, 3)
    assert_full_and_untouched(client, publisher)


def test_ids_are_compared_as_numbers_and_not_as_text(
    client: RedisClient, consumer: MessageConsumer, audit: MessageConsumer, like: Like
) -> None:
    entry_ids = [b"8-9", b"8-10", b"9-1", b"9-10", b"10-2", b"10-10", b"100-1"]
    publisher, stream = MessagePublisher(like(queue_maxlen=len(entry_ids))), client.keys.stream(TUTORS)
    for counts in itertools.product(range(len(entry_ids) + 1), repeat=2):
        client.redis.delete(stream)
        for entry_id in entry_ids:
            client.redis.xadd(stream, {"message": "x"}, id=entry_id)
        for reader, count in zip((consumer, audit), counts, strict=True):
            reader.create_consumer_group(TUTORS)
            process(reader, count)
        processed = min(counts)
        report = publisher.publish_batch(TUTORS, [tutor(1)], raise_if_refused=False)
        left = [entry_id for entry_id, _ in client.redis.xrange(stream)]
        assert report.published == (processed > 0)
        assert left[: len(left) - report.published] == entry_ids[processed:]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_readers_do_nothing_unprocessed_goes_and_all_room_is_used(
    client: RedisClient, publisher: MessagePublisher, seed: int
) -> None:
    chance, stream = random.Random(seed), client.keys.stream(TUTORS)
    groups = [MessageConsumer(client, "c", group=f"group-{n}") for n in range(chance.randint(1, 3))]
    for group in groups:
        group.create_consumer_group(TUTORS)
    unprocessed: dict[str, set[str]] = {group.group: set() for group in groups}
    pending: dict[str, list[str]] = {group.group: [] for group in groups}
    for turn in range(60):
        wanted = chance.randint(1, 9)
        report = publisher.publish_batch(TUTORS, [tutor(turn)] * wanted, raise_if_refused=False)
        for result in report.results:
            if result.entry_id:
                for ids in unprocessed.values():
                    ids.add(result.entry_id)
        in_stream = [entry_id.decode() for entry_id, _ in client.redis.xrange(stream)]
        missing = set().union(*unprocessed.values()) - set(in_stream)
        assert not missing
        most = max(len(ids) for ids in unprocessed.values())
        assert most <= LIMIT
        assert len(in_stream) <= 2 * LIMIT
        if report.refused:
            assert most == LIMIT or len(in_stream) == 2 * LIMIT
            assert any(in_stream[0] in ids for ids in unprocessed.values())
        for group in groups:
            held = pending[group.group]
            held += [entry.id for entry in group.read(TUTORS, chance.randint(1, 9))]
            chance.shuffle(held)
            done = [held.pop() for _ in range(chance.randint(0, len(held)))]
            group.acknowledge(TUTORS, *done)
            unprocessed[group.group] -= set(done)
