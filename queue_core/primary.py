"""Connections that go to whichever server is the primary now, and go on to the next one after a failover.

Sentinel and Cluster differ only in who knows where the primary is (:class:`Directory`). On a Cluster all keys
share one hash tag, and so one slot and one server: the same ordinary client, with the same pipelines, scripts
and blocking reads, serves everywhere, and never repeats a command that may have been executed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

import redis

from queue_core.address import Address

#: Answers of a server that is not, or no longer, the one to ask.
_ELSEWHERE = (
    redis.exceptions.AskError,  # MOVED too
    redis.exceptions.ClusterDownError,  # MASTERDOWN too
    redis.ReadOnlyError,
)
#: How long a primary is taken for one without asking again; longer where nobody answered.
_TRUSTED_SECONDS = 0.5
_UNANSWERED_SECONDS = 10.0
#: How often a command follows a slot that moved.
_MOVES = 3


class Directory(Protocol):
    """Whoever knows where the primary is."""

    def candidates(self) -> Iterator[Address]:
        """Addresses to try, most trusted first; the next one is looked up when it is asked for.

        Raises:
            redis.ConnectionError: nobody could say.
        """
        ...

    def distrust(self) -> None:
        """What was said last turned out wrong: somebody else is asked first next time."""
        ...

    def still(self, address: Address) -> bool | None:
        """Whether the primary is still there, by one who can be asked quickly; None where nobody says."""
        ...

    def close(self) -> None:
        """Close the connections to those that are asked."""
        ...

    def confirm(self, connection: redis.Connection) -> None:
        """Make sure that a server just connected to is the primary.

        Raises:
            redis.ConnectionError: it is not.
        """
        ...


class Primary:
    """The primary as it is known now; shared by the connections of a pool."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._current: Address | None = None
        self._ask_again = 0.0

    def is_at(self, address: Address) -> bool:
        """Whether it is still known to be there; looked up again from time to time.

        After a planned failover the old primary goes on taking writes for some seconds, all of which are
        lost: it does not know yet.
        """
        if address != self._current:
            return False
        now = time.monotonic()
        if now >= self._ask_again:
            self._ask_again = now + _TRUSTED_SECONDS
            answer = self._directory.still(address)
            if answer is None:
                self._ask_again = time.monotonic() + _UNANSWERED_SECONDS
            elif not answer:
                self.forget()
                return False
        return True

    def close(self) -> None:
        """Close the connections to those that are asked where it is."""
        self._directory.close()

    def forget(self) -> None:
        """Something went wrong there: it is looked up again before the next command."""
        if self._current is not None:
            self._current = None
            self._directory.distrust()

    def connect(self, connection: FollowingConnection, **how: Any) -> None:
        """Connect to the first candidate that is reachable and the primary."""
        failure: redis.RedisError | None = None
        tried: set[Address] = set()
        for address in self._directory.candidates():
            if address in tried:
                continue
            tried.add(address)
            try:
                connection.connect_to(address, **how)
                self._directory.confirm(connection)
            except redis.AuthenticationError:
                connection.disconnect()  # type: ignore[no-untyped-call]
                raise
            except (redis.ConnectionError, redis.TimeoutError) as error:
                connection.disconnect()  # type: ignore[no-untyped-call]
                failure = error
                continue
            self._current, self._ask_again = address, time.monotonic() + _TRUSTED_SECONDS
            return
        raise failure or redis.ConnectionError("no server says that it is the primary")


class FollowingConnection(redis.Connection):
    """A connection to the primary, wherever that is when it is used.

    Args:
        primary: where it is.
        options: as of ``redis.Connection``.
    """

    def __init__(self, *, primary: Primary, **options: Any) -> None:
        self._primary = primary
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def connect_to(self, address: Address, **how: Any) -> None:
        """Connect there, wherever it was connected before."""
        self.disconnect()  # type: ignore[no-untyped-call]
        self.host, self.port = address
        super().connect_check_health(**how)

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Connect to the primary, unless this is connected to it already."""
        if self.is_connected and self._primary.is_at(Address(self.host, self.port)):
            return
        self._primary.connect(self, check_health=check_health, retry_socket_connect=retry_socket_connect)

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read an answer; one that says, or suggests, that the primary is elsewhere is taken note of."""
        try:
            return super().read_response(*arguments, **options)
        except (*_ELSEWHERE, redis.ConnectionError, redis.TimeoutError):
            self._primary.forget()
            raise
        except redis.ResponseError as error:
            if str(error).startswith("UNBLOCKED"):
                self._primary.forget()
            raise


class FollowingTLSConnection(FollowingConnection, redis.SSLConnection):
    """The same, over TLS."""


class FollowingRedis(redis.Redis):
    """A client that follows a slot which moved to another server; its pipelines do not."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command; after MOVED, by which it was not executed, where the slot is now."""
        for _ in range(_MOVES):
            try:
                return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except redis.exceptions.MovedError:
                continue
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close the connections, those to the Sentinels too."""
        super().close()
        self.connection_pool.connection_kwargs["primary"].close()
