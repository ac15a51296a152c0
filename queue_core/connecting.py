"""How a redis-py client is made of the settings: one server, Sentinels or a Cluster, with TLS or without.

redis-py's own retries are off in all of them: it would repeat a read whose answer was lost and so deliver
messages twice.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from queue_core.address import Address
from queue_core.cluster import ClusterNodes
from queue_core.config import RedisSettings
from queue_core.primary import FollowingConnection, FollowingRedis, FollowingTLSConnection, Primary
from queue_core.sentinel import Sentinels
from queue_core.tls import FILES, check_files

#: Longest wait for somebody who only tells where the primary is; the next one is asked then.
_DIRECTORY_SECONDS = 2.0


def connect(settings: RedisSettings) -> redis.Redis:
    """A client with a pool; connects at its first command.

    Raises:
        ConfigurationError: a file that TLS needs cannot be used.
    """
    options = _options(settings)
    if options["connection_class"] is redis.SSLConnection:
        check_files(options)
    if settings.sentinels:
        return _following(Primary(_sentinels(settings, options)), options)
    if settings.cluster:
        return _following(Primary(_cluster(settings, options)), options)
    return redis.Redis.from_pool(redis.ConnectionPool(**options))


def _options(settings: RedisSettings) -> dict[str, Any]:
    """Everything a connection is made with."""
    options: dict[str, Any] = {
        "max_connections": settings.max_connections,
        "socket_timeout": settings.socket_timeout,
        "socket_connect_timeout": settings.socket_connect_timeout,
    }
    relied_on: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "legacy_responses": False,
        "decode_responses": False,
    }
    if settings.url is not None:
        # As from_url does, but for what the url's own options may not undo.
        given: dict[str, Any] = dict(parse_url(settings.url.get_secret_value()))  # type: ignore[no-untyped-call]
    else:
        given = {
            "host": settings.host,
            "port": settings.port,
            "db": settings.db,
            "username": settings.username,
            "password": settings.password.get_secret_value() if settings.password else None,
        }
        if settings.ssl:
            given["connection_class"] = redis.SSLConnection
    kind = given.setdefault("connection_class", redis.Connection)
    if kind is redis.SSLConnection:
        options |= {name: getattr(settings, name) for name in (*FILES, "ssl_check_hostname")}
    return options | given | relied_on


def _following(primary: Primary, options: dict[str, Any]) -> redis.Redis:
    tls = options["connection_class"] is redis.SSLConnection
    kind = FollowingTLSConnection if tls else FollowingConnection
    return FollowingRedis.from_pool(
        redis.ConnectionPool(**(options | {"connection_class": kind, "primary": primary}))
    )


def _asking(options: dict[str, Any], address: Address) -> redis.Redis:
    """A client of one server, to ask it where the primary is."""
    quick = {
        name: min(options[name], _DIRECTORY_SECONDS) for name in ("socket_timeout", "socket_connect_timeout")
    }
    return redis.Redis.from_pool(
        redis.ConnectionPool(**(options | quick | {"host": address.host, "port": address.port, "db": 0}))
    )


def _sentinels(settings: RedisSettings, options: dict[str, Any]) -> Sentinels:
    password = settings.sentinel_password
    access = {
        "username": settings.sentinel_username,
        "password": password.get_secret_value() if password else None,
    }
    clients = [(address, _asking(options | access, address)) for address in settings.sentinels]
    return Sentinels(clients, settings.sentinel_master)


def _cluster(settings: RedisSettings, options: dict[str, Any]) -> ClusterNodes:
    first = Address(options.get("host") or "localhost", options.get("port") or 6379)
    return ClusterNodes(
        [first, *settings.cluster_nodes], settings.key_prefix, lambda address: _asking(options, address)
    )
