"""Redis away under a worker: no message pays for it, and it is said once. On each kind of server."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from pydantic import SecretStr

from queue_core import MessagePublisher, QueueChannels, QueueWorker, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.errors import AccessDeniedError, QueueUnavailableError
from queue_core.monitor import snapshot
from tests.conftest import wait_until
from tests.queue.conftest import frozen, in_background, tutor

TUTORS = QueueChannels.TUTORS
Made = Callable[..., QueueWorker]


@pytest.fixture
def make(own_client: RedisClient) -> Made:
    def make_one(handler: object, **given: object) -> QueueWorker:
        worker = QueueWorker(TUTORS, client=own_client, **given)
        worker.register_handler(TUTORS, handler)
        return worker

    return make_one


def publish(client: RedisClient, count: int) -> None:
    for number in range(count):
        MessagePublisher(client).publish(TUTORS, tutor(number))


def test_a_running_worker_waits_for_redis_and_handles_nothing_twice(
    own_server: EmbeddedServer, own_client: RedisClient, make: Made, caplog: pytest.LogCaptureFixture
) -> None:
    publish(own_client, 6)
    handled: Counter[object] = Counter()
    away, back = threading.Event(), threading.Event()

    def handle(data: dict[str, object]) -> bool:
        handled[data["tutor_id"]] += 1
        if handled.total() == 3:
            own_server.stop()
            away.set()
        return True

    worker = make(handle)
    with caplog.at_level(logging.WARNING), in_background(worker.run) as outcome:
        assert away.wait(30)
        wait_until(lambda: "Waiting until Redis is back" in caplog.text, 30)
        own_server.start()
        back.set()
        wait_until(lambda: worker.statistics().total.processed == 6, 30)
        worker.stop()
    assert outcome == [None]
    assert set(handled.values()) == {1}
    total = worker.statistics().total
    assert (total.failed, total.dead, total.taken_over) == (0, 0, 0)
    said = [one for one in caplog.messages if "Redis is back" in one]
    assert [one.partition(" ")[0] for one in said] == ["Waiting", "Redis"]
    assert not snapshot(own_client, TUTORS).pending


def test_a_stop_waits_for_redis_where_something_is_handled_and_not_acknowledged(
    own_server: EmbeddedServer, own_client: RedisClient, make: Made
) -> None:
    publish(own_client, 2)
    away = threading.Event()

    def handle(data: object) -> bool:
        own_server.stop()
        worker.stop()
        away.set()
        return True

    worker = make(handle, grace_seconds=30)
    with in_background(worker.run):
        assert away.wait(30)
        own_server.start()
    assert worker.statistics().total.processed == 1
    seen = snapshot(own_client, TUTORS)
    assert seen.waiting + seen.pending == 1


def test_the_grace_time_is_counted_once_from_the_stop_while_redis_does_not_answer(
    own_server: EmbeddedServer, own_client: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    publish(own_client, 2)
    settings = own_client.settings.model_copy(update={"socket_timeout": 0.3})
    with RedisClient(settings) as hasty, ExitStack() as stack:
        worker = QueueWorker(TUTORS, client=hasty, grace_seconds=300)

        @worker.register_handler(TUTORS)
        def handle(data: object) -> bool:
            stack.enter_context(frozen(own_server))
            worker.stop()
            worker._stop.requested_at -= 299.9  # as if the handler had taken that long to end
            return True

        with in_background(worker.run):  # which is given 30 s to end
            pass
    assert "Nothing could be given back" in caplog.text


def test_an_acknowledgement_whose_answer_was_lost_counts_once(
    own_server: EmbeddedServer, own_client: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    publish(own_client, 2)
    settings = own_client.settings.model_copy(update={"socket_timeout": 0.3})
    with RedisClient(settings) as hasty, ExitStack() as stack:
        handled: list[object] = []
        goes_on: list[Callable[[], None]] = []
        worker = QueueWorker(TUTORS, client=hasty)

        @worker.register_handler(TUTORS)
        def handle(data: object) -> bool:
            handled.append(data)
            if len(handled) == 2:  # the server knows the script by now
                goes_on.append(stack.enter_context(frozen(own_server)))
            return True

        with in_background(worker.run):
            wait_until(lambda: "Waiting until Redis is back" in caplog.text, 30)
            goes_on[0]()
            wait_until(
                lambda: worker.statistics().total.processed + worker.statistics().total.taken_over == 2, 30
            )
            worker.stop()
    assert len(handled) == 2
    total = worker.statistics().total
    assert (total.processed, total.taken_over) == (2, 0)


def test_run_once_raises_and_the_next_one_takes_up_what_was_left(
    own_server: EmbeddedServer, own_client: RedisClient, make: Made
) -> None:
    publish(own_client, 3)
    handled: Counter[object] = Counter()

    def handle(data: dict[str, object]) -> bool:
        handled[data["tutor_id"]] += 1
        if handled.total() == 1:
            own_server.stop()
        return True

    worker = make(handle, grace_seconds=0)
    with pytest.raises(QueueUnavailableError):
        worker.run_once()
    with pytest.raises(QueueUnavailableError):
        worker.run_once()
    own_server.start()
    worker.run_once()
    assert handled == {"T000": 1, "T001": 1, "T002": 1}
    assert worker.statistics().total.processed == 3


def test_a_handler_that_meets_with_the_same_trouble_did_not_fail(
    own_server: EmbeddedServer, own_client: RedisClient, make: Made
) -> None:
    publish(own_client, 1)
    tries: list[int] = []

    def handle(data: object) -> bool:
        tries.append(1)
        if len(tries) == 1:
            own_server.stop()
            own_client.health_check()
        return True

    worker = make(handle)
    with in_background(worker.run):
        wait_until(lambda: tries, 30)
        wait_until(lambda: not worker._processing.being_handled, 30)
        own_server.start()
        wait_until(lambda: worker.statistics().total.processed, 30)
        worker.stop()
    assert worker.statistics().total.failed == 0
    assert len(tries) == 2


def test_a_wrong_password_ends_a_worker_at_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("guarded")
    with EmbeddedServer(folder, password=SecretStr("right")) as server:
        url = server.url.replace("redis://", "redis://:hunter2@")
        with RedisClient(RedisClient().settings.model_copy(update={"url": SecretStr(url)})) as client:
            worker = QueueWorker(TUTORS, client=client)
            worker.register_handler(TUTORS, lambda data: True)
            for start in (worker.run, worker.run_once):
                with pytest.raises(AccessDeniedError) as caught:
                    start()
                assert "hunter2" not in str(caught.value)
