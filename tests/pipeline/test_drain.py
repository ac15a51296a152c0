"""From the stream into the table: real messages, the same ones again, and what a crash left behind."""

from __future__ import annotations

import threading

import orjson
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.entry import Delivery, Entry
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome, Reason
from queue_core.serializer import serialize
from tests.conftest import settings_for, wait_until
from tests.pipeline.conftest import (
    START,
    Drain,
    assert_books_balance,
    ledger,
    letters,
    publish,
    rows,
)
from tests.pipeline.refusing import refusing
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.judge import Judge
from tutormax_pipeline.sample import sample_lines
from tutormax_pipeline.store import Store

pytestmark = pytest.mark.on_both_databases

TUTORS = QueueChannels.TUTORS
EXPECTED = {"tutors": 94, "sessions": 463, "feedback": 463}
GROUP = "tutormax-workers"


def test_the_sample_becomes_rows_and_published_again_only_ledger(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    for times in (1, 2):
        for channel in QueueChannels.all():
            publisher.publish_batch(channel, map(orjson.loads, sample_lines(channel)))
            report = drained(channel)
            assert report.outcomes == {Outcome.STORED: EXPECTED[channel.name]}
            assert store.row_count(channel) == EXPECTED[channel.name]
            assert store.outcome_counts(channel) == {
                Outcome.STORED: times * EXPECTED[channel.name],
                Outcome.DUPLICATE: 0,
                Outcome.DEAD_LETTERED: 0,
                Outcome.LOST: 0,
            }
    for channel in QueueChannels.all():
        published = [orjson.loads(line) for line in sample_lines(channel)]
        for record, row in zip(
            sorted(published, key=lambda one: one[channel.id_field]), rows(store, channel), strict=True
        ):
            listed = {name: value for name, value in record.items() if name in row}
            assert {name: row[name] for name in listed} == listed
            assert (row["extra"] or {}) == {
                name: value for name, value in record.items() if name not in listed
            }


def test_the_same_envelopes_again_are_duplicates(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 10)
    stream = client.keys.stream(TUTORS)
    envelopes = [fields for _, fields in client.redis.xrange(stream)]
    for fields in envelopes:
        client.redis.xadd(stream, fields)
    assert drained().outcomes == {Outcome.STORED: 10, Outcome.DUPLICATE: 10}
    before = rows(store)
    for fields in envelopes:
        client.redis.xadd(stream, fields)
    assert drained().outcomes == {Outcome.DUPLICATE: 10}
    assert rows(store) == before
    assert letters(client) == []
    assert_books_balance(client, store)


def test_an_older_message_that_comes_later_leaves_the_newer_row(
    store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    for minute, name in ((5, "newer"), (4, "older")):
        publisher.publish(TUTORS, {"tutor_id": "T1", "name": name}, published_at=START.replace(minute=minute))
        assert drained().outcomes == {Outcome.STORED: 1}
    assert [row["name"] for row in rows(store)] == ["newer"]


def test_a_report_tells_what_was_there_before_and_after_and_how_long_it_took(
    client: RedisClient, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 25)
    report = drained(batch_size=10)
    assert report.channel == "tutors"
    assert (report.before.waiting, report.before.pending) == (25, 0)
    assert (report.after.waiting, report.after.pending) == (0, 0)
    assert (report.messages, report.batches, report.repeated, report.lost) == (25, 3, 0, [])
    assert 0 < report.working_seconds <= report.seconds < 30
    assert report.messages_per_second == pytest.approx(25 / report.working_seconds)
    assert 0 < (report.latency.percentile_ms(50) or 0) <= report.latency.max_ms < 30_000
    assert not report.stopped


def test_a_drain_of_nothing_makes_the_group_and_leaves_no_consumer(
    client: RedisClient, drained: Drain
) -> None:
    for _ in range(2):
        report = drained()
        assert (report.messages, report.batches, report.messages_per_second) == (0, 0, 0)
    (group,) = client.redis.xinfo_groups(client.keys.stream(TUTORS))
    assert (group["name"], group["consumers"]) == (GROUP.encode(), 0)


def test_its_consumer_is_removed_and_those_of_others_stay(
    client: RedisClient, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 3)
    other = MessageConsumer(client, "other")
    other.create_consumer_group(TUTORS)
    (held,) = other.read(TUTORS, 1)
    assert drained().messages == 2
    (left,) = client.redis.xinfo_consumers(client.keys.stream(TUTORS), GROUP)
    assert (left["name"], left["pending"]) == (b"other", 1)
    assert other.acknowledge(TUTORS, held.id) == 1


def test_a_crash_between_ledger_and_dead_letter_ends_with_one_letter(
    client: RedisClient, store: Store, consumer: MessageConsumer, drained: Drain
) -> None:
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
    consumer.create_consumer_group(TUTORS)
    (entry,) = consumer.read(TUTORS, 1)
    store.write(TUTORS, [Judge(consumer, TUTORS)(entry)], "run-that-died")
    assert letters(client) == []
    consumer.release(TUTORS, [entry.id])
    for repeated in (1, 0):
        report = drained()
        assert (report.repeated, report.outcomes.total()) == (repeated, 0)
        assert [letter[b"message"] for letter in letters(client)] == [b"junk"]
    assert_books_balance(client, store)
    assert snapshot(client, TUTORS).pending == 0


def test_a_crash_before_the_letter_keeps_the_reason_that_the_ledger_has(
    valkey: EmbeddedServer, store: Store
) -> None:
    with RedisClient(settings_for(valkey, worker_max_processing_time_seconds=0.001)) as client:
        stream = client.keys.stream(TUTORS)
        for number in (1, 2):
            body = serialize(stream, {"tutor_id": f"T{number}", "name": "x"}, message_id=f"m{number}")
            client.redis.xadd(stream, {"message": body}, id=f"{number}-0" if number == 1 else "*")
        dying = MessageConsumer(client, "dying")
        dying.create_consumer_group(TUTORS)
        judged = [Judge(dying, TUTORS)(entry) for entry in dying.read(TUTORS, 2)]
        with refusing(store, "tutors"):
            store.write(TUTORS, judged, "run-that-died")
        wait_until(lambda: snapshot(client, TUTORS).claimable, timeout_seconds=30)
        report = drain(MessageConsumer(client), store, TUTORS, run_id="next")
        assert (report.repeated, report.outcomes.total()) == (2, 0)
        kept = [(letter[b"message_id"], letter[b"reason"].decode()) for letter in letters(client)]
        assert kept == [(b"m1", Reason.EXPIRED), (b"m2", Reason.REJECTED)]
        assert store.row_count(TUTORS) == 0
        assert_books_balance(client, store)


def test_acknowledgements_that_were_lost_are_made_up_for(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 3)
    drained()
    before = (rows(store), ledger(store))
    client.redis.xgroup_destroy(client.keys.stream(TUTORS), GROUP)
    report = drained()
    assert (report.repeated, report.outcomes.total()) == (3, 0)
    assert (rows(store), ledger(store)) == before
    assert snapshot(client, TUTORS).pending == 0


def test_what_was_stored_does_not_expire_when_it_is_delivered_anew(
    client: RedisClient, store: Store, consumer: MessageConsumer, drained: Drain
) -> None:
    stream = client.keys.stream(TUTORS)
    body = serialize(stream, {"tutor_id": "T1", "name": "x"})
    client.redis.xadd(stream, {"message": body}, id="1-0")
    in_time = Judge(consumer, TUTORS)(Entry("1-0", {b"message": body}, 2, delivery=Delivery.AGAIN))
    store.write(TUTORS, [in_time], "run-before-the-group-was-lost")
    assert (drained().repeated, letters(client)) == (1, [])
    assert [outcome for _, _, outcome, _ in ledger(store)] == ["stored"]


def test_a_message_deleted_while_pending_is_reported_as_lost(valkey: EmbeddedServer, store: Store) -> None:
    with RedisClient(settings_for(valkey)) as client:
        publish(MessagePublisher(client), 3)
        dying = MessageConsumer(client, "dying")
        dying.create_consumer_group(TUTORS)
        first, second, third = dying.read(TUTORS, 3)
        dying.release(TUTORS, [first.id, second.id, third.id])
        client.redis.xdel(client.keys.stream(TUTORS), first.id, third.id)
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r")
        assert report.lost == [first.id, third.id]
        assert report.outcomes == {Outcome.STORED: 1, Outcome.LOST: 2}
        assert (report.after.waiting, report.after.pending) == (0, 0)
        assert_books_balance(client, store)
        assert drain(MessageConsumer(client), store, TUTORS, run_id="r").lost == []


def test_two_drains_at_once_share_the_work(
    client: RedisClient, store: Store, publisher: MessagePublisher, store_url: str
) -> None:
    publish(publisher, 3_000)
    for number in range(30):
        client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk %d" % number})
    reports = []
    together = threading.Barrier(2)

    def run(name: str) -> None:
        with Store.open(store_url) as own:
            limits = DrainLimits(batch_size=50)
            together.wait()
            reports.append(drain(MessageConsumer(client, name), own, TUTORS, run_id=name, limits=limits))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.messages > 0 for report in reports] == [True, True]
    assert sum(report.outcomes[Outcome.STORED] for report in reports) == store.row_count(TUTORS) == 3_000
    assert sum(report.outcomes[Outcome.DEAD_LETTERED] for report in reports) == 30
    assert sum(report.repeated for report in reports) == 0
    assert_books_balance(client, store)
    assert snapshot(client, TUTORS).pending == 0
    assert client.redis.xinfo_consumers(client.keys.stream(TUTORS), GROUP) == []
