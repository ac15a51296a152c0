"""When a drain ends: at its limits, at a stop, or when nothing came while it lingered."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence

import pytest

from queue_core import Channel, MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.entry import Claimed, Entry
from queue_core.monitor import snapshot
from tests.conftest import wait_until
from tests.pipeline.conftest import Drain, assert_books_balance, deliveries, ledger, publish
from tutormax_pipeline import batches
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS


@pytest.mark.parametrize(
    ("batch_size", "most"),
    [(10, 25), (10, 30), (10, 10), (10, 11), (10, 9), (100, 7), (1, 3), (7, 59), (60, 60)],
)
def test_it_ends_after_exactly_the_messages_it_may_take(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, batch_size: int, most: int
) -> None:
    publish(publisher, 60)
    report = drained(batch_size=batch_size, max_messages=most)
    assert report.messages == most
    assert (report.before.waiting, report.after.waiting, report.after.pending) == (60, 60 - most, 0)
    assert not report.stopped
    assert drained().messages == 60 - most
    assert deliveries(store) == {1}


def test_with_more_allowed_than_there_is_it_ends_when_the_queue_is_empty(
    publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 25)
    assert drained(batch_size=10, max_messages=1_000, max_seconds=3_600).messages == 25


@pytest.mark.parametrize("limit", ["max_messages", "max_seconds"])
def test_a_limit_of_nothing_takes_nothing(
    client: RedisClient, publisher: MessagePublisher, drained: Drain, limit: str
) -> None:
    publish(publisher, 5)
    report = drained(**{limit: 0})
    assert (report.messages, report.after.waiting, report.after.pending) == (0, 5, 0)


@pytest.mark.parametrize(
    "limits",
    [
        {"batch_size": 0},
        {"batch_size": -1},
        {"max_messages": -1},
        {"max_seconds": -1},
        {"linger_seconds": -1},
    ],
)
def test_a_limit_that_means_nothing_is_refused_by_name(limits: dict[str, int]) -> None:
    (name,) = limits
    with pytest.raises(ValueError, match=name):
        DrainLimits(**limits)


class LateAnswers(MessageConsumer):
    """Its first read ahead is answered only after stale entries were looked for a second time."""

    looks = 0

    def __init__(self, client: RedisClient) -> None:
        super().__init__(client)
        self.looked_again = threading.Event()

    def claim(self, channel: Channel, count: int, *, min_idle_ms: int | None = None) -> Claimed:
        found = super().claim(channel, count, min_idle_ms=min_idle_ms)
        self.looks += 1
        if self.looks == 2:
            self.looked_again.set()
        return found

    def read(
        self, channel: Channel, count: int, *, block_ms: int = 0, acknowledge: Sequence[str] = ()
    ) -> list[Entry]:
        if self.looks == 1 and threading.current_thread() is not threading.main_thread():
            self.looked_again.wait(timeout=10)
        return super().read(channel, count, block_ms=block_ms, acknowledge=acknowledge)


def test_what_is_read_ahead_counts_before_its_answer_is_there(
    client: RedisClient,
    store: Store,
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "_LOOK_SECONDS", 0.5)
    publish(publisher, 80)
    consumer.create_consumer_group(TUTORS)
    stale = consumer.read(TUTORS, 40)
    late = LateAnswers(client)
    turns = itertools.count(1)

    def make_some_stale() -> bool:
        if next(turns) == 2:
            consumer.release(TUTORS, [entry.id for entry in stale])
            due = time.monotonic() + 0.5
            wait_until(lambda: time.monotonic() > due, timeout_seconds=30)
        return False

    limits = DrainLimits(batch_size=10, max_messages=25)
    report = drain(late, store, TUTORS, run_id="r", limits=limits, stop=make_some_stale)
    assert late.looks > 1
    assert report.messages == 25
    assert report.after.pending + report.after.waiting == 55


def test_stale_entries_come_first_and_count_as_taken(
    client: RedisClient, store: Store, publisher: MessagePublisher, consumer: MessageConsumer, drained: Drain
) -> None:
    publish(publisher, 30)
    consumer.create_consumer_group(TUTORS)
    entries = consumer.read(TUTORS, 15)
    consumer.release(TUTORS, [entry.id for entry in entries])
    report = drained(batch_size=10, max_messages=15)
    assert report.messages == 15
    assert {entry_id for entry_id, *_ in ledger(store)} == {entry.id for entry in entries}
    assert (report.after.waiting, report.after.pending) == (15, 0)


def test_a_stop_finishes_the_batch_in_hand_and_gives_back_the_next(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 50)
    asked = iter([False, True])
    report = drained(batch_size=10, stop=lambda: next(asked, True))
    assert (report.messages, report.stopped) == (10, True)
    assert (report.after.pending, report.after.waiting) == (10, 30)
    assert report.after.claimable
    assert_books_balance(client, store)
    report = drained()
    assert (report.messages, report.repeated) == (40, 0)
    assert deliveries(store) == {1}


def test_a_stop_asked_for_before_it_begins_takes_nothing(publisher: MessagePublisher, drained: Drain) -> None:
    publish(publisher, 5)
    report = drained(stop=lambda: True)
    assert (report.messages, report.stopped, report.after.waiting) == (0, True, 5)


def test_when_its_time_is_up_it_finishes_the_batch_in_hand_and_gives_back_the_next(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 50)
    turns = itertools.count()
    begun = 0.0

    def let_the_time_pass() -> bool:
        nonlocal begun
        turn = next(turns)
        if turn == 0:
            begun = time.monotonic()
        if turn == 1:
            wait_until(lambda: time.monotonic() > begun + 0.5, timeout_seconds=30)
        return False

    report = drained(batch_size=10, max_seconds=0.5, stop=let_the_time_pass)
    assert (report.messages, report.stopped) == (10, False)
    assert (report.after.pending, report.after.waiting) == (10, 30)
    assert drained().messages == 40
    assert deliveries(store) == {1}


def test_while_it_lingers_a_new_message_is_stored_at_once(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 1)
    seen: list[int] = []

    def publish_while_it_waits() -> None:
        for number in (1, 2):
            wait_until(lambda: client.redis.info("clients")["blocked_clients"], timeout_seconds=30)
            publish(publisher, 1, start=number)
            wait_until(lambda: store.row_count(TUTORS) > number, timeout_seconds=30)  # noqa: B023 - used before it changes
            seen.append(store.row_count(TUTORS))

    thread = threading.Thread(target=publish_while_it_waits)
    thread.start()
    report = drained(linger_seconds=30, max_messages=3)
    thread.join()
    assert (report.messages, seen) == (3, [2, 3])
    assert (report.after.waiting, report.after.pending) == (0, 0)
    assert report.latency.max_ms < 1_000
    assert report.working_seconds < report.seconds < 20


def test_what_was_asked_for_ahead_and_did_not_come_may_come_later(
    client: RedisClient, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 10)

    def publish_while_it_waits() -> None:
        wait_until(lambda: client.redis.info("clients")["blocked_clients"], timeout_seconds=30)
        publish(publisher, 15, start=10)

    thread = threading.Thread(target=publish_while_it_waits)
    thread.start()
    report = drained(batch_size=10, max_messages=20, linger_seconds=30)
    thread.join()
    assert (report.messages, report.after.waiting) == (20, 5)


def test_it_lingers_as_long_as_it_may_after_the_last_message(
    publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 3)
    report = drained(linger_seconds=0.7)
    assert report.messages == 3
    assert 0.7 <= report.seconds < 10
    assert report.working_seconds < 0.5 * report.seconds


def test_its_time_bounds_how_long_it_lingers(drained: Drain) -> None:
    report = drained(linger_seconds=60, max_seconds=0.3)
    assert 0.3 <= report.seconds < 20


def test_a_stop_ends_the_lingering(client: RedisClient, drained: Drain) -> None:
    asked = threading.Event()

    def stop_while_it_waits() -> None:
        wait_until(lambda: client.redis.info("clients")["blocked_clients"], timeout_seconds=30)
        asked.set()

    thread = threading.Thread(target=stop_while_it_waits)
    thread.start()
    report = drained(linger_seconds=60, stop=asked.is_set)
    thread.join()
    assert report.stopped
    assert report.seconds < 20
    assert snapshot(client, TUTORS).group_exists
