"""Workers in a test's namespace, and what their tests look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from queue_core import MessagePublisher, QueueChannels, QueueWorker
from queue_core.client import RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.letter import DeadLetter
from queue_core.monitor import snapshot
from tests.conftest import wait_until
from tests.queue.conftest import in_background, tutor

TUTORS, SESSIONS, FEEDBACK = QueueChannels.all()


@contextmanager
def running(worker: QueueWorker) -> Iterator[None]:
    with in_background(worker.run) as outcome:
        try:
            yield
        finally:
            worker.stop()
    assert outcome == [None]


def letters(client: RedisClient) -> list[DeadLetter]:
    return list(DeadLetters(client).iterate())


def assert_empty(client: RedisClient, *channels: QueueChannels) -> None:
    for channel in channels or (TUTORS,):
        seen = snapshot(client, channel)
        assert (seen.waiting, seen.pending, seen.scheduled) == (0, 0, 0)
        assert client.redis.exists(client.keys.retry(channel), client.keys.processing(channel)) == 0


def publish(publisher: MessagePublisher, count: int) -> Sequence[str]:
    return [publisher.publish(TUTORS, tutor(n)) for n in range(count)]


def until_settled(worker: QueueWorker, client: RedisClient) -> None:
    def settled() -> bool:
        worker.run_once()
        return snapshot(client, TUTORS).pending == 0

    wait_until(settled, 30)
