"""Looking at the books in the middle of it all: no false alarm may come, and no true one be missed."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from queue_core import Channel, QueueChannels
from queue_core.errors import QueueError
from tests.chaos.system import System
from tutormax_pipeline import books
from tutormax_pipeline.store import Store, StoreError

#: Short: in the middle of an outage the next look will do.
_PATIENCE_SECONDS = 0.2


class Auditor:
    """Looks at the books of one channel after the other.

    Attributes:
        looks: how many looks there were.
        alarms: what the books said where they did not balance.
    """

    def __init__(self, system: System) -> None:
        self.looks = 0
        self.alarms: list[str] = []
        self._system = system
        self._store = Store(f"sqlite:///{system.store_path}", timeout_seconds=_PATIENCE_SECONDS)
        self._channels = itertools.cycle(QueueChannels.all())

    def look(self) -> None:
        """Look at the next channel, if Redis and the database are there."""
        channel = next(self._channels)
        try:
            self._look(channel)
        except (QueueError, StoreError):
            return

    def look_at_all(self) -> None:
        """Look at every channel.

        Raises:
            QueueError, StoreError: that was not possible.
        """
        for channel in QueueChannels.all():
            self._look(channel)

    def _look(self, channel: Channel) -> None:
        with self._system.client() as client:
            found = books.look(client, self._store, channel, datetime.now(UTC))
        self.looks += 1
        if not found.balanced:
            self.alarms.append(
                f"{channel}: {found.difference} unaccounted for, began anew: {found.rewound}; {found}"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()
