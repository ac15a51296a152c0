"""A slot of a Cluster changes hands: asked for, and because its owner died."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.errors import QueueError, QueueUnavailableError
from tests.conftest import wait_until
from tests.queue.conftest import in_background, wait_until_blocked
from tests.topologies.cluster import Cluster
from tests.topologies.processes import SECONDS

TUTORS = QueueChannels.TUTORS
TUTOR = {"tutor_id": "T1", "name": "x"}


def test_while_keys_are_on_their_way_nothing_is_taken_and_nothing_is_lost(cluster: Cluster) -> None:
    slot = key_slot(cluster.tag.encode())
    source, target = cluster.first, cluster.second
    names = {one.port: one.ask("CLUSTER", "MYID") for one in (source, target)}
    with RedisClient(cluster.settings(retry_on_timeout=False)) as client:
        publisher = MessagePublisher(client)
        assert target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source.port])
        assert source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target.port])
        try:
            with pytest.raises(QueueUnavailableError):
                publisher.publish(TUTORS, TUTOR)
        finally:
            for member in (source, target):
                assert member.ask("CLUSTER", "SETSLOT", slot, "STABLE")
        publisher.publish(TUTORS, TUTOR)
        assert publisher.get_stream_length(TUTORS) == 1


def test_keys_change_hands_and_everybody_follows(cluster: Cluster) -> None:
    with (
        RedisClient(cluster.settings(retry_on_timeout=False)) as client,
        RedisClient(client.settings) as other,
    ):
        publisher, consumer = MessagePublisher(client), MessageConsumer(other)
        ids = [publisher.publish(TUTORS, TUTOR)]
        assert [one["id"] for one in consumer.consume(TUTORS)] == ids
        assert cluster.replica.ask("CLUSTER", "FAILOVER")
        cluster.wait_for_owner(cluster.replica)
        wait_until(lambda: cluster.first.ask("ROLE")[0] == "slave", SECONDS)

        # A command by itself was not executed there, and is sent on; commands together fail as one.
        ids.append(publisher.publish(TUTORS, TUTOR))
        with pytest.raises(QueueUnavailableError, match="REDIS_CLUSTER_NODES"):
            consumer.consume(TUTORS)
        assert [one["id"] for one in consumer.consume(TUTORS)] == ids[1:]

        wait_until(lambda: cluster.first.ask("ROLE")[3] == "connected", SECONDS)
        with in_background(lambda: consumer.consume(TUTORS, block_ms=60_000)) as outcome:
            wait_until_blocked(client)
            cluster.replica.kill()
        assert isinstance(outcome[0], QueueUnavailableError)
        cluster.wait_for_owner(cluster.first)
        ids.append(publisher.publish(TUTORS, TUTOR))
        assert [one["id"] for one in consumer.consume(TUTORS)] == ids[2:]
        assert publisher.get_stream_length(TUTORS) == 3
        cluster.replica.start()


def test_a_client_that_does_not_know_of_the_cluster_is_told(cluster: Cluster) -> None:
    plain = cluster.settings().model_copy(update={"cluster": False})
    with RedisClient(plain) as client, pytest.raises(QueueError, match="Set REDIS_CLUSTER=true") as caught:
        MessagePublisher(client).get_stream_length(TUTORS)
    assert not isinstance(caught.value, QueueUnavailableError)
    assert str(cluster.first.port) not in str(caught.value)


def test_other_members_are_asked_where_the_first_is_away(cluster: Cluster) -> None:
    members = f"127.0.0.1:2,{cluster.third.address}"
    with RedisClient(cluster.settings(port=1, cluster_nodes=members)) as client:
        assert client.health_check()
    with (
        RedisClient(cluster.settings(port=1, cluster_nodes="127.0.0.1:2")) as client,
        pytest.raises(QueueUnavailableError, match="REDIS_CLUSTER_NODES"),
    ):
        client.health_check()
