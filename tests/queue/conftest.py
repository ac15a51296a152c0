"""The conformance suite runs on each kind of server in turn, which its tests share.

A test that breaks its server starts one of its own (``own_server``).
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from queue_core import Channel, MessageConsumer, QueueChannels, QueueWorker, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.outcomes import Message
from queue_core.serializer import deserialize
from tests.conftest import SERVER_KINDS, server_binary, settings_for, wait_until

#: What the test changes in the settings of its client.
Like = Callable[..., RedisClient]
MakeWorker = Callable[..., QueueWorker]


@pytest.fixture
def client(any_server: EmbeddedServer) -> Iterator[RedisClient]:
    with RedisClient(settings_for(any_server)) as client:
        yield client
        keys = client.redis.keys(f"{client.settings.key_prefix}:*")
        if keys:
            client.redis.delete(*keys)


@pytest.fixture
def like(client: RedisClient) -> Iterator[Like]:
    """Another client of the same namespace, connected, with some settings changed."""
    clients: list[RedisClient] = []

    def make(**changes: object) -> RedisClient:
        clients.append(RedisClient(client.settings.model_copy(update=changes)))
        clients[-1].redis.ping()
        return clients[-1]

    yield make
    for one in clients:
        one.close()


@pytest.fixture
def make(like: Like) -> MakeWorker:
    """A worker of the test's namespace; keywords that are settings change its client's."""

    def make_one(handler: object, channels: object = QueueChannels.TUTORS, **given: object) -> QueueWorker:
        options = {name: given.pop(name) for name in ("batch_size", "grace_seconds") if name in given}
        worker = QueueWorker(channels, client=like(**{"retry_backoff_ms": 1, **given}), **options)
        for channel in worker.channels:
            worker.register_handler(channel, handler)
        return worker

    return make_one


@pytest.fixture
def consumer(client: RedisClient) -> MessageConsumer:
    return MessageConsumer(client, "one")


@pytest.fixture
def other(client: RedisClient) -> MessageConsumer:
    return MessageConsumer(client, "other")


@pytest.fixture(params=SERVER_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of server, for tests that start their own."""
    return request.param


@pytest.fixture
def own_server(kind: str, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that nobody else uses."""
    server = EmbeddedServer(tmp_path / "server", binary=server_binary(kind))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_client(own_server: EmbeddedServer) -> Iterator[RedisClient]:
    """A client of a server that nobody else uses; it does not publish twice."""
    with RedisClient(settings_for(own_server, retry_on_timeout=False)) as client:
        yield client


@contextmanager
def frozen(server: EmbeddedServer) -> Iterator[Callable[[], None]]:
    """The server takes commands in, as the system does for it, and answers none until it goes on.

    Gives the function that lets it go on.
    """
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    try:
        yield lambda: os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGCONT)


def just_after(seconds: float, action: Callable[[], None]) -> None:
    """Do it half as much later: in time for whoever tries again after a timeout of that length."""
    timer = threading.Timer(1.5 * seconds, action)
    timer.daemon = True
    timer.start()


@contextmanager
def in_background(action: Callable[[], object]) -> Iterator[list[object]]:
    """Do it in a thread; on leaving the block the list holds its result, or what it raised."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(action())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(30)
        assert not thread.is_alive()


def wait_until_blocked(client: RedisClient) -> None:
    """Wait until somebody is blocked on a read."""
    wait_until(lambda: any("b" in one["flags"] for one in client.redis.client_list()))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def binary_with(folder: Path, kind: str, *options: object) -> Path:
    """The server's binary with options of its own, as one that can be given to ``EmbeddedServer``."""
    wrapper = folder / "server-with-options"
    words = shlex.join([str(server_binary(kind)), "server.conf", *map(str, options)])
    wrapper.write_text(f"#!/bin/sh\nexec {words}\n")
    wrapper.chmod(0o755)
    return wrapper


def tutor(number: int) -> dict[str, object]:
    return {"tutor_id": f"T{number:03d}", "name": "x"}


def messages(client: RedisClient, channel: Channel = QueueChannels.TUTORS) -> list[Message]:
    """The messages in a stream, oldest first."""
    stream = client.keys.stream(channel)
    read = [deserialize(fields[b"message"], channel=stream) for _, fields in client.redis.xrange(stream)]
    assert all(isinstance(one, Message) for one in read)
    return read
