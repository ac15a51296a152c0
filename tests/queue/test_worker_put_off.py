"""A handler that lacks what it needs: no message pays for it, its channel waits. On each kind of server."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueWorker, ReceivedMessage, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.errors import (
    AccessDeniedError,
    HandlerUnavailableError,
    QueueFullError,
    QueueUnavailableError,
)
from tests.conftest import wait_until
from tests.queue.conftest import Like, MakeWorker, in_background, tutor
from tests.queue.workers import FEEDBACK, SESSIONS, TUTORS, assert_empty, letters, publish, running

TROUBLES = [HandlerUnavailableError, QueueFullError, QueueUnavailableError, AccessDeniedError]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_nothing_is_counted_while_it_waits_and_it_is_said_once(
    client: RedisClient,
    publisher: MessagePublisher,
    make: MakeWorker,
    caplog: pytest.LogCaptureFixture,
    trouble: type[Exception],
) -> None:
    publish(publisher, 4)
    tries, handled = list[int](), list[ReceivedMessage]()

    def handle(data: object, message: ReceivedMessage) -> bool:
        tries.append(1)
        if len(tries) < 4:
            raise trouble("the database is away")
        handled.append(message)
        return True

    worker = make(handle, max_retries=0)
    with caplog.at_level(logging.WARNING), running(worker):
        wait_until(lambda: len(handled) == 4, 30)
    total = worker.statistics().total
    assert (total.processed, total.failed, total.retried, total.dead) == (4, 0, 0, 0)
    assert [(one.data, one.deliveries, one.failures) for one in handled] == [
        (tutor(n), 1, 0) for n in range(4)
    ]
    said = [one for one in caplog.messages if "the handler of tutors needs is back" in one]
    assert said[0] == "Waiting until what the handler of tutors needs is back: the database is away"
    assert [one.partition(" ")[0] for one in said] == ["Waiting", "What"]
    assert_empty(client)


def test_the_other_channels_go_on(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, like: Like
) -> None:
    publish(publisher, 3)
    handled: Counter[str] = Counter()
    worker = QueueWorker([TUTORS, SESSIONS], client=like(worker_poll_interval_ms=1))

    @worker.register_handler(TUTORS)
    def lacking(data: object) -> bool:
        handled["tutors"] += 1
        raise HandlerUnavailableError

    @worker.register_handler(SESSIONS)
    def handle(data: object) -> bool:
        handled["sessions"] += 1
        return True

    with running(worker):
        wait_until(lambda: handled["tutors"] >= 2, 30)
        for number in range(20):
            publisher.publish(SESSIONS, {"session_id": f"S{number}", "tutor_id": "T"})
            wait_until(lambda number=number: handled["sessions"] == number + 1, 30)
    assert {(one.consumer, one.deliveries) for one in consumer.get_pending_messages(TUTORS)} == {
        ("released", 0)
    }
    assert worker.statistics().total.failed == 0


def test_run_once_works_on_the_other_channels_then_raises_and_what_was_in_hand_is_there(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, like: Like
) -> None:
    publish(publisher, 3)
    publisher.publish(FEEDBACK, {"feedback_id": "F", "tutor_id": "T", "rating": 5})
    worker = QueueWorker([TUTORS, FEEDBACK], client=like(), batch_size=2)
    away, tries = [True], list[int]()

    @worker.register_batch_handler(TUTORS)
    def lacking(data: list[object]) -> bool:
        tries.append(len(data))
        if away[0]:
            raise HandlerUnavailableError("the database is away")
        return True

    worker.register_handler(FEEDBACK, lambda data: True)
    with pytest.raises(HandlerUnavailableError, match="the database is away"):
        worker.run_once()
    assert (tries, worker.statistics().total.processed) == ([2], 1)
    assert [one.deliveries for one in consumer.get_pending_messages(TUTORS)] == [0, 0]
    away[0] = False
    assert worker.run_once() == 3
    assert_empty(client, TUTORS, FEEDBACK)


def test_a_handler_that_publishes_waits_for_a_server_without_memory(
    own_server: EmbeddedServer, own_client: RedisClient
) -> None:
    publisher = MessagePublisher(own_client)
    publish(publisher, 2)
    tries: list[object] = []
    with RedisClient(own_client.settings.model_copy(update={"max_retries": 0})) as impatient:
        worker = QueueWorker(TUTORS, client=impatient)

        @worker.register_handler(TUTORS)
        def pass_on(data: object) -> bool:
            if not tries:
                own_client.redis.config_set("maxmemory", 1)
            tries.append(data)
            return bool(publisher.publish(FEEDBACK, {"feedback_id": "F", "tutor_id": "T", "rating": 5}))

        with in_background(worker.run):
            wait_until(lambda: len(tries) > 1, 30)
            own_client.redis.config_set("maxmemory", 0)
            wait_until(lambda: worker.statistics().total.processed == 2, 30)
            worker.stop()
    assert (worker.statistics().total.failed, letters(own_client)) == (0, [])
