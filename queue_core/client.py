"""The connection to Redis: pool, health, scripts, and one translation of its errors.

    with get_redis_client() as client:
        client.health_check().latency_ms

redis-py's own retries are off: it would repeat a read whose answer was lost and so deliver
messages twice. What may be repeated is repeated by the caller that knows it is safe.
A connection that the server closed is replaced at its next use.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.commands.core import Script
from redis.connection import parse_url
from redis.retry import Retry

from queue_core.channels import Keys
from queue_core.config import RedisSettings
from queue_core.errors import AccessDeniedError, QueueError, QueueUnavailableError
from queue_core.failpoints import around
from queue_core.remedies import in_short, remedy_for

_T = TypeVar("_T")

_DENIED = (redis.AuthenticationError, redis.exceptions.AuthorizationError, redis.exceptions.NoPermissionError)
_UNAVAILABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterDownError,  # MASTERDOWN too
    redis.exceptions.TryAgainError,
)
#: Answers by which a server says that it cannot work now, wherever redis-py has no class for them.
_UNAVAILABLE_ANSWERS = (
    "MISCONF",
    "LOADING",
    "READONLY",
    "OOM",
    "BUSY ",
    "NOREPLICAS",
    "UNBLOCKED",
)
#: The last is what a server without a password from us says to a command of more than ten words.
_DENIED_ANSWERS = ("NOAUTH", "WRONGPASS", "NOPERM", "Protocol error: unauthenticated")

#: Scripts that others begin with, each with the function that calls for it; one that needs another before it.
_SHARED = (("attempts", "failures_in"), ("room", "room_in"), ("unprocessed", "oldest_unprocessed|before"))


@dataclass(frozen=True, slots=True)
class Health:
    """What a server says of itself.

    Attributes:
        latency_ms: one PING, there and back.
        server: name and version, ``valkey 9.1.2``.
        used_memory_bytes: memory in use.
        maxmemory_bytes: its limit; 0 is none.
        eviction_policy: must be ``noeviction`` for a queue.
        append_only: whether writes are kept in an append-only file.
        clients: connected clients.
    """

    latency_ms: float
    server: str
    used_memory_bytes: int
    maxmemory_bytes: int
    eviction_policy: str
    append_only: bool
    clients: int


class RedisClient:
    """A pool of connections, the settings they came from, and the names of the keys.

    Attributes:
        redis: the redis-py client, for commands of your own.
        settings: the settings in force.
        keys: names of the keys under the configured prefix.
    """

    def __init__(self, settings: RedisSettings | None = None) -> None:
        self.settings = settings or RedisSettings.load()
        self.keys = Keys(self.settings.key_prefix)
        self.redis: redis.Redis = _connect(self.settings)
        self._scripts: dict[str, Script] = {}

    @property
    def address(self) -> str:
        """Host, port and database, without user name and password; for messages to people."""
        if self.settings.url is None:
            return f"{self.settings.host}:{self.settings.port}/{self.settings.db}"
        url = urlsplit(self.settings.url.get_secret_value())
        if url.scheme == "unix":
            return url.path
        return f"{url.hostname or 'localhost'}:{url.port or 6379}{url.path}"

    def health_check(self) -> Health:
        """Ask the server how it is.

        Raises:
            QueueUnavailableError: it does not answer.
        """
        with self.errors():
            started = time.perf_counter()
            self.redis.ping()
            latency_ms = (time.perf_counter() - started) * 1000
            info: dict[str, Any] = self.redis.info()
        name = info.get("server_name", "redis")
        return Health(
            latency_ms=latency_ms,
            server=f"{name} {info.get(f'{name}_version', info.get('redis_version'))}",
            used_memory_bytes=int(info["used_memory"]),
            maxmemory_bytes=int(info["maxmemory"]),
            eviction_policy=str(info["maxmemory_policy"]),
            append_only=bool(info["aof_enabled"]),
            clients=int(info["connected_clients"]),
        )

    def pipeline(self) -> Pipeline:
        """Commands that travel together, each for itself (no MULTI)."""
        return self.redis.pipeline(transaction=False)

    def run(self, script: str, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """Run ``scripts/<script>.lua``; its header says what it takes and gives."""
        with around(script):
            return self.script(script)(keys=keys, args=args)

    def script(self, name: str) -> Script:
        """A script object, which may also be queued on a pipeline."""
        if name not in self._scripts:
            self._scripts[name] = self.redis.register_script(_source(name))
        return self._scripts[name]

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn redis-py's errors into this library's, with the address and a remedy.

        Raises:
            AccessDeniedError: wrong or missing password, or a command the user may not run.
            QueueUnavailableError: not reachable, or not able to serve now.
            QueueError: any other answer that is an error.
        """
        try:
            yield
        except _DENIED as error:
            raise self._denied(error) from error
        except _UNAVAILABLE as error:
            raise self._unavailable(error) from error
        except redis.RedisError as error:
            answer = answer_of(error)
            if answer.startswith(_DENIED_ANSWERS):
                raise self._denied(error) from error
            if answer.startswith(_UNAVAILABLE_ANSWERS):
                raise self._unavailable(error) from error
            raise QueueError(f"Redis at {self.address} answered: {answer}") from error

    def close(self) -> None:
        """Close every connection of the pool."""
        self.redis.close()
        self.redis.connection_pool.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _denied(self, error: Exception) -> AccessDeniedError:
        return AccessDeniedError(
            f"Redis at {self.address} refused access ({answer_of(error)}). "
            "Check REDIS_USERNAME and REDIS_PASSWORD, or REDIS_URL."
        )

    def _unavailable(self, error: Exception) -> QueueUnavailableError:
        if isinstance(error, redis.exceptions.MaxConnectionsError):
            return QueueUnavailableError(
                f"All {self.settings.max_connections} connections to Redis at {self.address} are in use. "
                "Raise REDIS_MAX_CONNECTIONS, or use fewer threads."
            )
        answer = answer_of(error)
        return QueueUnavailableError(
            f"Redis at {self.address} is not available ({in_short(answer)}). {remedy_for(answer)}"
        )


def get_redis_client(settings: RedisSettings | None = None) -> RedisClient:
    """A client with a pool of its own, by default configured from the environment.

    Connects at the first command, so that this never fails because a server is away.

    Raises:
        ConfigurationError: a ``REDIS_...`` variable is wrong.
    """
    return RedisClient(settings)


def answer_of(error: Exception) -> str:
    """The server's own words, without the command that redis-py puts before them in a pipeline."""
    return str(error).rpartition(" of pipeline caused error: ")[2]


def retrying(attempts: int, pause: Callable[[int], None], action: Callable[[], _T]) -> _T:
    """Do ``action`` up to ``attempts`` times while Redis is away; only for what may safely happen twice."""
    for attempt in range(1, attempts):
        try:
            return action()
        except AccessDeniedError:
            raise
        except QueueUnavailableError:
            pause(attempt)
    return action()


def _connect(settings: RedisSettings) -> redis.Redis:
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
        given = parse_url(settings.url.get_secret_value())  # type: ignore[no-untyped-call]
        return redis.Redis.from_pool(redis.ConnectionPool(**(options | given | relied_on)))
    if settings.ssl:
        options |= {
            "ssl": True,
            "ssl_ca_certs": settings.ssl_ca_certs,
            "ssl_certfile": settings.ssl_certfile,
            "ssl_keyfile": settings.ssl_keyfile,
        }
    return redis.Redis(
        host=settings.host,
        port=settings.port,
        db=settings.db,
        username=settings.username,
        password=settings.password.get_secret_value() if settings.password else None,
        **options,
        **relied_on,
    )


@cache
def _source(name: str) -> str:
    folder = resources.files("queue_core") / "scripts"
    source = (folder / f"{name}.lua").read_text()
    for shared, functions in _SHARED:
        if re.search(rf"\b({functions})\(", source):
            source = (folder / f"{shared}.lua").read_text() + source
    return source
