"""What a server says of itself in detail, for a diagnosis: its state, its settings, its commands, its clock.

A managed Redis may refuse CONFIG; what depends on it is then unknown, and nothing fails.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from queue_core.client import RedisClient

#: Every command that this library and its scripts send. Probed by name: versions tell little, since
#: Valkey and the clouds have their own. (With Sentinels it sends ROLE too, and where replicas are waited
#: for WAIT.)
COMMANDS = (
    "EVAL", "EVALSHA", "EXEC", "EXISTS", "HDEL", "HGET", "HGETALL", "HINCRBY", "HKEYS", "HSCAN",
    "HSET", "INFO", "MEMORY", "MULTI", "PING", "SCRIPT", "TIME", "XACK", "XADD", "XCLAIM",
    "XDEL", "XGROUP", "XINFO", "XLEN", "XPENDING", "XRANGE", "XREADGROUP", "XREVRANGE", "XTRIM", "ZADD",
    "ZCARD", "ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZREMRANGEBYSCORE", "ZSCAN", "ZSCORE",
)  # fmt: skip

#: Settings that matter to a queue.
_SETTINGS = ("appendfsync", "timeout", "stop-writes-on-bgsave-error", "save")
#: How often the clock is asked; the quickest answer tells most.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server, looked at closely.

    Attributes:
        info: the answer to INFO.
        config: some settings; None where CONFIG is refused.
        missing_commands: of :data:`COMMANDS`, those it does not have; None where it does not say.
        latency_seconds: quickest of a few answers, there and back.
        clock_ahead_seconds: by how much its clock is ahead of ours, give or take half the latency.
    """

    info: Mapping[str, Any]
    config: Mapping[str, str] | None
    missing_commands: tuple[str, ...] | None
    latency_seconds: float
    clock_ahead_seconds: float


def server_facts(client: RedisClient) -> ServerFacts:
    """Ask a server everything.

    Raises:
        QueueUnavailableError: it is away.
    """
    with client.errors():
        info: dict[str, Any] = client.redis.info()
        latency, ahead = min(_ask_the_time(client) for _ in range(_TRIES))
    return ServerFacts(info, _config(client), _missing(client), latency, ahead)


def _ask_the_time(client: RedisClient) -> tuple[float, float]:
    started, ours = time.perf_counter(), time.time()
    answer: Any = client.redis.time()
    latency = time.perf_counter() - started
    seconds, microseconds = answer
    return latency, seconds + microseconds / 1e6 - (ours + latency / 2)


def _config(client: RedisClient) -> dict[str, str] | None:
    with client.errors():
        try:
            found: Any = client.redis.config_get(*_SETTINGS)
        except redis.ResponseError:
            return None
    return {_text(name): _text(value) for name, value in found.items()}


def _missing(client: RedisClient) -> tuple[str, ...] | None:
    with client.errors():
        try:
            # In one word: for two of them redis-py has a parser that fails at a command that is not there.
            found = client.redis.execute_command("COMMAND INFO", *COMMANDS)  # type: ignore[no-untyped-call]
        except redis.ResponseError:
            return None
    return tuple(name for name, one in zip(COMMANDS, found, strict=True) if not one)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
