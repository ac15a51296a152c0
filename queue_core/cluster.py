"""A Redis Cluster: which of its servers has the slot of our keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis
from redis.crc import key_slot

from queue_core.address import Address
from queue_core.answers import answer_of, is_unknown_command
from queue_core.errors import ConfigurationError
from queue_core.primary import Directory

#: What stands for the name of a server that does not know it.
_NAMELESS = ("", "?")
#: Words of a server that is none of a Cluster.
_NO_CLUSTER = "cluster support disabled"


class ClusterNodes(Directory):
    """The servers of a Cluster, as far as they are known.

    Args:
        seeds: servers to ask at first.
        prefix: prefix of all keys, with a hash tag: so all of them are in one slot.
        client: makes a client of one server.
    """

    def __init__(
        self, seeds: Sequence[Address], prefix: str, client: Callable[[Address], redis.Redis]
    ) -> None:
        self._nodes = list(seeds)
        self._seeds = tuple(seeds)
        self._slot = key_slot(prefix.encode())
        self._client = client

    def candidates(self) -> Iterator[Address]:
        """Who has the slot, by the map of one server after the other.

        Raises:
            redis.ConnectionError: none of them answers, or none knows.
            ConfigurationError: of those that answer none is a member of a Cluster.
            redis.AuthenticationError, redis.exceptions.NoPermissionError: one refused us.
        """
        problems, no_members, answered, told = [], [], False, False
        asked: set[Address] = set()
        while left := [node for node in self._nodes if node not in asked]:
            asked.add(node := left[0])
            try:
                with self._client(node) as client:
                    slots: Any = client.execute_command("CLUSTER SLOTS")
            except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
                raise
            except redis.RedisError as error:
                problems.append(f"{node}: {answer_of(error)}")
                if is_unknown_command(error) or _NO_CLUSTER in answer_of(error):
                    no_members.append(str(node))
                self._ask_last(node)
                continue
            owner, answered = self._learn(slots, node), True
            if owner is None:
                problems.append(f"{node}: nobody has slot {self._slot}")
                continue
            told = True
            yield owner
        if no_members and not answered:
            raise ConfigurationError(
                f"REDIS_CLUSTER: {', '.join(no_members)} is no member of a Cluster; set it to false, or give "
                "a member in REDIS_HOST or REDIS_URL"
            )
        if not told:
            raise redis.ConnectionError(
                f"no server of the Cluster knows who has our keys: {'; '.join(problems)}"
            )

    def distrust(self) -> None:
        """Ask another server first next time: one that was cut off takes itself for the owner for a while."""
        self._ask_last(self._nodes[0])

    def still(self, address: Address) -> bool:  # noqa: ARG002 - others ask about it
        """Always: whoever does not have the slot any more says so by itself."""
        return True

    def close(self) -> None:
        """Nothing is kept open: each is asked over a connection of its own."""

    def confirm(self, connection: redis.Connection) -> None:
        """Nothing to ask: whoever does not have the slot says so (MOVED) at each command."""

    def _learn(self, slots: Sequence[Sequence[Any]], asked: Address) -> Address | None:
        """Note every server there is; returns the one that has our slot."""
        owner, known = None, [asked]
        for first, last, *servers in slots:
            addresses = [_address(server, asked) for server in servers]
            known += addresses
            if first <= self._slot <= last:
                owner = addresses[0]
        self._nodes = list(dict.fromkeys([*known, *self._seeds]))
        return owner

    def _ask_last(self, node: Address) -> None:
        # A new list each time: other threads look servers up too.
        self._nodes = [*(one for one in self._nodes if one != node), node]


def _address(server: Sequence[Any], asked: Address) -> Address:
    # One that does not know under which name it is reached is reached as the one that was asked.
    host = (server[0] or b"").decode()
    return Address(asked.host if host in _NAMELESS else host, int(server[1]))
