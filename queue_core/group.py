"""The consumer group of a channel: created at the stream's beginning, and created again when it is gone.

A group can disappear with a failover or a FLUSHALL. Made again at id 0 it delivers everything that is
still in the stream; whoever keeps a ledger finds what it has seen before, so that replay is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis

from queue_core.answers import answer_of
from queue_core.channels import CONSUMER_GROUP, Channel
from queue_core.client import RedisClient
from queue_core.errors import ConfigurationError

_T = TypeVar("_T")

#: Answers to a command of a group that is not there; the last one to a read that was blocked on it.
_GROUP_IS_GONE = ("NOGROUP", "UNBLOCKED the stream key no longer exists")
_TRIES = 5


class ConsumerGroup:
    """One group, of each channel's stream.

    Args:
        client: the connection.
        name: the group's name.
    """

    def __init__(self, client: RedisClient, name: str = CONSUMER_GROUP) -> None:
        self.client = client
        self.name = name

    def create(self, channel: Channel) -> bool:
        """Create it at the stream's beginning, and the stream if need be.

        Also where the memory is full, so that what fills it can be drained.

        Returns:
            True if it was created, False if it was there.
        """
        stream = self.client.keys.stream(channel)
        with self.client.errors():
            return bool(self.client.run("create_consumer_group", [stream], [self.name], beyond_memory=True))

    def attempt(self, channel: Channel, action: Callable[[], _T]) -> _T:
        """Do what needs the group, making it anew where it is gone; errors are this library's."""
        tries = 1
        while True:
            with self.client.errors():
                try:
                    return action()
                except redis.ResponseError as error:
                    if tries == _TRIES or not says_that_group_is_gone(error):
                        raise
            # A reader that waits may see it go more than once.
            self.create(channel)
            tries += 1

    def run(self, script: str, channel: Channel, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script whose first argument is the group."""
        return self.attempt(channel, lambda: self.client.run(script, keys, [self.name, *arguments]))

    def entry_keys(self, channel: Channel) -> list[str]:
        """Keys that hold the state of a channel's entries: stream, retry set, processing hash.

        Raises:
            ConfigurationError: they are not this group's; there is one of each.
        """
        if self.name != CONSUMER_GROUP:
            raise ConfigurationError(
                f"Group {self.name!r} can only read and acknowledge: retries and what was left are kept for "
                f"{CONSUMER_GROUP} alone. Leave the group out, or take over with XAUTOCLAIM."
            )
        keys = self.client.keys
        return [keys.stream(channel), keys.retry(channel), keys.processing(channel)]


def says_that_group_is_gone(error: redis.ResponseError) -> bool:
    """Whether a command failed because its group, or the stream with it, is not there."""
    return answer_of(error).startswith(_GROUP_IS_GONE)
