"""From the stream into the table: real messages, bad messages, limits, stops, and trouble."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import orjson
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.errors import QueueUnavailableError
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome, Reason
from queue_core.serializer import serialize
from tests.conftest import settings_for
from tests.pipeline.conftest import Drain, ledger, rows
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.sample import sample_lines
from tutormax_pipeline.store import Store, StoreUnavailableError

TUTORS = QueueChannels.TUTORS
EXPECTED = {"tutors": 94, "sessions": 463, "feedback": 463}


def publish(publisher: MessagePublisher, count: int, start: int = 0) -> None:
    publisher.publish_batch(
        TUTORS, [{"tutor_id": f"T{n:05d}", "name": "x"} for n in range(start, start + count)]
    )


def assert_books_balance(client: RedisClient, store: Store) -> None:
    seen = snapshot(client, TUTORS)
    assert seen.entries_added == len(ledger(store)) + seen.waiting + seen.pending
    dead = Counter(outcome for *_, outcome, _ in ledger(store))["dead_lettered"]
    assert client.redis.xlen(client.keys.dead_letter) == dead == seen.dead


def test_the_sample_becomes_rows_and_again_only_ledger(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    for times in (1, 2):
        for channel in QueueChannels.all():
            publisher.publish_batch(channel, map(orjson.loads, sample_lines(channel)))
            report = drained(channel)
            assert report.outcomes == {Outcome.STORED: EXPECTED[channel.name]}
            assert store.row_count(channel) == EXPECTED[channel.name]
            assert len(ledger(store, channel)) == times * EXPECTED[channel.name]
    by_id = {row["session_id"]: row for row in rows(store, QueueChannels.SESSIONS)}
    assert by_id["C0001"]["extra"] == {"credits": "multi credit"}


def test_the_same_envelopes_again_are_duplicates(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 10)
    stream = client.keys.stream(TUTORS)
    for _, fields in client.redis.xrange(stream):
        client.redis.xadd(stream, fields)
    assert drained().outcomes == {Outcome.STORED: 10, Outcome.DUPLICATE: 10}
    assert store.row_count(TUTORS) == 10


def bad_bodies(stream: str) -> dict[str, tuple[Reason, dict[bytes, bytes]]]:
    def body(**data: object) -> bytes:
        return serialize(stream, {"tutor_id": "BAD", "name": "SECRET", **data})

    bad = {
        "not JSON": (Reason.MALFORMED, b"hello"),
        "invalid UTF-8": (Reason.MALFORMED, b"\xff\xfe"),
        "truncated": (Reason.MALFORMED, body()[:-9]),
        "nested too deep": (Reason.MALFORMED, b"[" * 100_000),
        "another name": (Reason.CHECKSUM_MISMATCH, body().replace(b"SECRET", b"OTHER!")),
        "too large": (Reason.TOO_LARGE, b"x" * (1_048_576 + 1)),
        "wrong channel": (Reason.INVALID, serialize("other:tutors", {"tutor_id": "BAD", "name": "x"})),
        "rating of 6": (Reason.INVALID, body(rating=6)),
        "rating as text": (Reason.INVALID, body(rating="4.8")),
        "no name": (Reason.INVALID, serialize(stream, {"tutor_id": "BAD"})),
        "no id": (Reason.INVALID, body(tutor_id=None)),
        "expired": (
            Reason.EXPIRED,
            serialize(stream, {"tutor_id": "BAD", "name": "x"}, metadata={"ttl_seconds": 1e-9}),
        ),
    }
    found = {name: (reason, {b"message": value}) for name, (reason, value) in bad.items()}
    return found | {"no field": (Reason.MALFORMED, {b"other": b"\x00"})}


def test_each_bad_message_has_its_outcome_and_its_neighbours_are_stored(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    stream = client.keys.stream(TUTORS)
    bad = bad_bodies(stream)
    for number, (_, fields) in enumerate(bad.values()):
        publish(publisher, 1, start=number)
        client.redis.xadd(stream, fields)
    report = drained()
    assert report.outcomes == {Outcome.STORED: len(bad), Outcome.DEAD_LETTERED: len(bad)}
    assert report.reasons == Counter(reason for reason, _ in bad.values())
    letters = [fields for _, fields in client.redis.xrange(client.keys.dead_letter)]
    assert [letter[b"reason"].decode() for letter in letters] == [reason for reason, _ in bad.values()]
    kept = [letter.get(b"message", letter.get(b"field:other")) for letter in letters]
    assert kept == [next(iter(fields.values())) for _, fields in bad.values()]
    assert b"SECRET" not in b"".join(letter[b"errors"] for letter in letters)
    assert store.row_count(TUTORS) == len(bad)
    assert_books_balance(client, store)


def test_an_old_entry_expires_unless_its_time_is_unlimited(
    client: RedisClient, store: Store, drained: Drain
) -> None:
    stream = client.keys.stream(TUTORS)
    for number, ttl in enumerate([{}, {"ttl_seconds": 0}, {"ttl_seconds": "soon"}], start=1):
        body = serialize(stream, {"tutor_id": f"T{number}", "name": "x"}, metadata=ttl)
        client.redis.xadd(stream, {"message": body}, id=f"{number}-0")
    assert drained().reasons == {Reason.EXPIRED: 2}
    assert [row["tutor_id"] for row in rows(store)] == ["T2"]


def test_a_crash_between_ledger_and_dead_letter_ends_with_one_letter(
    client: RedisClient, store: Store, consumer: MessageConsumer, drained: Drain
) -> None:
    from tutormax_pipeline.drain import Judge  # noqa: PLC0415 - only this test looks inside a turn

    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
    consumer.create_consumer_group(TUTORS)
    (entry,) = consumer.read(TUTORS, 1)
    store.write(TUTORS, [Judge(consumer, TUTORS)(entry)], "run-that-died")
    consumer.release(TUTORS, [entry.id])
    report = drained()
    assert (report.repeated, report.outcomes.total()) == (1, 0)
    assert client.redis.xlen(client.keys.dead_letter) == 1
    assert_books_balance(client, store)
    assert snapshot(client, TUTORS).pending == 0


def test_an_acknowledgement_that_was_lost_is_made_up_for(
    client: RedisClient, store: Store, publisher: MessagePublisher, consumer: MessageConsumer, drained: Drain
) -> None:
    publish(publisher, 3)
    drained()
    client.redis.xgroup_destroy(client.keys.stream(TUTORS), consumer.group)
    assert drained().repeated == 3
    assert (store.row_count(TUTORS), len(ledger(store))) == (3, 3)


@pytest.mark.parametrize(("batch_size", "most"), [(10, 25), (10, 30), (100, 7), (1, 3)])
def test_it_ends_after_exactly_the_messages_it_may_take(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, batch_size: int, most: int
) -> None:
    publish(publisher, 60)
    report = drained(batch_size=batch_size, max_messages=most)
    assert report.messages == most
    assert (report.after.waiting, report.after.pending) == (60 - most, 0)
    assert report.before.waiting == 60
    assert drained().messages == 60 - most


def test_a_stop_finishes_the_batch_in_hand_and_gives_back_the_next(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 50)
    asked = iter([False, True, True])
    report = drained(batch_size=10, stop=lambda: next(asked, True))
    assert (report.messages, report.stopped) == (10, True)
    assert report.after.pending == 10
    assert report.after.claimable
    assert drained().messages == 40
    assert set(_deliveries(store)) == {1}


def _deliveries(store: Store) -> list[int]:
    with store.engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT deliveries FROM message_ledger")]


def test_while_it_lingers_a_new_message_is_stored_and_its_time_bounds_it(
    store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    timer = threading.Timer(0.3, publish, (publisher, 1))
    timer.start()
    report = drained(linger_seconds=30.0, max_seconds=1.5)
    timer.join()
    assert report.messages == 1
    assert 1.4 < report.seconds < 5
    assert report.latency.max_ms < 500
    assert report.working_seconds < 0.7


def test_a_locked_store_is_nobodys_fault_and_everything_is_there_at_once(
    client: RedisClient, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publish(publisher, 30)
    with Store.open(f"sqlite:///{tmp_path}/s.db", timeout_seconds=0.05) as store:
        holder = store.engine.execution_options(begin="BEGIN IMMEDIATE").connect()
        holder.begin()
        limits = DrainLimits(batch_size=10)
        with pytest.raises(StoreUnavailableError, match="locked"):
            drain(MessageConsumer(client), store, TUTORS, run_id="r1", limits=limits)
        holder.close()
        assert client.redis.xlen(client.keys.dead_letter) == 0
        assert snapshot(client, TUTORS).claimable
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r2", limits=limits)
        assert report.outcomes == {Outcome.STORED: 30}
        assert set(_deliveries(store)) == {1}


def test_a_server_that_goes_away_fails_the_drain_and_loses_nothing(tmp_path: Path, store: Store) -> None:
    server = EmbeddedServer(tmp_path / "data")
    server.start()
    settings = settings_for(server, worker_max_processing_time_seconds=0.001)
    with RedisClient(settings) as client:
        publish(MessagePublisher(client), 5_000)
        calls = 0

        def stop_the_server() -> bool:
            nonlocal calls
            calls += 1
            if calls == 3:
                server.stop()
            return False

        with pytest.raises(QueueUnavailableError, match="not available"):
            drain(
                MessageConsumer(client),
                store,
                TUTORS,
                run_id="r",
                limits=DrainLimits(100),
                stop=stop_the_server,
            )
    with (
        EmbeddedServer(tmp_path / "data") as again,
        RedisClient(settings.model_copy(update={"url": type(settings.url)(again.url)})) as client,
    ):
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r2")
        assert store.row_count(TUTORS) == 5_000
        assert report.after.waiting == report.after.pending == 0
        assert_books_balance(client, store)


def test_a_message_deleted_while_pending_is_reported_as_lost(valkey: EmbeddedServer, store: Store) -> None:
    with RedisClient(settings_for(valkey)) as client:
        publish(MessagePublisher(client), 2)
        dying = MessageConsumer(client, "dying")
        dying.create_consumer_group(TUTORS)
        first, second = dying.read(TUTORS, 2)
        dying.release(TUTORS, [first.id, second.id])
        client.redis.xdel(client.keys.stream(TUTORS), first.id)
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r")
    assert report.lost == [first.id]
    assert report.messages == 1


def test_two_drains_at_once_share_the_work(
    client: RedisClient, store: Store, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publish(publisher, 3_000)
    reports = []

    def run(name: str) -> None:
        with Store.open(f"sqlite:///{tmp_path}/store.db") as own:
            limits = DrainLimits(batch_size=100)
            reports.append(drain(MessageConsumer(client, name), own, TUTORS, run_id=name, limits=limits))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.outcomes[Outcome.STORED] for report in reports) == store.row_count(TUTORS) == 3_000
    assert_books_balance(client, store)
    assert client.redis.xinfo_consumers(client.keys.stream(TUTORS), "tutormax-workers") == []
