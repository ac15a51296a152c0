"""One look at everything, and what it says of a server that is away."""

from __future__ import annotations

from datetime import UTC, datetime

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.group_health import GroupConsumer, consumers
from queue_core.look import Away, Look, look
from queue_core.monitor import snapshot
from tests.queue.conftest import Like, tutor
from tests.queue.letters import bury

TUTORS = QueueChannels.TUTORS
NOW = datetime(2026, 11, 7, 21, tzinfo=UTC)


def test_a_look_has_the_server_each_channel_its_consumers_and_the_letters(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    bury(client, 1)
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(5)])
    consumer.read(TUTORS, 3)
    seen = look(client, now=NOW, clock=lambda: 7.0)
    assert isinstance(seen, Look)
    assert (seen.taken_at, seen.clock_seconds, seen.address) == (NOW, 7.0, client.address)
    assert seen.health.eviction_policy == "noeviction"
    assert [one.figures.channel for one in seen.channels] == [one.name for one in QueueChannels.all()]
    assert seen.channels[0].figures == snapshot(client, TUTORS, now=NOW)
    assert [(one.name, one.pending) for one in seen.channels[0].consumers] == [("one", 3), ("gives-up", 0)]
    assert seen.channels[1].consumers == ()
    assert seen.letters.total == 1


def test_those_that_hold_most_come_first_then_those_heard_of_last(client: RedisClient) -> None:
    publisher = MessagePublisher(client)
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(3)])
    for name, count in (("few", 1), ("many", 2)):
        MessageConsumer(client, name).read(TUTORS, count)
    found = consumers(client, TUTORS)
    assert [(one.name, one.pending) for one in found] == [("many", 2), ("few", 1)]
    assert all(isinstance(one, GroupConsumer) and 0 <= one.idle_seconds < 60 for one in found)


def test_a_look_costs_the_same_few_commands_whatever_waits_and_changes_nothing(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    look(client)
    commands = []
    for waiting in (1, 500):
        publisher.publish_batch(TUTORS, [tutor(n) for n in range(waiting)])
        before = [client.redis.dump(key) for key in sorted(client.redis.keys(f"{client.keys.prefix}:*"))]
        client.redis.config_resetstat()
        look(client)
        stats = client.redis.info("commandstats")
        commands.append({name: row["calls"] for name, row in stats.items() if "config" not in name})
        after = [client.redis.dump(key) for key in sorted(client.redis.keys(f"{client.keys.prefix}:*"))]
        assert after == before
    assert commands[0]["cmdstat_evalsha"] == len(QueueChannels.all()) + 1
    assert commands[0]["cmdstat_ping"] == 1
    assert commands[1]["cmdstat_evalsha"] == commands[0]["cmdstat_evalsha"]
    assert not commands[1].keys() & {"cmdstat_xadd", "cmdstat_xreadgroup", "cmdstat_xack", "cmdstat_xclaim"}


def test_a_server_that_is_away_is_something_to_show(
    own_client: RedisClient, own_server: EmbeddedServer
) -> None:
    assert isinstance(look(own_client), Look)
    own_server.kill()
    seen = look(own_client, now=NOW)
    assert isinstance(seen, Away)
    assert (seen.taken_at, seen.address, seen.denied) == (NOW, own_client.address, False)
    assert "is not available" in seen.error
    own_server.start()
    assert isinstance(look(own_client), Look)


def test_a_password_that_is_refused_is_told_apart_and_not_printed(client: RedisClient, like: Like) -> None:
    url = client.settings.url
    assert url is not None
    host = url.get_secret_value().rpartition("/")[2]
    wrong = client.settings.model_copy(
        update={"url": type(url)(url.get_secret_value().replace("redis://", f"redis://u:hunter2{host}@"))}
    )
    with RedisClient(wrong) as other:
        seen = look(other)
    assert isinstance(seen, Away)
    assert seen.denied
    assert "hunter2" not in seen.error + seen.address
