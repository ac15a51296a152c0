"""Trouble of the infrastructure is no message's fault: the drain fails clearly, and everything waits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import orjson
import pytest
from sqlalchemy import text

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.errors import QueueError, QueueUnavailableError
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome, Reason
from tests.conftest import settings_for
from tests.pipeline.conftest import Drain, assert_books_balance, deliveries, ledger, letters, publish
from tutormax_pipeline import judge
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.store import Store, StoreError, StoreUnavailableError
from tutormax_pipeline.store.database import Purpose

TUTORS = QueueChannels.TUTORS
GROUP = "tutormax-workers"


def at_turn(number: int, act: Callable[[], object], *, stop: bool = False) -> Callable[[], bool]:
    """A stop that acts when it is asked for the so-many-th time, and is asked for from then on if so."""
    turns = itertools.count(1)

    def ask() -> bool:
        turn = next(turns)
        if turn == number:
            act()
        return stop and turn >= number

    return ask


@pytest.mark.parametrize("batches_before", [0, 2])
def test_a_locked_store_is_nobodys_fault_and_everything_is_there_at_once(
    client: RedisClient, publisher: MessagePublisher, tmp_path: Path, batches_before: int
) -> None:
    publish(publisher, 50)
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
    with Store.open(f"sqlite:///{tmp_path}/s.db", timeout_seconds=0.05) as store:
        holder = store.engine.execution_options(purpose=Purpose.ALONE).connect()
        with pytest.raises(StoreUnavailableError, match="locked") as caught:
            drain(
                MessageConsumer(client),
                store,
                TUTORS,
                run_id="r1",
                limits=DrainLimits(batch_size=10),
                stop=at_turn(batches_before + 1, holder.begin),
            )
        assert "\n" not in str(caught.value)
        holder.close()
        assert letters(client) == []
        assert store.row_count(TUTORS) == 10 * batches_before
        assert snapshot(client, TUTORS).claimable
        assert_books_balance(client, store)
        (held,) = client.redis.xinfo_consumers(client.keys.stream(TUTORS), GROUP)
        assert (held["name"], held["pending"]) == (b"released", 20)
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r2")
        assert report.outcomes == {Outcome.STORED: 50 - 10 * batches_before, Outcome.DEAD_LETTERED: 1}
        assert report.repeated == 0
        assert deliveries(store) == {1}
        assert_books_balance(client, store)


def test_a_store_that_refuses_a_statement_fails_the_drain_and_takes_no_message_along(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 30)
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE tutors RENAME TO tutors_moved"))
    with pytest.raises(StoreError, match="no such table"):
        drained(batch_size=10)
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE tutors_moved RENAME TO tutors"))
    assert letters(client) == []
    assert drained().outcomes == {Outcome.STORED: 30}
    assert deliveries(store) == {1}


def test_a_server_that_goes_away_fails_the_drain_and_loses_nothing(tmp_path: Path, store: Store) -> None:
    server = EmbeddedServer(tmp_path / "data")
    server.start()
    settings = settings_for(server, worker_max_processing_time_seconds=0.001)
    with RedisClient(settings) as client:
        publish(MessagePublisher(client), 5_000)
        client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
        limits = DrainLimits(batch_size=100)
        with pytest.raises(QueueUnavailableError, match="not available") as caught:
            drain(
                MessageConsumer(client),
                store,
                TUTORS,
                run_id="r",
                limits=limits,
                stop=at_turn(3, server.stop),
            )
        assert "\n" not in str(caught.value)
    assert 100 <= store.row_count(TUTORS) < 5_000
    with (
        EmbeddedServer(tmp_path / "data") as again,
        RedisClient(settings.model_copy(update={"url": type(settings.url)(again.url)})) as client,
    ):
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r2")
        assert store.row_count(TUTORS) == 5_000
        assert (report.after.waiting, report.after.pending) == (0, 0)
        assert [letter[b"message"] for letter in letters(client)] == [b"junk"]
        assert_books_balance(client, store)


def test_a_server_that_is_not_there_is_told_in_one_line(tmp_path: Path, store: Store) -> None:
    with EmbeddedServer(tmp_path / "data") as server:
        settings = settings_for(server)
    with RedisClient(settings) as client, pytest.raises(QueueUnavailableError, match="REDIS_HOST") as caught:
        drain(MessageConsumer(client), store, TUTORS, run_id="r")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("turn", [1, 2, 3, 6, 7])
def test_a_group_that_is_destroyed_in_between_is_made_again(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, turn: int
) -> None:
    publish(publisher, 50)
    stream = client.keys.stream(TUTORS)
    drained(max_messages=0)
    report = drained(batch_size=10, stop=at_turn(turn, lambda: client.redis.xgroup_destroy(stream, GROUP)))
    assert report.outcomes == {Outcome.STORED: 50}
    assert store.row_count(TUTORS) == 50
    assert drained().outcomes.total() == 0
    assert (snapshot(client, TUTORS).waiting, snapshot(client, TUTORS).pending) == (0, 0)
    assert_books_balance(client, store)


def test_a_group_that_is_destroyed_while_it_stops_does_not_fail_it(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 50)
    stream = client.keys.stream(TUTORS)
    destroy = at_turn(2, lambda: client.redis.xgroup_destroy(stream, GROUP), stop=True)
    report = drained(batch_size=10, stop=destroy)
    assert (report.messages, report.stopped) == (10, True)
    report = drained()
    assert (report.outcomes, report.repeated) == ({Outcome.STORED: 40}, 10)
    assert_books_balance(client, store)


def test_a_group_that_is_destroyed_before_its_dead_letters_are_moved_costs_no_letter(
    client: RedisClient, store: Store, drained: Drain
) -> None:
    class Destroying(MessageConsumer):
        def dead_letter(self, *args: object) -> int:
            client.redis.xgroup_destroy(stream, GROUP)
            return super().dead_letter(*args)  # type: ignore[arg-type]

    stream = client.keys.stream(TUTORS)
    for number in range(3):
        client.redis.xadd(stream, {"message": b"junk %d" % number})
    drain(Destroying(client), store, TUTORS, run_id="r", limits=DrainLimits(max_messages=3))
    drained()
    assert [letter[b"message"] for letter in letters(client)] == [b"junk 0", b"junk 1", b"junk 2"]
    assert_books_balance(client, store)


def test_one_whose_retries_are_used_up_after_its_group_was_destroyed_is_in_the_ledger_and_a_dead_letter(
    valkey: EmbeddedServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(judge, "validate", fail)
    with RedisClient(settings_for(valkey, max_retries=1, retry_backoff_ms=60_000)) as client:
        publish(MessagePublisher(client), 1)
        assert drain(MessageConsumer(client), store, TUTORS, run_id="r1").retried == 1
        client.redis.xgroup_destroy(client.keys.stream(TUTORS), GROUP)
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r2")
        assert (report.retried, report.outcomes) == (0, {Outcome.DEAD_LETTERED: 1})
        (letter,) = letters(client)
        assert len(orjson.loads(letter[b"attempts"])) == 2
        ((_, _, outcome, reason),) = ledger(store)
        assert (outcome, reason) == (Outcome.DEAD_LETTERED, Reason.RETRIES_EXHAUSTED)
        assert_books_balance(client, store)


def test_a_stream_that_is_deleted_in_between_ends_the_drain_in_order(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 50)
    stream = client.keys.stream(TUTORS)
    report = drained(batch_size=10, stop=at_turn(2, lambda: client.redis.delete(stream)))
    assert report.messages in (10, 20)  # the second was read ahead, or not yet
    publish(publisher, 5, start=50)
    assert drained().outcomes == {Outcome.STORED: 5}


def test_a_full_redis_is_still_drained(tmp_path: Path, store: Store) -> None:
    with EmbeddedServer(tmp_path / "data") as server, RedisClient(settings_for(server)) as client:
        publisher = MessagePublisher(client)
        publish(publisher, 30)
        drain(MessageConsumer(client), store, TUTORS, run_id="r1", limits=DrainLimits(max_messages=10))
        client.redis.config_set("maxmemory", 1)
        with pytest.raises(QueueUnavailableError):
            publish(publisher, 1, start=30)
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r2")
        assert report.outcomes == {Outcome.STORED: 20}
        assert (report.after.waiting, report.after.pending) == (0, 0)


def test_a_full_redis_keeps_a_bad_message_pending_until_its_letter_has_room(
    tmp_path: Path, store: Store
) -> None:
    with EmbeddedServer(tmp_path / "data") as server, RedisClient(settings_for(server)) as client:
        publish(MessagePublisher(client), 1)
        client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
        drain(MessageConsumer(client), store, TUTORS, run_id="r1", limits=DrainLimits(max_messages=1))
        client.redis.config_set("maxmemory", 1)
        with pytest.raises(QueueUnavailableError):
            drain(MessageConsumer(client), store, TUTORS, run_id="r2")
        assert (letters(client), snapshot(client, TUTORS).pending) == ([], 1)
        client.redis.config_set("maxmemory", 0)
        assert drain(MessageConsumer(client), store, TUTORS, run_id="r3").repeated == 1
        assert [letter[b"message"] for letter in letters(client)] == [b"junk"]
        assert_books_balance(client, store)


def test_a_key_that_is_no_stream_is_told_in_one_line(client: RedisClient, drained: Drain) -> None:
    client.redis.set(client.keys.stream(TUTORS), "text")
    with pytest.raises(QueueError, match="WRONGTYPE") as caught:
        drained()
    assert "\n" not in str(caught.value)
