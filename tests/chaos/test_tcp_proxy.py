"""The proxy breaks a connection where it is told to, and only there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from queue_core.embedded import EmbeddedServer
from tests.chaos.tcp_proxy import TcpProxy
from tests.conftest import wait_until

LARGE = bytes(range(256)) * 4_000


@pytest.fixture
def proxy(valkey: EmbeddedServer) -> Iterator[TcpProxy]:
    with TcpProxy(valkey.port) as proxy:
        yield proxy


@pytest.fixture
def through(proxy: TcpProxy) -> Iterator[redis.Redis]:
    """A client behind the proxy, connected once, that tries everything once."""
    retry = Retry(NoBackoff(), 0)
    with redis.Redis(port=proxy.port, protocol=2, socket_timeout=0.3, retry=retry) as client:
        client.set("proxied", LARGE)
        yield client


def test_everything_passes_as_it_is(proxy: TcpProxy, through: redis.Redis) -> None:
    assert through.get("proxied") == LARGE
    assert proxy.connections == 1


@pytest.mark.parametrize("after_bytes", [1, 100, 65_536, 1_000_000])
def test_an_answer_is_cut_in_its_middle_and_the_next_connection_works(
    through: redis.Redis, proxy: TcpProxy, after_bytes: int
) -> None:
    proxy.cut(after_bytes, "answers")
    with pytest.raises(redis.ConnectionError):
        through.get("proxied")
    assert through.get("proxied") == LARGE


@pytest.mark.parametrize("after_bytes", [1, 100, 65_536])
def test_a_command_that_is_cut_in_its_middle_is_not_carried_out(
    through: redis.Redis, proxy: TcpProxy, after_bytes: int
) -> None:
    proxy.cut(after_bytes, "commands")
    with pytest.raises(redis.ConnectionError):
        through.set("proxied", b"x" * 1_000_000)
    assert through.get("proxied") == LARGE


def test_while_it_stalls_nothing_comes_and_what_was_sent_arrives_afterwards(
    through: redis.Redis, proxy: TcpProxy, valkey: EmbeddedServer
) -> None:
    proxy.stall()
    with pytest.raises(redis.TimeoutError):
        through.set("stalled", "arrived")
    with redis.Redis(port=valkey.port) as straight:
        straight.delete("stalled")
        proxy.heal()
        wait_until(lambda: straight.get("stalled") == b"arrived")


def test_while_it_refuses_no_connection_lives(through: redis.Redis, proxy: TcpProxy) -> None:
    proxy.refuse()
    for _ in range(3):
        with pytest.raises(redis.ConnectionError):
            through.ping()
    wait_until(lambda: proxy.connections == 0)
    proxy.heal()
    assert through.ping()


def test_a_server_that_is_away_ends_connections_until_it_is_back(
    through: redis.Redis, proxy: TcpProxy, valkey: EmbeddedServer
) -> None:
    proxy.target_port = 1
    proxy.refuse()
    proxy.heal()
    with pytest.raises(redis.ConnectionError):
        through.ping()
    proxy.target_port = valkey.port
    assert through.ping()
