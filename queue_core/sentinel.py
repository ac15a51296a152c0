"""Sentinels: who they say is the primary of a service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import redis

from queue_core.address import Address
from queue_core.answers import answer_of, is_unknown_command
from queue_core.errors import ConfigurationError
from queue_core.primary import Directory


class SentinelAccessError(redis.AuthenticationError):
    """A Sentinel refused the user name or the password meant for it."""


class Sentinels(Directory):
    """A service's Sentinels.

    Args:
        sentinels: a client for each, which closes its connection after a failure.
        service: the service's name (``REDIS_SENTINEL_MASTER``).
    """

    def __init__(self, sentinels: Sequence[tuple[Address, redis.Redis]], service: str) -> None:
        self._sentinels = tuple(sentinels)
        self._service = service

    def candidates(self) -> Iterator[Address]:
        """What each Sentinel says; one that was cut off may name a server that is primary no more.

        Raises:
            redis.ConnectionError: none of them answers.
            SentinelAccessError: one refused us.
            ConfigurationError: none of those that answer is a Sentinel that knows the service.
        """
        problems, no_sentinels, strangers, told = [], [], 0, False
        # As they stand now: other threads put them in another order meanwhile.
        for address, sentinel in self._sentinels:
            try:
                found = self._ask(sentinel)
            except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
                raise SentinelAccessError(f"Sentinel {address}: {answer_of(error)}") from error
            except redis.RedisError as error:
                problems.append(f"{address}: {answer_of(error)}")
                if is_unknown_command(error):
                    no_sentinels.append(str(address))
            else:
                if found is None:
                    strangers += 1
                else:
                    told = True
                    yield found
            self._ask_last(address)
        if told:
            return
        if strangers:
            raise ConfigurationError(
                f"REDIS_SENTINEL_MASTER: the Sentinels know no service {self._service!r}; "
                "give the name that stands after 'sentinel monitor' in their configuration"
            )
        if no_sentinels:
            raise ConfigurationError(
                f"REDIS_SENTINELS: {', '.join(no_sentinels)} is no Sentinel; "
                "name the Sentinels, usually on port 26379, or unset it and set REDIS_HOST"
            )
        raise redis.ConnectionError(f"no Sentinel answers: {'; '.join(problems)}")

    def distrust(self) -> None:
        """Ask another Sentinel first next time."""
        self._ask_last(self._sentinels[0][0])

    def still(self, address: Address) -> bool | None:
        """What the Sentinel says that answered last."""
        asked, sentinel = self._sentinels[0]
        try:
            found = self._ask(sentinel)
        except redis.RedisError:
            self._ask_last(asked)
            return None
        return found == address

    def close(self) -> None:
        """Close the connections to the Sentinels."""
        for _, sentinel in self._sentinels:
            sentinel.close()
            sentinel.connection_pool.disconnect()

    def confirm(self, connection: redis.Connection) -> None:
        """Ask the server itself: a Sentinel may have been cut off, or learn of a failover late."""
        connection.send_command("ROLE")  # type: ignore[no-untyped-call]
        try:
            role = connection.read_response()[0]
        except redis.exceptions.NoPermissionError:
            return  # then the first write tells
        if role != b"master":
            raise redis.ConnectionError("it is a replica now; the failover is not over")

    def _ask_last(self, address: Address) -> None:
        # A new tuple each time: other threads go through the one that was.
        now = self._sentinels
        self._sentinels = (
            *(one for one in now if one[0] != address),
            *(one for one in now if one[0] == address),
        )

    def _ask(self, sentinel: redis.Redis) -> Address | None:
        found: Any = sentinel.sentinel_get_master_addr_by_name(self._service)
        return Address(found[0].decode(), found[1]) if found else None
