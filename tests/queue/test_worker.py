"""A worker's messages, from the queue to their outcome. On each kind of server."""

from __future__ import annotations

import logging
import re

import pytest

from queue_core import MessageConsumer, MessagePublisher, ReceivedMessage
from queue_core.client import RedisClient
from queue_core.monitor import snapshot
from queue_core.serializer import serialize
from tests.conftest import wait_until
from tests.queue.conftest import MakeWorker, tutor
from tests.queue.workers import (
    TUTORS,
    assert_empty,
    letters,
    publish,
    running,
    until_settled,
)


def test_every_message_that_waits_is_handled_once_in_order_and_acknowledged(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    publish(publisher, 25)
    handled: list[object] = []
    worker = make(lambda data: handled.append(data["tutor_id"]) or True, batch_size=10)
    assert worker.run_once() == 25
    assert handled == [f"T{n:03d}" for n in range(25)]
    assert worker.run_once() == 0
    assert_empty(client)
    assert client.redis.xinfo_consumers(client.keys.stream(TUTORS), "tutormax-workers") == []


def test_a_handler_with_two_parameters_receives_the_message_too(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    message_id = publisher.publish(TUTORS, tutor(1), metadata={"source": "api"})
    handled: list[tuple[object, ReceivedMessage]] = []

    def handle(data: object, message: ReceivedMessage) -> bool:
        handled.append((data, message))
        return len(handled) == 2

    until_settled(make(handle), client)
    assert_empty(client)
    (_, first), (data, second) = handled
    assert data == second.data == tutor(1)
    assert (second.id, second.metadata, second.channel) == (
        message_id,
        {"source": "api"},
        client.keys.stream(TUTORS),
    )
    assert [(one.deliveries, one.failures) for one in (first, second)] == [(1, 0), (2, 1)]
    assert second.entry_id == client.redis.xrange(client.keys.stream(TUTORS))[0][0].decode()
    assert "x" not in repr(second).partition("data")[2]


@pytest.mark.parametrize("how", ["false", "exception"])
def test_what_fails_is_tried_again_and_is_a_dead_letter_when_its_retries_are_used_up(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker, how: str
) -> None:
    ids = publish(publisher, 3)
    tried: list[object] = []

    def handle(data: dict[str, object]) -> bool:
        tried.append(data["tutor_id"])
        if data["tutor_id"] == "T001" and how == "exception":
            raise KeyError(data["name"])
        return data["tutor_id"] != "T001"

    worker = make(handle, max_retries=2)
    until_settled(worker, client)
    (letter,) = letters(client)
    assert (letter.message_id, letter.reason, len(letter.attempts)) == (ids[1], "retries_exhausted", 3)
    words = "KeyError in handle" if how == "exception" else "the handler returned False"
    assert all(attempt.error.startswith(words) for attempt in letter.attempts)
    assert sorted(tried) == ["T000", *["T001"] * 3, "T002"]
    total = worker.statistics().total
    assert (total.processed, total.failed, total.retried, total.dead) == (2, 3, 2, 1)
    assert_empty(client)


def test_what_handlers_raise_and_messages_hold_is_in_no_log_and_no_letter(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T1", "name": "Ann Secret"})

    def handle(data: dict[str, object]) -> bool:
        raise ValueError(f"cannot store {data}")

    with caplog.at_level(logging.DEBUG):
        until_settled(make(handle, max_retries=1), client)
    (letter,) = letters(client)
    assert re.search(r"ValueError in handle, line \d+ of test_worker\.py", caplog.text)
    assert "Secret" not in caplog.text + str(letter.attempts) + str(letter.errors)


def test_an_answer_that_means_nothing_is_a_failed_attempt_that_says_so(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    publish(publisher, 1)
    until_settled(make(lambda data: data, max_retries=0), client)
    (letter,) = letters(client)
    assert "must return True or False, not dict" in letter.errors[0]


def test_none_is_done_and_is_remarked_once(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    publish(publisher, 3)
    assert make(lambda data: None).run_once() == 3
    assert_empty(client)
    assert len([one for one in caplog.messages if "returned None" in one]) == 1


def test_what_can_never_be_handled_is_a_dead_letter_at_once_and_harms_nobody(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    stream = client.keys.stream(TUTORS)
    client.redis.xadd(stream, {"message": "junk"})
    client.redis.xadd(stream, {"other": "x"})
    client.redis.xadd(stream, {"message": serialize("elsewhere", tutor(1))})
    publish(publisher, 2)
    handled: list[object] = []
    worker = make(lambda data: handled.append(data) or True)
    assert worker.run_once() == len(handled) == 2
    assert sorted(letter.reason for letter in letters(client)) == ["invalid", "malformed", "malformed"]
    assert worker.statistics().total.dead == 3
    assert_empty(client)


def test_what_outlived_its_time_unread_is_a_dead_letter(client: RedisClient, make: MakeWorker) -> None:
    stream = client.keys.stream(TUTORS)
    client.redis.xadd(stream, {"message": serialize(stream, tutor(1))}, id="1-1")
    client.redis.xadd(stream, {"message": serialize(stream, tutor(2), metadata={"ttl_seconds": 0})}, id="1-2")
    handled: list[object] = []
    make(lambda data: handled.append(data) or True).run_once()
    assert [letter.reason for letter in letters(client)] == ["expired"]
    assert handled == [tutor(2)]


def test_what_another_left_is_taken_over_and_begun_alone(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, make: MakeWorker
) -> None:
    publish(publisher, 3)
    consumer.read(TUTORS, 3)
    seen: list[tuple[str, int]] = []

    def handle(data: object, message: ReceivedMessage) -> bool:
        others = [one for one in consumer.get_pending_messages(TUTORS) if one.deliveries > 1]
        seen.append((message.entry_id, len(others)))
        return True

    worker = make(handle, worker_max_processing_time_seconds=0.05)
    wait_until(lambda: worker.run_once() or seen, 30)
    assert [others for _, others in seen] == [1, 1, 1]
    assert_empty(client)


def test_new_messages_do_not_wait_for_all_that_was_left(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, make: MakeWorker
) -> None:
    publish(publisher, 4)
    consumer.read(TUTORS, 4)
    wait_until(lambda: min(one.idle_ms for one in consumer.get_pending_messages(TUTORS)) >= 50)
    publisher.publish(TUTORS, tutor(9))
    handled: list[object] = []
    worker = make(lambda data: handled.append(data) or True, worker_max_processing_time_seconds=0.05)
    assert worker.run_once() == 5
    assert handled == [tutor(0), tutor(9), tutor(1), tutor(2), tutor(3)]


def test_what_was_taken_over_and_is_not_begun_at_a_stop_is_given_back_as_it_was(
    publisher: MessagePublisher, consumer: MessageConsumer, make: MakeWorker
) -> None:
    publish(publisher, 3)
    consumer.read(TUTORS, 3)
    wait_until(lambda: min(one.idle_ms for one in consumer.get_pending_messages(TUTORS)) >= 50)
    worker = make(lambda data: worker.stop() or True, worker_max_processing_time_seconds=0.05)
    assert worker.run_once() == 1
    assert [one.deliveries for one in consumer.get_pending_messages(TUTORS)] == [1, 1]


def test_a_retry_is_made_when_it_is_due_however_seldom_the_queue_is_looked_at(
    publisher: MessagePublisher, make: MakeWorker
) -> None:
    tried: list[object] = []

    def handle(data: object) -> bool:
        tried.append(data)
        return len(tried) == 3

    with running(make(handle, worker_poll_interval_ms=60_000)):
        publish(publisher, 1)
        wait_until(lambda: len(tried) == 3, 30)


def test_a_message_that_ends_its_process_again_and_again_is_quarantined_unread(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, make: MakeWorker
) -> None:
    publish(publisher, 2)
    consumer.read(TUTORS, 2)
    entry = consumer.claim(TUTORS, 1, min_idle_ms=0).left[0]
    consumer.begin(TUTORS, [entry])
    handled: list[object] = []
    worker = make(
        lambda data: handled.append(data) or True, max_retries=1, worker_max_processing_time_seconds=0.01
    )
    wait_until(lambda: worker.run_once() or handled, 30)
    until_settled(worker, client)
    assert [letter.reason for letter in letters(client)] == ["crash_loop"]
    assert handled == [tutor(1)]


def test_what_somebody_deleted_is_counted_as_lost_and_said(
    client: RedisClient,
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    make: MakeWorker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish(publisher, 2)
    first, _ = consumer.read(TUTORS, 2)
    client.redis.xdel(client.keys.stream(TUTORS), first.id)
    worker = make(lambda data: True, worker_max_processing_time_seconds=0.01)
    until_settled(worker, client)
    total = worker.statistics().total
    assert (total.processed, total.lost) == (1, 1)
    assert f"deleted before they were processed, the first as entry {first.id}" in caplog.text


def test_run_once_takes_no_more_than_was_there(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    publish(publisher, 3)
    worker = make(lambda data: bool(publisher.publish(TUTORS, tutor(9))), batch_size=2)
    assert worker.run_once() == 3
    assert snapshot(client, TUTORS).waiting == 3
