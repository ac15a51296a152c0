"""Servers that fail over or speak TLS, each kind started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from queue_core import MessageConsumer, MessagePublisher, RedisClient, RedisSettings
from tests.conftest import server_binary
from tests.topologies.certificates import Certificates
from tests.topologies.cluster import Cluster, running_cluster
from tests.topologies.processes import Processes
from tests.topologies.sentinels import SentinelGroup, sentinel_group
from tests.topologies.tls import TLSServer

#: The ways in which Redis is reached, beside one plain server.
TOPOLOGIES = ["sentinels", "cluster", pytest.param("tls", marks=pytest.mark.needs_redis_server)]


@pytest.fixture(scope="session")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    with sentinel_group(server_binary("valkey"), tmp_path_factory.mktemp("sentinels")) as group:
        yield group


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(server_binary("valkey"), tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[TLSServer]:
    """A server that wants a certificate of its clients too."""
    with Processes(server_binary("redis")) as processes:
        yield TLSServer(processes, tmp_path_factory.mktemp("tls"), certificates)


@pytest.fixture(params=TOPOLOGIES)
def settings(request: pytest.FixtureRequest) -> RedisSettings:
    """Settings of each topology in turn, with a key prefix of the test's own."""
    name = "tls_server" if request.param == "tls" else request.param
    found: RedisSettings = request.getfixturevalue(name).settings(queue_maxlen=200)
    return found


@pytest.fixture
def client(settings: RedisSettings) -> Iterator[RedisClient]:
    with RedisClient(settings) as client:
        yield client


@pytest.fixture
def publisher(client: RedisClient) -> MessagePublisher:
    return MessagePublisher(client)


@pytest.fixture
def consumer(client: RedisClient) -> MessageConsumer:
    return MessageConsumer(client, "one")
