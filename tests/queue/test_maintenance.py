"""Housekeeping removes what is old and processed, and nothing else. On each kind of server."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import CONSUMER_GROUP, RELEASED_CONSUMER
from queue_core.dead_letter import Letter
from queue_core.failpoints import recorded
from queue_core.group_health import StrayGroup
from queue_core.maintenance import MaintenanceReport, maintain
from queue_core.outcomes import Reason, Rejection
from tests.conftest import wait_until
from tests.queue.conftest import Like, tutor
from tests.queue.test_monitor import add_quickly

TUTORS = QueueChannels.TUTORS
#: By then everything that a run of the whole suite publishes is older than its time.
TOMORROW = datetime.now(UTC) + timedelta(days=1, hours=2)


@pytest.fixture
def publisher(client: RedisClient) -> MessagePublisher:
    return MessagePublisher(client)


def publish(publisher: MessagePublisher, count: int) -> None:
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(count)))


def process(consumer: MessageConsumer, count: int) -> None:
    consumer.acknowledge(TUTORS, *(entry.id for entry in consumer.read(TUTORS, count)))


def length(client: RedisClient) -> int:
    return client.redis.xlen(client.keys.stream(TUTORS))


def test_a_channel_that_was_never_used_has_nothing_to_do(client: RedisClient) -> None:
    report = maintain(client, TUTORS, TOMORROW)
    assert (report.trimmed, report.consumers_removed, report.stray_groups) == (0, (), ())
    assert client.redis.keys(f"{client.settings.key_prefix}:*") == []


def test_processed_entries_go_when_they_are_older_than_their_time(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 7)
    process(consumer, 5)
    assert maintain(client, TUTORS, datetime.now(UTC)).trimmed == 0
    assert maintain(client, TUTORS, TOMORROW).trimmed == 5
    assert length(client) == 2
    assert len(consumer.read(TUTORS, 10)) == 2


def test_only_those_go_that_are_old_enough(client: RedisClient, consumer: MessageConsumer) -> None:
    stream, now = client.keys.stream(TUTORS), datetime.now(UTC)
    ttl_ms, now_ms = client.settings.message_ttl_seconds * 1000, int(now.timestamp() * 1000)
    for age_ms in (ttl_ms + 1, ttl_ms, 1_000):
        client.redis.xadd(stream, {"message": "x"}, id=f"{now_ms - age_ms}-1")
    process(consumer, 3)
    assert maintain(client, TUTORS, now).trimmed == 1
    assert length(client) == 2


def test_a_time_to_live_of_nothing_keeps_them_for_ever(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, like: Like
) -> None:
    publish(publisher, 3)
    process(consumer, 3)
    assert maintain(like(message_ttl_seconds=0), TUTORS, TOMORROW).trimmed == 0
    assert length(client) == 3


@pytest.mark.parametrize("groups", [0, 1])
def test_where_nobody_has_read_yet_nothing_goes(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, groups: int
) -> None:
    publish(publisher, 3)
    if groups:
        consumer.create_consumer_group(TUTORS)
    assert maintain(client, TUTORS, TOMORROW).trimmed == 0
    assert length(client) == 3


@pytest.mark.parametrize("seed", range(6))
def test_whatever_groups_have_done_nothing_goes_that_one_has_not_processed(
    client: RedisClient, publisher: MessagePublisher, seed: int
) -> None:
    chance, stream = random.Random(seed), client.keys.stream(TUTORS)
    publish(publisher, 300)
    ids = [entry_id.decode() for entry_id, _ in client.redis.xrange(stream)]
    unprocessed: set[str] = set()
    for name in [CONSUMER_GROUP, "audit", "other"][: chance.randint(1, 3)]:
        reader = MessageConsumer(client, "c", group=name)
        entries = reader.read(TUTORS, chance.randint(1, 300))
        held = {
            entry.id for entry in chance.sample(entries, chance.choice([0, 0, 1, 3]) % (len(entries) + 1))
        }
        reader.acknowledge(TUTORS, *(entry.id for entry in entries if entry.id not in held))
        unprocessed |= held | set(ids[len(entries) :])
    report = maintain(client, TUTORS, TOMORROW)
    left = [entry_id.decode() for entry_id, _ in client.redis.xrange(stream)]
    assert unprocessed <= set(left)
    oldest = min((ids.index(one) for one in unprocessed), default=300)
    assert report.trimmed == oldest


def test_many_go_in_steps_between_which_others_are_served(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    add_quickly(client, 5_050)
    process(consumer, 5_050)
    with recorded() as places:
        assert maintain(client, TUTORS, TOMORROW).trimmed == 5_050
    assert places.count("trim:after") >= 5
    assert length(client) == 0


def test_attempts_and_retries_of_settled_entries_are_forgotten_and_others_kept(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 4)
    done, pending, *_ = consumer.read(TUTORS, 2)
    consumer.acknowledge(TUTORS, done.id)
    keys = client.keys
    for entry_id in (done.id, pending.id, "7-7", "not an id"):
        client.redis.zadd(keys.retry(TUTORS), {entry_id: 1})
        client.redis.hset(keys.processing(TUTORS), entry_id, "[]")
    report = maintain(client, TUTORS, datetime.now(UTC))
    assert (report.retries_forgotten, report.attempts_forgotten) == (3, 3)
    assert client.redis.zrange(keys.retry(TUTORS), 0, -1) == [pending.id.encode()]
    assert client.redis.hkeys(keys.processing(TUTORS)) == [pending.id.encode()]


def test_ten_thousand_of_them_are_forgotten_in_steps(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 1)
    (held,) = consumer.read(TUTORS, 1)
    retry, processing = client.keys.retry(TUTORS), client.keys.processing(TUTORS)
    client.redis.zadd(retry, {held.id: 1} | {f"7-{n}": 1 for n in range(10_000)})
    client.redis.hset(processing, mapping={held.id: "[]"} | {f"7-{n}": "[]" for n in range(10_000)})
    with recorded() as places:
        report = maintain(client, TUTORS, datetime.now(UTC))
    assert (report.retries_forgotten, report.attempts_forgotten) == (10_000, 10_000)
    assert (client.redis.zcard(retry), client.redis.hlen(processing)) == (1, 1)
    assert places.count("forget_settled:after") >= 5


def test_while_the_group_is_gone_attempts_are_kept_for_when_it_is_made_again(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 1)
    (entry,) = consumer.read(TUTORS, 1)
    client.redis.hset(client.keys.processing(TUTORS), entry.id, "[]")
    client.redis.xgroup_destroy(client.keys.stream(TUTORS), CONSUMER_GROUP)
    assert maintain(client, TUTORS, datetime.now(UTC)).attempts_forgotten == 0
    assert client.redis.hexists(client.keys.processing(TUTORS), entry.id)


def test_silent_consumers_go_unless_they_hold_entries_or_hold_what_was_given_back(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, like: Like
) -> None:
    publish(publisher, 2)
    holder, stream = MessageConsumer(client, "holder"), client.keys.stream(TUTORS)
    (given_back,) = consumer.read(TUTORS, 1)
    consumer.release(TUTORS, [given_back.id])
    client.redis.xack(stream, CONSUMER_GROUP, given_back.id)
    client.redis.xgroup_createconsumer(stream, CONSUMER_GROUP, "idle")
    assert len(holder.read(TUTORS, 1)) == 1
    assert maintain(client, TUTORS, datetime.now(UTC)).consumers_removed == ()
    hasty = like(worker_max_processing_time_seconds=0.05)
    wait_until(lambda: all(one["idle"] > 60 for one in client.redis.xinfo_consumers(stream, CONSUMER_GROUP)))
    report = maintain(hasty, TUTORS, datetime.now(UTC))
    assert set(report.consumers_removed) == {"idle", "one"}
    assert [(one.name, one.pending) for one in report.holding] == [("holder", 1)]
    names = {one["name"].decode() for one in client.redis.xinfo_consumers(stream, CONSUMER_GROUP)}
    assert names == {"holder", RELEASED_CONSUMER}
    assert maintain(hasty, TUTORS, datetime.now(UTC)).consumers_removed == ()


def test_groups_of_others_are_reported_and_left_alone(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 3)
    process(consumer, 3)
    MessageConsumer(client, "auditor", group="audit").read(TUTORS, 2)
    report = maintain(client, TUTORS, TOMORROW)
    assert report.stray_groups == (StrayGroup("audit", pending=2, waiting=1),)


def test_names_that_are_no_text_are_no_hindrance(
    client: RedisClient, publisher: MessagePublisher, like: Like
) -> None:
    publisher.publish(TUTORS, tutor(1))
    stream = client.keys.stream(TUTORS)
    client.redis.xgroup_create(stream, b"gro\xdfe", id="0")
    client.redis.xgroup_create(stream, CONSUMER_GROUP, id="0")
    client.redis.xgroup_createconsumer(stream, CONSUMER_GROUP, b"na\xefve")
    client.redis.xreadgroup(CONSUMER_GROUP, b"caf\xe9", {stream: ">"})
    hasty, removed = like(worker_max_processing_time_seconds=0.0), list[str]()

    def maintained() -> MaintenanceReport | None:
        report = maintain(hasty, TUTORS, TOMORROW)
        removed.extend(report.consumers_removed)
        return report if removed and report.holding else None

    report = wait_until(maintained)
    assert report is not None
    assert removed == ["na\\xefve"]
    assert [one.name for one in report.holding] == ["caf\\xe9"]
    assert [one.name for one in report.stray_groups] == ["gro\\xdfe"]
    assert report.trimmed == 0
    assert len(client.redis.xinfo_groups(client.keys.stream(TUTORS))) == 2


def test_what_was_moved_to_the_dead_letters_is_remembered_until_its_entry_is_trimmed(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    for body in (b"old", b"new"):
        client.redis.xadd(client.keys.stream(TUTORS), {"message": body})
    letters = [Letter(entry, Rejection(Reason.MALFORMED, ("x",))) for entry in consumer.read(TUTORS, 2)]
    consumer.dead_letter(TUTORS, letters)
    buried = client.keys.buried(TUTORS)
    maintain(client, TUTORS, datetime.now(UTC))
    assert client.redis.zcard(buried) == 2
    maintain(client, TUTORS, TOMORROW)
    assert client.redis.exists(buried) == 0


def test_what_was_moved_to_the_dead_letters_is_remembered_while_a_deleted_entry_of_it_is_pending(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    stream = client.keys.stream(TUTORS)
    client.redis.xadd(stream, {"message": b"junk"})
    letters = [Letter(entry, Rejection(Reason.MALFORMED, ("x",))) for entry in consumer.read(TUTORS, 1)]
    consumer.dead_letter(TUTORS, letters)
    client.redis.xgroup_destroy(stream, CONSUMER_GROUP)
    (again,) = consumer.read(TUTORS, 1)
    client.redis.xdel(stream, again.id)
    maintain(client, TUTORS, TOMORROW)
    assert consumer.dead_letter(TUTORS, letters) == 0
    assert client.redis.xlen(client.keys.dead_letter) == 1
    assert consumer.get_pending_messages(TUTORS) == []
