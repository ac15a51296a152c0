"""A worker that runs: it waits, takes turns, and ends. On each kind of server."""

from __future__ import annotations

import threading

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, ReceivedMessage
from queue_core.client import RedisClient
from queue_core.monitor import snapshot
from queue_core.serializer import serialize
from tests.conftest import wait_until
from tests.queue.conftest import MakeWorker, tutor
from tests.queue.workers import (
    FEEDBACK,
    SESSIONS,
    TUTORS,
    assert_empty,
    publish,
    running,
)


def test_a_busy_channel_does_not_hold_up_another(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    publish(publisher, 100)
    publisher.publish(FEEDBACK, {"feedback_id": "F", "tutor_id": "T", "rating": 5})
    order: list[str] = []
    worker = make(
        lambda data, message: order.append(message.channel) or True,
        [TUTORS, SESSIONS, FEEDBACK],
        batch_size=5,
    )
    assert worker.run_once() == 101
    assert order.index(client.keys.stream(FEEDBACK)) <= 5
    assert_empty(client, *QueueChannels.all())


def test_a_waiting_worker_handles_what_comes_to_any_of_its_channels(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    handled: list[object] = []
    # Were it only looking every minute, nothing would come in time.
    worker = make(
        lambda data: handled.append(data) or True, [TUTORS, FEEDBACK], worker_poll_interval_ms=60_000
    )
    with running(worker):
        for number in range(5):
            publisher.publish(TUTORS, tutor(number))
            publisher.publish(FEEDBACK, {"feedback_id": f"F{number}", "tutor_id": "T", "rating": 5})
            wait_until(lambda number=number: len(handled) == 2 * number + 2, 30)
    assert_empty(client, TUTORS, FEEDBACK)


@pytest.mark.parametrize("poll_ms", [20, 60_000])
def test_the_poll_interval_is_how_soon_what_another_left_is_noticed(
    client: RedisClient,
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    make: MakeWorker,
    poll_ms: int,
) -> None:
    handled: list[object] = []
    worker = make(lambda data: handled.append(data) or True, worker_poll_interval_ms=poll_ms)
    with running(worker):
        publisher.publish(TUTORS, tutor(1))
        wait_until(lambda: handled, 30)  # it has looked for what is left, and waits
        consumer.create_consumer_group(TUTORS)
        pipeline = client.redis.pipeline(transaction=True)
        pipeline.xadd(
            client.keys.stream(TUTORS), {"message": serialize(client.keys.stream(TUTORS), tutor(2))}
        )
        pipeline.xreadgroup(consumer.group, consumer.name, {client.keys.stream(TUTORS): ">"}, count=1)
        ((entry_id, _),) = next(iter(pipeline.execute()[1].values()))
        consumer.release(TUTORS, [entry_id.decode()])
        if poll_ms == 20:
            wait_until(lambda: len(handled) == 2, 30)
        else:
            publisher.publish(TUTORS, tutor(3))
            wait_until(lambda: tutor(3) in handled, 30)
            assert tutor(2) not in handled


def test_the_group_may_go_while_a_worker_waits(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    handled: list[object] = []
    with running(make(lambda data: handled.append(data) or True)):
        publisher.publish(TUTORS, tutor(1))
        wait_until(lambda: handled, 30)
        client.redis.delete(client.keys.stream(TUTORS))
        publisher.publish(TUTORS, tutor(2))
        wait_until(lambda: tutor(2) in handled, 30)


def test_stop_ends_a_run_after_the_message_in_hand_and_gives_back_the_rest(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    publish(publisher, 10)
    begun, go_on, handled = threading.Event(), threading.Event(), list[object]()

    def handle(data: object) -> bool:
        begun.set()
        go_on.wait(30)
        handled.append(data)
        return True

    worker = make(handle)
    with running(worker):
        assert begun.wait(30)
        worker.stop()
        go_on.set()
    assert handled == [tutor(0)]
    assert worker.statistics().total.processed == 1
    seen = snapshot(client, TUTORS)
    assert (seen.waiting + seen.pending, seen.claimable) == (9, True)
    names = {
        one["name"] for one in client.redis.xinfo_consumers(client.keys.stream(TUTORS), "tutormax-workers")
    }
    assert names == {b"released"}
    after: list[ReceivedMessage] = []
    make(lambda data, message: after.append(message) or True).run_once()
    assert [one.deliveries for one in after] == [1] * 9


def test_a_stop_before_a_run_ends_it_as_it_begins_and_the_next_one_runs(
    publisher: MessagePublisher, make: MakeWorker
) -> None:
    publish(publisher, 1)
    worker = make(lambda data: True)
    worker.stop()
    worker.run()
    assert worker.statistics().total.processed == 0
    assert worker.run_once() == 1


def test_a_handler_may_stop_its_worker(publisher: MessagePublisher, make: MakeWorker) -> None:
    publish(publisher, 3)
    worker = make(lambda data: worker.stop() or True)
    worker.run()
    assert worker.statistics().total.processed == 1
