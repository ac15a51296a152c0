"""Publishing, on each kind of server."""

from __future__ import annotations

import pytest

from queue_core import (
    MessageConsumer,
    MessagePublisher,
    QueueChannels,
    RedisClient,
    RedisSettings,
    get_redis_client,
)
from queue_core.errors import InvalidMessageError, MessageTooLargeError, QueueFullError, QueueUnavailableError
from queue_core.outcomes import Message
from queue_core.publisher import BatchRefusedError
from queue_core.serializer import deserialize
from tests.conftest import EmbeddedServer, settings_for

TUTORS = QueueChannels.TUTORS


def tutor(number: int) -> dict[str, object]:
    return {"tutor_id": f"T{number:03d}", "name": "x"}


def test_a_message_is_in_the_stream_as_its_envelope(client: RedisClient, publisher: MessagePublisher) -> None:
    message_id = publisher.publish(TUTORS, tutor(1), metadata={"source": "api"}, ttl_seconds=60)
    ((_, fields),) = client.redis.xrange(client.keys.stream(TUTORS))
    message = deserialize(fields[b"message"], channel=client.keys.stream(TUTORS))
    assert isinstance(message, Message)
    assert (message.id, message.data) == (message_id, tutor(1))
    assert message.metadata == {"source": "api", "ttl_seconds": 60}


def test_a_batch_keeps_its_order_over_several_round_trips(any_server: EmbeddedServer) -> None:
    with RedisClient(settings_for(any_server)) as client:
        report = MessagePublisher(client).publish_batch(TUTORS, (tutor(n) for n in range(1_234)))
        entries = client.redis.xrange(client.keys.stream(TUTORS))
        messages = [deserialize(fields[b"message"]) for _, fields in entries]
    assert report.published == len(report) == 1_234
    assert [message.id for message in messages] == list(report)
    assert [message.data for message in messages] == [tutor(n) for n in range(1_234)]


def test_a_batch_says_for_each_message_what_became_of_it(publisher: MessagePublisher) -> None:
    records = [tutor(1), {"tutor_id": "T2", "name": float("nan")}, tutor(3)]
    with pytest.raises(BatchRefusedError, match="1 of 3 messages were refused, 2 are published") as caught:
        publisher.publish_batch(TUTORS, records)
    report = caught.value.report
    assert [one.index for one in report.refused] == [1]
    assert isinstance(report.refused[0].error, InvalidMessageError)
    assert report[1] is None
    assert [one is None for one in report] == [False, True, False]
    assert publisher.publish_batch(TUTORS, records, raise_if_refused=False).published == 2
    assert publisher.get_stream_length(TUTORS) == 4


def test_a_message_over_the_size_limit_is_refused(any_server: EmbeddedServer) -> None:
    with RedisClient(settings_for(any_server, max_message_size_bytes=300)) as client:
        publisher = MessagePublisher(client)
        with pytest.raises(MessageTooLargeError, match="REDIS_MAX_MESSAGE_SIZE_BYTES allows 300"):
            publisher.publish(TUTORS, {"tutor_id": "T", "name": "x" * 300})
        assert publisher.get_stream_length(TUTORS) == 0


def test_a_full_queue_refuses_and_keeps_what_waits(publisher: MessagePublisher) -> None:
    report = publisher.publish_batch(TUTORS, (tutor(n) for n in range(25)), raise_if_refused=False)
    assert report.published == 20
    assert {type(one.error) for one in report.refused} == {QueueFullError}
    with pytest.raises(QueueFullError, match="REDIS_QUEUE_MAXLEN"):
        publisher.publish(TUTORS, tutor(99))
    assert publisher.get_stream_length(TUTORS) == 20


def test_processed_entries_make_room(publisher: MessagePublisher, consumer: MessageConsumer) -> None:
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(20)))
    done = [message["_redis_id"] for message in consumer.consume(TUTORS, 15)]
    consumer.acknowledge(TUTORS, *done)
    assert publisher.publish_batch(TUTORS, (tutor(n) for n in range(100, 115))).published == 15
    left = [message["data"]["tutor_id"] for message in consumer.consume(TUTORS, 50)]
    assert left == [f"T{n:03d}" for n in [*range(15, 20), *range(100, 115)]]


def test_pending_entries_are_never_trimmed(publisher: MessagePublisher, consumer: MessageConsumer) -> None:
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(20)))
    messages = consumer.consume(TUTORS, 20)
    consumer.acknowledge(TUTORS, *[message["_redis_id"] for message in messages[1:]])
    with pytest.raises(QueueFullError):
        publisher.publish(TUTORS, tutor(99))
    assert publisher.get_stream_length(TUTORS) == 20


@pytest.mark.parametrize("reads", [False, True])
def test_what_another_group_has_not_processed_is_never_trimmed(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, reads: bool
) -> None:
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(20)))
    audit = MessageConsumer(client, "auditor", group="audit")
    audit.create_consumer_group(TUTORS)
    consumer.acknowledge(TUTORS, *[message["_redis_id"] for message in consumer.consume(TUTORS, 20)])
    if reads:
        audit.acknowledge(TUTORS, *[message["_redis_id"] for message in audit.consume(TUTORS, 5)])
        assert publisher.publish_batch(TUTORS, [tutor(n) for n in range(5)]).published == 5
    with pytest.raises(QueueFullError):
        publisher.publish(TUTORS, tutor(99))
    assert len(audit.consume(TUTORS, 50)) == 20


def test_an_answer_that_does_not_come_is_waited_out_under_the_same_id(any_server: EmbeddedServer) -> None:
    with RedisClient(settings_for(any_server, socket_timeout=0.2)) as client:
        client.redis.execute_command("CLIENT", "PAUSE", "300", "WRITE")
        message_id = MessagePublisher(client).publish(TUTORS, tutor(1))
        entries = client.redis.xrange(client.keys.stream(TUTORS))
    assert {deserialize(fields[b"message"]).id for _, fields in entries} == {message_id}


def test_without_retry_a_missing_answer_is_an_error(any_server: EmbeddedServer) -> None:
    settings = settings_for(any_server, socket_timeout=0.1, retry_on_timeout=False)
    with RedisClient(settings) as client:
        client.redis.execute_command("CLIENT", "PAUSE", "300", "WRITE")
        with pytest.raises(QueueUnavailableError):
            MessagePublisher(client).publish(TUTORS, tutor(1))
        client.redis.execute_command("CLIENT", "UNPAUSE")


def test_stream_info_is_zero_before_and_true_after(publisher: MessagePublisher) -> None:
    assert publisher.get_stream_info(TUTORS).length == 0
    publisher.publish(TUTORS, tutor(1))
    info = publisher.get_stream_info(TUTORS)
    assert (info.length, info.entries_added, info.groups) == (1, 1, 0)
    assert info.first_entry_id == info.last_entry_id


def test_existing_programs_run_as_they_are_written(
    any_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", str(any_server.port))
    monkeypatch.setenv("REDIS_DB", "7")

    client = get_redis_client()
    publisher = MessagePublisher(client)
    msg_id = publisher.publish_tutor_data(
        {
            "tutor_id": "T001",
            "name": "John Smith",
            "subject": "Mathematics",
            "rating": 4.8,
            "sessions_count": 150,
        }
    )
    msg_ids = publisher.publish_batch(TUTORS, [{"tutor_id": f"T{i:03d}", "name": "x"} for i in range(10)])
    assert publisher.get_stream_length(QueueChannels.TUTORS) == 11
    consumer = MessageConsumer(get_redis_client())
    consumer.create_consumer_group(QueueChannels.TUTORS)
    seen = []
    for msg in consumer.consume(QueueChannels.TUTORS, count=10, block_ms=5000):
        seen.append(msg["id"])
        consumer.acknowledge(QueueChannels.TUTORS, msg["_redis_id"])
    assert seen == [msg_id, *msg_ids[:9]]
    consumer.consume(QueueChannels.TUTORS)
    assert len(consumer.get_pending_messages("tutormax:tutors")) == 1
    assert consumer.claim_pending_messages("tutormax:tutors", min_idle_time_ms=60000) == []
    assert RedisSettings.load().db == 7
