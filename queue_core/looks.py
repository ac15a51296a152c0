"""Looks in a row: rates, a short history of them, and since when Redis is away.

Pure: it is fed with looks, and never takes one.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

from queue_core.channels import QueueChannels
from queue_core.look import Away, Look
from queue_core.rates import UNKNOWN, Rates, rates

#: Looks of which the rates are kept.
HISTORY_LOOKS = 60


class Looks:
    """What is known after some looks.

    Attributes:
        last: the last look that found Redis; None before the first.
        away: why it could not be asked the last time; None where it could.
        away_since: the first of the looks in a row that did not find it.
    """

    def __init__(self) -> None:
        self.last: Look | None = None
        self.away: Away | None = None
        self.away_since: datetime | None = None
        self._history: dict[str, deque[Rates]] = {
            channel.name: deque(maxlen=HISTORY_LOOKS) for channel in QueueChannels.all()
        }

    def take(self, found: Look | Away) -> None:
        """Take in one more look."""
        if isinstance(found, Away):
            self.away, self.away_since = found, self.away_since or found.taken_at
            for kept in self._history.values():
                kept.append(UNKNOWN)
            return
        if self.last is not None:
            # Across an outage too: the server counted what came and went meanwhile, and time went on.
            for name, kept in self._history.items():
                kept.append(_between(self.last, found, name))
        self.last, self.away, self.away_since = found, None, None

    def history(self, channel: str) -> tuple[Rates, ...]:
        """The channel's rates, oldest first; one for each look after the first."""
        return tuple(self._history[channel])

    def rates(self, channel: str) -> Rates:
        """The channel's rates between the last two looks."""
        kept = self._history[channel]
        return kept[-1] if kept else UNKNOWN


def _between(before: Look, after: Look, channel: str) -> Rates:
    old, new = (
        next(one.figures for one in each.channels if one.figures.channel == channel)
        for each in (before, after)
    )
    return rates(old, new, after.clock_seconds - before.clock_seconds)
