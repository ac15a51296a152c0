"""Killing a drain at any moment changes nothing in the tables at the end."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome
from tests.conftest import settings_for, wait_until
from tests.pipeline.conftest import Drainer, letters
from tutormax_pipeline.drain import drain
from tutormax_pipeline.store import Store

SESSIONS = QueueChannels.SESSIONS
MESSAGES = 20_000
KILLS = 20


def publish(client: RedisClient, count: int) -> None:
    records = ({"session_id": f"S{n:05d}", "tutor_id": "T"} for n in range(count))
    MessagePublisher(client).publish_batch(SESSIONS, records)


def kill_drains(
    drainer: Drainer,
    client: RedisClient,
    server: EmbeddedServer,
    store: Store,
    dice: random.Random,
    *,
    kills: int = KILLS,
    batch_sizes: tuple[int, ...] = (10, 100, 500),
) -> None:
    """Start a drain and kill it, time after time: soon after its start, or soon after a batch of it."""

    def settled() -> int:
        return sum(store.outcome_counts(SESSIONS).values())

    progress = [0]
    for turn in range(kills):
        batch_size = dice.choice(batch_sizes)
        limits = {"batch_size": batch_size, "linger_seconds": 60}
        process = drainer.start(client, server, store.address, **limits)
        if turn % 2:
            wait_until(
                lambda: settled() > progress[-1] or not snapshot(client, SESSIONS).waiting, timeout_seconds=30
            )
        time.sleep(dice.uniform(0.0, 0.01 if turn % 2 else 0.03))  # the random moment
        os.kill(process, signal.SIGKILL)
        assert drainer.wait() == (-signal.SIGKILL, None)
        progress.append(settled())
    assert len(set(progress)) > kills / 3, "the kills were to fall between batches of one long drain"


def drain_the_rest(client: RedisClient, store: Store) -> None:
    def is_empty() -> bool:
        drain(MessageConsumer(client), store, SESSIONS, run_id="last")
        left = snapshot(client, SESSIONS)
        return left.waiting == left.pending == 0

    wait_until(is_empty, timeout_seconds=60)


def assert_each_exactly_once(client: RedisClient, store: Store, count: int) -> None:
    assert store.outcome_counts(SESSIONS) == {
        Outcome.STORED: count,
        Outcome.DUPLICATE: 0,
        Outcome.DEAD_LETTERED: 0,
        Outcome.LOST: 0,
    }
    assert store.row_count(SESSIONS) == count
    seen = snapshot(client, SESSIONS)
    assert (seen.entries_added, seen.waiting, seen.pending) == (count, 0, 0)


def test_twenty_kills_over_twenty_thousand_messages_leave_each_exactly_once(
    valkey: EmbeddedServer, drainer: Drainer, store: Store
) -> None:
    settings = settings_for(valkey, worker_max_processing_time_seconds=0.05)
    with RedisClient(settings) as client:
        publish(client, MESSAGES)
        kill_drains(drainer, client, valkey, store, random.Random(20261107))
        drain_the_rest(client, store)
        assert_each_exactly_once(client, store, MESSAGES)


def test_kills_of_drains_into_postgresql_leave_each_exactly_once(
    valkey: EmbeddedServer, drainer: Drainer, postgres_url: str
) -> None:
    settings = settings_for(valkey, worker_max_processing_time_seconds=0.05)
    with RedisClient(settings) as client, Store.open(postgres_url) as store:
        dice = random.Random(20261109)
        publish(client, 5_000)
        kill_drains(drainer, client, valkey, store, dice, kills=9, batch_sizes=(10, 100))
        drain_the_rest(client, store)
        assert_each_exactly_once(client, store, 5_000)


def test_kills_among_bad_messages_leave_one_letter_of_each(
    valkey: EmbeddedServer, drainer: Drainer, tmp_path: Path
) -> None:
    settings = settings_for(valkey, worker_max_processing_time_seconds=0.05)
    with RedisClient(settings) as client, Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        pipeline = client.pipeline()
        for number in range(10_000):
            pipeline.xadd(client.keys.stream(SESSIONS), {"message": b"junk %d" % number})
        pipeline.execute()
        kill_drains(drainer, client, valkey, store, random.Random(20261108))
        drain_the_rest(client, store)
        kept = Counter(letter[b"message"] for letter in letters(client))
        assert kept == Counter(b"junk %d" % number for number in range(10_000))
        assert store.outcome_counts(SESSIONS)[Outcome.DEAD_LETTERED] == 10_000
        assert snapshot(client, SESSIONS).dead == 10_000
