"""Putting off the messages of a channel whose handler lacks what it needs, for no fault of theirs."""

from __future__ import annotations

from queue_core.channels import Channel
from queue_core.errors import HandlerUnavailableError, QueueFullError, QueueUnavailableError
from queue_core.reconnecting import Reconnecting

#: By these a handler says that it lacks something: the first raised on purpose, the others by this library
#: when the handler publishes.
NO_FAULT_OF_THE_MESSAGE = (HandlerUnavailableError, QueueFullError, QueueUnavailableError)


class PutOffError(Exception):
    """A handler's call ended so; what is in hand is to be given back."""

    def __init__(
        self, channel: Channel, trouble: HandlerUnavailableError | QueueFullError | QueueUnavailableError
    ) -> None:
        super().__init__(channel, trouble)
        self.channel, self.trouble = channel, trouble


class PuttingOff:
    """Says of each channel once that its handler lacks something, and once that it has it again."""

    def __init__(self) -> None:
        self._lacking: dict[Channel, Reconnecting] = {}

    def again(self, put_off: PutOffError) -> float:
        """Seconds for which the channel waits; each time longer."""
        what = f"what the handler of {put_off.channel} needs"
        lacking = self._lacking.setdefault(put_off.channel, Reconnecting(what))
        return lacking.next_pause_seconds(put_off.trouble)

    def over(self, channel: Channel) -> None:
        """Its handler has done its work."""
        if lacking := self._lacking.pop(channel, None):
            lacking.over()
