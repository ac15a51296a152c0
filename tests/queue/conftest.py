"""The conformance suite runs on each kind of server in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from queue_core import MessageConsumer, MessagePublisher, RedisClient
from queue_core.embedded import EmbeddedServer
from tests.conftest import settings_for


@pytest.fixture
def client(any_server: EmbeddedServer) -> Iterator[RedisClient]:
    with RedisClient(settings_for(any_server, queue_maxlen=20)) as client:
        yield client


@pytest.fixture
def publisher(client: RedisClient) -> MessagePublisher:
    return MessagePublisher(client)


@pytest.fixture
def consumer(client: RedisClient) -> MessageConsumer:
    return MessageConsumer(client, "one")


@pytest.fixture
def other(client: RedisClient) -> MessageConsumer:
    return MessageConsumer(client, "other")
