"""A server of another kind than the settings say is told from one, and nothing of a message is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from queue_core.errors import ConfigurationError, QueueError
from tests.conftest import server_binary, settings_for
from tests.topologies.processes import Processes, ServerProcess
from tests.topologies.sentinels import SentinelGroup

TUTORS = QueueChannels.TUTORS
TUTOR = {"tutor_id": "T1", "name": "Jane Doe"}


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes(server_binary("valkey")) as processes:
        yield processes


@pytest.fixture(scope="module")
def sentinel(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> ServerProcess:
    lines = ["sentinel monitor mymaster 127.0.0.1 1 1"]
    return processes.start(tmp_path_factory.mktemp("sentinel") / "s", lines, sentinel=True)


@pytest.fixture(scope="module")
def renamed(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> ServerProcess:
    lines = ["rename-command EVALSHA hidden", "rename-command XADD gone"]
    return processes.start(tmp_path_factory.mktemp("renamed") / "s", lines)


def at(server: ServerProcess, **values: object) -> RedisSettings:
    return RedisSettings.load(host="127.0.0.1", port=server.port, **values)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def publish(client: RedisClient) -> object:
    return MessagePublisher(client).publish(TUTORS, TUTOR)


def publish_batch(client: RedisClient) -> object:
    return list(MessagePublisher(client).publish_batch(TUTORS, [TUTOR]))


def add_in_a_pipeline(client: RedisClient) -> object:
    with client.errors(), client.pipeline() as pipeline:
        pipeline.xadd("a", {"name": "Jane Doe"})
        return pipeline.execute()


@pytest.mark.parametrize("action", [publish, publish_batch, add_in_a_pipeline])
def test_a_command_that_is_not_there_is_named_without_what_it_was_to_carry(
    renamed: ServerProcess, action: Callable[[RedisClient], object]
) -> None:
    with (
        RedisClient(at(renamed)) as client,
        pytest.raises(QueueError, match=r"answered: unknown command '\w+'$") as caught,
    ):
        action(client)
    assert not any("Jane" in repr(one) or "with args" in repr(one) for one in chain(caught.value))


@pytest.mark.parametrize("db", [0, 3])
@pytest.mark.parametrize("action", [publish, publish_batch, RedisClient.health_check])
def test_a_sentinel_in_place_of_redis_is_told_from_one(
    sentinel: ServerProcess, action: Callable[[RedisClient], object], db: int
) -> None:
    with (
        RedisClient(at(sentinel, db=db)) as client,
        pytest.raises(ConfigurationError, match=f"Set REDIS_SENTINELS={sentinel.address}") as caught,
    ):
        action(client)
    assert not any("Jane" in repr(one) for one in chain(caught.value))


def test_a_server_among_the_sentinels_is_told_from_one(
    valkey: EmbeddedServer, sentinels: SentinelGroup
) -> None:
    plain = f"127.0.0.1:{valkey.port}"
    with (
        RedisClient(RedisSettings.load(sentinels=f"127.0.0.1:1,{plain}")) as client,
        pytest.raises(ConfigurationError, match=f"REDIS_SENTINELS: {plain} is no Sentinel"),
    ):
        client.health_check()
    several = f"{plain},{sentinels.sentinels[0].address}"
    with RedisClient(sentinels.settings(sentinels=several)) as client:
        assert client.health_check()


@pytest.mark.parametrize("kind", ["plain", "sentinel"])
def test_a_server_that_is_none_of_a_cluster_is_told_at_once(
    valkey: EmbeddedServer, sentinel: ServerProcess, kind: str
) -> None:
    port = valkey.port if kind == "plain" else sentinel.port
    settings = RedisSettings.load(host="127.0.0.1", port=port, cluster=True, retry_backoff_ms=600_000)
    with (
        RedisClient(settings) as client,
        pytest.raises(ConfigurationError, match=f"REDIS_CLUSTER: 127.0.0.1:{port} is no member"),
    ):
        publish(client)


def test_a_server_that_does_not_say_how_it_is_is_no_reason_to_fall_over(valkey: EmbeddedServer) -> None:
    with RedisClient(settings_for(valkey)) as client:
        client.redis.set_response_callback("INFO", lambda answer, **_: {"redis_version": "7.0"})
        with pytest.raises(QueueError, match=r"does not say its used_memory, .*INFO"):
            client.health_check()
