"""The connection: health, reconnecting, and errors that say what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from queue_core.errors import AccessDeniedError, QueueError, QueueUnavailableError
from tests.conftest import settings_for

TUTOR = {"tutor_id": "T1", "name": "x"}


def test_health_says_what_the_server_is(client: RedisClient) -> None:
    health = client.health_check()
    assert health.server.split()[0] in {"valkey", "redis"}
    assert health.eviction_policy == "noeviction"
    assert health.append_only
    assert health.latency_ms > 0
    assert health.used_memory_bytes > 0


def test_a_server_that_is_not_there_is_unavailable_and_the_variables_are_named() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings = RedisSettings.load(host="127.0.0.1", port=closed.getsockname()[1])
        with RedisClient(settings) as client, pytest.raises(QueueUnavailableError, match="REDIS_HOST"):
            client.health_check()


@pytest.mark.parametrize("given", ["wrong", "none"])
def test_a_wrong_or_missing_password_is_denied_and_never_shown(tmp_path: Path, given: str) -> None:
    with EmbeddedServer(tmp_path / "data", password=SecretStr("right")) as server:
        url = f"redis://:hunter2@127.0.0.1:{server.port}/0" if given == "wrong" else server.url
        with RedisClient(RedisSettings.load(url=url)) as client:
            with pytest.raises(AccessDeniedError, match="REDIS_PASSWORD") as caught:
                client.health_check()
            assert "hunter2" not in str(caught.value)
            assert client.address == f"127.0.0.1:{server.port}/0"
        with RedisClient(RedisSettings.load(host="127.0.0.1", port=server.port, password="right")) as client:
            client.health_check()


def test_a_connection_that_the_server_closed_is_replaced(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "data")
    server.start()
    with RedisClient(RedisSettings.load(host="127.0.0.1", port=server.port)) as client:
        message_id = MessagePublisher(client).publish(QueueChannels.TUTORS, TUTOR)
        server.stop()
        with pytest.raises(QueueUnavailableError):
            client.health_check()
        with EmbeddedServer(tmp_path / "data", port=client.settings.port):
            (message,) = MessageConsumer(client).consume(QueueChannels.TUTORS, 10)
            assert message["id"] == message_id


def test_a_full_memory_and_a_read_only_replica_are_unavailable(tmp_path: Path) -> None:
    with (
        EmbeddedServer(tmp_path / "data") as server,
        RedisClient(settings_for(server, retry_on_timeout=False)) as client,
    ):
        publisher = MessagePublisher(client)
        client.redis.config_set("maxmemory", "1")
        with pytest.raises(QueueUnavailableError, match="maxmemory"):
            publisher.publish(QueueChannels.TUTORS, TUTOR)
        client.redis.config_set("maxmemory", "0")
        client.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(QueueUnavailableError, match="replica"):
            publisher.publish(QueueChannels.TUTORS, TUTOR)


def test_another_error_of_the_server_is_told_in_its_own_words(client: RedisClient) -> None:
    client.redis.set(client.keys.stream(QueueChannels.TUTORS), "not a stream")
    with pytest.raises(QueueError, match="WRONGTYPE") as caught:
        MessagePublisher(client).publish(QueueChannels.TUTORS, TUTOR)
    assert not isinstance(caught.value, QueueUnavailableError)


def test_a_pipeline_sends_many_commands_at_once(client: RedisClient) -> None:
    pipeline = client.pipeline()
    for number in range(3):
        pipeline.rpush(f"{client.settings.key_prefix}:list", number)
    assert pipeline.execute() == [1, 2, 3]


def test_leaving_the_block_closes_the_connections(client: RedisClient) -> None:
    with RedisClient(client.settings) as other:
        other.redis.client_setname("to-be-closed")
    names = {one["name"] for one in client.redis.client_list()}
    assert "to-be-closed" not in names
    assert isinstance(client.redis, redis.Redis)
