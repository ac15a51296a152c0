"""The connection to Redis: pool, health, scripts, and one translation of its errors.

    with get_redis_client() as client:
        client.health_check().latency_ms

redis-py's own retries are off (``connecting``). What may be repeated is repeated by the caller that
knows it is safe. A connection that the server closed is replaced at its next use.
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

import redis
from redis.client import Pipeline
from redis.commands.core import Script

from queue_core.answers import answer_of, is_unknown_command, quote_nothing
from queue_core.channels import Keys
from queue_core.config import RedisSettings
from queue_core.connecting import connect
from queue_core.errors import (
    AccessDeniedError,
    ConfigurationError,
    NotReplicatedError,
    QueueError,
    QueueUnavailableError,
)
from queue_core.failpoints import around
from queue_core.remedies import in_short, remedy_for
from queue_core.sentinel import SentinelAccessError
from queue_core.whereabouts import what_to_check, where

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
#: Answers about where keys are. Expected while slots move on a Cluster; elsewhere they say that it is one.
_OF_A_CLUSTER = (redis.exceptions.AskError, redis.exceptions.ClusterCrossSlotError)  # MOVED too
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
#: For what a user's script may not do there is no code, and Redis 7.0 has words of its own. The last is
#: what a server without a password from us says to a command of more than ten words.
_DENIED_ANSWERS = (
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "ACL failure in script",
    "The user executing the script can't",
    "Protocol error: unauthenticated",
)

#: What a server says of itself wherever it is one.
_HEALTH = ("used_memory", "maxmemory", "maxmemory_policy", "aof_enabled", "connected_clients")

#: Scripts that others begin with, each with the function that calls for it; one that needs another before it.
_SHARED = (("attempts", "failures_in"), ("room", "room_in"), ("unprocessed", "oldest_unprocessed|before"))


#: First line of a script that may run where the memory is full.
_BEYOND_MEMORY = "#!lua flags=allow-oom\n"


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
        self.redis: redis.Redis = connect(self.settings)
        self._scripts: dict[str, Script] = {}

    @property
    def address(self) -> str:
        """Where it is, without user name and password; for messages to people."""
        return where(self.settings)

    def health_check(self) -> Health:
        """Ask the server how it is.

        Raises:
            QueueUnavailableError: it does not answer.
            ConfigurationError: it is a Sentinel.
            QueueError: it does not say how it is.
        """
        with self.errors():
            started = time.perf_counter()
            self.redis.ping()
            latency_ms = (time.perf_counter() - started) * 1000
            info: dict[str, Any] = self.redis.info()
        if _mode(info) == "sentinel":
            raise self._a_sentinel()
        if unsaid := [field for field in _HEALTH if field not in info]:
            raise QueueError(
                f"Redis at {self.address} does not say its {', '.join(unsaid)} (INFO). "
                "Connect to the server itself, or allow INFO with all of its sections."
            )
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

    def run(
        self,
        script: str,
        keys: Sequence[str],
        args: Sequence[str | bytes | int | float],
        *,
        beyond_memory: bool = False,
    ) -> Any:
        """Run ``scripts/<script>.lua``; its header says what it takes and gives.

        With ``beyond_memory`` also where that exceeds the server's ``maxmemory``.
        """
        with around(script):
            return self.script(script, beyond_memory=beyond_memory)(keys=keys, args=args)

    def script(self, name: str, *, beyond_memory: bool = False) -> Script:
        """A script object, which may also be queued on a pipeline."""
        source = _BEYOND_MEMORY + _source(name) if beyond_memory else _source(name)
        if source not in self._scripts:
            self._scripts[source] = self.redis.register_script(source)
        return self._scripts[source]

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn redis-py's errors into this library's, with the address and a remedy.

        Raises:
            AccessDeniedError: wrong or missing password, or a command the user may not run.
            QueueUnavailableError: not reachable, or not able to serve now.
            ConfigurationError: a Sentinel, or a member of a Cluster, where the settings know of none.
            QueueError: any other answer that is an error.
        """
        try:
            yield
        except _DENIED as error:
            quote_nothing(error)
            raise self._denied(error) from error
        except _UNAVAILABLE as error:
            quote_nothing(error)
            raise self._unavailable(error) from error
        except redis.RedisError as error:
            quote_nothing(error)
            answer = answer_of(error)
            if answer.startswith(_DENIED_ANSWERS):
                raise self._denied(error) from error
            if answer.startswith(_UNAVAILABLE_ANSWERS):
                raise self._unavailable(error) from error
            if isinstance(error, _OF_A_CLUSTER):
                if self.settings.cluster:
                    raise self._unavailable(error) from error
                # Where the keys are is of no use without it.
                raise ConfigurationError(
                    f"Redis at {self.address} is a member of a Cluster. Set REDIS_CLUSTER=true."
                ) from error
            if is_unknown_command(error) and self._is_a_sentinel():
                raise self._a_sentinel() from error
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

    def _is_a_sentinel(self) -> bool:
        if self.settings.sentinels or self.settings.cluster:
            return False
        # A Sentinel has no databases to choose from, so that the pool's own connections may be of no use.
        pool = self.redis.connection_pool
        options = pool.connection_kwargs | {"db": 0, "connection_class": pool.connection_class}
        try:
            with redis.Redis.from_pool(redis.ConnectionPool(**options)) as one:
                info: dict[str, Any] = one.info("server")
        except redis.RedisError:
            return False
        return _mode(info) == "sentinel"

    def _a_sentinel(self) -> ConfigurationError:
        place = self.address.partition("/")[0]
        return ConfigurationError(
            f"Redis at {self.address}: that is a Sentinel, which knows where Redis is. "
            f"Set REDIS_SENTINELS={place} in place of REDIS_HOST, REDIS_PORT and REDIS_URL."
        )

    def _denied(self, error: Exception) -> AccessDeniedError:
        if isinstance(error, SentinelAccessError):
            return AccessDeniedError(f"{error}. Check REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD.")
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
            f"Redis at {self.address} is not available ({in_short(answer)}). "
            f"{remedy_for(answer) or what_to_check(self.settings, str(error))}"
        )


def get_redis_client(settings: RedisSettings | None = None) -> RedisClient:
    """A client with a pool of its own, by default configured from the environment.

    Connects at the first command, so that this never fails because a server is away.

    Raises:
        ConfigurationError: a ``REDIS_...`` variable is wrong.
    """
    return RedisClient(settings)


def retrying(attempts: int, pause: Callable[[int], None], action: Callable[[], _T]) -> _T:
    """Do ``action`` up to ``attempts`` times while Redis is away; only for what may safely happen twice."""
    for attempt in range(1, attempts):
        try:
            return action()
        except (AccessDeniedError, NotReplicatedError):
            raise
        except QueueUnavailableError:
            pause(attempt)
    return action()


def _mode(info: dict[str, Any]) -> str:
    return str(info.get("redis_mode") or info.get("server_mode"))  # the latter of Valkey


@cache
def _source(name: str) -> str:
    folder = resources.files("queue_core") / "scripts"
    source = (folder / f"{name}.lua").read_text()
    for shared, functions in _SHARED:
        if re.search(rf"\b({functions})\(", source):
            source = (folder / f"{shared}.lua").read_text() + source
    return source
