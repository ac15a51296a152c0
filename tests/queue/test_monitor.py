"""One look at a channel, on each kind of server."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import Letter
from queue_core.monitor import snapshot
from queue_core.outcomes import Reason, Rejection
from tests.conftest import NOTHING
from tests.queue.conftest import Like, tutor

TUTORS = QueueChannels.TUTORS
NOW = datetime(2026, 11, 7, 21, tzinfo=UTC)


def publish(publisher: MessagePublisher, count: int) -> None:
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(count)])


def add_aged(client: RedisClient, age_seconds: float) -> str:
    """Add an entry that is as old as that at ``NOW``."""
    entry_id = f"{int((NOW.timestamp() - age_seconds) * 1000)}-0"
    client.redis.xadd(client.keys.stream(TUTORS), {"message": "x"}, id=entry_id)
    return entry_id


def add_quickly(client: RedisClient, count: int) -> None:
    fill = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'm', 'x') end"
    for start in range(0, count, 100_000):
        client.redis.eval(fill, 1, client.keys.stream(TUTORS), min(100_000, count - start))


def test_an_unused_channel_is_all_zero_and_a_look_makes_nothing(client: RedisClient) -> None:
    assert snapshot(client, TUTORS) == NOTHING
    assert client.redis.keys(f"{client.settings.key_prefix}:*") == []


@pytest.mark.parametrize("name", ["tutors", "tutormax:tutors"])
def test_a_channel_is_given_by_name_or_by_key(client: RedisClient, name: str) -> None:
    assert snapshot(client, name) == NOTHING


def test_an_empty_stream_with_a_group_is_nothing_too(client: RedisClient, consumer: MessageConsumer) -> None:
    consumer.create_consumer_group(TUTORS)
    seen = snapshot(client, TUTORS)
    assert seen.group_exists is True
    assert (seen.length, seen.waiting, seen.pending, seen.oldest_unprocessed_age_seconds) == (0, 0, 0, None)


def test_without_a_group_all_of_it_waits(client: RedisClient, publisher: MessagePublisher) -> None:
    publish(publisher, 5)
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.waiting_is_exact, seen.pending, seen.group_exists) == (5, True, 0, False)
    assert seen.oldest_unprocessed_age_seconds is not None


def test_a_message_waits_then_is_pending_then_is_processed(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 5)
    consumer.create_consumer_group(TUTORS)
    figures = []
    entries = []
    for step in (lambda: None, lambda: entries.extend(consumer.read(TUTORS, 3))):
        step()
        figures.append(snapshot(client, TUTORS))
    consumer.acknowledge(TUTORS, entries[0].id)
    figures.append(snapshot(client, TUTORS))
    consumer.read(TUTORS, 10)
    figures.append(snapshot(client, TUTORS))
    consumer.acknowledge(TUTORS, *(one.entry_id for one in consumer.get_pending_messages(TUTORS)))
    figures.append(snapshot(client, TUTORS))
    assert [(one.waiting, one.pending) for one in figures] == [(5, 0), (2, 3), (2, 2), (0, 4), (0, 0)]
    assert {(one.length, one.entries_added, one.waiting_is_exact) for one in figures} == {(5, 5, True)}
    assert [one.oldest_unprocessed_age_seconds is None for one in figures] == [False] * 4 + [True]


def test_entries_ever_added_count_those_that_are_trimmed_too(
    client: RedisClient, consumer: MessageConsumer, like: Like
) -> None:
    publisher = MessagePublisher(like(queue_maxlen=10))
    for _ in range(3):
        publish(publisher, 10)
        consumer.acknowledge(TUTORS, *(entry.id for entry in consumer.read(TUTORS, 10)))
    publish(publisher, 1)
    seen = snapshot(client, TUTORS)
    assert seen.entries_added == 31
    assert seen.length <= 10
    assert (seen.waiting, seen.waiting_is_exact, seen.pending) == (1, True, 0)


def test_the_age_is_that_of_the_oldest_entry_waiting_or_pending(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    for age in (90, 60, 30):
        add_aged(client, age)
    ages = [snapshot(client, TUTORS, now=NOW).oldest_unprocessed_age_seconds]
    oldest, middle = consumer.read(TUTORS, 2)
    ages.append(snapshot(client, TUTORS, now=NOW).oldest_unprocessed_age_seconds)
    consumer.acknowledge(TUTORS, oldest.id)
    ages.append(snapshot(client, TUTORS, now=NOW).oldest_unprocessed_age_seconds)
    consumer.acknowledge(TUTORS, middle.id)
    ages.append(snapshot(client, TUTORS, now=NOW).oldest_unprocessed_age_seconds)
    assert ages == [90, 90, 60, 30]


def test_an_age_is_never_below_zero_though_clocks_differ(client: RedisClient) -> None:
    add_aged(client, -5)
    assert snapshot(client, TUTORS, now=NOW).oldest_unprocessed_age_seconds == 0


def test_the_present_is_meant_where_no_time_is_given(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    publish(publisher, 1)
    age = snapshot(client, TUTORS).oldest_unprocessed_age_seconds
    assert age is not None
    assert 0 <= age < 60


def test_what_is_pending_for_too_long_or_was_given_back_is_claimable(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 2)
    assert not snapshot(client, TUTORS).claimable
    first, second = (entry.id for entry in consumer.read(TUTORS, 2))
    assert not snapshot(client, TUTORS).claimable
    stream, allowed_ms = client.keys.stream(TUTORS), 300_000
    client.redis.xclaim(stream, consumer.group, "one", 0, [second], idle=allowed_ms - 60_000)
    assert not snapshot(client, TUTORS).claimable
    client.redis.xclaim(stream, consumer.group, "one", 0, [second], idle=allowed_ms)
    assert snapshot(client, TUTORS).claimable
    other.claim(TUTORS, 1)
    assert not snapshot(client, TUTORS).claimable
    consumer.release(TUTORS, [first])
    assert snapshot(client, TUTORS).claimable


def test_retries_are_counted_and_the_next_one_is_timed(client: RedisClient) -> None:
    now_ms = NOW.timestamp() * 1000
    client.redis.zadd(client.keys.retry(TUTORS), {"2-1": now_ms + 4_000, "1-1": now_ms + 1_500})
    seen = snapshot(client, TUTORS, now=NOW)
    assert (seen.scheduled, seen.next_retry_in_seconds) == (2, 1.5)
    client.redis.zadd(client.keys.retry(TUTORS), {"3-1": now_ms - 250})
    assert snapshot(client, TUTORS, now=NOW).next_retry_in_seconds == -0.25


def test_dead_letters_are_counted_by_channel(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 3)
    why = Rejection(Reason.INVALID, ("name: is missing",))
    consumer.dead_letter(TUTORS, [Letter(entry, why) for entry in consumer.read(TUTORS, 2)])
    assert (snapshot(client, TUTORS).dead, snapshot(client, "sessions").dead) == (2, 0)
    assert snapshot(client, TUTORS).pending == 0
    client.redis.delete(client.keys.dead_letter)
    assert snapshot(client, TUTORS).dead == 0


def test_other_groups_and_other_namespaces_do_not_count(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, like: Like
) -> None:
    publish(publisher, 3)
    MessageConsumer(client, group="audit").read(TUTORS, 2)
    assert (snapshot(client, TUTORS).waiting, snapshot(client, TUTORS).pending) == (3, 0)
    assert snapshot(client, TUTORS).group_exists is False
    assert snapshot(like(key_prefix=f"{client.settings.key_prefix}-2"), TUTORS) == NOTHING


def test_a_look_is_one_command_and_changes_nothing(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 3)
    consumer.read(TUTORS, 1)
    snapshot(client, TUTORS)
    keys = sorted(client.redis.keys(f"{client.settings.key_prefix}:*"))
    before = [client.redis.dump(key) for key in keys]
    client.redis.config_resetstat()
    snapshot(client, TUTORS)
    calls = {name: row["calls"] for name, row in client.redis.info("commandstats").items()}
    assert calls["cmdstat_evalsha"] == 1
    assert not calls.keys() & {"cmdstat_xreadgroup", "cmdstat_xack", "cmdstat_xclaim", "cmdstat_xautoclaim"}
    assert sorted(client.redis.keys(f"{client.settings.key_prefix}:*")) == keys
    assert [client.redis.dump(key) for key in keys] == before


def test_a_read_only_replica_can_be_looked_at(own_client: RedisClient) -> None:
    publish(MessagePublisher(own_client), 3)
    own_client.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert snapshot(own_client, TUTORS).waiting == 3


def test_a_look_costs_the_same_at_ten_and_at_a_million_waiting(client: RedisClient) -> None:
    MessageConsumer(client).create_consumer_group(TUTORS)
    medians = {}
    for waiting in (10, 1_000_000):
        add_quickly(client, waiting - snapshot(client, TUTORS).waiting)
        seen = snapshot(client, TUTORS)
        assert (seen.waiting, seen.waiting_is_exact) == (waiting, True)
        medians[waiting] = statistics.median(server_microseconds(client) for _ in range(30))
    client.redis.unlink(client.keys.stream(TUTORS))
    assert medians[1_000_000] < max(3 * medians[10], 2_000)


def server_microseconds(client: RedisClient) -> float:
    """What one look costs the server, in microseconds."""
    client.redis.config_resetstat()
    snapshot(client, TUTORS)
    return client.redis.info("commandstats")["cmdstat_evalsha"]["usec"]
