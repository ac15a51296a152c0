"""A Redis that is full by memory is drained, whatever is wrong with what fills it; the books miss nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.errors import QueueUnavailableError
from queue_core.maintenance import maintain
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome
from tests.conftest import settings_for, wait_until
from tests.pipeline.conftest import assert_books_balance
from tutormax_pipeline import judge
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS
GOOD = 1_000
#: Answers to readers take memory on the server too.
SMALL = DrainLimits(batch_size=50)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[RedisClient]:
    settings = {"retry_backoff_ms": 1, "max_retries": 2}
    with (
        EmbeddedServer(tmp_path / "data") as server,
        RedisClient(settings_for(server, **settings)) as client,
    ):
        yield client


def record(number: int) -> dict[str, object]:
    return {"tutor_id": f"T{number}", "name": "x", "notes": "x" * 2_000}


def is_full(client: RedisClient) -> bool:
    client.redis.config_set("maxmemory", client.redis.info("memory")["used_memory"] - 10_000)
    try:
        client.redis.set("probe", "")
    except redis.OutOfMemoryError:
        return True
    client.redis.delete("probe")
    return False


def publish_until_full(client: RedisClient) -> None:
    with RedisClient(client.settings) as other:
        MessagePublisher(other).publish_batch(TUTORS, (record(n) for n in range(GOOD)))
    # What the server kept for that connection, and gives back in its own time, would be room again.
    wait_until(lambda: len(client.redis.client_list()) == 1 and is_full(client))
    with pytest.raises(QueueUnavailableError, match="maxmemory"):
        MessagePublisher(client).publish(TUTORS, record(0))


def test_bad_messages_before_all_others_hold_up_neither_drain_nor_publishers(
    client: RedisClient, store: Store
) -> None:
    for _ in range(5):
        client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
    publish_until_full(client)
    report = drain(MessageConsumer(client), store, TUTORS, run_id="r1", limits=SMALL)
    assert report.outcomes == {Outcome.STORED: GOOD, Outcome.DEAD_LETTERED: 5}
    assert (report.after.waiting, report.after.pending, report.after.dead) == (0, 0, 5)
    MessagePublisher(client).publish_batch(TUTORS, (record(n) for n in range(GOOD, GOOD + 50)))
    assert drain(MessageConsumer(client), store, TUTORS, run_id="r2").outcomes == {Outcome.STORED: 50}
    assert_books_balance(client, store)


def test_a_message_that_fails_again_and_again_is_retried_and_given_up(
    client: RedisClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    MessagePublisher(client).publish(TUTORS, {"tutor_id": "fails", "name": "x"}, message_id="fails")
    publish_until_full(client)
    real = judge.validate

    def validate(contract: object, message: object) -> object:
        if message.id == "fails":
            raise KeyError
        return real(contract, message)

    monkeypatch.setattr(judge, "validate", validate)
    for run in range(20):
        drain(MessageConsumer(client), store, TUTORS, run_id=f"r{run}", limits=SMALL)
        if snapshot(client, TUTORS).dead:
            break
    assert (snapshot(client, TUTORS).dead, snapshot(client, TUTORS).pending) == (1, 0)
    assert_books_balance(client, store)


def test_what_maintenance_trimmed_for_its_memory_is_not_missed_in_the_books(
    client: RedisClient, store: Store
) -> None:
    publish_until_full(client)
    drain(MessageConsumer(client), store, TUTORS, run_id="r1", limits=SMALL)
    report = maintain(client, TUTORS, datetime.now(UTC))
    assert report.trimmed_for_memory == report.trimmed > 0
    assert_books_balance(client, store)
