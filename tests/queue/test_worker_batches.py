"""Batch handlers: one call for many messages, and none of them pays for another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from queue_core import MessagePublisher, QueueChannels, QueueWorker, ReceivedMessage
from queue_core.client import RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.monitor import snapshot
from tests.conftest import wait_until
from tests.queue.conftest import Like, tutor

TUTORS = QueueChannels.TUTORS
BAD = tutor(3)


@pytest.fixture
def work(like: Like, publisher: MessagePublisher, client: RedisClient) -> Callable[..., QueueWorker]:
    """Publish six messages, and have the handler work until all are settled."""

    def until_settled(handler: object) -> QueueWorker:
        for number in range(6):
            publisher.publish(TUTORS, tutor(number))
        worker = QueueWorker(TUTORS, client=like(retry_backoff_ms=1, max_retries=1), batch_size=4)
        worker.register_batch_handler(TUTORS, handler)
        wait_until(lambda: worker.run_once() is not None and not snapshot(client, TUTORS).pending, 30)
        return worker

    return until_settled


def test_it_gets_up_to_a_batch_of_data_and_of_messages(work: Callable[..., QueueWorker]) -> None:
    calls: list[list[object]] = []

    def handle(data: list[object], messages: list[ReceivedMessage]) -> bool:
        assert [one.data for one in messages] == data
        calls.append(data)
        return True

    assert work(handle).statistics().total.processed == 6
    assert calls == [[tutor(n) for n in range(4)], [tutor(4), tutor(5)]]


@pytest.mark.parametrize("how", ["false", "exception"])
def test_the_messages_of_a_batch_that_failed_are_tried_one_by_one(
    work: Callable[..., QueueWorker], client: RedisClient, how: str
) -> None:
    calls: list[list[object]] = []

    def handle(data: list[dict[str, object]]) -> bool:
        calls.append([dict(one) for one in data])
        bad = BAD in data
        data[0].clear()  # it may do with it what it likes
        if bad and how == "exception":
            raise KeyError
        return not bad

    total = work(handle).statistics().total
    assert (total.processed, total.failed, total.dead) == (5, 2, 1)
    assert calls[1:5] == [[tutor(n)] for n in range(4)]
    (letter,) = DeadLetters(client).iterate()
    assert (letter.entry_id, len(letter.attempts)) == (
        client.redis.xrange(client.keys.stream(TUTORS))[3][0].decode(),
        2,
    )


def test_one_bool_for_each_tries_again_only_those_that_failed(
    work: Callable[..., QueueWorker], client: RedisClient
) -> None:
    handled: list[object] = []

    def handle(data: list[object]) -> list[bool]:
        handled.extend(data)
        return [one != BAD for one in data]

    total = work(handle).statistics().total
    assert (total.processed, total.failed, total.retried, total.dead) == (5, 2, 1, 1)
    assert sorted(map(str, handled)) == sorted(str(tutor(n)) for n in (0, 1, 2, 3, 3, 4, 5))
