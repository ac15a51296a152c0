"""Errors of the server and of the network, as this library tells them: what is wrong, and what to do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from queue_core.errors import AccessDeniedError, QueueError, QueueUnavailableError
from queue_core.monitor import snapshot
from tests.conftest import server_binary, settings_for, wait_until
from tests.queue.conftest import (
    binary_with,
    free_port,
    frozen,
    in_background,
    wait_until_blocked,
)

TUTORS = QueueChannels.TUTORS
TUTOR = {"tutor_id": "T1", "name": "x"}


@contextmanager
def read_only(client: RedisClient) -> Iterator[None]:
    client.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    yield
    client.redis.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def without_its_master(client: RedisClient) -> Iterator[None]:
    client.redis.config_set("replica-serve-stale-data", "no")
    with read_only(client):
        yield


@contextmanager
def without_replicas(client: RedisClient) -> Iterator[None]:
    client.redis.config_set("min-replicas-to-write", 1)
    yield
    client.redis.config_set("min-replicas-to-write", 0)


@contextmanager
def out_of_memory(client: RedisClient) -> Iterator[None]:
    client.redis.config_set("maxmemory", 1)
    yield
    client.redis.config_set("maxmemory", 0)


@contextmanager
def unable_to_save(client: RedisClient) -> Iterator[None]:
    client.redis.config_set("save", "3600 1000000")
    obstacle = Path(client.redis.config_get("dir")["dir"]) / "dump.rdb"
    obstacle.mkdir()
    client.redis.bgsave()
    wait_until(lambda: client.redis.info("persistence")["rdb_last_bgsave_status"] == "err")
    yield
    obstacle.rmdir()
    client.redis.config_set("save", "")


@contextmanager
def busy_with_a_script(client: RedisClient) -> Iterator[None]:
    client.redis.config_set("busy-reply-threshold", 10)
    with (
        RedisClient(client.settings) as other,
        in_background(lambda: other.redis.eval("while true do end", 0)),
    ):
        wait_until(lambda: "busy running a script" in complaint(client.health_check))
        try:
            yield
        finally:
            client.redis.script_kill()
        wait_until(lambda: not complaint(client.health_check))


Trouble = Callable[[RedisClient], AbstractContextManager[None]]


def complaint(action: Callable[[], object]) -> str:
    try:
        action()
    except QueueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("trouble", "words", "remedy"),
    [
        (read_only, "read only replica", "REDIS_HOST"),
        (without_its_master, "Link with MASTER is down", "REDIS_HOST"),
        (without_replicas, "NOREPLICAS", "min-replicas-to-write"),
        (out_of_memory, "maxmemory", "drain what waits"),
        (unable_to_save, "MISCONF", "make room"),
        (busy_with_a_script, "BUSY", "REDIS_HOST"),
    ],
)
def test_a_server_that_cannot_work_now_is_unavailable_and_nothing_is_lost(
    own_client: RedisClient, trouble: Trouble, words: str, remedy: str
) -> None:
    publisher, consumer = MessagePublisher(own_client), MessageConsumer(own_client)
    first = publisher.publish(TUTORS, TUTOR)
    consumer.create_consumer_group(TUTORS)
    with trouble(own_client):
        with pytest.raises(QueueUnavailableError, match=words) as caught:
            publisher.publish(TUTORS, TUTOR)
        assert remedy in str(caught.value)
        if trouble is not out_of_memory:
            with pytest.raises(QueueUnavailableError) as caught:
                consumer.consume(TUTORS)
            assert "XREADGROUP" not in str(caught.value)
    second = publisher.publish(TUTORS, TUTOR)
    assert [message["id"] for message in consumer.consume(TUTORS)] == [first, second]
    assert [one.deliveries for one in consumer.get_pending_messages(TUTORS)] == [1, 1]


def test_a_server_without_memory_still_gives_out_what_it_holds(own_client: RedisClient) -> None:
    MessagePublisher(own_client).publish(TUTORS, TUTOR)
    consumer = MessageConsumer(own_client)
    consumer.create_consumer_group(TUTORS)
    with out_of_memory(own_client):
        (message,) = consumer.consume(TUTORS)
        assert consumer.acknowledge(TUTORS, message["_redis_id"]) == 1
        assert snapshot(own_client, TUTORS).pending == 0


def test_a_server_that_is_loading_its_data_is_unavailable_until_it_has(
    own_server: EmbeddedServer, own_client: RedisClient, kind: str, tmp_path: Path
) -> None:
    own_client.redis.eval("for i = 1, 10000 do redis.call('XADD', KEYS[1], '*', 'n', i) end", 1, "entries")
    own_server.stop()
    answers = []

    def loaded() -> bool:
        try:
            MessageConsumer(own_client).consume(TUTORS)
        except QueueUnavailableError as error:
            answers.append(str(error))
            return False
        return True

    slow = [server_binary(kind), "server.conf", "--key-load-delay", "100"]
    process = subprocess.Popen(slow, cwd=tmp_path / "server", stdout=subprocess.DEVNULL)
    try:
        wait_until(loaded)
        assert any("loading the dataset" in answer for answer in answers)
        assert own_client.redis.xlen("entries") == 10_000
    finally:
        process.kill()
        process.wait()


def test_a_cluster_that_is_down_is_unavailable(kind: str, tmp_path: Path) -> None:
    binary = binary_with(tmp_path, kind, "--cluster-enabled", "yes", "--cluster-port", free_port())
    with (
        EmbeddedServer(tmp_path / "server", binary=binary) as server,
        RedisClient(settings_for(server, retry_on_timeout=False)) as client,
    ):
        with pytest.raises(QueueUnavailableError, match="Hash slot not served"):
            MessagePublisher(client).publish(TUTORS, TUTOR)
        with pytest.raises(QueueUnavailableError, match="Hash slot not served"):
            MessageConsumer(client).consume(TUTORS)


def test_a_server_that_is_not_there_is_unavailable_and_the_variables_are_named() -> None:
    settings = RedisSettings.load(host="127.0.0.1", port=free_port(), retry_backoff_ms=0)
    with RedisClient(settings) as client:
        actions = [
            client.health_check,
            lambda: MessagePublisher(client).publish(TUTORS, TUTOR),
            lambda: MessagePublisher(client).get_stream_length(TUTORS),
            lambda: MessageConsumer(client).consume(TUTORS),
            lambda: MessageConsumer(client).create_consumer_group(TUTORS),
            lambda: snapshot(client, TUTORS),
        ]
        for action in actions:
            with pytest.raises(QueueUnavailableError, match="REDIS_HOST, REDIS_PORT or REDIS_URL") as caught:
                action()
            assert client.address in str(caught.value)


def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    settings = RedisSettings.load(host="no-such-host.invalid")
    with (
        RedisClient(settings) as client,
        pytest.raises(QueueUnavailableError, match=r"no-such-host\.invalid"),
    ):
        client.health_check()


def test_a_port_where_nobody_answers_is_unavailable_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = RedisSettings.load(host="127.0.0.1", port=silent.getsockname()[1], socket_timeout=0.2)
        with RedisClient(settings) as client, pytest.raises(QueueUnavailableError, match="Timeout"):
            client.health_check()


def test_a_server_that_dies_under_a_waiting_reader_is_unavailable(
    own_server: EmbeddedServer, own_client: RedisClient
) -> None:
    consumer = MessageConsumer(own_client)
    with in_background(lambda: consumer.consume(TUTORS, block_ms=30_000)) as outcome:
        with RedisClient(own_client.settings) as watcher:
            wait_until_blocked(watcher)
        os.kill(own_server.pid, signal.SIGKILL)
    assert isinstance(outcome[0], QueueUnavailableError)


def test_a_server_that_turns_replica_under_a_waiting_reader_is_unavailable(own_client: RedisClient) -> None:
    consumer = MessageConsumer(own_client)
    with (
        in_background(lambda: consumer.consume(TUTORS, block_ms=30_000)) as outcome,
        RedisClient(own_client.settings) as watcher,
    ):
        wait_until_blocked(watcher)
        watcher.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    assert isinstance(outcome[0], QueueUnavailableError)


def test_a_frozen_server_is_unavailable_after_the_timeout(own_server: EmbeddedServer) -> None:
    with (
        RedisClient(settings_for(own_server, socket_timeout=0.2)) as client,
        frozen(own_server),
        pytest.raises(QueueUnavailableError, match="Timeout"),
    ):
        client.health_check()


@pytest.mark.parametrize("given", ["in the url", "by variable", "not at all"])
def test_a_wrong_or_missing_password_is_denied_and_never_shown(kind: str, tmp_path: Path, given: str) -> None:
    server = EmbeddedServer(tmp_path / "s", binary=server_binary(kind), password=SecretStr("right-one"))
    with server:
        settings = {
            "in the url": RedisSettings.load(url=f"redis://:hunter2@127.0.0.1:{server.port}/0"),
            "by variable": RedisSettings.load(host="127.0.0.1", port=server.port, password="hunter2"),
            "not at all": RedisSettings.load(url=server.url),
        }[given]
        with RedisClient(settings) as client:
            for action in (client.health_check, lambda: MessageConsumer(client).consume(TUTORS)):
                with pytest.raises(AccessDeniedError, match="REDIS_USERNAME and REDIS_PASSWORD") as caught:
                    action()
                shown = f"{caught.value!r} {caught.value.__cause__!r}"
                assert "hunter2" not in shown
                assert "right-one" not in shown


def test_a_command_that_the_user_may_not_run_is_denied(
    own_client: RedisClient, own_server: EmbeddedServer
) -> None:
    own_client.redis.execute_command("ACL", "SETUSER", "reader", "on", ">hunter2", "~*", "+xlen", "+ping")
    settings = RedisSettings.load(
        host="127.0.0.1", port=own_server.port, username="reader", password="hunter2"
    )
    with RedisClient(settings) as client:
        publisher, consumer = MessagePublisher(client), MessageConsumer(client)
        assert publisher.get_stream_length(TUTORS) == 0
        for action in (lambda: publisher.publish(TUTORS, TUTOR), lambda: consumer.consume(TUTORS)):
            with pytest.raises(AccessDeniedError, match="no permissions") as caught:
                action()
            assert "hunter2" not in str(caught.value)


def test_a_pool_that_is_used_up_names_its_variable(any_server: EmbeddedServer) -> None:
    with RedisClient(settings_for(any_server, max_connections=1)) as client:
        taken = client.redis.connection_pool.get_connection()
        with pytest.raises(QueueUnavailableError, match="REDIS_MAX_CONNECTIONS"):
            client.health_check()
        client.redis.connection_pool.release(taken)
        assert client.health_check()


def test_another_error_of_the_server_is_told_in_its_own_words_and_is_no_outage(client: RedisClient) -> None:
    client.redis.set(client.keys.stream(TUTORS), "not a stream")
    for action in (
        lambda: MessagePublisher(client).publish(TUTORS, {"tutor_id": "T", "name": "SECRET-NAME"}),
        lambda: MessageConsumer(client).consume(TUTORS),
    ):
        with pytest.raises(QueueError, match="answered: WRONGTYPE") as caught:
            action()
        assert not isinstance(caught.value, QueueUnavailableError)
        assert "SECRET-NAME" not in str(caught.value)


def test_busygroup_is_no_outage(client: RedisClient) -> None:
    def create_twice() -> None:
        for _ in range(2):
            client.redis.xgroup_create(client.keys.stream(TUTORS), "group", mkstream=True)

    with pytest.raises(QueueError, match="answered: BUSYGROUP") as caught, client.errors():
        create_twice()
    assert not isinstance(caught.value, QueueUnavailableError)
