"""What a worker has in hand stays its own for as long as its handler runs, and no longer. On each server."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, QueueWorker, ReceivedMessage
from queue_core.client import RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.interruption import SIGNAL, HandlerInterruption, Interruption, Why
from queue_core.lease import Lease
from queue_core.monitor import snapshot
from queue_core.pending import Finish
from tests.conftest import wait_until
from tests.queue.conftest import Like, in_background, tutor

TUTORS = QueueChannels.TUTORS
ROOT = Path(__file__).parents[2]
#: Scaled down from a handler of 20 s and a threshold of 5 s.
THRESHOLD_SECONDS = 0.3
Worker = Callable[..., QueueWorker]


@pytest.fixture
def make(like: Like) -> Worker:
    def make_one(handler: object, **given: object) -> QueueWorker:
        settings = {"worker_max_processing_time_seconds": THRESHOLD_SECONDS, "retry_backoff_ms": 1}
        limits = {
            name: given.pop(name) for name in list(given) if name in ("time_limit_seconds", "grace_seconds")
        }
        worker = QueueWorker(TUTORS, client=like(**settings | given), **limits)
        worker.register_handler(TUTORS, handler)
        return worker

    return make_one


def publish(publisher: MessagePublisher, count: int) -> None:
    for number in range(count):
        publisher.publish(TUTORS, tutor(number))


def test_a_handler_longer_than_the_threshold_is_not_taken_over_and_nor_is_what_waits_behind_it(
    client: RedisClient, publisher: MessagePublisher, make: Worker
) -> None:
    publish(publisher, 3)
    handled: Counter[str] = Counter()
    entered = threading.Event()

    def slow(data: dict[str, str]) -> bool:
        entered.set()
        handled[data["tutor_id"]] += 1
        time.sleep(4 * THRESHOLD_SECONDS if handled.total() == 1 else 0)  # what the handler does
        return True

    def stolen(data: object) -> bool:
        handled["stolen"] += 1
        return True

    first, second = make(slow), make(stolen)
    with in_background(first.run_once) as outcome:
        assert entered.wait(30)
        with in_background(second.run):
            wait_until(lambda: not snapshot(client, TUTORS).pending, 30)
            second.stop()
    assert outcome == [3]
    assert handled == {"T000": 1, "T001": 1, "T002": 1}
    assert first.statistics().total.taken_over == 0


def test_renewing_counts_no_delivery_and_steals_nothing_back(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 4)
    mine, theirs, deleted, done = (entry.id for entry in consumer.read(TUTORS, 4))
    lease = Lease(consumer)
    lease.take(TUTORS, [mine, theirs, deleted, done])
    client.redis.xclaim(client.keys.stream(TUTORS), other.group, other.name, 0, [theirs])
    client.redis.xdel(client.keys.stream(TUTORS), deleted)
    assert consumer.finish(TUTORS, [done]) == [Finish.DONE]
    lease.drop(TUTORS, [done])
    wait_until(lambda: min(one.idle_ms for one in consumer.get_pending_messages(TUTORS)) >= 50)
    assert lease.renew() == {TUTORS: [theirs]}
    held = {one.entry_id: one for one in consumer.get_pending_messages(TUTORS)}
    assert [(held[one].consumer, held[one].deliveries) for one in (mine, theirs)] == [
        ("one", 1),
        ("other", 2),
    ]
    assert held[mine].idle_ms < 50 <= held[deleted].idle_ms
    assert [lease.holds(TUTORS, one) for one in (mine, theirs, deleted, done)] == [True, False, True, False]


def test_finishing_acknowledges_only_what_is_still_held(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 2)
    mine, theirs = (entry.id for entry in consumer.read(TUTORS, 2))
    client.redis.xclaim(client.keys.stream(TUTORS), other.group, other.name, 0, [theirs])
    assert consumer.finish(TUTORS, [mine, theirs]) == [Finish.DONE, Finish.TAKEN_OVER]
    assert consumer.finish(TUTORS, [mine]) == [Finish.SETTLED]
    assert [one.entry_id for one in other.get_pending_messages(TUTORS)] == [theirs]


@pytest.mark.parametrize("answer", [True, False])
def test_what_was_taken_over_all_the_same_is_left_to_the_other(
    client: RedisClient,
    publisher: MessagePublisher,
    other: MessageConsumer,
    make: Worker,
    caplog: pytest.LogCaptureFixture,
    answer: bool,
) -> None:
    publish(publisher, 2)

    handled: list[object] = []

    def handle(data: object) -> bool:
        handled.append(data)
        (first, second) = client.redis.xpending_range(client.keys.stream(TUTORS), other.group, "-", "+", 2)
        ids = [one["message_id"] for one in (first, second)]
        client.redis.xclaim(client.keys.stream(TUTORS), other.group, other.name, 0, ids)
        wait_until(lambda: worker.statistics().total.taken_over == 2, 30)
        return answer

    worker = make(handle)
    assert worker.run_once() == 0
    total = worker.statistics().total
    assert (total.taken_over, total.failed) == (2, 0)
    assert handled == [tutor(0)]
    assert {one.consumer for one in other.get_pending_messages(TUTORS)} == {"other"}
    assert "taken over by another consumer" in caplog.text


def test_a_handler_past_its_time_limit_is_interrupted_and_that_is_a_failed_attempt(
    client: RedisClient, publisher: MessagePublisher, make: Worker
) -> None:
    publish(publisher, 2)
    swallowed: list[str] = []

    def handle(data: dict[str, str]) -> bool:
        if data["tutor_id"] == "T000":
            try:
                time.sleep(30)
            except Exception:  # noqa: BLE001 - as handlers do
                swallowed.append(data["tutor_id"])
        return True

    worker = make(handle, time_limit_seconds=0.1, max_retries=0)
    usual = signal.getsignal(SIGNAL)
    assert worker.run_once() == 1
    (letter,) = DeadLetters(client).iterate()
    assert (letter.reason, letter.errors) == (
        "retries_exhausted",
        ("last attempt: the handler took longer than 0.1 s",),
    )
    assert swallowed == []
    assert signal.getsignal(SIGNAL) is usual


def test_elsewhere_than_in_the_main_thread_the_message_is_given_up_over_the_handlers_head(
    client: RedisClient, publisher: MessagePublisher, make: Worker
) -> None:
    publish(publisher, 2)
    go_on = threading.Event()

    def stuck(data: dict[str, str]) -> bool:
        return go_on.wait(60)

    worker = make(stuck, time_limit_seconds=0.1)
    handled: list[tuple[str, int]] = []

    def note(data: dict[str, str], message: ReceivedMessage) -> bool:
        handled.append((data["tutor_id"], message.deliveries))
        return True

    with in_background(worker.run):
        wait_until(lambda: worker.statistics().total.failed, 30)
        rescuer = make(note)
        wait_until(lambda: rescuer.run_once() is not None and len(handled) == 2, 30)
        worker.stop()
        go_on.set()
    # What waited behind it was never begun.
    assert sorted(handled) == [("T000", 2), ("T001", 1)]
    total = worker.statistics().total
    assert (total.processed, total.failed, total.taken_over) == (0, 1, 0)
    assert not snapshot(client, TUTORS).pending


def test_what_was_taken_over_and_not_begun_keeps_its_deliveries_when_it_is_given_up(
    publisher: MessagePublisher, consumer: MessageConsumer, make: Worker
) -> None:
    publish(publisher, 3)
    consumer.read(TUTORS, 3)
    wait_until(lambda: min(one.idle_ms for one in consumer.get_pending_messages(TUTORS)) > 20)
    go_on = threading.Event()
    worker = make(
        lambda data: go_on.wait(60), time_limit_seconds=0.1, worker_max_processing_time_seconds=0.02
    )
    with in_background(worker.run):
        wait_until(lambda: worker.statistics().total.failed, 30)
        wait_until(
            lambda: {one.consumer for one in consumer.get_pending_messages(TUTORS)} == {"released"}, 30
        )
        seen = consumer.get_pending_messages(TUTORS)
        worker.stop()
        go_on.set()
    # The first was begun, and failed; the others are as the one that died left them.
    assert [one.deliveries for one in seen] == [2, 1, 1]


def test_only_the_call_that_was_meant_is_interrupted_and_signals_of_others_go_where_they_did() -> None:
    interruption, rang = Interruption(), list[int]()
    before = signal.signal(SIGNAL, lambda number, _: rang.append(number))
    try:
        assert not interruption.ask(Why.TIME_LIMIT, call=1)
        with interruption.possible():
            assert interruption.run(lambda: interruption.ask(Why.TIME_LIMIT, call=1), call=2)
            with pytest.raises(HandlerInterruption):
                interruption.run(lambda: interruption.ask(Why.TIME_LIMIT, call=2), call=2)
            signal.raise_signal(SIGNAL)
            assert rang == [SIGNAL]
    finally:
        signal.signal(SIGNAL, before)


def test_a_handler_that_swallows_its_interruption_is_given_up_too(
    client: RedisClient, publisher: MessagePublisher, make: Worker
) -> None:
    publish(publisher, 1)
    worker = make(lambda data: deaf(), time_limit_seconds=0.1, max_retries=0)

    def deaf() -> bool:
        while not worker.statistics().total.dead:
            try:
                time.sleep(30)
            except BaseException:  # noqa: BLE001 - as a bare except does
                wait_until(lambda: worker.statistics().total.dead, 30)
        return True

    assert worker.run_once() == 0
    (letter,) = DeadLetters(client).iterate()
    assert letter.errors == ("last attempt: the handler took longer than 0.1 s",)
    total = worker.statistics().total
    assert (total.failed, total.dead, total.taken_over) == (1, 1, 0)


def test_a_batch_past_its_time_limit_is_tried_one_by_one(
    client: RedisClient, publisher: MessagePublisher, like: Like
) -> None:
    publish(publisher, 3)

    def handle(data: list[dict[str, str]]) -> bool:
        if any(one["tutor_id"] == "T001" for one in data):
            time.sleep(30)
        return True

    worker = QueueWorker(TUTORS, client=like(max_retries=0), time_limit_seconds=0.1)
    worker.register_batch_handler(TUTORS, handle)
    assert worker.run_once() == 2
    (letter,) = DeadLetters(client).iterate()
    assert letter.errors == ("last attempt: the handler took longer than 0.1 s",)


def test_a_handler_that_ends_the_process_keeps_its_delivery_and_the_others_do_not(
    publisher: MessagePublisher, consumer: MessageConsumer, make: Worker
) -> None:
    publish(publisher, 3)
    worker = make(lambda data: sys.exit(3))
    with pytest.raises(SystemExit):
        worker.run_once()
    assert [one.deliveries for one in consumer.get_pending_messages(TUTORS)] == [1, 0, 0]
    assert {one.consumer for one in consumer.get_pending_messages(TUTORS)} == {"released"}
