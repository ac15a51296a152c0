"""A Redis that is full by memory: what is processed makes room, nothing else goes. On each kind of server."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import CONSUMER_GROUP
from queue_core.dead_letter import DeadLetters, Letter, LetterFilter
from queue_core.errors import NotReplicatedError, QueueUnavailableError
from queue_core.failpoints import recorded
from queue_core.letter_archive import ArchiveAction
from queue_core.maintenance import maintain
from queue_core.monitor import snapshot
from queue_core.outcomes import Reason, Rejection
from queue_core.pending import Finish
from tests.conftest import wait_until
from tests.queue.conftest import tutor

TUTORS, SESSIONS = QueueChannels.TUTORS, QueueChannels.SESSIONS
ALL = LetterFilter()
WHY = Rejection(Reason.MALFORMED, ("x",))


@pytest.fixture
def client(own_client: RedisClient) -> RedisClient:
    return own_client


@pytest.fixture
def publisher(client: RedisClient) -> MessagePublisher:
    return MessagePublisher(client)


def exhaust(client: RedisClient, share: float = 1.0) -> None:
    """So much memory is in use as a share of what may be."""
    client.redis.config_set("maxmemory", int(client.redis.info("memory")["used_memory"] / share) - 10_000)


def large(number: int) -> dict[str, object]:
    return {"session_id": f"S{number}", "tutor_id": "T", "notes": "x" * 2_000}


def publish_until_refused(publisher: MessagePublisher) -> None:
    endless = (large(n) for n in itertools.count())
    with pytest.raises(QueueUnavailableError, match="maxmemory"):
        publisher.publish_batch(SESSIONS, endless)


def fill(client: RedisClient) -> int:
    """Publish messages that take all of the memory; returns how many there are."""
    with RedisClient(client.settings) as other:
        MessagePublisher(other).publish_batch(SESSIONS, (large(n) for n in range(1_500)))
    # What the server kept for that connection would be room again.
    wait_until(lambda: len(client.redis.client_list()) == 1)
    exhaust(client)
    return client.redis.xlen(client.keys.stream(SESSIONS))


def process(consumer: MessageConsumer, count: int) -> None:
    consumer.acknowledge(SESSIONS, *(entry.id for entry in consumer.read(SESSIONS, count)))


def ids(client: RedisClient) -> list[bytes]:
    return [entry_id for entry_id, _ in client.redis.xrange(client.keys.stream(SESSIONS))]


def test_the_publishing_script_makes_room_in_its_own_stream_for_producers_in_any_language(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    process(consumer, fill(client))
    with recorded() as places:
        publisher.publish(SESSIONS, large(1))
    assert places == ["publish:before", "publish:after"]


@pytest.mark.parametrize(
    "again",
    [
        lambda publisher: publisher.publish(SESSIONS, large(1)),
        lambda publisher: publisher.publish_batch(SESSIONS, (large(n) for n in range(300))),
        lambda publisher: publisher.publish(TUTORS, tutor(1)),
        lambda publisher: publisher.publish_batch(TUTORS, (tutor(n) for n in range(600))),
    ],
    ids=["one", "a batch", "one of another channel", "a batch of another channel"],
)
def test_once_everything_is_drained_publishing_goes_on(
    client: RedisClient,
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    again: Callable[[MessagePublisher], object],
) -> None:
    count = fill(client)
    process(consumer, count)
    again(publisher)
    assert count - 1_100 <= len(ids(client)) < count + 300, "more went than was needed"


def test_a_publisher_that_waits_for_replicas_makes_room_too(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    process(consumer, fill(client))
    careful = RedisClient(client.settings.model_copy(update={"wait_replicas": 1, "socket_timeout": 0.4}))
    with careful, pytest.raises(NotReplicatedError, match="Published"):
        MessagePublisher(careful).publish(TUTORS, tutor(1))
    assert snapshot(client, TUTORS).waiting == 1


def test_the_queue_goes_round_under_a_full_memory(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    process(consumer, fill(client))
    before = publisher.get_stream_info(SESSIONS).entries_added
    for _ in range(30):
        publisher.publish_batch(SESSIONS, (large(n) for n in range(100)))
        process(consumer, 100)
    assert publisher.get_stream_info(SESSIONS).entries_added == before + 3_000
    assert snapshot(client, SESSIONS).waiting == 0


def test_nothing_unprocessed_goes_to_make_room(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    count = fill(client)
    process(consumer, 150)
    held = {entry.id.encode() for entry in consumer.read(SESSIONS, 5)}
    unprocessed = ids(client)[150:]
    publisher.publish(TUTORS, tutor(1))
    publish_until_refused(publisher)
    left = ids(client)
    assert left[: count - 150] == unprocessed
    assert held <= set(left)


def test_what_another_group_has_not_processed_stays(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    count = fill(client)
    MessageConsumer(client, "auditor", group="audit").read(SESSIONS, 1)
    process(consumer, count)
    with pytest.raises(QueueUnavailableError, match="drain what waits, decide about dead letters, or raise"):
        publisher.publish(TUTORS, tutor(1))
    assert len(ids(client)) == count


def test_while_there_is_memory_publishing_is_one_call(publisher: MessagePublisher) -> None:
    with recorded() as places:
        publisher.publish(TUTORS, tutor(1))
    assert places == ["publish:before", "publish:after"]


def test_a_group_is_made_and_everything_read_and_acknowledged_with_no_memory_left(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    count = fill(client)
    assert consumer.create_consumer_group(SESSIONS)
    assert not consumer.create_consumer_group(SESSIONS)
    first, second, third, *_ = consumer.read(SESSIONS, 5)
    assert consumer.finish(SESSIONS, [first.id]) == [Finish.DONE]
    assert consumer.release(SESSIONS, [second.id], counted=False) == 1
    other = MessageConsumer(client, "other")
    assert [left.id for left in other.claim(SESSIONS, 1).left] == [second.id]
    assert consumer.acknowledge(SESSIONS, third.id) == 1
    process(consumer, count)
    assert snapshot(client, SESSIONS).waiting == 0


def test_what_is_no_stream_is_not_taken_for_a_group_that_was_there(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    client.redis.set(client.keys.stream(TUTORS), "text")
    with pytest.raises(Exception, match="WRONGTYPE"):
        consumer.create_consumer_group(TUTORS)


def test_a_bad_message_before_all_others_is_put_aside_with_no_memory_left(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    client.redis.xadd(client.keys.stream(SESSIONS), {"message": b"junk"})
    count = fill(client)
    bad, *good = consumer.read(SESSIONS, count)
    consumer.acknowledge(SESSIONS, *(entry.id for entry in good))
    assert consumer.dead_letter(SESSIONS, [Letter(bad, WHY)]) == 1
    assert (snapshot(client, SESSIONS).pending, snapshot(client, SESSIONS).dead) == (0, 1)
    publisher.publish(SESSIONS, large(1))


def test_a_failed_attempt_is_noted_with_no_memory_left(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    fill(client)
    failed = consumer.read(SESSIONS, 10)[0]
    assert consumer.retry(SESSIONS, failed.id, "away") is not None
    assert snapshot(client, SESSIONS).scheduled == 1


def test_what_failed_exceeds_the_limit_by_a_quarter_at_the_most(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(SESSIONS, (large(n) for n in range(10)))
    entry, *_ = consumer.read(SESSIONS, 10)
    exhaust(client, share=1.4)
    with pytest.raises(QueueUnavailableError, match=r"> 'maxmemory'\)\. Its memory is full"):
        consumer.dead_letter(SESSIONS, [Letter(entry, WHY)])
    with pytest.raises(QueueUnavailableError, match=r"> 'maxmemory'\)\. Its memory is full"):
        consumer.retry(SESSIONS, entry.id, "away")
    assert (snapshot(client, SESSIONS).dead, snapshot(client, SESSIONS).pending) == (0, 10)


def bury(client: RedisClient, consumer: MessageConsumer, count: int) -> None:
    MessagePublisher(client).publish_batch(SESSIONS, (large(n) for n in range(count)))
    consumer.dead_letter(SESSIONS, [Letter(entry, WHY) for entry in consumer.read(SESSIONS, count)])


def test_dead_letters_stay_when_room_is_made_and_come_back_into_it(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    bury(client, consumer, 3)
    process(consumer, fill(client))
    assert client.redis.xlen(client.keys.dead_letter) == 3
    report = DeadLetters(client).redrive(ALL, dry_run=False)
    assert (report.redriven, report.left) == (3, 0)
    assert snapshot(client, SESSIONS).waiting == 3


class Kept:
    """An archive that keeps nothing."""

    def keep(self, letters: object, action: ArchiveAction, *, who: str, why: str) -> str:
        return "receipt"

    def withdraw(self, receipt: object, letter_ids: object) -> None: ...


def test_where_no_room_can_be_made_letters_stay_and_can_be_discarded(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    bury(client, consumer, 3)
    fill(client)
    letters = DeadLetters(client, archive=Kept())
    with pytest.raises(QueueUnavailableError, match="raise its maxmemory"):
        letters.redrive(ALL, dry_run=False)
    assert letters.count() == snapshot(client, SESSIONS).dead == 3
    assert letters.discard(ALL, who="o", why="y", dry_run=False).discarded == 3
    assert letters.count() == snapshot(client, SESSIONS).dead == 0


def test_maintenance_trims_whatever_its_age_until_there_is_memory_again(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(SESSIONS, (large(n) for n in range(5_000)))
    process(consumer, 4_990)
    exhaust(client)
    report = maintain(client, SESSIONS, datetime.now(UTC))
    assert report.trimmed == report.trimmed_for_memory > 0
    assert report.trimmed < 4_990, "what could stay did not"
    memory = client.redis.info("memory")
    assert memory["used_memory"] <= 0.8 * memory["maxmemory"]
    assert maintain(client, SESSIONS, datetime.now(UTC)).trimmed == 0
    assert snapshot(client, SESSIONS).waiting == 10


def test_maintenance_of_a_memory_full_of_what_is_not_processed_ends_and_removes_nothing(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(SESSIONS, (large(n) for n in range(300)))
    consumer.read(SESSIONS, 100)
    exhaust(client)
    assert maintain(client, SESSIONS, datetime.now(UTC)).trimmed == 0
    assert len(ids(client)) == 300
    assert client.redis.xpending(client.keys.stream(SESSIONS), CONSUMER_GROUP)["pending"] == 100
