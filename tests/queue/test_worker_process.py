"""A worker as a process: asked to stop, asked again, past its grace time, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, QueueWorker
from queue_core.client import RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.embedded import EmbeddedServer
from queue_core.monitor import snapshot
from tests.conftest import settings_for, wait_until
from tests.queue.conftest import Like, tutor

TUTORS = QueueChannels.TUTORS
ROOT = Path(__file__).parents[2]


def publish(publisher: MessagePublisher, count: int) -> None:
    for number in range(count):
        publisher.publish(TUTORS, tutor(number))


SCRIPT = """
import sys, time
from queue_core import QueueWorker
log = open(sys.argv[1], "a")
def handle(data, message):
    print("began", data["tutor_id"], file=log, flush=True)
    time.sleep(float(sys.argv[2]))
    print("handled", data["tutor_id"], file=log, flush=True)
    return True
worker = QueueWorker("tutors")
worker.register_handler("tutors", handle)
worker.run()
"""


@pytest.fixture
def client(valkey: EmbeddedServer) -> Iterator[RedisClient]:
    """On one kind of server: signals are no business of it."""
    with RedisClient(settings_for(valkey)) as client:
        yield client


class Process:
    """A worker in a process of its own, which logs what it handles, by lines."""

    def __init__(self, client: RedisClient, folder: Path, *, seconds: float, **variables: str) -> None:
        assert client.settings.url is not None
        self.log = folder / "handled"
        self.log.touch()
        settings = {
            "REDIS_URL": client.settings.url.get_secret_value(),
            "REDIS_KEY_PREFIX": client.settings.key_prefix,
            "REDIS_RETRY_BACKOFF_MS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(self.log), str(seconds)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings, **variables},
            cwd=folder,
            stderr=subprocess.DEVNULL,
        )

    def lines(self, word: str) -> list[str]:
        return [line.split()[1] for line in self.log.read_text().splitlines() if line.startswith(word)]


@pytest.fixture
def start(client: RedisClient, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start_one(*, seconds: float, **variables: str) -> Process:
        started.append(Process(client, tmp_path, seconds=seconds, **variables))
        return started[-1]

    yield start_one
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_batch_loses_nothing_and_nothing_is_handled_twice(
    client: RedisClient, publisher: MessagePublisher, start: Callable[..., Process], number: signal.Signals
) -> None:
    publish(publisher, 30)
    worker = start(seconds=0.05)
    wait_until(lambda: len(worker.lines("began")) >= 3, 60)
    worker.process.send_signal(number)
    assert worker.process.wait(30) == 0
    left = snapshot(client, TUTORS)
    handled = worker.lines("handled")
    assert worker.lines("began") == handled
    assert 0 < len(handled) < 30
    assert left.waiting + left.pending == 30 - len(handled)
    rest: list[str] = []
    second = QueueWorker(TUTORS, client=client)
    second.register_handler(TUTORS, lambda data: rest.append(data["tutor_id"]) or True)
    assert second.run_once() == 30 - len(handled)
    assert sorted(handled + rest) == [f"T{n:03d}" for n in range(30)]


def test_a_handler_that_outlasts_the_grace_time_is_interrupted_and_its_message_given_back_uncounted(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, start: Callable[..., Process]
) -> None:
    publish(publisher, 2)
    worker = start(seconds=60, REDIS_WORKER_GRACE_SECONDS="0.2")
    wait_until(lambda: worker.lines("began"), 60)
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    assert worker.lines("handled") == []
    assert [one.deliveries for one in consumer.get_pending_messages(TUTORS)] == [0, 0]


def test_a_second_signal_ends_at_once_and_gives_everything_back(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, start: Callable[..., Process]
) -> None:
    publish(publisher, 2)
    worker = start(seconds=60)
    wait_until(lambda: worker.lines("began"), 60)
    worker.process.terminate()

    def asked_again() -> bool:
        # Within a second it is the same request.
        time.sleep(0.3)
        worker.process.terminate()
        return worker.process.poll() is not None

    wait_until(asked_again, 30)
    assert worker.process.returncode in (0, -signal.SIGTERM)
    assert {one.consumer for one in consumer.get_pending_messages(TUTORS)} == {"released"}


def test_a_killed_worker_loses_nothing(
    client: RedisClient, publisher: MessagePublisher, start: Callable[..., Process], like: Like
) -> None:
    publish(publisher, 20)
    worker = start(seconds=0.02)
    wait_until(lambda: len(worker.lines("handled")) >= 3, 60)
    worker.process.kill()
    worker.process.wait()
    rest: list[str] = []
    second = QueueWorker(TUTORS, client=like(worker_max_processing_time_seconds=0.1))
    second.register_handler(TUTORS, lambda data: rest.append(data["tutor_id"]) or True)
    wait_until(lambda: second.run_once() is not None and not snapshot(client, TUTORS).pending, 30)
    handled = worker.lines("handled")
    assert set(handled + rest) == {f"T{n:03d}" for n in range(20)}
    assert len(handled + rest) <= 21
    assert not list(DeadLetters(client).iterate())
