"""The least that works off a queue: what ``run_until_idle`` needs of a worker."""

from __future__ import annotations

from collections.abc import Callable

from queue_core import Channel, MessageConsumer, RedisClient
from queue_core.entry import Entry


class Worker:
    """Handles what is due, and then what is new; a handler that says False wants it again later."""

    def __init__(self, client: RedisClient, channel: Channel, handle: Callable[[Entry], bool]) -> None:
        self._consumer, self._channel, self._handle = MessageConsumer(client), channel, handle

    def run_once(self) -> int:
        claimed = self._consumer.claim(self._channel, 10)
        taken = [*claimed.new, *self._consumer.begin(self._channel, claimed.left)]
        entries = taken or self._consumer.read(self._channel, 10)
        for entry in entries:
            if self._handle(entry):
                self._consumer.acknowledge(self._channel, entry.id)
            else:
                self._consumer.retry(self._channel, entry.id, "the handler said no")
        return len(entries)
