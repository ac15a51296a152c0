"""The connection: health, reconnecting, closing, and what a URL may and may not say."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from pydantic import SecretStr

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.client import Health
from queue_core.embedded import EmbeddedServer
from queue_core.errors import QueueUnavailableError
from tests.conftest import server_binary, wait_until
from tests.queue.conftest import Like, binary_with, frozen

TUTORS = QueueChannels.TUTORS
TUTOR = {"tutor_id": "T1", "name": "x"}


def test_health_says_what_the_server_is(client: RedisClient, any_server: EmbeddedServer) -> None:
    health = client.health_check()
    assert isinstance(health, Health)
    name, version = health.server.split()
    info = client.redis.info("server")
    assert name == ("valkey" if "valkey_version" in info else "redis")
    assert version == info[f"{name}_version"]
    assert 0 < health.latency_ms < 5_000
    assert health.used_memory_bytes > 100_000
    assert health.maxmemory_bytes == 0
    assert health.eviction_policy == "noeviction"
    assert health.append_only is True
    assert health.clients >= 1


def test_health_shows_a_server_that_is_not_fit_for_a_queue(own_client: RedisClient) -> None:
    own_client.redis.config_set("appendonly", "no")
    own_client.redis.config_set("maxmemory", "100mb")
    own_client.redis.config_set("maxmemory-policy", "allkeys-lru")
    health = own_client.health_check()
    assert health.append_only is False
    assert (health.maxmemory_bytes, health.eviction_policy) == (100 * 1024 * 1024, "allkeys-lru")


def test_a_server_that_was_restarted_is_connected_to_again(own_server: EmbeddedServer, kind: str) -> None:
    settings = RedisSettings.load(host="127.0.0.1", port=own_server.port, retry_on_timeout=False)
    with RedisClient(settings) as client:
        publisher, consumer = MessagePublisher(client), MessageConsumer(client)
        first = publisher.publish(TUTORS, TUTOR)
        own_server.stop()
        with pytest.raises(QueueUnavailableError):
            client.health_check()
        own_server.start()
        assert own_server.port == settings.port
        # The scripts, too, are gone from the server and have to be sent again.
        second = publisher.publish(TUTORS, TUTOR)
        assert [message["id"] for message in consumer.consume(TUTORS)] == [first, second]


def test_a_connection_that_was_closed_while_it_was_idle_costs_no_error(
    client: RedisClient, like: Like
) -> None:
    idle = like()
    idle.redis.client_setname("idle")
    (number,) = [one["id"] for one in client.redis.client_list() if one["name"] == "idle"]
    client.redis.client_kill_filter(_id=number)
    wait_until(lambda: "idle" not in {one["name"] for one in client.redis.client_list()})
    assert idle.health_check()


def test_an_answer_that_came_too_late_is_not_taken_for_that_of_the_next_command(
    any_server: EmbeddedServer, client: RedisClient, like: Like
) -> None:
    hasty = like(socket_timeout=0.2)
    hasty.redis.set(f"{client.settings.key_prefix}:late", "late")
    with frozen(any_server) as go_on:
        with pytest.raises(QueueUnavailableError), hasty.errors():
            hasty.redis.get(f"{client.settings.key_prefix}:late")
        go_on()
    hasty.redis.connection_pool.connection_kwargs["socket_timeout"] = 5
    for word in ("one", "two"):
        assert hasty.redis.echo(word) == word.encode()


def test_a_client_can_be_made_while_the_server_is_away(kind: str, tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "server", binary=server_binary(kind))
    server.start()
    port = server.port
    server.stop()
    with RedisClient(RedisSettings.load(host="127.0.0.1", port=port)) as client:
        server.start()
        try:
            assert client.health_check()
        finally:
            server.kill()


def test_leaving_the_block_closes_the_connections(client: RedisClient) -> None:
    with RedisClient(client.settings) as other:
        other.redis.client_setname("to-be-closed")
        assert "to-be-closed" in {one["name"] for one in client.redis.client_list()}
    wait_until(lambda: "to-be-closed" not in {one["name"] for one in client.redis.client_list()})


def test_an_error_in_the_block_closes_them_too_and_is_passed_on(client: RedisClient) -> None:
    def fail() -> None:
        with RedisClient(client.settings) as other:
            other.redis.client_setname("to-be-closed")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    wait_until(lambda: "to-be-closed" not in {one["name"] for one in client.redis.client_list()})


def test_closing_twice_is_as_good_as_once(like: Like) -> None:
    other = like()
    other.health_check()
    other.close()
    other.close()


def test_commands_in_a_pipeline_travel_together_and_each_stands_for_itself(client: RedisClient) -> None:
    key = f"{client.settings.key_prefix}:list"
    transactions = client.redis.info("commandstats").get("cmdstat_multi")
    pipeline = client.pipeline()
    pipeline.rpush(key, "a")
    pipeline.incr(key)
    pipeline.rpush(key, "b")
    assert client.redis.llen(key) == 0
    first, failed, second = pipeline.execute(raise_on_error=False)
    assert (first, second) == (1, 2)
    assert isinstance(failed, redis.ResponseError)
    assert client.redis.info("commandstats").get("cmdstat_multi") == transactions


def test_a_script_may_travel_in_a_pipeline(client: RedisClient) -> None:
    stream = client.keys.stream(TUTORS)
    pipeline = client.pipeline()
    client.script("publish")(keys=[stream], args=[10, b"one"], client=pipeline)
    pipeline.xlen(stream)
    assert pipeline.execute()[-1] == 1


@pytest.mark.parametrize("password", ["simple", "p@ss:w/r#d %41?"])
def test_a_password_is_given_by_its_variable_or_in_the_url(kind: str, tmp_path: Path, password: str) -> None:
    server = EmbeddedServer(tmp_path / "s", binary=server_binary(kind), password=SecretStr(password))
    with server:
        address = f"127.0.0.1:{server.port}/0"
        by_url = RedisSettings.load(url=f"redis://:{quote(password, safe='')}@{address}")
        by_variable = RedisSettings.load(host="127.0.0.1", port=server.port, password=password)
        for settings in (by_url, by_variable):
            with RedisClient(settings) as client:
                assert client.health_check()
                assert client.address == address


def test_a_user_of_the_servers_access_list_is_let_in(
    own_client: RedisClient, own_server: EmbeddedServer
) -> None:
    own_client.redis.execute_command("ACL", "SETUSER", "worker", "on", ">pass", "~*", "+@all")
    settings = RedisSettings.load(host="127.0.0.1", port=own_server.port, username="worker", password="pass")
    with RedisClient(settings) as client:
        assert client.redis.execute_command("ACL", "WHOAMI") == b"worker"


def test_a_url_wins_over_host_port_and_database(client: RedisClient, any_server: EmbeddedServer) -> None:
    settings = RedisSettings.load(url=f"redis://127.0.0.1:{any_server.port}/5", host="nowhere", port=1, db=9)
    with RedisClient(settings) as other:
        assert other.redis.client_info()["db"] == 5
        assert other.address == f"127.0.0.1:{any_server.port}/5"


def test_options_in_a_url_are_heeded_but_for_those_the_library_relies_on(any_server: EmbeddedServer) -> None:
    options = "max_connections=3&socket_timeout=2.5&decode_responses=true&protocol=3&retry_on_timeout=true"
    with RedisClient(RedisSettings.load(url=f"{any_server.url}?{options}", key_prefix="options")) as client:
        pool = client.redis.connection_pool
        assert (pool.max_connections, pool.connection_kwargs["socket_timeout"]) == (3, 2.5)
        MessagePublisher(client).publish(TUTORS, TUTOR)
        (message,) = MessageConsumer(client).consume(TUTORS)
        client.redis.flushdb()
    assert message["data"] == TUTOR


def test_a_unix_socket_is_an_address_too(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    binary = binary_with(tmp_path, kind, "--unixsocket", path)
    with (
        EmbeddedServer(tmp_path / "server", binary=binary),
        RedisClient(RedisSettings.load(url=f"unix://{path}?db=2")) as client,
    ):
        assert client.health_check()
        assert client.redis.client_info()["db"] == 2
        assert client.address == str(path)
