"""The queue does everything it does on one plain server with Sentinels, on a Cluster and over TLS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.entry_search import find_entries
from queue_core.errors import QueueFullError
from queue_core.letter_counts import recount_letters
from queue_core.maintenance import maintain
from queue_core.memory import memory_in_use
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome
from queue_core.reclaim import reclaim
from queue_core.server_facts import server_facts
from queue_core.stale import stale_holders
from tests.queue.conftest import in_background, wait_until_blocked
from tutormax_pipeline import books
from tutormax_pipeline.doctor.examination import examine
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS


def tutor(number: int) -> dict[str, object]:
    return {"tutor_id": f"T{number:03d}", "name": "x"}


def test_what_is_published_is_delivered_in_order_and_acknowledged(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    first = publisher.publish(TUTORS, tutor(0))
    rest = publisher.publish_batch(TUTORS, [tutor(n) for n in range(1, 20)])
    delivered = consumer.consume(TUTORS, count=50)
    assert [one["id"] for one in delivered] == [first, *rest]
    assert consumer.acknowledge(TUTORS, *(one["_redis_id"] for one in delivered)) == 20
    assert publisher.get_stream_info(TUTORS).entries_added == 20
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.pending, seen.length) == (0, 0, 20)
    assert memory_in_use(client, TUTORS).stream_bytes > 0
    assert server_facts(client).missing_commands == ()


def test_a_waiting_reader_gets_what_is_published_meanwhile(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    consumer.create_consumer_group(TUTORS)
    with in_background(lambda: consumer.consume(TUTORS, block_ms=30_000)) as outcome:
        wait_until_blocked(client)
        message_id = publisher.publish(TUTORS, tutor(1))
    ((message,),) = outcome
    assert message["id"] == message_id


def test_a_full_queue_refuses(publisher: MessagePublisher, client: RedisClient) -> None:
    room = client.settings.queue_maxlen
    assert publisher.publish_batch(TUTORS, [tutor(n) for n in range(room)]).published == room
    with pytest.raises(QueueFullError):
        publisher.publish(TUTORS, tutor(0))


def test_what_was_left_is_taken_over_tried_again_and_given_up(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(3)])
    one, two, three = consumer.read(TUTORS, 3)
    assert consumer.retry(TUTORS, one.id, "a deadlock") is not None
    assert consumer.release(TUTORS, [two.id]) == 1
    assert stale_holders(client, TUTORS, 0) == {"one": 1}
    assert reclaim(client, TUTORS, min_idle_ms=0).given_back == 1
    other = MessageConsumer(client, "other")
    claimed = other.claim(TUTORS, 10, min_idle_ms=0)
    assert [entry.id for entry in claimed.new] == [two.id]
    begun = other.begin(TUTORS, claimed.left)
    assert [(entry.id, entry.deliveries) for entry in begun] == [(three.id, 2)]
    assert consumer.leave(TUTORS)


def test_a_dead_letter_is_counted_redriven_and_discarded(
    client: RedisClient, consumer: MessageConsumer, tmp_path: Path
) -> None:
    stream = client.keys.stream(TUTORS)
    for word in (b"redrive", b"discard", b"stay"):
        client.redis.xadd(stream, {"message": word})
    assert consumer.consume(TUTORS) == []
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        letters = dead_letters(client, store)
        assert letters.redrive(LetterFilter(text=b"redrive"), dry_run=False).redriven == 1
        gone = letters.discard(LetterFilter(text=b"discard"), who="me", why="junk", dry_run=False)
        assert gone.discarded == 1
    assert DeadLetters(client).count() == 1
    assert recount_letters(client) == {"tutors": 1}
    assert snapshot(client, TUTORS).waiting == 1


def test_a_day_is_drained_maintained_and_its_books_balance(
    client: RedisClient, publisher: MessagePublisher, tmp_path: Path
) -> None:
    message_id = publisher.publish(TUTORS, tutor(0))
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(1, 60)])
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
    assert len(find_entries(client, TUTORS, message_id, most_entries=100).entry_ids) == 1
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        limits = DrainLimits(batch_size=20)
        report = drain(MessageConsumer(client, "run:1"), store, TUTORS, run_id="1", limits=limits)
        assert report.outcomes == {Outcome.STORED: 60, Outcome.DEAD_LETTERED: 1}
        seen = books.look(client, store, TUTORS, datetime.now(UTC))
        assert seen.balanced
        assert maintain(client, TUTORS, datetime.now(UTC) + timedelta(days=2)).trimmed == 61
        found = examine(client, store, PipelineSettings.load(home=tmp_path), datetime.now(UTC))
        assert {one.check for one in found.findings if one.channel or "redis" in one.check} == set()
        assert found.health is not None
